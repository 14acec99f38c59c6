# SPDX-License-Identifier: Apache-2.0
"""What every event log is read into, whatever its format: registers, algorithms, events. Vocabulary only.

A log is a hint of the guest. Replay (`verifiers.eventlog.replay`) shows that a list of digests is complete and in
order; it shows nothing about an event's type, name or data, which no register covers by themselves. Whoever draws a
claim from `Event.data` has to tie the data to the digest first.

Sources: UEFI 2.11, 38.4.1 (measurement registers of TDX); TCG PC Client Platform Firmware Profile 1.06, 10 (event
logs); TCG Algorithm Registry (identifiers and sizes of hashes); TCG Canonical Event Log Format 1.0.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LOG_BYTES: Final = 1024 * 1024  # the largest area seen is that big and holds 22 KiB of events
MAX_EVENTS: Final = 4096  # the largest log of a firmware that was seen has some hundreds
MAX_APPLICATION_EVENTS: Final = 2048  # dstack and Confidential Space write some tens
MAX_LIST_EVENTS: Final = (
    6656  # of IMA: 1 MiB of lines as a kernel writes them, of 158 bytes and more
)
MAX_EVENTS_TOGETHER: Final = 6656  # of all logs of one machine
MAX_DIGESTS: Final = 8  # of one event, and of a header

EV_NO_ACTION: Final = 0x00000003  # the one type that extends no register


class LogFormat(StrEnum):
    """Formats of event logs."""

    CCEL = "ccel"  # TCG2 crypto-agile, its index is a CC measurement register
    TCG2 = "tcg2"  # the same container, its index is a PCR
    CEL = "cel"  # TCG canonical event log, TLV
    DSTACK = "dstack"  # dstack's JSON, version 1 or 2
    IMA = "ima"  # ascii_runtime_measurements of Linux


class Algorithm(StrEnum):
    """Hash algorithms of digests in a log. SM3 is named so that a log of it can be told from a broken one."""

    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"
    SM3 = "sm3"

    @property
    def size(self) -> int:
        """Bytes of a digest."""
        return _SIZES[self]


_SIZES: Final = {
    Algorithm.SHA1: 20,
    Algorithm.SHA256: 32,
    Algorithm.SHA384: 48,
    Algorithm.SHA512: 64,
    Algorithm.SM3: 32,
}
HASHES: Final = {  # those that registers are extended with here
    Algorithm.SHA1: hashlib.sha1,
    Algorithm.SHA256: hashlib.sha256,
    Algorithm.SHA384: hashlib.sha384,
    Algorithm.SHA512: hashlib.sha512,
}
ALGORITHM_IDS: Final[Mapping[int, Algorithm]] = {  # TPM_ALG_ID, as TCG's formats write them
    0x0004: Algorithm.SHA1,
    0x000B: Algorithm.SHA256,
    0x000C: Algorithm.SHA384,
    0x000D: Algorithm.SHA512,
    0x0012: Algorithm.SM3,
}


class Register(StrEnum):
    """What an event extends: a register of a TD, or a PCR of a TPM. MRTD is CCMR 0, which no event extends."""

    MRTD = "mrtd"
    RTMR0 = "rtmr0"
    RTMR1 = "rtmr1"
    RTMR2 = "rtmr2"
    RTMR3 = "rtmr3"
    PCR0 = "pcr0"
    PCR1 = "pcr1"
    PCR2 = "pcr2"
    PCR3 = "pcr3"
    PCR4 = "pcr4"
    PCR5 = "pcr5"
    PCR6 = "pcr6"
    PCR7 = "pcr7"
    PCR8 = "pcr8"
    PCR9 = "pcr9"
    PCR10 = "pcr10"
    PCR11 = "pcr11"
    PCR12 = "pcr12"
    PCR13 = "pcr13"
    PCR14 = "pcr14"
    PCR15 = "pcr15"
    PCR16 = "pcr16"
    PCR17 = "pcr17"
    PCR18 = "pcr18"
    PCR19 = "pcr19"
    PCR20 = "pcr20"
    PCR21 = "pcr21"
    PCR22 = "pcr22"
    PCR23 = "pcr23"


_EVERY: Final = tuple(Register)
_MRTD: Final = Register.MRTD  # a name is found four times as fast as a member of an Enum
CCMRS: Final = _EVERY[:5]  # by their index in a CCEL: 0 is MRTD, 1 to 4 are RTMR0 to RTMR3
RTMRS: Final = _EVERY[1:5]  # by their number
PCRS: Final = _EVERY[5:]  # by their number


@record
class Event:
    """One entry of a log, trusted by nobody.

    Attributes:
        position: from 0 in its log; the header of a TCG2 log is not counted.
        register: as the entry itself names it. None where an EV_NO_ACTION names none that there is.
        type: TCG's event type (u32); in a CEL the type of the content (0x50: Confidential Space); None in an IMA list.
        digests: what extends the register, as the log gives it; computed where the format lets the log leave it out.
        data: the event's data, any length. Of a CEL the content's value, of dstack the payload, of IMA the template
            data. Not covered by the digest, unless somebody shows it.
        name: dstack's name of the event, IMA's path; None in other formats, and where no digest covers it as a name.
        source: the format of the log that it is in.
        hashed: what all digests are the hashes of, where the parser has to compute them to read the format at all: in a
            CEL, of dstack's runtime events, in an IMA list. They cover data and name then. None elsewhere.
    """

    position: int
    register: Register | None
    type: int | None
    digests: Mapping[Algorithm, bytes]
    data: bytes
    name: str | None
    source: LogFormat
    hashed: bytes | None = None

    @property
    def extends(self) -> bool:
        """Whether the event extends its register. EV_NO_ACTION never does, even where it carries a digest."""
        register = self.register
        return self.type != EV_NO_ACTION and register is not None and register is not _MRTD


@dataclass(frozen=True, slots=True)
class EventLog:
    """A log, well-formed and trusted by nobody.

    Attributes:
        events: in the order of the log.
        algorithms: those of the header, or those that every event has where the format has no header. Every event that
            extends a register has exactly these digests.
    """

    format: LogFormat
    events: tuple[Event, ...]
    algorithms: tuple[Algorithm, ...]


def demand_size(data: bytes, what: str, limit: int = MAX_LOG_BYTES) -> None:
    """Demand that a log is not too long, before anything in it is read.

    Raises:
        VerificationError: `too-large`.
    """
    if len(data) > limit:
        raise VerificationError(Reason.TOO_LARGE, f"{what}: {len(data)} bytes, at most {limit}")


def demand_count(count: int, what: str, limit: int = MAX_EVENTS) -> None:
    """Demand that there are not too many events.

    Raises:
        VerificationError: `too-large`.
    """
    if count > limit:
        raise VerificationError(Reason.TOO_LARGE, f"{what}: more than {limit} events")
