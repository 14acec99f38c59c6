# SPDX-License-Identifier: Apache-2.0
"""Whose request at the operators' listener this is, and whether the token allows it.

Rules: asked for every request, on every connection, of the database; nothing is remembered between two. A token that
is unknown, expired, revoked or no token at all gets one and the same answer. The token is looked up by its SHA-256, so
no comparison tells how much of a guess was right, and neither token nor digest is logged.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ca import tokens
from ca.errors import RequestRefused
from ca.http.routes import Access

if TYPE_CHECKING:
    from datetime import datetime

    from aiohttp import web

    from ca.http.doors import Doors
    from ca.ports import TokenRecord
    from ca.tokens import Scope

_USE_RECORDED_EVERY: Final = timedelta(minutes=1)
_SCHEME: Final = "bearer"


async def authenticate(request: web.Request, doors: Doors, access: Access | Scope) -> TokenRecord:
    """The token of the request, which has the scope that is needed.

    Raises RequestRefused `unauthorized` or `scope`.
    """
    now = doors.clock()
    token = await _token(request, doors)
    if token is None or token.revoked_at is not None or now >= token.expires_at:
        raise RequestRefused("a valid operator token is needed", code="unauthorized")
    if not isinstance(access, Access) and access not in token.scopes:
        raise RequestRefused(f"the token does not have the scope {access}", code="scope")
    if _is_use_due(token, now):
        await doors.authority.store.token_used(token.id, now)
    return token


def actor_of(token: TokenRecord) -> str:
    """How the operators' log names who acted."""
    return f"token:{token.id} {token.name}"


async def _token(request: web.Request, doors: Doors) -> TokenRecord | None:
    """What is on record about the token in the one Authorization header."""
    values = request.headers.getall("Authorization", [])
    if len(values) != 1:
        return None
    scheme, _, text = values[0].partition(" ")
    try:
        digest = tokens.digest(text)
    except ValueError:
        return None
    if scheme.lower() != _SCHEME:
        return None
    return await doors.authority.store.token_by_sha256(digest)


def _is_use_due(token: TokenRecord, now: datetime) -> bool:
    return token.last_used_at is None or now - token.last_used_at >= _USE_RECORDED_EVERY
