# SPDX-License-Identifier: Apache-2.0
"""A process that enrolls against the store in visible steps, to be killed between any two: `… URL steps|many`.

It prints one word per line when a step is done: "opened", "intent SERIAL", "signed", "certificate SERIAL". With `steps`
it waits for a line on stdin before each step; with `many` it enrolls until it is killed.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import replace

from ca.store.sql import SqlStore
from tests import records


async def enroll(store: SqlStore, number: int, *, wait: bool) -> None:
    decision = records.decision(nonce=records.digest(f"nonce of step {number}"))
    intent = replace(records.intent(of=decision), serial=number)
    await step(wait=wait)
    await store.record_intent(intent)
    say(f"intent {number}")
    await step(wait=wait)
    signature = secrets.token_bytes(64)
    say("signed")
    await step(wait=wait)
    await store.record_certificate(number, signature, "ear")
    say(f"certificate {number}")


async def step(*, wait: bool) -> None:
    if wait:
        await asyncio.to_thread(sys.stdin.readline)


def say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


async def main(url: str, mode: str) -> None:
    store = await SqlStore.open(url)
    say("opened")
    if mode == "steps":
        await enroll(store, 1, wait=True)
        await step(wait=True)
    else:
        for number in range(1, 1 << 30):
            await enroll(store, number, wait=False)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
