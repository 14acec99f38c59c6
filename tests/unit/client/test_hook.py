# SPDX-License-Identifier: Apache-2.0
"""The operator's command: run as given, without a shell, with its paths, and not for ever."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from attestca_client.enroll import Enrollment
from attestca_client.files import KeyDirectory
from attestca_client.hook import run_hook
from attestca_client.runtime import Runtime
from tests.unit.client.fake_authority import Pki

if TYPE_CHECKING:
    import pytest

LEAF = Pki().leaf(ec.generate_private_key(ec.SECP256R1()).public_key())
ENROLLMENT = Enrollment(LEAF, KeyDirectory(Path("/keys")), "p@1", "simulated")


class Said(list[str]):
    @property
    def runtime(self) -> Runtime:
        return Runtime(say=self.append)


def python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-c", script, *arguments]


def test_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    file = tmp_path / "env"
    script = "import os, sys; open(sys.argv[1], 'w').write(chr(10).join(map('='.join, os.environ.items())))"
    assert run_hook(python(script, str(file)), ENROLLMENT, Said().runtime)
    found = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert found["ATTESTCA_KEY"] == "/keys/key.pem"
    assert found["ATTESTCA_CERT"] == "/keys/cert.pem"
    assert found["ATTESTCA_CHAIN"] == "/keys/chain.pem"
    assert found["ATTESTCA_FULLCHAIN"] == "/keys/fullchain.pem"
    assert found["ATTESTCA_SERIAL"] == ENROLLMENT.serial
    assert found["ATTESTCA_NOT_AFTER"].endswith("Z")
    assert found["INHERITED"] == "yes"


def test_no_shell(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    script = "import sys; sys.exit(0 if sys.argv[1].startswith('$(') else 9)"
    assert run_hook(python(script, f"$(touch {marker})"), ENROLLMENT, Said().runtime)
    assert not marker.exists()


def test_a_failure_is_reported() -> None:
    said = Said()
    assert not run_hook(python("raise SystemExit(3)"), ENROLLMENT, said.runtime)
    assert "exit code 3" in said[0]


def test_a_command_that_is_not_there() -> None:
    said = Said()
    assert not run_hook(["/nonexistent/reload"], ENROLLMENT, said.runtime)
    assert "cannot run" in said[0]
    assert not run_hook(["bad\0name"], ENROLLMENT, said.runtime)


def test_the_time_limit_ends_its_children_too(tmp_path: Path) -> None:
    said = Said()
    file = tmp_path / "pid"
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open(sys.argv[1] + '.new', 'w').write(str(child.pid))\n"
        "import os; os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
        "time.sleep(60)\n"
    )
    started = time.monotonic()
    limit = 0.5
    while not file.exists():  # a slow machine may need a longer limit to get that far
        assert not run_hook(python(script, str(file)), ENROLLMENT, said.runtime, limit)
        limit *= 2
    assert "ended after" in said[0]
    assert time.monotonic() - started < 60
    assert gone(int(file.read_text()))


def gone(pid: int) -> bool:
    """Whether the process ends soon (or is a zombie that nobody has collected)."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_its_output_does_not_mix_with_our_result(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_hook(python("print('from the hook')"), ENROLLMENT, Said().runtime)
    out, err = capfd.readouterr()
    assert out == ""
    assert "from the hook" in err
