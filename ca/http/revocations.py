# SPDX-License-Identifier: Apache-2.0
"""Revoking, what it would take, and what is revoked: the operators' three routes and everybody's feed.

Rules: what is named comes in the body, never in a path or query, for it may be a hardware id, and no log line has it.
The log says what was asked by kind and handle. The feed gives numbers that rise and pages that never change once they
are full; it says of a revocation what a list of certificates could be checked with, and not who made it or why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ca import revocation
from ca.http import records, wire
from ca.http.admin import attempt, log, log_line
from ca.http.handlers import DOORS, JSON, answer
from ca.http.middleware import ACTOR
from ca.http.queries import FeedQuery, RevocationQuery, query_of
from ca.http.schema import FeedPage, PreviewBody, RevocationBody, RevocationPage
from ca.subjects import Subject

if TYPE_CHECKING:
    from typing import TypeVar

    from aiohttp import web

    B = TypeVar("B", bound=PreviewBody)

FEED_PAGE: Final = 1000
MAX_BODY: Final = 8 << 10
_FULL: Final = "public, max-age=31536000, immutable"
_PREVIEW: Final = "revocation.preview"


async def revoke(request: web.Request) -> web.Response:
    """Revoke what the body names: at once, and for good."""
    doors = request.app[DOORS]
    async with attempt(request, revocation.ACTION):
        body = await _body(request, RevocationBody)
        why = revocation.Why(body.reason, body.note)
        done = await revocation.revoke(
            _subject(body), why, doors.authority, request[ACTOR], doors.clock()
        )
    if not done.again:
        doors.state.metrics.revoked(done.record.revocation.kind)
    return answer(records.revoked(done), status=200 if done.again else 201)


async def preview(request: web.Request) -> web.Response:
    """What a revocation would take. Changes nothing."""
    doors = request.app[DOORS]
    async with attempt(request, _PREVIEW):
        body = await _body(request, PreviewBody)
        found = await revocation.preview(_subject(body), doors.authority, doors.clock())
    target = f"{found.named.kind} {found.named.handle.hex()}"
    await log_line(request, _PREVIEW, target, {"subject": found.named.words})
    return answer(records.preview(found))


async def list_revocations(request: web.Request) -> web.Response:
    """A page of revocations, newest first."""
    wanted = query_of(request, RevocationQuery)
    await log(request, "revocations.list", detail=wanted)
    found = await request.app[DOORS].authority.store.revocations(wanted.limit, wanted.before)
    return answer(
        RevocationPage(
            revocations=[records.revocation(record) for record in found],
            next=found[-1].id if len(found) == wanted.limit else None,
        )
    )


async def feed(request: web.Request) -> web.Response:
    """A page of what is revoked, oldest first: for everybody."""
    wanted = query_of(request, FeedQuery)
    store = request.app[DOORS].authority.store
    found = await store.revocations_after(wanted.after, FEED_PAGE)
    page = FeedPage(
        revocations=[records.published(record) for record in found],
        next=found[-1].id if found else wanted.after,
    )
    return answer(page, headers={"Cache-Control": _FULL} if len(found) == FEED_PAGE else None)


async def _body(request: web.Request, model: type[B]) -> B:
    doors = request.app[DOORS]
    limit = min(MAX_BODY, doors.limits.body_bytes)
    return wire.decode(await wire.read_body(request, JSON, limit, doors.state.bodies), model)


def _subject(body: PreviewBody) -> Subject:
    given = None if body.handle is None else bytes.fromhex(body.handle)
    return Subject(kind=body.kind, name=body.name, value=body.value, handle=given)
