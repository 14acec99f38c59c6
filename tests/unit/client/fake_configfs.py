# SPDX-License-Identifier: Apache-2.0
"""The kernel's side of configfs-tsm-report, over real files in a temporary directory, for both of its providers.

`KernelFiles` does the system calls; this subclass adds what the kernel does around them: `mkdir` makes the
attributes, closing `inblob` takes the value and raises `generation` (or drops it without a word), reading `outblob`
makes the quote, `rmdir` takes the attributes along. `sev_guest` has `auxblob` too, and the knobs of its VMPL. `errors`
and `meddle` break in at a given call.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from attestca_client.tsm import KernelFiles

Meddle = Callable[["FakeConfigfs", Path], None]
SNP_ATTRIBUTES = {"auxblob": "", "privlevel": "", "privlevel_floor": "0\n"}


class FakeConfigfs(KernelFiles):
    def __init__(self, root: Path, provider: str = "tdx_guest", prefix: bytes = b"quote ") -> None:
        self.root = root
        self.provider = provider
        self.prefix = prefix
        self.certificates = b""
        self.size = 1184  # of an SEV-SNP report
        self.calls: list[str] = []
        self.made: list[str] = []
        self.errors: dict[str, list[int]] = defaultdict(list)  # "write inblob" -> errno, once each
        self.meddle: dict[str, list[Meddle]] = defaultdict(list)  # likewise, after the call
        self.drop_writes = 0

    def mkdir(self, path: Path) -> None:
        self._called("mkdir")
        super().mkdir(path)
        self.made.append(path.name)
        attributes = {
            "provider": f"{self.provider}\n",
            "generation": "0\n",
            "inblob": "",
            "outblob": "",
        }
        if self.provider == "sev_guest":
            attributes |= SNP_ATTRIBUTES
        for name, text in attributes.items():
            (path / name).write_text(text)

    def rmdir(self, path: Path) -> None:
        self._called("rmdir")
        for attribute in path.iterdir():
            attribute.unlink()
        super().rmdir(path)

    def write(self, path: Path, data: bytes) -> None:
        self._called(f"write {path.name}")
        super().write(path, data)
        if self.drop_writes:
            self.drop_writes -= 1
            path.write_bytes(b"")
        else:
            self.bump(path.parent)
        self._meddle(f"write {path.name}", path.parent)

    def read(self, path: Path, limit: int) -> bytes:
        self._called(f"read {path.name}")
        if path.name == "outblob":
            self._report(path.parent)
        data = super().read(path, limit)
        self._meddle(f"read {path.name}", path.parent)
        return data

    def _report(self, entry: Path) -> None:
        report = self.prefix + (entry / "inblob").read_bytes()
        if self.provider == "sev_guest":
            report = report.ljust(self.size, b"\0")[: self.size]
            (entry / "auxblob").write_bytes(self.certificates)
        (entry / "outblob").write_bytes(report)

    def bump(self, entry: Path) -> None:
        generation = entry / "generation"
        generation.write_text(f"{int(generation.read_text()) + 1}\n")

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if self.errors[call]:
            number = self.errors[call].pop(0)
            raise OSError(number, os.strerror(number))

    def _meddle(self, call: str, entry: Path) -> None:
        if self.meddle[call]:
            self.meddle[call].pop(0)(self, entry)


def another_writer(kernel: FakeConfigfs, entry: Path) -> None:
    """Another process writes its own report data into our entry."""
    (entry / "inblob").write_bytes(b"theirs".ljust(64, b"."))
    kernel.bump(entry)
