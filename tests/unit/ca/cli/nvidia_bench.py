# SPDX-License-Identifier: Apache-2.0
"""Devices of a fake NVIDIA and all that its services say of them, as arguments of the command line."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from simulator.nvidia.vendor import FakeNvidia
from tests.snp_lab import intel_root
from verifiers.anchors import Anchor, Anchors, NvidiaRoots

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.nvidia.hardware import NvidiaDevice

NONCE: Final = bytes(range(32))
NOW: Final = datetime(2026, 11, 25, 13, 0, 0, tzinfo=UTC)
AT: Final = ("--at", NOW.isoformat())


@dataclass(frozen=True)
class Bench:
    """A folder, and a vendor."""

    folder: Path
    nvidia: FakeNvidia

    @classmethod
    def create(cls, folder: Path, now: datetime = NOW) -> Bench:
        return cls(folder, FakeNvidia.create(now, seed=b"command line"))

    def anchors(self) -> Anchors:
        """The vendor in place of the real one; Intel's is there because one must be."""
        vendor = self.nvidia
        roots = NvidiaRoots.from_ders(
            vendor.device_root_der, vendor.rim_root_der, vendor.nras_pins, vendor.nras.issuer
        )
        return Anchors(Anchor.from_der(intel_root().certificate.der), nvidia=roots)

    def put(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return path

    def evidence(self, *devices: NvidiaDevice, nonce: bytes = NONCE) -> Path:
        """The devices in one file, as NVIDIA's tools write it."""
        return self.put("devices.json", json.dumps(listed(devices, nonce)).encode())

    def rims(self, *devices: NvidiaDevice) -> tuple[str, ...]:
        manifests, _ = self.nvidia.bundle(devices or None)
        for place, one in enumerate(manifests):
            self.put(f"rims/{place}.xml", one)
        return "--rim", str(self.folder / "rims")

    def answers(self, *devices: NvidiaDevice) -> tuple[str, ...]:
        _, answers = self.nvidia.bundle(devices or None)
        for place, one in enumerate(answers):
            self.put(f"ocsp/{place}.der", one)
        return "--ocsp", str(self.folder / "ocsp")

    def token(
        self, *devices: NvidiaDevice, nonce: bytes = NONCE, kind: str = "gpu"
    ) -> tuple[str, ...]:
        """What the attestation service says of these, and its keys of the moment."""
        request = {
            "nonce": nonce.hex(),
            "arch": devices[0].product.arch,
            "claims_version": "3.0",
            "evidence_list": listed(devices, nonce),
        }
        said = self.nvidia.nras.attest(kind, json.dumps(request).encode())
        token = self.put(f"token-{kind}.json", said)
        keys = self.put("jwks.json", self.nvidia.nras.jwks())
        return "--nras-token", str(token), "--jwks", str(keys)


def listed(devices: tuple[NvidiaDevice, ...], nonce: bytes) -> list[dict[str, str]]:
    return [
        {
            "evidence": base64.b64encode(one.report(nonce)).decode(),
            "certificate": base64.b64encode(one.chain).decode(),
        }
        for one in devices
    ]
