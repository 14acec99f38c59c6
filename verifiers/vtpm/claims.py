# SPDX-License-Identifier: Apache-2.0
"""What a verified quote of a virtual TPM says, and what the paravisor or Google says beside it.

Sources: TCG TPM 2.0 Library part 2 (TPMS_ATTEST, TPMS_CLOCK_INFO, TPML_PCR_SELECTION); Azure HCL report; the extension
of Google's certificates of attestation keys. Imports the vocabulary only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.endorsements import Revocation


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


@dataclass(frozen=True, slots=True)
class GceClaims:
    """What Google's certificate of an attestation key says: whose vTPM has the key. Google's word, not the CPU's.

    Attributes:
        zone: "us-central1-a". project_id, project_number: the project. instance_id, instance_name: the VM.
        security_version: of Google's vTPM; 0 where the certificate does not say.
        ak_certificate_sha256: 32 bytes. issuer_serial: serial number of the authority that signed it.
        revocation: of that authority, by the list of Google's root; `not-checked` where no list was at hand.
        certificates_expire: earliest end of the key's certificate, its authority's and the root's.
    """

    zone: str
    project_id: str
    project_number: int
    instance_id: int
    instance_name: str
    security_version: int
    ak_certificate_sha256: bytes
    issuer_serial: int
    revocation: Revocation
    certificates_expire: datetime
