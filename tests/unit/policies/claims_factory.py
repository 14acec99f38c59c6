# SPDX-License-Identifier: Apache-2.0
"""TdxClaims as `verify` would make them, with any field set: what appraisal looks at, without a quote behind it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from verifiers.endorsements import PartValidity, Revocation
from verifiers.tcb import TcbReport, TcbStatus
from verifiers.tdx.claims import (
    PckClaims,
    QeClaims,
    QuoteHeader,
    TdAttribute,
    TdReport10,
    TdReport15,
    TdReport15Ex,
    TdxClaims,
)

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
PARTS = ("tcb_info", "qe_identity", "pck_crl", "root_ca_crl")


def register(number: int) -> bytes:
    """48 recognisable bytes."""
    return bytes([number]) * 48


TD = TdReport10(
    tee_tcb_svn=bytes([5, 1, 7, *range(13)]),
    mr_seam=register(0xA1),
    mrsigner_seam=bytes(48),
    seam_attributes=bytes(8),
    td_attributes=bytes.fromhex("0000001000000000"),
    xfam=bytes.fromhex("e702060000000000"),
    mr_td=register(0xB0),
    mr_config_id=register(0xC1),
    mr_owner=register(0xC2),
    mr_owner_config=register(0xC3),
    rtmr0=register(0xD0),
    rtmr1=register(0xD1),
    rtmr2=register(0xD2),
    rtmr3=register(0xD3),
    report_data=bytes(64),
)

TD15 = TdReport15(tee_tcb_svn2=bytes([5, 1, 7, *range(13)]), mr_service_td=bytes(48))

TD15_EX = TdReport15Ex(
    vm_id=bytes(1),
    td_id=bytes(32),
    dev_info=bytes(48),
    init_service_td_hash=bytes(48),
    init_service_td_attributes=bytes(8),
    init_cpu_svn=bytes(16),
    init_tee_tcb_svn=bytes(16),
    init_tee_fmspc=bytes(12),
    cur_service_td_hash=bytes(48),
    cur_service_td_attributes=bytes(8),
)

PCK = PckClaims(
    ppid=bytes(range(1, 17)),
    sgx_tcb_components=(11, 12, 3, 3, 255, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0),
    pcesvn=11,
    cpusvn=bytes(16),
    pceid=bytes(2),
    fmspc=bytes.fromhex("b0c06f000000"),
    sgx_type=1,
    platform_instance_id=bytes(range(0x21, 0x31)),
    dynamic_platform=True,
    cached_keys=True,
    smt_enabled=True,
    ca="platform",
    serial_number=1,
    not_after=NOW + timedelta(days=900),
)

TCB = TcbReport(
    status=TcbStatus.UP_TO_DATE,
    platform_status=TcbStatus.UP_TO_DATE,
    qe_status=TcbStatus.UP_TO_DATE,
    module_status=TcbStatus.UP_TO_DATE,
    tcb_date=NOW - timedelta(days=90),
    evaluation_data_number=20,
)

COLLATERAL = tuple(
    PartValidity(part, NOW - timedelta(days=20), NOW + timedelta(days=10), None) for part in PARTS
)

GOOD = TdxClaims(
    header=QuoteHeader(4, 2, 0x81, 0, 0, bytes(16), bytes(20)),
    body_type=2,
    td=TD,
    td15=None,
    td15_ex=None,
    attributes=frozenset({TdAttribute.SEPT_VE_DISABLE}),
    reserved_attributes=0,
    pck=PCK,
    qe=QeClaims(bytes(32), bytes(32), 2, 4),
    tcb=TCB,
    tdx_module_version=1,
    pck_chain_revocation=Revocation.GOOD,
    tcb_signing_chain_revocation=Revocation.GOOD,
    collateral=COLLATERAL,
    certificates_expire=NOW + timedelta(days=900),
    expires=NOW + timedelta(days=10),
    bound=True,
    evidence_sha256=bytes(range(32)),
    collateral_sha256=bytes(32),
    verified_at=NOW,
)


def with_td(**fields: bytes) -> TdxClaims:
    """GOOD with other fields of the TD report."""
    return replace(GOOD, td=replace(TD, **fields))


def with_attributes(*attributes: TdAttribute) -> TdxClaims:
    """GOOD with further named attributes set."""
    return replace(GOOD, attributes=GOOD.attributes | set(attributes))


def with_tcb(tcb: TcbReport) -> TdxClaims:
    """GOOD with another judgement of the TCB."""
    return replace(GOOD, tcb=tcb)


def with_status(status: TcbStatus | None, *advisories: str) -> TdxClaims:
    """GOOD with this status of platform and whole."""
    return with_tcb(
        replace(TCB, status=status, platform_status=status, advisory_ids=tuple(advisories))
    )


def with_service_td(value: bytes) -> TdxClaims:
    """A TD report 1.5 with this MRSERVICETD."""
    return replace(GOOD, body_type=3, td15=replace(TD15, mr_service_td=value))


def late(**days: float) -> TdxClaims:
    """GOOD with these parts of the collateral so many days past their next update at NOW."""
    parts = tuple(
        PartValidity(
            part.part,
            part.issued,
            NOW - timedelta(days=days[part.part]),
            NOW - timedelta(days=days[part.part]),
        )
        if part.part in days
        else part
        for part in COLLATERAL
    )
    return replace(GOOD, collateral=parts)
