# SPDX-License-Identifier: Apache-2.0
"""The command line: which evidence is sent, of devices, logs and virtual TPMs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from attestca_client import __main__ as cli
from attestca_client import machine
from attestca_client.wire import Evidence
from simulator import eventlog as simulated
from tests.eventlog_lab import action, tcg2
from tests.unit.client.cli_lab import arguments
from tests.unit.client.fake_authority import (
    FakeAuthority,
    fake_devices,
    fake_quote,
    problem,
)
from tests.unit.client.fake_nvml import FakeNvml

if TYPE_CHECKING:
    from pathlib import Path

    from attestca_client.runtime import Runtime

IMA = simulated.ima([simulated.measured_file("/usr/bin/app", b"app")])


@pytest.fixture
def on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose CPU gives quotes."""
    monkeypatch.setattr(machine.MachineQuoteSource, "of", lambda _runtime, **_: fake_quote)


@pytest.mark.usefixtures("on_this_machine")
@pytest.mark.parametrize(
    ("option", "gpus", "sent"),
    [
        ([], 2, 2),
        (["--devices", "auto"], 2, 2),
        (["--devices", "auto"], 0, 0),
        (["--devices", "required"], 1, 1),
        (["--devices", "none"], 2, 0),
    ],
)
def test_devices(
    authority: FakeAuthority,
    root_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: list[str],
    gpus: int,
    sent: int,
) -> None:
    nvml = FakeNvml(gpus=gpus).install(monkeypatch)
    assert cli.run(arguments(authority, root_file, *option)) == 0
    kinds = [piece["kind"] for piece in authority.posts()[0].json()["evidence"]]
    assert kinds == ["tdx-quote", *["nvidia-device"] * sent]
    assert bool(nvml.calls) == (option != ["--devices", "none"])


@pytest.mark.usefixtures("on_this_machine")
@pytest.mark.parametrize(
    ("nvml", "option", "expected"),
    [
        (FakeNvml(cc=0), "required", (66, "devices-missing")),
        (FakeNvml(gpus=0), "required", (66, "devices-missing")),
        (FakeNvml(errors={"nvmlInitWithFlags": 4}), "auto", (66, "devices-permission")),
        (FakeNvml(errors={"nvmlInitWithFlags": 15}), "auto", (69, "devices-unavailable")),
    ],
)
def test_devices_that_cannot_be_had(
    authority: FakeAuthority,
    root_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    nvml: FakeNvml,
    option: str,
    expected: tuple[int, str],
) -> None:
    nvml.install(monkeypatch)
    code = cli.run(arguments(authority, root_file, "--json", "--devices", option))
    out, err = capsys.readouterr()
    assert (code, json.loads(out)["code"]) == expected
    assert len(err.strip().splitlines()) >= 2  # what, and a hint
    assert authority.posts() == []


def test_sources_that_are_given_replace_both_of_the_machines(
    authority: FakeAuthority, root_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = FakeNvml().install(monkeypatch)
    assert cli.run(arguments(authority, root_file), fake_quote) == 0
    assert cli.run(arguments(authority, root_file), fake_quote, fake_devices(3)) == 0
    without = arguments(authority, root_file, "--devices", "none")
    assert cli.run(without, fake_quote, fake_devices(3)) == 0
    assert [len(post.json()["evidence"]) for post in authority.posts()] == [1, 4, 1]
    assert nvml.calls == {}


LOG = tcg2(action(1, b"one"))


def with_log(report_data: bytes) -> list[Evidence]:
    """A machine whose firmware has a log."""
    return [*fake_quote(report_data), Evidence("ccel", LOG)]


@pytest.mark.parametrize(
    ("option", "kinds"),
    [
        ([], ["tdx-quote", "ccel"]),
        (["--event-log", "auto"], ["tdx-quote", "ccel"]),
        (["--event-log", "none"], ["tdx-quote"]),
        (["--event-log", "FILE"], ["tdx-quote", "ima-log"]),
        (["--event-log", "auto", "--event-log", "FILE"], ["tdx-quote", "ccel", "ima-log"]),
    ],
)
def test_event_logs(
    authority: FakeAuthority, root_file: Path, option: list[str], kinds: list[str]
) -> None:
    file = root_file.parent / "ima"
    file.write_bytes(IMA)
    option = [str(file) if word == "FILE" else word for word in option]
    assert cli.run(arguments(authority, root_file, *option), with_log) == 0
    assert [piece["kind"] for piece in authority.posts()[0].json()["evidence"]] == kinds
    nonce, out = "00" * 32, root_file.parent / "evidence"
    assert cli.run(["evidence", "--nonce", nonce, "--out", str(out), *option], with_log) == 0
    assert {one.name for one in out.iterdir()} == {f"{kind}.bin" for kind in kinds}


@pytest.mark.usefixtures("on_this_machine")
@pytest.mark.parametrize(("option", "with_log_"), [([], True), (["--event-log", "none"], False)])
def test_what_is_not_sent_is_not_read(
    authority: FakeAuthority,
    root_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: list[str],
    *,
    with_log_: bool,
) -> None:
    asked = what_is_asked(monkeypatch)
    assert cli.run(arguments(authority, root_file, *option)) == 0
    assert asked == [(with_log_, False)]


def what_is_asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool]]:
    """Of the machine, from now on: (whether with its log, whether with Google's vTPM)."""
    asked: list[tuple[bool, bool]] = []

    def of(_runtime: Runtime, *, with_log: bool, google: bool) -> object:
        asked.append((with_log, google))
        return fake_quote

    monkeypatch.setattr(machine.MachineQuoteSource, "of", of)
    return asked


@pytest.mark.usefixtures("on_this_machine")
def test_googles_vtpm_is_asked_for_by_name(
    authority: FakeAuthority, root_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = what_is_asked(monkeypatch)
    out = root_file.parent / "evidence"
    assert cli.run(["evidence", "--nonce", "00" * 32, "--out", str(out), "--vtpm", "google"]) == 0
    for option in (["--vtpm", "google"], ["--vtpm", "auto"], []):
        assert cli.run(arguments(authority, root_file, *option)) == 0
    assert asked == [(True, True), (True, True), (True, False), (True, False)]


def test_googles_vtpm_of_another_machine(
    authority: FakeAuthority,
    root_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is enrolled, and the daemon does not try for ever."""
    monkeypatch.setattr("attestca_client.google.on_google", lambda _: False)
    argv = arguments(authority, root_file, "--vtpm", "google", "--json", "--daemon")
    assert cli.run(argv) == 64
    printed, said = capsys.readouterr()
    assert json.loads(printed)["code"] == "misconfigured"
    assert "no VM of Google Compute Engine" in said
    assert authority.posts() == []


def test_event_logs_that_cannot_be_sent(
    authority: FakeAuthority, root_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = arguments(authority, root_file, "--json", "--event-log", "/nowhere/log")
    assert cli.run(missing, with_log) == 66
    out, err = capsys.readouterr()
    assert json.loads(out)["code"] == "event-log-unusable"
    assert "the event log /nowhere/log cannot be read: No such file or directory" in err
    both = arguments(authority, root_file, "--event-log", "none", "--event-log", "auto")
    assert cli.run(both, with_log) == 64
    assert authority.posts() == []


def test_a_log_that_is_refused(
    authority: FakeAuthority, root_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = {"rule": "boot-replay", "path": "boot.replayed.rtmr2", "result": "fail", "hint": "no"}
    authority.script("POST", problem(403, "denied", "one rule failed", findings=[finding]))
    assert cli.run(arguments(authority, root_file), with_log) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "(ccel) do not give rtmr2 of the quote" in last
    assert "--event-log none enrolls without" in last
