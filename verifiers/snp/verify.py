# SPDX-License-Identifier: Apache-2.0
"""`verify` is the specification: what must hold before an SEV-SNP report is believed, in the order of the trust chain.

Source: AMD publications 56860 (report), 57230 and 58369 (certificates); Azure's HCL report. What the evidence itself
must be comes first, so that a forgery is `rejected` whatever revocation list is at hand; then the binding; then AMD's
list and what no firmware of AMD's would say. Policy questions (debug, VMPL, VLEK, TCB floors, an unknown revocation, a
list past its date) are not answered here: the claims say what is the case.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, NamedTuple

from verifiers.endorsements import PartValidity, Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Provider
from verifiers.snp.claims import GuestPolicyBit, PlatformBit, SnpClaims
from verifiers.snp.crl import verify_crl
from verifiers.snp.report import report_tcb
from verifiers.snp.signer import authenticate, check_company, hierarchy_of
from verifiers.vtpm.paravisor import check_bound, vouched_for

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.amd import AmdAuthority
    from verifiers.anchors import Anchors
    from verifiers.evidence import Binding, Product
    from verifiers.snp.claims import TcbVersion
    from verifiers.snp.endorsements import SnpEndorsements
    from verifiers.snp.evidence import SnpEvidence
    from verifiers.snp.report import SnpReport
    from verifiers.snp.signer import Signer
    from verifiers.vtpm.claims import HclClaims, TpmClaims

_GUEST_POLICY_BITS: Final = {
    16: GuestPolicyBit.SMT,
    18: GuestPolicyBit.MIGRATE_MA,
    19: GuestPolicyBit.DEBUG,
    20: GuestPolicyBit.SINGLE_SOCKET,
    21: GuestPolicyBit.CXL,
    22: GuestPolicyBit.MEM_AES_256_XTS,
    23: GuestPolicyBit.RAPL_DIS,
    24: GuestPolicyBit.CIPHERTEXT_HIDING,
    25: GuestPolicyBit.PAGE_SWAP_DISABLE,
}
_PLATFORM_BITS: Final = dict(enumerate(PlatformBit))  # bits 0 to 7, in order


def verify(
    evidence: SnpEvidence,
    endorsements: SnpEndorsements,
    anchors: Anchors,
    binding: Binding | None,
    now: datetime,
) -> SnpClaims:
    """Verify one attester's evidence.

    Args:
        evidence: parsed, trusted by nobody.
        endorsements: AMD's collateral as received; without a certificate nothing is verified, without a revocation
            list the claims say so.
        anchors: the roots that count.
        binding: what the evidence must carry; None only where nothing is issued (offline inspection).
        now: the instant to judge at, timezone-aware.

    Raises:
        VerificationError: with the first fault found.
    """
    # 1 the authorities of this product line; who poses as one beside the report must be it
    vek, hierarchy = endorsements.vek, hierarchy_of(evidence.report, endorsements.vek, anchors)
    check_company(evidence, vek, hierarchy, _listed(endorsements, hierarchy.ark))
    # 2 the report is signed by a key that they certified for this chip and TCB
    if vek is None:
        raise VerificationError(
            Reason.INCOMPLETE, "the endorsement certificate (VCEK or VLEK) is missing"
        )
    signer = authenticate(evidence.report, vek, hierarchy)
    _check_validity(signer, now)
    # 3 on Azure, the paravisor's data and the vTPM's quote are what the report vouches for
    hcl, tpm = _check_vtpm(evidence)
    # 4 it binds what it must bind
    if binding is not None:
        _check_binding(evidence, tpm, binding)
    # from here on the evidence is authentic, and a fault says so
    try:
        # 5 AMD's revocation list
        crl = _check_revocation(endorsements, signer, now)
        # 6 the four TCB versions are in the order in which firmware keeps them
        tcbs = _check_tcbs(evidence.report, hierarchy.product)
    except VerificationError as error:
        error.authentic = True
        raise
    facts = _Facts(signer, hcl, tpm, crl, tcbs)
    return _claims(evidence, endorsements, facts, (now, binding is not None))


def _listed(endorsements: SnpEndorsements, ark: AmdAuthority) -> frozenset[int]:
    """Serial numbers on the revocation list, if there is an authentic one; whether it must be is judged later."""
    if endorsements.crl is None:
        return frozenset()
    try:
        return verify_crl(endorsements.crl, ark).serials
    except VerificationError:
        return frozenset()


def _check_validity(signer: Signer, now: datetime) -> None:
    """Demand that `now` lies within the dates of the three certificates, ends included."""
    vek = signer.vek.claims
    for name, not_before, not_after in (
        (f"the {vek.kind.upper()}", vek.not_before, vek.not_after),
        *(
            (one.common_name, one.not_before, one.not_after)
            for one in (signer.authority, signer.hierarchy.ark)
        ),
    ):
        if now < not_before:
            raise VerificationError(
                Reason.CERTIFICATE_NOT_YET_VALID, f"{name} is valid from {not_before.isoformat()}"
            )
        if now > not_after:
            raise VerificationError(
                Reason.CERTIFICATE_EXPIRED, f"{name} ended {not_after.isoformat()}"
            )


def _check_vtpm(evidence: SnpEvidence) -> tuple[HclClaims | None, TpmClaims | None]:
    if evidence.hcl is None:
        return None, None
    return vouched_for(evidence.report.body.report_data, evidence.hcl, evidence.tpm)


def _check_binding(evidence: SnpEvidence, tpm: TpmClaims | None, binding: Binding) -> None:
    """report_data of the report, whole; where a paravisor owns that, extraData of the vTPM's quote."""
    if evidence.provider is Provider.AZURE:
        check_bound(tpm, binding.tpm_extra)
    elif not compare_digest(evidence.report.body.report_data, binding.report_data):
        raise VerificationError(
            Reason.BINDING_MISMATCH, "report_data is not the binding of this nonce, key and profile"
        )


def _check_revocation(
    endorsements: SnpEndorsements, signer: Signer, now: datetime
) -> tuple[PartValidity, ...]:
    """The window of the list, if there is one. Past its next update is a fact for the policy."""
    if endorsements.crl is None:
        return ()
    crl, authority = verify_crl(endorsements.crl, signer.hierarchy.ark), signer.authority
    if now < crl.this_update:
        raise VerificationError(
            Reason.COLLATERAL_NOT_YET_VALID,
            f"the CRL was issued later, at {crl.this_update.isoformat()}",
        )
    if authority.serial_number in crl.serials:
        raise VerificationError(
            Reason.CERTIFICATE_REVOKED, f"{authority.common_name} is revoked by AMD"
        )
    expired = crl.next_update if now > crl.next_update else None
    return (PartValidity("crl", crl.this_update, crl.next_update, expired),)


def _check_tcbs(report: SnpReport, product: Product) -> _Tcbs:
    """Every component: reported <= committed <= current, and launch <= current."""
    tcbs = _Tcbs(
        *(
            report_tcb(raw, product)
            for raw in (
                report.reported_tcb,
                report.committed_tcb,
                report.current_tcb,
                report.launch_tcb,
            )
        )
    )
    if not (
        tcbs.committed.covers(tcbs.reported)
        and tcbs.current.covers(tcbs.committed)
        and tcbs.current.covers(tcbs.launch)
    ):
        raise VerificationError(
            Reason.TCB_INCONSISTENT,
            "not reported TCB <= committed <= current and launch <= current: "
            + ", ".join(tcb.raw.hex() for tcb in tcbs),
        )
    return tcbs


class _Tcbs(NamedTuple):
    reported: TcbVersion
    committed: TcbVersion
    current: TcbVersion
    launch: TcbVersion


class _Facts(NamedTuple):
    """What the steps of `verify` found."""

    signer: Signer
    hcl: HclClaims | None
    tpm: TpmClaims | None
    crl: tuple[PartValidity, ...]
    tcbs: _Tcbs


def _claims(
    evidence: SnpEvidence,
    endorsements: SnpEndorsements,
    facts: _Facts,
    judged: tuple[datetime, bool],
) -> SnpClaims:
    now, bound = judged
    report, signer, tcbs = evidence.report, facts.signer, facts.tcbs
    certificates_expire = min(
        signer.vek.claims.not_after, signer.authority.not_after, signer.hierarchy.ark.not_after
    )
    return SnpClaims(
        provider=evidence.provider,
        product=signer.hierarchy.product,
        cpu=report.cpu,
        report=report.body,
        guest_policy=frozenset(
            name for bit, name in _GUEST_POLICY_BITS.items() if report.body.policy >> bit & 1
        ),
        platform=frozenset(
            name for bit, name in _PLATFORM_BITS.items() if report.body.platform_info >> bit & 1
        ),
        reported_tcb=tcbs.reported,
        committed_tcb=tcbs.committed,
        current_tcb=tcbs.current,
        launch_tcb=tcbs.launch,
        vek=signer.vek.claims,
        hcl=facts.hcl,
        tpm=facts.tpm,
        revocation=Revocation.GOOD if facts.crl else Revocation.NOT_CHECKED,
        collateral=facts.crl,
        certificates_expire=certificates_expire,
        expires=min((certificates_expire, *(part.next_update for part in facts.crl))),
        bound=bound,
        evidence_sha256=sha256(evidence.raw).digest(),
        collateral_sha256=endorsements.sha256,
        verified_at=now,
    )
