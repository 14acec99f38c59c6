# SPDX-License-Identifier: Apache-2.0
"""The command line in this process, a simulated machine's evidence in files, and `attestca serve` as a process."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

import ca.cli
from ca.config import Config, load
from ca.signers.folder import KeyFolder
from simulator.intel import FakeIntel
from verifiers.anchors import Anchor, Anchors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    import pytest

PASSPHRASE = "canary-passphrase-4f1d"  # noqa: S105 - what must not be repeated
PUBLIC_URL = "https://localhost"
CHECKOUT = Path(__file__).parents[1]
LISTEN = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
ALL_SCOPES = (
    *("--scope", "policies:read", "--scope", "policies:write", "--scope", "certificates:read"),
    *("--scope", "refusals:read", "--scope", "audit:read"),
)
START_SECONDS = 60.0


@dataclass(frozen=True)
class Done:
    """One command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:  # noqa: ANN401 - a value of any type is what it takes
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """Runs commands in this process, and tells what they printed."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path) -> Done:
        self.capsys.readouterr()
        code = ca.cli.run([str(argument) for argument in arguments])
        printed = self.capsys.readouterr()
        return Done(code, printed.out, printed.err)

    def good(self, *arguments: str | Path) -> Done:
        done = self(*arguments)
        assert done.code == 0, done.err
        return done


@dataclass(frozen=True)
class Place:
    """An authority that `attestca init` made."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "attestca.toml"

    @property
    def config(self) -> Config:
        return load(self.path)

    @property
    def keys(self) -> Path:
        return self.folder / "ca"

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder / 'attestca.db'}"

    def open(self) -> KeyFolder:
        return KeyFolder(self.keys, PASSPHRASE.encode(), os.urandom)

    def copy(self, to: Path) -> Place:
        return Place(Path(shutil.copytree(self.folder, to)))

    def contents(self) -> dict[str, bytes]:
        """Every file, so that a test can tell that nothing changed."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.suffix not in {".db-wal", ".db-shm"}
        }


@dataclass
class Evidence:
    """Files of one simulated machine: quotes by name, and the collateral."""

    folder: Path
    intel: FakeIntel
    machine: Any = field(init=False)

    def __post_init__(self) -> None:
        self.machine = self.intel.platform()
        self.collateral.write_text(json.dumps(self.intel.bundle()))

    @property
    def collateral(self) -> Path:
        return self.folder / "collateral.json"

    @property
    def at(self) -> str:
        return self.intel.now.isoformat()

    @property
    def judged(self) -> tuple[str, ...]:
        """The options that go with each of the quotes."""
        return ("--collateral", str(self.collateral), "--at", self.at)

    def quote(self, name: str = "quote.bin", **changes: Any) -> Path:  # noqa: ANN401 - a value of any type is what it takes
        path = self.folder / name
        path.write_bytes(self.machine.quote(**changes))
        return path

    @property
    def anchors(self) -> Anchors:
        return Anchors(Anchor.from_der(self.intel.root_der))


def make_evidence(folder: Path, now: datetime) -> Evidence:
    folder.mkdir()
    return Evidence(folder, FakeIntel.create(now, seed=b"command line"))


@dataclass
class Serving:
    """`attestca serve` while it runs."""

    process: subprocess.Popen[str]
    public: str
    admin: str
    log: Path

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_SECONDS)


def environment(**variables: str) -> dict[str, str]:
    """For processes: this one's, the passphrase, and no collateral service but a dead one on loopback."""
    ours = {
        "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'client'}",
        "ATTESTCA_PASSPHRASE": PASSPHRASE,
        "ATTESTCA_COLLATERAL__PCS_BASE_URL": "http://127.0.0.1:9",
        "ATTESTCA_COLLATERAL__ROOT_CRL_URL": "http://127.0.0.1:9/root.der",
        "ATTESTCA_COLLATERAL__ALLOW_PRIVATE_HOSTS": "127.0.0.1",
    }
    return {**os.environ, **ours, **variables}


@contextmanager
def serving(place: Place, variables: Mapping[str, str] | None = None) -> Iterator[Serving]:
    """Start the service, wait for its two addresses, end it."""
    log = place.folder / "serve.log"
    with log.open("a") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "ca", "serve", "--config", str(place.path)],
            env=environment(**(variables or {})),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    watchdog = threading.Timer(START_SECONDS, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(2)]
        watchdog.cancel()  # it is for the start alone
        assert [line[:1] for line in lines] == [["service"], ["operators"]], log.read_text()
        yield Serving(process, lines[0][1], lines[1][1], log)
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextmanager
def logging_kept() -> Iterator[None]:
    """Undo what `serve` does to the process's logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
