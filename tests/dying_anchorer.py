# SPDX-License-Identifier: Apache-2.0
"""A process that forks for each line on stdin; the child anchors once, and kills itself (-9) at a step.

A line is JSON: the database, the node, the registry's address, the time, and the step ("before send", "after record",
…; "" for none). The answer is one line: the signal that ended the child, or 0 and the steps that it came through.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy.dialects.postgresql.asyncpg  # noqa: F401 - loaded by name later; once is enough

from ca.ledger.accounts import account_of, address_of, by_address
from ca.ledger.contract import Registry
from ca.ledger.evm import EvmLedger
from ca.ledger.rpc import connected
from ca.store.sql import SqlStore
from tests.chain_lab import ADMIN, CA_ID, CHAIN_ID, LOG_KEY, PAYER, Anchoring

if TYPE_CHECKING:
    from ca.ledger_ports import AnchorStore, Ledger


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
    step: Steps
    target: bytes

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the inner object has
        method = getattr(self.inner, name)

        async def call(*arguments: object, **named: object) -> object:
            self.step(f"before {name}")
            result = await method(*arguments, **named)
            self.step(f"after {name}")
            return result

        return call


async def anchor_and_die(order: dict[str, str], steps: Steps) -> None:
    admin = address_of(account_of(ADMIN, "admin"))
    registry = Registry(CHAIN_ID, bytes.fromhex(order["contract"]), CA_ID, admin)
    store = await SqlStore.open(order["database"])
    try:
        async with connected([order["node"]], CHAIN_ID) as nodes:
            payer = account_of(PAYER, "payer")
            ledger = EvmLedger(nodes, registry, payer, by_address([LOG_KEY]))
            anchorer = Anchoring(store, ledger).anchorer
            watched = replace(
                anchorer,
                store=cast("AnchorStore", Announced(store.anchors, steps, b"")),
                ledger=cast("Ledger", Announced(ledger, steps, ledger.target)),
            )
            await watched.turn(datetime.fromisoformat(order["now"]))
    finally:
        await store.close()


def child(order: dict[str, str], answer: int) -> None:
    steps = Steps(order["step"], [])
    try:
        asyncio.run(anchor_and_die(order, steps))
        os.write(answer, json.dumps(steps.done).encode())
    except BaseException:  # noqa: BLE001 - a forked process must not go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> None:
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
