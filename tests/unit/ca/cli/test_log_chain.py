# SPDX-License-Identifier: Apache-2.0
"""What an audit finds where a chain says less or more than the log; on a chain of its own it runs in integration."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol.checkpoint import EMPTY_HEAD, Head
from ca.cli.log_chain import facts, findings, shortened
from ca.cli.log_state import Seen
from ca.ledger.events import Told
from ca.replay import Replay

DAY = 86_400
HANDLES = [bytes([i]) * 32 for i in range(4)]
KEY = b"k" * 20


def head(size: int, time: int) -> Head:
    return Head(size, EMPTY_HEAD.root, size, EMPTY_HEAD.revocation_root, bytes(32), time)


def replay(count: int = 3) -> Replay:
    """Each entry revokes one handle."""
    return Replay(size=count, revoked=[(i, HANDLES[i], bytes(32)) for i in range(count)])


def told(*heads: Head, tombstones: int) -> Told:
    return Told(heads, dict.fromkeys(HANDLES[:tombstones], KEY), 9, bytes(32), len(heads))


@pytest.mark.parametrize(
    ("heads", "tombstones", "late"),
    [
        ((head(3, 1000), head(3, 1000 + DAY)), 3, 0),
        ((head(3, 1000), head(3, 1000 + DAY)), 2, 1),
        ((head(3, 1000), head(3, 1000 + DAY)), 0, 3),
        ((head(2, 1000), head(3, 1000 + DAY)), 1, 1),  # the third is of a later head
        ((head(3, 1001), head(3, 1000 + DAY)), 0, 0),  # not a day yet
        ((head(3, 1000),), 0, 0),
    ],
)
def test_tombstones_that_do_not_come(heads: tuple[Head, ...], tombstones: int, late: int) -> None:
    said = told(*heads, tombstones=tombstones)
    found = findings(said, replay())
    assert [one.partition(" ")[0] for one in found] == ([f"{late}"] if late else [])
    assert all("have no tombstone" in one for one in found)
    assert facts(said, replay())["missing"] == 3 - tombstones


def test_many_that_the_log_does_not_revoke() -> None:
    handles = [i.to_bytes(32, "big") for i in range(1000, 1023)]
    said = Told((head(3, 1000),), dict.fromkeys(handles, KEY), 9, bytes(32), 1)
    found = findings(said, replay())
    assert len(found) == 21
    assert (
        found[0] == f"0x{KEY.hex()} revoked {handles[0].hex()} on the chain, and the log does not"
    )
    assert found[-1] == "and 3 more that the log does not revoke"


@given(
    steps=st.lists(st.integers(1, DAY), min_size=1, max_size=8),
    cut=st.integers(0, 8),
    tombstones=st.integers(0, 3),
)
def test_what_is_not_kept_of_a_chain_is_not_missed(
    steps: list[int], cut: int, tombstones: int
) -> None:
    """Whoever goes on from what was kept finds what one finds who reads all of it."""
    heads = [head(min(3, i // 2), sum(steps[: i + 1])) for i in range(len(steps))]
    first, later = heads[:cut], heads[cut:]
    kept = shortened(Seen(1, bytes(20), bytes(32), 0, told(*first, tombstones=tombstones))).said
    assert (kept.count, kept.new) == (len(first), 0)
    whole = told(*heads, tombstones=tombstones)
    gone_on = replace(whole, heads=(*kept.heads, *later))
    assert findings(gone_on, replay()) == findings(whole, replay())
    assert facts(gone_on, replay()) == facts(whole, replay())
