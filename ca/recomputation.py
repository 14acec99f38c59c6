# SPDX-License-Identifier: Apache-2.0
"""What a decision on record would have been under given policies: the enrollment's steps 3 to 9 over again.

Nothing is read but the record: evidence and collateral are verified anew, with the binding that they had to answer, at
the instant of the decision. Under the policies that were in force then, the verdict is the stored one to the bit.
Whatever kind of evidence there is goes through the one table of technologies, as in `ca.enrollment`.

What cannot be known from the record is `unknown`, with the reason, and never a guess:
- devices whose evidence is not kept, because the policy of then had nobody look at them;
- what was not asked of a vendor then, because the policy of then did not want it;
- other trust anchors than those of then.

Pure. That something was revoked is taken from the record: no policy lifts it, unless it was the policy itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attestca_client.protocol import HandleKind, attachment, binding, gpu_nonce, tpm_extra
from ca.boots import Boots
from ca.errors import AuthorityError, HandleRevoked
from ca.record import ATTACHMENT, refused_after_all, refused_by_vendor, restored
from ca.verification import DEVICE_COLLATERAL_FAULTS
from policies.appraise import appraise, denies_cpu
from policies.case import UnverifiedDevices
from policies.errors import NameRefused
from policies.floors import Floors, builtin_floors
from policies.loader import LoadedPolicy
from policies.minimums import Minimums, builtin_minimums
from policies.names import render_names
from policies.result import TOLERABLE
from policies.result import Decision as Appraised
from policies.select import select
from verifiers import registry
from verifiers.errors import VerificationError
from verifiers.evidence import DEVICE_KINDS, Binding
from verifiers.nvidia.claims import AppraisedBy
from verifiers.nvidia.system import appraise_set, authenticate_set

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ca.ports import Decision
    from ca.record import Basis
    from policies.result import AttestationResult, Finding
    from verifiers.anchors import Anchors
    from verifiers.claims import Claims
    from verifiers.eventlog.judged import Boot
    from verifiers.nvidia.claims import NvidiaSetClaims
    from verifiers.nvidia.endorsements import NvidiaEndorsements

NAME_REFUSED: Final = "name-refused"


class Word(StrEnum):
    """What a verdict comes to."""

    ACCEPTED = "accepted"
    DENIED = "denied"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why it is not accepted. For operators.

    Attributes:
        rule: the rule of the policy (`policies.rules.RuleId`), or the code of what refused beside it: a `Reason` of
            the verifier, "name-refused", "handle-revoked". Of what is unknown a word that stands for the reason.
        path: what was looked at, in the words of claims; may be empty.
        detail: the hint of the finding, or what the verifier says.
        expected, actual: of the finding.
    """

    rule: str
    path: str = ""
    detail: str = ""
    expected: str = ""
    actual: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a decision would have been.

    Attributes:
        causes: at least one unless it is accepted.
        record: makes `result_json` as a record has it; None where it is unknown.
    """

    word: Word
    causes: tuple[Cause, ...] = ()
    record: Callable[[], str] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Setting:
    """What verdicts rest on besides the records.

    Attributes:
        ca_id: SHA-256 of the root's SubjectPublicKeyInfo, 32 bytes.
        reserved: the service's own DNS names, lower case.
        floors, minimums: for a policy that asks a list which the record has not.
        boots: what event logs come to; remembers, for many records of one image.
    """

    anchors: Anchors
    ca_id: bytes
    reserved: frozenset[str] = frozenset()
    floors: Floors = field(default_factory=builtin_floors, repr=False)
    minimums: Minimums = field(default_factory=builtin_minimums, repr=False)
    boots: Boots = field(default_factory=Boots, repr=False, compare=False)


class _UnknownError(Exception):
    """What cannot be known from the record; holds the cause."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = Cause(rule, detail=detail)


class Recalled:
    """One decision on record, its CPU's evidence verified anew once, however many policies are asked."""

    def __init__(self, decision: Decision, setting: Setting) -> None:
        """Raises nothing: what is wrong with the record is part of every verdict on it."""
        self._decision = decision
        self._setting = setting
        self._fault: Verdict | None = None
        try:
            self._expected = bound(decision, setting.ca_id)
            self._basis, self._claims, self._boot = self._verified()
        except _UnknownError as error:
            self._fault = Verdict(Word.UNKNOWN, (error.cause,))
        except VerificationError as error:
            self._fault = _refused(error)

    def under(self, policies: Sequence[LoadedPolicy]) -> Verdict:
        """The verdict if these had been the active policies then."""
        if self._fault is not None:
            return self._fault
        decision, claims = self._decision, self._claims
        chosen = select(policies, claims, decision.profile, decision.decided_at)
        if not isinstance(chosen, LoadedPolicy):
            return _judged(chosen)
        try:
            result = self._appraised(chosen)
        except _UnknownError as error:
            return Verdict(Word.UNKNOWN, (error.cause,))
        except VerificationError as error:
            return _refused(error)
        if result.decision is not Appraised.ACCEPTED:
            return _judged(result)
        return self._issued(chosen, result)

    def _verified(self) -> tuple[Basis, Claims, Boot | None]:
        """Step 4 and 6, with the logs. Raises VerificationError, _UnknownError."""
        decision, setting = self._decision, self._setting
        if not setting.anchors.judged_as(decision.anchors_sha256):
            raise _UnknownError("other-anchors", "decided under other trust anchors")
        try:
            basis = restored(decision)
        except (AuthorityError, ValueError, VerificationError) as error:
            raise _UnknownError("unreadable", f"the record cannot be read: {error}") from error
        claims = registry.verify(
            basis.parsed, basis.endorsements, setting.anchors, self._expected, decision.decided_at
        )
        return basis, claims, setting.boots(claims, basis.logs)

    def _appraised(self, policy: LoadedPolicy) -> AttestationResult:
        """Step 7: the CPU first, then the devices. Raises VerificationError, _UnknownError."""
        basis, now = self._basis, self._decision.decided_at
        floors = basis.floors or self._setting.floors
        minimums = basis.minimums or self._setting.minimums
        judged = partial(
            appraise, self._claims, policy, now, floors, minimums=minimums, boot=self._boot
        )
        count, rules = len(basis.devices) + len(basis.attachments), policy.document.nvidia
        result = judged(devices=UnverifiedDevices(count) if count else None)
        if not count or rules is None or denies_cpu(result):
            return result
        return judged(devices=self._devices(rules.appraisal))

    def _devices(self, by: AppraisedBy) -> NvidiaSetClaims:
        """Claims of the devices. Raises VerificationError, _UnknownError."""
        basis, anchors, now = self._basis, self._setting.anchors, self._decision.decided_at
        if basis.attachments:
            raise _UnknownError("devices-not-kept", "nobody looked at its devices then")
        found = authenticate_set(basis.devices, anchors, self._expected.gpu_nonce, now)
        known = basis.of_devices
        if known is None or not _was_asked(known, by):
            raise _UnknownError(
                "not-asked", f"what nvidia.appraisal: {by} wants was not asked of NVIDIA then"
            )
        try:
            return appraise_set(found, known, anchors, by, now)
        except VerificationError as error:
            if error.reason in DEVICE_COLLATERAL_FAULTS:  # nobody is refused for it
                raise _UnknownError("collateral", f"{error.reason}: {error.detail}") from error
            raise

    def _issued(self, policy: LoadedPolicy, result: AttestationResult) -> Verdict:
        """Step 9: the names; then whether something was revoked."""
        try:
            render_names(policy.document, self._claims, self._setting.reserved)
        except NameRefused as error:
            return _late(result, NAME_REFUSED, str(error))
        revoked = self._revoked(policy)
        if revoked is not None:
            return _late(result, HandleRevoked.code, revoked)
        return Verdict(Word.ACCEPTED, record=result.to_json)

    def _revoked(self, policy: LoadedPolicy) -> str | None:
        """What the record says was revoked, in the words of the refusal; None if that does not stand in the way."""
        text = self._decision.result_json
        if f'"{HandleRevoked.code}"' not in text:  # most records: not read
            return None
        reason: dict[str, Any] = json.loads(text).get("reason", {})
        if reason.get("code") != HandleRevoked.code:
            return None
        detail = str(reason["detail"])
        of_policy = detail == f"revoked: {HandleKind.POLICY}"
        return None if of_policy and policy.sha256 != self._decision.policy_sha256 else detail


def bound(decision: Decision, ca_id: bytes) -> Binding:
    """What the evidence of this decision had to carry: step 3."""
    attachments = [
        attachment(kind, blob.data) if kind in DEVICE_KINDS else blob.data
        for kind, blob in decision.evidence
        if kind in {*DEVICE_KINDS, ATTACHMENT}
    ]
    about: Any = {
        "ca_id": ca_id,
        "profile": decision.profile,
        "nonce": decision.nonce,
        "spki_der": decision.spki_der,
    }
    report_data = binding(**about, attachments=attachments)
    return Binding(report_data, tpm_extra(report_data), gpu_nonce(**about))


def causes_on_record(decision: Decision) -> tuple[Cause, ...]:
    """Why it was refused, read back; nothing if it was accepted."""
    facts: dict[str, Any] = json.loads(decision.result_json)
    reason = facts.get("reason")
    if reason is not None:
        return (Cause(reason["code"], detail=reason["detail"]),)
    return tuple(
        Cause(one["rule"], one["path"], one["hint"], one["expected"], one["actual"])
        for one in facts["findings"]
        if one["result"] not in TOLERABLE
    )


def _was_asked(known: NvidiaEndorsements, by: AppraisedBy) -> bool:
    """Whether NVIDIA was asked what this way of appraisal needs; see `verifiers.nvidia.gather`."""
    here = by is AppraisedBy.NRAS or bool(known.ocsp)
    there = by is AppraisedBy.LOCAL or known.jwks is not None
    return here and there


def _judged(result: AttestationResult) -> Verdict:
    """A verdict of rules alone."""
    return Verdict(Word.DENIED, tuple(map(_cause, result.denying)), result.to_json)


def _cause(finding: Finding) -> Cause:
    return Cause(finding.rule.value, finding.path, finding.hint, finding.expected, finding.actual)


def _refused(error: VerificationError) -> Verdict:
    cause = Cause(error.reason.value, detail=error.detail)
    return Verdict(Word.DENIED, (cause,), lambda: refused_by_vendor(error))


def _late(result: AttestationResult, code: str, detail: str) -> Verdict:
    return Verdict(
        Word.DENIED, (Cause(code, detail=detail),), lambda: refused_after_all(result, code, detail)
    )
