# SPDX-License-Identifier: Apache-2.0
"""The registers a policy can name, and which of them matter for what.

Names are those of the reports in snake case, and of the PCRs of a virtual TPM. A name belongs to one technology, a PCR
to every one that a paravisor keeps a TPM under, and never changes its meaning: policies, certificates and revocation
handles speak of registers by these names.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from verifiers.evidence import Provider, Tee
from verifiers.snp.claims import SnpClaims
from verifiers.tdx.claims import TdxClaims

if TYPE_CHECKING:
    from verifiers.claims import Claims


class Register(StrEnum):
    """Measurement and configuration registers.

    TDX: Intel TDX module ABI, TDINFO_STRUCT and TEE_TCB_INFO. SNP: AMD publication 56860, ATTESTATION_REPORT. Where a
    paravisor vouches for a virtual TPM (Azure), the SHA-256 bank of its PCRs as well, and RTMRs are zero. Where Google
    runs one beside the CPU's protection, the same PCRs, by its word.
    """

    MR_TD = "mr_td"  # firmware and initial memory, as the host built them
    RTMR0 = "rtmr0"  # firmware configuration: virtual hardware, boot variables
    RTMR1 = "rtmr1"  # boot loader and kernel
    RTMR2 = "rtmr2"  # kernel command line, initial file system, applications
    RTMR3 = "rtmr3"  # free for the guest
    MR_SEAM = "mr_seam"  # the TDX module
    MRSIGNER_SEAM = "mrsigner_seam"  # its signer; all zero for Intel
    MR_CONFIG_ID = "mr_config_id"  # chosen by whoever starts the TD
    MR_OWNER = "mr_owner"
    MR_OWNER_CONFIG = "mr_owner_config"
    MR_SERVICE_TD = "mr_service_td"  # reports 1.5 and later; all zero where no service TD is bound

    MEASUREMENT = "measurement"  # initial memory and virtual CPUs; of a paravisor, that alone
    HOST_DATA = "host_data"  # chosen by the host that starts the guest
    ID_KEY_DIGEST = "id_key_digest"  # who signed the ID block; all zero without one
    AUTHOR_KEY_DIGEST = "author_key_digest"  # who signed the ID key; reported if AUTHOR_KEY_EN only

    PCR0 = "pcr0"  # what boot measures into PCRs: TCG PC Client Platform Firmware Profile, section 3.3.4
    PCR1 = "pcr1"
    PCR2 = "pcr2"
    PCR3 = "pcr3"
    PCR4 = "pcr4"  # boot loader, kernel
    PCR5 = "pcr5"
    PCR6 = "pcr6"
    PCR7 = "pcr7"  # secure boot: what signs, not what runs
    PCR8 = "pcr8"  # commands of GRUB, the kernel's command line among them
    PCR9 = "pcr9"  # initial file system
    PCR10 = "pcr10"
    PCR11 = "pcr11"  # unified kernel image
    PCR12 = "pcr12"  # what a unified kernel image is given from outside: command lines, credentials
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

    @property
    def length(self) -> int:
        """Its bytes: 48, or 32 of HOST_DATA and PCRs."""
        return 32 if self in PCRS or self is Register.HOST_DATA else 48

    def is_of(self, tee: Tee) -> bool:
        """Whether evidence of this technology can report it."""
        return self in PCRS or (tee is Tee.SNP) == (self in _OF_THE_REPORT)

    @property
    def path(self) -> str:
        """Where it stands in the words of claims, e.g. "td.rtmr0"."""
        if self in PCRS:
            return f"tpm.{self}"
        return f"report.{self}" if self in _OF_THE_REPORT else f"td.{self}"


PCRS: dict[Register, int] = {
    register: int(register.removeprefix("pcr"))
    for register in Register
    if register.startswith("pcr")
}
_OF_THE_REPORT = frozenset(
    {
        Register.MEASUREMENT,
        Register.HOST_DATA,
        Register.ID_KEY_DIGEST,
        Register.AUTHOR_KEY_DIGEST,
    }
)

_RTMRS = frozenset({Register.RTMR0, Register.RTMR1, Register.RTMR2, Register.RTMR3})
_BOOTED = (Register.PCR4, Register.PCR8, Register.PCR9, Register.PCR11, Register.PCR12)

# What a policy pins, or says why it does not: together they are the code that runs in the guest, and what its kernel is
# told. The boot partition of a virtual machine is its host's to write: a command line or a credential that is put there
# shows in PCR 8 or 12 alone (UAPI Group, Linux TPM PCR Registry). The keys are all the ways in which evidence comes.
MUST_PIN: dict[tuple[Tee, Provider], tuple[Register, ...]] = {
    (Tee.TDX, Provider.DIRECT): (
        Register.MR_TD,
        Register.RTMR0,
        Register.RTMR1,
        Register.RTMR2,
    ),
    (Tee.TDX, Provider.AZURE): (Register.MR_TD, *_BOOTED),
    (Tee.TDX, Provider.GOOGLE): (  # which the CPU signs; PCRs say the same by Google's word
        Register.MR_TD,
        Register.RTMR0,
        Register.RTMR1,
        Register.RTMR2,
    ),
    (Tee.SNP, Provider.DIRECT): (Register.MEASUREMENT,),
    (Tee.SNP, Provider.AZURE): (Register.MEASUREMENT, *_BOOTED),
    (Tee.SNP, Provider.GOOGLE): (Register.MEASUREMENT, *_BOOTED),
}

# Of Azure's evidence, what measures the paravisor itself: the virtual TPM and its PCRs are that one's word alone.
PARAVISOR: dict[Tee, Register] = {Tee.TDX: Register.MR_TD, Tee.SNP: Register.MEASUREMENT}

# What tells one deployment from another that boots the same public image.
INSTANCE = frozenset(
    {Register.MR_CONFIG_ID, Register.MR_OWNER, Register.MR_OWNER_CONFIG, Register.HOST_DATA}
)

# Who signed the ID block, and with it the measurement: the firmware starts no guest whose own differs (ABI 56860,
# SNP_LAUNCH_FINISH).
SIGNERS = (Register.ID_KEY_DIGEST, Register.AUTHOR_KEY_DIGEST)

# PCRs into which a boot may measure nothing, and zero says just that; firmware ends PCR 0 to 7 with a separator.
MAY_BE_ZERO = frozenset(register for register, number in PCRS.items() if 8 <= number <= 15)


def boot_registers(tee: Tee, provider: Provider) -> frozenset[Register]:
    """Where such a machine measures what it boots, and so what its event logs are replayed against; empty: nowhere.

    A TD has RTMRs of its own, which the CPU signs, unless a paravisor keeps them. Whatever else has a virtual TPM has
    PCRs.
    """
    if tee is Tee.TDX and provider is not Provider.AZURE:
        return _RTMRS
    return frozenset() if provider is Provider.DIRECT else frozenset(PCRS)


def reported_by(register: Register, tee: Tee, provider: Provider | None) -> bool:
    """Whether evidence of this technology and provider (None: of any) can carry the register."""
    return register.is_of(tee) and (register not in PCRS or provider is not Provider.DIRECT)


def read(claims: Claims, register: Register) -> bytes | None:
    """The bytes of one register; None where this evidence does not carry it."""
    if not register.is_of(claims.tee):
        return None
    if register in PCRS:
        return claims.tpm.pcr(PCRS[register]) if claims.tpm is not None else None
    match claims:
        case TdxClaims():
            return _of_a_td(claims, register)
        case SnpClaims():
            return _of_an_snp_guest(claims, register)
        case _:
            assert_never(claims)


def _of_a_td(claims: TdxClaims, register: Register) -> bytes | None:
    if register is Register.MR_SERVICE_TD:
        return claims.td15.mr_service_td if claims.td15 is not None else None
    value: bytes = getattr(claims.td, register.value)
    return value


def _of_an_snp_guest(claims: SnpClaims, register: Register) -> bytes | None:
    if register is Register.AUTHOR_KEY_DIGEST and not claims.report.author_key_en:
        return None
    value: bytes = getattr(claims.report, register.value)
    return value
