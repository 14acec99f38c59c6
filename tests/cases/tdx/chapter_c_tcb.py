# SPDX-License-Identifier: Apache-2.0
"""Lines 73 to 80: what Intel's own tests say of statements and TCB levels, in own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.collateral import level, platform_tcb
from tests.tdx_lab import Case, Lab, both, identified, quoted, stated, svn
from verifiers.errors import Reason
from verifiers.tcb import TcbStatus

if TYPE_CHECKING:
    from tests.tdx_lab import Alteration

UP_TO_DATE = TcbStatus.UP_TO_DATE
OUT_OF_DATE = TcbStatus.OUT_OF_DATE
OLD_MODULE = svn(10, 1, 4)  # OutOfDate in the lab's TDX_01
ADVISORIES = [f"INTEL-SA-{number:05}" for number in range(120)]


def two_levels(lab: Lab) -> None:
    """UpToDate for the lab's SVNs; below it a level with a lower component and a lower PCESVN."""
    upper = level(platform_tcb((4, 4), 11, ()), "2025-08-13", "UpToDate")
    lower = level(platform_tcb((3, 4), 10, ()), "2024-03-13", "OutOfDate", "INTEL-SA-1")
    lab.info(tcbLevels=[upper, lower])


def relaunch(launch: str, current: str, version: int, expect: TcbStatus) -> Case:
    """Two platform levels of these statuses: launched on the lower one, running on the upper one now."""

    def make(lab: Lab) -> None:
        upper = level(platform_tcb((), 0, (0, 0, 4)), "2025-08-13", current)
        lower = level(platform_tcb((), 0, (0, 0, 3)), "2024-03-13", launch)
        lab.info(tcbLevels=[upper, lower])
        lab.quote(
            version=5,
            body_type=3,
            tee_tcb_svn=svn(11, version, 3),
            tee_tcb_svn2=svn(11, version, 4),
        )

    return Case(78, f"launched {launch}, now {current}, module {version}", expect, make)


def with_status(platform: str) -> Alteration:
    """The platform level that the lab reaches, with this status."""
    return lambda lab: lab.level(tcbStatus=platform)


CASES = (
    Case(73, "TCB info version 2", Reason.ENDORSEMENT_MISMATCH, stated(version=2)),
    Case(73, "TCB type 1", Reason.ENDORSEMENT_MISMATCH, stated(tcbType=1)),
    Case(73, "TCB type as a bool", Reason.ENDORSEMENT_MISMATCH, stated(tcbType=False)),
    Case(73, "TCB info for another technology", Reason.ENDORSEMENT_MISMATCH, stated(id="TDX2")),
    Case(74, "MRSIGNERSEAM", Reason.TDX_MODULE_MISMATCH, quoted(mrsigner_seam=b"\1" * 48)),
    Case(
        74,
        "MRSIGNERSEAM of module version 0",
        Reason.TDX_MODULE_MISMATCH,
        quoted(mrsigner_seam=b"\1" * 48, tee_tcb_svn=svn(5, 0, 4)),
    ),
    Case(74, "SEAMATTRIBUTES not zero", Reason.TDX_MODULE_MISMATCH, quoted(seam_attributes=1)),
    Case(
        74,
        "SEAMATTRIBUTES not zero where the mask would forgive it",
        Reason.TDX_MODULE_MISMATCH,
        both(quoted(seam_attributes=1), lambda lab: lab.module(attributesMask="00" * 8)),
    ),
    Case(
        74,
        "SEAMATTRIBUTES zero where Intel states others",
        Reason.TDX_MODULE_MISMATCH,
        lambda lab: lab.module(attributes="01" + "00" * 7),
    ),
    Case(
        75,
        "TDX module version that Intel does not know",
        Reason.TDX_MODULE_MISMATCH,
        quoted(tee_tcb_svn=svn(9, 7, 4)),
    ),
    Case(
        75,
        "module version 0 where Intel states none",
        Reason.TDX_MODULE_MISMATCH,
        both(quoted(tee_tcb_svn=svn(5, 0, 4)), lambda lab: lab.intel.tcb_info.pop("tdxModule")),
    ),
    Case(
        75,
        "module ISVSVN below every level",
        Reason.TCB_NOT_SUPPORTED,
        quoted(tee_tcb_svn=svn(1, 1, 4)),
    ),
    Case(
        76, "PCESVN alone is lower", OUT_OF_DATE, both(two_levels, lambda lab: lab.sgx(pcesvn=10))
    ),
    Case(
        76,
        "one component alone is lower",
        OUT_OF_DATE,
        both(two_levels, lambda lab: lab.sgx(components=(3, 4))),
    ),
    Case(76, "neither is lower", UP_TO_DATE, two_levels),
    Case(
        76,
        "PCESVN reaches no level: not supported, which is not OutOfDate",
        Reason.TCB_NOT_SUPPORTED,
        both(two_levels, lambda lab: lab.sgx(pcesvn=9)),
    ),
    Case(77, "module OutOfDate", OUT_OF_DATE, quoted(tee_tcb_svn=OLD_MODULE)),
    *(
        Case(
            77,
            f"{platform} with a module OutOfDate",
            expect,
            both(with_status(platform), quoted(tee_tcb_svn=OLD_MODULE)),
        )
        for platform, expect in (
            ("SWHardeningNeeded", OUT_OF_DATE),
            ("ConfigurationNeeded", TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED),
            ("ConfigurationAndSWHardeningNeeded", TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED),
            ("OutOfDateConfigurationNeeded", TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED),
            ("Revoked", Reason.TCB_REVOKED),
        )
    ),
    *(
        relaunch("OutOfDate", "UpToDate", version, TcbStatus.TD_RELAUNCH_ADVISED)
        for version in (0, 1)
    ),
    *(
        relaunch("OutOfDate", "SWHardeningNeeded", version, TcbStatus.TD_RELAUNCH_ADVISED)
        for version in (0, 1)
    ),
    *(
        relaunch(launch, current, version, TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED)
        for version in (0, 1)
        for launch, current in (
            ("OutOfDate", "ConfigurationNeeded"),
            ("OutOfDateConfigurationNeeded", "UpToDate"),
        )
    ),
    relaunch("OutOfDate", "OutOfDate", 1, OUT_OF_DATE),
    relaunch("UpToDate", "OutOfDate", 1, UP_TO_DATE),
    Case(79, "QE ISVSVN below every level", Reason.TCB_NOT_SUPPORTED, quoted(qe_isvsvn=0)),
    Case(79, "QE ISVSVN on a revoked level", Reason.TCB_REVOKED, quoted(qe_isvsvn=1)),
    Case(79, "no QE level", Reason.TCB_NOT_SUPPORTED, identified(tcbLevels=[])),
    Case(
        80,
        "120 advisories are all kept",
        UP_TO_DATE,
        lambda lab: lab.level(advisoryIDs=ADVISORIES),
        lambda claims: list(claims.tcb.advisory_ids) == ADVISORIES,
    ),
)
