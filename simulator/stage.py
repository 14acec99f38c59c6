# SPDX-License-Identifier: Apache-2.0
"""A whole authority on loopback for the demo, the benchmark and end-to-end tests: vendors, `attestca serve`, policies.

Everything is done by the commands that an operator would type, as processes of their own, in one folder; leaving the
block ends the processes. The authority is a simulated one and says so.
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Self

from simulator.snp_policies import azure_policy, snp_policy
from simulator.tdx_policies import azure_tdx_policy, gpu_policy, tdx_policy
from simulator.world import World, anchor_paths

if TYPE_CHECKING:
    from types import TracebackType

Say = Callable[[str], None]
START_TIMEOUT = 60.0  # seconds until a process says where it listens


def say_nothing(_line: str) -> None:
    """Drop a line."""


class StageError(Exception):
    """A command that should have gone through did not; the text is its output."""


@dataclass(slots=True)
class Stage:
    """See the module's docstring.

    Attributes:
        say: is told each command before it runs.
        azure: whether there are policies for both machines under a paravisor too.
        overrides: ATTESTCA_… variables for the service, beside those that point it at the fake vendor.
        prepare: is given this stage when the authority is founded and does not serve yet.
        pid: of `attestca serve`, once inside the block.
        url, admin_url: where the two listeners are, once inside the block.
    """

    folder: Path
    say: Say = say_nothing
    azure: bool = False
    overrides: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Stage], None] | None = None
    pid: int = field(init=False, default=0)
    world: World = field(init=False)
    url: str = field(init=False, default="")
    admin_url: str = field(init=False, default="")
    _environment: dict[str, str] = field(init=False, default_factory=dict, repr=False)
    _processes: list[subprocess.Popen[str]] = field(init=False, default_factory=list)

    @property
    def config(self) -> Path:
        """The authority's configuration file."""
        return self.folder / "authority" / "attestca.toml"

    @property
    def root(self) -> Path:
        """The authority's root certificate."""
        return self.folder / "authority" / "ca" / "root.pem"

    @property
    def world_file(self) -> Path:
        """The simulated world."""
        return self.folder / "world.json"

    def __enter__(self) -> Self:
        """Start everything. Raises StageError."""
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the processes."""
        self._stop()

    def _start(self) -> None:
        self.world = World.create(self.world_file)
        passphrase = self.folder / "passphrase"
        passphrase.write_text(secrets.token_hex(16) + "\n", encoding="ascii")
        passphrase.chmod(0o600)
        checkout = Path(__file__).parents[1]
        both = f"{checkout}{os.pathsep}{checkout / 'client'}"
        self._environment = {**os.environ, "PYTHONPATH": both}
        vendor = ["-m", "simulator.vendor", "--world", str(self.world_file)]
        pcs, kds, nvidia, google = self._launch(vendor, 4)
        self._environment |= {
            "ATTESTCA_COLLATERAL__PCS_BASE_URL": pcs,
            "ATTESTCA_COLLATERAL__ROOT_CRL_URL": f"{pcs}/IntelSGXRootCA.der",
            "ATTESTCA_COLLATERAL__KDS_BASE_URL": kds,
            "ATTESTCA_COLLATERAL__NVIDIA_RIM_BASE_URL": nvidia,
            "ATTESTCA_COLLATERAL__NVIDIA_OCSP_URL": nvidia,
            "ATTESTCA_COLLATERAL__NRAS_BASE_URL": nvidia,
            "ATTESTCA_COLLATERAL__GOOGLE_ROOT_CRL_URL": google,
            "ATTESTCA_COLLATERAL__ALLOW_PRIVATE_HOSTS": "127.0.0.1",
            **self.overrides,
        }
        anchors = [("--simulated-anchor", str(path)) for path in anchor_paths(self.world_file)]
        self.attestca(
            *("init", str(self.config.parent), "--public-url", "https://localhost"),
            *("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"),
            *("--simulated", *chain.from_iterable(anchors)),
            *("--passphrase-file", str(passphrase)),
        )
        if self.prepare is not None:
            self.prepare(self)
        arguments = ["serve", "--config", str(self.config)]
        self.say(_shown("attestca", arguments))
        lines = self._launch(["-m", "ca", *arguments], 2)
        self.pid = self._processes[-1].pid
        # the certificate is for the public URL's name, which is this host's
        self.url = lines[0].split()[-1].replace("127.0.0.1", "localhost")
        self.admin_url = lines[1].split()[-1]
        self._open_policies()

    def _open_policies(self) -> None:
        token = self.attestca(
            *("token", "create", "operator", "--expires", "1d", "--config", str(self.config)),
            *("--scope", "policies:read", "--scope", "policies:write"),
            *("--scope", "certificates:read", "--scope", "refusals:read"),
        )
        self._environment["ATTESTCA_TOKEN"] = token.strip().splitlines()[-1]
        documents = {"demo": tdx_policy(), "demo-gpu": gpu_policy(), "demo-snp": snp_policy()}
        if self.azure:
            documents |= {"demo-azure": azure_policy(), "demo-azure-tdx": azure_tdx_policy()}
        files = {name: self.folder / f"{name}.yaml" for name in documents}
        for name, file in files.items():
            file.write_text(documents[name], encoding="ascii")
        self.attestca("policy", "lint", *map(str, files.values()))
        for name, file in files.items():
            self.operate("policy", "add", str(file))
            self.operate("policy", "activate", name, "1")

    def operate(self, *arguments: str) -> str:
        """Run a command of the operators' API; returns its standard output."""
        return self.attestca(*arguments, "--url", self.admin_url)

    def attestca(self, *arguments: str) -> str:
        """Run `attestca …`; returns its standard output. Raises StageError if it fails."""
        self.say(_shown("attestca", arguments))
        done = self.run(["-m", "ca", *arguments])
        if done.returncode:
            raise StageError(f"attestca {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def enroll(self, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Have the simulated TDX machine enroll, or another by `--tee`; `arguments` as of `simulator.cvm`."""
        ours = ["--ca", self.url, "--ca-root", str(self.root), "--out", str(out), *arguments]
        self.say(_shown("attestca-client enroll", ours))
        return self.run(["-m", "simulator.cvm", "--world", str(self.world_file), *ours])

    def run(self, arguments: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments in the stage's environment, `variables` over it, to its end."""
        return subprocess.run(  # noqa: S603 - our own interpreter and modules
            [sys.executable, *arguments],
            env={**self._environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=START_TIMEOUT,
        )

    def _launch(self, arguments: list[str], lines: int) -> list[str]:
        """Start a process that prints `lines` lines when it is ready; they are returned."""
        log = self.folder / f"{len(self._processes)}.log"
        with log.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [sys.executable, *arguments],
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._processes.append(process)
        watchdog = threading.Timer(START_TIMEOUT, process.kill)
        watchdog.start()
        try:
            found = [(process.stdout.readline() if process.stdout else "") for _ in range(lines)]
        finally:
            watchdog.cancel()
        if not all(found):
            raise StageError(f"did not start: {log.read_text(encoding='utf-8')}")
        return [line.strip() for line in found]

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._processes.clear()


def _shown(program: str, arguments: tuple[str, ...] | list[str]) -> str:
    """A command line as a person would type it."""
    return shlex.join([*program.split(), *arguments])
