# SPDX-License-Identifier: Apache-2.0
"""docs/chain.md says of gas what contracts/snapshots/Gas.json says, all of it; its targets are met."""

from __future__ import annotations

import json

from simulator.node import CONTRACTS
from tests.docs.documents import TOP, rows, section

NAMES = {
    "`register`": "register",
    "first `anchor`": "anchor first",
    "`anchor` with 13 nodes": "anchor 13 nodes",
    "`anchor` with 24 nodes": "anchor 24 nodes",
    "`anchor`, same log (heartbeat)": "anchor unchanged log",
    "`anchor` with 13 nodes and 1 tombstone": "anchor 13 nodes and 1 tombstone",
    "`anchor` with 13 nodes and 10 tombstones": "anchor 13 nodes and 10 tombstones",
    "`anchor` with 13 nodes and 100 tombstones": "anchor 13 nodes and 100 tombstones",
    "`guardianRevoke` with 1 handle": "guardianRevoke 1 handle",
    "`setLogKey`": "setLogKey",
}
EACH = "each of these 100 tombstones"
MEASURED = {
    name: int(gas)
    for name, gas in json.loads((CONTRACTS / "snapshots" / "Gas.json").read_text()).items()
}


def per_tombstone() -> int:
    return (MEASURED["anchor 13 nodes and 100 tombstones"] - MEASURED["anchor 13 nodes"]) // 100


def test_the_table_is_what_was_measured() -> None:
    table = {
        what: int(gas.replace(",", ""))
        for what, gas in rows(section(TOP / "docs" / "chain.md", "## Gas"))
    }
    assert table.pop(EACH) == per_tombstone()
    assert {NAMES[what]: gas for what, gas in table.items()} == MEASURED


def test_targets_are_met() -> None:
    assert MEASURED["anchor 13 nodes"] <= 110_000
    assert per_tombstone() <= 27_000
