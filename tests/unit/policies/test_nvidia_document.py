# SPDX-License-Identifier: Apache-2.0
"""The section `nvidia`: every key is read, what is wrong has its place, and what is not said is strict."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.document import PolicyDocument
from policies.loader import default_text, load, load_default
from policies.nvidia_document import Count, NvidiaPart
from policies.rules import DEVICE_RULES, RELAXABLE, WARNABLE, RuleId
from tests.unit.policies.documents import attempt, faults, policy, snp_text, text
from tests.unit.policies.nvidia_claims import PPCIE, SECTION, section, snp_wanting, wanting
from verifiers.evidence import Tee
from verifiers.nvidia.claims import AppraisedBy, Family, Mode

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy
    from policies.nvidia_document import NvidiaRules

EVERYTHING: dict[str, Any] = {
    "appraisal": "both",
    "gpus": {"min": 8, "max": 8},
    "switches": 4,
    "models": ["GH100", "LS10"],
    "modes": ["ppcie"],
    "driver": {"advisories": ["nvidia-5861"], "minimum": {"580": "580.178.04"}},
    "vbios": {"advisories": ["x"], "minimum": {"GH100": "96.00.cf.00.01"}},
    "coverage": 33,
    "devices": ["41aabbccddeeff0011", "501122334455667788"],
    "tolerate_stale": {"ocsp": "24h", "nras": "30d"},
}


def rules(loaded: LoadedPolicy) -> NvidiaRules:
    assert loaded.document.nvidia is not None
    return loaded.document.nvidia


def test_every_key_is_read() -> None:
    read = rules(policy(nvidia=EVERYTHING))
    assert read.appraisal is AppraisedBy.BOTH
    assert (read.gpus, read.switches) == (Count(min=8, max=8), Count(min=4, max=4))
    assert read.models == {Family.GH100, Family.LS10}
    assert read.modes == {Mode.PPCIE}
    assert read.driver.minimum == {"580": "580.178.04"}
    assert read.vbios.minimum == {Family.GH100: "96.00.cf.00.01"}
    assert read.advisories == ("nvidia-5861", "x")
    assert read.coverage == 33
    assert read.devices == frozenset({"41AABBCCDDEEFF0011", "501122334455667788"})
    assert read.tolerate_stale == {
        NvidiaPart.OCSP: timedelta(days=1),
        NvidiaPart.NRAS: timedelta(days=30),
    }


def test_what_is_not_said_is_strict() -> None:
    read = rules(wanting())
    assert read.appraisal is AppraisedBy.LOCAL
    assert read.switches == Count(min=0, max=0)
    assert (read.coverage, read.devices, read.tolerate_stale) == (None, None, {})
    assert policy().document.nvidia is None


def test_it_stands_beside_either_technology() -> None:
    assert rules(wanting()) == rules(snp_wanting())


@pytest.mark.parametrize("key", ["gpus", "models", "modes", "driver", "vbios"])
def test_what_must_be_said(key: str) -> None:
    assert faults(text(nvidia=section(**{key: None}))) == {
        f"nvidia.{key}": "required, but not said"
    }


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ({"appraisal": "remote"}, "appraisal"),
        ({"gpus": -1}, "gpus"),
        ({"gpus": 17}, "gpus"),
        ({"gpus": True}, "gpus"),
        ({"gpus": "2"}, "gpus"),
        ({"gpus": {"min": 1}}, "gpus.max"),
        ({"gpus": {"max": 1}}, "gpus.min"),
        ({"gpus": {"min": 2, "max": 1}}, "gpus"),
        ({"gpus": {"min": 0, "max": 17}}, "gpus.max"),
        ({"gpus": {"min": -1, "max": 1}}, "gpus.min"),
        ({"switches": 17}, "switches"),
        ({"models": []}, "models"),
        ({"models": ["H100"]}, "models[0]"),
        ({"modes": []}, "modes"),
        ({"modes": ["SPT"]}, "modes[0]"),
        ({"driver": {}}, "driver"),
        ({"driver": {"no_minimum": "x"}}, "driver.no_minimum"),
        ({"driver": {"no_minimum": "x y z", "advisories": ["a"]}}, "driver"),
        ({"driver": {"no_minimum": "x y z", "minimum": {"1": "1.0"}}}, "driver"),
        ({"driver": {"minimum": {"580": "595.1.1"}}}, "driver.minimum"),
        ({"driver": {"minimum": {"580": "580"}}}, "driver.minimum.580"),
        ({"driver": {"advisories": ["a b"]}}, "driver.advisories[0]"),
        ({"driver": {"advisories": ["a", "b", "a"]}}, "driver.advisories[2]"),
        ({"vbios": {}}, "vbios"),
        ({"vbios": {"no_minimum": "x y z", "advisories": ["a"]}}, "vbios"),
        ({"vbios": {"minimum": {"GH100": "96.00"}}}, "vbios.minimum.GH100"),
        ({"vbios": {"minimum": {"H100": "96.00.9F.00.01"}}}, "vbios.minimum.H100"),
        ({"vbios": {"advisories": ["a", "a"]}}, "vbios.advisories[1]"),
        ({"coverage": 0}, "coverage"),
        ({"coverage": 65}, "coverage"),
        ({"devices": []}, "devices"),
        ({"devices": ["41" * 8]}, "devices[0]"),
        ({"devices": ["41" + "0" * 16]}, "devices[0]"),
        ({"devices": [41]}, "devices[0]"),
        ({"tolerate_stale": {"rim": "1h"}}, "tolerate_stale.rim"),
        ({"tolerate_stale": {"ocsp": "31d"}}, "tolerate_stale.ocsp"),
        ({"measurements": []}, "measurements"),
        ({"gpus": 0}, "gpus"),
        ({"gpus": 13, "switches": 4}, "gpus"),
    ],
)
def test_a_fault_has_its_path(keys: dict[str, Any], path: str) -> None:
    assert list(faults(text(nvidia=section(**keys)))) == [f"nvidia.{path}"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"driver": {}}, "wants advisories or minimum, or the reason for none as no_minimum"),
        (
            {"driver": {"no_minimum": "x y z", "advisories": ["a"]}},
            "no_minimum contradicts advisories and minimum",
        ),
        ({"driver": {"minimum": {"580": "595.1.1"}}}, '595.1.1 is not of the branch "580"'),
        ({"gpus": {"min": 2, "max": 1}}, "min is above max"),
        ({"gpus": 0}, "no device at all: leave the section out, which takes none"),
        ({"gpus": 13, "switches": 4}, "more than 16 devices with the switches"),
        ({"devices": ["41" + "0" * 16]}, "an all-zero id names no hardware"),
        ({"vbios": {"advisories": ["a", "a"]}}, "a is listed twice"),
    ],
)
def test_a_fault_says_what_is_wanted(keys: dict[str, Any], said: str) -> None:
    assert list(faults(text(nvidia=section(**keys))).values()) == [said]


def test_as_many_devices_as_there_may_be() -> None:
    assert rules(policy(nvidia=section(gpus=12, switches=4))).gpus.min == 12
    assert rules(policy(nvidia=section(gpus=0, switches=1))).switches.has(1)


@pytest.mark.parametrize(
    ("number", "there"), [(0, False), (1, True), (2, True), (3, True), (4, False)]
)
def test_a_range_has_its_ends(number: int, there: bool) -> None:  # noqa: FBT001  a table
    assert Count(min=1, max=3).has(number) is there


def test_a_range_for_people() -> None:
    assert (str(Count(min=1, max=3)), str(Count(min=2, max=2))) == ("1 to 3", "2")


@pytest.mark.parametrize("make", [text, snp_text])
@pytest.mark.parametrize("rule", sorted(DEVICE_RULES))
def test_which_rules_about_devices_can_be_softened(rule: RuleId, make: Any) -> None:  # noqa: ANN401  of documents
    for key, allowed, value in (
        ("relax", RELAXABLE, "because"),
        ("warn", WARNABLE, "2030-01-01"),
    ):
        found = attempt(load, make(nvidia=SECTION, **{key: {rule.value: value}}))
        assert isinstance(found, PolicyDocument) == (rule in allowed)


def test_which_these_are() -> None:
    assert {RuleId.FWID_MISSING} == RELAXABLE & DEVICE_RULES
    assert {
        RuleId.DEVICE_MODEL,
        RuleId.DRIVER_MINIMUM,
        RuleId.VBIOS_MINIMUM,
        RuleId.RIM_COVERAGE,
        RuleId.DEVICE_LIST,
    } == WARNABLE & DEVICE_RULES


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 70)
    | st.sampled_from(["GH100", "spt", "580.1.1", "24h", "nvidia-5861", "41" * 9]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["min", "max", "580", "GH100", "advisories", "minimum", "ocsp"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*EVERYTHING, "x"]), json_values))
def test_whatever_the_section_holds_only_policy_errors_come_out(said: dict[str, Any]) -> None:
    found = attempt(load, text(nvidia=SECTION | said))
    assert isinstance(found, PolicyDocument) or all(problem.line for problem in found)


# the defaults


@pytest.mark.parametrize("tee", Tee)
def test_the_default_with_devices_is_the_one_without_and_a_section(tee: Tee) -> None:
    plain, with_devices = load_default(tee), load_default(tee, devices=True)
    assert with_devices.document.name == f"{tee}-nvidia-strict"
    assert plain.document.nvidia is None
    own = {"name", "description", "nvidia"}
    assert with_devices.document.model_dump(exclude=own) == plain.document.model_dump(exclude=own)
    assert default_text(tee, devices=True) != default_text(tee)


@pytest.mark.parametrize("tee", Tee)
def test_the_defaults_section_is_strict(tee: Tee) -> None:
    read = rules(load_default(tee, devices=True))
    assert read == rules(load_default(Tee.TDX, devices=True))
    assert (read.appraisal, read.gpus, read.switches.max) == (
        AppraisedBy.LOCAL,
        Count(min=1, max=8),
        0,
    )
    assert read.models == {Family.GH100, Family.GB100}
    assert read.modes == {Mode.SPT, Mode.MPT}
    assert read.driver.advisories == ("nvidia-5861",)
    assert read.vbios.no_minimum is not None
    assert (read.coverage, read.devices, read.tolerate_stale) == (33, None, {})


def test_a_system_in_ppcie_mode_can_be_said() -> None:
    assert rules(wanting(**PPCIE)).switches == Count(min=4, max=4)
