# SPDX-License-Identifier: Apache-2.0
"""How the applications must be served: `runner` and `Site` in place of aiohttp's own AppRunner and TCPSite.

Rules: bodies are not decompressed; idle connections end, and before TLS is spoken very soon; a client that leaves does
not end what it began; what is not HTTP at all gets a problem document too. The HTTP library would repeat there, and
log, what a client sent; here its log names a fault by type alone.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ca.http.middleware import HEADERS, problem_response
from ca.http.problems import Problem

if TYPE_CHECKING:
    from aiohttp.web_protocol import RequestHandler

HANDSHAKE: Final = 10.0  # seconds until TLS must be spoken
_KEEP_ALIVE: Final = 75.0  # seconds that a connection may be idle
_LINGER: Final = 1.0  # seconds that the rest of an unread body is read and dropped
_log = logging.getLogger("attestca.http.server")


def runner(application: web.Application) -> web.AppRunner:
    """What serves `application`, ready for `setup` and a site."""
    _log.addFilter(_without_text)
    return _Runner(application)


class Site(web.TCPSite):
    """A listener whose connections must speak TLS within `HANDSHAKE`: silent ones are the cheapest that there are."""

    __slots__ = ()

    async def start(self) -> None:
        """Listen. Raises OSError."""
        await web.BaseSite.start(self)
        if self._runner.server is None:
            raise RuntimeError("set the runner up first")
        self._server = await asyncio.get_running_loop().create_server(
            self._runner.server,
            self._host,
            self._port,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=HANDSHAKE if self._ssl_context else None,
        )


class _Runner(web.AppRunner):
    """An AppRunner whose connections are ours."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=False,
            access_log=None,
            logger=_log,
            auto_decompress=False,
            keepalive_timeout=_KEEP_ALIVE,
            lingering_time=_LINGER,
        )


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - what a client sent
    ) -> web.StreamResponse:
        """What is answered to bytes that are no request, and to a fault outside of the application."""
        ours = status >= 500
        level = logging.ERROR if ours else logging.INFO
        _log.log(level, "unreadable: %s from %s", type(exc).__qualname__, request.remote)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun before")
        problem = Problem(500, "internal", "an error of this service") if ours else _NOT_HTTP
        response = problem_response(problem)
        response.headers.update(HEADERS)
        response.force_close()
        return response


_NOT_HTTP: Final = Problem(400, "malformed", "not a request that this service understands")


def _without_text(record: logging.LogRecord) -> bool:
    """A log filter: lets every record through without the exception that hangs on it."""
    if record.exc_info and record.exc_info[0]:
        record.msg = f"{record.msg}: {record.exc_info[0].__qualname__}"
        record.exc_info = record.exc_text = None
    return True
