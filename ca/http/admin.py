# SPDX-License-Identifier: Apache-2.0
"""The operators' answers, one function per route of the table in `ca.http.routes`.

The token and its scope were checked before; `request[ACTOR]` is who asks. Every request but `whoami`, which shows the
caller itself, is a line in the operators' log of the store, written before anything is shown; a change of a policy is
logged by its own transaction, and one that was refused after it. No route takes a path, a host or a command: operators
name records, and give policy texts.
"""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ca import policy_admin
from ca.errors import Conflict, NotFound, RequestRefused
from ca.http import records, wire
from ca.http.handlers import DOORS, answer, serial_of
from ca.http.middleware import ACTOR, TOKEN
from ca.http.queries import (
    ActionQuery,
    CertificateFilter,
    CertificateSearch,
    RefusalKind,
    RefusalQuery,
    query_of,
)
from ca.http.schema import (
    ActionList,
    CertificatePage,
    PolicyList,
    RecordedRefusals,
    SampledRefusals,
)
from ca.ports import CertificateQuery, OperatorAction
from policies.tree import MAX_BYTES as MAX_POLICY_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from datetime import datetime

    from ca.http.queries import Query
    from ca.ports import PolicyRecord, Store

    Change = Callable[[str, int, Store, str, datetime], Awaitable[None]]

POLICY_TYPES: Final = ("application/yaml", "application/json")
_POLICY_NAME: Final = re.compile("[a-z0-9][a-z0-9-]{0,62}")
_VERSION: Final = re.compile("[1-9][0-9]{0,9}")
_MAX_VERSION: Final = 2**31 - 1


async def whoami(request: web.Request) -> web.Response:
    """The token that asks."""
    return answer(records.who_am_i(request[TOKEN]))


async def list_policies(request: web.Request) -> web.Response:
    """Every version of every policy."""
    await log(request, "policies.list")
    found = await request.app[DOORS].authority.store.policies()
    return answer(PolicyList(policies=[records.policy(record) for record in found]))


async def add_policy(request: web.Request) -> web.Response:
    """Keep one more version, as a draft. The body is the policy's text."""
    doors = request.app[DOORS]
    text = await wire.read_body(
        request,
        POLICY_TYPES,
        min(MAX_POLICY_BYTES, doors.limits.body_bytes),
        doors.state.bodies,
    )
    async with attempt(request, "policy.add"):
        record = await policy_admin.add_version(
            text, doors.authority.store, request[ACTOR], doors.clock()
        )
    where = f"/v1/admin/policies/{record.name}/{record.version}"
    return answer(records.policy(record), status=201, headers={"Location": where})


async def policy_text(request: web.Request) -> web.Response:
    """The text of one version, byte for byte."""
    name, version = _policy_of(request)
    await log(request, "policies.read", f"{name}@{version}")
    record = await _policy(request, name, version)
    return web.Response(body=record.document, content_type="application/yaml")


async def activate_policy(request: web.Request) -> web.Response:
    """Put one version into force."""
    return await _change(request, "policy.activate", policy_admin.activate)


async def retire_policy(request: web.Request) -> web.Response:
    """Take one version out of force."""
    return await _change(request, "policy.retire", policy_admin.retire)


async def _change(request: web.Request, action: str, change: Change) -> web.Response:
    doors = request.app[DOORS]
    name, version = _policy_of(request)
    async with attempt(request, action, f"{name}@{version}"):
        await change(name, version, doors.authority.store, request[ACTOR], doors.clock())
    return answer(records.policy(await _policy(request, name, version)))


async def _policy(request: web.Request, name: str, version: int) -> PolicyRecord:
    record = await request.app[DOORS].authority.store.policy(name, version)
    if record is None:
        raise NotFound(f"there is no policy {name}@{version}")
    return record


def _policy_of(request: web.Request) -> tuple[str, int]:
    """Name and version of the path. Raises NotFound for what cannot be either."""
    name, version = request.match_info["name"], request.match_info["version"]
    if not _POLICY_NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        raise NotFound("there is no such policy")
    if int(version) > _MAX_VERSION:
        raise NotFound("there is no such version")
    return name, int(version)


async def search_certificates(request: web.Request) -> web.Response:
    """A page of certificates, by serial number."""
    wanted = query_of(request, CertificateSearch)
    await log(request, "certificates.search", detail=wanted)
    after = None if wanted.after is None else int(wanted.after, 16)
    query = certificate_query(wanted, limit=wanted.limit, after=after)
    found = await request.app[DOORS].authority.store.certificates(query)
    full = len(found) == wanted.limit
    return answer(
        CertificatePage(
            certificates=[records.certificate(record) for record in found],
            next=f"{found[-1].serial:x}" if full else None,
        )
    )


def certificate_query(
    wanted: CertificateFilter, *, limit: int, after: int | None
) -> CertificateQuery:
    """A search in the store's words."""
    return CertificateQuery(
        san=wanted.san,
        policy_name=wanted.policy,
        tcb_status=wanted.tcb_status,
        outcome=wanted.outcome,
        valid_at=wanted.valid_at,
        limit=limit,
        after=after,
    )


async def show_certificate(request: web.Request) -> web.Response:
    """Everything on record about one serial number, signed or not."""
    serial = serial_of(request)
    await log(request, "certificates.show", f"{serial:x}")
    store = request.app[DOORS].authority.store
    record = await store.certificate(serial)
    if record is None:
        raise NotFound("this serial number was never used")
    return answer(records.certificate_detail(record, await store.revocations_of(serial)))


async def list_refusals(request: web.Request) -> web.Response:
    """Refusals: those on record with all findings, or a sample of the others."""
    wanted = query_of(request, RefusalQuery)
    await log(request, "refusals.list", detail=wanted)
    doors = request.app[DOORS]
    if wanted.kind is RefusalKind.SAMPLED:
        sample = doors.state.refusals.newest(wanted.limit)
        shown = [records.sampled_refusal(refusal) for refusal in sample]
        return answer(SampledRefusals(kind="sampled", refusals=shown))
    found = await doors.authority.store.refusals(wanted.limit, wanted.before)
    return answer(
        RecordedRefusals(
            kind="recorded",
            refusals=[records.recorded_refusal(record) for record in found],
            next=found[-1].id if len(found) == wanted.limit else None,
        )
    )


async def list_actions(request: web.Request) -> web.Response:
    """The operators' log."""
    wanted = query_of(request, ActionQuery)
    await log(request, "actions.list", detail=wanted)
    found = await request.app[DOORS].authority.store.actions(wanted.limit, wanted.before)
    return answer(
        ActionList(
            actions=[records.action(done) for done in found],
            next=wire.instant(found[-1].done_at) if len(found) == wanted.limit else None,
        )
    )


@asynccontextmanager
async def attempt(request: web.Request, action: str, target: str = "") -> AsyncIterator[None]:
    """A change logs itself in its own transaction; one that was refused is a line too."""
    try:
        yield
    except (RequestRefused, Conflict, NotFound) as error:
        await log_line(request, f"{action}.refused", target, {"code": error.code})
        raise


async def log(
    request: web.Request, action: str, target: str = "", *, detail: Query | None = None
) -> None:
    """One line in the operators' log. Raises Unavailable: then nothing is shown."""
    asked = {} if detail is None else detail.model_dump(mode="json", exclude_none=True)
    await log_line(request, action, target, asked)


async def log_line(
    request: web.Request, action: str, target: str, detail: Mapping[str, object]
) -> None:
    """The same with any detail."""
    doors = request.app[DOORS]
    text = json.dumps(detail, sort_keys=True)
    line = OperatorAction(doors.clock(), request[ACTOR], action, target, text)
    await doors.authority.store.log_action(line)
