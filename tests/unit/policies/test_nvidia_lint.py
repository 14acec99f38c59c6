# SPDX-License-Identifier: Apache-2.0
"""What is unwise in a section `nvidia`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from policies import nvidia_lint
from policies.lint import lint
from policies.loader import load_default
from policies.minimums import load_minimums
from tests.unit.policies import nvidia_claims
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import policy
from tests.unit.policies.nvidia_claims import GPU, PPCIE, section
from tests.unit.policies.test_lint import errors, warnings
from verifiers.evidence import Tee

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy

RANGE = {"min": 1, "max": 8}
OLD = {"no_minimum": "a test of ours"}


def wanting(**keys: Any) -> LoadedPolicy:  # noqa: ANN401  JSON values
    """With a coverage where there can be one, so that each test has the remarks that it is about."""
    return nvidia_claims.wanting(**_covering(keys))


def snp_wanting(**keys: Any) -> LoadedPolicy:  # noqa: ANN401  JSON values
    return nvidia_claims.snp_wanting(**_covering(keys))


def _covering(keys: dict[str, Any]) -> dict[str, Any]:
    return ({} if keys.get("appraisal") == "nras" else {"coverage": 33}) | keys


def test_good_policies_have_no_remarks() -> None:
    for loaded in (wanting(), snp_wanting(), wanting(**PPCIE)):
        assert lint(loaded, NOW) == ()


@pytest.mark.parametrize("tee", Tee)
def test_the_default_has_the_remarks_of_the_plain_one_and_that_firmware_has_no_minimum(
    tee: Tee,
) -> None:
    plain, with_devices = load_default(tee), load_default(tee, devices=True)
    assert errors(with_devices) == errors(plain)
    assert warnings(with_devices).keys() - warnings(plain).keys() == {"nvidia.vbios.no_minimum"}


@pytest.mark.parametrize(
    ("keys", "path", "message"),
    [
        ({"appraisal": "nras", "coverage": 1}, "coverage", "local or both"),
        (PPCIE | {"gpus": 7}, "modes", "eight GPUs and four switches"),
        (PPCIE | {"switches": 3}, "modes", "eight GPUs and four switches"),
        (PPCIE | {"gpus": RANGE}, "modes", "eight GPUs and four switches"),
        (PPCIE | {"switches": {"min": 0, "max": 4}}, "modes", "eight GPUs and four"),
        (
            PPCIE
            | {"gpus": {"min": 1, "max": 7}, "switches": {"min": 0, "max": 4}}
            | {"modes": ["spt", "ppcie"]},
            "modes",
            "eight GPUs and four switches",
        ),
        (
            PPCIE | {"gpus": RANGE, "modes": ["spt", "ppcie"], "switches": {"min": 0, "max": 3}},
            "modes",
            "eight GPUs and four switches",
        ),
        ({"modes": ["ppcie"]}, "modes", "eight GPUs and four switches"),
        (PPCIE | {"modes": ["mpt"], "switches": {"min": 0, "max": 4}}, "switches", "ppcie alone"),
        (PPCIE | {"modes": ["spt", "ppcie"]}, "modes", "in the mode spt: say"),
        (PPCIE | {"modes": ["spt", "mpt", "ppcie"]}, "modes", "in the mode mpt or spt: say"),
        ({"models": ["LS10"]}, "models", "no family of a gpu is listed (GH100, GB100, GB202)"),
        (PPCIE | {"models": ["GH100"]}, "models", "no family of a switch is listed (LS10)"),
        ({"gpus": 2, "devices": [GPU.device_serial]}, "devices", "fewer than the 2 devices"),
        (PPCIE | {"devices": ["41" * 9, "50" * 9]}, "devices", "fewer than the 12 devices"),
    ],
)
def test_what_no_machine_can_meet(keys: dict[str, Any], path: str, message: str) -> None:
    found = errors(wanting(**keys))
    assert list(found) == [f"nvidia.{path}"]
    assert message in found[f"nvidia.{path}"]


def test_switches_beside_other_modes_are_wrong_twice() -> None:
    found = errors(wanting(**PPCIE | {"modes": ["spt"]}))
    assert found.keys() == {"nvidia.switches", "nvidia.modes"}


@pytest.mark.parametrize(
    "keys",
    [
        {"appraisal": "both", "coverage": 33},
        {"appraisal": "nras"},
        {"tolerate_stale": {"ocsp": "24h", "nras": "1d"}},
        {"modes": ["spt", "mpt"]},
        PPCIE | {"gpus": RANGE, "modes": ["spt", "ppcie"], "switches": {"min": 0, "max": 4}},
        {"devices": [GPU.device_serial]},
        {"gpus": {"min": 1, "max": 2}, "devices": [GPU.device_serial]},
    ],
)
def test_what_can_be_met(keys: dict[str, Any]) -> None:
    assert lint(wanting(**keys), NOW) == ()


@pytest.mark.parametrize(
    ("keys", "path", "message"),
    [
        ({"gpus": {"min": 0, "max": 1}}, "gpus", "without any GPU"),
        ({"driver": OLD}, "driver.no_minimum", "drivers with known holes"),
        ({"vbios": OLD}, "vbios.no_minimum", "firmware with known holes"),
        ({"driver": {"advisories": ["nvidia-5861", "x"]}}, "driver.advisories[1]", "a newer list"),
        ({"driver": {"advisories": ["nvidia-5674"]}}, "driver.advisories[0]", "no driver versions"),
        ({"vbios": {"advisories": ["x"]}}, "vbios.advisories[0]", "a newer list"),
        (
            {"vbios": {"advisories": ["nvidia-5674"]}},
            "vbios.advisories[0]",
            "gives no version of GH100: none will do",
        ),
        (
            {"models": ["GH100", "GB202", "GB100"]},
            "vbios.minimum",
            "GB100, GB202 has none: its devices are refused",
        ),
        ({"coverage": None}, "coverage", "vouch for one of its measurements"),
        ({"coverage": None, "appraisal": "both"}, "coverage", "not said"),
        ({"tolerate_stale": {"ocsp": "25h"}}, "tolerate_stale.ocsp", "not seen for so long"),
        ({"tolerate_stale": {"nras": "86401s"}}, "tolerate_stale.nras", "not seen for so long"),
    ],
)
def test_warnings(keys: dict[str, Any], path: str, message: str) -> None:
    found = warnings(wanting(**keys))
    assert list(found) == [f"nvidia.{path}"]
    assert message in found[f"nvidia.{path}"]
    assert errors(wanting(**keys)) == {}


def test_a_list_with_versions_of_firmware(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's has none yet."""
    advisory = {
        "title": "x",
        "source": "a test",
        "date": "2026-01-01",
        "vbios": {"GH100": "96.00.CF.00.01"},
    }
    known = {"version": 9, "date": "2026-01-01", "advisories": {"one": advisory}}
    minimums = load_minimums(json.dumps(known).encode())
    monkeypatch.setattr(nvidia_lint, "builtin_minimums", lambda: minimums)
    driver = {"minimum": {"580": "580.178.04"}}
    by_list = {"advisories": ["one"]}
    assert lint(wanting(driver=driver, vbios=by_list), NOW) == ()
    more = wanting(driver=driver, vbios=by_list, models=["GH100", "GB100"])
    assert warnings(more) == {
        "nvidia.vbios.advisories[0]": "one gives no version of GB100: none will do"
    }


def test_switches_without_gpus_are_not_warned_about_as_such() -> None:
    assert warnings(wanting(**PPCIE | {"gpus": 0})) == {}


def test_a_list_of_devices_does_not_make_a_fixed_name_anybodys_own() -> None:
    """A listed device elsewhere that is fed this nonce live passes: it tells no deployment from another."""
    fixed = {"san": {"dns": ["web.example.org"]}}
    loaded = policy(nvidia=section(devices=[GPU.device_serial]), issue=fixed)
    assert list(errors(loaded)) == ["issue.san.dns[0]"]


def test_what_is_relaxed_is_shown() -> None:
    loaded = policy(nvidia=section(coverage=33), relax={"fwid-missing": "old drivers"})
    assert warnings(loaded) == {"relax.fwid-missing": "the rule fwid-missing is off"}
