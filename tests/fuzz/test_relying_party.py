# SPDX-License-Identifier: Apache-2.0
"""R-31, on the relying party's side: whatever a bundle, a staple, a node, a list or a certificate holds, it is read or
refused in the reader's own words; and no change of a staple hides a revocation.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attestca_client import attestation_info
from attestca_client.attestation_info import InfoError
from attestca_client.checks import SourceError, Verdict
from attestca_client.leaf import CertificateError, parse_certificates
from attestca_client.lists import ListError, parse_lists
from attestca_client.protocol.trust import BundleError, open_bundle
from attestca_client.registry import decode_status, view
from attestca_client.rpc import Node
from attestca_client.staple import StapleError, parse_staple
from attestca_client.verify import Rules
from ca.errors import RequestRefused
from ca.issuance import extension
from ca.issuance.crl import Revoked
from tests.authority_lab import NOW, digest, make_device, make_switch, with_devices
from tests.fuzz.test_verifier_parsers import mutated
from tests.relying_lab import DEPLOYMENT, FakeChain, make_world, measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

WORLD = make_world()
LEAF = WORLD.issue(**with_devices(make_device(), make_switch()))
for _number in range(40):
    WORLD.revoke(digest(f"other {_number}"))
OTHER = json.dumps(WORLD.staple(LEAF)).encode()  # of before
WORLD.revoke(measurement(LEAF))
STAPLE = json.dumps(WORLD.staple(LEAF)).encode()
SEALED = WORLD.sealed()
CRL = WORLD.crl(LEAF, Revoked(LEAF.serial, NOW))
PEM = x509.load_der_x509_crl(CRL).public_bytes(Encoding.PEM)
OID = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1.1")
INFO = LEAF.certificate.extensions.get_extension_for_oid(OID).value.public_bytes()
# The library warns of odd names, which changed certificates and lists have.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
MODERATE = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@MODERATE
@given(st.binary(max_size=300) | mutated(SEALED))
def test_bundles(data: bytes) -> None:
    with suppress(BundleError):
        assert open_bundle(data) == WORLD.bundle()


@MODERATE
@given(st.sampled_from(sorted(json.loads(STAPLE))), json_values)
def test_members_of_a_staple(member: str, value: object) -> None:
    with suppress(StapleError):
        parse_staple(json.dumps(json.loads(STAPLE) | {member: value}).encode())


@MODERATE
@given(st.binary(max_size=300) | mutated(STAPLE))
def test_no_staple_hides_a_revocation(data: bytes) -> None:
    with suppress(StapleError):
        parse_staple(data)
    assert WORLD.check(LEAF, staple=data).verdict is not Verdict.ACCEPTED


@MODERATE
@given(
    st.dictionaries(
        st.sampled_from(["index", "time", "commitment", "hashes", "revocations", "revoked"]),
        st.none(),
        min_size=1,
    )
)
def test_parts_of_an_older_staple_hide_nothing(parts: dict[str, None]) -> None:
    """The signed checkpoint is the one in force, anything else is of before."""
    old = json.loads(OTHER)
    staple = json.loads(STAPLE) | {name: old[name] for name in parts}
    assert WORLD.check(LEAF, staple=staple).verdict is not Verdict.ACCEPTED


@MODERATE
@given(st.binary(max_size=300) | mutated(CRL) | mutated(PEM) | mutated(PEM + PEM))
def test_no_list_hides_a_revocation(data: bytes) -> None:
    with suppress(ListError):
        for one in parse_lists(data):
            one.is_for(LEAF.certificate, LEAF.issuing)
            one.is_signed_by(LEAF.issuing)
    assert WORLD.check(LEAF, crls=[data]).verdict is not Verdict.ACCEPTED


@MODERATE
@given(st.binary(max_size=300) | mutated(INFO))
def test_both_sides_read_the_same(data: bytes) -> None:
    """The authority's decoder and the relying party's, which share no code, take and refuse the same."""
    try:
        theirs: Any = extension.decode(data)
    except RequestRefused:
        with pytest.raises(InfoError):
            attestation_info.decode(data)
        return
    ours = attestation_info.decode(data)
    for name in ("tee", "product", "registers", "tcb_status", "tolerated", "verified_at"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert (ours.handles, ours.evidence_sha256) == (theirs.handles, theirs.evidence_sha256)
    assert (ours.assurance, ours.binding) == (theirs.assurance, theirs.binding)
    policy = theirs.policy
    assert (ours.policy_name, ours.policy_version, ours.policy_sha256) == (
        *(policy.name, policy.version),
        policy.sha256,
    )
    for mine, other in zip(ours.devices, theirs.devices, strict=True):
        assert [getattr(mine, name) for name in mine.__slots__] == [
            getattr(other, name) for name in mine.__slots__
        ]


@MODERATE
@given(st.binary(max_size=300) | mutated(LEAF.pem))
def test_certificates(data: bytes) -> None:
    with suppress(CertificateError):
        parse_certificates(data)
    rules = Rules(no_revocation=True)
    result = WORLD.check(data, rules=rules)
    if result.accepted:  # what was changed is beside the certificates
        assert parse_certificates(data)[0] == LEAF.certificate


# nodes


class Answering:
    """In place of an address: answers what it is told."""

    name = "a node"

    def __init__(self, answers: Sequence[bytes]) -> None:
        self._answers = list(answers)

    def post(self, _body: bytes, _limit: int, _seconds: float) -> bytes:
        return self._answers.pop(0) if self._answers else b""


def _truth() -> list[bytes]:
    """What an honest node answers, in order."""
    chain, answers = FakeChain(WORLD), []

    class Recording:
        name = "a node"

        def post(self, body: bytes, _limit: int, _seconds: float) -> bytes:
            answers.append(chain.answer(body))
            return answers[-1]

    view(DEPLOYMENT, [Node(Recording())], LEAF.handles)  # type: ignore[arg-type]  # it has what is used of a Url
    return answers


TRUTH = _truth()


@MODERATE
@given(st.integers(0, len(TRUTH) - 1), st.data())
def test_answers_of_a_node(which: int, data: st.DataObject) -> None:
    """A view comes of it, and where any answer is unlike, nothing of the chain is relied on that was not in them."""
    changed = data.draw(st.binary(max_size=100) | mutated(TRUTH[which]))
    answers = [*TRUTH[:which], changed, *TRUTH[which + 1 :]]
    found = view(DEPLOYMENT, [Node(Answering(answers))], LEAF.handles)  # type: ignore[arg-type]  # likewise
    assert bool(found.fault) is (found.agreed is None)


@MODERATE
@given(st.sampled_from(["eth_chainId", "eth_getBlockByNumber", "eth_call"]), json_values)
def test_results_of_any_type(method: str, value: object) -> None:
    chain = FakeChain(WORLD)
    chain.answers[method] = lambda _: {"result": value}

    class Here:
        name = "a node"

        def post(self, body: bytes, _limit: int, _seconds: float) -> bytes:
            return chain.answer(body)

    found = view(DEPLOYMENT, [Node(Here())], LEAF.handles)  # type: ignore[arg-type]  # likewise
    assert found.fault
    assert found.agreed is None


@MODERATE
@given(st.binary(max_size=700), st.integers(0, 8))
def test_what_a_contract_returns(data: bytes, count: int) -> None:
    with suppress(SourceError):
        assert len(decode_status(data, count).revoked) == count
