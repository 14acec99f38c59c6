# SPDX-License-Identifier: Apache-2.0
"""Around every request: an id, the time it took, one log line, security headers, problem documents, the rate limit.

Rules:
- The id is made here; a caller's is not taken over. The log line has the route's template, never the path, the query
  string, a header or a body; of an unexpected exception it has type and places, not the message, which may hold
  anything.
- Every error becomes a problem document by `ca.http.problems`. An error after the first byte of a streamed answer
  closes the connection, so that nobody takes a part for the whole.
- Without TLS nobody is answered but this machine and the named proxies.
- The limit is taken before anything is read of a body. Nothing is kept per connection: each request stands alone.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from ca.errors import AuthorityError, RequestRefused
from ca.http import problems
from ca.http.limiter import bucket_key, client_address, may_be_plain
from ca.http.metrics import UNMATCHED
from ca.http.problems import Problem, RateLimited, problem_of
from ca.ports import TokenRecord

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from aiohttp.typedefs import Handler, Middleware

    from ca.http.doors import Doors
    from ca.http.limiter import RateLimiter

REQUEST_ID: Final = web.RequestKey("request_id", str)
TOKEN: Final = web.RequestKey("token", TokenRecord)  # at the operators' listener
ACTOR: Final = web.RequestKey("actor", str)  # likewise
HEADERS: Final = {
    "Server": "attestca",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NO_STORE: Final = "no-store"
_UNAUTHORIZED: Final = 401
_log = structlog.get_logger("attestca.http")


@dataclass(frozen=True, slots=True)
class Listener:
    """What one of the two listeners has of its own.

    Attributes:
        unlimited: templates of the routes that take nothing from the caller's bucket: health checks, whose cost is
            bounded otherwise.
    """

    name: str
    limiter: RateLimiter
    trusted: tuple[IPv4Network | IPv6Network, ...]
    unlimited: frozenset[str]


def template_of(request: web.Request) -> str:
    """The template of the route that answers, from our own table; `unmatched` where none does."""
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical


def address_of(
    request: web.Request, trusted: tuple[IPv4Network | IPv6Network, ...]
) -> IPv4Address | IPv6Address | None:
    """The client's address."""
    return client_address(
        request.remote or "", request.headers.getall("X-Forwarded-For", []), trusted
    )


def answering(doors: Doors, listener: Listener) -> Middleware:
    """The outermost middleware: everything but the answer itself."""
    metrics = doors.state.metrics

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        started = loop.time()
        request[REQUEST_ID] = doors.authority.entropy(8).hex()
        template = template_of(request)
        problem: Problem | None = None
        try:
            _refuse_plain(request, listener)
            _take(request, listener, template, loop.time())
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 - the one place where all of them end
            problem = _report(doors, request, error, template)
            response = problem_response(problem)
        if not response.prepared:
            dress(request, response)
        seconds = loop.time() - started
        metrics.responded(template, response.status, seconds)
        address = str(address_of(request, listener.trusted))
        _access_line(request, response.status, (listener.name, template, address), problem, seconds)
        return response

    return middleware


def problem_response(problem: Problem) -> web.Response:
    """The problem document, with the headers that belong to it."""
    headers = dict(problem.headers)
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if problem.status == _UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="attestca"'
    return web.Response(
        status=problem.status,
        body=json.dumps(problem.members()).encode(),
        content_type=problems.CONTENT_TYPE,
        headers=headers,
    )


def _refuse_plain(request: web.Request, listener: Listener) -> None:
    """A token that came in the clear over a network is not looked at."""
    if not request.secure and not may_be_plain(request.remote or "", listener.trusted):
        raise RequestRefused("plain HTTP is for loopback and the named proxies", code="plain-http")


def _take(request: web.Request, listener: Listener, template: str, now: float) -> None:
    if template in listener.unlimited:
        return
    key = bucket_key(address_of(request, listener.trusted))
    if wait := listener.limiter.take(key, now):
        raise RateLimited(wait)


def _report(doors: Doors, request: web.Request, error: Exception, template: str) -> Problem:
    """Count and log what went wrong, and say what the caller is told."""
    problem = problem_of(error, request[REQUEST_ID])
    metrics = doors.state.metrics
    metrics.refused(problem.code)
    if problem.alarm is not None:
        metrics.alarm(problem.alarm)
    if problem.status >= 500 or problem.alarm is not None:
        _log.error(
            "http.failed",
            request_id=request[REQUEST_ID],
            route=template,
            alarm=problem.alarm,
            **_described(error),
        )
    return problem


def _described(error: Exception) -> Mapping[str, object]:
    """Our own errors with their words; of others the type and the places they went through."""
    if isinstance(error, AuthorityError):
        return {"code": error.code, "detail": error.detail}
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{PurePath(f.filename).name}:{f.lineno} {f.name}" for f in frames]
    return {"error": type(error).__qualname__, "places": places}


def dress(request: web.Request, response: web.StreamResponse) -> None:
    """The headers of every answer; whoever streams one asks for them before the first byte."""
    for name, value in (*HEADERS.items(), ("X-Request-Id", request[REQUEST_ID])):
        response.headers[name] = value
    if request.secure:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    response.headers.setdefault("Cache-Control", _NO_STORE)
    if response.status >= 400 and not request.content.at_eof():
        response.force_close()  # the rest of a refused body is not read


def _access_line(
    request: web.Request,
    status: int,
    where: tuple[str, str, str],
    problem: Problem | None,
    seconds: float,
) -> None:
    listener, template, address = where
    said: dict[str, object] = {}
    if problem is not None:
        said["code"] = problem.code
    if ACTOR in request:
        said["actor"] = request[ACTOR]
    _log.info(
        "http.request",
        request_id=request[REQUEST_ID],
        listener=listener,
        route=template,
        method=request.method if template != UNMATCHED else UNMATCHED,
        status=status,
        milliseconds=round(seconds * 1000, 1),
        address=address,
        **said,
    )
