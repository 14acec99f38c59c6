# SPDX-License-Identifier: Apache-2.0
"""What a verified quote of a virtual TPM says, and what the paravisor says beside it. Imports the vocabulary only.

Sources: TCG TPM 2.0 Library part 2 (TPMS_ATTEST, TPMS_CLOCK_INFO, TPML_PCR_SELECTION); Azure HCL report.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PcrBank(StrEnum):
    """Hash algorithms of PCR banks that are believed; SHA-1 is not."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


@dataclass(frozen=True, slots=True)
class TpmClaims:
    """A TPM 2.0 quote whose signature, PCR digest and extraData hold.

    Attributes:
        pcrs: (bank, index, value) of every quoted PCR, as the quote's own selection numbers them.
        extra_data: what the guest had signed. clock: milliseconds.
        reset_count, restart_count: a change means a reboot. safe: whether the clock never ran backwards.
    """

    pcrs: tuple[tuple[PcrBank, int, bytes], ...]
    extra_data: bytes
    qualified_signer: bytes
    firmware_version: int
    clock: int
    reset_count: int
    restart_count: int
    safe: bool

    def pcr(self, index: int, bank: PcrBank = PcrBank.SHA256) -> bytes | None:
        """The value of one PCR; None where it was not quoted."""
        return next((value for b, i, value in self.pcrs if (b, i) == (bank, index)), None)


@dataclass(frozen=True, slots=True)
class HclClaims:
    """Azure's runtime data, which the CPU's report names by its SHA-256.

    Attributes:
        runtime_data_sha256: 32 bytes; report_data begins with it.
        user_data: what the guest wrote before the report was made (64 bytes); None where the runtime data has none.
        secure_boot, tpm_enabled, tpm_persisted, console_enabled: of vm-configuration; None where it does not say.
        vm_unique_id: "" where it does not say.
    """

    version: int
    runtime_data_sha256: bytes
    user_data: bytes | None
    secure_boot: bool | None
    tpm_enabled: bool | None
    tpm_persisted: bool | None
    console_enabled: bool | None
    vm_unique_id: str
