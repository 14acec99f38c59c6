# SPDX-License-Identifier: Apache-2.0
"""Rules over NVIDIA devices: each passes a good device, and each keeps out what it is there for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from policies.appraise import appraise_devices
from policies.case import UnverifiedDevices
from policies.result import RuleResult
from policies.rules import RuleId
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import policy
from tests.unit.policies.nvidia_claims import (
    BY_BOTH,
    BY_NRAS,
    DAY,
    DRIVER,
    GPU,
    NOT_CHECKED,
    OCSP,
    PPCIE,
    REVOKED,
    SWITCH,
    TOKEN,
    VBIOS,
    denying,
    finding,
    findings,
    gpu,
    part,
    ppcie,
    section,
    together,
    wanting,
)
from verifiers.nvidia.claims import AppraisedBy, Coverage, Family, Mode, NvidiaClaims

PASS, FAIL, MISSING, WARNED = (
    RuleResult.PASS,
    RuleResult.FAIL,
    RuleResult.MISSING,
    RuleResult.WARNED,
)
SECOND = timedelta(seconds=1)
TWO = together(gpu(1), gpu(2))


@pytest.mark.parametrize(
    ("devices", "keys"),
    [
        (together(GPU), {}),
        (TWO, {"gpus": 2}),
        (ppcie(), PPCIE),
        (together(BY_NRAS), {"appraisal": "nras"}),
        (together(BY_BOTH), {"appraisal": "both", "coverage": 33, "devices": [GPU.device_serial]}),
    ],
    ids=["one", "two", "ppcie", "nras", "both"],
)
def test_what_is_wanted_passes(devices: Any, keys: dict[str, Any]) -> None:  # noqa: ANN401  a table
    found = appraise_devices(devices, wanting(**keys).document, NOW)
    assert {one.result for one in found} == {PASS}
    assert not any(one.hint for one in found)


SILENT = replace(TOKEN, claims_version="2.0", revocation=NOT_CHECKED)


# device-unexpected


def test_a_policy_without_the_section_says_nothing_of_no_devices() -> None:
    assert appraise_devices(None, policy().document, NOW) == ()


@pytest.mark.parametrize(
    ("devices", "actual"), [(UnverifiedDevices(3), "3 not verified"), (TWO, "2 verified")]
)
def test_a_policy_without_the_section_takes_no_devices(devices: Any, actual: str) -> None:  # noqa: ANN401  a table
    (only,) = appraise_devices(devices, policy().document, NOW)
    assert (only.rule, only.path, only.result) == (RuleId.DEVICE_UNEXPECTED, "devices", FAIL)
    assert (only.expected, only.actual) == ("no devices", actual)
    assert "ask for a profile that wants them" in only.hint


def test_devices_that_nobody_has_verified_do_not_pass_for_verified_ones() -> None:
    found = denying(UnverifiedDevices(1))
    assert found == {RuleId.DEVICE_UNEXPECTED: MISSING}
    (only,) = findings(RuleId.DEVICE_UNEXPECTED, UnverifiedDevices(1))
    assert (only.expected, only.actual) == ("verified devices", "1 not verified")
    assert only.hint == "nobody has looked at the devices: the CPU comes first"
    assert RuleId.DEVICE_UNEXPECTED in denying(
        UnverifiedDevices(1), wanting(gpus={"min": 0, "max": 1})
    )


def test_verified_devices_are_expected_by_the_section() -> None:
    (only,) = findings(RuleId.DEVICE_UNEXPECTED, together(GPU))
    assert (only.result, only.expected, only.actual, only.hint) == (
        PASS,
        "verified devices",
        "1 verified",
        "",
    )


# device-count


@pytest.mark.parametrize(
    ("wanted", "number", "result"),
    [
        (1, 0, MISSING),
        (1, 1, PASS),
        (1, 2, FAIL),
        (2, 1, FAIL),
        ({"min": 1, "max": 2}, 2, PASS),
        ({"min": 1, "max": 2}, 3, FAIL),
        ({"min": 2, "max": 4}, 1, FAIL),
        ({"min": 0, "max": 1}, 0, PASS),
    ],
)
def test_number_of_gpus(wanted: object, number: int, result: RuleResult) -> None:
    devices = together(*map(gpu, range(number))) if number else None
    gpus, switches = findings(RuleId.DEVICE_COUNT, devices, wanting(gpus=wanted))
    assert (gpus.path, switches.path) == ("devices.gpus", "devices.switches")
    assert (gpus.result, gpus.actual) == (result, str(number))
    assert switches.result is PASS


@pytest.mark.parametrize(
    ("wanted", "number", "result"), [(0, 1, FAIL), (1, 1, PASS), (4, 1, FAIL), (4, 0, FAIL)]
)
def test_number_of_switches(wanted: int, number: int, result: RuleResult) -> None:
    devices = together(GPU, *[SWITCH] * number)
    gpus, switches = findings(RuleId.DEVICE_COUNT, devices, wanting(switches=wanted))
    assert gpus.result is PASS
    assert (switches.result, switches.expected, switches.actual) == (
        result,
        str(wanted),
        str(number),
    )


def test_the_hint_of_a_count_says_in_which_way_it_is_wrong() -> None:
    by = wanting(gpus={"min": 2, "max": 3})
    hints = [
        findings(RuleId.DEVICE_COUNT, together(*map(gpu, range(number))), by)[0].hint
        for number in (1, 2, 4)
    ]
    assert hints == ["1 GPUs: too few for the policy", "", "4 GPUs: too many for the policy"]
    assert findings(RuleId.DEVICE_COUNT, together(GPU), by)[0].expected == "2 to 3"


# device-model


def test_only_listed_families() -> None:
    other = gpu(2, family=Family.GB100, model="GB100 A01 GSP BROM")
    good, bad = findings(RuleId.DEVICE_MODEL, together(GPU, other), wanting(gpus=2))
    assert (good.result, good.path) == (PASS, "devices[0].family")
    assert (bad.result, bad.path, bad.actual) == (
        FAIL,
        "devices[1].family",
        "GB100 (GB100 A01 GSP BROM)",
    )
    assert bad.hint == "device 1 (gpu): devices of the family GB100 are not allowed"
    assert finding(RuleId.DEVICE_MODEL, other, wanting(models=["GB100", "GH100"])).result is PASS


def test_switches_have_a_family_too() -> None:
    bad = finding(RuleId.DEVICE_MODEL, SWITCH)
    assert bad.result is FAIL
    assert bad.hint == "device 0 (switch): devices of the family LS10 are not allowed"


# device-mode


@pytest.mark.parametrize(
    ("modes", "mode", "result"),
    [
        (["spt"], Mode.SPT, PASS),
        (["spt"], Mode.MPT, FAIL),
        (["mpt"], Mode.SPT, FAIL),
        (["spt", "mpt"], Mode.MPT, PASS),
        (["spt", "mpt"], Mode.PPCIE, FAIL),
        (["spt", "mpt", "ppcie"], None, FAIL),
    ],
)
def test_only_listed_modes(modes: list[str], mode: Mode | None, result: RuleResult) -> None:
    found = finding(RuleId.DEVICE_MODE, replace(GPU, mode=mode), wanting(modes=modes))
    assert (found.result, found.path) == (result, "devices[0].mode")
    assert found.actual == (mode or "not reported")
    assert ("too old" in found.hint) == (mode is None)


def test_switches_have_no_mode() -> None:
    found = findings(RuleId.DEVICE_MODE, ppcie(), wanting(**PPCIE))
    assert [one.path for one in found] == [f"devices[{place}].mode" for place in range(8)]


# device-appraisal


@pytest.mark.parametrize(
    ("wanted", "passing"),
    [
        (AppraisedBy.LOCAL, {"local", "both"}),
        (AppraisedBy.NRAS, {"nras", "both"}),
        (AppraisedBy.BOTH, {"both"}),
    ],
)
def test_whose_word_counts(wanted: AppraisedBy, passing: set[str]) -> None:
    by = wanting(appraisal=wanted.value)
    found = [finding(RuleId.DEVICE_APPRAISAL, one, by) for one in (GPU, BY_NRAS, BY_BOTH)]
    assert [one.actual for one in found] == ["local", "nras", "both"]
    assert {one.actual for one in found if one.result is PASS} == passing
    assert {one.result for one in found} <= {PASS, FAIL}
    assert {one.expected for one in found} == {wanted}


def test_one_device_by_another_word_is_enough() -> None:
    devices = together(gpu(1), replace(BY_NRAS, device_serial="41" + "2" * 16))
    good, bad = findings(RuleId.DEVICE_APPRAISAL, devices, wanting(gpus=2))
    assert (good.result, bad.result, bad.path) == (PASS, FAIL, "devices[1].appraised_by")
    assert bad.hint == "device 1 (gpu): not appraised by whom the policy trusts with it"


# rim-coverage


def covering(*indexes: int) -> NvidiaClaims:
    open_ = tuple(index for index in range(64) if index not in indexes)
    return replace(GPU, coverage=Coverage(indexes, open_))


@pytest.mark.parametrize(("least", "result"), [(1, PASS), (33, PASS), (34, FAIL), (64, FAIL)])
def test_coverage(least: int, result: RuleResult) -> None:
    found = finding(RuleId.RIM_COVERAGE, GPU, wanting(coverage=least))
    assert (found.result, found.path) == (result, "devices[0].coverage")
    assert (found.expected, found.actual) == (
        f"at least {least} measurements",
        "33; not covered: 13-20, 41-63",
    )
    if result is FAIL:
        assert found.hint == (
            "device 0 (gpu): 33 measurements compared are too few for the policy; not covered: 13-20, 41-63"
        )


@pytest.mark.parametrize(
    ("indexes", "open_"),
    [
        (range(64), "none"),
        (range(63), "63"),
        (range(1, 63), "0, 63"),
        ((*range(10), 12, *range(15, 63)), "10-11, 13-14, 63"),
        ((), "0-63"),
    ],
)
def test_what_is_not_covered_is_named(indexes: Any, open_: str) -> None:  # noqa: ANN401  ranges and tuples
    found = finding(RuleId.RIM_COVERAGE, covering(*indexes), wanting(coverage=64))
    assert found.actual == f"{len(indexes)}; not covered: {open_}"


def test_without_a_least_number_coverage_is_no_question() -> None:
    assert findings(RuleId.RIM_COVERAGE, together(covering(1))) == []


@pytest.mark.parametrize(
    ("least", "compared", "result", "asked"),
    [
        (33, 31, PASS, 31),  # all that a switch has
        (33, 30, FAIL, 31),
        (31, 31, PASS, 31),
        (30, 30, PASS, 30),
        (30, 29, FAIL, 30),
    ],
)
def test_coverage_of_a_switch(least: int, compared: int, result: RuleResult, asked: int) -> None:
    small = replace(SWITCH, coverage=Coverage(tuple(range(compared)), tuple(range(compared, 31))))
    _, found = findings(RuleId.RIM_COVERAGE, together(GPU, small), wanting(coverage=least))
    assert (found.path, found.result) == ("devices[1].coverage", result)
    assert found.expected == f"at least {asked} measurements"


def test_a_token_covers_nothing() -> None:
    by = wanting(appraisal="nras", coverage=1)
    assert finding(RuleId.RIM_COVERAGE, BY_NRAS, by).result is FAIL


# fwid-missing


def test_a_report_without_firmware_id() -> None:
    bad = finding(RuleId.FWID_MISSING, replace(GPU, fwid=None))
    assert (bad.result, bad.path, bad.actual) == (FAIL, "devices[0].fwid", "not reported")
    assert "too old to report the firmware id" in bad.hint
    assert finding(RuleId.FWID_MISSING, GPU).actual == (b"F" * 48).hex()


def test_it_can_be_relaxed_by_name() -> None:
    by = policy(nvidia=section(), relax={"fwid-missing": "old drivers"})
    relaxed = finding(RuleId.FWID_MISSING, replace(GPU, fwid=None), by)
    assert (relaxed.result, relaxed.hint) == (WARNED, "relaxed by the policy: old drivers")


def test_a_switch_has_none() -> None:
    assert findings(RuleId.FWID_MISSING, together(SWITCH)) == []


# device-revocation-unknown


@pytest.mark.parametrize(
    ("device", "result", "wanting_of"),
    [
        (GPU, PASS, ""),
        (replace(GPU, revocation=NOT_CHECKED), MISSING, "device"),
        (replace(GPU, revocation=REVOKED), FAIL, "device"),
        (
            replace(GPU, rims=(replace(DRIVER, revocation=NOT_CHECKED), VBIOS)),
            MISSING,
            "signer of the driver manifest",
        ),
        (
            replace(GPU, rims=(DRIVER, replace(VBIOS, revocation=NOT_CHECKED))),
            MISSING,
            "signer of the vbios manifest",
        ),
        (
            replace(GPU, rims=(DRIVER, replace(VBIOS, revocation=REVOKED))),
            FAIL,
            "signer of the vbios manifest",
        ),
        (
            replace(GPU, revocation=NOT_CHECKED, rims=(DRIVER, replace(VBIOS, revocation=REVOKED))),
            FAIL,
            "device, signer of the vbios manifest",
        ),
        (replace(BY_NRAS, revocation=NOT_CHECKED), MISSING, "device"),
        (replace(BY_NRAS, nras=SILENT), MISSING, "token of NVIDIA's service"),
        (BY_BOTH, PASS, ""),
        (replace(BY_BOTH, nras=SILENT), MISSING, "token of NVIDIA's service"),
        (
            replace(BY_BOTH, nras=SILENT, revocation=NOT_CHECKED),
            MISSING,
            "device, token of NVIDIA's service",
        ),
        (BY_NRAS, PASS, ""),
    ],
)
def test_every_chain_must_be_good(
    device: NvidiaClaims, result: RuleResult, wanting_of: str
) -> None:
    found = finding(RuleId.DEVICE_REVOCATION_UNKNOWN, device)
    assert (found.result, found.path) == (result, "devices[0].revocation")
    assert found.hint.rpartition(": ")[2] == wanting_of
    assert found.actual.startswith(f"device {device.revocation}")


def test_every_device_must_be_good() -> None:
    devices = together(gpu(1), gpu(2, revocation=NOT_CHECKED))
    good, bad = findings(RuleId.DEVICE_REVOCATION_UNKNOWN, devices, wanting(gpus=2))
    assert (good.result, bad.result, bad.path) == (PASS, MISSING, "devices[1].revocation")


# collateral-stale

STALE = "collateral-stale"


def stale(device: NvidiaClaims, **budgets: str) -> dict[str, tuple[RuleResult, Any]]:
    found = findings(RuleId(STALE), together(device), wanting(tolerate_stale=budgets))
    return {one.path.rpartition(".")[2]: (one.result, one.until) for one in found}


def with_ocsp(ends: timedelta) -> NvidiaClaims:
    """The second of three answers ends so."""
    answers = (OCSP[0], part(OCSP[1].part, ends), OCSP[2])
    return replace(GPU, collateral=(*GPU.collateral[:2], *answers))


def test_each_kind_of_part_counts_by_what_ends_first() -> None:
    assert stale(with_ocsp(SECOND)) == {
        "ocsp": (PASS, NOW + SECOND),
        "rim": (PASS, NOW + 300 * DAY),
    }
    assert stale(BY_NRAS) == {"nras": (PASS, NOW + DAY / 24)}
    assert stale(BY_BOTH).keys() == {"ocsp", "rim", "nras"}


@pytest.mark.parametrize(
    ("late", "budget", "result"),
    [
        (timedelta(), "", PASS),
        (SECOND, "", FAIL),
        (SECOND, "1s", WARNED),
        (2 * SECOND, "1s", FAIL),
        (-SECOND, "1h", PASS),
    ],
)
def test_old_answers(late: timedelta, budget: str, result: RuleResult) -> None:
    budgets = {"ocsp": budget} if budget else {}
    found, until = stale(with_ocsp(-late), **budgets)["ocsp"]
    assert found is result
    extra = timedelta(hours=1) if budget == "1h" else (SECOND if budget else timedelta())
    assert until == NOW - late + extra


def test_a_budget_is_for_its_own_kind() -> None:
    assert stale(with_ocsp(-SECOND), nras="1h")["ocsp"][0] is FAIL
    token = replace(BY_NRAS, collateral=(part("nras", -SECOND),))
    assert stale(token, ocsp="1h")["nras"][0] is FAIL
    assert stale(token, nras="1h")["nras"] == (WARNED, NOW - SECOND + timedelta(hours=1))


def test_manifests_and_what_is_not_known_have_no_budget() -> None:
    old = replace(GPU, collateral=(part("rim-driver", -SECOND), *OCSP))
    assert stale(old, ocsp="30d", nras="30d")["rim"][0] is FAIL
    other = replace(GPU, collateral=(*GPU.collateral, part("crl-device", -SECOND)))
    assert stale(other, ocsp="30d", nras="30d")["crl"][0] is FAIL


def test_what_was_fresh_when_verified_may_be_old_when_judged() -> None:
    later = appraise_devices(together(GPU), wanting().document, NOW + DAY + SECOND)
    assert [one.path for one in later if one.result is FAIL] == ["devices[0].collateral.ocsp"]
    verified = replace(GPU, verified_at=NOW + DAY + SECOND)
    assert stale(verified)["ocsp"][0] is FAIL


@pytest.mark.parametrize(
    ("device", "lost"),
    [
        (replace(GPU, collateral=GPU.collateral[:2]), {"ocsp"}),
        (replace(GPU, collateral=OCSP), {"rim"}),
        (replace(GPU, collateral=(), revocation=NOT_CHECKED), {"rim"}),
        (replace(GPU, collateral=(), revocation=REVOKED), {"rim", "ocsp"}),
        (replace(BY_NRAS, collateral=()), {"nras"}),
        (replace(GPU, nras=TOKEN), {"nras"}),
        (replace(BY_NRAS, nras=None, collateral=()), set()),
    ],
)
def test_a_verdict_rests_on_parts_that_have_an_end(device: NvidiaClaims, lost: set[str]) -> None:
    found = findings(RuleId(STALE), together(device))
    assert {one.path for one in found if one.result is MISSING} == {
        f"devices[0].collateral.{name}" for name in lost
    }


def test_each_device_has_its_own_parts() -> None:
    devices = together(gpu(1), gpu(2, collateral=with_ocsp(-SECOND).collateral))
    found = findings(RuleId(STALE), devices, wanting(gpus=2))
    assert [one.path for one in found if one.result is FAIL] == ["devices[1].collateral.ocsp"]


# device-list


def test_listed_devices_only() -> None:
    one, other = gpu(1), gpu(2)
    by = wanting(gpus=2, devices=[one.device_serial.lower()])
    good, bad = findings(RuleId.DEVICE_LIST, together(one, other), by)
    assert (good.result, good.path) == (PASS, "devices[0].device_serial")
    assert (bad.result, bad.path, bad.actual) == (
        FAIL,
        "devices[1].device_serial",
        other.device_serial,
    )
    assert (bad.expected, bad.hint) == (
        "one of 1 listed devices",
        "device 1 (gpu): this device is not listed",
    )
    assert findings(RuleId.DEVICE_LIST, together(one)) == []


def test_switches_are_listed_too() -> None:
    by = wanting(devices=[GPU.device_serial])
    found = findings(RuleId.DEVICE_LIST, together(GPU, SWITCH), by)
    assert [one.result for one in found] == [PASS, FAIL]
