# SPDX-License-Identifier: Apache-2.0
"""The staple's form: each member has one, and what has another is no staple."""

from __future__ import annotations

import json
from typing import Any

import pytest

from attestca_client.checks import Name, Outcome
from attestca_client.staple import MAX_STAPLE, StapleError, parse_staple
from tests.authority_lab import digest
from tests.relying_lab import b64, make_world, measurement, outcomes

WORLD = make_world()
LEAF = WORLD.issue()
WORLD.revoke(digest("other"))
STAPLE = WORLD.staple(LEAF)
HASH = b64(bytes(32))


def encoded(**changes: Any) -> bytes:  # noqa: ANN401 - any JSON
    return json.dumps(STAPLE | changes).encode()


WRONG: dict[str, dict[str, Any]] = {
    "no text": {"checkpoint": 1},
    "a checkpoint too long": {"checkpoint": "x" * 65_537},
    "a negative index": {"index": -1},
    "an index that is true": {"index": True},
    "an index too large": {"index": 1 << 62},
    "an index in a text": {"index": "1"},
    "an index that is no whole number": {"index": 1.0},
    "a time before 1970": {"time": -1},
    "a time too large": {"time": 1 << 63},
    "a short commitment": {"commitment": b64(bytes(31))},
    "a commitment that is not canonical": {"commitment": HASH[:-2] + "B="},
    "a commitment with white space": {"commitment": f"{HASH[:8]}\n{HASH[8:]}"},
    "hashes that are no list": {"hashes": HASH},
    "a hash that is none": {"hashes": [HASH, 1]},
    "too many hashes": {"hashes": [HASH] * 65},
    "no tree": {"revocations": ""},
    "a tree that is none": {"revocations": b64(b"\x09")},
    "a tree that goes on": {"revocations": b64(b"\x00\x00")},
    "entries that are no list": {"revoked": None},
    "an entry that is none": {"revoked": [HASH]},
    "too many entries": {"revoked": [HASH] * 257},
}


@pytest.mark.parametrize("what", WRONG)
def test_another_form(what: str) -> None:
    data = encoded(**WRONG[what])
    with pytest.raises(StapleError):
        parse_staple(data)
    assert outcomes(WORLD.check(LEAF, staple=data)) == {Name.STAPLE: Outcome.UNDECIDED}


@pytest.mark.parametrize("member", sorted(STAPLE))
def test_every_member_is_needed(member: str) -> None:
    data = json.dumps({name: value for name, value in STAPLE.items() if name != member}).encode()
    assert outcomes(WORLD.check(LEAF, staple=data)) == {Name.STAPLE: Outcome.UNDECIDED}


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"\xff", b"{" * 100_000, b'{"index":' + b"9" * 30 + b"}"],
    ids=["nothing", "null", "list", "bytes", "deep", "digits"],
)
def test_no_object(data: bytes) -> None:
    with pytest.raises(StapleError):
        parse_staple(data)


def test_as_large_as_may_be() -> None:
    parse_staple(encoded(checkpoint="x" * 65_536))
    parse_staple(encoded(hashes=[HASH] * 64))


def test_too_large() -> None:
    data = encoded() + b" " * MAX_STAPLE
    with pytest.raises(StapleError, match="larger than"):
        parse_staple(data)
    assert outcomes(WORLD.check(LEAF, staple=data)) == {Name.STAPLE: Outcome.UNDECIDED}


def test_a_member_of_a_later_version_is_passed_over() -> None:
    assert WORLD.check(LEAF, staple=encoded(more={"x": 1})).accepted


def test_an_entry_of_another_handle_explains_nothing() -> None:
    """The tree alone says what is revoked; entries tell when and why, each of its own handle."""
    world = make_world()
    leaf = world.issue()
    world.revoke(digest("other"))
    (other,) = world.revocations.values()
    world.revoke(measurement(leaf))
    staple = world.staple(leaf, revoked=[b64(other)])
    result = world.check(leaf, staple=staple)
    assert outcomes(result) == {Name.STAPLE_REVOKED: Outcome.FAILED}
    assert result.reasons[0].seen.endswith("its entry did not come along")
