# SPDX-License-Identifier: Apache-2.0
"""TCB vocabulary: Intel's statuses, how several converge to the worst, and the report that a relying party reads.

Source: Intel PCS API v4 (`tcbStatus`), Intel QVL EvaluateTcb.cpp `convergeTcbStatuses`. `Unknown` is ours: a status
string that is not in the list. It is never accepted and never rewritten into another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class TcbStatus(StrEnum):
    """`tcbStatus` in Intel's own words, and `Unknown`."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    TD_RELAUNCH_ADVISED = "TDRelaunchAdvised"
    TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED = "TDRelaunchAdvisedConfigurationNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    REVOKED = "Revoked"
    UNKNOWN = "Unknown"

    @classmethod
    def parse(cls, text: str) -> TcbStatus:
        """The status named by `text`, compared exactly; anything else is `UNKNOWN`."""
        try:
            return cls(text)
        except ValueError:
            return cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One component that keeps a platform below the vendor's newest level.

    Attributes:
        component: name and index as the vendor counts them, e.g. "tdxtcbcomponents[2]", "pcesvn", "isvsvn".
        have: SVN of this platform.
        need: SVN of the newest level.
        category: the vendor's words on what must be updated ("BIOS", "OS/VMM"), or "".
        type: the vendor's words on which part ("TDX Late Microcode Update"), or "".
    """

    component: str
    have: int
    need: int
    category: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class TcbReport:
    """The vendor's judgement of a platform's TCB, whole and in parts.

    Attributes:
        status: the merge of the three to the worst.
        platform_status, qe_status: the parts. module_status: None where the platform has no module of its own level.
        advisory_ids: union over the parts, sorted, without duplicates.
        tcb_date: oldest `tcbDate` of the parts.
        evaluation_data_number: the lower `tcbEvaluationDataNumber` of TCB info and QE identity.
        shortfalls: components below the newest level; empty when UpToDate.
    """

    status: TcbStatus | None
    platform_status: TcbStatus | None = None
    qe_status: TcbStatus | None = None
    module_status: TcbStatus | None = None
    advisory_ids: tuple[str, ...] = ()
    tcb_date: datetime | None = None
    evaluation_data_number: int | None = None
    shortfalls: tuple[Shortfall, ...] = ()
