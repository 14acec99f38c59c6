# SPDX-License-Identifier: Apache-2.0
"""The command line: the daemon as a process."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from attestca_client import __main__ as cli
from attestca_client import tsm
from tests.unit.client.cli_lab import arguments
from tests.unit.client.fake_authority import (
    FakeAuthority,
    fake_quote,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]

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
