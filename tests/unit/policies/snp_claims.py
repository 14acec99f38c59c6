# SPDX-License-Identifier: Apache-2.0
"""SnpClaims as `verify` would make them, with any field set: what appraisal looks at, without a report behind it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.unit.policies.claims_factory import NOW, register
from verifiers.endorsements import PartValidity, Revocation
from verifiers.evidence import Product, Provider
from verifiers.snp.claims import (
    CpuModel,
    FirmwareVersion,
    GuestPolicyBit,
    PlatformBit,
    SigningKey,
    SnpClaims,
    SnpReportBody,
    TcbVersion,
    VekClaims,
)
from verifiers.vtpm.claims import HclClaims, PcrBank, TpmClaims

if TYPE_CHECKING:
    from collections.abc import Iterable

GENOA = CpuModel(0x19, 0x11, 1)


def tcb(**parts: int | None) -> TcbVersion:
    """The TCB of GOOD with other numbers; of Turin's layout if an FMC is said."""
    numbers: dict[str, int | None] = {
        "fmc": None,
        "bootloader": 10,
        "tee": 1,
        "snp": 27,
        "microcode": 88,
    }
    return TcbVersion(bytes(8), **(numbers | parts))  # type: ignore[arg-type]  # None for the FMC alone


REPORT = SnpReportBody(
    version=5,
    guest_svn=4,
    policy=0x30000,
    abi_major=1,
    abi_minor=55,
    family_id=bytes(range(16)),
    image_id=bytes(range(16, 32)),
    vmpl=0,
    platform_info=0x25,
    author_key_en=False,
    report_data=bytes(64),
    measurement=register(0xA0),
    host_data=b"\xb0" * 32,
    id_key_digest=register(0xC0),
    author_key_digest=register(0xD0),
    report_id=b"\xe0" * 32,
    report_id_ma=b"\xff" * 32,
    chip_id=bytes(range(64)),
    current_version=FirmwareVersion(1, 55, 49),
    committed_version=FirmwareVersion(1, 55, 49),
    launch_mit_vector=0xB,
    current_mit_vector=0xB,
)

VCEK = VekClaims(
    kind=SigningKey.VCEK,
    product_name="Genoa",
    struct_version=0,
    tcb=tcb(),
    hwid=REPORT.chip_id,
    csp_id=None,
    not_before=NOW - timedelta(days=100),
    not_after=NOW + timedelta(days=2400),
    certificate_sha256=bytes(32),
)

VLEK = replace(VCEK, kind=SigningKey.VLEK, hwid=None, csp_id="CN=cc-eu-west-1.amazonaws.com")

CRL = PartValidity("crl", NOW - timedelta(days=30), NOW + timedelta(days=30), None)

GOOD_SNP = SnpClaims(
    provider=Provider.DIRECT,
    product=Product.GENOA,
    cpu=GENOA,
    report=REPORT,
    guest_policy=frozenset({GuestPolicyBit.SMT}),
    platform=frozenset({PlatformBit.SMT, PlatformBit.ECC, PlatformBit.ALIAS_CHECK_COMPLETE}),
    reported_tcb=tcb(),
    committed_tcb=tcb(),
    current_tcb=tcb(),
    launch_tcb=tcb(),
    vek=VCEK,
    hcl=None,
    tpm=None,
    revocation=Revocation.GOOD,
    collateral=(CRL,),
    certificates_expire=NOW + timedelta(days=2400),
    expires=NOW + timedelta(days=30),
    bound=True,
    evidence_sha256=bytes(range(32)),
    collateral_sha256=bytes(32),
    verified_at=NOW,
)

HCL = HclClaims(
    version=1,
    runtime_data_sha256=bytes(32),
    user_data=None,
    secure_boot=True,
    tpm_enabled=True,
    tpm_persisted=False,
    console_enabled=False,
    vm_unique_id="",
)

TPM = TpmClaims(
    pcrs=tuple((PcrBank.SHA256, index, bytes([index]) * 32) for index in range(24)),
    extra_data=bytes(32),
    qualified_signer=bytes(34),
    firmware_version=1,
    clock=1,
    reset_count=1,
    restart_count=0,
    safe=True,
)

AZURE = replace(GOOD_SNP, provider=Provider.AZURE, hcl=HCL, tpm=TPM)

# A version 2 report: no CPU model, no mitigation vectors; the alias check cannot be shown.
OLD = replace(
    GOOD_SNP,
    cpu=None,
    platform=frozenset({PlatformBit.SMT}),
    report=replace(REPORT, version=2, launch_mit_vector=None, current_mit_vector=None),
)


def with_report(**fields: Any) -> SnpClaims:  # noqa: ANN401  fields of several types
    """GOOD_SNP with other fields of the report."""
    return replace(GOOD_SNP, report=replace(REPORT, **fields))


def with_guest_policy(*bits: GuestPolicyBit) -> SnpClaims:
    """GOOD_SNP with further bits of the guest policy."""
    return replace(GOOD_SNP, guest_policy=GOOD_SNP.guest_policy | set(bits))


def with_platform(bits: Iterable[PlatformBit]) -> SnpClaims:
    """GOOD_SNP with exactly these bits of PLATFORM_INFO."""
    return replace(GOOD_SNP, platform=frozenset(bits))


def with_tcbs(
    reported: TcbVersion | None = None,
    committed: TcbVersion | None = None,
    current: TcbVersion | None = None,
    launch: TcbVersion | None = None,
) -> SnpClaims:
    """GOOD_SNP with other TCBs."""
    return replace(
        GOOD_SNP,
        reported_tcb=reported or tcb(),
        committed_tcb=committed or tcb(),
        current_tcb=current or tcb(),
        launch_tcb=launch or tcb(),
    )
