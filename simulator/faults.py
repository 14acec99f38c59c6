# SPDX-License-Identifier: Apache-2.0
"""What the vendors' fake services share: a right answer, how it is spoiled on its way, and a server on loopback."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How one part misbehaves; what is not set stays as it is.

    Attributes:
        status: sent with the right body and headers. delay: seconds before the answer.
        body: bytes in place of the right ones, or an edit of them.
        headers: set, or left out where None. location: a redirect (302 unless `status` says otherwise) to this URL.
        chunked: no Content-Length.
    """

    status: int | None = None
    delay: float = 0
    body: bytes | Callable[[bytes], bytes] | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    location: str | None = None
    chunked: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A response before it is sent."""

    body: bytes = b""
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str | None] = field(default_factory=dict)
    status: int = 200


async def served(fault: Fault, answer: Callable[[], Answer]) -> web.Response:
    """The response: what `answer` gives (its HTTP exceptions are statuses), with the fault in it."""
    await asyncio.sleep(fault.delay)
    try:
        right = answer()
    except web.HTTPException as error:
        right = Answer(status=error.status)
    return _sent(_spoiled(right, fault), chunked=fault.chunked)


@asynccontextmanager
async def listening(application: web.Application, port: int = 0) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 until the block ends, and give the base URL; port 0 is one of the system's choice."""
    runner = web.AppRunner(
        application, access_log=None, handler_cancellation=True, shutdown_timeout=0.01
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _spoiled(right: Answer, fault: Fault) -> Answer:
    """The answer with what the fault says in place of what is right."""
    headers = {**right.headers, **fault.headers}
    status = right.status
    if fault.location is not None:
        headers["Location"] = fault.location
        status = 302
    body = fault.body
    if body is None:
        body = right.body
    elif callable(body):
        body = body(right.body)
    return Answer(body, right.content_type, headers, fault.status or status)


def _sent(answer: Answer, *, chunked: bool) -> web.Response:
    headers = {name: value for name, value in answer.headers.items() if value is not None}
    response = web.Response(
        body=answer.body,
        status=answer.status,
        content_type=answer.content_type,
        headers=headers,
    )
    if chunked:
        response.enable_chunked_encoding()
    return response
