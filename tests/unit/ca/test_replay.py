# SPDX-License-Identifier: Apache-2.0
"""Reading a log from outside: an honest one, and every way to cheat that a reader can see."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol import frame, leaf_hash
from ca import audit, merkle
from ca.replay import NotOneHistoryError, Replay, StateError
from ca.revocation_tree import RevocationTree
from tests import records
from tests.authority_lab import make_lab
from tests.log_lab import head_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attestca_client.protocol.checkpoint import Head

LAB = make_lab()
ISSUER = LAB.issuer.certificate
POLICY = records.digest("policy")


@dataclass
class Served:
    """A log as it is served."""

    entries: list[bytes] = field(default_factory=list)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def add(self, entries: Iterable[audit.Entry | bytes]) -> None:
        new = [one if isinstance(one, bytes) else audit.encode(one) for one in entries]
        leaves = [leaf_hash(one) for one in new]
        self.tiles.update(merkle.grow(self.read, len(self.entries), leaves))
        self.entries += new

    def read(self, level: int, number: int) -> bytes:
        return self.tiles.get((level, number), b"")

    def head(self) -> Head:
        """As the authority would sign it: what the tree of revocations is, it computes by itself."""
        tree = RevocationTree()
        for entry in self.entries:
            handle = audit.revoked_by(entry)
            if handle is not None:
                tree = tree.with_all([(handle, leaf_hash(entry))])
        size = len(self.entries)
        root = merkle.tree_hash(self.read, size)
        return head_of(size, root, revocation_count=tree.count, revocation_root=tree.root)

    def bundle(self, number: int, width: int) -> bytes:
        first = number * merkle.WIDTH
        return merkle.encode_bundle(self.entries[first : first + width])


def read(replay: Replay, served: Served) -> Replay:
    """All that is there; full tiles are those that are served."""
    head = served.head()
    for number, width in replay.missing(head.size):
        for tile, hashes in replay.take(number, width, served.bundle(number, width)).items():
            assert served.tiles[tile] == hashes
    replay.finish(head)
    return replay


def key() -> audit.KeyAdded:
    return audit.KeyAdded(records.NOW, "issuing", records_der())


def records_der() -> bytes:
    return ISSUER.public_bytes(Encoding.DER)


def policy() -> audit.PolicyChange:
    return audit.PolicyChange(records.NOW, "policy", "cvm", 1, POLICY, "active")


def issuance(number: int) -> audit.Issuance:
    digest = records.digest(f"certificate {number}")
    return audit.Issuance(records.NOW, LAB.issuer.key_id, number + 1, digest, POLICY, digest)


def revocation(number: int) -> audit.Revocation:
    handle = records.digest(f"handle {number}")
    return audit.Revocation(records.NOW, number, "chip", handle, "keyCompromise")


def honest(count: int = 600) -> Served:
    served = Served()
    served.add([key(), policy(), *map(issuance, range(count)), revocation(1), revocation(5)])
    return served


def test_an_honest_log() -> None:
    replay = read(Replay(), honest())
    assert replay.findings == []
    assert replay.counts == {"key": 1, "policy": 1, "issuance": 600, "revocation": 2}


@given(st.lists(st.integers(0, 300), min_size=1, max_size=5))
def test_from_time_to_time(parts: list[int]) -> None:
    served, replay, total = Served(), Replay(), 0
    for part in parts:
        served.add(issuance(number) for number in range(total, total + part))
        total += part
        read(replay, served)
        text = json.dumps(replay.to_json())
        again = Replay.from_json(json.loads(text), served.head())
        assert again == replay
        replay = again
    assert replay.counts["issuance"] == total == replay.size


def test_what_does_not_agree_with_itself() -> None:
    served = Served()
    served.add([issuance(1), revocation(2), revocation(2), revocation(1)])
    served.add([b"no entry", audit.KeyAdded(records.NOW, "issuing", b"no certificate")])
    found = read(Replay(), served).findings
    assert [one.split(":")[0] for one in found[:4]] == [
        f"entry {number}" for number in (2, 3, 4, 5)
    ]
    assert LAB.issuer.key_id.hex() in found[4]
    assert POLICY.hex() in found[5]
    assert len(found) == 6


def test_a_policy_that_was_only_retired_was_never_in_force() -> None:
    served = Served()
    retired = audit.PolicyChange(records.NOW, "policy", "cvm", 1, POLICY, "retired")
    listed = audit.PolicyChange(records.NOW, "list", "cvm", 1, POLICY, "active")
    served.add([key(), retired, listed, issuance(1)])
    (found,) = read(Replay(), served).findings
    assert "never came into force" in found


def test_kinds_of_later_versions_are_counted() -> None:
    served = honest()
    served.add([frame(b"attestca/1 log", b"something-new", bytes(8))])
    replay = read(Replay(), served)
    assert replay.findings == []
    assert replay.counts["something-new"] == 1


def rewritten(served: Served, at: int) -> Served:
    """The same log, had another entry stood there."""
    other = Served()
    other.add([*served.entries[:at], audit.encode(issuance(9999)), *served.entries[at + 1 :]])
    return other


@pytest.mark.parametrize("at", [0, 255, 256, 511, 550, 603])
def test_a_history_that_is_rewritten(at: int) -> None:
    served = honest()
    replay = read(Replay(), served)
    other = rewritten(served, at)
    other.add([revocation(6)])
    with pytest.raises(NotOneHistoryError):
        read(replay, other)


@pytest.mark.parametrize("at", [0, 255, 603])
def test_an_entry_that_is_not_what_was_signed(at: int) -> None:
    served, lie = honest(), rewritten(honest(), at)
    replay, head = Replay(), served.head()
    for number, width in replay.missing(head.size):
        replay.take(number, width, lie.bundle(number, width))
    with pytest.raises(NotOneHistoryError, match="do not make the tree"):
        replay.finish(head)


def test_entries_that_are_missing() -> None:
    served = honest()
    with pytest.raises(NotOneHistoryError, match="has 255 entries"):
        Replay().take(0, 256, served.bundle(0, 255))
    with pytest.raises(NotOneHistoryError, match="cut off"):
        Replay().take(0, 256, served.bundle(0, 256)[:-1])
    with pytest.raises(NotOneHistoryError, match="the checkpoint is of"):
        Replay().finish(served.head())


@pytest.mark.parametrize("at", [599, 603])
def test_a_bundle_that_is_not_that_of_the_last_time(at: int) -> None:
    """It is told where it is read: the tree would say no more than that something differs."""
    served = honest()
    replay = read(Replay(), served)
    served.add([revocation(6)])
    other = rewritten(served, at)
    ((number, width),) = replay.missing(605)
    before = (replay.size, dict(replay.edge), dict(replay.counts))
    with pytest.raises(NotOneHistoryError, match="not those of the last time"):
        replay.take(number, width, other.bundle(number, width))
    assert (replay.size, replay.edge, replay.counts) == before
    replay.take(number, width, served.bundle(number, width))
    replay.finish(served.head())


def test_what_was_found_is_found_again() -> None:
    """A later audit goes on behind it, and says it all the same; what was explained meanwhile it says no more."""
    served = Served()
    served.add([policy(), issuance(1), revocation(2), revocation(1)])
    first = read(Replay(), served)
    state = json.loads(json.dumps(first.to_json()))
    assert len(first.findings) == 2
    again = Replay.from_json(state, served.head())
    assert again.findings == first.findings
    served.add([key()])
    assert read(again, served).findings == [first.findings[0]]
    assert "out of its order" in first.findings[0]


def test_the_time_of_the_newest_entry() -> None:
    served, replay = Served(), Replay()
    assert replay.newest is None
    later = records.NOW + timedelta(hours=5)
    served.add([key(), replace(revocation(1), time=later), revocation(2)])
    assert read(replay, served).newest == later
    state = replay.to_json()
    assert Replay.from_json(state, served.head()).newest == later


def test_findings_are_bounded() -> None:
    served = Served()
    served.add([b"no entry"] * 300)
    replay = read(Replay(), served)
    assert len(replay.findings) == 100
    assert replay.counts["unreadable"] == 300


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"edge": {}},
        {"edge": {"0/2": "AAAA"}},
        {"edge": {"x": "AAAA"}},
        {"edge": []},
        {"counts": 5},
        {"revocation": "x"},
        {"issuers": 1},
        {"newest": "yesterday"},
        {"newest": "2026-03-01T00:00:00"},
        {"newest": 5},
        {"findings": None},
        {"revoked": []},
        {"revoked": [[1, "00", "00"]]},
        {"revoked": [[602, "00" * 32, "00" * 32]]},
        {"revoked": {"a": 1}},
    ],
    ids=str,
)
def test_a_state_that_is_not_ours(change: dict[str, object]) -> None:
    served = honest()
    state = read(Replay(), served).to_json()
    assert Replay.from_json(state, served.head()).size == 604
    with pytest.raises(StateError):
        Replay.from_json(state | change, served.head())
    with pytest.raises(StateError):
        Replay.from_json(state, rewritten(served, 600).head())


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_no_state_crashes_it(state: object) -> None:
    with pytest.raises(StateError):
        Replay.from_json(state, honest(1).head())
