# SPDX-License-Identifier: Apache-2.0
"""What operators do with policies: add a version, activate it, retire it. Every change is a logged decision.

Rules: a version is kept for ever, byte for byte, and versions of a name only rise. What lint calls an error is refused
when it is saved, not when a machine comes. At most one active policy matches any claims: overlap is refused at
activation, in the transaction that activates. A text is read in a thread: a long one takes a second or two, in which
others enroll.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ca.errors import NotFound, PolicyConflict, RequestRefused
from ca.ports import OperatorAction, PolicyRecord, PolicyState
from policies.errors import PolicyError
from policies.lint import Severity, lint
from policies.loader import LoadedPolicy, load_policy
from policies.select import overlaps

if TYPE_CHECKING:
    from datetime import datetime

    from ca.ports import Store


@dataclass(slots=True)
class ActivePolicies:
    """The active policies, parsed once per document: a document never changes, so its digest is enough of a key."""

    store: Store
    _parsed: dict[bytes, LoadedPolicy] = field(default_factory=dict)

    async def current(self) -> tuple[LoadedPolicy, ...]:
        """The policies that are active now, as the database says it. Raises Unavailable."""
        parsed: dict[bytes, LoadedPolicy] = {}
        for record in await self.store.policies(active_only=True):
            known = self._parsed.get(record.sha256)
            if known is None:
                known = await asyncio.to_thread(load_policy, record.document)
            parsed[record.sha256] = known
        self._parsed = parsed
        return tuple(parsed.values())


async def add_version(text: bytes, store: Store, actor: str, now: datetime) -> PolicyRecord:
    """Keep one more version, as a draft.

    Raises:
        RequestRefused: `policy-invalid` with every problem, one per line.
        PolicyConflict: the version is not above every version of that name.
    """
    loaded = await asyncio.to_thread(checked, text, now)
    document = loaded.document
    record = PolicyRecord(
        document.name, document.version, loaded.sha256, text, PolicyState.DRAFT, now, actor
    )
    await store.add_policy(record, _action("policy.add", record, actor, now))
    return record


def checked(text: bytes, now: datetime) -> LoadedPolicy:
    """The policy in `text`, if it loads and lint finds no error. Raises RequestRefused `policy-invalid`."""
    try:
        loaded = load_policy(text)
    except PolicyError as error:
        raise RequestRefused(str(error), code="policy-invalid") from error
    errors = [str(problem) for problem in lint(loaded, now) if problem.severity is Severity.ERROR]
    if errors:
        raise RequestRefused("\n".join(errors), code="policy-invalid")
    return loaded


async def activate(name: str, version: int, store: Store, actor: str, now: datetime) -> None:
    """Make one version the active one of its name; the version before is retired in the same transaction.

    Raises:
        NotFound; PolicyConflict: another active policy matches the same claims, or another operator was first;
        RequestRefused `policy-invalid`: what was fine when it was saved is an error now (an entry has expired).
    """
    record = await _existing(name, version, store)
    document = (await asyncio.to_thread(checked, record.document, now)).document
    active = await store.policies(active_only=True)
    for other in active:
        if other.name == name:
            continue
        loaded = await asyncio.to_thread(load_policy, other.document)
        if overlaps(document, loaded.document):
            raise PolicyConflict(
                f"{other.name}@{other.version} is active and matches the same machines: retire it first"
            )
    await store.set_policy_state(
        name,
        version,
        PolicyState.ACTIVE,
        _action("policy.activate", record, actor, now),
        expect_active=frozenset(one.sha256 for one in active),
    )


async def retire(name: str, version: int, store: Store, actor: str, now: datetime) -> None:
    """Take a version out of force; nothing is issued under it from this commit on. Raises NotFound, PolicyConflict."""
    record = await _existing(name, version, store)
    active = await store.policies(active_only=True)
    await store.set_policy_state(
        name,
        version,
        PolicyState.RETIRED,
        _action("policy.retire", record, actor, now),
        expect_active=frozenset(one.sha256 for one in active),
    )


async def _existing(name: str, version: int, store: Store) -> PolicyRecord:
    record = await store.policy(name, version)
    if record is None:
        raise NotFound(f"there is no policy {name}@{version}")
    return record


def _action(action: str, record: PolicyRecord, actor: str, now: datetime) -> OperatorAction:
    detail = json.dumps({"sha256": record.sha256.hex()})
    return OperatorAction(now, actor, action, f"{record.name}@{record.version}", detail)
