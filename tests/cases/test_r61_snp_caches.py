# SPDX-License-Identifier: Apache-2.0
"""R-61, SEV-SNP: what is remembered never changes a verdict. Dates and lists count at every use."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.snp_lab import NOW, SnpLab, anchors
from tests.tdx_lab import clear_caches
from verifiers.errors import Reason, Verdict, VerificationError

if TYPE_CHECKING:
    from tests.snp_lab import SnpExhibit
    from verifiers.anchors import Anchors
    from verifiers.evidence import Evidence
    from verifiers.snp.claims import SnpClaims

DAY = timedelta(days=1)
INSTANTS = [NOW + days * DAY for days in (0, -1, -2, -100, 200, 500, 3000)]


def labs() -> list[SnpLab]:
    """Machines of two product lines, one signed for by a provider, one whose report was changed."""
    vcek, turin, vlek, forged = (
        SnpLab.create(name) for name in ("Genoa", "Turin", "Genoa", "Genoa")
    )
    vlek.report(signing_key="vlek")
    forged.flip(0x90)
    return [vcek, turin, vlek, forged]


def bundles(lab: SnpLab) -> list[bytes | None]:
    """Collateral of one machine, each different in one way; as it was revoked last of all."""
    found: list[bytes | None] = [None, lab.bundle()]
    lab.edit(crl=None)
    found.append(lab.bundle())
    lab.edit(crl=lambda right: right[:-1] + bytes([right[-1] ^ 1]))
    found.append(lab.bundle())
    lab.edits.clear()
    issuer = lab.line.issuer(lab.signing_key)
    lab.line.crl(lab.signing_key).revoke(issuer.spec.serial)
    found.append(lab.bundle())
    return found


def world() -> tuple[list[tuple[Evidence, ...]], list[bytes | None], list[Anchors]]:
    """(evidence, bundles, anchors), mixed without regard to whose they are."""
    made = labs()
    first = made[0]
    trusted = [anchors(first.amd, "Genoa", "Turin"), anchors(first.stranger(), "Genoa", "Turin")]
    pieces = [lab.evidence() for lab in made]
    return pieces, [bundle for lab in made for bundle in bundles(lab)], trusted


PIECES, BUNDLES, ANCHORS = world()
TEMPLATE = SnpLab.create("Genoa").exhibit()
EXHIBITS = st.builds(
    lambda *parts: replace(
        TEMPLATE, **dict(zip(("pieces", "bundle", "anchors", "at"), parts, strict=True))
    ),
    st.sampled_from(PIECES),
    st.sampled_from(BUNDLES),
    st.sampled_from(ANCHORS),
    st.sampled_from(INSTANTS),
)


def judged(exhibit: SnpExhibit) -> SnpClaims | tuple[Reason, str, bool]:
    """The whole verdict, every field of it."""
    try:
        return exhibit.verify()
    except VerificationError as error:
        return error.reason, error.detail, error.authentic


@settings(max_examples=40, deadline=None)
@given(shown=st.lists(EXHIBITS, min_size=2, max_size=12))
def test_the_cached_verdict_is_the_uncached_one(shown: list[SnpExhibit]) -> None:
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
        replace(TEMPLATE, pieces=pieces, bundle=bundle, anchors=ANCHORS[0], at=at).outcome()
        for pieces in PIECES
        for bundle in BUNDLES
        for at in INSTANTS
    }
    assert outcomes >= {
        Verdict.VERIFIED,
        Reason.SIGNATURE,
        Reason.INCOMPLETE,
        Reason.ENDORSEMENT_MISMATCH,
        Reason.CERTIFICATE_EXPIRED,
        Reason.CERTIFICATE_NOT_YET_VALID,
        Reason.CERTIFICATE_REVOKED,
        Reason.COLLATERAL_NOT_YET_VALID,
        Reason.CRL_INVALID,
    }


@pytest.fixture
def warm() -> SnpLab:
    """A lab whose certificate and list have just been accepted."""
    clear_caches()
    lab = SnpLab.create("Genoa")
    assert lab.exhibit().outcome() is Verdict.VERIFIED
    return lab


def test_a_later_list_revokes_a_remembered_certificate(warm: SnpLab) -> None:
    warm.line.vcek_crl.revoke(warm.line.ask.spec.serial)
    assert warm.exhibit().outcome() is Reason.CERTIFICATE_REVOKED


def test_time_ends_a_remembered_certificate(warm: SnpLab) -> None:
    warm.later(days=8 * 365)
    assert warm.exhibit().outcome() is Reason.CERTIFICATE_EXPIRED


def test_time_ends_a_remembered_list(warm: SnpLab) -> None:
    warm.later(days=366)
    (part,) = warm.exhibit().verify().expired_parts
    assert part.part == "crl"


def test_what_one_authority_vouches_for_another_does_not(warm: SnpLab) -> None:
    other = replace(warm.exhibit(), anchors=anchors(warm.stranger(), "Genoa"))
    assert other.outcome() is Reason.CHAIN
    assert warm.exhibit().outcome() is Verdict.VERIFIED


def test_a_remembered_certificate_must_still_have_signed(warm: SnpLab) -> None:
    warm.flip(0x90)
    assert warm.exhibit().outcome() is Reason.SIGNATURE
