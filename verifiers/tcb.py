# SPDX-License-Identifier: Apache-2.0
"""TCB vocabulary: Intel's statuses, how several converge to the worst, and the report that a relying party reads.

Source: Intel PCS API v4 (`tcbStatus`), Intel QVL EvaluateTcb.cpp `convergeTcbStatuses`. `Unknown` is ours: a status
string that is not in the list. It is never accepted and never rewritten into another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime


NOT_RATED: Final = "NotRated"  # stands where a status is wanted and the vendor publishes none (AMD)


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


_PLATFORM_STATUSES = frozenset(TcbStatus) - {
    TcbStatus.TD_RELAUNCH_ADVISED,
    TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED,
    TcbStatus.UNKNOWN,
}
_COMPONENT_STATUSES = frozenset({TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE, TcbStatus.REVOKED})
_CONFIGURATION_STATUSES = frozenset(
    {
        TcbStatus.CONFIGURATION_NEEDED,
        TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
        TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
    }
)
_OUT_OF_DATE_STATUSES = frozenset(
    {TcbStatus.OUT_OF_DATE, TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED}
)


def converge(platform: TcbStatus, *components: TcbStatus) -> TcbStatus:
    """The platform's status made worse by its components (TDX module, quoting enclave); never better.

    Any Revoked wins. A status that Intel does not define for its place gives `Unknown`. Source: Intel QVL
    EvaluateTcb.cpp `convergeTcbStatuses`.
    """
    if TcbStatus.REVOKED in (platform, *components):
        return TcbStatus.REVOKED
    if platform not in _PLATFORM_STATUSES or not _COMPONENT_STATUSES.issuperset(components):
        return TcbStatus.UNKNOWN
    if TcbStatus.OUT_OF_DATE not in components:
        return platform
    if platform in _CONFIGURATION_STATUSES:
        return TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED
    return TcbStatus.OUT_OF_DATE


def relaunch(launch: TcbStatus, current: TcbStatus) -> TcbStatus:
    """What a TD is told that was launched on an older TCB than it runs on now (TD 1.5 reports).

    Neither status may be Revoked or Unknown: those are refused before. Source: Intel QVL TDRelaunchCheck.cpp.
    """
    if launch not in _OUT_OF_DATE_STATUSES or current in _OUT_OF_DATE_STATUSES:
        return launch
    if launch in _CONFIGURATION_STATUSES or current in _CONFIGURATION_STATUSES:
        return TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED
    return TcbStatus.TD_RELAUNCH_ADVISED
