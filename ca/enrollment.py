# SPDX-License-Identifier: Apache-2.0
"""READ THIS FIRST: how hardware evidence becomes a certificate.

`enroll` is thirteen numbered steps, forward only; each stage accepts only the type of the stage before. Nothing is
signed without a recorded intent, or recorded without lint; an intent without certificate is never signed again.
What anonymous callers can make us keep is only what needed a genuine machine that answered our nonce.

Event logs are read when the CPU's evidence is verified, for they are believed by its registers alone.
Devices come after the CPU: its evidence covers theirs to the byte, and they are looked at when the policy that its
claims choose accepts it. So nobody has us look at a device, or ask a vendor about one, whose image we would refuse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from attestca_client.protocol import (
    HandleKind,
    attachment,
    binding,
    gpu_nonce,
    handle,
    tpm_extra,
)
from ca import audit
from ca.errors import (
    CollateralOutdated,
    CollateralUnusable,
    Denied,
    DevicesUnusable,
    HandleRevoked,
    LintFailed,
    NonceUsed,
    Unavailable,
)
from ca.issuance import csr, ear, nonce, platform, prepare
from ca.issuance.request import BindingLevel, Group, LeafRequest, PolicyRef, Register
from ca.ports import Decision, Intent, Outcome
from ca.record import Basis, refused_after_all
from ca.verification import (
    Case,
    distrust_devices,
    replayed_logs,
    verified_cpu,
    verified_devices,
)
from policies.appraise import appraise, denies_cpu
from policies.case import UnverifiedDevices
from policies.errors import NameRefused
from policies.loader import LoadedPolicy
from policies.names import render_names
from policies.result import Decision as Appraised
from policies.result import RuleResult, log_text
from policies.rules import RuleId
from policies.select import select
from verifiers import registry
from verifiers.evidence import DEVICE_KINDS, Binding

if TYPE_CHECKING:
    from datetime import datetime

    from ca.authority import Authority, EnrollmentRequest
    from ca.issuance.csr import CertifiedKey
    from ca.issuance.prepare import PreparedCertificate
    from ca.issuance.request import Assurance
    from ca.ports import CertificateRecord, Store
    from policies.result import AttestationResult
    from verifiers.claims import Claims
    from verifiers.eventlog.judged import Boot
    from verifiers.nvidia.claims import NvidiaSetClaims
    from verifiers.nvidia.evidence import NvidiaEvidence

SERIAL_ENTROPY = 16
_VERSIONS = (RuleId.DRIVER_MINIMUM, RuleId.VBIOS_MINIMUM)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What an attester is given. `repeated`: the answer to a byte-identical request that was answered before."""

    certificate: CertificateRecord
    repeated: bool


async def enroll(request: EnrollmentRequest, authority: Authority, now: datetime) -> Enrolled:
    """Issue a certificate, or refuse with a reason.

    Raises:
        RequestRefused: the request itself.
        VerificationError: evidence that is not authentic; not on record.
        Denied: authentic evidence that the vendor's rules or the policy refuse; on record.
        Conflict: the policy changed meanwhile; the attester may ask again.
        Unavailable: infrastructure, CollateralUnusable among it. LintFailed: ours.
    """
    try:
        return await _enroll(request, authority, now)
    except DevicesUnusable:
        raise
    except CollateralUnusable as error:
        # Perhaps the vendor, or another replica, has better by now: it is asked for anew.
        of_cpu, devices, _ = registry.split(request.evidence)
        parsed = registry.parse(of_cpu)
        gather = registry.gather(parsed, authority.sources, authority.anchors)
        authority.endorser.distrust(gather)
        if devices and isinstance(
            error, CollateralOutdated
        ):  # of either: the record does not say whose
            distrust_devices(devices, authority, now)
        raise


async def _enroll(request: EnrollmentRequest, authority: Authority, now: datetime) -> Enrolled:
    """Steps 1 to 8."""
    store = authority.store
    # 1 the nonce: ours, not answered before, and fresh; an answered request may be repeated later too
    ours = nonce.authenticate(authority.nonce_keys, authority.ca_id, request.nonce)
    answered = await _answer_of_before(request, store)
    if answered is not None:
        return Enrolled(answered, repeated=True)
    nonce.check_fresh(ours, now)
    # 2 the key, and that its holder has it; nothing else of the CSR is used
    key = csr.parse(request.csr_der)
    # 3 what the evidence must carry
    expected = _binding(request, authority.ca_id, key.spki_der)
    # 4, 5, 6 parse, endorse, verify; replay what logs there are
    of_cpu, devices, logs = registry.split(request.evidence)
    parsed = registry.parse(of_cpu)
    gather = registry.gather(parsed, authority.sources, authority.anchors)
    endorsements = await authority.endorser.run(gather)
    basis = Basis(parsed, endorsements, attachments=_attachments(request))
    case = Case(request, key, basis, expected, authority, ours.expires, now)
    claims = await verified_cpu(case)
    case, boot = await replayed_logs(case, claims, logs)
    # 7 appraise under the one active policy that matches the verified claims and the profile
    chosen = select(await authority.policies.current(), claims, request.profile, now)
    if isinstance(chosen, LoadedPolicy):
        case, of_devices, result = await _appraised(case, claims, boot, devices, chosen)
    else:
        of_devices, result = None, chosen
    decision = case.decision(result, claims.tcb_status)
    # 8 denied: spend the nonce, log, say why
    if not isinstance(chosen, LoadedPolicy) or result.decision is not Appraised.ACCEPTED:
        await store.record_refusal(decision)
        raise Denied(
            "the policy refuses this machine",
            findings=result.public_findings(),
            record=log_text(decision.result_json),
        )
    accepted = _Accepted(request, key, claims, of_devices, chosen, result, decision, now)
    return await _issue(accepted, authority)


async def _appraised(
    case: Case,
    claims: Claims,
    boot: Boot | None,
    devices: tuple[NvidiaEvidence, ...],
    policy: LoadedPolicy,
) -> tuple[Case, NvidiaSetClaims | None, AttestationResult]:
    """Step 7: the CPU first; devices are looked at beside one that the policy accepts."""
    now, floors, minimums = case.now, case.authority.floors(), case.authority.minimums()
    judged = partial(appraise, claims, policy, now, floors, minimums=minimums, boot=boot)
    of_devices, rules = None, policy.document.nvidia
    result = judged(devices=UnverifiedDevices(len(devices)) if devices else None)
    if devices and rules is not None and not denies_cpu(result):
        case, of_devices = await verified_devices(case, claims, devices, policy, rules.appraisal)
        result = judged(devices=of_devices)
    return case.asked(result, floors, minimums), of_devices, result


def _attachments(request: EnrollmentRequest) -> tuple[bytes, ...]:
    """What stands for each device's evidence in the binding, in the order of the request."""
    return tuple(
        attachment(piece.kind.value, piece.data)
        for piece in request.evidence
        if piece.kind in DEVICE_KINDS
    )


def _binding(request: EnrollmentRequest, ca_id: bytes, spki_der: bytes) -> Binding:
    """What fresh evidence of this request carries: in the CPU's the devices' evidence too, byte for byte."""
    report_data = binding(
        ca_id=ca_id,
        profile=request.profile,
        nonce=request.nonce,
        spki_der=spki_der,
        attachments=_attachments(request),
    )
    asked_of_devices = gpu_nonce(
        ca_id=ca_id, profile=request.profile, nonce=request.nonce, spki_der=spki_der
    )
    return Binding(report_data, tpm_extra(report_data), asked_of_devices)


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A request that its policy accepts, with all that a certificate is made from."""

    request: EnrollmentRequest
    key: CertifiedKey
    claims: Claims
    devices: NvidiaSetClaims | None
    policy: LoadedPolicy
    result: AttestationResult
    decision: Decision
    now: datetime


async def _issue(accepted: _Accepted, authority: Authority) -> Enrolled:
    """Steps 9 to 13."""
    store, issuing = authority.store, authority.issuing()
    # 9 the certificate to be signed, linted
    try:
        names = _names(accepted.policy, accepted.claims, issuing.issuer.reserved_names)
    except NameRefused as error:
        raise await _refusal(accepted, "name-refused", error, store) from error
    prepared = prepare.prepare(
        _leaf_request(accepted, names, authority, issuing.issuer.assurance),
        issuing.issuer,
        now=accepted.now,
        entropy=authority.entropy(SERIAL_ENTROPY),
    )
    ear.check_key(prepared, issuing.ear_key)
    # 10 the intent, on record before there is a signature
    withheld = _withheld(accepted, authority)
    try:
        await store.record_intent(_intent(prepared, accepted.decision, withheld))
    except NonceUsed:
        return await _overtaken(accepted.request, store)
    except HandleRevoked as error:  # the policy accepts what this authority has revoked since
        raise await _refusal(accepted, error.code, error, store) from error
    # 11, 12 sign, and lint what was signed
    issued = prepare.complete(prepared, await issuing.signer.sign(prepared.tbs))
    # 13 the certificate, on record before anybody has it
    token = ear.token(issued, issuing.ear_key)
    try:
        await store.record_certificate(prepared.serial, issued.der, token, withheld)
    except HandleRevoked as error:  # since step 10: it is signed, and nobody gets it
        raise await _refusal_of_signed(accepted, prepared.serial, error, authority) from error
    record = await store.certificate(prepared.serial)
    if record is None:
        raise Unavailable("the certificate that was just recorded cannot be read")
    return Enrolled(record, repeated=False)


async def _answer_of_before(request: EnrollmentRequest, store: Store) -> CertificateRecord | None:
    """The certificate that a byte-identical request was given; None if the nonce was not answered yet."""
    known = await store.nonce_state(request.nonce)
    if known is None:
        return None
    if known.request_sha256 == request.body_sha256 and known.serial is not None:
        if known.outcome is Outcome.ISSUED:
            return await store.certificate(known.serial)
        if known.outcome is Outcome.INTENT:
            raise Unavailable(
                "this request is being answered; ask again", code="in-progress", retry_after=1
            )
    raise NonceUsed("the nonce was answered before: get a new nonce, and new evidence for it")


async def _overtaken(request: EnrollmentRequest, store: Store) -> Enrolled:
    """The nonce was answered since step 1: fine if it was this very request, which a client sent twice."""
    answered = await _answer_of_before(request, store)
    if answered is None:
        raise Unavailable("the nonce is spent, but its answer cannot be read")
    return Enrolled(answered, repeated=True)


def _names(policy: LoadedPolicy, claims: Claims, reserved: frozenset[str]) -> tuple[str, ...]:
    """The names that the policy grants. Raises NameRefused."""
    names = render_names(policy.document, claims, reserved)
    return (*(f"dns:{name}" for name in names.dns), *(f"uri:{name}" for name in names.uri))


async def _refusal(
    accepted: _Accepted, code: str, why: NameRefused | HandleRevoked, store: Store
) -> Denied:
    """What is raised where the policy accepts and there is no certificate all the same; on record as a denial."""
    decision = _denial(accepted, code, why)
    await store.record_refusal(decision)
    return Denied(why.detail, code=code, record=log_text(decision.result_json))


async def _refusal_of_signed(
    accepted: _Accepted, serial: int, why: HandleRevoked, authority: Authority
) -> Denied:
    """The same, of a certificate that is signed: its serial is revoked, and the lists are to follow at once.

    Two decisions are on record then, the accepted one of its intent and this one, each with random bytes of its own.
    """
    denial = _denial(accepted, why.code, why)
    decision = replace(denial, salt=authority.entropy(audit.SALT))
    await authority.store.refuse_intent(serial, decision)
    authority.revoked.set()
    return Denied(why.detail, code=why.code, record=log_text(decision.result_json))


def _denial(accepted: _Accepted, code: str, why: NameRefused | HandleRevoked) -> Decision:
    text = refused_after_all(accepted.result, code, str(why))
    return replace(accepted.decision, result_json=text)


def _withheld(accepted: _Accepted, authority: Authority) -> tuple[bytes, ...]:
    """Handles of chips that the policy keeps out of the certificate; who is revoked gets none all the same."""
    if not accepted.policy.document.issue.withhold_chip_handle:
        return ()
    chips = platform.chip_ids(accepted.claims, accepted.devices, authority.chip_key)
    return tuple(handle(HandleKind.CHIP, chip) for chip in chips)


def _leaf_request(
    accepted: _Accepted, names: tuple[str, ...], authority: Authority, assurance: Assurance
) -> LeafRequest:
    result, issue = accepted.result, accepted.policy.document.issue
    if result.policy is None or result.valid_until is None:
        raise LintFailed("an accepted result names its policy and its end")
    chip_key = None if issue.withhold_chip_handle else authority.chip_key
    devices = (
        ()
        if accepted.devices is None
        else platform.devices_of(
            accepted.devices, chip_key, minimums_hold=_hold(result, *_VERSIONS)
        )
    )
    return LeafRequest(
        key=accepted.key,
        names=names,
        lifetime=issue.lifetime,
        collateral_expires=result.valid_until,
        platform=platform.describe(
            accepted.claims, chip_key, floors_hold=_hold(result, RuleId.TCB_FLOOR)
        ),
        devices=devices,
        binding=BindingLevel.NONCE_CPU_DIGEST if devices else BindingLevel.NONE,
        policy=PolicyRef(result.policy.name, result.policy.version, result.policy.sha256),
        assurance=assurance,
        registers=tuple(Register(name.value, value) for name, value in result.pinned),
        all_pinned=not result.unpinned,
        groups=tuple(
            Group(f"{one.reference_set}/{one.entry_id}", one.digest) for one in result.matched
        ),
        tolerated=(
            *(f"{one.rule.value}:{one.path}" for one in result.tolerated),
            *(f"unpinned:{register.value}" for register, _ in result.unpinned),
        ),
        event_logs=result.boot.logs if result.boot else (),
        replayed=result.boot.registers if result.boot else (),
    )


def _hold(result: AttestationResult, *rules: RuleId) -> bool:
    """Whether the policy asked for each of these rules, and nothing softened one."""
    found = [(one.rule, one.result) for one in result.findings if one.rule in rules]
    asked = {rule for rule, _ in found} == set(rules)
    return asked and all(outcome is RuleResult.PASS for _, outcome in found)


def _intent(
    prepared: PreparedCertificate, decision: Decision, withheld: tuple[bytes, ...]
) -> Intent:
    return Intent(
        decision=decision,
        serial=prepared.serial,
        issuer_key_id=prepared.issuer.key_id,
        tbs_sha256=prepared.tbs_sha256,
        not_before=prepared.not_before,
        not_after=prepared.not_after,
        subject_alt_names=prepared.subject_alt_names,
        handles=prepared.handles,
        withheld=withheld,
    )
