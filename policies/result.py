# SPDX-License-Identifier: Apache-2.0
"""What an appraisal says: findings, and what the acceptance rests on.

There is no success flag: `decision` is computed from the findings and from nothing else. The JSON projection is stable
and canonical (sorted keys, no white space), so that a stored result can be recomputed bit for bit; keys are only added.
What a refused attester may see is `public_findings`: which rule, where, and a hint, never what would have been allowed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from policies.rules import RuleId

if TYPE_CHECKING:
    from datetime import datetime

    from policies.registers import Register


class RuleResult(StrEnum):
    """Outcome of one rule. `missing`: what it needs is not there, which denies like `fail`."""

    PASS = "pass"  # noqa: S105  no password
    WARNED = "warned"  # would fail, but the policy tolerates it by name
    FAIL = "fail"
    MISSING = "missing"


TOLERABLE = frozenset({RuleResult.PASS, RuleResult.WARNED})


class Decision(StrEnum):
    """Outcome of an appraisal."""

    ACCEPTED = "accepted"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule over one thing.

    Attributes:
        path: what was looked at, in the words of claims ("td.rtmr0", "tcb.status", "collateral.pck_crl").
        expected, actual: for the operator. Reference entries are named by id.
        hint: for everybody: what differs or what to do, without allowed values.
        until: the instant from which this result may be another; None if time does not change it. Not part of the JSON.
    """

    rule: RuleId
    path: str
    result: RuleResult
    expected: str = ""
    actual: str = ""
    hint: str = ""
    until: datetime | None = None

    def as_json(self) -> dict[str, str]:
        """All six fields."""
        return {**self.as_public_json(), "expected": self.expected, "actual": self.actual}

    def as_public_json(self) -> dict[str, str]:
        """The four fields that a refused attester may see."""
        return {
            "rule": self.rule.value,
            "path": self.path,
            "result": self.result.value,
            "hint": self.hint,
        }


_NAMES_A_MACHINE = frozenset(
    {RuleId.CHIP_LIST, RuleId.DEVICE_LIST}
)  # rules whose `actual` is a hardware id
_QUOTES_A_GUEST = frozenset(  # rules whose `actual` and `hint` have texts that a guest measured
    {
        RuleId.MEASUREMENT,  # where it explains a difference by events
        RuleId.KERNEL_CMDLINE,
        RuleId.BOOT_EVENT,
        RuleId.IMA,
        RuleId.DSTACK,
        RuleId.AAEL,
        RuleId.CONFIDENTIAL_SPACE,
    }
)
_OF_ENTRIES = "reference_sets"  # paths of findings about registers alone, which are digests


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """Which policy judged: name, version and the SHA-256 (32 bytes) of its text."""

    name: str
    version: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class FloorsRef:
    """Which list of TCB floors was asked: version and the SHA-256 (32 bytes) of its text."""

    version: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class MinimumsRef:
    """Which list of lowest driver and firmware versions was asked, likewise."""

    version: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class BootRef:
    """Which event logs were looked at: their formats, and by name of each register what replay says of it."""

    logs: tuple[str, ...]
    registers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class MatchedEntry:
    """The reference entry that matched in one set.

    Attributes:
        digest: 32 bytes over all registers and values of the entry (`policies.measurements.group_digest`).
    """

    reference_set: str
    entry_id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class AttestationResult:
    """Result of `appraise`.

    Attributes:
        policy: None where none, or more than one, applies.
        findings: of every rule, in the order of `RuleId`; behind them all that are about devices, likewise.
        matched: one per reference set that matched.
        pinned: registers that matched a reference value, with that value.
        unpinned: registers that must be pinned but are exempt, with the policy's reason.
        valid_until: UTC; the earliest end of what the acceptance rests on: certificates, collateral with its tolerated
            staleness, the policy, matched entries, accepted statuses and warnings. None if denied without a policy.
        evidence_sha256: 32 bytes.
        appraised_at: the `now` of the appraisal.
        floors, minimums: None where the policy asks none; then the JSON has no such key either.
        boot: None where no event log came; likewise.
    """

    policy: PolicyRef | None
    findings: tuple[Finding, ...]
    matched: tuple[MatchedEntry, ...]
    pinned: tuple[tuple[Register, bytes], ...]
    unpinned: tuple[tuple[Register, str], ...]
    valid_until: datetime | None
    evidence_sha256: bytes
    appraised_at: datetime
    floors: FloorsRef | None = None
    minimums: MinimumsRef | None = None
    boot: BootRef | None = None

    @property
    def decision(self) -> Decision:
        """Accepted if a policy applied and not one of its findings denies; no findings is a denial."""
        tolerable = bool(self.findings) and all(f.result in TOLERABLE for f in self.findings)
        return Decision.ACCEPTED if self.policy is not None and tolerable else Decision.DENIED

    @property
    def tolerated(self) -> tuple[Finding, ...]:
        """What would have denied but for the policy's word. The certificate says so."""
        return tuple(f for f in self.findings if f.result is RuleResult.WARNED)

    @property
    def denying(self) -> tuple[Finding, ...]:
        """The findings that deny."""
        return tuple(f for f in self.findings if f.result not in TOLERABLE)

    @property
    def all_pinned(self) -> bool:
        """Whether every register that must be pinned matched a reference value."""
        open_ = self.unpinned or any(f.rule is RuleId.MEASUREMENT for f in self.denying)
        return self.policy is not None and not open_

    def public_findings(self) -> tuple[dict[str, str], ...]:
        """The denying findings as a refused attester may see them."""
        return tuple(finding.as_public_json() for finding in self.denying)

    def as_json(self) -> dict[str, object]:
        """Everything, as JSON values."""
        return {
            "decision": self.decision.value,
            "policy": _policy_json(self.policy),
            "findings": [finding.as_json() for finding in self.findings],
            "matched": [
                {"set": m.reference_set, "entry": m.entry_id, "digest": m.digest.hex()}
                for m in self.matched
            ],
            "pinned": {register.value: value.hex() for register, value in self.pinned},
            "unpinned": {register.value: reason for register, reason in self.unpinned},
            "valid_until": instant_text(self.valid_until) if self.valid_until else None,
            "evidence_sha256": self.evidence_sha256.hex(),
            "appraised_at": instant_text(self.appraised_at),
            **_asked_json("floors", self.floors),
            **_asked_json("minimums", self.minimums),
            **_boot_json(self.boot),
        }

    def to_json(self) -> str:
        """`as_json` as canonical text."""
        return json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def log_text(record: str) -> str:
    """The text of `to_json`, in a record, as a log may have it.

    In the record only are what passed, hardware ids, and texts that a guest measured: command lines and environments
    may hold secrets of its owner's. Sixteen devices have some two hundred findings that pass, more than a line of a log
    holds.
    """
    facts = json.loads(record)
    facts["findings"] = [one for one in facts["findings"] if one["result"] != RuleResult.PASS]
    for finding in facts["findings"]:
        if finding["rule"] in _NAMES_A_MACHINE:
            finding["actual"] = "a hardware id, which is in the record only"
        elif finding["rule"] in _QUOTES_A_GUEST and not finding["path"].startswith(_OF_ENTRIES):
            finding["actual"] = finding["hint"] = "in the record only"
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _asked_json(name: str, asked: FloorsRef | MinimumsRef | None) -> dict[str, object]:
    if asked is None:
        return {}
    return {name: {"version": asked.version, "sha256": asked.sha256.hex()}}


def _boot_json(boot: BootRef | None) -> dict[str, object]:
    if boot is None:
        return {}
    return {"boot": {"logs": list(boot.logs), "registers": dict(boot.registers)}}


def _policy_json(policy: PolicyRef | None) -> dict[str, object] | None:
    if policy is None:
        return None
    return {"name": policy.name, "version": policy.version, "sha256": policy.sha256.hex()}


def instant_text(instant: datetime) -> str:
    """RFC 3339 in UTC with a Z; a fraction is kept, as the verdict may depend on it."""
    return instant.isoformat().replace("+00:00", "Z")
