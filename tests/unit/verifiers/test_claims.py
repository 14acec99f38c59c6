# SPDX-License-Identifier: Apache-2.0
"""Claims as JSON: nothing is lost, nothing is rounded, and what has no place there is a fault of ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.tdx_lab import Lab
from verifiers.claims import to_json
from verifiers.evidence import Tee


def test_scalars() -> None:
    assert [to_json(value) for value in (None, True, False, 7, -7, "text", Tee.TDX)] == [
        None,
        True,
        False,
        7,
        -7,
        "text",
        "tdx",
    ]
    assert to_json(b"\x00\xff") == "00ff"
    assert type(to_json(Tee.TDX)) is str


def test_large_integers_are_text() -> None:
    limit = 1 << 53
    assert [to_json(value) for value in (limit - 1, limit, -limit)] == [
        limit - 1,
        str(limit),
        str(-limit),
    ]


def test_times_are_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert to_json(datetime(2026, 1, 2, 5, 4, 5, tzinfo=east)) == "2026-01-02T03:04:05Z"
    assert to_json(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == "2026-01-02T03:04:05.000006Z"


def test_collections() -> None:
    assert to_json((1, [b"\1"])) == [1, ["01"]]
    assert to_json(frozenset({"b", "a"})) == to_json({"b", "a"}) == ["a", "b"]


@pytest.mark.parametrize("value", [1.5, object(), {"a": 1}])
def test_no_place(value: object) -> None:
    with pytest.raises(TypeError, match="no place"):
        to_json(value)


@pytest.mark.parametrize(("version", "body_type"), [(4, 2), (5, 3), (5, 4)])
def test_whole_claims(version: int, body_type: int) -> None:
    lab = Lab.create()
    lab.quote(version=version, body_type=body_type)
    claims = lab.exhibit().verify()
    found = to_json(claims)
    assert json.loads(json.dumps(found)) == found
    assert isinstance(found, dict)
    assert found["td"] == {
        name: getattr(claims.td, name).hex() for name in claims.td.__dataclass_fields__
    }
    assert (found["td15"] is None) == (body_type < 3)
    assert (found["td15_ex"] is None) == (body_type < 4)
