# SPDX-License-Identifier: Apache-2.0
"""A simulated TDX machine: its PCK certificate, its attestation key, and the quotes of one trust domain on it.

The fields of its quotes have realistic defaults that match the collateral of `simulator.collateral`: such a quote is
UpToDate. `fields` holds the defaults of this machine, `quote` takes others for one quote. Made by `FakeIntel.platform`.
Its registers stand for an image by name; those of a machine that was booted (`boot`) are computed, and it has logs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulator.collateral import QE_ISVPRODID, QE_MRSIGNER
from simulator.layouts import BODIES
from simulator.pki import pem
from simulator.quote import FRAMING_FIELDS, SGX, TDX, Framing, Signers, refuse_unknown, write

if TYPE_CHECKING:
    from simulator.eventlog import Boot
    from simulator.layouts import Value
    from simulator.pck import SgxExtension
    from simulator.pki import Entity, Key

INTEL_VENDOR_ID = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
SEPT_VE_DISABLE = 1 << 28
TEE_TCB_SVN = bytes((11, 1, 4)) + bytes(13)  # module TDX_01 with ISVSVN 11, microcode 4


def register(label: str) -> bytes:
    """A measurement that stands for `label`: its SHA-384, 48 bytes."""
    return hashlib.sha384(label.encode()).digest()


def default_fields() -> dict[str, Value]:
    """Fields of header, TD report and QE report of an UpToDate quote; those not named are zero."""
    return {
        "att_key_type": 2,
        "vendor_id": INTEL_VENDOR_ID,
        "user_data": register("simulated quoting enclave")[:16] + bytes(4),
        "tee_tcb_svn": TEE_TCB_SVN,
        "tee_tcb_svn2": TEE_TCB_SVN,
        "mr_seam": register("simulated TDX module"),
        "td_attributes": SEPT_VE_DISABLE,
        "xfam": 0x602E7,
        "mr_td": register("simulated firmware"),
        "rtmr0": register("simulated configuration"),
        "rtmr1": register("simulated kernel"),
        "rtmr2": register("simulated initrd and command line"),
        "td_id": register("simulated trust domain")[:32],
        "qe_cpusvn": bytes.fromhex("0404191b04ff00060000000000000000"),
        "qe_attributes": bytes.fromhex("1500000000000000e700000000000000"),
        "qe_mrenclave": register("simulated quoting enclave")[:32],
        "qe_mrsigner": QE_MRSIGNER,
        "qe_isvprodid": QE_ISVPRODID,
        "qe_isvsvn": 8,
    }


@dataclass(slots=True)
class Platform:
    """One machine.

    Attributes:
        ca: the authority that certified it. root: the root above. pck: its PCK certificate and key.
        sgx: what the certificate's SGX extension was made from (see `certify`).
        attestation_key: the quoting enclave's key. qe_auth_data: 32 bytes, as every real machine has.
        fields: defaults of this machine's quotes.
        event_logs: (kind of evidence, bytes) of each log of its boot; none of a machine that `boot` did not boot.
    """

    ca: Entity
    root: Entity
    pck: Entity
    sgx: SgxExtension
    attestation_key: Key
    qe_auth_data: bytes = bytes(range(32))
    fields: dict[str, Value] = field(default_factory=default_fields)
    event_logs: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def fmspc(self) -> str:
        """Lower-case hex, 12 characters."""
        return self.sgx.fmspc.hex()

    @property
    def chain(self) -> bytes:
        """PCK certificate, its issuer and the root as PEM text with the NUL that real machines add."""
        return pem(self.pck.der, self.ca.der, self.root.der).encode() + b"\0"

    def boot(self, made: Boot) -> None:
        """Boot it: its registers are what is measured, its logs tell of it."""
        self.fields.update(made.registers)
        self.event_logs = made.logs()

    def certify(self, sgx: SgxExtension) -> None:
        """Put another SGX extension into the PCK certificate."""
        self.sgx = sgx
        self.pck.put(sgx.extension())

    def quote(
        self,
        *,
        version: int = 4,
        body_type: int | None = None,
        **changes: Any,  # noqa: ANN401 - a field's bytes or number, or a part of Framing
    ) -> bytes:
        """A quote of this machine.

        Args:
            version: 3, 4 or 5; chooses the layout. `version_field` falsifies what is written.
            body_type: 1 SGX report, 2 TD report 1.0, 3 TD report 1.5, 4 TD report 1.5ex. Default 2; 1 for version 3.
            changes: fields of header and body by name, of the QE report with the prefix qe_, and those of `Framing`.

        Raises:
            TypeError: a name that this quote does not have.
            ValueError: bytes of another length than their field.
        """
        kind = body_type if body_type is not None else (1 if version == 3 else 2)
        framing = {name: changes.pop(name) for name in FRAMING_FIELDS & changes.keys()}
        refuse_unknown(changes, kind)
        refuse_unknown(self.fields, *BODIES)
        values = {"tee_type": SGX if kind == 1 else TDX, **self.fields, **changes}
        signers = Signers(self.attestation_key, self.pck.key, self.qe_auth_data, self.chain)
        return write(signers, version, kind, values, Framing(**framing))
