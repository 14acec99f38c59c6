# SPDX-License-Identifier: Apache-2.0
"""R-61, Google's vTPM: what is remembered never changes a verdict. Dates, lists and quotes count at every use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.amd_keys import SHARED
from simulator.google_certificates import Pkcs1
from simulator.pki import pem
from simulator.vtpm import FakeTpm
from tests.google_lab import CERTIFICATE, GoogleLab, root_of
from tests.snp_lab import BINDING, NOW
from tests.tdx_lab import clear_caches
from verifiers import registry
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.vtpm import certified

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.anchors import Anchors
    from verifiers.claims import Claims
    from verifiers.evidence import Evidence

DAY = timedelta(days=1)
INSTANTS = [NOW + days * DAY for days in (0, -2, -70, 29, 31, 365 * 40)]


@dataclass(frozen=True)
class Exhibit:
    """All that a verdict depends on."""

    pieces: tuple[Evidence, ...]
    bundle: bytes
    anchors: Anchors
    at: datetime

    def outcome(self) -> Reason | Verdict:
        judgement = judged(self)
        return judgement[0] if isinstance(judgement, tuple) else Verdict.VERIFIED


def judged(exhibit: Exhibit) -> Claims | tuple[Reason, str, bool]:
    """The whole verdict, every field of it."""
    try:
        parsed = registry.parse(exhibit.pieces)
        endorsements = registry.parse_bundle(parsed, exhibit.bundle)
        return registry.verify(parsed, endorsements, exhibit.anchors, BINDING, exhibit.at)
    except VerificationError as error:
        return error.reason, error.detail, error.authentic


def pieces_of(lab: GoogleLab) -> list[tuple[Evidence, ...]]:
    """Evidence of one machine with each certificate of its key: right, in another form, another's, a forged one."""
    other = lab.google.certify(FakeTpm.create("another vtpm").ak.spki, lab.vm.instance)
    forged = replace(lab.vm.ak, signer=Pkcs1(SHARED.get("stranger Google root", 2048)))
    both = pem(lab.vm.ak.der, lab.google.intermediate().der).encode()
    found = []
    for certificate in (lab.vm.ak.der, both, other.der, forged.der, lab.vm.ek.der):
        lab.piece(CERTIFICATE, certificate)
        found.append(lab.pieces())
    return found


def bundles_of(lab: GoogleLab) -> list[bytes]:
    """Collateral: with the list, without, with one that is spoiled, and as it was revoked last of all."""
    found = [lab.bundle()]
    lab.listed = False
    found.append(lab.bundle())
    lab.listed, crl = True, lab.google.crl
    crl.edit = lambda right: right[:-1] + bytes([right[-1] ^ 1])
    found.append(lab.bundle())
    crl.edit = bytes
    crl.revoke(lab.google.intermediate().spec.serial)
    return [*found, lab.bundle()]


def world() -> tuple[list[tuple[Evidence, ...]], list[bytes], list[Anchors]]:
    """(evidence, bundles, anchors)."""
    lab = GoogleLab.td()
    anchors = lab.anchors()
    unknowing = replace(anchors, google=root_of(lab.google, knowing=False))
    return pieces_of(lab), bundles_of(lab), [anchors, unknowing, replace(anchors, google=None)]


PIECES, BUNDLES, ANCHORS = world()
EXHIBITS = st.builds(
    Exhibit,
    st.sampled_from(PIECES),
    st.sampled_from(BUNDLES),
    st.sampled_from(ANCHORS),
    st.sampled_from(INSTANTS),
)


@settings(max_examples=40, deadline=None)
@given(shown=st.lists(EXHIBITS, min_size=2, max_size=12))
def test_the_cached_verdict_is_the_uncached_one(shown: list[Exhibit]) -> None:
    apart = []
    for exhibit in shown:
        clear_caches()
        apart.append(judged(exhibit))
    clear_caches()
    for _ in range(2):
        assert [judged(exhibit) for exhibit in shown] == apart


def test_many_outcomes_take_part() -> None:
    """The property above would be idle if all exhibits ended alike."""
    outcomes = {
        Exhibit(pieces, bundle, anchors, at).outcome()
        for pieces in PIECES
        for bundle in BUNDLES
        for anchors in ANCHORS
        for at in INSTANTS
    }
    assert outcomes >= {
        Verdict.VERIFIED,
        Reason.CHAIN,
        Reason.UNTRUSTED_ROOT,
        Reason.SIGNATURE,
        Reason.CERTIFICATE_EXPIRED,
        Reason.CERTIFICATE_NOT_YET_VALID,
        Reason.CERTIFICATE_REVOKED,
        Reason.COLLATERAL_NOT_YET_VALID,
        Reason.CRL_INVALID,
    }


def test_only_successes_are_remembered_and_no_text_around_them() -> None:
    """Nobody can fill the memory with certificates of his own, or with white space around genuine ones."""
    clear_caches()
    lab = GoogleLab.td()
    lab.knowing = False
    text = pem(lab.vm.ak.der, lab.google.intermediate().der)
    for spaces in range(5):
        between = "\n" * spaces
        lab.piece(CERTIFICATE, text.replace("-\n-", f"-{between}-").encode())
        assert lab.verify().gce is not None
    lab.vm.ak.signer = Pkcs1(SHARED.get("stranger Google root", 2048))
    for serial in range(1, 5):
        lab.vm.ak.alter(serial=serial)
        lab.piece(CERTIFICATE, pem(lab.vm.ak.der, lab.google.intermediate().der).encode())
        assert lab.refused().reason is Reason.CHAIN
    assert certified._authenticated.cache_info().currsize == 1


@pytest.fixture
def warm() -> GoogleLab:
    """A lab whose certificate and list have just been accepted."""
    clear_caches()
    lab = GoogleLab.td()
    lab.verify()
    return lab


def test_a_later_list_revokes_a_remembered_authority(warm: GoogleLab) -> None:
    warm.google.crl.revoke(warm.google.intermediate().spec.serial)
    assert warm.refused().reason is Reason.CERTIFICATE_REVOKED


def test_another_quote_under_a_remembered_certificate(warm: GoogleLab) -> None:
    warm.vm.tpm = FakeTpm.create("another vtpm")
    assert warm.refused().reason is Reason.SIGNATURE


def test_what_one_root_vouches_for_another_does_not(warm: GoogleLab) -> None:
    """One whose certificate differs in nothing but its serial number is another root; its key is the same."""
    warm.google.root.alter(serial=9)
    assert warm.verify().gce is not None
    assert certified._authenticated.cache_info().currsize == 2
