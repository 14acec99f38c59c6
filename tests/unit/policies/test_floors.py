# SPDX-License-Identifier: Apache-2.0
"""Floors as data: read strictly, the newest wins, and what the package brings fits the machines that it is about."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import PolicyError
from policies.floors import FloorFile, Floors, builtin_floors, load_floors, newest
from policies.versioned import lowered
from tests.unit.policies.documents import attempt
from verifiers.evidence import Product
from verifiers.snp.claims import PlatformBit

ADVISORY: dict[str, Any] = {
    "title": "x",
    "source": "a test",
    "date": "2026-01-01",
    "floors": {"19-01-1": {"reported": {"snp": 1}}},
}


def text(version: int = 1, advisory: dict[str, Any] | None = None) -> bytes:
    """A list with one advisory, AMD-SB-1."""
    said = {"AMD-SB-1": ADVISORY if advisory is None else advisory}
    return json.dumps({"version": version, "date": "2026-01-01", "advisories": said}).encode()


def faults(data: bytes) -> dict[str, str]:
    found = attempt(load_floors, data)
    assert isinstance(found, tuple), "the list loads"
    return {problem.path: problem.message for problem in found}


def test_every_key_is_read() -> None:
    everything = ADVISORY | {
        "cves": ["CVE-2026-1"],
        "note": "n",
        "report_version": 5,
        "platform": ["ecc"],
        "not_affected": ["Turin"],
        "floors": {"1a-02-1": {"launch": {"fmc": 1}, "reported": {"microcode": 255}}},
    }
    data = text(3, everything)
    floors = load_floors(data)
    assert (floors.file.version, floors.sha256) == (3, hashlib.sha256(data).digest())
    assert floors.file.date == datetime(2026, 1, 1, tzinfo=UTC)
    advisory = floors.file.advisories["AMD-SB-1"]
    assert (advisory.cves, advisory.report_version) == (("CVE-2026-1",), 5)
    assert advisory.platform == {PlatformBit.ECC}
    assert advisory.not_affected == {Product.TURIN}
    launch = advisory.floors["1a-02-1"].launch
    assert launch is not None
    assert (launch.fmc, launch.snp) == (1, None)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"title": ""}, "title"),
        ({"source": ""}, "source"),
        ({"date": "soon"}, "date"),
        ({"report_version": 1}, "report_version"),
        ({"report_version": 6}, "report_version"),
        ({"platform": ["aliases"]}, "platform[0]"),
        ({"not_affected": ["Venice"]}, "not_affected[0]"),
        ({"floors": {"Milan": {"reported": {"snp": 1}}}}, "floors.Milan"),
        ({"floors": {"19-1-1": {"reported": {"snp": 1}}}}, "floors.19-1-1"),
        ({"floors": {"19-01-1": {}}}, "floors.19-01-1"),
        ({"floors": {"19-01-1": {"reported": {}}}}, "floors.19-01-1.reported"),
        ({"floors": {"19-01-1": {"reported": {"snp": 256}}}}, "floors.19-01-1.reported.snp"),
        ({"floors": {"19-01-1": {"reported": {"snp": "1"}}}}, "floors.19-01-1.reported.snp"),
        ({"floors": {}}, ""),
        ({"url": "x"}, "url"),
    ],
)
def test_a_fault_has_its_path(change: dict[str, Any], path: str) -> None:
    (found,) = faults(text(1, ADVISORY | change))
    assert found == f"advisories.AMD-SB-1.{path}".removesuffix(".")


def test_faults_have_their_line_and_come_at_once() -> None:
    data = b"version: 0\ndate: 2026-01-01\nadvisories: {}\nversion: 1\n"
    found = attempt(load_floors, data)
    assert isinstance(found, tuple)
    assert [(one.line, one.path) for one in found] == [
        (1, "version"),
        (3, "advisories"),
        (4, "version"),
    ]


def test_a_fault_of_the_structure_alone_refuses() -> None:
    assert "second document" in faults(text() + b"\n---\n{}\n")[""]


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 300) | st.sampled_from(["ecc", "x", "2026-01-01"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["floors", "19-01-1", "reported", "snp", "title", "platform"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*ADVISORY, "platform", "x"]), json_values))
def test_whatever_an_advisory_holds_only_policy_errors_come_out(said: dict[str, Any]) -> None:
    found = attempt(load_floors, text(1, ADVISORY | said))
    assert isinstance(found, Floors) or all(problem.line for problem in found)


@given(st.binary(max_size=40))
def test_whatever_the_bytes_only_policy_errors_come_out(data: bytes) -> None:
    assert isinstance(attempt(load_floors, data), tuple)


def test_the_newest_wins_in_any_order() -> None:
    one, two, three = (load_floors(text(version)) for version in (1, 2, 3))
    assert newest(one) is one
    assert newest(one, three, two) is three
    assert newest(three, one) is three
    assert newest(two, load_floors(text(2))).sha256 == two.sha256


def test_a_version_says_one_thing() -> None:
    other = load_floors(text(2, ADVISORY | {"title": "y"}))
    with pytest.raises(PolicyError, match="floors of version 2 with other content"):
        newest(load_floors(text(2)), other)
    with pytest.raises(PolicyError, match="versions only rise"):
        newest(load_floors(text(1)), other, load_floors(text(2)))
    assert newest(load_floors(text(2)), load_floors(text(3)), other).file.version == 3


# what the package brings

MODELS = {"19-01-1", "19-01-2", "19-11-1", "19-11-2", "19-a0-2", "1a-02-1", "1a-11-0"}


def builtin() -> FloorFile:
    return builtin_floors().file


def test_the_packages_list_is_read_once() -> None:
    assert builtin_floors() is builtin_floors()


def test_the_packages_list_is_about_known_models() -> None:
    named = {model for one in builtin().advisories.values() for model in one.floors}
    assert named == MODELS


@pytest.mark.parametrize("name", sorted(builtin().advisories))
def test_every_advisory_says_where_it_is_from_and_how_sure_it_is(name: str) -> None:
    advisory = builtin().advisories[name]
    assert advisory.source.startswith(
        "https://www.amd.com/en/resources/product-security/bulletin/amd-sb-"
    )
    assert name.lower() in advisory.source
    assert advisory.cves
    assert advisory.date <= builtin().date
    assert "onfirmed" in advisory.note or "Seen in reports" in advisory.note


def test_later_microcode_floors_are_not_below_earlier_ones() -> None:
    def microcode(name: str) -> dict[str, int]:
        floors = builtin().advisories[name].floors
        return {
            model: floor.reported.microcode
            for model, floor in floors.items()
            if floor.reported is not None and floor.reported.microcode is not None
        }

    cache, entry, stack = map(microcode, ("AMD-SB-3005", "AMD-SB-3019", "AMD-SB-3027"))
    assert all(cache[model] <= entry[model] for model in cache)
    assert all(entry[model] <= stack[model] for model in entry)
    assert stack.keys() == MODELS


EVERYTHING = ADVISORY | {
    "report_version": 3,
    "platform": ["ecc", "smt"],
    "not_affected": ["Turin"],
    "floors": {"19-01-1": {"reported": {"snp": 5, "microcode": 9}, "launch": {"tee": 1}}},
}


@pytest.mark.parametrize(
    ("change", "places"),
    [
        ({}, ()),
        ({"report_version": 4, "not_affected": []}, ()),
        ({"report_version": 2}, ("report_version",)),
        ({"platform": ["ecc"]}, ("platform.smt",)),
        ({"not_affected": ["Turin", "Milan"]}, ("affected.Milan",)),
        (
            {"floors": {"19-01-1": {"reported": {"snp": 4, "microcode": 10}}}},
            ("floors.19-01-1.reported.snp", "floors.19-01-1.launch.tee"),
        ),
        (
            {"floors": {"19-01-2": EVERYTHING["floors"]["19-01-1"]}},
            (
                "floors.19-01-1.reported.snp",
                "floors.19-01-1.reported.microcode",
                "floors.19-01-1.launch.tee",
            ),
        ),
    ],
)
def test_where_a_list_asks_for_less(change: dict[str, Any], places: tuple[str, ...]) -> None:
    before, after = load_floors(text(1, EVERYTHING)), load_floors(text(2, EVERYTHING | change))
    assert lowered(before.numbers, after.numbers) == tuple(f"AMD-SB-1.{one}" for one in places)
