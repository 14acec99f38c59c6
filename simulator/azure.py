# SPDX-License-Identifier: Apache-2.0
"""A confidential VM of Azure: a paravisor owns the report, which vouches for the virtual TPM that the guest quotes by.

The HCL report is what the paravisor leaves in NV index 0x01400001: a header, the CPU's report, a second header and the
runtime data, JSON whose SHA-256 is the first half of report_data. Integers are little-endian. Nothing is parsed here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from simulator.layouts import encode
from simulator.vtpm import FakeTpm

if TYPE_CHECKING:
    from simulator.amd_keys import RsaKey
    from simulator.layouts import Layout
    from simulator.snp import SnpMachine

Json: TypeAlias = dict[str, Any]

NV_BYTES = 2600  # of the NV index; zeros fill it
HEADER: Layout = (
    ("hcl_signature", 4),
    ("hcl_version", 4),
    ("report_size", 4),
    ("request_type", 4),
    ("status", 4),
    ("reserved", 12),
)
DATA_HEADER: Layout = (
    ("data_size", 4),
    ("data_version", 4),
    ("report_type", 4),
    ("hash_type", 4),
    ("variable_size", 4),
)
HCL_FIELDS = frozenset(name for name, _ in (*HEADER, *DATA_HEADER))
THUMBPRINT = base64.urlsafe_b64encode(hashlib.sha256(b"simulated root").digest()).rstrip(b"=")


@dataclass(slots=True)
class AzureCvm:
    """One VM.

    Attributes:
        machine: the hardware below. tpm: the guest's virtual TPM.
        user_data: 64 bytes that the guest wrote to NV index 0x01400002 before.
        configuration: members of vm-configuration, in the paravisor's order; may be altered.
    """

    machine: SnpMachine
    tpm: FakeTpm = field(default_factory=FakeTpm.create)
    user_data: bytes = bytes(64)
    configuration: Json = field(
        default_factory=lambda: {
            "console-enabled": True,
            "root-cert-thumbprint": THUMBPRINT.decode("ascii"),
            "secure-boot": True,
            "tpm-enabled": True,
            "tpm-persisted": True,
            "vmUniqueId": "390CBCF5-6C67-4D9B-98EF-C3F1699CC8FC",
        }
    )

    def runtime_data(self) -> Json:
        """What the paravisor says of this VM."""
        return {
            "keys": [
                jwk("HCLAkPub", "sign", self.tpm.ak),
                jwk("HCLEkPub", "encrypt", self.tpm.ek),
            ],
            "vm-configuration": dict(self.configuration),
            "user-data": self.user_data.hex().upper(),
        }

    def hcl_report(
        self,
        runtime_data: Json | bytes | None = None,
        **changes: Any,  # noqa: ANN401 - a field of the report or of the two headers
    ) -> bytes:
        """The HCL report with a report that vouches for `runtime_data` (this VM's where None), 2600 bytes.

        `changes`: what `SnpMachine.report` takes, report_data among it, and the fields of `HCL_FIELDS`.
        """
        data = self.runtime_data() if runtime_data is None else runtime_data
        headers = {name: changes.pop(name) for name in HCL_FIELDS & changes.keys()}
        report_data = changes.pop("report_data", report_data_of(data))
        report = self.machine.report(report_data, **changes)
        return write(report, data, **headers)

    def evidence(self, extra_data: bytes, **changes: Any) -> list[tuple[str, bytes]]:  # noqa: ANN401 - as above
        """The pieces of an attestation over `extra_data` (32 bytes): kind and bytes, the CPU's first."""
        quote = self.tpm.quote(extra_data)
        return [
            ("hcl-report", self.hcl_report(**changes)),
            ("tpm-attest", quote.attest),
            ("tpm-signature", quote.signature),
            ("tpm-pcrs", quote.pcrs),
        ]


def jwk(kid: str, operation: str, key: RsaKey) -> Json:
    """A public RSA key as the runtime data has it."""
    modulus = base64.urlsafe_b64encode(key.modulus).rstrip(b"=").decode("ascii")
    return {"kid": kid, "key_ops": [operation], "kty": "RSA", "e": "AQAB", "n": modulus}


def json_text(data: Json | bytes) -> bytes:
    """Runtime data as the paravisor writes it, without white space; bytes are taken as they are."""
    return data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()


def report_data_of(runtime_data: Json | bytes) -> bytes:
    """The report_data by which a report vouches for runtime data: SHA-256 of the text, then 32 zero bytes."""
    return hashlib.sha256(json_text(runtime_data)).digest() + bytes(32)


def write(hardware_report: bytes, runtime_data: Json | bytes, **changes: Any) -> bytes:  # noqa: ANN401 - a field of a header
    """The HCL report around a report, filled with zeros to 2600 bytes. `changes`: fields of the two headers."""
    text = json_text(runtime_data)
    values: dict[str, Any] = {
        "hcl_signature": b"HCLA",
        "hcl_version": 2,
        "report_size": 32 + len(hardware_report) + 20 + len(text),
        "request_type": 2,
        "data_size": 20 + len(text),
        "data_version": 1,
        "report_type": 2,  # SEV-SNP
        "hash_type": 1,  # SHA-256
        "variable_size": len(text),
        **changes,
    }
    whole = encode(HEADER, values) + hardware_report + encode(DATA_HEADER, values) + text
    return whole.ljust(NV_BYTES, b"\0")
