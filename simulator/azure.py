# SPDX-License-Identifier: Apache-2.0
"""Confidential VMs of Azure: a paravisor owns the report, which vouches for the virtual TPM that the guest quotes by.

The HCL report is what the paravisor leaves in NV index 0x01400001: a header, the CPU's report, a second header and the
runtime data, JSON whose SHA-256 is the first half of report_data. Integers are little-endian. Nothing is parsed here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from simulator.layouts import encode
from simulator.machine import Platform, register
from simulator.snp import SnpMachine
from simulator.vtpm import FakeTpm

if TYPE_CHECKING:
    from simulator.amd_keys import RsaKey
    from simulator.layouts import Layout

Machine = TypeVar("Machine")
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
class Paravisor(Generic[Machine]):
    """What is the same for one VM on either processor.

    Attributes:
        machine: the hardware below. tpm: the guest's virtual TPM.
        user_data: 64 bytes that the guest wrote to NV index 0x01400002 before.
        configuration: members of vm-configuration, in the paravisor's order; may be altered.
    """

    machine: Machine
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

    def quote_pieces(self, extra_data: bytes) -> list[tuple[str, bytes]]:
        """The vTPM's quote over `extra_data` as pieces of evidence: kind and bytes."""
        quote = self.tpm.quote(extra_data)
        return [
            ("tpm-attest", quote.attest),
            ("tpm-signature", quote.signature),
            ("tpm-pcrs", quote.pcrs),
        ]


class AzureCvm(Paravisor[SnpMachine]):
    """One VM on SEV-SNP."""

    __slots__ = ()

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
        return [("hcl-report", self.hcl_report(**changes)), *self.quote_pieces(extra_data)]


PARAVISOR = register("simulated paravisor")  # MRTD of every TD under it


class AzureTd(Paravisor[Platform]):
    """One VM on TDX. RTMRs are zero, and SEPT_VE_DISABLE is clear, as of the real ones."""

    __slots__ = ()

    def hcl_report(
        self,
        runtime_data: Json | bytes | None = None,
        **changes: Any,  # noqa: ANN401 - a field of the TD report or of the two headers
    ) -> bytes:
        """The HCL report with a TDREPORT that vouches for `runtime_data` (this VM's where None), 2600 bytes.

        `changes`: what `Platform.quote` takes, report_data among it, and the fields of `HCL_FIELDS`.
        """
        data = self.runtime_data() if runtime_data is None else runtime_data
        headers = {name: changes.pop(name) for name in HCL_FIELDS & changes.keys()}
        body = self.quote(changes.pop("report_data", report_data_of(data)), **changes)[48:632]
        return write(td_report(body), data, **{"report_type": 4, **headers})

    def quote(self, report_data: bytes, **changes: Any) -> bytes:  # noqa: ANN401 - as above
        """The quote that Azure's service makes of this VM's TDREPORT."""
        zero = {f"rtmr{number}": bytes(48) for number in range(4)}
        fields = {"mr_td": PARAVISOR, "td_attributes": 0, **zero, **changes}
        return self.machine.quote(report_data=report_data, **fields)

    def quoted(self, report: bytes) -> bytes:
        """The same, asked as it is: of a TDREPORT, whose report_data the quote gets."""
        return self.quote(report[TD_REPORT_DATA])

    def evidence(self, extra_data: bytes, **changes: Any) -> list[tuple[str, bytes]]:  # noqa: ANN401 - as above
        """The pieces of an attestation over `extra_data` (32 bytes); `changes` are of the quote."""
        data = changes.pop("report_data", report_data_of(self.runtime_data()))
        return [
            ("tdx-quote", self.quote(data, **changes)),
            ("hcl-report", self.hcl_report()),
            *self.quote_pieces(extra_data),
        ]


TD_REPORT_DATA = slice(128, 192)


def td_report(body: bytes) -> bytes:
    """TDREPORT_STRUCT of a TD report body 1.0 (584 bytes), and the zeros that fill up the HCL report: 1184 bytes.

    Source: Intel TDX module ABI 348551, TDREPORT_STRUCT. Its MAC, which a CPU makes for itself alone, is zero.
    """
    tcb_info = (b"\xff\x01\x03".ljust(8, b"\0") + body[:120]).ljust(239, b"\0")
    td_info = body[120:520].ljust(512, b"\0")
    digests = hashlib.sha384(tcb_info).digest() + hashlib.sha384(td_info).digest()
    head = b"\x81".ljust(32, b"\0") + digests + body[520:584] + bytes(64)
    return (head + tcb_info + bytes(17) + td_info).ljust(1184, b"\0")


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
