# SPDX-License-Identifier: Apache-2.0
"""Lowest versions as data: read strictly, the newest wins, and the package brings what NVIDIA's bulletins say."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import PolicyError
from policies.minimums import Minimums, builtin_minimums, load_minimums, newest
from policies.nvidia_versions import driver_numbers
from policies.versioned import lowered
from tests.unit.policies.documents import attempt
from verifiers.nvidia.claims import Family

ADVISORY: dict[str, Any] = {
    "title": "x",
    "source": "a test",
    "date": "2026-01-01",
    "driver": {"580": "580.1.1"},
}


def text(version: int = 1, advisory: dict[str, Any] | None = None) -> bytes:
    """A list with one advisory, nvidia-1."""
    said = {"nvidia-1": ADVISORY if advisory is None else advisory}
    return json.dumps({"version": version, "date": "2026-01-01", "advisories": said}).encode()


def faults(data: bytes) -> dict[str, str]:
    found = attempt(load_minimums, data)
    assert isinstance(found, tuple), "the list loads"
    return {problem.path: problem.message for problem in found}


def test_every_key_is_read() -> None:
    data = text(3, ADVISORY | {"note": "n", "vbios": {"GH100": "96.00.9F.00.01"}})
    minimums = load_minimums(data)
    assert (minimums.file.version, minimums.text) == (3, data)
    assert minimums.sha256 == hashlib.sha256(data).digest()
    assert minimums.file.date == datetime(2026, 1, 1, tzinfo=UTC)
    advisory = minimums.file.advisories["nvidia-1"]
    assert (advisory.title, advisory.source, advisory.note) == ("x", "a test", "n")
    assert advisory.driver == {"580": "580.1.1"}
    assert advisory.vbios == {Family.GH100: "96.00.9F.00.01"}


def test_a_bulletin_without_numbers_is_kept_as_such() -> None:
    advisory = load_minimums(text(1, ADVISORY | {"driver": {}})).file.advisories["nvidia-1"]
    assert (advisory.driver, advisory.vbios) == ({}, {})


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"title": ""}, "title"),
        ({"source": ""}, "source"),
        ({"date": "soon"}, "date"),
        ({"driver": {"580": "580"}}, "driver.580"),
        ({"driver": {"580": "595.1.1"}}, "driver"),
        ({"driver": {"580": 580}}, "driver.580"),
        ({"vbios": {"GH100": "96.00.9F.00"}}, "vbios.GH100"),
        ({"vbios": {"H100": "96.00.9F.00.01"}}, "vbios.H100"),
        ({"switches": {}}, "switches"),
    ],
)
def test_a_fault_has_its_path(change: dict[str, Any], path: str) -> None:
    (found,) = faults(text(1, ADVISORY | change))
    assert found == f"advisories.nvidia-1.{path}"


def test_a_list_says_something() -> None:
    data = json.dumps({"version": 0, "date": "2026-01-01", "advisories": {}}).encode()
    assert faults(data).keys() == {"version", "advisories"}


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 999)
    | st.sampled_from(["580.1.1", "x", "2026-01-01"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["driver", "580", "GH100", "vbios"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*ADVISORY, "vbios", "x"]), json_values))
def test_whatever_an_advisory_holds_only_policy_errors_come_out(said: dict[str, Any]) -> None:
    found = attempt(load_minimums, text(1, ADVISORY | said))
    assert isinstance(found, Minimums) or all(problem.line for problem in found)


def test_the_newest_wins_in_any_order() -> None:
    one, two = (load_minimums(text(version)) for version in (1, 2))
    assert newest(one, two) is newest(two, one) is two


def test_a_version_says_one_thing() -> None:
    other = load_minimums(text(2, ADVISORY | {"title": "y"}))
    with pytest.raises(PolicyError, match="minimums of version 2 with other content"):
        newest(load_minimums(text(2)), other)


# what the package brings

DRIVERS = {
    "nvidia-5861": {
        "580": "580.178.04",
        "595": "595.91.07",
        "610": "610.57.04",
        "615": "615.71.09",
    },
    "nvidia-5821": {"535": "535.309.01", "580": "580.159.03", "595": "595.71.05"},
    "nvidia-5747": {
        "535": "535.288.01",
        "570": "570.211.01",
        "580": "580.126.09",
        "590": "590.48.01",
    },
    "nvidia-5703": {"535": "535.274.02", "570": "570.195.03", "580": "580.95.05"},
    "nvidia-5670": {"535": "535.261.03", "570": "570.172.08"},
    "nvidia-5630": {
        "535": "535.247.01",
        "550": "550.163.01",
        "570": "570.133.07",
        "575": "575.51.02",
    },
    "nvidia-5614": {"535": "535.230.02", "550": "550.144.03", "570": "570.86.15"},
    "nvidia-5674": {},
    "nvidia-5561": {},
}


def test_the_packages_list_has_the_numbers_of_the_bulletins() -> None:
    advisories = builtin_minimums().file.advisories
    assert {name: one.driver for name, one in advisories.items()} == DRIVERS
    assert {name for name, one in advisories.items() if one.vbios} == set()
    assert builtin_minimums() is builtin_minimums()


@pytest.mark.parametrize("name", DRIVERS)
def test_every_entry_says_where_it_is_from(name: str) -> None:
    advisory = builtin_minimums().file.advisories[name]
    number = name.removeprefix("nvidia-")
    assert advisory.source == f"https://nvidia.custhelp.com/app/answers/detail/a_id/{number}"
    assert advisory.date <= builtin_minimums().file.date
    assert advisory.driver or "no number" in advisory.note
    assert name != "nvidia-5861" or "Not in NVIDIA's repository" in advisory.note


def test_later_bulletins_ask_for_more_of_every_branch() -> None:
    rising = sorted(builtin_minimums().file.advisories.values(), key=lambda one: one.date)
    seen: dict[str, tuple[int, ...]] = {}
    for advisory in rising:
        for name, version in advisory.driver.items():
            assert driver_numbers(version) > seen.get(name, ())
            seen[name] = driver_numbers(version)
    assert len(seen) == 9


@pytest.mark.parametrize(
    ("change", "places"),
    [
        ({}, ()),
        ({"driver": {"580": "580.1.1.0"}}, ()),  # the same number
        ({"driver": {"580": "580.2"}}, ()),
        ({"driver": {"580": "580.1.1", "595": "595.1"}}, ()),
        ({"driver": {"580": "580.0.9"}}, ("driver.580",)),
        ({"driver": {"595": "595.1"}}, ("driver.580",)),
        ({"driver": {}}, ("driver.580",)),
        ({"vbios": {"GH100": "96.00.9F.00.02", "GB100": "01.00.00.00.00"}}, ()),
        ({"vbios": {"GH100": "96.00.9E.00.02"}}, ("vbios.GH100",)),
        ({"vbios": {}, "driver": {}}, ("driver.580", "vbios.GH100")),
    ],
)
def test_where_a_list_asks_for_less(change: dict[str, Any], places: tuple[str, ...]) -> None:
    advisory = ADVISORY | {"vbios": {"GH100": "96.00.9F.00.01"}}
    before, after = load_minimums(text(1, advisory)), load_minimums(text(2, advisory | change))
    assert lowered(before.numbers, after.numbers) == tuple(f"nvidia-1.{one}" for one in places)


def test_an_advisory_that_is_gone_asks_for_nothing() -> None:
    builtin = builtin_minimums()
    gone = {place for place in builtin.numbers if not place.startswith("nvidia-1.")}
    assert set(lowered(builtin.numbers, load_minimums(text()).numbers)) == gone
    assert lowered(load_minimums(text()).numbers, builtin.numbers) == ("nvidia-1.driver.580",)
    assert lowered(builtin.numbers, builtin.numbers) == ()
