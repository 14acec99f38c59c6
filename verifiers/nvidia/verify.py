# SPDX-License-Identifier: Apache-2.0
"""`verify` is the specification: what must hold before a report of an NVIDIA device is believed, in this order.

What the evidence itself must be comes first (`verifiers.nvidia.device`), so that a forgery is `rejected` whatever is at
hand; then NVIDIA's word on the chain, the reference manifests, and the measurements. A genuine device that differs from
a genuine manifest is refused, also where another manifest is missing. Policy questions (versions, mode, a report
without FWID, an unknown revocation, how much is covered) are not answered here: the claims say what is the case.

Where NVIDIA's Remote Attestation Service has compared the measurements, `accepted` and `confirmed` make claims of what
its token says (`verifiers.nvidia.nras`); what the evidence itself must be is ours to check all the same.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from verifiers.chain import check_validity
from verifiers.endorsements import PartValidity
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import Coverage, NvidiaClaims, RimClaims
from verifiers.nvidia.device import authenticate, nvidia_roots
from verifiers.nvidia.measurements import compare, references, union
from verifiers.nvidia.ocsp import check_status, read_answers
from verifiers.nvidia.rim import read_rim

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from verifiers.anchors import Anchors
    from verifiers.endorsements import Revocation
    from verifiers.nvidia.claims import NrasClaims
    from verifiers.nvidia.device import Device
    from verifiers.nvidia.endorsements import NvidiaEndorsements
    from verifiers.nvidia.evidence import NvidiaEvidence
    from verifiers.nvidia.measurements import Reference
    from verifiers.nvidia.ocsp import Answers
    from verifiers.nvidia.report import ReportFields
    from verifiers.nvidia.rim import Rim


def verify(
    evidence: NvidiaEvidence,
    endorsements: NvidiaEndorsements,
    anchors: Anchors,
    nonce: bytes | None,
    now: datetime,
) -> NvidiaClaims:
    """Verify one device's evidence.

    Args:
        evidence: trusted by nobody.
        endorsements: manifests and OCSP answers as received; those of other devices may be among them. Without its
            manifests no device is verified, without OCSP answers the claims say so.
        anchors: the roots that count.
        nonce: 32 bytes that the request must have; None only where nothing is issued (offline inspection).
        now: the instant to judge at, timezone-aware.

    Raises:
        VerificationError: with the first fault found.
    """
    device = authenticate(evidence, anchors, nonce, now)
    return appraise(device, endorsements, anchors, now)


def appraise(
    device: Device, endorsements: NvidiaEndorsements, anchors: Anchors, now: datetime
) -> NvidiaClaims:
    """The second half of `verify`: what NVIDIA says of an authentic device. Raises VerificationError."""
    try:
        fields = device.fields
        answers = read_answers(endorsements.ocsp)
        # 1 NVIDIA has not revoked the device, nor those who certified it
        status = check_status("ocsp-device", device.chain.certificates[1:], answers, now)
        # 2 every manifest is genuine, and the signers of those that this report needs are in date and not revoked
        root = nvidia_roots(anchors).rim
        rims = [read_rim(document, root) for document in endorsements.rims]
        wanted = references(fields, device.chain.family)
        used = [_used(one, rim, answers, now) for one in wanted if (rim := _choose(one, rims, now))]
        # 3 every measurement is one of its golden values
        coverage = compare(union(one.rim.golden for one in used), device.report.measurements)
        # 4 and none of the manifests is missing
        _check_complete(wanted, used)
    except VerificationError as error:
        error.authentic = True
        raise
    return _claims(device, fields, endorsements, _Facts(_Status(*status), used, coverage), now)


def accepted(
    device: Device, endorsements: NvidiaEndorsements, said: NrasClaims, now: datetime
) -> NvidiaClaims:
    """Claims of an authentic device that the service alone has compared: it covers nothing by a comparison of ours.

    Raises:
        VerificationError: what `Device.fields` raises.
    """
    coverage = Coverage((), tuple(range(len(device.report.measurements))))
    status = _Status(said.revocation, (_window(said, now),))
    claims = _claims(device, device.fields, endorsements, _Facts(status, [], coverage), now)
    return replace(claims, nras=said)


def confirmed(claims: NvidiaClaims, said: NrasClaims, now: datetime) -> NvidiaClaims:
    """Claims of `appraise`, with what the service says of the same device, whose token ends them too."""
    return replace(
        claims,
        collateral=(*claims.collateral, _window(said, now)),
        expires=min(claims.expires, said.expires),
        nras=said,
    )


def _window(said: NrasClaims, now: datetime) -> PartValidity:
    """Of a token; one that has just ended still counts, for clocks differ."""
    ended = said.expires if now > said.expires else None
    return PartValidity("nras", said.issued, said.expires, ended)


class _Status(NamedTuple):
    """Whether a chain is revoked, and the windows of the answers that say so."""

    revocation: Revocation
    windows: tuple[PartValidity, ...]


class _Used(NamedTuple):
    """A manifest that the report is compared with."""

    reference: Reference
    rim: Rim
    status: _Status


class _Facts(NamedTuple):
    """What the steps of `appraise` found."""

    status: _Status
    used: list[_Used]
    coverage: Coverage


def _choose(reference: Reference, rims: Sequence[Rim], now: datetime) -> Rim | None:
    """The manifest of this product and version whose signer is in date; None if there is none of them at all.

    One that came from the RIM service under another name is for another board, whatever versions it shares with ours.
    NVIDIA has issued differing manifests for one version. Where several that differ are in date, none is the reference.

    Raises:
        VerificationError: `certificate-expired`, `certificate-not-yet-valid`, `incomplete`.
    """
    wanted = (reference.kind, reference.product, reference.version)
    found = [
        rim
        for rim in rims
        if (rim.kind, rim.product, rim.version) == wanted and rim.rim_id in (None, reference.rim_id)
    ]
    valid = [rim for rim in found if _in_date(rim, now)]
    if found and not valid:
        check_validity(found[0].certificates, now)
    if any(rim.golden != valid[0].golden for rim in valid):
        raise VerificationError(
            Reason.INCOMPLETE, f"{reference}: several genuine manifests that differ"
        )
    return max(valid, key=lambda rim: rim.certificates[0].not_after, default=None)


def _in_date(rim: Rim, now: datetime) -> bool:
    return all(one.not_before <= now <= one.not_after for one in rim.certificates)


def _used(reference: Reference, rim: Rim, answers: Answers, now: datetime) -> _Used:
    status = check_status(f"ocsp-rim-{reference.kind}", rim.certificates, answers, now)
    return _Used(reference, rim, _Status(*status))


def _check_complete(wanted: Sequence[Reference], used: Sequence[_Used]) -> None:
    missing = [str(one) for one in wanted if one not in [it.reference for it in used]]
    if missing:
        raise VerificationError(Reason.INCOMPLETE, f"missing: {', '.join(missing)}")


def _claims(
    device: Device,
    fields: ReportFields,
    endorsements: NvidiaEndorsements,
    facts: _Facts,
    now: datetime,
) -> NvidiaClaims:
    chain, report = device.chain, device.report
    certificates_expire = min(
        one.not_after
        for certificates in (chain.certificates, *(one.rim.certificates for one in facts.used))
        for one in certificates
    )
    collateral = _collateral(facts)
    return NvidiaClaims(
        kind=chain.family.kind,
        family=chain.family,
        model=chain.model,
        chip_info=fields.chip_info,
        driver_version=fields.driver_version,
        vbios_version=fields.vbios_version,
        device_serial=chain.serial,
        ueid=chain.leaf.serial_number,
        fwid=fields.fwid,
        mode=fields.mode,
        opaque=fields.opaque,
        measurements=report.measurements,
        rims=tuple(_rim_claims(one) for one in facts.used),
        coverage=facts.coverage,
        revocation=facts.status.revocation,
        collateral=collateral,
        certificates_expire=certificates_expire,
        expires=min((certificates_expire, *(part.next_update for part in collateral))),
        nonce=report.nonce,
        bound=device.bound,
        evidence_sha256=sha256(report.raw).digest(),
        collateral_sha256=endorsements.sha256,
        verified_at=now,
    )


def _rim_claims(used: _Used) -> RimClaims:
    rim = used.rim
    return RimClaims(
        kind=rim.kind,
        rim_id=used.reference.rim_id,
        tag_id=rim.tag_id,
        product=rim.product,
        version=rim.version,
        sha256=rim.sha256,
        signer_not_after=rim.certificates[0].not_after,
        indexes=tuple(sorted(rim.golden)),
        revocation=used.status.revocation,
    )


def _collateral(facts: _Facts) -> tuple[PartValidity, ...]:
    """Windows of the manifests' signers, which `_choose` has found in date, and of the answers that counted."""
    signers = [(f"rim-{one.rim.kind}", one.rim.certificates[0]) for one in facts.used]
    return (
        *(PartValidity(part, it.not_before, it.not_after, None) for part, it in signers),
        *facts.status.windows,
        *(window for one in facts.used for window in one.status.windows),
    )
