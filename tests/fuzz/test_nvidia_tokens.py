# SPDX-License-Identifier: Apache-2.0
"""R-31, at NVIDIA's tokens: whatever comes as answer, token or key set, only VerificationError escapes.

Most inputs are right ones that were changed; claims are signed again after the change, so that the rules behind the
signature meet it too. Nothing that was changed under a signature is accepted. Warnings are errors here.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import datetime
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.nvidia.certificates import NOW
from simulator.nvidia.reports import NONCE
from tests import nvidia_tokens as lab
from tests import nvidia_vectors as vectors
from tests.fuzz.test_verifier_parsers import elements_changed, mutated
from tests.nvidia_tokens import Hearing
from verifiers.anchors import builtin
from verifiers.errors import VerificationError
from verifiers.nvidia.eat import find_answers
from verifiers.nvidia.jwks import certified_key, signing_key
from verifiers.nvidia.nras import verify_tokens
from verifiers.nvidia.tokens import TokenIssuer

GOOD = Hearing()
(ANSWER,) = GOOD.said
ISSUER = GOOD.token_issuer
KEY_SET = GOOD.service.jwks()
SIGNER = GOOD.service.signer
PINS = GOOD.nvidia.nras_pins
MODERATE = settings(max_examples=150, deadline=None)
PPCIE = "nras-hgx-h100x8-ppcie-token"

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["success", "3.0", "GPU-0", "good", "", "\ud800", "ES384"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


def judged(answers: tuple[bytes, ...], issuer: TokenIssuer = ISSUER) -> int:
    """How many devices are accepted."""
    with suppress(VerificationError):
        return len(verify_tokens(answers, issuer, None, NONCE, NOW))
    return 0


@MODERATE
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_answers_of_any_form(data: bytes) -> None:
    assert judged((data,)) == 0
    with suppress(VerificationError):
        judged(find_answers(data))


@settings(max_examples=300, deadline=None)
@given(mutated(ANSWER))
def test_changed_answers(data: bytes) -> None:
    """White space and escapes apart, nothing can be changed."""
    if judged((data,)):
        assert json.loads(data) == json.loads(ANSWER)


@MODERATE
@given(st.integers(0, 1), st.data())
def test_changed_tokens(which: int, data: st.DataObject) -> None:
    """A changed token in the answer that is otherwise right, and under the digest that is right for it."""
    overall, tokens = json.loads(ANSWER)
    token = (overall[1], tokens["GPU-0"])[which]
    changed = data.draw(mutated(token.encode())).decode("latin-1")
    if which == 0:
        answer = GOOD.edited(edit_answer=lambda answer: [["JWT", changed], answer[1]])
    else:
        answer = GOOD.edited(
            edit_answer=lambda answer: [answer[0], {"GPU-0": changed}],
            edit_overall=lambda claims: claims | {"submods": {"GPU-0": lab.digest(changed)}},
        )
    assert judged(answer.said) == (changed == token)


NAMES = st.sampled_from(
    [
        "alg",
        "kid",
        "typ",
        "crit",
        "b64",
        "jku",
        "x5c",
        "jwk",
        "zip",
    ]
)


@MODERATE
@given(st.dictionaries(NAMES, JSON, max_size=3))
def test_changed_headers_signed_again(header: dict[str, Any]) -> None:
    edited = GOOD.edited(header=header)
    if judged(edited.said):
        assert header.get("alg", "ES384") == "ES384"
        assert header.get("kid", SIGNER.kid) == SIGNER.kid
        assert "crit" not in header


CLAIMS = json.loads(base64.urlsafe_b64decode(json.loads(ANSWER)[0][1].split(".")[1] + "=="))
DEVICE = json.loads(base64.urlsafe_b64decode(json.loads(ANSWER)[1]["GPU-0"].split(".")[1] + "=="))
UNREAD = {"jti", "oemid", "x-nvidia-attestation-warning"}


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(DEVICE)), JSON, min_size=1, max_size=2))
def test_changed_claims_of_a_device_signed_again(changes: dict[str, Any]) -> None:
    assume(all(DEVICE[name] != value for name, value in changes.items()))
    accepted = judged(GOOD.edited(edit_device=lab.having(changes)).said)
    said = {"hwmodel", "x-nvidia-gpu-driver-version", "x-nvidia-gpu-vbios-version", "ueid"}
    if changes.keys() - UNREAD - said - {"iat", "nbf", "exp"}:
        assert accepted == 0


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(CLAIMS)), JSON, min_size=1, max_size=2))
def test_changed_claims_about_all_signed_again(changes: dict[str, Any]) -> None:
    assume(all(CLAIMS[name] != value for name, value in changes.items()))
    accepted = judged(GOOD.edited(edit_overall=lab.having(changes)).said)
    if changes.keys() - UNREAD - {"iat", "nbf", "exp"}:
        assert accepted == 0


@MODERATE
@given(
    st.binary(max_size=200) | mutated(KEY_SET) | JSON.map(lambda value: json.dumps(value).encode())
)
def test_key_sets(data: bytes) -> None:
    """One that is changed gives the same key or none."""
    with suppress(VerificationError):
        key = signing_key(data, SIGNER.kid, PINS, NOW)
        assert key == SIGNER.private.public_key()


@MODERATE
@given(st.dictionaries(st.sampled_from(["kty", "crv", "kid", "x5c", "x", "y"]), JSON, max_size=3))
def test_changed_keys(changes: dict[str, Any]) -> None:
    keys = json.loads(KEY_SET)["keys"]
    document = json.dumps({"keys": [keys[0] | changes]}).encode()
    with suppress(VerificationError):
        assert signing_key(document, SIGNER.kid, PINS, NOW) == SIGNER.private.public_key()


X5C = json.loads(KEY_SET)["keys"][0]["x5c"]


@st.composite
def restructured(draw: st.DrawFn, data: bytes) -> bytes:
    return elements_changed(draw, data)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 1), st.booleans(), st.data())
def test_changed_certificates(place: int, whole: bool, data: st.DataObject) -> None:  # noqa: FBT001 - drawn
    """Bytes of a certificate, or elements of it whose lengths stay right."""
    der = base64.b64decode(X5C[place])
    changed = data.draw(mutated(der) if whole else restructured(der))
    x5c: list[Any] = list(X5C)
    x5c[place] = base64.b64encode(changed).decode()
    with suppress(VerificationError):
        key = certified_key(x5c, PINS, NOW)
        assert key == SIGNER.private.public_key()


@MODERATE
@given(st.data())
def test_changed_real_answers(data: st.DataObject) -> None:
    (real,) = find_answers(vectors.document(f"{PPCIE}/nras_response.json"))
    roots = builtin().nvidia
    assert roots is not None
    issuer = TokenIssuer(roots.nras_issuer, vectors.document(f"{PPCIE}/jwks.json"), roots.nras)
    expected = json.loads(vectors.document(f"{PPCIE}/expected.json"))
    at = datetime.fromisoformat(expected["at"])
    changed = data.draw(mutated(real))
    with suppress(VerificationError):
        verify_tokens((changed,), issuer, None, None, at)
        assert json.loads(changed) == json.loads(real)
