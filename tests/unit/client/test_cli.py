# SPDX-License-Identifier: Apache-2.0
"""The command line: exit codes, what goes to which stream, and the daemon as a process."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from attestca_client import __main__ as cli
from attestca_client import azure, errors, eventlog, machine, tsm
from attestca_client.runtime import Runtime
from attestca_client.wire import Evidence
from simulator import eventlog as simulated
from tests.eventlog_lab import action, tcg2
from tests.unit.client.fake_authority import (
    FakeAuthority,
    Pki,
    Reply,
    fake_devices,
    fake_quote,
    pem,
    problem,
    serve,
)
from tests.unit.client.fake_nvml import FakeNvml

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parents[3]
PKI = Pki()
IMA = simulated.ima([simulated.measured_file("/usr/bin/app", b"app")])
FINDING = {"rule": "measurements", "path": "mr_td", "result": "fail", "hint": "not a known image"}


@pytest.fixture
def authority() -> Iterator[FakeAuthority]:
    with serve(FakeAuthority(PKI)) as running:
        yield running


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def root_file(tmp_path: Path) -> Path:
    file = tmp_path / "root.pem"
    file.write_text(pem(PKI.root))
    return file


def arguments(authority: FakeAuthority, root_file: Path, *more: str) -> list[str]:
    out = str(root_file.parent / "out")
    return ["enroll", "--ca", authority.url, "--ca-root", str(root_file), "--out", out, *more]


def test_issued(
    authority: FakeAuthority, root_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments(authority, root_file), fake_quote) == 0
    out, err = capsys.readouterr()
    serial = f"{authority.issued[0].serial_number:x}"
    assert f"issued {serial}, valid until" in out
    assert "policy demo@3, assurance simulated" in out
    assert str(root_file.parent / "out" / "key.pem") in out
    assert "asking the platform for a quote" in err


def test_issued_as_json(
    authority: FakeAuthority, root_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments(authority, root_file, "--json"), fake_quote) == 0
    result = json.loads(capsys.readouterr().out)
    leaf = authority.issued[0]
    assert result["result"] == "issued"
    assert result["serial"] == f"{leaf.serial_number:x}"
    assert datetime.fromisoformat(result["not_after"]) == leaf.not_valid_after_utc
    assert result["assurance"] == "simulated"
    assert Path(result["files"]["cert.pem"]).read_text() == pem(leaf)


def test_denied(
    authority: FakeAuthority, root_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority.script("POST", problem(403, "denied", "one rule failed", findings=[FINDING]))
    assert cli.run(arguments(authority, root_file), fake_quote) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "refused (denied): one rule failed" in err
    assert "fail: measurements at mr_td: not a known image" in err


def test_denied_as_json(
    authority: FakeAuthority, root_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority.script("POST", problem(403, "denied", "one rule failed", findings=[FINDING]))
    assert cli.run(arguments(authority, root_file, "--json"), fake_quote) == 1
    assert json.loads(capsys.readouterr().out) == {
        "result": "refused",
        "code": "denied",
        "detail": "one rule failed",
        "findings": [FINDING],
    }


def test_a_refusal_cannot_write_to_the_terminal(
    authority: FakeAuthority, root_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = dict.fromkeys(FINDING, "\x1b]0;x\x07\rpwned")
    authority.script("POST", problem(403, "\x1b[2J", "\x1b[31m", findings=[evil]))
    assert cli.run(arguments(authority, root_file), fake_quote) == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", capsys.readouterr().err)


def test_unavailable(authority: FakeAuthority, root_file: Path) -> None:
    authority.script("GET", problem(503, "unavailable"))
    assert cli.run(arguments(authority, root_file), fake_quote) == 69


def test_untrusted(
    authority: FakeAuthority, root_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root_file.write_text(pem(Pki().root))
    assert cli.run(arguments(authority, root_file, "--json"), fake_quote) == 69
    out, err = capsys.readouterr()
    assert json.loads(out)["code"] == "untrusted"
    assert "must present a certificate for this host that chains to --ca-root" in err


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"x" * 1_000_000])
def test_unreadable_root(authority: FakeAuthority, root_file: Path, content: bytes | None) -> None:
    root_file.unlink()
    if content is not None:
        root_file.write_bytes(content)
    assert cli.run(arguments(authority, root_file), fake_quote) == 66
    assert authority.seen == []


@pytest.mark.parametrize(
    "more",
    [
        ["--ca", "http://ca.example"],
        ["--ca", "ca.example"],
        ["--out", "/proc/version"],
        ["--out", "/proc/nothing/here"],
    ],
)
def test_bad_values_are_usage_errors(
    authority: FakeAuthority, root_file: Path, more: list[str]
) -> None:
    assert cli.run(arguments(authority, root_file, *more), fake_quote) == 64
    assert authority.seen == []


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["enroll"],
        ["enroll", "--ca", "https://x"],
        ["other"],
        ["enroll", "--ca", "https://x", "--ca-root", "f", "--unknown"],
        ["enroll", "--ca", "https://x", "--ca-r", "f"],
        ["enroll", "--ca", "https://x", "--ca-root", "f", "--metrics", "m"],
        ["enroll", "--ca", "https://x", "--ca-root", "f", "--quote-file", "q"],
        ["enroll", "--ca", "https://x", "--ca-root", "f", "--devices", "file.json"],
        ["enroll", "--ca", "https://x", "--ca-root", "f", "--nonce", "00" * 32],
        ["evidence", "--nonce", "00" * 32],
        ["evidence", "--out", "d"],
        ["evidence", "--out", "d", "--nonce", "00" * 32, "--report-data", "00" * 64],
    ],
)
def test_usage_errors(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.run(argv)
    assert caught.value.code == 64
    assert "usage: attestca-client" in capsys.readouterr().err


def test_a_machine_without_evidence(
    authority: FakeAuthority,
    root_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nowhere = root_file.parent / "no-configfs"
    source = machine.MachineQuoteSource(
        tsm.TsmQuoteSource(reports=nowhere),
        azure.AzureQuoteSource(),
        eventlog.EventLogSource(Runtime(), nowhere / "CCEL"),
        eventlog.EventLogSource.of_a_tpm(Runtime(), nowhere / "measurements"),
        nowhere / "tag",
    )
    monkeypatch.setattr(machine.MachineQuoteSource, "of", lambda _runtime, **_: source)
    assert cli.run(arguments(authority, root_file)) == 66
    assert "the module tdx_guest (in a TDX guest) or sev-guest" in capsys.readouterr().err


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


def test_a_bug_is_no_verdict(
    authority: FakeAuthority, root_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_report_data: bytes) -> list[Evidence]:
        raise ZeroDivisionError

    assert cli.run(arguments(authority, root_file), broken) == 70
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_interrupted(authority: FakeAuthority, root_file: Path) -> None:
    def interrupt(_report_data: bytes) -> list[Evidence]:
        raise KeyboardInterrupt

    assert cli.run(arguments(authority, root_file), interrupt) == 130


def test_terminated_once(authority: FakeAuthority, root_file: Path) -> None:
    def terminate(_report_data: bytes) -> list[Evidence]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        raise AssertionError

    with pytest.raises(SystemExit) as caught:
        cli.run(arguments(authority, root_file), terminate)
    assert caught.value.code == 143
    assert not (root_file.parent / "out" / "key.pem").exists()


def test_a_hook_once(authority: FakeAuthority, root_file: Path) -> None:
    marker = root_file.parent / "marker"
    hook = [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"]
    argv = arguments(authority, root_file, "--hook", *hook, str(marker), "--json")
    assert cli.run(argv, fake_quote) == 0
    assert marker.read_text() == "--json"  # the rest of the line is the hook's


def test_the_default_directory_is_in_memory(
    authority: FakeAuthority, root_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = root_file.parent / "memory"
    monkeypatch.setattr(cli, "default_directory", lambda _environ: chosen)
    argv = [
        a
        for a in arguments(authority, root_file)
        if a not in {"--out", str(root_file.parent / "out")}
    ]
    assert cli.run(argv, fake_quote) == 0
    assert (chosen / "key.pem").exists()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.run(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == "attestca-client 0.1.0\n"


def test_the_console_script() -> None:
    script = Path(sys.executable).with_name("attestca-client")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter and files
    assert done.stdout == "attestca-client 0.1.0\n"


def test_no_option_or_variable_names_a_source_of_evidence() -> None:
    """But for event logs, which prove nothing by themselves (`test_sent_logs`); a vTPM is this machine's or none."""
    (commands,) = (a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction))
    makers = [command for name, command in commands.choices.items() if name != "verify"]
    options = {
        option
        for command in makers
        for action in command._actions
        for option in action.option_strings
    }
    assert options == {
        *("-h", "--help", "--ca", "--ca-root", "--profile", "--out", "--json"),
        *("--daemon", "--metrics", "--hook", "--devices", "--event-log", "--nonce", "--vtpm"),
    }
    chosen = {
        option: tuple(action.choices)
        for command in makers
        for action in command._actions
        for option in action.option_strings
        if action.choices
    }
    assert chosen == {  # whether, never from where
        "--devices": ("auto", "none", "required"),
        "--vtpm": ("auto", "google"),
    }
    package = Path(cli.__file__).parent
    readers = {
        file.name
        for file in package.glob("*.py")
        if re.search(r"os\.environ|getenv", file.read_text())
    }
    assert readers == {"__main__.py", "hook.py"}  # XDG_RUNTIME_DIR; what a hook inherits


def test_the_readme_names_every_option_and_exit_code() -> None:
    text = (ROOT / "client" / "README.md").read_text("utf-8")
    rows = set(re.findall(r"^\| `?(--[a-z-]+|[0-9]+)", text, re.MULTILINE))
    tree = [errors.ClientError]
    for kind in tree:
        tree.extend(kind.__subclasses__())
    codes = {str(kind.exit_code) for kind in tree}
    assert rows == {"--ca", "--ca-root", "--profile", "--out", "--json", "--daemon"} | {
        *("--metrics", "--hook", "--devices", "--event-log", "--nonce", "--vtpm", "0"),
        "2",  # of `verify`, which has no error for it
        *codes,
    }


def test_no_secret_on_any_stream(
    authority: FakeAuthority,
    root_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    keys: list[ec.EllipticCurvePrivateKey] = []
    real = ec.generate_private_key

    def recording(curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
        keys.append(real(curve))
        return keys[-1]

    monkeypatch.setattr("attestca_client.enroll.ec.generate_private_key", recording)
    hook = ["--hook", sys.executable, "-c", "import os; print(dict(os.environ))"]
    answers: list[Reply | None] = [
        None,
        problem(403, "denied", findings=[FINDING]),
        problem(503, "unavailable"),
        Reply(200, b"{"),
    ]
    for answer in answers:
        if answer is not None:
            authority.script("POST", answer)
        cli.run(arguments(authority, root_file, "--json", *hook), fake_quote)
    out, err = capfd.readouterr()
    assert len(keys) == len(answers)
    body = (root_file.parent / "out" / "key.pem").read_text().splitlines()[1:-1]
    scalars = [key.private_numbers().private_value for key in keys]
    for secret in [*body, *(f"{s:x}" for s in scalars), *(f"{s}" for s in scalars)]:
        assert secret not in out + err


DAEMON = """
import sys
from attestca_client.__main__ import run
from tests.unit.client.fake_authority import fake_quote
source = {"fake": fake_quote, "kernel": None}[sys.argv.pop(1)]
sys.exit(run(sys.argv[1:], source))
"""


@contextlib.contextmanager
def daemon(source: str, argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", DAEMON, source, *argv],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


def test_the_daemon_renews_and_ends_cleanly(authority: FakeAuthority, root_file: Path) -> None:
    authority.lifetime = timedelta(seconds=3)
    authority.start = datetime.now(UTC)
    marker, metrics = root_file.parent / "serials", root_file.parent / "attestca.prom"
    script = "import os, sys; open(sys.argv[1], 'a').write(os.environ['ATTESTCA_SERIAL'] + '\\n')"
    argv = arguments(
        authority,
        root_file,
        *("--daemon", "--json", "--metrics", str(metrics)),
        *("--hook", sys.executable, "-c", script, str(marker)),
    )
    with daemon("fake", argv) as process:
        read_until(process, "left, renewal at")
        authority.lifetime, authority.start = timedelta(hours=24), None
        read_until(process, "left, renewal at")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in err
    issued: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    serials = [f"{leaf.serial_number:x}" for leaf in authority.issued]
    assert len(serials) >= 2
    assert [entry["serial"] for entry in issued] == serials
    assert marker.read_text().split() == serials
    assert f"renewals_total {len(serials)}\n" in metrics.read_text()


def test_the_daemon_without_hardware_keeps_trying_until_told_to_end(
    authority: FakeAuthority, root_file: Path
) -> None:
    if tsm.REPORTS.exists():
        pytest.skip("this machine has configfs-tsm")
    with daemon("kernel", arguments(authority, root_file, "--daemon")) as process:
        lines = read_until(process, "trying again in")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert any("no attestation report from this kernel" in line for line in lines)
    assert "Traceback" not in err


def test_the_daemon_ends_on_what_a_person_must_mend(
    authority: FakeAuthority, root_file: Path
) -> None:
    (root_file.parent / "out").mkdir(mode=0o700)
    (root_file.parent / "out" / "key.pem").write_text("someone's")
    assert cli.run(arguments(authority, root_file, "--daemon"), fake_quote) == 64
