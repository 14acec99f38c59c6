# SPDX-License-Identifier: Apache-2.0
"""The ACPI table CCEL, which says where in memory the event log of a confidential VM is, and for which technology.

Nothing signs the table and nothing measures it: it is read to refuse what plainly belongs elsewhere, never to believe.
The log itself is of the same format as a TPM's (`verifiers.eventlog.tcg2`).

Source: UEFI 2.11, 38.2 (CC event log ACPI table); ACPI 6.5, 5.2.6 (table header).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.events import EventLog, LogFormat
from verifiers.eventlog.tcg2 import parse as parse_tcg2

_TABLE: Final = Struct("<4sIBB6s8sI4sIBBHQQ")  # the header is 36 bytes of it
CCEL_TABLE_BYTES: Final = _TABLE.size


class CcType(IntEnum):
    """Technology of a confidential VM, by UEFI's numbers."""

    SEV = 1
    TDX = 2


@dataclass(frozen=True, slots=True)
class CcelTable:
    """What the table says, believed by nobody.

    Attributes:
        area_bytes: minimum length of the log's area. area_address: where it is in the guest's physical memory.
    """

    cc_type: CcType
    cc_subtype: int
    area_bytes: int
    area_address: int


def parse_table(data: bytes) -> CcelTable:
    """Parse the 56 bytes of /sys/firmware/acpi/tables/CCEL.

    Raises:
        VerificationError: `malformed`; `unsupported-tee` for a technology that is not known.
    """
    if len(data) != CCEL_TABLE_BYTES:
        raise VerificationError(
            Reason.MALFORMED, f"ACPI table CCEL: {len(data)} bytes, it has {CCEL_TABLE_BYTES}"
        )
    fields = _TABLE.unpack(data)
    if fields[0] != b"CCEL" or fields[1] != len(data) or sum(data) % 256:
        raise VerificationError(
            Reason.MALFORMED, "ACPI table CCEL: signature, length or checksum is wrong"
        )
    number, subtype, reserved, area_bytes, area_address = fields[-5:]
    if reserved:
        raise VerificationError(Reason.MALFORMED, "ACPI table CCEL: reserved bytes are not zero")
    if number not in _KNOWN:
        raise VerificationError(Reason.UNSUPPORTED_TEE, f"ACPI table CCEL: technology {number}")
    return CcelTable(CcType(number), subtype, area_bytes, area_address)


_KNOWN: Final = frozenset(CcType)


def demand_tdx(table: bytes) -> None:
    """Demand that an ACPI table is of a TD.

    Raises:
        VerificationError: `unsupported-tee`; as `parse_table` does.
    """
    if parse_table(table).cc_type is not CcType.TDX:
        raise VerificationError(Reason.UNSUPPORTED_TEE, "ACPI table CCEL: not of a TD")


def parse(data: bytes, table: bytes | None = None) -> EventLog:
    """Parse the log area of a TD, at most 1 MiB, and beside it the ACPI table where one was sent.

    Raises:
        VerificationError: as `tcg2.parse` and `parse_table` do; `unsupported-tee` where the table is of another
            technology.
    """
    if table is not None:
        demand_tdx(table)
    return parse_tcg2(data, LogFormat.CCEL)
