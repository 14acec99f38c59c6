# SPDX-License-Identifier: Apache-2.0
"""What a verified TDX quote says. Made by `verifiers.tdx.verify.verify` alone; read by policies and issuance.

Field names are those of Intel's TDX DCAP quoting library (header, TD report 1.0, 1.5 and 1.5ex) in lower case. Byte
fields have the exact length named beside them. Imports the vocabulary only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from verifiers.evidence import Provider, Tee
from verifiers.tcb import TcbStatus

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.endorsements import PartValidity, Revocation
    from verifiers.tcb import TcbReport
    from verifiers.vtpm.claims import GceClaims, HclClaims, TpmClaims


@dataclass(frozen=True, slots=True)
class QuoteHeader:
    """Quote header, 48 bytes (Intel DCAP `sgx_quote4_header_t`)."""

    version: int
    att_key_type: int
    tee_type: int
    qe_svn: int
    pce_svn: int
    vendor_id: bytes  # 16
    user_data: bytes  # 20; its first 16 bytes are the QE id, not the PPID


@dataclass(frozen=True, slots=True)
class TdReport10:
    """TD report body 1.0, 584 bytes (`sgx_report2_body_t`)."""

    tee_tcb_svn: bytes  # 16
    mr_seam: bytes  # 48
    mrsigner_seam: bytes  # 48
    seam_attributes: bytes  # 8
    td_attributes: bytes  # 8, little endian
    xfam: bytes  # 8, little endian
    mr_td: bytes  # 48
    mr_config_id: bytes  # 48
    mr_owner: bytes  # 48
    mr_owner_config: bytes  # 48
    rtmr0: bytes  # 48
    rtmr1: bytes  # 48
    rtmr2: bytes  # 48
    rtmr3: bytes  # 48
    report_data: bytes  # 64


@dataclass(frozen=True, slots=True)
class TdReport15:
    """What TD report 1.5 adds to 1.0 (`sgx_report2_body_v1_5_t`, 648 bytes in all)."""

    tee_tcb_svn2: bytes  # 16; the TCB now, where tee_tcb_svn is the TCB at launch
    mr_service_td: bytes  # 48


@dataclass(frozen=True, slots=True)
class TdReport15Ex:
    """What TD report 1.5ex adds to 1.5 (885 bytes in all)."""

    vm_id: bytes  # 1
    td_id: bytes  # 32
    dev_info: bytes  # 48
    init_service_td_hash: bytes  # 48
    init_service_td_attributes: bytes  # 8
    init_cpu_svn: bytes  # 16
    init_tee_tcb_svn: bytes  # 16
    init_tee_fmspc: bytes  # 12
    cur_service_td_hash: bytes  # 48
    cur_service_td_attributes: bytes  # 8


class TdAttribute(StrEnum):
    """Named bits of `td_attributes` (Intel TDX module ABI 348551-008US, table 3.23)."""

    DEBUG = "debug"  # bit 0
    PROFILING_4 = "profiling-4"  # bits 4-6: performance profiling of the TD, as harmful as debug
    PROFILING_5 = "profiling-5"
    PROFILING_6 = "profiling-6"
    ICSSD = "icssd"  # 16
    SERVTD_EXT = "servtd-ext"  # 17
    BIT_18 = "bit-18"  # 18-22: defined by newer modules
    BIT_19 = "bit-19"
    BIT_20 = "bit-20"
    BIT_21 = "bit-21"
    BIT_22 = "bit-22"
    LASS = "lass"  # 27
    SEPT_VE_DISABLE = "sept-ve-disable"  # 28
    MIGRATABLE = "migratable"  # 29
    PKS = "pks"  # 30
    KL = "kl"  # 31
    TPA = "tpa"  # 62
    PERFMON = "perfmon"  # 63


@dataclass(frozen=True, slots=True)
class PckClaims:
    """What Intel certified of the platform: the SGX extension of the PCK leaf (1.2.840.113741.1.13.1)."""

    ppid: bytes  # 16; identifies the hardware: never shown to anonymous callers
    sgx_tcb_components: tuple[int, ...]  # 16 SVNs
    pcesvn: int
    cpusvn: bytes  # 16
    pceid: bytes  # 2
    fmspc: bytes  # 6
    sgx_type: int  # 0 standard, 1 scalable, 2 scalable with integrity
    platform_instance_id: bytes | None  # 16; Platform CA only
    dynamic_platform: bool | None
    cached_keys: bool | None
    smt_enabled: bool | None
    ca: str  # "platform" or "processor"
    serial_number: int
    not_after: datetime


@dataclass(frozen=True, slots=True)
class QeClaims:
    """The quoting enclave, from its SGX report (`sgx_report_body_t`) after it matched Intel's QE identity."""

    mrenclave: bytes  # 32
    mrsigner: bytes  # 32
    isvprodid: int
    isvsvn: int


@dataclass(frozen=True, slots=True)
class TdxClaims:
    """A TDX quote whose signatures, chains, dates and vendor rules hold at `verified_at`.

    Parts of the collateral may be past their next update: they are then listed by `expired_parts`, and only a policy
    that names them tolerates that.

    Attributes:
        td15, td15_ex: None where the body is of an older kind. body_type: 2, 3 or 4 (a v4 quote has 2).
        attributes: named bits set in `td_attributes`.
        reserved_attributes: set bits outside the named ones, as a mask; non-zero is for every policy a refusal.
        bound: whether a binding was compared (always true on the issuing path).
        evidence_sha256: SHA-256 of the quote without trailing zero bytes.
        collateral_sha256: SHA-256 over the framed parts of the collateral.
        expires: earliest end of all certificates and collateral used (certificates' notAfter, parts' next_update).
        provider: `azure` where a paravisor owns report_data, `google` where a vTPM of Google's is quoted as well.
        hcl: Azure only. gce: Google only. tpm: of these two; None where no quote of the vTPM was at hand (offline
            inspection of Azure's alone).
    """

    tee: ClassVar[Tee] = Tee.TDX

    header: QuoteHeader
    body_type: int
    td: TdReport10
    td15: TdReport15 | None
    td15_ex: TdReport15Ex | None
    attributes: frozenset[TdAttribute]
    reserved_attributes: int
    pck: PckClaims
    qe: QeClaims
    tcb: TcbReport
    tdx_module_version: int  # tee_tcb_svn[1]
    pck_chain_revocation: Revocation
    tcb_signing_chain_revocation: Revocation
    collateral: tuple[PartValidity, ...]
    certificates_expire: datetime
    expires: datetime
    bound: bool
    evidence_sha256: bytes  # 32
    collateral_sha256: bytes  # 32
    verified_at: datetime
    provider: Provider = Provider.DIRECT
    hcl: HclClaims | None = None
    tpm: TpmClaims | None = None
    gce: GceClaims | None = None

    @property
    def tcb_status(self) -> str:
        """Intel's status of the whole; "Unknown" where there is none."""
        return (self.tcb.status or TcbStatus.UNKNOWN).value

    @property
    def expired_parts(self) -> tuple[PartValidity, ...]:
        """The parts of the collateral that were past their next update at `verified_at`."""
        return tuple(part for part in self.collateral if part.expired_since is not None)
