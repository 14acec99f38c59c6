# SPDX-License-Identifier: Apache-2.0
"""What a verified SEV-SNP report says. Made by `verifiers.snp.verify.verify` alone; read by policies and issuance.

Field names are those of AMD's SEV-SNP firmware ABI (publication 56860, ATTESTATION_REPORT) in lower case. Byte fields
have the exact length named beside them; integers are little-endian in the report. Imports the vocabulary only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from verifiers.evidence import Product, Provider, Tee
from verifiers.tcb import NOT_RATED

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.endorsements import PartValidity, Revocation
    from verifiers.vtpm.claims import GceClaims, HclClaims, TpmClaims

TCB_COMPONENTS = ("fmc", "bootloader", "tee", "snp", "microcode")


@dataclass(frozen=True, slots=True)
class TcbVersion:
    """One TCB_VERSION, 8 bytes, by the layout of its product: Turin has an FMC, Milan and Genoa have none."""

    raw: bytes  # 8, as in the report
    fmc: int | None
    bootloader: int
    tee: int
    snp: int
    microcode: int

    @property
    def components(self) -> tuple[int, ...]:
        """The numbers in the order of `TCB_COMPONENTS`; an FMC that the product does not have counts as 0."""
        return (self.fmc or 0, self.bootloader, self.tee, self.snp, self.microcode)

    def covers(self, other: TcbVersion) -> bool:
        """Whether no component is below that of `other`. As one integer they would compare wrongly."""
        pairs = zip(self.components, other.components, strict=True)
        return all(ours >= theirs for ours, theirs in pairs)


class GuestPolicyBit(StrEnum):
    """Named bits of POLICY (ABI 56860, GUEST_POLICY). Bit 17 is always one, bits 26 to 63 are zero."""

    SMT = "smt"  # bit 16: SMT may be on
    MIGRATE_MA = "migrate-ma"  # 18: a migration agent may be bound
    DEBUG = "debug"  # 19: the host may read and change the guest
    SINGLE_SOCKET = "single-socket"  # 20: required
    CXL = "cxl"  # 21: CXL memory may be used
    MEM_AES_256_XTS = "mem-aes-256-xts"  # 22: required
    RAPL_DIS = "rapl-dis"  # 23: required
    CIPHERTEXT_HIDING = "ciphertext-hiding"  # 24: required
    PAGE_SWAP_DISABLE = "page-swap-disable"  # 25: the host may not move guest pages


class PlatformBit(StrEnum):
    """Named bits of PLATFORM_INFO. Others are signed by the firmware and reported, never refused for being unknown."""

    SMT = "smt"  # bit 0
    TSME = "tsme"  # 1
    ECC = "ecc"  # 2
    RAPL_DIS = "rapl-dis"  # 3
    CIPHERTEXT_HIDING = "ciphertext-hiding"  # 4
    ALIAS_CHECK_COMPLETE = "alias-check-complete"  # 5
    BIT_6 = "bit-6"  # set on shipping Genoa and Turin
    TIO = "tio"  # 7


class SigningKey(StrEnum):
    """Which key signed the report (SIGNING_KEY; other values are refused)."""

    VCEK = "vcek"
    VLEK = "vlek"


@dataclass(frozen=True, slots=True)
class CpuModel:
    """CPUID family, model and stepping of the CPU, from reports of version 3 on."""

    family: int
    model: int
    stepping: int

    def __str__(self) -> str:
        """As policies and floors name it, e.g. "19-01-1" (hexadecimal)."""
        return f"{self.family:02x}-{self.model:02x}-{self.stepping:x}"


@dataclass(frozen=True, slots=True)
class FirmwareVersion:
    """A firmware version of the report, e.g. 1.55.29."""

    major: int
    minor: int
    build: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.build}"


@dataclass(frozen=True, slots=True)
class VekClaims:
    """What AMD certified: the endorsement certificate that the report is signed under, VCEK or VLEK.

    Attributes:
        struct_version, product_name: extensions .1 and .2. tcb: the SPL extensions; equal to REPORTED_TCB.
        hwid: VCEK only, equal to CHIP_ID (64 bytes, on Turin the first 8). csp_id: VLEK only.
        certificate_sha256: 32 bytes.
    """

    kind: SigningKey
    product_name: str
    struct_version: int
    tcb: TcbVersion
    hwid: bytes | None
    csp_id: str | None
    not_before: datetime
    not_after: datetime
    certificate_sha256: bytes


@dataclass(frozen=True, slots=True)
class SnpReportBody:
    """The report as the firmware signed it, without its four TCB versions (see `SnpClaims`) and signature.

    Attributes:
        policy, platform_info: raw 64-bit numbers, for `SnpClaims` names their bits.
        abi_major, abi_minor: lowest ABI version that the guest's policy accepts (POLICY bits 0 to 15).
        current_version, committed_version: of the firmware.
        launch_mit_vector, current_mit_vector: None before version 5.
    """

    version: int
    guest_svn: int
    policy: int
    abi_major: int
    abi_minor: int
    family_id: bytes  # 16
    image_id: bytes  # 16
    vmpl: int  # 0 to 3; 0xFFFFFFFF: asked for by the host
    platform_info: int
    author_key_en: bool
    report_data: bytes  # 64
    measurement: bytes  # 48
    host_data: bytes  # 32
    id_key_digest: bytes  # 48; all zero without an ID block
    author_key_digest: bytes  # 48; means something if author_key_en only
    report_id: bytes  # 32
    report_id_ma: bytes  # 32; all FF without a migration agent
    chip_id: bytes  # 64; all zero where masked, and at AWS
    current_version: FirmwareVersion
    committed_version: FirmwareVersion
    launch_mit_vector: int | None
    current_mit_vector: int | None


@dataclass(frozen=True, slots=True)
class SnpClaims:
    """An SEV-SNP report whose signature, chain, dates and vendor rules hold at `verified_at`.

    Attributes:
        provider: `azure` where an HCL report carried it, `google` where a vTPM of Google's is quoted as well.
        cpu: None in version 2, which does not say.
        reported_tcb: the only one that the signing key proves; committed, current and launch are the firmware's word.
        guest_policy, platform: named bits that are set.
        revocation: of the ASK or ASVK, by the CRL of the ARK; `not-checked` where no CRL was at hand.
        collateral: window of the CRL ("crl"), if there was one.
        hcl: Azure only. gce: Google only. tpm: of these two; None where no vTPM quote was at hand (offline inspection
            of Azure's alone).
        bound: whether the binding was compared (always true on the issuing path).
        evidence_sha256: SHA-256 of the report, or of the HCL report. It identifies these bytes, not the statement:
            an ECDSA signature has a twin that is as good.
        collateral_sha256: SHA-256 over the parts of the collateral.
        expires: earliest end of all certificates and collateral used.
    """

    tee: ClassVar[Tee] = Tee.SNP

    provider: Provider
    product: Product
    cpu: CpuModel | None
    report: SnpReportBody
    guest_policy: frozenset[GuestPolicyBit]
    platform: frozenset[PlatformBit]
    reported_tcb: TcbVersion
    committed_tcb: TcbVersion
    current_tcb: TcbVersion
    launch_tcb: TcbVersion
    vek: VekClaims
    hcl: HclClaims | None
    tpm: TpmClaims | None
    revocation: Revocation
    collateral: tuple[PartValidity, ...]
    certificates_expire: datetime
    expires: datetime
    bound: bool
    evidence_sha256: bytes  # 32
    collateral_sha256: bytes  # 32
    verified_at: datetime
    gce: GceClaims | None = None

    @property
    def tcb_status(self) -> str:
        """AMD publishes no status: floors of a policy do that work."""
        return NOT_RATED

    @property
    def expired_parts(self) -> tuple[PartValidity, ...]:
        """The parts of the collateral that were past their next update at `verified_at`."""
        return tuple(part for part in self.collateral if part.expired_since is not None)
