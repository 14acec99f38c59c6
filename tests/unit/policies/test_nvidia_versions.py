# SPDX-License-Identifier: Apache-2.0
"""Versions of drivers and firmware: how they are read, and the rules that keep old ones out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.minimums import load_minimums
from policies.nvidia_versions import branch, driver_numbers, vbios_numbers
from policies.result import RuleResult
from policies.rules import RuleId
from tests.unit.policies.documents import policy
from tests.unit.policies.nvidia_claims import (
    GPU,
    PPCIE,
    SWITCH,
    finding,
    findings,
    gpu,
    ppcie,
    section,
    together,
    wanting,
)
from verifiers.nvidia.claims import Family, NvidiaClaims

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy
    from policies.minimums import Minimums

PASS, FAIL, MISSING, WARNED = (
    RuleResult.PASS,
    RuleResult.FAIL,
    RuleResult.MISSING,
    RuleResult.WARNED,
)
DRIVER, VBIOS = RuleId.DRIVER_MINIMUM, RuleId.VBIOS_MINIMUM


# reading


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("580.178.04", (580, 178, 4, 0)),
        ("545.00", (545, 0, 0, 0)),
        ("1.2.3.4", (1, 2, 3, 4)),
        ("99999.0.00000", (99999, 0, 0, 0)),
    ],
)
def test_numbers_of_a_driver(version: str, numbers: tuple[int, ...]) -> None:
    assert driver_numbers(version) == numbers
    assert branch(version) == version.split(".", maxsplit=1)[0]


@pytest.mark.parametrize(
    "version",
    [
        "",
        "580",
        "580.",
        ".580",
        "580..1",
        "1.2.3.4.5",
        "580.1a",
        "580.-1",
        "580. 1",
        "580.100000",
        "580.²",
        "٥٨٠.1",
        "580.1\n",
    ],
)
def test_no_version_of_a_driver(version: str) -> None:
    with pytest.raises(ValueError, match="version of a driver"):
        driver_numbers(version)


def test_numbers_of_firmware_are_hexadecimal() -> None:
    assert vbios_numbers("96.00.9F.00.01") == (0x96, 0, 0x9F, 0, 1)
    assert vbios_numbers("96.00.cf.00.01") == (0x96, 0, 0xCF, 0, 1)


@pytest.mark.parametrize(
    "version",
    [
        "",
        "96.00.9F.00",
        "96.00.9F.00.01.02",
        "96.0.9F.00.01",
        "96.00.9G.00.01",
        "960.0.9F.00.01",
        "9600.9F.00.01",
        "96.00.9F.00.0²",
    ],
)
def test_no_version_of_firmware(version: str) -> None:
    with pytest.raises(ValueError, match="version of firmware"):
        vbios_numbers(version)


NUMBERS = st.tuples(st.integers(0, 99999), st.integers(0, 99999), st.integers(0, 99999))


@given(NUMBERS, NUMBERS)
def test_drivers_compare_as_numbers(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    read = [driver_numbers(".".join(f"{part:02}" for part in it)) for it in (one, other)]
    assert (read[0] < read[1]) == (one < other)


@given(st.text(max_size=20))
def test_any_text_is_a_version_or_a_value_error(text: str) -> None:
    for numbers in (driver_numbers, vbios_numbers):
        try:
            assert all(part >= 0 for part in numbers(text))
        except ValueError as error:
            assert "wants the version" in str(error)  # noqa: PT017  either is right


# rules


def listing(**advisories: dict[str, Any]) -> Minimums:
    """A list with these advisories."""
    facts = {"title": "x", "source": "a test", "date": "2026-01-01"}
    said = {name: facts | one for name, one in advisories.items()}
    return load_minimums(
        json.dumps({"version": 7, "date": "2026-01-01", "advisories": said}).encode()
    )


def driver(version: str | None, **rules: Any) -> tuple[RuleResult, str]:  # noqa: ANN401  JSON values
    found = finding(DRIVER, replace(GPU, driver_version=version), wanting(driver=rules))
    assert found.path == "devices[0].driver_version"
    assert found.actual == (version or "not reported")
    return found.result, found.hint


@pytest.mark.parametrize(
    ("version", "result"),
    [
        ("580.178.04", PASS),
        ("580.178.4", PASS),
        ("580.178.10", PASS),
        ("580.200", PASS),
        ("580.178.03", FAIL),
        ("580.99.99", FAIL),
        ("580.178", FAIL),
        ("595.91.07", PASS),
        ("595.71.05", FAIL),  # NVIDIA's manifests and service accept it
        ("590.48.01", FAIL),  # a branch that the bulletin does not list
        ("616.00", FAIL),  # nor a later one
        ("0580.999.01", FAIL),
        ("580.999.beta", FAIL),
        (None, FAIL),
    ],
)
def test_a_driver_by_a_bulletin(version: str | None, result: RuleResult) -> None:
    assert driver(version, advisories=["nvidia-5861"])[0] is result


@pytest.mark.parametrize(
    ("version", "result"),
    [("580.95.05", PASS), ("580.95.04", FAIL), ("570.195.03", PASS), ("595.91.07", FAIL)],
)
def test_a_driver_by_the_policys_own_minimum(version: str, result: RuleResult) -> None:
    own = {"580": "580.95.05", "570": "570.195.03"}
    assert driver(version, minimum=own)[0] is result


def test_every_source_counts() -> None:
    by = wanting(
        driver={
            "minimum": {"580": "580.200.01"},
            "advisories": ["nvidia-5821", "nvidia-5861", "nvidia-1"],
        }
    )
    found = findings(DRIVER, together(GPU), by)
    assert [(one.expected, one.result) for one in found] == [
        ("the policy: at least 580.200.01", FAIL),
        ("nvidia-5821: at least 580.159.03", PASS),
        ("nvidia-5861: at least 580.178.04", PASS),
        ("nvidia-1: an advisory of the list", MISSING),
    ]
    assert found[0].hint == (
        "device 0 (gpu): 580.178.04 is not good enough: older than the policy asks for, or not comparable: update it"
    )
    assert found[3].hint.endswith("nvidia-1 is not in the list of minimums")


def test_a_branch_that_is_not_listed_says_so() -> None:
    result, hint = driver("590.48.01", advisories=["nvidia-5861"])
    assert result is FAIL
    assert hint == (
        "device 0 (gpu): 590.48.01 is not good enough: nvidia-5861 has no minimum for this branch or family, so none "
        "of its versions will do"
    )
    assert "no version is not good enough" in driver(None, advisories=["nvidia-5861"])[1]


def test_each_gpu_and_no_switch_has_a_driver() -> None:
    by = wanting(**PPCIE)
    found = findings(DRIVER, ppcie(), by)
    assert [one.path for one in found] == [f"devices[{place}].driver_version" for place in range(8)]
    old = together(gpu(1), gpu(2, driver_version="580.95.05"))
    assert [one.result for one in findings(DRIVER, old)] == [PASS, FAIL]


def test_a_newer_list_asks_for_more() -> None:
    name = "nvidia-5861"
    newer = listing(**{name: {"driver": {"580": "580.178.05"}}})
    by = wanting(driver={"advisories": [name]})
    assert finding(DRIVER, GPU, by).result is PASS
    assert finding(DRIVER, GPU, by, newer).result is FAIL


@pytest.mark.parametrize(
    ("rule", "key", "devices"),
    [
        (DRIVER, "driver", (GPU, SWITCH)),
        (VBIOS, "vbios", (GPU, SWITCH)),
        (VBIOS, "vbios", (SWITCH,)),
    ],
)
def test_no_minimum_is_said_once(rule: RuleId, key: str, devices: tuple[NvidiaClaims, ...]) -> None:
    by = wanting(**{key: {"no_minimum": "a test of ours"}})
    (only,) = findings(rule, together(*devices), by)
    assert (only.result, only.path, only.expected) == (WARNED, "devices", "a minimum")
    assert only.hint == "the policy has no minimum: a test of ours"


@pytest.mark.parametrize(("rule", "key"), [(DRIVER, "driver"), (VBIOS, "vbios")])
def test_without_devices_there_is_nothing_to_say(rule: RuleId, key: str) -> None:
    by = wanting(gpus={"min": 0, "max": 1}, **{key: {"no_minimum": "a test of ours"}})
    assert findings(rule, None, by) == []


def test_switches_alone_need_no_minimum_of_drivers() -> None:
    by = wanting(driver={"no_minimum": "a test of ours"})
    assert findings(DRIVER, together(SWITCH), by) == []


@pytest.mark.parametrize(
    ("version", "result"),
    [
        ("96.00.CF.00.01", PASS),
        ("96.00.D0.00.00", PASS),
        ("96.01.00.00.00", PASS),
        ("96.00.CF.00.00", FAIL),
        ("96.00.9F.00.01", FAIL),
        ("95.FF.FF.FF.FF", FAIL),
        ("97.00.FF.00.01", FAIL),  # another line of firmware compares with nothing
        ("x", FAIL),
    ],
)
def test_firmware_by_the_policys_own_minimum(version: str, result: RuleResult) -> None:
    found = finding(VBIOS, replace(GPU, vbios_version=version))
    assert (found.result, found.path, found.actual) == (
        result,
        "devices[0].vbios_version",
        version,
    )
    assert found.expected == "the policy: at least 96.00.CF.00.01"


def test_each_device_by_its_family() -> None:
    found = findings(VBIOS, together(GPU, SWITCH))
    assert [(one.result, one.path) for one in found] == [
        (PASS, "devices[0].vbios_version"),
        (FAIL, "devices[1].vbios_version"),
    ]
    assert (
        "device 1 (switch): 96.10.73.00.01 is not good enough: the policy has no" in found[1].hint
    )
    assert {one.result for one in findings(VBIOS, ppcie(), wanting(**PPCIE))} == {PASS}


def test_firmware_by_advisories() -> None:
    by = wanting(vbios={"advisories": ["one", "nvidia-5674", "none"]})
    known = listing(
        one={"vbios": {"GH100": "96.00.CF.00.02", "LS10": "96.10.73.00.01"}},
        **{"nvidia-5674": {}},
    )
    found = findings(VBIOS, together(GPU, SWITCH), by, known)
    assert [one.result for one in found] == [FAIL, FAIL, MISSING, PASS, FAIL, MISSING]
    assert [one.expected for one in found[:3]] == [
        "one: at least 96.00.CF.00.02",
        "nvidia-5674: has none for it",
        "none: an advisory of the list",
    ]
    blackwell = gpu(1, family=Family.GB100)
    assert findings(VBIOS, together(blackwell), by, known)[0].result is FAIL


@pytest.mark.parametrize("rule", [DRIVER, VBIOS])
def test_old_versions_may_only_warn_for_a_while(rule: RuleId) -> None:
    old = replace(GPU, driver_version="580.95.05", vbios_version="96.00.9F.00.01")
    by: LoadedPolicy = policy(nvidia=section(), warn={rule.value: "2026-07-01"})
    assert finding(rule, old, by).result is WARNED
    unheard = policy(
        nvidia=section(driver={"advisories": ["x"]}, vbios={"advisories": ["x"]}),
        warn={rule.value: "2026-07-01"},
    )
    assert finding(rule, old, unheard).result is MISSING
