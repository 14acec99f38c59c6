# SPDX-License-Identifier: Apache-2.0
"""Event logs on the command line: every case of the vectors gives what it expects, and is shown for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import eventlog_lab as lab
from tests import eventlog_vectors
from verifiers.eventlog.events import RTMRS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli, Done, Evidence
    from tests.eventlog_vectors import EventLogCase

NO_EVIDENCE = {"expected.json", "nonce.bin"}
EXITS = {"verified": 0, "rejected": 1, "undetermined": 2}
WORST = ["rejected", "undetermined", "verified"]
LOG = lab.tcg2(lab.action(1, b"one"), lab.action(2, b"two"))


def files(case: EventLogCase) -> list[Path]:
    return sorted(one for one in case.folder.iterdir() if one.name not in NO_EVIDENCE)


def arguments(case: EventLogCase) -> list[str | Path]:
    """All files of a case; without a quote or TD report the values that the case states."""
    named = files(case)
    if case.quote is not None or any(one.name == "tdreport.bin" for one in named):
        return [*named]
    stated = [f"--register={one}={value.hex()}" for one, value in case.registers.items()]
    return [*named, *stated]


def states(said: dict[str, Any]) -> dict[str, str]:
    found = said["boot"].get("registers", {})
    return {one: found[one]["state"] if one in found else "absent" for one in RTMRS}


@pytest.mark.parametrize("name", eventlog_vectors.names())
def test_every_case(cli: Cli, name: str) -> None:
    case = eventlog_vectors.load(name)
    done = cli("verify", *arguments(case), "--json")
    said, expect = done.json(), case.expect
    boot = said["boot"]
    assert (boot["verdict"], boot["reason"] and boot["reason"]["code"]) == (
        expect["verdict"],
        expect["code"],
    )
    assert states(said) == expect["registers"]
    claims = expect.get("claims", {})
    if "secure_boot" in claims:
        assert boot["claims"]["secure_boot"] == claims["secure_boot"]
    if "kernel_cmdline" in claims:
        line = boot["claims"]["kernel_cmdline"]
        assert (line and line["state"]) == claims["kernel_cmdline"]
        assert (line and line["text"]) == (
            case.expected_cmdline if claims["kernel_cmdline"] == "proven" else None
        )
    # without collateral no quote here is verified, and the worst verdict is that of all
    worst = (
        boot["verdict"]
        if case.quote is None
        else min("undetermined", boot["verdict"], key=WORST.index)
    )
    assert WORST.index(said["verdict"]) <= WORST.index(worst)
    assert case.quote is not None or said["verdict"] == worst
    assert done.code == EXITS[said["verdict"]]


@pytest.mark.parametrize("name", eventlog_vectors.names())
def test_every_case_for_people(cli: Cli, name: str) -> None:
    case = eventlog_vectors.load(name)
    done = cli("verify", *arguments(case))
    assert f"replay         {case.expect['verdict']}" in done.out
    if case.expect["code"] == "no-sha384-bank":
        assert "no-sha384-bank" in done.out
        return
    for register, state in case.expect["registers"].items():
        if state != "absent":
            assert any(line.split()[:2] == [register, state] for line in done.out.splitlines()), (
                register,
                state,
            )
    rows = [line.split()[:2] for line in done.out.splitlines()]
    for log in case.logs:
        assert [log.format, str(len(log.events) - 1)] in rows


def test_what_is_believed_is_shown_with_its_reason(cli: Cli) -> None:
    case = eventlog_vectors.load("derived-forged-secure-boot")
    out = cli("verify", *arguments(case)).out
    (forged,) = [line for line in out.splitlines() if "SecureBoot = " in line]
    assert forged.endswith("the digest alone; the rest is the log's word")
    assert "not believed: secure_boot" in out
    genuine = cli("verify", *arguments(eventlog_vectors.load("gce-cos-113-grub"))).out
    (line,) = [line for line in genuine.splitlines() if "SecureBoot = " in line]
    assert line.endswith("the digest is of all of it")


def test_the_worst_is_said(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    """A quote that verifies, and a log of something else: rejected, by the log."""
    (tmp_path / "ccel").write_bytes(LOG)
    done = cli("verify", evidence.quote(), tmp_path / "ccel", *evidence.judged, "--json")
    said = done.json()
    assert (done.code, said["verdict"], said["reason"]["code"]) == (
        1,
        "rejected",
        "register-mismatch",
    )
    assert said["boot"]["compared_with"] == "verified evidence"
    assert states(said)["rtmr0"] == "mismatch"
    assert said["claims"]["body"]["rtmr0"] == said["boot"]["registers"]["rtmr0"]["quoted"]


def test_a_log_of_the_machine(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    done = replayed(cli, evidence, tmp_path)
    said = done.json()
    assert (done.code, said["verdict"], said["reason"]) == (0, "verified", None)
    assert states(said) == dict.fromkeys(RTMRS, "replayed")


def replayed(cli: Cli, evidence: Evidence, folder: Path, command: str = "verify") -> Done:
    case = lab.tcg2(lab.action(1, b"one"), lab.action(2, b"two"))
    (folder / "ccel").write_bytes(case)
    values: dict[str, Any] = {
        "rtmr0": lab.sha384(bytes(48) + lab.sha384(b"one")),
        "rtmr1": lab.sha384(bytes(48) + lab.sha384(b"two")),
        "rtmr2": bytes(48),
        "rtmr3": bytes(48),
    }
    quote = evidence.quote(**values)
    return cli(command, quote, folder / "ccel", *evidence.judged, "--json")


def test_logs_alone_have_nothing_to_be_compared_with(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "ccel").write_bytes(LOG)
    done = cli("verify", tmp_path / "ccel", "--json")
    assert (done.code, done.json()["verdict"]) == (2, "undetermined")
    assert done.json()["boot"]["compared_with"] == "nothing"


def test_a_log_of_a_tpm_against_stated_values(cli: Cli, tmp_path: Path) -> None:
    bank = (0x0B,)
    log = lab.tcg2(lab.action(0, b"one", bank), lab.action(4, b"two", bank), algorithms=bank)
    (tmp_path / "log").write_bytes(log)
    alone = cli("verify", tmp_path / "log", "--json")
    assert (alone.code, alone.json()["reason"]["code"]) == (2, "incomplete")
    values = {
        number: lab.digests(bytes(32) + lab.digests(text, bank)[0][1], bank)[0][1]
        for number, text in ((0, b"one"), (4, b"two"))
    }
    stated = [f"--register=pcr{number}={value.hex()}" for number, value in values.items()]
    assert cli("verify", tmp_path / "log", *stated, "--json").code == 0
    wrong = cli("verify", tmp_path / "log", stated[0], f"--register=pcr4={bytes(32).hex()}")
    assert (wrong.code, "register-mismatch" in wrong.out) == (1, True)


@pytest.mark.parametrize(
    "stated",
    [
        ["rtmr0"],
        ["rtmr9=00"],
        ["rtmr0=zz"],
        ["mrtd=" + "00" * 48],
        ["rtmr0=" + "00" * 32],
        ["pcr0=00"],
        ["rtmr0=" + "00" * 48, "rtmr0=" + "00" * 48],
        ["rtmr0=" + "00" * 48, "pcr0=" + "00" * 48],
    ],
)
def test_registers_that_are_none(cli: Cli, tmp_path: Path, stated: list[str]) -> None:
    (tmp_path / "ccel").write_bytes(LOG)
    done = cli("verify", tmp_path / "ccel", *(f"--register={one}" for one in stated))
    assert (done.code, "--register" in done.err) == (64, True)


def test_registers_are_for_logs_alone(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    (tmp_path / "ccel").write_bytes(LOG)
    value = f"--register=rtmr0={bytes(48).hex()}"
    assert cli("verify", evidence.quote(), tmp_path / "ccel", value).code == 64
    assert cli("verify", evidence.quote(), value).code == 64


def test_logs_alone_have_no_collateral(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    (tmp_path / "ccel").write_bytes(LOG)
    assert cli("verify", tmp_path / "ccel", *evidence.judged).code == 64


def test_a_table_of_another_technology(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "ccel").write_bytes(LOG)
    (tmp_path / "table").write_bytes(lab.acpi_table(cc_type=1))
    done = cli("verify", tmp_path / "ccel", tmp_path / "table", "--json")
    assert (done.code, done.json()["reason"]["code"]) == (1, "unsupported-tee")


def test_a_table_alone(cli: Cli, tmp_path: Path) -> None:
    """Its name is that of the log, in the folder above: whoever takes it is told where the log is."""
    (tmp_path / "CCEL").write_bytes(lab.acpi_table())
    for command in ("verify", "appraise"):
        done = cli(command, tmp_path / "CCEL")
        assert (done.code, "/sys/firmware/acpi/tables/data/CCEL" in done.err) == (64, True)


def test_a_log_that_cannot_be_read(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    (tmp_path / "ccel").write_bytes(LOG[:-1])
    for command in ("verify", "appraise"):
        done = cli(command, evidence.quote(), tmp_path / "ccel", *evidence.judged, "--json")
        said = done.json()
        assert (done.code, said["reason"]["code"]) == (1, "malformed")
    shown = cli("appraise", evidence.quote(), tmp_path / "ccel", *evidence.judged).out
    assert "reason (logs)" in shown


# appraise


def test_a_contradiction_denies(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    (tmp_path / "ccel").write_bytes(LOG)
    done = cli("appraise", evidence.quote(), tmp_path / "ccel", *evidence.judged, "--json")
    said = done.json()
    failed = {one["path"] for one in said["findings"] if one["rule"] == "boot-replay"}
    assert (done.code, said["verdict"]) == (1, "denied")
    assert {"boot.replayed.rtmr0", "boot.replayed.rtmr1"} <= failed
    shown = cli("appraise", evidence.quote(), tmp_path / "ccel", *evidence.judged).out
    assert "boot.replayed.rtmr0" in shown
    assert "ccel 0" in shown


def test_the_policy_judges_what_was_booted(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    said = replayed(cli, evidence, tmp_path, "appraise").json()
    results = {one["path"]: one["result"] for one in said["findings"]}
    assert {results[f"boot.replayed.rtmr{number}"] for number in range(3)} == {"pass"}
    assert said["boot"]["verdict"] == "verified"


def test_logs_are_judged_beside_a_quote(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "ccel").write_bytes(LOG)
    assert cli("appraise", tmp_path / "ccel").code == 64
