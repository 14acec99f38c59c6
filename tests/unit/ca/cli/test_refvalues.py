# SPDX-License-Identifier: Apache-2.0
"""`attestca refvalues capture`: a first policy in two commands, from evidence that verifies and from no other."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from tests import boot_lab, eventlog_lab

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli, Evidence


def test_a_first_policy_in_two_commands(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    """Capture, lint; then the machine is accepted and one with another kernel is not."""
    quote = evidence.quote()
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        cli.good("refvalues", "capture", quote, *evidence.judged, "--policy", "web").out
    )
    assert cli.good("policy", "lint", policy).err == "no errors\n"
    judge = (*evidence.judged, "--policy", str(policy))
    assert cli.good("appraise", quote, *judge, "--json").json()["policy"]["name"] == "web"
    assert cli("appraise", evidence.quote("other", rtmr1=bytes(48)), *judge).code == 1


def test_entries_of_several_machines(cli: Cli, evidence: Evidence) -> None:
    first, other = evidence.quote("first"), evidence.quote("other", rtmr0=b"\x01" * 48)
    options = ("--id", "image-7", "--note", "rack 12")
    printed = cli.good("refvalues", "capture", first, other, first, *evidence.judged, *options).out
    entries = YAML(typ="safe").load(printed)
    assert [entry["id"] for entry in entries] == ["image-7", "image-7-2"]
    assert entries[1]["values"]["rtmr0"] == "01" * 48
    assert entries[0]["values"]["mr_td"] == evidence.machine.fields["mr_td"].hex()
    assert {entry["note"] for entry in entries} == {"rack 12"}
    assert entries[0]["source"]["sha256"] == sha256(first.read_bytes()).hexdigest()


def test_the_id_is_the_day_of_judgement(cli: Cli, evidence: Evidence) -> None:
    printed = cli.good("refvalues", "capture", evidence.quote(), *evidence.judged).out
    assert 'id: "captured-2026-11-25"' in printed


@pytest.mark.parametrize("bit", [0, 4, 5, 6])
def test_a_td_that_is_open_to_its_host_gives_nothing(
    cli: Cli, evidence: Evidence, bit: int
) -> None:
    quote = evidence.quote(td_attributes=1 << 28 | 1 << bit)
    done = cli("refvalues", "capture", quote, *evidence.judged)
    assert (done.code, done.out) == (1, "")
    assert "open to its host" in done.err


def test_evidence_that_does_not_verify_gives_nothing(cli: Cli, evidence: Evidence) -> None:
    good, changed = evidence.quote("good"), evidence.quote("changed")
    changed.write_bytes(changed.read_bytes()[:-600] + bytes(600))
    rejected = cli("refvalues", "capture", good, changed, *evidence.judged)
    assert (rejected.code, rejected.out) == (1, "")
    assert str(changed) in rejected.err
    undetermined = cli("refvalues", "capture", good, "--at", evidence.at)
    assert (undetermined.code, undetermined.out) == (2, "")
    late = cli(
        *("refvalues", "capture", good, "--collateral", evidence.collateral),
        *("--at", "2027-01-20T00:00:00Z"),
    )
    assert (late.code, late.out) == (1, "")


@pytest.mark.parametrize("option", [("--id", "no spaces"), ("--policy", "Not_A_Slug")])
def test_names_that_a_policy_cannot_have(
    cli: Cli, evidence: Evidence, option: tuple[str, str]
) -> None:
    done = cli("refvalues", "capture", evidence.quote(), *evidence.judged, *option)
    assert (done.code, done.out) == (64, "")
    assert "wants" in done.err


def test_a_list_that_is_none_beside_good_evidence(
    cli: Cli, evidence: Evidence, tmp_path: Path
) -> None:
    broken = tmp_path / "list.pem"
    broken.write_text("-----BEGIN X509 CRL-----\nno list\n-----END X509 CRL-----\n")
    done = cli("refvalues", "capture", evidence.quote(), broken, *evidence.judged)
    assert (done.code, done.out) == (1, "")
    assert "crl-invalid" in done.err


def machine_with_log(
    evidence: Evidence, tmp_path: Path, name: str, history: list[boot_lab.Step]
) -> tuple[Path, Path]:
    """The quote of a machine that booted so, and its log."""
    values = {str(one): value for one, value in boot_lab.registers(history).items()}
    log = tmp_path / f"{name}.ccel"
    events = (
        eventlog_lab.event2(one.index, one.kind, [(0x0C, one.digest)], one.data) for one in history
    )
    log.write_bytes(eventlog_lab.tcg2(*events))
    return evidence.quote(name, **values), log


def test_a_policy_with_the_log_of_the_machine(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    """It accepts the machine, and names the first event by which another differs."""
    good = boot_lab.grub_boot()
    evil = [boot_lab.file(b"evil") if one.hashed == b"kernel" else one for one in good]
    quote, log = machine_with_log(evidence, tmp_path, "good", good)
    policy = tmp_path / "policy.yaml"
    captured = cli.good("refvalues", "capture", quote, log, *evidence.judged, "--policy", "web")
    policy.write_text(captured.out)
    assert cli.good("policy", "lint", policy).err == "no errors\n"
    judge = (*evidence.judged, "--policy", str(policy), "--json")
    cli.good("appraise", quote, log, *judge)
    other = machine_with_log(evidence, tmp_path, "evil", evil)
    findings = cli("appraise", *other, *judge).json()["findings"]
    (told,) = [one for one in findings if one["path"] == "td.rtmr2" and one["result"] == "fail"]
    assert told["expected"].startswith("captured-2026-11-25: event 3 EV_IPL /vmlinuz ")
    assert boot_lab.file(b"evil").digest.hex() in told["actual"]


def test_the_event_list_alone(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    quote, log = machine_with_log(evidence, tmp_path, "good", boot_lab.direct_boot())
    capture = ("refvalues", "capture", quote)
    printed = cli.good(*capture, log, *evidence.judged, "--events", "--id", "image-7").out
    logs = YAML(typ="safe").load(printed)["reference_logs"]
    assert [one["label"] for one in logs["image-7"]["rtmr2"]] == [
        "EV_EVENT_TAG LOADED_IMAGE::LoadOptions",
        "EV_EVENT_TAG Linux initrd",
    ]
    without = cli(*capture, *evidence.judged, "--events")
    assert without.code == 64
    assert "no event log explains one of the registers" in without.err


def test_a_log_that_cannot_be_read_gives_nothing(
    cli: Cli, evidence: Evidence, tmp_path: Path
) -> None:
    quote, log = machine_with_log(evidence, tmp_path, "good", boot_lab.direct_boot())
    log.write_bytes(log.read_bytes()[:-1])
    result = cli("refvalues", "capture", quote, log, *evidence.judged)
    assert (result.code, result.out) == (1, "")
    assert "malformed" in result.err
