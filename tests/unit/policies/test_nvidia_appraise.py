# SPDX-License-Identifier: Apache-2.0
"""Appraisal of a CPU with devices beside it: one verdict, one end, and nothing that is only half looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.appraise import NVIDIA_CHECKS, appraise, appraise_devices, denies_cpu
from policies.case import UnverifiedDevices
from policies.loader import load_default
from policies.minimums import builtin_minimums, load_minimums
from policies.result import AttestationResult, Decision, RuleResult, log_text
from policies.rules import DEVICE_RULES, RELAXABLE, WARNABLE, RuleId
from policies.select import select
from tests.unit.policies.claims_factory import COLLATERAL, GOOD, NOW, register
from tests.unit.policies.documents import policy, snp_policy
from tests.unit.policies.nvidia_claims import (
    BY_NRAS,
    DAY,
    GPU,
    NOT_CHECKED,
    OCSP,
    PPCIE,
    SECTION,
    SWITCH,
    denying,
    gpu,
    part,
    ppcie,
    section,
    snp_wanting,
    together,
    wanting,
)
from tests.unit.policies.snp_claims import GOOD_SNP
from verifiers.endorsements import Revocation
from verifiers.evidence import Tee
from verifiers.nvidia.claims import Coverage, DeviceKind, Family, Mode, NvidiaClaims

MISSING, WARNED = RuleResult.MISSING, RuleResult.WARNED
DEVICES = together(GPU)
SECOND = timedelta(seconds=1)
PAST = NOW - SECOND

# Devices with everything wrong, and the policy that says so.
WORST = together(
    replace(
        SWITCH,
        revocation=NOT_CHECKED,
        collateral=(part("rim-switch-bios"), part("ocsp-device", -SECOND)),
    ),
    replace(
        GPU,
        family=Family.GB202,
        driver_version="535.86.09",
        vbios_version="95.00.00.00.01",
        fwid=None,
        mode=None,
        coverage=Coverage((1,), tuple(range(2, 64))),
        nras=BY_NRAS.nras,
        rims=(),
        collateral=(part("nras", -SECOND),),
    ),
)
STRICT: dict[str, Any] = {
    "gpus": 2,
    "coverage": 33,
    "devices": ["41" * 9],
    "vbios": {"minimum": {"GH100": "96.00.CF.00.01", "GB202": "98.00.00.00.01"}},
}


def test_a_machine_with_its_devices_is_accepted() -> None:
    for claims, by in ((GOOD, wanting()), (GOOD_SNP, snp_wanting())):
        result = appraise(claims, by, NOW, devices=DEVICES)
        assert result.decision is Decision.ACCEPTED
        assert result.tolerated == ()
        assert result.all_pinned
    whole = appraise(GOOD, wanting(**PPCIE), NOW, devices=ppcie())
    assert whole.decision is Decision.ACCEPTED


def test_a_policy_that_wants_devices_denies_a_machine_without() -> None:
    result = appraise(GOOD, wanting(), NOW)
    assert [(one.rule, one.path, one.result) for one in result.denying] == [
        (RuleId.DEVICE_COUNT, "devices.gpus", MISSING)
    ]


@pytest.mark.parametrize("devices", [DEVICES, UnverifiedDevices(1)])
@pytest.mark.parametrize(("claims", "by"), [(GOOD, policy()), (GOOD_SNP, snp_policy())])
def test_a_policy_that_wants_none_denies_a_machine_with_devices(
    claims: Any,  # noqa: ANN401  of either technology
    by: Any,  # noqa: ANN401  keyword
    devices: Any,  # noqa: ANN401  a table
) -> None:
    assert appraise(claims, by, NOW).decision is Decision.ACCEPTED
    result = appraise(claims, by, NOW, devices=devices)
    assert {one.rule for one in result.denying} == {RuleId.DEVICE_UNEXPECTED}


def test_good_devices_do_not_make_up_for_a_bad_cpu() -> None:
    other = replace(GOOD, td=replace(GOOD.td, mr_td=register(1)))
    result = appraise(other, wanting(), NOW, devices=DEVICES)
    assert {one.rule for one in result.denying} == {RuleId.MEASUREMENT}


def test_whether_the_cpu_is_refused_is_known_before_devices_are_looked_at() -> None:
    unseen = UnverifiedDevices(2)
    other = replace(GOOD, td=replace(GOOD.td, mr_td=register(1)))
    for claims, refused in ((GOOD, False), (other, True)):
        result = appraise(claims, wanting(), NOW, devices=unseen)
        assert result.decision is Decision.DENIED
        assert denies_cpu(result) is refused


def test_without_devices_nothing_is_said_of_them() -> None:
    """Results of machines without devices are what they were, to the byte."""
    result = appraise(GOOD, policy(), NOW)
    assert DEVICE_RULES.isdisjoint(one.rule for one in result.findings)
    assert "minimums" not in result.as_json()


def test_all_rules_run_and_each_denies() -> None:
    """Devices with everything wrong: no rule hides another, no device another."""
    found = denying(WORST, wanting(**STRICT))
    assert found.keys() == (DEVICE_RULES | {RuleId.COLLATERAL_STALE}) - {RuleId.DEVICE_UNEXPECTED}
    result = appraise(GOOD, wanting(**STRICT), NOW, devices=WORST)
    assert all(one.expected and one.hint for one in result.denying)


def test_no_check_stands_twice() -> None:
    assert len(set(NVIDIA_CHECKS)) == len(NVIDIA_CHECKS) == len(DEVICE_RULES)


def test_findings_stand_in_the_order_of_the_rules_and_those_of_devices_behind() -> None:
    order = list(RuleId)
    for devices in (WORST, DEVICES, UnverifiedDevices(1)):
        alone = appraise_devices(devices, wanting(**STRICT).document, NOW)
        positions = [order.index(one.rule) for one in alone]
        assert positions == sorted(positions)
        whole = appraise(GOOD, wanting(**STRICT), NOW, devices=devices)
        assert whole.findings[-len(alone) :] == alone
        assert all(not one.path.startswith("devices") for one in whole.findings[: -len(alone)])


def test_softening_everything_leaves_what_must_hold() -> None:
    by = policy(
        nvidia=section(**STRICT),
        relax={rule.value: "all of them" for rule in RELAXABLE & DEVICE_RULES},
        warn={rule.value: "2027-01-01" for rule in WARNABLE & DEVICE_RULES},
    )
    assert denying(WORST, by).keys() == {
        RuleId.COLLATERAL_STALE,
        RuleId.DEVICE_COUNT,
        RuleId.DEVICE_MODE,
        RuleId.DEVICE_APPRAISAL,
        RuleId.DEVICE_REVOCATION_UNKNOWN,
    }


def test_a_warning_ends_with_its_date() -> None:
    old = together(replace(GPU, driver_version="580.95.05"))
    by = policy(nvidia=section(), warn={"driver-minimum": "2026-06-01T13:00:00Z"})
    result = appraise(GOOD, by, NOW, devices=old)
    assert result.decision is Decision.ACCEPTED
    assert [one.rule for one in result.tolerated] == [RuleId.DRIVER_MINIMUM]
    assert result.valid_until == NOW + timedelta(hours=1)
    later = appraise(GOOD, by, NOW + timedelta(hours=1), devices=old)
    assert later.decision is Decision.DENIED


# when it ends


@pytest.mark.parametrize(
    ("device", "keys", "until"),
    [
        (GPU, {}, NOW + DAY),
        (
            replace(GPU, collateral=(*GPU.collateral, part("ocsp-device", DAY / 2))),
            {},
            NOW + DAY / 2,
        ),
        (GPU, {"tolerate_stale": {"ocsp": "24h"}}, NOW + 2 * DAY),
        (GPU, {"tolerate_stale": {"ocsp": "30d"}}, COLLATERAL[0].next_update),
        (replace(GPU, certificates_expire=NOW + DAY / 3), {}, NOW + DAY / 3),
        (
            replace(GPU, collateral=(part("rim-driver", DAY / 4), *OCSP)),
            {"tolerate_stale": {"ocsp": "24h"}},
            NOW + DAY / 4,
        ),
        (BY_NRAS, {"appraisal": "nras"}, NOW + DAY / 24),
        (
            BY_NRAS,
            {"appraisal": "nras", "tolerate_stale": {"nras": "1h"}},
            NOW + DAY / 24 + timedelta(hours=1),
        ),
        (
            replace(GPU, collateral=(*GPU.collateral[:2], part("ocsp-device", -SECOND))),
            {"tolerate_stale": {"ocsp": "1h"}},
            PAST + timedelta(hours=1),
        ),
    ],
    ids=[
        "answers",
        "the first answer",
        "a budget",
        "the CPU's collateral",
        "certificates",
        "a signer",
        "token",
        "token and budget",
        "past its time",
    ],
)
def test_a_result_ends_with_the_first_thing_it_rests_on(
    device: Any,  # noqa: ANN401  a table
    keys: dict[str, Any],
    until: Any,  # noqa: ANN401  a table
) -> None:
    result = appraise(GOOD, wanting(**keys), NOW, devices=together(device))
    assert result.decision is Decision.ACCEPTED
    assert result.valid_until == until


def test_the_worst_device_ends_it() -> None:
    one = replace(GPU, device_serial="41" + "3" * 16, certificates_expire=NOW + DAY / 5)
    for devices in (together(GPU, one), together(one, GPU)):
        result = appraise(GOOD, wanting(gpus=2), NOW, devices=devices)
        assert result.valid_until == NOW + DAY / 5


def test_unverified_devices_end_nothing() -> None:
    result = appraise(GOOD, policy(), NOW, devices=UnverifiedDevices(2))
    assert result.valid_until == appraise(GOOD, policy(), NOW).valid_until


# what is on record


def test_the_result_names_the_minimums_that_were_asked() -> None:
    builtin = builtin_minimums()
    result = appraise(GOOD, wanting(), NOW, devices=DEVICES)
    assert json.loads(result.to_json())["minimums"] == {
        "version": builtin.file.version,
        "sha256": builtin.sha256.hex(),
    }
    other = load_minimums(builtin.text + b"# another text\n")
    judged = appraise(GOOD, wanting(), NOW, devices=DEVICES, minimums=other)
    assert judged.minimums is not None
    assert (judged.minimums.version, judged.minimums.sha256) == (
        other.file.version,
        other.sha256,
    )
    assert judged.floors is None


@pytest.mark.parametrize("key", ["driver", "vbios"])
def test_either_kind_of_advisory_asks_them(key: str) -> None:
    plain = {"no_minimum": "a test of ours"}
    keys: dict[str, Any] = {"driver": plain, "vbios": plain}
    assert appraise(GOOD, wanting(**keys), NOW, devices=DEVICES).minimums is None
    keys[key] = {"advisories": ["nvidia-5861"]}
    assert appraise(GOOD, wanting(**keys), NOW, devices=DEVICES).minimums is not None


def test_serial_numbers_stay_out_of_logs_and_hints() -> None:
    by = wanting(gpus=2, devices=["41" * 9])
    result = appraise(GOOD, by, NOW, devices=WORST)
    serials = [one.device_serial for one in WORST.devices]
    listed = [one for one in result.findings if one.rule is RuleId.DEVICE_LIST]
    assert [one.actual for one in listed] == serials
    record = result.to_json()
    told = json.dumps(result.public_findings())
    for serial in serials:
        assert record.count(serial) == 1
        assert serial not in log_text(record)
        assert serial not in told
    assert "41" * 9 not in record


def test_a_log_has_what_did_not_pass_and_the_record_has_all() -> None:
    """A denial with sixteen devices is a line of the log that a log takes."""
    crowd = together(*(gpu(number) for number in range(15)), gpu(15, driver_version="535.1"))
    by = wanting(gpus=16, driver={"minimum": {"535": "535.2", "580": "580.178.04"}})
    record = appraise(GOOD, by, NOW, devices=crowd).to_json()
    everything, shown = json.loads(record), json.loads(log_text(record))
    bad = [one for one in everything["findings"] if one["result"] != "pass"]
    assert [one["rule"] for one in bad] == ["driver-minimum"]
    assert shown == everything | {"findings": bad}
    assert len(log_text(record)) * 10 < len(record)


def test_what_is_tolerated_is_in_the_log() -> None:
    by = wanting(driver={"no_minimum": "a test of ours"})
    result = appraise(GOOD, by, NOW, devices=DEVICES)
    shown = {one["result"] for one in json.loads(log_text(result.to_json()))["findings"]}
    assert result.tolerated
    assert shown == {"warned"}


def test_a_refused_attester_learns_no_allowed_value() -> None:
    secret = wanting(
        gpus=5,
        switches=6,
        models=["GB100", "LS10"],
        modes=["mpt"],
        driver={"minimum": {"580": "580.999.99"}},
        vbios={"minimum": {"GB202": "96.AA.BB.CC.DD"}},
        coverage=61,
        devices=["77" * 9],
        appraisal="both",
        tolerate_stale={"nras": "77s"},
    )
    told = json.dumps(appraise(GOOD, secret, NOW, devices=WORST).public_findings())
    for value in ("580.999", "96.AA", "61 ", "7777", "mpt", "GB100", "both", "0:01:17"):
        assert value not in told
    assert {one["rule"] for one in json.loads(told)} >= DEVICE_RULES - {
        RuleId.DEVICE_UNEXPECTED,
        RuleId.DEVICE_LIST,
    }


def test_the_same_input_gives_the_same_bytes() -> None:
    texts = {appraise(GOOD, wanting(**STRICT), NOW, devices=WORST).to_json() for _ in range(3)}
    assert len(texts) == 1


# the default


@pytest.mark.parametrize(("claims", "tee"), [(GOOD, Tee.TDX), (GOOD_SNP, Tee.SNP)])
def test_the_strict_default_says_nothing_but_that_pins_are_missing(claims: Any, tee: Tee) -> None:  # noqa: ANN401  of either technology
    default = load_default(tee, devices=True)
    result = appraise(claims, default, NOW, devices=DEVICES)
    assert {one.rule: one.result for one in result.denying} == {RuleId.MEASUREMENT: MISSING}
    assert RuleId.VBIOS_MINIMUM in {one.rule for one in result.tolerated}


@pytest.mark.parametrize(
    ("device", "rule"),
    [
        (
            replace(GPU, revocation=NOT_CHECKED, collateral=GPU.collateral[:2]),
            "device-revocation-unknown",
        ),
        (
            replace(GPU, collateral=(*GPU.collateral[:2], part("ocsp-device", -SECOND))),
            "collateral-stale",
        ),
        (replace(GPU, fwid=None), "fwid-missing"),
        (replace(GPU, driver_version="580.159.03"), "driver-minimum"),
        (replace(GPU, mode=None), "device-mode"),
        (replace(GPU, family=Family.GB202), "device-model"),
        (replace(GPU, coverage=Coverage(tuple(range(32)), ())), "rim-coverage"),
        (BY_NRAS, "device-appraisal"),
    ],
)
def test_the_strict_default_refuses(device: Any, rule: str) -> None:  # noqa: ANN401  a table
    assert RuleId(rule) in denying(together(device), load_default(Tee.TDX, devices=True))


# which policy judges


def test_devices_take_no_part_in_the_choice_of_a_policy() -> None:
    """The profile says whether devices are wanted: two policies for one profile are one too many."""
    plain = policy()
    with_devices = policy(nvidia=SECTION, name="gpu")
    both = select([plain, with_devices], GOOD, "default", NOW)
    assert isinstance(both, AttestationResult)
    assert [one.rule for one in both.findings] == [RuleId.SEVERAL_POLICIES]
    own = policy(
        nvidia=SECTION,
        issue={"profile": "gpu", "san": {"uri": ["spiffe://example.org/{mr_config_id_32}"]}},
    )
    assert select([plain, own], GOOD, "gpu", NOW) is own
    assert select([plain, own], GOOD, "default", NOW) is plain


# whatever comes

VERSIONS = st.sampled_from(["580.178.04", "580.1", "595.91.07", "590.48.01", "beta", ""])
FIRMWARE = st.sampled_from(["96.00.CF.00.01", "96.00.9F.00.01", "97.00.CF.00.01", "", "x.y"])


@st.composite
def any_device(draw: st.DrawFn) -> NvidiaClaims:
    """A device about which anything may be the case."""
    indexes = tuple(sorted(draw(st.sets(st.integers(0, 63), max_size=64))))
    kind = draw(st.sampled_from(DeviceKind))
    parts = st.sampled_from(["rim-driver", "ocsp-device", "ocsp-rim-vbios", "nras", "other"])
    return replace(
        GPU,
        kind=kind,
        family=draw(st.sampled_from([one for one in Family if one.kind is kind])),
        driver_version=draw(st.none() | VERSIONS),
        vbios_version=draw(FIRMWARE),
        device_serial=draw(st.sampled_from([GPU.device_serial, SWITCH.device_serial])),
        fwid=draw(st.none() | st.just(b"F" * 48)),
        mode=draw(st.none() | st.sampled_from(Mode)),
        rims=draw(st.sampled_from([(), GPU.rims])),
        coverage=Coverage(indexes, tuple(i for i in range(64) if i not in indexes)),
        revocation=draw(st.sampled_from(Revocation)),
        collateral=tuple(
            part(name, timedelta(hours=draw(st.integers(-48, 48))))
            for name in draw(st.lists(parts, max_size=4))
        ),
        nras=draw(st.sampled_from([None, BY_NRAS.nras])),
    )


SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "gpus": st.integers(1, 4),
        "switches": st.integers(0, 4),
        "appraisal": st.sampled_from(["local", "nras", "both"]),
        "modes": st.sets(st.sampled_from([*Mode]), min_size=1).map(sorted),
        "models": st.sets(st.sampled_from([*Family]), min_size=1).map(sorted),
        "coverage": st.integers(1, 64),
        "devices": st.just([GPU.device_serial]),
        "tolerate_stale": st.just({"ocsp": "24h", "nras": "24h"}),
        "driver": st.sampled_from(
            [{"no_minimum": "a test"}, {"advisories": ["nvidia-5861", "nvidia-5674", "x"]}]
        ),
        "vbios": st.sampled_from([{"no_minimum": "a test"}, {"advisories": ["nvidia-5674"]}]),
    },
)


@given(st.lists(any_device(), max_size=4), SECTIONS)
def test_every_set_gets_a_verdict_that_stands_on_its_findings(
    devices: list[NvidiaClaims], keys: dict[str, Any]
) -> None:
    by = wanting(**keys)
    result = appraise(GOOD, by, NOW, devices=together(*devices))
    of_devices = [one for one in result.findings if one.path.startswith("devices")]
    assert (result.decision is Decision.ACCEPTED) == all(
        one.result in (RuleResult.PASS, WARNED) for one in of_devices
    )
    assert all(one.expected and one.hint for one in result.denying)
    told = json.dumps(result.public_findings())
    assert all(one.device_serial not in told for one in devices)
    for place in range(len(devices)):
        seen = {one.rule for one in of_devices if one.path.startswith(f"devices[{place}].")}
        assert seen >= {
            RuleId.DEVICE_MODEL,
            RuleId.DEVICE_APPRAISAL,
            RuleId.DEVICE_REVOCATION_UNKNOWN,
        }
    if result.decision is Decision.ACCEPTED and devices:
        assert result.valid_until is not None
        assert result.valid_until >= NOW
        assert result.valid_until <= min(one.certificates_expire for one in devices)


@given(any_device(), SECTIONS)
def test_a_device_that_is_refused_alone_is_refused_among_good_ones(
    device: NvidiaClaims, keys: dict[str, Any]
) -> None:
    counts = {RuleId.DEVICE_COUNT}
    by = wanting(**keys)
    alone = denying(together(device), by).keys() - counts
    assert denying(together(GPU, device), by).keys() >= alone
