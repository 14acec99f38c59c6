# SPDX-License-Identifier: Apache-2.0
"""`verify` is the specification: what must hold before a TDX quote is believed, in the order of the trust chain.

Source: Intel QVL QuoteVerifier.cpp (numbered 4.1.2.5 there). Signatures of the evidence come first, so that a forged
quote is `rejected` whatever collateral is at hand; then Intel's statements; then what they say of this platform.
Policy questions (debug, SEPT_VE_DISABLE, OutOfDate, expired collateral within a budget) are not answered here: the
claims say what is the case.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from verifiers.chain import check_not_revoked, check_validity
from verifiers.endorsements import PartValidity, Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.signatures import p256_point, p256_verifies
from verifiers.tdx.claims import QeClaims, TdAttribute, TdxClaims
from verifiers.tdx.collateral import Collateral, authenticate
from verifiers.tdx.pck import PckChain, verify_pck_chain
from verifiers.tdx.tcb import evaluate

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.anchors import Anchors
    from verifiers.tcb import TcbReport
    from verifiers.tdx.endorsements import TdxEndorsements
    from verifiers.tdx.quote import SgxReport, TdxQuote

# Bit numbers of td_attributes (Intel TDX module ABI 348551-008US, table 3.23); every other bit is reserved.
_ATTRIBUTE_BITS: Final = {
    0: TdAttribute.DEBUG,
    4: TdAttribute.PROFILING_4,
    5: TdAttribute.PROFILING_5,
    6: TdAttribute.PROFILING_6,
    16: TdAttribute.ICSSD,
    17: TdAttribute.SERVTD_EXT,
    18: TdAttribute.BIT_18,
    19: TdAttribute.BIT_19,
    20: TdAttribute.BIT_20,
    21: TdAttribute.BIT_21,
    22: TdAttribute.BIT_22,
    27: TdAttribute.LASS,
    28: TdAttribute.SEPT_VE_DISABLE,
    29: TdAttribute.MIGRATABLE,
    30: TdAttribute.PKS,
    31: TdAttribute.KL,
    62: TdAttribute.TPA,
    63: TdAttribute.PERFMON,
}
_NAMED_BITS: Final = sum(1 << bit for bit in _ATTRIBUTE_BITS)
_SGX_FLAG_DEBUG: Final = 0x02


def verify(
    quote: TdxQuote,
    endorsements: TdxEndorsements,
    anchors: Anchors,
    binding: bytes | None,
    now: datetime,
) -> TdxClaims:
    """Verify one quote.

    Args:
        quote: parsed, trusted by nobody.
        endorsements: Intel's collateral as received; parts may be missing.
        anchors: the roots that count.
        binding: the 64 bytes that report_data must be; None only where nothing is issued (offline inspection).
        now: the instant to judge at, timezone-aware.

    Raises:
        VerificationError: with the first fault found.
    """
    pck = authenticate_quote(quote, anchors, now)
    if binding is not None and not compare_digest(quote.td.report_data, binding):
        raise VerificationError(
            Reason.BINDING_MISMATCH, "report_data is not the binding of this nonce, key and profile"
        )
    return judge(quote, pck, endorsements, anchors, (now, binding is not None))


def authenticate_quote(quote: TdxQuote, anchors: Anchors, now: datetime) -> PckChain:
    """The first half of `verify`: a TD of a genuine platform made this quote.

    Raises:
        VerificationError: with the first fault found.
    """
    # 1 the platform: PCK chain to the pinned root
    pck = verify_pck_chain(quote.pck_chain_pem, anchors.intel_sgx_root)
    check_validity(pck.certificates, now)
    # 2 the quoting enclave: its report is signed by the platform, and names the attestation key
    _check_qe_report(quote, pck)
    # 3 the quote is signed by that key
    _check_quote_signature(quote)
    return pck


def judge(
    quote: TdxQuote,
    pck: PckChain,
    endorsements: TdxEndorsements,
    anchors: Anchors,
    judged: tuple[datetime, bool],
) -> TdxClaims:
    """The second half: a quote that is authentic and bound, against Intel's statements. A fault says that it is.

    `judged`: the instant, and whether a binding was compared.

    Raises:
        VerificationError: with the first fault found; its `authentic` is true.
    """
    try:
        return _judge(quote, pck, endorsements, anchors, judged)
    except VerificationError as error:
        error.authentic = True
        raise


def _judge(
    quote: TdxQuote,
    pck: PckChain,
    endorsements: TdxEndorsements,
    anchors: Anchors,
    judged: tuple[datetime, bool],
) -> TdxClaims:
    now, bound = judged
    # 4 Intel's statements: signatures to the root, dates of the signers, revocation
    collateral = authenticate(endorsements, anchors.intel_sgx_root)
    validity = _check_dates(collateral, now)
    _check_revocation(pck, collateral)
    # 5 they are about this platform, this quoting enclave and this TDX module
    _check_platform(pck, collateral)
    _check_qe_identity(quote.qe_report, collateral)
    _check_module(quote, collateral)
    # 6 the TCB that the platform, the module and the enclave reach
    tcb = evaluate(pck.claims, quote, collateral.tcb_info, collateral.qe_identity)
    return _claims(quote, pck, collateral, tcb, (validity, now, bound))


def _check_qe_report(quote: TdxQuote, pck: PckChain) -> None:
    if not p256_verifies(pck.leaf.public_key, quote.qe_report_signature, quote.qe_report.raw):
        raise VerificationError(
            Reason.SIGNATURE, "the QE report is not signed by the PCK certificate's key"
        )
    named = sha256(quote.attestation_key + quote.qe_auth_data).digest()
    if quote.qe_report.report_data != named + bytes(32):
        raise VerificationError(
            Reason.SIGNATURE, "the QE report does not name this attestation key and QE auth data"
        )


def _check_quote_signature(quote: TdxQuote) -> None:
    key = p256_point(quote.attestation_key)
    if key is None:
        raise VerificationError(Reason.SIGNATURE, "the attestation key is not a point on P-256")
    if not p256_verifies(key, quote.signature, quote.signed):
        raise VerificationError(Reason.SIGNATURE, "the quote is not signed by its attestation key")


def _check_dates(collateral: Collateral, now: datetime) -> tuple[PartValidity, ...]:
    """Windows of the four parts. Not yet issued is a refusal; past its next update is a fact for the policy."""
    for chain in (
        collateral.tcb_info_chain,
        collateral.qe_identity_chain,
        collateral.pck_crl_chain,
    ):
        check_validity(chain, now)
    info, identity = collateral.tcb_info, collateral.qe_identity
    pck_crl, root_crl = collateral.pck_crl, collateral.root_ca_crl
    return (
        _window("tcb_info", info.issue_date, info.next_update, now),
        _window("qe_identity", identity.issue_date, identity.next_update, now),
        _window("pck_crl", pck_crl.this_update, pck_crl.next_update, now),
        _window("root_ca_crl", root_crl.this_update, root_crl.next_update, now),
    )


def _window(part: str, issued: datetime, next_update: datetime, now: datetime) -> PartValidity:
    if now < issued:
        raise VerificationError(
            Reason.COLLATERAL_NOT_YET_VALID, f"{part} was issued later, at {issued.isoformat()}"
        )
    return PartValidity(part, issued, next_update, next_update if now > next_update else None)


def _check_revocation(pck: PckChain, collateral: Collateral) -> None:
    """Root CRL over every CA and signer below the root; PCK CRL of the leaf's own issuer over the leaf."""
    crl_issuer = collateral.pck_crl_chain[0]
    if (crl_issuer.spki, crl_issuer.subject) != (pck.issuer.spki, pck.issuer.subject):
        raise VerificationError(
            Reason.CRL_INVALID,
            f"PCK CRL of {crl_issuer.common_name}, but the PCK is of {pck.issuer.common_name}",
        )
    below_the_root = (
        pck.issuer,
        crl_issuer,
        collateral.tcb_info_chain[0],
        collateral.qe_identity_chain[0],
    )
    for certificate in dict.fromkeys(below_the_root):
        check_not_revoked(certificate, collateral.root_ca_crl)
    check_not_revoked(pck.leaf, collateral.pck_crl)


def _check_platform(pck: PckChain, collateral: Collateral) -> None:
    info = collateral.tcb_info
    for name, ours, theirs in (
        ("FMSPC", pck.claims.fmspc, info.fmspc),
        ("PCE id", pck.claims.pceid, info.pceid),
    ):
        if ours != theirs:
            raise VerificationError(
                Reason.ENDORSEMENT_MISMATCH,
                f"{name} of the PCK certificate is {ours.hex()}, TCB info is for {theirs.hex()}",
            )


def _check_qe_identity(report: SgxReport, collateral: Collateral) -> None:
    identity = collateral.qe_identity
    faults = {
        "MISCSELECT": _masked(report.miscselect, identity.miscselect_mask) != identity.miscselect,
        "ATTRIBUTES": _masked(report.attributes, identity.attributes_mask) != identity.attributes,
        "MRSIGNER": report.mrsigner != identity.mrsigner,
        "ISVPRODID": report.isvprodid != identity.isvprodid,
        "DEBUG": bool(report.attributes[0] & _SGX_FLAG_DEBUG),
    }
    for name, differs in faults.items():
        if differs:
            raise VerificationError(
                Reason.QE_IDENTITY_MISMATCH, f"quoting enclave: {name} is not as Intel states it"
            )


def _check_module(quote: TdxQuote, collateral: Collateral) -> None:
    identity = collateral.tcb_info.identity(quote.td.tee_tcb_svn[1])
    if quote.td.mrsigner_seam != identity.mrsigner:
        raise VerificationError(
            Reason.TDX_MODULE_MISMATCH, "MRSIGNERSEAM is not the signer that Intel states"
        )
    attributes = quote.td.seam_attributes
    if any(attributes) or _masked(attributes, identity.attributes_mask) != identity.attributes:
        raise VerificationError(
            Reason.TDX_MODULE_MISMATCH,
            f"SEAMATTRIBUTES {attributes.hex()} are not zero and as Intel states",
        )


def _masked(value: bytes, mask: bytes) -> bytes:
    together = int.from_bytes(value, "big") & int.from_bytes(mask, "big")
    return together.to_bytes(len(value), "big")


@lru_cache(maxsize=64)
def _attributes(td_attributes: bytes) -> tuple[frozenset[TdAttribute], int]:
    """(named bits that are set, mask of the others)."""
    bits = int.from_bytes(td_attributes, "little")
    named = frozenset(name for bit, name in _ATTRIBUTE_BITS.items() if bits >> bit & 1)
    return named, bits & ~_NAMED_BITS


def _claims(
    quote: TdxQuote,
    pck: PckChain,
    collateral: Collateral,
    tcb: TcbReport,
    judged: tuple[tuple[PartValidity, ...], datetime, bool],
) -> TdxClaims:
    validity, now, bound = judged
    attributes, reserved = _attributes(quote.td.td_attributes)
    certificates_expire = min(pck.not_after, collateral.certificates_not_after)
    report = quote.qe_report
    return TdxClaims(
        header=quote.header,
        body_type=quote.body_type,
        td=quote.td,
        td15=quote.td15,
        td15_ex=quote.td15_ex,
        attributes=attributes,
        reserved_attributes=reserved,
        pck=pck.claims,
        qe=QeClaims(report.mrenclave, report.mrsigner, report.isvprodid, report.isvsvn),
        tcb=tcb,
        tdx_module_version=quote.td.tee_tcb_svn[1],
        pck_chain_revocation=Revocation.GOOD,
        tcb_signing_chain_revocation=Revocation.GOOD,
        collateral=validity,
        certificates_expire=certificates_expire,
        expires=min(certificates_expire, *(part.next_update for part in validity)),
        bound=bound,
        evidence_sha256=sha256(quote.raw).digest(),
        collateral_sha256=collateral.sha256,
        verified_at=now,
    )
