# SPDX-License-Identifier: Apache-2.0
"""The two aiohttp applications, built from the table of routes and nothing else, and how they must be served.

The operators' listener has none of the public routes and the public one none of theirs, but for health and metrics.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ca.http import openapi, problems
from ca.http.auth import actor_of, authenticate
from ca.http.handlers import DOCUMENT, DOORS, READINESS, Readiness
from ca.http.middleware import ACTOR, TOKEN, Listener, answering
from ca.http.routes import ROUTES, Access, On, Route

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from ca.http.doors import Doors

_KEEP_ALIVE: Final = 75.0  # seconds that a connection may be idle
_LINGER: Final = 1.0  # seconds that the rest of an unread body is read and dropped


def public_application(doors: Doors) -> web.Application:
    """Nonces, enrollments, certificates, CRLs: for everybody."""
    listener = Listener(
        "public", doors.state.public_limiter, doors.trusted_proxies, _unlimited(On.PUBLIC)
    )
    return _application(doors, On.PUBLIC, listener)


def admin_application(doors: Doors) -> web.Application:
    """Policies, certificates, refusals and the log: for operators with a token."""
    listener = Listener(
        "admin", doors.state.admin_limiter, doors.admin_trusted_proxies, _unlimited(On.ADMIN)
    )
    return _application(doors, On.ADMIN, listener)


def runner(application: web.Application) -> web.AppRunner:
    """How an application is to be served.

    Bodies are not decompressed, idle connections end, a client that leaves does not end what it began, and the HTTP
    library's own log names a fault by its type alone: its text may hold what a client sent.
    """
    log = logging.getLogger("attestca.http.server")
    log.addFilter(_without_text)
    return web.AppRunner(
        application,
        access_log=None,
        logger=log,
        auto_decompress=False,
        keepalive_timeout=_KEEP_ALIVE,
        lingering_time=_LINGER,
        handler_cancellation=False,
    )


def _without_text(record: logging.LogRecord) -> bool:
    """A log filter: lets every record through without the exception that hangs on it."""
    if record.exc_info and record.exc_info[0]:
        record.msg = f"{record.msg}: {record.exc_info[0].__qualname__}"
        record.exc_info = record.exc_text = None
    return True


def _unlimited(on: On) -> frozenset[str]:
    return frozenset(route.path for route in ROUTES if route.on & on and not route.limited)


def _application(doors: Doors, on: On, listener: Listener) -> web.Application:
    routes = [route for route in ROUTES if route.on & on]
    doors.state.metrics.describe((route.path for route in routes), problems.CODES)
    application = web.Application(middlewares=[answering(doors, listener)])
    application[DOORS] = doors
    application[READINESS] = Readiness(doors)
    application[DOCUMENT] = openapi.document_bytes()
    for route in routes:
        application.router.add_route(route.method, route.path, _handler(doors, route))
    return application


def _handler(doors: Doors, route: Route) -> Handler:
    """The route's handler with what the table says around it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if route.access is not Access.ANYBODY:
            token = await authenticate(request, doors, route.access)
            request[TOKEN], request[ACTOR] = token, actor_of(token)
        response = await route.handler(request)
        if not response.prepared:
            response.headers.setdefault("Cache-Control", route.cache)
        return response

    return handle
