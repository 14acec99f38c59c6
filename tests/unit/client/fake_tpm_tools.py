# SPDX-License-Identifier: Apache-2.0
"""Programs in the place of tpm2-tools, which write what they are told and record how they were called."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attestca_client.azure import AzureQuoteSource
from attestca_client.runtime import Runtime
from attestca_client.tpm import TpmTools
from attestca_client.wire import Evidence
from tests.tpm_lab import Hcl, runtime

DATA = bytes(range(64))
NOWHERE = ("127.0.0.1", 1)  # nobody listens there

FAKE = """#!{python} -IS
import json, os, pathlib, sys, time
folder, name = pathlib.Path({folder!r}), pathlib.Path(sys.argv[0]).name
script = json.loads((folder / f"{{name}}.json").read_text())
calls = folder / f"{{name}}.calls"
with calls.open("a") as file:
    mode = pathlib.Path.cwd().stat().st_mode & 0o777
    seen = [sys.argv[1:], dict(os.environ), os.getcwd(), mode, os.listdir(".")]
    file.write(json.dumps(seen) + "\\n")
step = script[min(len(calls.read_text().splitlines()), len(script)) - 1]
for output, text in step.get("files", {{}}).items():
    pathlib.Path(output).write_bytes(bytes.fromhex(text))
sys.stderr.write(step.get("stderr", ""))
sys.stderr.flush()
time.sleep(step.get("sleep", 0))
sys.exit(step.get("code", 0))
"""


@dataclass
class Call:
    arguments: list[str]
    environment: dict[str, str]
    folder: Path
    mode: int
    there: list[str]


class Bench:
    """A source over fake tools, with waits recorded instead of waited."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hcl = Hcl(runtime=runtime()).data
        self.waits: list[float] = []
        self.lines: list[str] = []
        self.runtime = Runtime(
            sleep=self.waits.append, uniform=lambda _low, high: high, say=self.lines.append
        )
        self.device = root / "tpmrm0"
        self.device.touch()
        self.install("tpm2_nvread", "tpm2_quote")
        self.nvread({"files": {"content": self.hcl.hex()}})
        self.quote(self.quoted())
        self.source = self.but()

    def install(self, *tools: str) -> None:
        for tool in tools:
            script = self.root / tool
            script.write_text(FAKE.format(python=sys.executable, folder=str(self.root)))
            script.chmod(0o755)

    def but(self, metadata: tuple[str, int] = NOWHERE, **tools: Any) -> AzureQuoteSource:  # noqa: ANN401 - a field of any type
        defaults = {"path": str(self.root), "devices": (self.root / "none", self.device)}
        return AzureQuoteSource(self.runtime, TpmTools(**(defaults | tools)), metadata)

    @staticmethod
    def quoted(
        attest: bytes = b"attest", signature: bytes = b"sig", pcrs: bytes = b"p" * 768
    ) -> Any:  # noqa: ANN401 - JSON
        parts = {"attest": attest, "signature": signature, "pcrs": pcrs}
        return {"files": {name: data.hex() for name, data in parts.items()}}

    def nvread(self, *steps: dict[str, Any]) -> None:
        self.tell("tpm2_nvread", *steps)

    def quote(self, *steps: dict[str, Any]) -> None:
        self.tell("tpm2_quote", *steps)

    def tell(self, tool: str, *steps: dict[str, Any]) -> None:
        (self.root / f"{tool}.json").write_text(json.dumps(steps))

    def calls(self, tool: str) -> list[Call]:
        lines = (self.root / f"{tool}.calls").read_text().splitlines()
        return [Call(a, e, Path(f), m, t) for a, e, f, m, t in map(json.loads, lines)]

    @property
    def expected(self) -> list[Evidence]:
        return [
            Evidence("hcl-report", self.hcl),
            Evidence("tpm-attest", b"attest"),
            Evidence("tpm-signature", b"sig"),
            Evidence("tpm-pcrs", b"p" * 768),
        ]
