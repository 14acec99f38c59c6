# SPDX-License-Identifier: Apache-2.0
"""Evidence of NVIDIA devices as received, trusted by nobody: for each a report and its certificate chain.

JSON of NVIDIA's tools and of its attestation service: an array of objects, or an object with that array as
`evidence_list`. Of each only `evidence` (the report) and `certificate` (the chain in PEM), both Base64, are read. The
nonce, architecture and versions that stand beside them are a sender's word, and no use is made of it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from verifiers import jsontext
from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_DEVICES
from verifiers.nvidia.chain import MAX_CHAIN_BYTES
from verifiers.nvidia.report import MAX_REPORT_BYTES

MAX_JSON_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class NvidiaEvidence:
    """What one device sent: its report (SPDM request and answer), at most 16 KiB, and its PEM chain, likewise."""

    report: bytes
    chain_pem: bytes

    def __post_init__(self) -> None:
        for name, size, most in (
            ("report", len(self.report), MAX_REPORT_BYTES),
            ("device chain", len(self.chain_pem), MAX_CHAIN_BYTES),
        ):
            if size > most:
                raise VerificationError(Reason.TOO_LARGE, f"{name}: {size} bytes, at most {most}")


def parse_piece(data: bytes) -> NvidiaEvidence:
    """One device as an enrollment carries it: report and PEM chain, each behind its length (u32, big-endian).

    Raises:
        VerificationError: `too-large`, `malformed`, `trailing-bytes`.
    """
    cursor = Cursor(data)
    report, chain_pem = (
        cursor.take(int.from_bytes(cursor.take(4, f"length of the {what}"), "big"), what)
        for what in ("report", "device chain")
    )
    if cursor.remaining:
        raise VerificationError(
            Reason.TRAILING_BYTES, f"{cursor.remaining} bytes follow the device chain"
        )
    return NvidiaEvidence(report, chain_pem)


def piece(evidence: NvidiaEvidence) -> bytes:
    """What `parse_piece` reads."""
    parts = (evidence.report, evidence.chain_pem)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def parse_evidence_json(text: bytes) -> tuple[NvidiaEvidence, ...]:
    """The devices of one JSON document, in its order.

    Raises:
        VerificationError: `too-large`, `malformed`.
    """
    if len(text) > MAX_JSON_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE, f"evidence: {len(text)} bytes, at most {MAX_JSON_BYTES}"
        )
    try:
        value = jsontext.parse_any(text)
    except ValueError as error:
        raise VerificationError(Reason.MALFORMED, f"evidence is no JSON: {error}") from error
    devices = value.get("evidence_list") if isinstance(value, dict) else value
    if not isinstance(devices, list) or not devices:
        raise VerificationError(Reason.MALFORMED, "evidence is not a list of devices")
    if len(devices) > MAX_DEVICES:
        raise VerificationError(Reason.TOO_LARGE, f"{len(devices)} devices, at most {MAX_DEVICES}")
    return tuple(_device(device, index) for index, device in enumerate(devices))


def _device(device: jsontext.Json, index: int) -> NvidiaEvidence:
    if not isinstance(device, dict):
        raise VerificationError(Reason.MALFORMED, f"device {index} is no JSON object")
    return NvidiaEvidence(
        _base64(device.get("evidence"), f"device {index}: evidence"),
        _base64(device.get("certificate"), f"device {index}: certificate"),
    )


def _base64(value: jsontext.Json, what: str) -> bytes:
    """Base64 with padding, the one text that encodes these bytes."""
    try:
        data = binascii.a2b_base64(value, strict_mode=True) if isinstance(value, str) else b""
    except ValueError as error:
        raise VerificationError(Reason.MALFORMED, f"{what} is not Base64: {error}") from error
    if not data or base64.b64encode(data).decode("ascii") != value:
        raise VerificationError(Reason.MALFORMED, f"{what} is not Base64 of anything")
    return data
