# SPDX-License-Identifier: Apache-2.0
"""The command line: exit codes, and what goes to which stream."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from attestca_client import __main__ as cli
from attestca_client import azure, errors, eventlog, machine, tsm
from attestca_client.runtime import Runtime
from tests.unit.client.cli_lab import FINDING, arguments
from tests.unit.client.fake_authority import (
    FakeAuthority,
    Pki,
    Reply,
    fake_quote,
    pem,
    problem,
)

if TYPE_CHECKING:
    from attestca_client.wire import Evidence

ROOT = Path(__file__).parents[3]


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
