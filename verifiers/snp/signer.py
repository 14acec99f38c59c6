# SPDX-License-Identifier: Apache-2.0
"""Who signed a report: product line, pinned authorities, endorsement certificate, chip, TCB, and the signature itself.

Everything here holds or not whatever the time and whatever AMD revokes; so it is asked before anything is fetched, too.
Source: AMD publications 56860, 57230, 58369.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifiers.errors import Reason, VerificationError
from verifiers.signatures import p384_verifies
from verifiers.snp.certificates import check_authorities
from verifiers.snp.claims import SigningKey
from verifiers.snp.report import report_tcb
from verifiers.snp.vek import authority_of, check_fits, read_vek, verify_vek

if TYPE_CHECKING:
    from verifiers.amd import AmdAuthority, AmdHierarchy
    from verifiers.anchors import Anchors
    from verifiers.evidence import Product
    from verifiers.snp.evidence import SnpEvidence
    from verifiers.snp.report import SnpReport
    from verifiers.snp.vek import Vek


@dataclass(frozen=True, slots=True)
class Signer:
    """Who has signed a report. `authority`: the ASK or ASVK of `hierarchy` that issued `vek`."""

    hierarchy: AmdHierarchy
    authority: AmdAuthority
    vek: Vek


def hierarchy_of(report: SnpReport, vek: bytes | None, anchors: Anchors) -> AmdHierarchy:
    """The pinned authorities of the report's product line: by CPUID, or in version 2 by the issuer of `vek`.

    Raises:
        VerificationError: `product-unknown`, `untrusted-root` for a product line without pinned authorities,
            `incomplete` where nothing says which it is, `chain` for a certificate that cannot be read.
    """
    product = report.product or _product_of_issuer(vek)
    hierarchy = anchors.amd_hierarchy(product)
    if hierarchy is None:
        raise VerificationError(Reason.UNTRUSTED_ROOT, f"no root of AMD {product} is pinned")
    return hierarchy


def authenticate(report: SnpReport, vek: bytes, hierarchy: AmdHierarchy) -> Signer:
    """Check that `vek` is a certificate of this product line for this chip and TCB, and that its key signed the report.

    Raises:
        VerificationError: `endorsement-mismatch`, `chain`, `malformed`, `signature`.
    """
    kind = report.signing_key
    verified = verify_vek(vek, kind, hierarchy)
    _check_chip(report, verified)
    _check_tcb(report, verified, hierarchy.product)
    if not p384_verifies(verified.public_key, report.r, report.s, report.signed):
        raise VerificationError(
            Reason.SIGNATURE, f"the report is not signed by the key of this {kind.upper()}"
        )
    return Signer(hierarchy, authority_of(hierarchy, kind), verified)


def check_company(
    evidence: SnpEvidence,
    vek: bytes | None,
    hierarchy: AmdHierarchy,
    revoked: frozenset[int] = frozenset(),
) -> None:
    """Demand that certificates which came along as authorities are the pinned ones.

    A certificate `vek` of another kind or product line is named first, for its authorities do not fit then either.

    Raises:
        VerificationError: `endorsement-mismatch`; what `check_authorities` raises.
    """
    if evidence.authorities:
        kind = evidence.report.signing_key
        if vek is not None:
            check_fits(read_vek(vek), kind, hierarchy)
        check_authorities(evidence.authorities, hierarchy, kind, revoked)


def check_chip_id(report: SnpReport) -> None:
    """Demand that a report signed by a chip's own key names the chip. Raises `endorsement-mismatch`."""
    if report.signing_key is SigningKey.VCEK and not any(report.body.chip_id):
        raise VerificationError(
            Reason.ENDORSEMENT_MISMATCH, "the report hides the chip (CHIP_ID is zero)"
        )


def _product_of_issuer(vek: bytes | None) -> Product:
    if vek is None:
        raise VerificationError(
            Reason.INCOMPLETE,
            "a version 2 report does not name its product: send the VCEK with it",
        )
    product = read_vek(vek).issuer_product
    if product is None:
        raise VerificationError(
            Reason.PRODUCT_UNKNOWN, "the certificate's issuer is named for no known product line"
        )
    return product


def _check_chip(report: SnpReport, vek: Vek) -> None:
    """CHIP_ID is the hardware id of a VCEK, and zero behind it where that is shorter (Turin)."""
    check_chip_id(report)
    hwid = vek.claims.hwid
    if hwid is not None and report.body.chip_id != hwid.ljust(64, b"\x00"):
        raise VerificationError(
            Reason.ENDORSEMENT_MISMATCH, "the VCEK is of another chip than the report"
        )


def _check_tcb(report: SnpReport, vek: Vek, product: Product) -> None:
    """Only REPORTED_TCB is what the signing key was derived from."""
    reported = report_tcb(report.reported_tcb, product)
    if reported != vek.claims.tcb:
        raise VerificationError(
            Reason.ENDORSEMENT_MISMATCH,
            f"the certificate is for TCB {vek.claims.tcb.raw.hex()},"
            f" the report says {report.reported_tcb.hex()}",
        )
