# SPDX-License-Identifier: Apache-2.0
"""R-02: every combination of platform, quoting enclave and TDX module status; only the listed ones pass.

"missing" means that no level matches; "Splendid" stands for a status that Intel does not define; "none" is a platform
whose module has no levels of its own (version 0).
"""

from __future__ import annotations

import json
from functools import lru_cache

import pytest

from simulator.collateral import level, platform_tcb
from tests.tdx_lab import Lab, svn
from verifiers.errors import Reason, VerificationError
from verifiers.tcb import TcbReport, TcbStatus
from verifiers.tdx.pck import verify_pck_chain
from verifiers.tdx.quote import TdxQuote, parse_quote
from verifiers.tdx.statements import QeIdentity, TcbInfo, parse_qe_identity, parse_tcb_info
from verifiers.tdx.tcb import evaluate

MISSING, UNDEFINED, NONE = "missing", "Splendid", "none"
STATUSES = (*(str(status) for status in TcbStatus), UNDEFINED, MISSING)

# (platform, whether a component is OutOfDate) -> the whole. What is not here is refused.
ACCEPTED = {
    ("UpToDate", False): "UpToDate",
    ("UpToDate", True): "OutOfDate",
    ("SWHardeningNeeded", False): "SWHardeningNeeded",
    ("SWHardeningNeeded", True): "OutOfDate",
    ("ConfigurationNeeded", False): "ConfigurationNeeded",
    ("ConfigurationNeeded", True): "OutOfDateConfigurationNeeded",
    ("ConfigurationAndSWHardeningNeeded", False): "ConfigurationAndSWHardeningNeeded",
    ("ConfigurationAndSWHardeningNeeded", True): "OutOfDateConfigurationNeeded",
    ("OutOfDate", False): "OutOfDate",
    ("OutOfDate", True): "OutOfDate",
    ("OutOfDateConfigurationNeeded", False): "OutOfDateConfigurationNeeded",
    ("OutOfDateConfigurationNeeded", True): "OutOfDateConfigurationNeeded",
}
COMPONENTS = {"UpToDate", "OutOfDate"}
LAB = Lab.create(b"R-02")
PCK = verify_pck_chain(LAB.platform.chain, LAB.exhibit().anchors.intel_sgx_root).claims


def expected(platform: str, qe: str, module: str) -> str | Reason:
    """The table's word; of several faults that refuse, the gravest names the reason."""
    parts = (platform, qe, module)
    if MISSING in parts:
        return Reason.TCB_NOT_SUPPORTED
    if "Revoked" in parts:
        return Reason.TCB_REVOKED
    components = {qe, module} - {NONE}
    key = (platform, "OutOfDate" in components)
    return (
        ACCEPTED[key] if components <= COMPONENTS and key in ACCEPTED else Reason.TCB_STATUS_UNKNOWN
    )


@lru_cache
def info(platform: str, module: str) -> TcbInfo:
    members = json.loads(json.dumps(LAB.intel.tcb_info))
    needed = 0 if platform != MISSING else 255
    members["tcbLevels"] = [level(platform_tcb((needed,), 0, ()), "2025-08-13", platform)]
    needed = 0 if module != MISSING else 255
    members["tdxModuleIdentities"][1]["tcbLevels"] = [
        level({"isvsvn": needed}, "2025-08-13", module)
    ]
    return parse_tcb_info(json.dumps(members).encode())


@lru_cache
def identity(qe: str) -> QeIdentity:
    members = json.loads(json.dumps(LAB.intel.qe_identity))
    members["tcbLevels"] = [level({"isvsvn": 0 if qe != MISSING else 255}, "2025-08-13", qe)]
    return parse_qe_identity(json.dumps(members).encode())


@lru_cache
def quote(version: int) -> TdxQuote:
    return parse_quote(LAB.platform.quote(tee_tcb_svn=svn(9, version)))


def judged(platform: str, qe: str, module: str) -> str | Reason:
    version = 0 if module == NONE else 1
    reason = None
    try:
        report = evaluate(PCK, quote(version), info(platform, module), identity(qe))
    except VerificationError as error:
        reason = error.reason
        report = error.tcb or TcbReport(None)
    # what is known survives a refusal as it stood there
    parts = (report.platform_status, report.qe_status, report.module_status)
    assert parts == (known(platform), known(qe), known(module))
    return reason or str(report.status)


def known(status: str) -> TcbStatus | None:
    return None if status in {MISSING, NONE} else TcbStatus.parse(status)


@pytest.mark.parametrize("platform", STATUSES)
@pytest.mark.parametrize("module", [*STATUSES, NONE])
def test_every_combination(platform: str, module: str) -> None:
    for qe in STATUSES:
        assert judged(platform, qe, module) == expected(platform, qe, module), (
            platform,
            qe,
            module,
        )


def test_the_table_is_all_that_passes() -> None:
    passing = {
        (platform, qe, module)
        for platform in STATUSES
        for qe in STATUSES
        for module in (*STATUSES, NONE)
        if not isinstance(judged(platform, qe, module), Reason)
    }
    assert {platform for platform, _, _ in passing} == {platform for platform, _ in ACCEPTED}
    assert len(passing) == 6 * 2 * 3
