# SPDX-License-Identifier: Apache-2.0
"""Where evidence of a fake NVIDIA's devices lies as files, and what its manifests and answers lie beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.nvidia.certificates import NOW

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nvidia_devices import Exhibit

AT = ("--at", NOW.isoformat())


@dataclass(frozen=True)
class Desk:
    """A folder of evidence."""

    folder: Path

    def put(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return path

    def lay(self, *exhibits: Exhibit) -> list[Path]:
        """Reports and chains, then every manifest once."""
        return [*self.lay_devices(*exhibits), *self.lay_rims(*exhibits)]

    def lay_devices(self, *exhibits: Exhibit) -> list[Path]:
        files = []
        for place, one in enumerate(exhibits):
            files.append(self.put(f"{place}.a", one.evidence.report))
            files.append(self.put(f"{place}.b", one.evidence.chain_pem))
        return files

    def lay_rims(self, *exhibits: Exhibit) -> list[Path]:
        rims = dict.fromkeys(rim for one in exhibits for rim in one.endorsements.rims)
        return [self.put(f"rims/{place}", rim) for place, rim in enumerate(rims)]

    def answer(self, *exhibits: Exhibit) -> tuple[str, str]:
        found = dict.fromkeys(answer for one in exhibits for answer in one.ocsp)
        for place, answer in enumerate(found):
            self.put(f"ocsp/{place}", answer)
        return "--ocsp", str(self.folder / "ocsp")
