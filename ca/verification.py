# SPDX-License-Identifier: Apache-2.0
"""Steps 4 to 7 of an enrollment that look at evidence: the CPU's, its event logs, then the devices it speaks for.

What a fault means is decided here. Evidence that is not authentic, of the CPU or of a device, is refused and not on
record, and so is a log that cannot be read. A platform, or authentic devices, that the vendor's rules refuse are. Where
what we fetched is at fault nobody is refused: it is asked for anew, and the attester may come again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ca import audit, record
from ca.errors import CollateralUnusable, Denied, DevicesUnusable
from ca.ports import Decision
from policies.result import PolicyRef
from verifiers import registry
from verifiers.errors import Reason, VerificationError
from verifiers.logs import booted
from verifiers.nvidia.claims import AppraisedBy
from verifiers.nvidia.gather import gather as gather_devices
from verifiers.nvidia.revocations import Revocations, revocations
from verifiers.nvidia.system import appraise_set, authenticate_set
from verifiers.tcb import TcbStatus

if TYPE_CHECKING:
    from datetime import datetime

    from ca.authority import Authority, EnrollmentRequest
    from ca.issuance.csr import CertifiedKey
    from ca.ports import Store
    from ca.record import Basis
    from policies.floors import Floors
    from policies.loader import LoadedPolicy
    from policies.minimums import Minimums
    from policies.result import AttestationResult
    from verifiers.claims import Claims
    from verifiers.eventlog.judged import Boot
    from verifiers.evidence import Binding, Evidence
    from verifiers.nvidia.claims import NvidiaSetClaims
    from verifiers.nvidia.evidence import NvidiaEvidence

# Faults of authentic evidence that are the platform's own, and on record; every other fault after authentication lies
# in the collateral that we fetched, which is not the attester's doing: 503, and ask again.
_PLATFORM_FAULTS = frozenset(
    {
        Reason.CERTIFICATE_REVOKED,
        Reason.QE_IDENTITY_MISMATCH,
        Reason.TDX_MODULE_MISMATCH,
        Reason.TCB_NOT_SUPPORTED,
        Reason.TCB_REVOKED,
        Reason.TCB_STATUS_UNKNOWN,
        Reason.TCB_INCONSISTENT,
    }
)
# Faults of a certificate that evidence is signed under: the attester's where it sent the certificate. One that AMD's
# service gave us can only have them by a lie on the way, or because it was kept past its end.
_SIGNER_FAULTS = frozenset(
    {
        Reason.CHAIN,
        Reason.ENDORSEMENT_MISMATCH,
        Reason.CERTIFICATE_EXPIRED,
        Reason.CERTIFICATE_NOT_YET_VALID,
    }
)
# Of authentic devices: faults of what we fetched about them. Every other is theirs, and on record.
DEVICE_COLLATERAL_FAULTS = frozenset(
    {
        Reason.CHAIN,
        Reason.COLLATERAL_MALFORMED,
        Reason.MALFORMED,
        Reason.OCSP_INVALID,
        Reason.RIM_SIGNATURE,
        Reason.TOKEN_ALG,
        Reason.TOKEN_INVALID,
        Reason.TOKEN_KEY_UNKNOWN,
        Reason.TOO_LARGE,
        Reason.UNTRUSTED_ROOT,
    }
)
# The signer of a manifest that was just fetched: NVIDIA stands by this driver or firmware no longer, and the machine
# must learn so. A copy that was kept is asked for anew all the same.
_OUT_OF_DATE = frozenset({Reason.CERTIFICATE_EXPIRED, Reason.CERTIFICATE_NOT_YET_VALID})


@dataclass(frozen=True, slots=True)
class Case:
    """One request with authentic evidence, from which every kind of decision record is made."""

    request: EnrollmentRequest
    key: CertifiedKey
    basis: Basis
    expected: Binding
    authority: Authority
    nonce_expires: datetime
    now: datetime

    def asked(self, result: AttestationResult, floors: Floors, minimums: Minimums) -> Case:
        """With the lists that the policy has asked."""
        basis = replace(
            self.basis,
            floors=floors if result.floors else None,
            minimums=minimums if result.minimums else None,
        )
        return replace(self, basis=basis)

    def decision(self, result: AttestationResult, tcb_status: str) -> Decision:
        """An appraisal on record."""
        return self._decision(result.policy, tcb_status, result.to_json())

    def refusal(
        self,
        error: VerificationError,
        policy: LoadedPolicy | None = None,
        tcb_status: str | None = None,
    ) -> Decision:
        """A refusal by a vendor's own rules on record; of devices with the policy that had them looked at."""
        status = error.tcb.status if error.tcb else None
        document = policy.document if policy else None
        return self._decision(
            PolicyRef(document.name, document.version, policy.sha256)
            if policy and document
            else None,
            tcb_status or (status or TcbStatus.UNKNOWN).value,
            record.refused_by_vendor(error),
        )

    def _decision(self, policy: PolicyRef | None, tcb_status: str, result_json: str) -> Decision:
        basis, authority = self.basis, self.authority
        statuses = revocations(basis.of_devices) if basis.of_devices else Revocations()
        return Decision(
            decided_at=self.now,
            nonce=self.request.nonce,
            nonce_expires=self.nonce_expires,
            request_sha256=self.request.body_sha256,
            profile=self.request.profile,
            spki_der=self.key.spki_der,
            tee=registry.tee_of(basis.parsed).value,
            evidence=record.evidence(basis),
            collateral=record.collateral(basis),
            anchors_sha256=authority.anchors.sha256,
            policy_name=policy.name if policy else None,
            policy_version=policy.version if policy else None,
            policy_sha256=policy.sha256 if policy else None,
            tcb_status=tcb_status,
            result_json=result_json,
            salt=authority.entropy(audit.SALT),
            evaluations=registry.evaluations(
                basis.parsed, basis.endorsements, authority.sources, authority.anchors
            ),
            revoked=statuses.revoked,
            good=statuses.good,
        )


async def verified_cpu(case: Case) -> Claims:
    """Claims of the CPU.

    Raises:
        VerificationError: evidence that is not authentic. Denied: a platform that the vendor's rules refuse; on record.
        CollateralUnusable.
    """
    authority, basis = case.authority, case.basis
    try:
        return registry.verify(
            basis.parsed, basis.endorsements, authority.anchors, case.expected, case.now
        )
    except VerificationError as error:
        if error.authentic and error.reason in _PLATFORM_FAULTS:
            raise await _refused(error, case.refusal(error), authority.store) from error
        if _lies_in_collateral(error, basis):
            raise _unusable(error) from error
        raise


async def replayed_logs(
    case: Case, claims: Claims, logs: tuple[Evidence, ...]
) -> tuple[Case, Boot | None]:
    """What the event logs come to, and the case with them; they are first read now, of a genuine machine.

    Raises:
        VerificationError: a log that cannot be read, or of another kind of machine; not on record.
    """
    if not logs:
        return case, None
    boot = await asyncio.to_thread(booted, claims, logs)
    return replace(case, basis=replace(case.basis, logs=logs)), boot


async def verified_devices(
    case: Case,
    claims: Claims,
    devices: tuple[NvidiaEvidence, ...],
    policy: LoadedPolicy,
    by: AppraisedBy,
) -> tuple[Case, NvidiaSetClaims]:
    """Claims of the devices, and the case with them and with what was asked about them.

    Raises:
        VerificationError: evidence that is not authentic, or would cause more questions than one machine may; not on
            record.
        Denied: authentic devices that do not belong together, or that NVIDIA refuses; on record.
        Unavailable; DevicesUnusable.
    """
    authority, now = case.authority, case.now
    anchors, sources = authority.anchors, authority.sources.nvidia
    nonce = case.expected.gpu_nonce

    async def refusal(error: VerificationError) -> Denied:
        decision = case.refusal(error, policy, claims.tcb_status)
        return await _refused(error, decision, authority.store)

    seen = replace(case, basis=replace(case.basis, devices=devices, attachments=()))
    try:
        found = await asyncio.to_thread(authenticate_set, devices, anchors, nonce, now)
    except VerificationError as error:
        if not error.authentic:
            raise
        case = seen
        raise await refusal(error) from error
    try:
        of_devices = await authority.endorser.run(gather_devices(found, sources, anchors, by))
    except CollateralUnusable as error:
        raise DevicesUnusable(error.detail, retry_after=error.retry_after) from error
    except VerificationError as error:
        if error.reason in DEVICE_COLLATERAL_FAULTS:
            raise _devices_unusable(error) from error
        raise
    case = replace(seen, basis=replace(seen.basis, of_devices=of_devices))
    try:
        return case, await asyncio.to_thread(appraise_set, found, of_devices, anchors, by, now)
    except VerificationError as error:
        if error.reason in DEVICE_COLLATERAL_FAULTS | _OUT_OF_DATE:
            authority.endorser.distrust(gather_devices(found, sources, anchors, by))
        if error.reason in DEVICE_COLLATERAL_FAULTS:
            raise _devices_unusable(error) from error
        raise await refusal(error) from error


def distrust_devices(
    devices: tuple[NvidiaEvidence, ...], authority: Authority, now: datetime
) -> None:
    """What is kept about these devices is asked for anew, if they are authentic; freshness plays no part."""
    anchors, sources = authority.anchors, authority.sources.nvidia
    try:
        found = authenticate_set(devices, anchors, None, now)
    except VerificationError:  # nobody has been asked about them
        return
    authority.endorser.distrust(gather_devices(found, sources, anchors, AppraisedBy.LOCAL))


async def _refused(error: VerificationError, decision: Decision, store: Store) -> Denied:
    """What is raised for a refusal by a vendor's rules; it goes on record first."""
    await store.record_refusal(decision)
    return Denied(error.detail, code=error.reason.value, record=decision.result_json)


def _unusable(error: VerificationError) -> CollateralUnusable:
    return CollateralUnusable(_cannot_be_used(error), retry_after=60)


def _devices_unusable(error: VerificationError) -> DevicesUnusable:
    return DevicesUnusable(_cannot_be_used(error), retry_after=60)


def _cannot_be_used(error: VerificationError) -> str:
    return f"the vendor's collateral cannot be used: {error.reason}: {error.detail}"


def _lies_in_collateral(error: VerificationError, basis: Basis) -> bool:
    """Whether the fault is that of what we fetched about the CPU."""
    if error.reason is Reason.INCOMPLETE:
        return bool(basis.endorsements.missing)
    if error.authentic:
        return error.reason is not Reason.MALFORMED  # signed, but in a layout that no firmware has
    fetched = not (error.brought or registry.signer_came_along(basis.parsed))
    return error.reason in _SIGNER_FAULTS and fetched
