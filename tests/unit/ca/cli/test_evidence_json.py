# SPDX-License-Identifier: Apache-2.0
"""Evidence as JSON of other tools gives its pieces, in whichever encoding; what is none is refused with its place."""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ca.cli import evidence_json, foreign
from tests import tdx_vectors, vtpm_vectors
from tests.fuzz.test_verifier_parsers import mutated
from tests.snp_lab import SnpLab
from tests.tdx_lab import Lab
from tests.tpm_lab import Hcl, Quote, bare, rsa_key
from tests.vtpm_vectors import AZURE
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import EvidenceKind
from verifiers.nvidia.evidence import NvidiaEvidence, piece

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.jsontext import Json

QUOTE: Final = Quote()
SIGNATURE: Final = bare(rsa_key(), QUOTE.attest)
VALUES: Final = [QUOTE.pcrs[at : at + 32] for at in range(0, len(QUOTE.pcrs), 32)]
HCL: Final = Hcl().data
TD: Final = Lab.create().exhibit().quote
VCEK: Final = SnpLab.create().vek.der
PEM: Final = "-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----\n"
LOG: Final = b"\0 a log"
ENCODINGS: Final[dict[str, Callable[[bytes], Json]]] = {
    "numbers": list,
    "hexadecimal": bytes.hex,
    "capital": lambda data: data.hex().upper(),
    "base64": lambda data: base64.b64encode(data).decode(),
    "unpadded": lambda data: base64.b64encode(data).decode().rstrip("="),
    "base64url": lambda data: base64.urlsafe_b64encode(data).decode(),
    "base64url unpadded": lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
}


def unpacked(document: Json) -> list[bytes]:
    return list(foreign.unpack([json.dumps(document).encode()]).files)


def azure(encode: Callable[[bytes], Json] = bytes.hex) -> dict[str, Any]:
    return {
        "version": 2,
        "tpm_quote": {
            "message": encode(QUOTE.attest),
            "signature": encode(SIGNATURE),
            "pcrs": [encode(value) for value in VALUES],
        },
        "hcl_report": encode(HCL),
        "vcek": encode(VCEK),
    }


def coco(bank: str = "SHA256") -> dict[str, Any]:
    """Of a TPM, as Confidential Containers have it."""
    quote = {
        "attest_body": ENCODINGS["base64"](QUOTE.attest),
        "attest_sig": ENCODINGS["base64"](SIGNATURE),
        "pcrs": [value.hex() for value in VALUES],
    }
    return {
        "ek_cert": None,
        "ak_pubkey": PEM,
        "quote": {bank: quote},
        "eventlog": ENCODINGS["base64"](LOG),
        "aa_eventlog": None,
    }


REQUEST: Final[dict[str, Any]] = {
    "nonce": "AAAA",
    "profile": "default",
    "evidence": [
        {"kind": "tdx-quote", "data": ENCODINGS["base64"](TD)},
        {"kind": "ccel", "data": ENCODINGS["base64"](LOG)},
        {
            "kind": "nvidia-device",
            "data": ENCODINGS["base64"](piece(NvidiaEvidence(b"\0report", b"\0chain"))),
        },
    ],
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding(name: str) -> None:
    wanted = [HCL, VCEK, QUOTE.attest, SIGNATURE, QUOTE.pcrs]
    assert unpacked(azure(ENCODINGS[name])) == wanted


@pytest.mark.parametrize("name", AZURE)
def test_real_documents_by_another_reader(name: str) -> None:
    vector = vtpm_vectors.load(name)
    path = tdx_vectors.ROOT / "vtpm" / name / "evidence.json"
    found = foreign.unpack([path.read_bytes()]).files
    assert {vector.attest, vector.signature, vector.pcrs, vector.hcl} <= set(found)


def test_the_older_names_and_a_td_quote() -> None:
    given_ = azure()
    document = {"quote": given_["tpm_quote"], "report": given_["hcl_report"], "td_quote": TD.hex()}
    assert unpacked(document) == [HCL, TD, QUOTE.attest, SIGNATURE, QUOTE.pcrs]


def test_a_td_of_confidential_containers() -> None:
    encode = ENCODINGS["base64"]
    document: Json = {"quote": encode(TD), "cc_eventlog": encode(LOG), "aa_eventlog": "text"}
    assert unpacked(document) == [LOG, TD]
    assert unpacked({"quote": encode(TD), "cc_eventlog": None}) == [TD]


@pytest.mark.parametrize("bank", ["SHA256", "sha256", "SHA-256", "SHA384"])
def test_a_tpm_of_confidential_containers(bank: str) -> None:
    document = coco(bank)
    document["quote"]["SHA1"] = {}
    wanted = [PEM.encode(), LOG, QUOTE.attest, SIGNATURE, QUOTE.pcrs]
    assert unpacked(document) == wanted


def test_what_a_client_sends() -> None:
    assert unpacked(REQUEST) == [TD, LOG, b"\0report", b"\0chain"]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in azure().items() if key != name}


def but(**changes: Json) -> dict[str, Any]:
    return {**azure(), **changes}


def quote_but(**changes: Json) -> dict[str, Any]:
    return but(tpm_quote={**azure()["tpm_quote"], **changes})


MALFORMED: Final[dict[str, tuple[Json, str]]] = {
    "two names of one": (but(report="00"), "hcl_report and report are names of the same"),
    "two quotes": (but(quote="00"), "tpm_quote and quote are names of the same"),
    "a number": (but(vcek=7), "vcek: bytes are wanted"),
    "nothing": (but(vcek=""), "vcek: bytes are wanted"),
    "an empty list": (but(vcek=[]), "vcek: a list of something else than bytes"),
    "a truth": (but(vcek=[True]), "vcek: a list of something else than bytes"),
    "a large number": (but(vcek=[256]), "vcek: a list of something else than bytes"),
    "a fraction": (but(vcek=[1.0]), "vcek: a list of something else than bytes"),
    "a text of another script": (but(vcek="\u0660\u0660"), "vcek: bytes are wanted"),
    "half a character": (but(vcek="-----BEGIN \ud800"), "vcek: bytes are wanted"),
    "no encoding": (but(vcek="a b"), "vcek: neither hexadecimal nor base64"),
    "a mixture of alphabets": (but(vcek="a+_z"), "vcek: neither hexadecimal nor base64"),
    "too much padding": (but(vcek="zz==="), "vcek: neither hexadecimal nor base64"),
    "too little": (but(vcek="zzzzz"), "vcek: not base64"),
    "half a padding": (but(vcek="zg="), "vcek: not base64 in its one form"),
    "bits left over": (but(vcek="zz"), "vcek: not base64 in its one form"),
    "no signature": (quote_but(signature=None), "tpm_quote.signature: bytes are wanted"),
    "no values": (quote_but(pcrs=[]), "tpm_quote.pcrs: 1 to 72 values are wanted"),
    "too many values": (quote_but(pcrs=["00"] * 73), "tpm_quote.pcrs: 1 to 72 values"),
    "values in one": (quote_but(pcrs="00"), "tpm_quote.pcrs: 1 to 72 values are wanted"),
    "a value that is none": (quote_but(pcrs=["00", None]), "tpm_quote.pcrs[1]: bytes are wanted"),
    "a bank that is none": ({"quote": {"SHA256": "00"}}, "the quote over SHA256 is no object"),
    "a piece that is none": ({"evidence": [{"kind": "ccel"}, 1]}, "evidence[0].data: bytes"),
    "no piece": ({"evidence": [1, {"kind": "ccel"}]}, "evidence[0]: no object"),
    "too many pieces": ({"evidence": [{"kind": "ccel"}] * 65}, "evidence: at most 64 pieces"),
    "too deep": (but(vcek=[[[[[[[[[]]]]]]]]]), "nested more than 8 deep"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_refused(name: str) -> None:
    document, said = MALFORMED[name]
    with pytest.raises(VerificationError) as caught:
        unpacked(document)
    assert caught.value.reason is Reason.MALFORMED
    assert said in caught.value.detail


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"quote": "00", "quote": "00"}', Reason.MALFORMED),
        (b'{"quote": NaN}', Reason.MALFORMED),
        (b'{"quote": "\xff"}', Reason.MALFORMED),
        (b'{"quote"', Reason.MALFORMED),
        (b"{" + b" " * evidence_json.MAX_BYTES + b"}", Reason.TOO_LARGE),
        (b'{"evidence": [{"kind": "sgx-quote", "data": "AA=="}]}', Reason.UNSUPPORTED_FORMAT),
        (b'{"quote": {"SHA1": {}, "SM3": {}}}', Reason.UNSUPPORTED_FORMAT),
        (b'{"quote": {}}', Reason.UNSUPPORTED_FORMAT),
        (b'{"evidence": [{"kind": "nvidia-device", "data": "AA=="}]}', Reason.MALFORMED),
        (b'{"answer": 42}', Reason.UNSUPPORTED_FORMAT),
        (b"{}", Reason.UNSUPPORTED_FORMAT),
    ],
)
def test_texts_that_are_refused(text: bytes, reason: Reason) -> None:
    with pytest.raises(VerificationError) as caught:
        foreign.unpack([text])
    assert caught.value.reason is reason


def test_every_kind_of_an_enrollment_is_known() -> None:
    for kind in set(EvidenceKind) - {EvidenceKind.NVIDIA_DEVICE}:
        assert unpacked({"evidence": [{"kind": str(kind), "data": "AAE="}]}) == [b"\0\1"]


HEX: Final = re.compile(r"[0-9A-Fa-f]+")
BYTES: Final = st.binary(min_size=1, max_size=80)


@given(BYTES, st.sampled_from(sorted(ENCODINGS)))
def test_bytes_come_back(data: bytes, name: str) -> None:
    """But where base64 has hexadecimal digits alone, which no piece of evidence is short enough for."""
    text = ENCODINGS[name](data)
    assume(name in {"numbers", "hexadecimal", "capital"} or not HEX.fullmatch(str(text)))
    assert evidence_json.decoded(text, "it") == data


TEXTS: Final = [json.dumps(one).encode() for one in (azure(), azure(list), coco(), REQUEST)]
ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["00", "AAE=", PEM]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES: Final = [
    *("tpm_quote", "quote", "hcl_report", "report", "vcek", "td_quote", "ak_public", "ak_pubkey"),
    *("cc_eventlog", "eventlog", "evidence", "message", "signature", "pcrs", "kind", "data"),
    *("attest_body", "attest_sig", "SHA256", "tcb_info"),
]
DOCUMENTS: Final = st.recursive(
    ANYTHING,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner) | st.lists(inner, max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(TEXTS).flatmap(mutated) | DOCUMENTS.map(lambda one: json.dumps(one).encode())
)
def test_whatever_comes(data: bytes) -> None:
    with suppress(VerificationError):
        found = foreign.unpack([data])
        assert sum(map(len, found.files)) <= len(data)
