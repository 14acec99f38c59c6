# SPDX-License-Identifier: Apache-2.0
"""Records of the store as the use cases would make them, every call another nonce and serial; any field can be set."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from attestca_client.protocol import HandleKind
from ca.issuance.reasons import RevocationReason
from ca.ports import (
    Blob,
    CrlRecord,
    Decision,
    Intent,
    OperatorAction,
    PolicyRecord,
    PolicyState,
    Revocation,
    TokenRecord,
)

if TYPE_CHECKING:
    from ca.ports import Store

NOW = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
ISSUER = hashlib.sha256(b"issuer").digest()[:20]
DOCUMENT = b"name: cvm\nversion: 1\n"
ACTION = OperatorAction(NOW, "cli:test", "test.action", "target", "{}")

_count = itertools.count(1)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def blob(text: str) -> Blob:
    return Blob(digest(text), text.encode())


def decision(**fields: Any) -> Decision:  # noqa: ANN401 (any field)
    number = next(_count)
    made = Decision(
        decided_at=NOW,
        nonce=digest(f"nonce {number}") + b"\x00nonce",
        nonce_expires=NOW + timedelta(seconds=100),
        request_sha256=digest(f"request {number}"),
        profile="default",
        spki_der=b"0spki" + number.to_bytes(4, "big"),
        tee="tdx",
        evidence=(("tdx-quote", blob(f"quote {number}")),),
        collateral=(blob("tcb info"), blob("qe identity"), blob("pck crl")),
        anchors_sha256=digest("anchors"),
        policy_name="cvm",
        policy_version=1,
        policy_sha256=hashlib.sha256(DOCUMENT).digest(),
        tcb_status="UpToDate",
        salt=digest(f"salt {number}"),
        result_json=json.dumps({"verdict": "accepted", "findings": [], "note": "naïve ☂"}),
    )
    return replace(made, **fields)


def intent(*, of: Decision | None = None, **fields: Any) -> Intent:  # noqa: ANN401 (any field)
    number = next(_count)
    made = Intent(
        decision=of or decision(),
        serial=int.from_bytes(digest(f"serial {number}")[:19], "big"),
        issuer_key_id=ISSUER,
        tbs_sha256=digest(f"tbs {number}"),
        not_before=NOW,
        not_after=NOW + timedelta(hours=24),
        subject_alt_names=(f"dns:vm{number}.example", f"uri:spiffe://example/vm/{number}"),
        handles=(("measurement", digest("mr_td")), ("key", digest(f"key {number}"))),
    )
    return replace(made, **fields)


def policy(name: str = "cvm", version: int = 1, **fields: Any) -> PolicyRecord:  # noqa: ANN401 - a value of any type is what it takes
    document = f"name: {name}\nversion: {version}\n".encode()
    made = PolicyRecord(
        name=name,
        version=version,
        sha256=hashlib.sha256(document).digest(),
        document=document,
        state=PolicyState.DRAFT,
        added_at=NOW,
        added_by="cli:test",
    )
    return replace(made, **fields)


def token(**fields: Any) -> TokenRecord:  # noqa: ANN401 (any field)
    number = next(_count)
    made = TokenRecord(
        id=f"{number:016x}",
        name=f"token {number}",
        sha256=digest(f"token {number}"),
        scopes=frozenset({"policies:read", "policies:write"}),
        created_at=NOW,
        expires_at=NOW + timedelta(days=30),
        last_used_at=None,
        revoked_at=None,
    )
    return replace(made, **fields)


def revocation(handle: bytes, **fields: Any) -> Revocation:  # noqa: ANN401 (any field)
    made = Revocation(
        handle=handle,
        kind=HandleKind.MEASUREMENT,
        subject="mr_td of the tests",
        revoked_at=NOW,
        reason=RevocationReason.KEY_COMPROMISE,
        actor=ACTION.actor,
        note="as the tests say",
    )
    return replace(made, **fields)


def crl(number: int, **fields: Any) -> CrlRecord:  # noqa: ANN401 (any field)
    made = CrlRecord(
        issuer_key_id=ISSUER,
        day=NOW.date(),
        number=number,
        entries=0,
        der=b"crl %d" % number,
        this_update=NOW,
        next_update=NOW + timedelta(days=1),
    )
    return replace(made, **fields)


async def activate(store: Store, record: PolicyRecord | None = None) -> PolicyRecord:
    """Add a policy and make it active beside those that are; `decision()` names the default one."""
    record = record or policy()
    active = {known.sha256 for known in await store.policies(active_only=True)}
    await store.add_policy(record, ACTION)
    await store.set_policy_state(
        record.name, record.version, PolicyState.ACTIVE, ACTION, expect_active=frozenset(active)
    )
    return replace(record, state=PolicyState.ACTIVE)
