# SPDX-License-Identifier: Apache-2.0
"""A process that forks for each line on stdin; the child enrolls as the service would, and kills itself (-9) at a step.

A line is JSON: where the service's files, database and vendor are, the body of the request, and the step ("before
sign", "after record_intent", …; "" for none). The answer is one line: the signal that ended the child, or 0 and the
steps that it came through. Nothing in the service knows of this: store and signer are wrapped from outside.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy.dialects.postgresql.asyncpg  # noqa: F401 - loaded by name later; once is enough

from ca.app.service import clock, opened
from ca.enrollment import enroll
from ca.http.wire import decode_enrollment
from ca.policy_admin import ActivePolicies
from tests.app_lab import cheap_passphrases, make_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.authority import Authority, Issuing
    from ca.ports import Signer, Store


@dataclass
class Steps:
    """The steps so far; at the fatal one the process is gone, as if the power had failed."""

    fatal: str
    done: list[str]

    def __call__(self, step: str) -> None:
        if step == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        self.done.append(step)


@dataclass
class Announced:
    """An object whose every call is a step before and a step after."""

    inner: object
    step: Callable[[str], None]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the inner object has
        method = getattr(self.inner, name)

        async def call(*arguments: object, **named: object) -> object:
            self.step(f"before {name}")
            result = await method(*arguments, **named)
            self.step(f"after {name}")
            return result

        return call


def announced(authority: Authority, step: Callable[[str], None]) -> Authority:
    """The same authority, watched."""
    store = cast("Store", Announced(authority.store, step))

    def issuing() -> Issuing:
        real = authority.issuing()
        return replace(real, signer=cast("Signer", Announced(real.signer, step)))

    return replace(authority, store=store, policies=ActivePolicies(store), issuing=issuing)


async def enroll_and_die(order: dict[str, str], steps: Steps) -> None:
    config = make_config(
        Path(order["folder"]), order["database"], vendor=order["vendor"], root_pem=order["root"]
    )
    async with opened(config) as service:
        request = decode_enrollment(order["body"].encode())
        await enroll(request, announced(service.authority, steps), clock())


def child(order: dict[str, str], answer: int) -> None:
    steps = Steps(order["step"], [])
    try:
        asyncio.run(enroll_and_die(order, steps))
        os.write(answer, json.dumps(steps.done).encode())
    except BaseException:  # noqa: BLE001 - a forked process must not go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> None:
    cheap_passphrases()
    for line in sys.stdin:
        told, answer = os.pipe()
        pid = os.fork()
        if pid == 0:
            child(json.loads(line), answer)
        os.close(answer)
        with os.fdopen(told) as words:
            done = words.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(json.dumps({"status": status, "done": json.loads(done or "[]")}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
