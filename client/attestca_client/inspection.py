# SPDX-License-Identifier: Apache-2.0
"""`attestca-client evidence`: this machine's evidence in files, to be looked at and verified by hand.

It must not become a relay door. Whoever may choose what a measured image puts into report_data, or the nonce its GPUs
answer, can enroll a key of their own as that image: they would choose the values of their own enrollment. So the
caller's nonce is never used as it is. What goes into the evidence is a hash of it under a label of its own
(`protocol.Label.INSPECT`), which no enrollment's values can equal, and which nobody can aim at a value that another
system wants. The evidence is bound to no key: it proves that this machine was there after the nonce was made, and it is
good for nothing else.

Enrollment uses nothing of this file, and takes no evidence from files.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attestca_client import nvidia
from attestca_client.errors import Misconfigured
from attestca_client.files import empty_directory, write_private
from attestca_client.protocol import inspect_gpu_nonce, inspect_report_data, tpm_extra

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from attestca_client.enroll import DeviceSource, QuoteSource
    from attestca_client.wire import Evidence

NONCE_BYTES = range(16, 65)
DEVICES_FILE = "nvidia-devices.json"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was made of a nonce.

    Attributes:
        report_data: 64 bytes, in the CPU's report.
        tpm_extra: 32 bytes, extraData of the vTPM's quote where a paravisor owns report_data.
        gpu_nonce: 32 bytes, the nonce of each device's report.
        files: absolute paths of what was written.
    """

    report_data: bytes
    tpm_extra: bytes
    gpu_nonce: bytes
    files: tuple[Path, ...]


def parse_nonce(text: str) -> bytes:
    """16 to 64 bytes in hexadecimal. Raises Misconfigured."""
    try:
        nonce = bytes.fromhex(text)
    except ValueError:
        nonce = b""
    if len(nonce) not in NONCE_BYTES:
        raise Misconfigured(
            f"--nonce: {NONCE_BYTES.start} to {NONCE_BYTES.stop - 1} bytes in hexadecimal are wanted"
        )
    return nonce


def inspect(
    nonce: bytes, quote_source: QuoteSource, device_source: DeviceSource | None, out: Path
) -> Inspection:
    """Evidence over hashes of `nonce`, written to the empty directory `out`, which is made (0700) where it is missing.

    Each piece of the CPU's evidence is a file of its kind's name, raw; the devices together are one JSON document, a
    list of `evidence` (the report) and `certificate` (the PEM chain), both Base64, as NVIDIA's tools write it.

    Raises Misconfigured, EvidenceError, OutputFailed.
    """
    directory = empty_directory(out)
    report_data, gpu_nonce = inspect_report_data(nonce), inspect_gpu_nonce(nonce)
    devices = [] if device_source is None else device_source(gpu_nonce)
    contents = [*documents(quote_source(report_data), devices)]
    for name, data in contents:
        write_private(directory / name, data)
    files = tuple(directory / name for name, _ in contents)
    return Inspection(report_data, tpm_extra(report_data), gpu_nonce, files)


def documents(
    pieces: Iterable[Evidence], devices: Sequence[Evidence]
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files."""
    for piece in pieces:
        yield f"{piece.kind}.bin", piece.data
    if devices:
        yield DEVICES_FILE, devices_json(devices)


def devices_json(devices: Iterable[Evidence]) -> bytes:
    """The devices' evidence as NVIDIA's tools write it."""
    pairs = (nvidia.unpack(device) for device in devices)
    listed = [
        {
            "evidence": base64.b64encode(report).decode(),
            "certificate": base64.b64encode(chain).decode(),
        }
        for report, chain in pairs
    ]
    return json.dumps(listed, indent=1).encode()
