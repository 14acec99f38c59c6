# SPDX-License-Identifier: Apache-2.0
"""Azure's HCL report: the envelope in which a paravisor keeps the CPU's report and the data that it vouches for.

Source: vTPM NV index 0x01400001 of an Azure confidential VM; the layout is that of OpenHCL's attestation requests
(header 32 bytes, hardware report 1184, request data 20, then the runtime data). All integers are little endian.

What is believed, and why: the envelope by nobody; the hardware report by its own signature; the runtime data because
report_data of the hardware report begins with their SHA-256. So they are two functions: `parse_hcl` cuts and reads no
JSON, `read_runtime_data` reads JSON and is called after that hash was compared, with the bytes exactly as sent.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from struct import Struct
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from verifiers import jsontext
from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_BYTES, EvidenceKind
from verifiers.vtpm.claims import HclClaims

if TYPE_CHECKING:
    from verifiers.jsontext import Json

SIGNATURE: Final = b"HCLA"
HW_REPORT_BYTES: Final = 1184
_HEADER: Final = Struct(
    "<4sIIII12s"
)  # signature, version, report size, request type, status, reserved: 32 bytes
_DATA: Final = Struct("<IIIII")  # size, version, report type, hash type, variable size: 20 bytes
_AK_CERTIFICATE: Final = 2  # the request whose report the NV index holds
_SHA256: Final = 1

_AK: Final = "HCLAkPub"
_EXPONENT: Final = b"\x01\x00\x01"
_MODULUS_BITS: Final = range(2048, 4096 + 1)
_BASE64URL: Final = re.compile(r"(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?")


class HclReportType(StrEnum):
    """What the hardware report is."""

    SNP = "snp"  # ATTESTATION_REPORT, 1184 bytes
    TDX = "tdx"  # TDREPORT, 1024 bytes, then 160 zero bytes


_REPORT_TYPES: Final = {2: HclReportType.SNP, 4: HclReportType.TDX}


@dataclass(frozen=True, slots=True)
class HclReport:
    """An HCL report, well-formed and trusted by nobody.

    Attributes:
        raw: the report without the zero bytes that fill up the NV index.
        version: of the header, 1 or 2.
        hw_report: 1184 bytes.
        runtime_data: the bytes exactly as sent; whose SHA-256 report_data of the hardware report must begin with.
    """

    raw: bytes
    version: int
    report_type: HclReportType
    hw_report: bytes
    runtime_data: bytes


def parse_hcl(data: bytes) -> HclReport:
    """Cut an HCL report into its parts. Only zero bytes may follow it.

    Raises:
        VerificationError: `too-large`, `malformed`, `unsupported-format`.
    """
    limit = MAX_BYTES[EvidenceKind.HCL_REPORT]
    if len(data) > limit:
        raise VerificationError(Reason.TOO_LARGE, f"HCL report: {len(data)} bytes, at most {limit}")
    cursor = Cursor(data)
    version, size = _parse_header(cursor)
    hw_report = cursor.take(HW_REPORT_BYTES, "hardware report")
    report_type, variable = _parse_request_data(cursor)
    runtime_data = cursor.take(variable, "runtime data")
    if cursor.position != size:
        raise VerificationError(
            Reason.MALFORMED, f"HCL report: {size} bytes announced, its parts are {cursor.position}"
        )
    if data[size:].strip(b"\x00"):
        raise VerificationError(
            Reason.MALFORMED, f"{len(data) - size} bytes follow the HCL report, not all zero"
        )
    return HclReport(data[:size], version, report_type, hw_report, runtime_data)


def read_runtime_data(report: HclReport) -> tuple[HclClaims, rsa.RSAPublicKey]:
    """What the runtime data say, and the attestation key among them (HCLAkPub; RSA, 2048 to 4096 bits, e = 65537).

    Only to be called when the hardware report was verified and names these bytes by their SHA-256. key_ops of the key
    are not looked at: they differ by the age of the paravisor.

    Raises:
        VerificationError: `malformed`.
    """
    try:
        members = jsontext.parse(report.runtime_data)
    except ValueError as error:
        raise _odd(str(error)) from error
    key = _attestation_key(members.get("keys"))
    machine = members.get("vm-configuration", {})
    if not isinstance(machine, dict):
        raise _odd("vm-configuration is no object")
    claims = HclClaims(
        version=report.version,
        runtime_data_sha256=hashlib.sha256(report.runtime_data).digest(),
        user_data=_user_data(members),
        secure_boot=_flag(machine, "secure-boot"),
        tpm_enabled=_flag(machine, "tpm-enabled"),
        tpm_persisted=_flag(machine, "tpm-persisted"),
        console_enabled=_flag(machine, "console-enabled"),
        vm_unique_id=_vm_unique_id(machine),
    )
    return claims, key


def _parse_header(cursor: Cursor) -> tuple[int, int]:
    """(version, report size)."""
    signature, version, size, request, status, reserved = _HEADER.unpack(
        cursor.take(_HEADER.size, "HCL header")
    )
    if signature != SIGNATURE:
        raise VerificationError(Reason.MALFORMED, "HCL report: it does not begin with HCLA")
    if version not in (1, 2):
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"HCL report of version {version}; 1 and 2 are known"
        )
    if request != _AK_CERTIFICATE:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"HCL report of request type {request}; 2 is known"
        )
    if status or any(reserved):
        raise VerificationError(
            Reason.MALFORMED, f"HCL header: status {status}, or reserved bytes that are not zero"
        )
    return version, size


def _parse_request_data(cursor: Cursor) -> tuple[HclReportType, int]:
    """(report type, bytes of runtime data)."""
    size, version, kind, hash_type, variable = _DATA.unpack(
        cursor.take(_DATA.size, "HCL request data")
    )
    if version != 1:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"HCL request data of version {version}; 1 is known"
        )
    if kind not in _REPORT_TYPES:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"hardware report of type {kind}; 2 is SNP, 4 is TDX"
        )
    if hash_type != _SHA256:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"runtime data under hash {hash_type}; 1 is SHA-256"
        )
    if size != _DATA.size + variable:
        raise VerificationError(
            Reason.MALFORMED,
            f"HCL request data: {size} bytes announced, with {variable} of runtime data",
        )
    return _REPORT_TYPES[kind], variable


def _odd(detail: str) -> VerificationError:
    return VerificationError(Reason.MALFORMED, f"runtime data: {detail}")


def _attestation_key(keys: Json) -> rsa.RSAPublicKey:
    named = (
        [key for key in keys if isinstance(key, dict) and key.get("kid") == _AK]
        if isinstance(keys, list)
        else []
    )
    if len(named) != 1:
        raise _odd(f"{len(named)} keys named {_AK}, not one")
    if named[0].get("kty") != "RSA":
        raise _odd(f"{_AK} is no RSA key")
    exponent, modulus = (_base64url(named[0].get(name)) for name in ("e", "n"))
    n = int.from_bytes(modulus, "big")
    if exponent != _EXPONENT or n.bit_length() not in _MODULUS_BITS or n % 2 == 0:
        raise _odd(f"{_AK} is not of 2048 to 4096 bits with the exponent 65537")
    return rsa.RSAPublicNumbers(65537, n).public_key()


def _base64url(value: Json) -> bytes:
    """Unpadded, as in a JWK, in its one canonical form."""
    if isinstance(value, str) and _BASE64URL.fullmatch(value):
        decoded = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        if base64.urlsafe_b64encode(decoded).rstrip(b"=") == value.encode():
            return decoded
    raise _odd(f"a number of {_AK} is not canonical base64url")


def _user_data(members: dict[str, Json]) -> bytes | None:
    if "user-data" not in members:
        return None
    value = members["user-data"]
    if not isinstance(value, str) or not re.fullmatch(r"[0-9A-Fa-f]{128}", value):
        raise _odd("user-data are not 64 bytes in hexadecimal")
    return bytes.fromhex(value)


def _flag(machine: dict[str, Json], name: str) -> bool | None:
    value = machine.get(name)
    if name in machine and not isinstance(value, bool):
        raise _odd(f"{name} is neither true nor false")
    return value if isinstance(value, bool) else None


def _vm_unique_id(machine: dict[str, Json]) -> str:
    value = machine.get("vmUniqueId", "")
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]{0,64}", value):
        raise _odd("vmUniqueId is not up to 64 printable characters")
    return value
