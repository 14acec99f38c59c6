# SPDX-License-Identifier: Apache-2.0
"""The two aiohttp applications, built from the table of routes and nothing else.

The operators' listener has none of the public routes and the public one none of theirs, but for health and metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from ca.http import openapi, problems
from ca.http.auth import actor_of, authenticate
from ca.http.handlers import DOCUMENT, DOORS, READINESS, Readiness
from ca.http.middleware import ACTOR, TOKEN, Listener, answering
from ca.http.routes import ROUTES, Access, On, Route

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from ca.http.doors import Doors


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
        application.router.add_route(
            route.method, _pattern(route), _handler(doors, route), expect_handler=_read_on
        )
    return application


def _pattern(route: Route) -> str:
    """The path as the router takes it: a variable ends at a slash, unless it says otherwise."""
    return f"{route.path.removesuffix('}')}:.+}}" if route.tail else route.path


async def _read_on(_request: web.Request) -> None:
    """Expect: 100-continue is answered by who reads the body, after all that can be refused without it."""


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
