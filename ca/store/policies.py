# SPDX-License-Identifier: Apache-2.0
"""Policy versions and their states, versions of lists. Documents are kept for ever, byte for byte; none is read here.

Rules: every change and its line in the operators' log are one transaction; changes come one after the other; draft ->
active -> retired, and no way back (what was good in an old version becomes a new version).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, func, select, update

from ca import audit
from ca.errors import NotFound, PolicyConflict
from ca.ports import OperatorAction, PolicyRecord, PolicyState
from ca.store import log, operators, tables
from ca.store.dialect import lock_table

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

_POLICY: Final = tables.policies.c
# Not EXCLUSIVE: it must not make an enrollment wait that reads its policy FOR SHARE.
_ONE_AT_A_TIME: Final = "SHARE ROW EXCLUSIVE"


def add_policy(connection: Connection, policy: PolicyRecord, action: OperatorAction) -> None:
    """See `ca.ports.Store`."""
    lock_table(connection, tables.policies, _ONE_AT_A_TIME)
    highest = connection.execute(
        select(func.max(_POLICY.version)).where(_POLICY.name == policy.name)
    ).scalar_one()
    if highest is not None and policy.version <= highest:
        raise PolicyConflict(f"version {policy.version} is not above version {highest}")
    if policy.state is PolicyState.ACTIVE and _active(connection, policy.name):
        raise PolicyConflict("another version of this policy is active")
    connection.execute(
        tables.policies.insert().values(
            {column.name: getattr(policy, column.name) for column in tables.policies.columns}
        )
    )
    operators.log_action(connection, action)
    if policy.state is PolicyState.ACTIVE:
        log.append(connection, _change(policy, action, PolicyState.ACTIVE))


def set_policy_state(
    connection: Connection,
    policy: tuple[str, int],
    state: PolicyState,
    action: OperatorAction,
    expect_active: frozenset[bytes],
) -> None:
    """See `ca.ports.Store`. Raises PolicyConflict for a step that the life of a policy does not have, too."""
    lock_table(connection, tables.policies, _ONE_AT_A_TIME)
    name, version = policy
    this = (_POLICY.name == name) & (_POLICY.version == version)
    current = connection.execute(select(_POLICY.state).where(this)).scalar_one_or_none()
    if current is None:
        raise NotFound("no such version of this policy")
    active = connection.execute(select(_POLICY.sha256).where(tables.is_active)).scalars()
    if frozenset(active) != expect_active:
        raise PolicyConflict("the active policies are others by now")
    if (current, state) not in _STEPS:
        raise PolicyConflict(f"a policy that is {current} cannot become {state}")
    if state is PolicyState.ACTIVE:
        retired = (_POLICY.name == name) & tables.is_active
        _move(connection, retired, PolicyState.RETIRED, action)
    _move(connection, this, state, action)
    operators.log_action(connection, action)


def _move(
    connection: Connection, which: ColumnElement[bool], state: PolicyState, action: OperatorAction
) -> None:
    """Change the state of versions; the log tells of those that come into force or leave it, and of no draft."""
    rows = connection.execute(select(tables.policies).where(which)).all()
    connection.execute(update(tables.policies).where(which).values(state=state))
    log.append_all(
        connection,
        (
            _change(_record(row), action, state)
            for row in rows
            if PolicyState.ACTIVE in {PolicyState(row.state), state}
        ),
    )


def policies(connection: Connection, *, active_only: bool) -> tuple[PolicyRecord, ...]:
    """See `ca.ports.Store`. By name and version."""
    statement = select(tables.policies).order_by(_POLICY.name, _POLICY.version)
    if active_only:
        statement = statement.where(tables.is_active)
    return tuple(_record(row) for row in connection.execute(statement))


def policy(connection: Connection, name: str, version: int) -> PolicyRecord | None:
    """See `ca.ports.Store`."""
    row = connection.execute(
        select(tables.policies).where(_POLICY.name == name, _POLICY.version == version)
    ).one_or_none()
    return None if row is None else _record(row)


def record_list(
    connection: Connection, name: str, version: int, sha256: bytes, action: OperatorAction
) -> bool:
    """See `ca.ports.Store`."""
    table = tables.lists
    lock_table(connection, table, _ONE_AT_A_TIME)
    newest = connection.execute(
        select(table.c.version, table.c.sha256)
        .where(table.c.name == name)
        .order_by(table.c.version.desc())
        .limit(1)
    ).one_or_none()
    if newest is not None and (newest.version, newest.sha256) == (version, sha256):
        return False
    if newest is not None and version <= newest.version:
        raise PolicyConflict(
            f"version {version} ({sha256.hex()[:16]}…), but version {newest.version}"
            f" ({newest.sha256.hex()[:16]}…) was in force"
        )
    connection.execute(
        table.insert().values(name=name, version=version, sha256=sha256, since=action.done_at)
    )
    operators.log_action(connection, action)
    log.append(
        connection,
        audit.PolicyChange(action.done_at, "list", name, version, sha256, PolicyState.ACTIVE),
    )
    return True


_STEPS: Final = {
    (PolicyState.DRAFT, PolicyState.ACTIVE),
    (PolicyState.DRAFT, PolicyState.RETIRED),
    (PolicyState.ACTIVE, PolicyState.RETIRED),
}


def _active(connection: Connection, name: str) -> bool:
    statement = select(_POLICY.version).where(_POLICY.name == name, tables.is_active)
    return connection.execute(statement).first() is not None


def _change(policy: PolicyRecord, action: OperatorAction, state: PolicyState) -> audit.PolicyChange:
    return audit.PolicyChange(
        action.done_at, "policy", policy.name, policy.version, policy.sha256, state
    )


def _record(row: Row[Any]) -> PolicyRecord:
    return PolicyRecord(
        name=row.name,
        version=row.version,
        sha256=row.sha256,
        document=row.document,
        state=PolicyState(row.state),
        added_at=row.added_at,
        added_by=row.added_by,
    )
