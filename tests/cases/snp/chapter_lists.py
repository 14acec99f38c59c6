# SPDX-License-Identifier: Apache-2.0
"""Lines 17 to 20: dates, and the revocation list."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from simulator import amd_certificates
from tests.cases.snp import case
from tests.cases.snp.case import (
    VERIFIED,
    Case,
    both,
    real,
    turned,
    vlek,
    with_crl,
)
from tests.cases.snp.chapter_chain import beside_real, crl_signed
from tests.snp_lab import NOW, SnpLab
from verifiers.endorsements import Revocation
from verifiers.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cases.snp.case import Alteration
    from verifiers.snp.claims import SnpClaims

REVOKED = Reason.CERTIFICATE_REVOKED
EXPIRED, EARLY = Reason.CERTIFICATE_EXPIRED, Reason.CERTIFICATE_NOT_YET_VALID
CRL_INVALID = Reason.CRL_INVALID
SECOND = timedelta(seconds=1)


def at_the_end(seconds: int, *, start: bool = False) -> Alteration:
    def make(lab: SnpLab) -> None:
        spec = lab.vek.spec
        lab.at = (spec.not_before if start else spec.not_after) + seconds * SECOND

    return make


def authority_dates(role: str, **dates: object) -> Alteration:
    def make(lab: SnpLab) -> None:
        getattr(lab.line, role).alter(**dates)

    return make


def listed(role: str, kind: str = "vcek") -> Alteration:
    """An authority's serial number on the list of the ARK."""

    def make(lab: SnpLab) -> None:
        lab.report(signing_key=kind)
        lab.line.crl(kind).revoke(getattr(lab.line, role).spec.serial)

    return make


def crl(**changes: object) -> Alteration:
    return lambda lab: lab.line.vcek_crl.alter(**changes)


def state(expected: Revocation) -> Callable[[SnpClaims], object]:
    return lambda claims: claims.revocation is expected


def stale(claims: SnpClaims) -> object:
    (part,) = claims.collateral
    return (part.part, part.expired_since) == ("crl", part.next_update)


DATES = (
    Case(
        17,
        "VCEK at its notBefore",
        VERIFIED,
        both(crl(this_update=NOW - timedelta(days=90)), at_the_end(0, start=True)),
    ),
    Case(17, "VCEK a second before", EARLY, at_the_end(-1, start=True)),
    Case(17, "VCEK at its notAfter", VERIFIED, at_the_end(0)),
    Case(17, "VCEK a second after", EXPIRED, at_the_end(1)),
    Case(17, "VLEK at its notAfter", VERIFIED, both(vlek, at_the_end(0))),
    Case(17, "VLEK a second after", EXPIRED, both(vlek, at_the_end(1))),
    Case(17, "VLEK a second before", EARLY, both(vlek, at_the_end(-1, start=True))),
    Case(17, "ASK ended", EXPIRED, authority_dates("ask", not_after=NOW - SECOND)),
    Case(17, "ASK ends now", VERIFIED, authority_dates("ask", not_after=NOW)),
    Case(17, "ASK not yet valid", EARLY, authority_dates("ask", not_before=NOW + SECOND)),
    Case(17, "ARK ended", EXPIRED, authority_dates("ark", not_after=NOW - SECOND)),
    Case(17, "ARK not yet valid", EARLY, authority_dates("ark", not_before=NOW + SECOND)),
    Case(17, "ASVK ended", EXPIRED, both(vlek, authority_dates("asvk", not_after=NOW - SECOND))),
    Case(
        17,
        "ASVK ended, which a VCEK does not need",
        VERIFIED,
        authority_dates("asvk", not_after=NOW - SECOND),
    ),
)


LISTS = (
    Case(18, "an empty list", VERIFIED, lambda _: None, state(Revocation.GOOD)),
    Case(18, "the ASK is listed", REVOKED, listed("ask")),
    Case(18, "the ASVK is listed", REVOKED, listed("asvk", "vlek")),
    Case(18, "the ASVK is listed, which signed nothing here", VERIFIED, listed("asvk")),
    Case(18, "the ASK is listed, which signed nothing here", VERIFIED, listed("ask", "vlek")),
    Case(
        18,
        "serial number 0 is listed, which every leaf has",
        VERIFIED,
        lambda lab: lab.line.vcek_crl.revoke(0),
        state(Revocation.GOOD),
    ),
    Case(
        18,
        "no list: not checked",
        VERIFIED,
        lambda lab: lab.edit(crl=None),
        state(Revocation.NOT_CHECKED),
    ),
    Case(
        18,
        "real: the revoked Genoa ASK, with AMD's list",
        REVOKED,
        both(
            beside_real("genoa-v2-google", "genoa_ask_revoked_020001.pem", "genoa_ark.pem"),
            with_crl("genoa_crl_20221031.der"),
        ),
    ),
    Case(
        19,
        "signed by a stranger",
        CRL_INVALID,
        crl_signed(lambda lab: lab.stranger().line("Genoa").ark.key),
    ),
    Case(19, "signed by the ASK", CRL_INVALID, crl_signed(lambda lab: lab.line.ask.key)),
    Case(
        19,
        "of another line",
        CRL_INVALID,
        lambda lab: lab.edit(crl=lab.amd.line("Milan").vcek_crl.der),
    ),
    Case(
        19,
        "in the name of another line",
        CRL_INVALID,
        crl(issuer=amd_certificates.name("ARK-Milan")),
    ),
    Case(19, "in the name of the ASK", CRL_INVALID, crl(issuer=amd_certificates.name("SEV-Genoa"))),
    Case(
        19,
        "one bit of it",
        CRL_INVALID,
        lambda lab: lab.edit(crl=turned(60)),
    ),
    *(
        Case(19, f"a list of version {version}", CRL_INVALID, crl(version=version))
        for version in (1, 3)
    ),
    Case(19, "no bytes", CRL_INVALID, lambda lab: lab.edit(crl=b"")),
    Case(19, "a certificate in its place", CRL_INVALID, lambda lab: lab.edit(crl=lab.line.ark.der)),
    Case(
        19,
        "real: Genoa's list beside Milan",
        CRL_INVALID,
        both(real(case.PLAIN), with_crl("genoa_crl_20221031.der")),
    ),
    Case(20, "thisUpdate is now", VERIFIED, crl(this_update=NOW)),
    Case(
        20,
        "thisUpdate is a second away",
        Reason.COLLATERAL_NOT_YET_VALID,
        crl(this_update=NOW + SECOND),
    ),
    Case(20, "nextUpdate is now", VERIFIED, crl(next_update=NOW), lambda c: not c.expired_parts),
    Case(
        20,
        "nextUpdate was a second ago: shown to the policy",
        VERIFIED,
        crl(next_update=NOW - SECOND),
        stale,
    ),
    Case(20, "nextUpdate is missing", CRL_INVALID, crl(next_update=None)),
    Case(
        20,
        "real: a stale list is shown to the policy",
        VERIFIED,
        both(real(case.PLAIN), with_crl("milan_crl_20220509.der")),
        stale,
    ),
)


CASES = (*DATES, *LISTS)
