# SPDX-License-Identifier: Apache-2.0
"""A process whose children anchor once, and die at a step (see `tests.dying`).

A line names the database, the node, the registry's address, the time, and the step.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, cast

import sqlalchemy.dialects.postgresql.asyncpg  # noqa: F401 - loaded by name later; once is enough

from ca.ledger.accounts import account_of, address_of, by_address
from ca.ledger.contract import Registry
from ca.ledger.evm import EvmLedger
from ca.ledger.rpc import connected
from ca.store.sql import SqlStore
from tests import dying
from tests.chain_lab import ADMIN, CA_ID, CHAIN_ID, LOG_KEY, PAYER, Anchoring

if TYPE_CHECKING:
    from ca.ledger_ports import AnchorStore, Ledger


async def anchor_and_die(order: dict[str, str], steps: dying.Steps) -> None:
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
                store=cast("AnchorStore", dying.Announced(store.anchors, steps)),
                ledger=cast("Ledger", dying.Announced(ledger, steps)),
            )
            await watched.turn(datetime.fromisoformat(order["now"]))
    finally:
        await store.close()


if __name__ == "__main__":
    dying.serve(anchor_and_die)
