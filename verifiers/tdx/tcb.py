# SPDX-License-Identifier: Apache-2.0
"""Which TCB level a platform reaches: authenticated statements + SVNs -> `TcbReport`.

Source: Intel QVL TcbLevelCheck.cpp, TdxModuleCheck.cpp, EvaluateTcb.cpp, TDRelaunchCheck.cpp. Never a zip that stops at
the shorter list; no level is "not supported", which is terminal and not OutOfDate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from verifiers.errors import Reason, VerificationError
from verifiers.tcb import Shortfall, TcbReport, TcbStatus, converge, relaunch
from verifiers.tdx.statements import COMPONENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from verifiers.tdx.claims import PckClaims
    from verifiers.tdx.quote import TdxQuote
    from verifiers.tdx.statements import (
        ModuleIdentity,
        PlatformLevel,
        QeIdentity,
        SvnLevel,
        TcbInfo,
    )


def evaluate(pck: PckClaims, quote: TdxQuote, info: TcbInfo, identity: QeIdentity) -> TcbReport:
    """The level that a platform reaches, its module's and its QE's, and their merge to the worst.

    A TD report 1.5 also says the TCB now (tee_tcb_svn2): it must match a level that is not revoked, and may turn
    OutOfDate at launch into TDRelaunchAdvised.

    Args:
        pck: what Intel certified of the platform.
        quote: its SVNs are used: tee_tcb_svn ([0] the module's SVN, [1] its version), tee_tcb_svn2, the QE's ISVSVN.
        info: authenticated TCB info.
        identity: authenticated QE identity.

    Returns:
        A report whose status is neither None, Revoked nor Unknown.

    Raises:
        VerificationError: `tcb-not-supported`, `tcb-revoked`, `tcb-status-unknown`, `tdx-module-mismatch`. The first
            three carry what is known of the parts.
    """
    platform = _Platform(pck, quote.qe_report.isvsvn, info, identity)
    launch = _evaluate(platform, quote.td.tee_tcb_svn)
    if quote.td15 is None:
        return launch.report
    current = _evaluate(platform, quote.td15.tee_tcb_svn2)
    return replace(launch.report, status=relaunch(launch.status, current.status))


@dataclass(frozen=True, slots=True)
class _Platform:
    """All that a level is matched with, but the TD's own SVNs."""

    pck: PckClaims
    qe_isvsvn: int
    info: TcbInfo
    identity: QeIdentity


@dataclass(frozen=True, slots=True)
class _Reached:
    """An accepted report beside its status, which in the report may be None."""

    report: TcbReport
    status: TcbStatus


def _evaluate(platform: _Platform, tee_tcb_svn: bytes) -> _Reached:
    info, identity, version = platform.info, platform.identity, tee_tcb_svn[1]
    module_identity = info.identity(version)
    level = _platform_match(platform.pck, tee_tcb_svn, info)
    qe = _svn_match(platform.qe_isvsvn, identity.levels)
    module = _svn_match(tee_tcb_svn[0], module_identity.levels) if version else None
    status: TcbStatus | None = None
    if level is not None and qe is not None and (module is not None or not version):
        components = (qe.status,) if module is None else (qe.status, module.status)
        status = converge(level.status, *components)
    parts = [part for part in (level, qe, module) if part is not None]
    report = TcbReport(
        status=status,
        platform_status=level.status if level else None,
        qe_status=qe.status if qe else None,
        module_status=module.status if module else None,
        advisory_ids=tuple(sorted({name for part in parts for name in part.advisory_ids})),
        tcb_date=min((part.date for part in parts), default=None),
        evaluation_data_number=min(info.evaluation_data_number, identity.evaluation_data_number),
        shortfalls=()
        if status is TcbStatus.UP_TO_DATE
        else tuple(_shortfalls(platform, tee_tcb_svn, module_identity)),
    )
    return _Reached(report, _accepted(report, version))


def _accepted(report: TcbReport, version: int) -> TcbStatus:
    """The report's status, unless it is one that no policy may accept."""
    status = report.status
    if status is None:
        detail = _not_supported(report, version)
        raise VerificationError(Reason.TCB_NOT_SUPPORTED, detail, tcb=report)
    if status is TcbStatus.REVOKED:
        raise VerificationError(Reason.TCB_REVOKED, "Intel has revoked this TCB level", tcb=report)
    if status is TcbStatus.UNKNOWN:
        detail = "a matching level has a status that Intel does not define for it"
        raise VerificationError(Reason.TCB_STATUS_UNKNOWN, detail, tcb=report)
    return status


def _platform_match(pck: PckClaims, tee_tcb_svn: bytes, info: TcbInfo) -> PlatformLevel | None:
    """First level of which no component is above the platform's.

    From module version 1 on, tee_tcb_svn[0] and [1] are the module's own business (QVL TcbLevelCheck.cpp).
    """
    first = 2 if tee_tcb_svn[1] else 0
    for level in info.levels:
        if (
            _reaches(pck.sgx_tcb_components, level.sgx)
            and pck.pcesvn >= level.pcesvn
            and _reaches(tee_tcb_svn[first:], level.tdx[first:])
        ):
            return level
    return None


def _reaches(have: Iterable[int], need: Iterable[int]) -> bool:
    return all(mine >= wanted for mine, wanted in zip(have, need, strict=True))


def _svn_match(svn: int, levels: tuple[SvnLevel, ...]) -> SvnLevel | None:
    return next((level for level in levels if svn >= level.isvsvn), None)


def _shortfalls(
    platform: _Platform, tee_tcb_svn: bytes, module: ModuleIdentity
) -> Iterator[Shortfall]:
    """Every component below the newest level, with Intel's words on what must be updated."""
    pck, info = platform.pck, platform.info
    for level in info.levels[:1]:
        ours = bytes(pck.sgx_tcb_components)
        yield from _component_shortfalls("sgxtcbcomponents", ours, level.sgx, 0, info)
        if pck.pcesvn < level.pcesvn:
            yield Shortfall("pcesvn", pck.pcesvn, level.pcesvn, "OS/VMM", "PCE")
        first = 2 if tee_tcb_svn[1] else 0
        yield from _component_shortfalls("tdxtcbcomponents", tee_tcb_svn, level.tdx, first, info)
    yield from _svn_shortfall("tdxModule.isvsvn", tee_tcb_svn[0], module.levels, "TDX Module")
    yield from _svn_shortfall(
        "qe.isvsvn", platform.qe_isvsvn, platform.identity.levels, "Quoting Enclave"
    )


def _component_shortfalls(
    kind: str, have: bytes, need: bytes, first: int, info: TcbInfo
) -> Iterator[Shortfall]:
    for index in range(first, COMPONENTS):
        if have[index] < need[index]:
            words = info.names[kind][index]
            yield Shortfall(f"{kind}[{index}]", have[index], need[index], *words)


def _svn_shortfall(
    name: str, have: int, levels: tuple[SvnLevel, ...], part: str
) -> Iterator[Shortfall]:
    for newest in levels[:1]:
        if have < newest.isvsvn:
            yield Shortfall(name, have, newest.isvsvn, "OS/VMM", part)


def _not_supported(report: TcbReport, version: int) -> str:
    statuses = {"platform": report.platform_status, "quoting enclave": report.qe_status}
    if version:
        statuses[f"TDX module of version {version}"] = report.module_status
    which = " and ".join(name for name, status in statuses.items() if status is None)
    short = ", ".join(f"{part.component} {part.have} < {part.need}" for part in report.shortfalls)
    return f"no TCB level of Intel's matches the {which}; below the newest level: {short or 'none'}"
