# SPDX-License-Identifier: Apache-2.0
"""Real NVIDIA evidence as arguments of the command line; each test that wants it is skipped where it is absent.

What is about one device is given as the folder has it; what replaces a part of it, in place of that part.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from tests import nvidia_vectors as vectors

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nvidia_vectors import Vector

EXITS = {"verified": 0, "rejected": 1, "undetermined": 2}


def files_of(name: str) -> list[Path]:
    """Evidence and manifests of a folder, by the names that they have there."""
    vectors.load(name)
    folder = vectors.NVIDIA / name
    patterns = ("report.bin", "chain.pem", "*evidence.json", "*.xml")
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def judged(vector: Vector) -> list[str]:
    """Nonce, instant, and the folder of OCSP answers if there is one."""
    folder = vectors.NVIDIA / vector.name / "ocsp"
    ocsp = ["--ocsp", str(folder)] if folder.is_dir() else []
    return [*ocsp, "--nonce", vector.nonce.hex(), "--at", vector.at.isoformat()]


def written(vector: Vector, folder: Path) -> list[Path]:
    """The manifests, then the devices, in files whose names say nothing: bytes for one device, JSON for several."""
    contents: list[bytes] = []
    if len(vector.devices) == 1:
        (device,) = vector.devices
        contents = [device.chain_pem, device.report]
    else:
        contents = [listed(vector)]
    files = []
    for number, content in enumerate([*vector.rims.values(), *contents]):
        path = folder / f"{number}.data"
        path.write_bytes(content)
        files.append(path)
    return files


def listed(vector: Vector) -> bytes:
    """The devices as NVIDIA's tools write them."""
    devices = [
        {
            "arch": "BLACKWELL",  # a sender's word, which nobody believes
            "evidence": base64.b64encode(device.report).decode(),
            "certificate": base64.b64encode(device.chain_pem).decode(),
        }
        for device in vector.devices
    ]
    return json.dumps(devices).encode()
