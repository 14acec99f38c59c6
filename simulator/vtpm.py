# SPDX-License-Identifier: Apache-2.0
"""A virtual TPM: attestation key, PCRs and quotes. Everything can be given otherwise; nothing is parsed or checked.

Source: TCG TPM 2.0 Library part 2 (TPMS_ATTEST, TPML_PCR_SELECTION, TPMT_SIGNATURE); all integers big-endian.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulator.amd_keys import SHARED, RsaKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SHA1, SHA256, SHA384, SHA512 = 0x0004, 0x000B, 0x000C, 0x000D  # TPM_ALG_ID
RSASSA = 0x0014
MAGIC, QUOTE = 0xFF544347, 0x8018
PCR_COUNT = 24


def boot_pcrs() -> list[bytes]:
    """24 values of the SHA-256 bank as after a boot: 17 to 22 all ones, those that nothing extended zero."""
    used = {0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 14}
    return [
        hashlib.sha256(f"simulated PCR {i}".encode()).digest()
        if i in used
        else (b"\xff" if 17 <= i <= 22 else b"\0") * 32
        for i in range(PCR_COUNT)
    ]


@dataclass(frozen=True, slots=True)
class Quote:
    """A vTPM quote as evidence carries it: TPMS_ATTEST, bare RSASSA signature, and the quoted PCRs' values."""

    attest: bytes
    signature: bytes
    pcrs: bytes

    @property
    def tpmt_signature(self) -> bytes:
        """The signature as TPMT_SIGNATURE: RSASSA with SHA-256."""
        return tpmt_signature(self.signature)


@dataclass(slots=True)
class FakeTpm:
    """See the module's docstring.

    Attributes:
        ak, ek: attestation and endorsement key, RSA 2048. pcrs: the SHA-256 bank, by index.
        banks: further banks by TPM_ALG_ID. clock in milliseconds.
    """

    ak: RsaKey
    ek: RsaKey
    pcrs: list[bytes] = field(default_factory=boot_pcrs)
    banks: dict[int, list[bytes]] = field(default_factory=dict)
    clock: int = 332_074_726
    reset_count: int = 2
    restart_count: int = 0
    safe: int = 1
    firmware_version: int = 0x2020031200120003

    @classmethod
    def create(cls, label: str = "vtpm") -> FakeTpm:
        """A TPM whose keys are those of this label in this process."""
        return cls(SHARED.get(f"{label} ak", 2048), SHARED.get(f"{label} ek", 2048))

    def quote(
        self,
        extra_data: bytes,
        *,
        selection: Sequence[tuple[int, Sequence[int]]] = ((SHA256, tuple(range(PCR_COUNT))),),
        signer: RsaKey | None = None,
        edit: Callable[[bytes], bytes] = bytes,
        **changes: Any,  # noqa: ANN401 - a field of TPMS_ATTEST
    ) -> Quote:
        """A quote over `extra_data`.

        Args:
            extra_data: what the caller had signed; 32 bytes here.
            selection: (TPM_ALG_ID of the bank, PCR indices) in the order that the quote lists them.
            signer: another key.
            edit: of TPMS_ATTEST before it is signed.
            changes: magic, kind, qualified_signer (2 bytes of algorithm and a digest), clock, reset_count,
                restart_count, safe, firmware_version, pcr_digest.
        """
        values = [
            self._bank(bank)[index] for bank, indices in selection for index in sorted(indices)
        ]
        digest = changes.pop("pcr_digest", hashlib.sha256(b"".join(values)).digest())
        attest = edit(self._attest(extra_data, selection, digest, changes))
        return Quote(attest, (signer or self.ak).sign_pkcs1(attest), b"".join(values))

    def _bank(self, bank: int) -> list[bytes]:
        return self.pcrs if bank == SHA256 else self.banks[bank]

    def _attest(
        self,
        extra_data: bytes,
        selection: Sequence[tuple[int, Sequence[int]]],
        digest: bytes,
        changes: Mapping[str, Any],
    ) -> bytes:
        """TPMS_ATTEST of a quote. Raises TypeError for a field that it does not have."""
        signer = SHA256.to_bytes(2, "big") + hashlib.sha256(self.ak.spki).digest()
        values: dict[str, Any] = {
            "magic": MAGIC,
            "kind": QUOTE,
            "qualified_signer": signer,
            "clock": self.clock,
            "reset_count": self.reset_count,
            "restart_count": self.restart_count,
            "safe": self.safe,
            "firmware_version": self.firmware_version,
        }
        if unknown := changes.keys() - values.keys():
            raise TypeError(f"a quote has no field {', '.join(sorted(unknown))}")
        values |= changes
        return b"".join(
            (
                values["magic"].to_bytes(4, "big"),
                values["kind"].to_bytes(2, "big"),
                tpm2b(values["qualified_signer"]),
                tpm2b(extra_data),
                values["clock"].to_bytes(8, "big"),
                values["reset_count"].to_bytes(4, "big"),
                values["restart_count"].to_bytes(4, "big"),
                values["safe"].to_bytes(1, "big"),
                values["firmware_version"].to_bytes(8, "big"),
                len(selection).to_bytes(4, "big"),
                *(pcr_selection(bank, indices) for bank, indices in selection),
                tpm2b(digest),
            )
        )


def tpm2b(data: bytes) -> bytes:
    """A sized buffer."""
    return len(data).to_bytes(2, "big") + data


def pcr_selection(bank: int, indices: Sequence[int], size: int = 3) -> bytes:
    """TPMS_PCR_SELECTION: the bank, and a bit for each PCR in `size` bytes."""
    bits = sum(1 << index for index in set(indices))
    return bank.to_bytes(2, "big") + bytes((size,)) + bits.to_bytes(size, "little")


def tpmt_signature(signature: bytes, scheme: int = RSASSA, digest: int = SHA256) -> bytes:
    """TPMT_SIGNATURE of an RSA signature."""
    return scheme.to_bytes(2, "big") + digest.to_bytes(2, "big") + tpm2b(signature)
