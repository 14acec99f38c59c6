# SPDX-License-Identifier: Apache-2.0
"""The dry run of a policy: what would become of the machines that are served or were refused, if a draft were in force.

Looked at are the live certificates (issued, not ended, not revoked) and the refusals on record since an instant. Each
decision is judged twice, at its own instant and with its own collateral (`ca.recomputation`): under the policies in
force, and under the same with the draft in the place of the active version of its name. The difference is the answer;
what changed since then for other reasons (an older policy, a list, a revocation) is not blamed on the draft.

Rules:
- The draft is taken as in force all the time: its own `not_before` is not asked. Everything else is, `not_after` too.
- Where the policy that decided is in force still, its verdict is the one on record, which `ca.recomputation` gives to
  the bit.
- Nothing is written. What cannot be known from the record is counted, with the reason.
- Which record is looked at where, and in which process, changes nothing in the answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ca.errors import PolicyConflict
from ca.recomputation import Cause, Recalled, Verdict, Word, causes_on_record
from policies.select import overlaps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import datetime

    from ca.ports import Decision, Extent, Store
    from ca.recomputation import Setting
    from policies.loader import LoadedPolicy

PAGE: Final = 200  # decisions that are loaded and judged together
EXAMPLES: Final = 3


class Kind(StrEnum):
    """What a decision came to then."""

    CERTIFICATE = "certificate"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Subject:
    """One decision on record. `id`: serial number in hexadecimal, or the number of the refusal."""

    kind: Kind
    id: str
    names: tuple[str, ...]
    decision: Decision


@dataclass(frozen=True, slots=True)
class Change:
    """One decision whose verdict the draft changes, or that cannot be known. `causes`: why it is, or was, refused."""

    kind: Kind
    id: str
    names: tuple[str, ...]
    decided_at: datetime
    tee: str
    profile: str
    before: Word
    after: Word
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """What one page of decisions came to.

    Attributes:
        looked_at: certificates, refusals.
        otherwise: of those that the draft does not change, how many the policies in force would decide otherwise than
            was decided: certificates that they refuse, refusals that they lift.
    """

    looked_at: tuple[int, int]
    otherwise: tuple[int, int]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """The draft, and the two sets of active policies that are compared.

    Attributes:
        replaces: the active version of its name, if there is one.
        in_force: as they are. drafted: as they would be.
    """

    policy: LoadedPolicy
    replaces: LoadedPolicy | None
    in_force: tuple[LoadedPolicy, ...]
    drafted: tuple[LoadedPolicy, ...]

    @classmethod
    def of(cls, policy: LoadedPolicy, in_force: Sequence[LoadedPolicy]) -> Draft:
        """Raises PolicyConflict where it could not be activated beside another policy that is in force."""
        document = policy.document
        same = [one for one in in_force if one.document.name == document.name]
        others = [one for one in in_force if one.document.name != document.name]
        for other in others:
            if overlaps(document, other.document):
                raise PolicyConflict(
                    f"{other.document.name}@{other.document.version} is active and matches the same machines:"
                    " retire it first"
                )
        replaces = same[0] if same else None
        if replaces is None or replaces.sha256 != policy.sha256:
            always = document.model_copy(update={"not_before": None})
            policy = replace(policy, document=always)
        return cls(policy, replaces, tuple(in_force), (*others, policy))


@dataclass(slots=True)
class Group:
    """Decisions that one rule decides. One may be in several groups."""

    count: int = 0
    examples: list[Change] = field(default_factory=list)


@dataclass(slots=True)
class Side:
    """All that change in one way: how many certificates and refusals, and the same by rule, the largest first."""

    certificates: int = 0
    refusals: int = 0
    groups: dict[str, Group] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Of both."""
        return self.certificates + self.refusals

    def add(self, change: Change, examples: int) -> None:
        """One more."""
        self.certificates += change.kind is Kind.CERTIFICATE
        self.refusals += change.kind is Kind.REFUSAL
        for rule in dict.fromkeys(cause.rule for cause in change.causes):
            group = self.groups.setdefault(rule, Group())
            group.count += 1
            if len(group.examples) < examples:
                group.examples.append(change)

    def by_size(self) -> list[tuple[str, Group]]:
        """The groups, the largest first; of equal ones in the order of their names."""
        return sorted(self.groups.items(), key=lambda item: (-item[1].count, item[0]))


@dataclass(slots=True)
class Simulation:
    """The answer.

    Attributes:
        certificates, refusals: how many were looked at. forgotten: refusals of that time that retention has deleted.
        refused, admitted: newly, by the rules that refuse under the draft, or that refused without it.
        unknown: what cannot be known, by reason.
        refused_already, admitted_already: certificates that the policies in force would refuse without the draft, and
            refusals that they would lift; the draft changes neither.
    """

    forgotten: int = 0
    certificates: int = 0
    refusals: int = 0
    refused: Side = field(default_factory=Side)
    admitted: Side = field(default_factory=Side)
    unknown: Side = field(default_factory=Side)
    refused_already: int = 0
    admitted_already: int = 0

    def add(self, judged: Judged, examples: int) -> None:
        """One more page."""
        self.certificates += judged.looked_at[0]
        self.refusals += judged.looked_at[1]
        self.refused_already += judged.otherwise[0]
        self.admitted_already += judged.otherwise[1]
        for change in judged.changes:
            if Word.UNKNOWN in {change.before, change.after}:
                self.unknown.add(change, examples)
            else:
                admitted = change.after is Word.ACCEPTED
                (self.admitted if admitted else self.refused).add(change, examples)


@dataclass(frozen=True, slots=True)
class Scope:
    """What to look at: certificates that are live at `now`, refusals decided from `since` on. `examples`: per rule."""

    now: datetime
    since: datetime
    examples: int = EXAMPLES


async def simulate(
    store: Store,
    scope: Scope,
    judge: Callable[[Sequence[Subject]], Awaitable[Judged]],
    *,
    ahead: int = 1,
    started: Callable[[Extent], None] = lambda _extent: None,
    progress: Callable[[int], None] = lambda _looked_at: None,
) -> Simulation:
    """Judge everything in `scope`.

    Args:
        store: is read only, a page at a time.
        scope: what to look at.
        judge: `judge_all` of a page, wherever it runs.
        ahead: how many pages may be under way.
        started: is told how much there is. It may get more or less meanwhile.
        progress: is told how many decisions more were looked at.

    Raises Unavailable.
    """
    extent = await store.extent(scope.now, scope.since)
    started(extent)
    found = Simulation(forgotten=extent.forgotten)
    under_way: deque[tuple[int, asyncio.Future[Judged]]] = deque()

    async def take() -> None:  # in order, so that the same store gives the same examples
        size, judged = under_way.popleft()
        found.add(await judged, scope.examples)
        progress(size)

    try:
        async for page in _pages(store, scope):
            under_way.append((len(page), asyncio.ensure_future(judge(page))))
            if len(under_way) > ahead:
                await take()
        while under_way:
            await take()
    finally:
        for _, judged in under_way:
            judged.cancel()
    return found


def judge_all(subjects: Sequence[Subject], draft: Draft, setting: Setting) -> Judged:
    """Judge decisions under the policies in force and under the draft. Pure."""
    changes: list[Change] = []
    otherwise = {Kind.CERTIFICATE: 0, Kind.REFUSAL: 0}
    in_force = {one.sha256 for one in draft.in_force}
    for subject in subjects:
        recalled = Recalled(subject.decision, setting)
        after = recalled.under(draft.drafted)
        if subject.decision.policy_sha256 in in_force:
            before = Verdict(_decided(subject.kind))
        else:
            before = recalled.under(draft.in_force)
        if before.word is not after.word or after.word is Word.UNKNOWN:
            changes.append(_change(subject, before, after))
        elif before.word is not _decided(subject.kind):
            otherwise[subject.kind] += 1
    certificates = sum(one.kind is Kind.CERTIFICATE for one in subjects)
    return Judged(
        (certificates, len(subjects) - certificates),
        (otherwise[Kind.CERTIFICATE], otherwise[Kind.REFUSAL]),
        tuple(changes),
    )


def _decided(kind: Kind) -> Word:
    return Word.ACCEPTED if kind is Kind.CERTIFICATE else Word.DENIED


def _change(subject: Subject, before: Verdict, after: Verdict) -> Change:
    decision = subject.decision
    told = before if after.word is Word.ACCEPTED or before.word is Word.UNKNOWN else after
    return Change(
        subject.kind,
        subject.id,
        subject.names,
        decision.decided_at,
        decision.tee,
        decision.profile,
        before.word,
        after.word,
        told.causes or causes_on_record(decision),
    )


async def _pages(store: Store, scope: Scope) -> AsyncIterator[tuple[Subject, ...]]:
    """What is to be judged, a page at a time."""
    after: int | None = None
    while certificates := await store.live(scope.now, PAGE, after):
        yield tuple(
            Subject(Kind.CERTIFICATE, f"{one.serial:x}", one.subject_alt_names, one.decision)
            for one in certificates
        )
        after = certificates[-1].serial
    before: int | None = None
    while refusals := await store.refusals(PAGE, before):
        recent = [one for one in refusals if one.decision.decided_at >= scope.since]
        if not recent:  # numbers rise with time: all others are older
            return
        yield tuple(Subject(Kind.REFUSAL, str(one.id), (), one.decision) for one in recent)
        before = refusals[-1].id
