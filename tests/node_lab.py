# SPDX-License-Identifier: Apache-2.0
"""A node that stands before anvil and does to its answers what a test wants: forges, breaks, delays, swells them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Answer = dict[str, Any]


def honest(_request: Answer, answer: Answer) -> Answer:
    return answer


@dataclass
class Relay:
    """`twist`: request and honest answer -> what is answered: JSON, bytes, a status, or None for no answer at all.

    `deaf`: a method that anvil never hears of.
    """

    behind: str
    url: str = ""
    twist: Callable[[Answer, Answer], Answer | bytes | int | None] = honest
    asked: list[str] = field(default_factory=list)
    deaf: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.asked.append(asked["method"])
        answer = {} if asked["method"] == self.deaf else await self._honest(asked)
        match self.twist(asked, answer):
            case None:
                await asyncio.sleep(3600)
                raise AssertionError("nobody waits so long")
            case int() as status:
                return web.Response(status=status, headers={"Location": self.behind})
            case bytes() as body:
                return web.Response(body=body, content_type="application/json")
            case twisted:
                return web.json_response(twisted)

    async def _honest(self, asked: Answer) -> Answer:
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.behind, json=asked) as reply,
        ):
            answer: Answer = await reply.json()
            return answer


@asynccontextmanager
async def relay(behind: str) -> AsyncIterator[Relay]:
    """A node that is honest until its `twist` is another."""
    node = Relay(behind)
    application = web.Application()
    application.router.add_post("/", node.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    node.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield node
    finally:
        await runner.cleanup()


def only(method: str, change: Callable[[Any], Any]) -> Callable[[Answer, Answer], Answer]:
    """A twist of the results of one method."""

    def twist(request: Answer, answer: Answer) -> Answer:
        if request["method"] == method and answer.get("result") is not None:
            return answer | {"result": change(answer["result"])}
        return answer

    return twist
