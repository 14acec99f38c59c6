# SPDX-License-Identifier: Apache-2.0
"""Whether a section `boot` is wise: facts of code that nobody named are refused, what lets too much pass is told."""

from __future__ import annotations

from typing import Any

import pytest

from policies.lint import lint
from tests.unit.policies.claims_factory import NOW, TD
from tests.unit.policies.documents import RELEASE, policy, snp_entry, snp_policy

D48, D32 = "ab" * 48, "cd" * 32
DIRECT = {"tee": "tdx", "provider": "direct"}


def remarks(section: dict[str, Any], *pinned: str, **sections: Any) -> dict[str, tuple[bool, str]]:  # noqa: ANN401  JSON values
    """By path below `boot` whether it is an error, and the text. `pinned`: registers; all that must be, if not said."""
    names = pinned or ("mr_td", "rtmr0", "rtmr1", "rtmr2")
    values = {name: getattr(TD, name).hex() for name in names}
    unpinned = {name: "a reason" for name in RELEASE["values"] if name not in names}
    loaded = policy(
        {"unpinned": unpinned},
        reference_sets={"release": [{"id": "r1", "values": values}]},
        boot=section,
        match=DIRECT,
        **sections,
    )
    return {
        one.problem.path.removeprefix("boot").removeprefix("."): (one.is_error, one.problem.message)
        for one in lint(loaded, NOW)
        if one.problem.path.startswith("boot")
    }


def errors(section: dict[str, Any], *pinned: str) -> set[str]:
    return {path for path, (error, _) in remarks(section, *pinned).items() if error}


CMDLINE = {"kernel_cmdline": {"patterns": ["/vmlinuz ro"], "files": [D48]}}
DSTACK = {"dstack": {"compose_hash": [D32]}}
SECURE = {"secure_boot": "enabled", "db_certificates": [D32]}
IMA = {"ima": {"allow": [{"path": "/a", "digests": D32}]}}
CONTAINER = {"confidential_space": {"image_digest": "sha256:a"}}
AAEL = {"coco": {"aael": [{"domain": "d", "operation": "o"}]}}
DIGESTS = {"cmdline_digest": D48, "initrd_digest": D48}


@pytest.mark.parametrize("section", [SECURE, CMDLINE, DSTACK, IMA, DIGESTS, {"images": D48}])
def test_a_section_over_pinned_registers_has_no_remark(section: dict[str, Any]) -> None:
    assert remarks(section) == {}


@pytest.mark.parametrize("section", [SECURE, CMDLINE, DSTACK, {"images": D48}])
def test_facts_want_the_firmware_pinned(section: dict[str, Any]) -> None:
    found = remarks(section, "rtmr0", "rtmr1", "rtmr2")
    assert found[""][0]
    assert "pin mr_td" in found[""][1]
    assert "" not in remarks(
        {"coco": {"init_data": D48}, "require_replay": ["rtmr0", "rtmr1", "rtmr2"]}, "rtmr0"
    )


@pytest.mark.parametrize(
    ("section", "paths"),
    [
        (CMDLINE, {"kernel_cmdline"}),
        (DIGESTS, {"cmdline_digest", "initrd_digest"}),
        (DSTACK, {"dstack"}),
        (AAEL, {"coco.aael"}),
        (CONTAINER, {"confidential_space"}),
        (IMA, {"ima"}),
        ({"events": [{"id": "x", "register": "rtmr2", "digests": D48}]}, {"events"}),
        ({"events": [{"id": "x", "register": "rtmr0", "digests": D48}]}, set()),
        (SECURE, set()),
    ],
)
def test_what_boot_loaders_measure_wants_them_named(
    section: dict[str, Any], paths: set[str]
) -> None:
    without = ("mr_td", "rtmr0", "rtmr2")
    assert errors(section, *without) == paths
    assert errors(section | {"images": D48}, *without) == set()
    assert errors(section) == set()


@pytest.mark.parametrize(
    ("section", "path"),
    [(DSTACK, "dstack"), (AAEL, "coco.aael"), (CONTAINER, "confidential_space"), (IMA, "ima")],
)
def test_what_the_system_measures_wants_it_named(section: dict[str, Any], path: str) -> None:
    without = ("mr_td", "rtmr0", "rtmr1")
    found = remarks(section, *without)
    error, said = found[path]
    assert not error
    assert said.startswith("the system that measured it is not pinned: pin rtmr2, or ask for")
    assert remarks(section | DIGESTS, *without) == {}
    half = remarks(section | {"cmdline_digest": D48}, *without)
    assert path in half


def test_replay_that_is_not_asked_for() -> None:
    (found,) = remarks({"require_replay": ["rtmr1"]}).values()
    assert found == (False, "a log that contradicts rtmr0, rtmr2 is taken all the same")
    assert remarks({"require_replay": ["rtmr0", "rtmr1", "rtmr2", "rtmr3"]}) == {}


def test_secure_boot() -> None:
    open_ = remarks({"secure_boot": ["enabled", "absent", "disabled"]})
    assert open_["secure_boot"] == (False, "absent, disabled: whatever is on the disk boots")
    alone = remarks({"secure_boot": "enabled"})
    assert "whose keys" in alone["secure_boot"][1]
    keys = remarks({"db_certificates": [D32]})
    assert keys["db_certificates"] == (
        False,
        "without secure_boot: enabled nobody asks the database",
    )


def test_command_line() -> None:
    free = remarks({"kernel_cmdline": {"patterns": ["/vmlinuz ro", "/vmlinuz .*"], "files": D48}})
    assert set(free) == {"kernel_cmdline.patterns[1]"}
    assert "init=/bin/sh" in free["kernel_cmdline.patterns[1]"][1]
    bare = remarks({"kernel_cmdline": {"patterns": ["/vmlinuz ro"]}})
    assert set(bare) == {"kernel_cmdline"}


def test_files_of_any_content() -> None:
    lines = [{"path": "/a", "digests": D32}, {"path": "/b.*", "any_content": "because"}]
    found = remarks({"ima": {"allow": lines}})
    assert found == {"ima.allow[1].any_content": (False, "files /b.* may hold anything")}


def test_events_that_anyone_can_add() -> None:
    data = {"type": "EV_EVENT_TAG", "patterns": ["x"]}
    found = remarks(
        {
            "events": [
                {"id": "a", "register": "rtmr0"} | data,
                {"id": "b", "register": "rtmr2"} | data,
                {"id": "c", "register": "rtmr2", "at": 1} | data,
                {"id": "d", "register": "rtmr2", "digests": D48},
            ]
        }
    )
    assert set(found) == {"events[1]"}


PCRS = ("pcr4", "pcr8", "pcr9", "pcr11", "pcr12")


def azure(section: dict[str, Any], *pinned: str) -> dict[str, str]:
    loaded = snp_policy(
        {"unpinned": {one: "a reason" for one in PCRS if one not in pinned}},
        match={"tee": "snp", "provider": "azure"},
        reference_sets={"release": [snp_entry(**dict.fromkeys(pinned, b"\1" * 32))]},
        boot=section,
    )
    return {
        one.problem.path.removeprefix("boot."): str(one)
        for one in lint(loaded, NOW)
        if one.problem.path.startswith("boot")
    }


def test_in_azure_registers_are_those_of_the_virtual_tpm() -> None:
    line = {"kernel_cmdline": {"patterns": ["/vmlinuz ro"]}}
    assert azure(line, *PCRS) == {}  # files have a register of their own
    assert "pin pcr4" in azure(line, *PCRS[1:])["kernel_cmdline"]
    assert azure(SECURE) == {}
    ima = azure(IMA, "pcr4", "pcr8")["ima"]
    assert ima.startswith("warning")
    assert "pin pcr9, pcr11, pcr12" in ima
    assert azure({"require_replay": ["pcr4"]}, *PCRS) == {}


def test_registers_that_any_program_can_reset_are_told() -> None:
    def remark(register: str) -> dict[str, str]:
        rule = {"id": "x", "register": register, "at": 0, "digests": D32}
        return azure({"events": [rule]}, *PCRS)

    for register in ("pcr16", "pcr23"):
        assert f"can reset {register}" in remark(register)["events[0].register"]
    assert remark("pcr15") == {}
