# SPDX-License-Identifier: Apache-2.0
"""A simulated SEV-SNP machine: a chip, its firmware and TCB, and the reports of one guest on it.

Made by `FakeAmd.machine`. A report is signed by the VCEK (or VLEK) of its own REPORTED_TCB, whatever that is, as the
firmware derives it. `fields` holds values of this machine's reports by name, `report` takes others for one report;
names are those of `layouts.SNP_REPORT`, where reserved ranges are fields too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulator import snp_report
from simulator.pki import pem
from simulator.products import Tcb
from simulator.snp_report import FIELDS, SEALING_FIELDS, Sealing

if TYPE_CHECKING:
    from simulator.amd import FakeAmd, Line
    from simulator.amd_certificates import Vek
    from simulator.layouts import Value
    from simulator.products import Product, Version

CSP = "CN=cc-us-east-2.amazonaws.com"
POLICY = 0x30000  # SMT allowed, and the bit that is always one
DEBUG = 1 << 19
ECC, ALIAS_CHECK = 1 << 2, 1 << 5
SMT = 1
SIGNING_KEYS = {"vcek": 0, "vlek": 1, "none": 7}
TCB_FIELDS = ("reported_tcb", "committed_tcb", "current_tcb", "launch_tcb")
MITIGATIONS = 0x0B


def register(label: str, size: int = 48) -> bytes:
    """A value that stands for `label`: the first `size` bytes of its SHA-512."""
    return hashlib.sha512(label.encode()).digest()[:size]


MEASUREMENT = register("simulated SNP guest")


def default_fields() -> dict[str, Value]:
    """What does not depend on the machine or the report's version; fields not named anywhere are zero."""
    return {
        "policy": POLICY,
        "signature_algo": 1,
        "measurement": MEASUREMENT,
        "report_id": register("simulated guest instance", 32),
        "report_id_ma": b"\xff" * 32,
    }


@dataclass(slots=True)
class SnpMachine:
    """One machine.

    Attributes:
        cpu: CPUID family, model and stepping. chip_id: 64 bytes, as in the report.
        tcb: all four TCB versions of its reports; a single one is set as a field of the report.
        firmware: current and committed version (major, minor, build).
        csp_id: of its VLEK. fields: values of its reports, over everything else.
    """

    amd: FakeAmd
    product: Product
    chip_id: bytes
    cpu: Version
    tcb: Tcb
    firmware: Version
    csp_id: str = CSP
    fields: dict[str, Value] = field(default_factory=dict)

    @property
    def hwid(self) -> bytes:
        """What of the chip's id a VCEK carries: 64 bytes, 8 on Turin."""
        return self.chip_id[: self.product.hwid_size]

    @property
    def line(self) -> Line:
        """The authorities above it."""
        return self.amd.line(self.product.name)

    def vek(self, kind: str = "vcek", tcb: Tcb | None = None) -> Vek:
        """Its "vcek" or "vlek" at a TCB (its own where None)."""
        tcb = self.tcb if tcb is None else tcb
        if kind == "vlek":
            return self.amd.vlek(self.product.name, self.csp_id, tcb)
        return self.amd.vcek(self.product.name, self.hwid, tcb)

    def report(
        self,
        report_data: bytes = bytes(64),
        *,
        version: int = 5,
        signing_key: str = "vcek",
        **changes: Any,  # noqa: ANN401 - a field's bytes, number or Tcb, or a part of Sealing
    ) -> bytes:
        """A report of this machine, 1184 bytes.

        Args:
            report_data: 64 bytes.
            version: 2 to 5; chooses which fields are filled, and is what is written.
            signing_key: "vcek", "vlek", or "none": unsigned, R and S zero. Chooses the key, the chip id (zero for a
                VLEK) and the flags.
            changes: fields by name, TCB versions as `Tcb` too; `author_key_en`, `mask_chip_key`; parts of `Sealing`.

        Raises:
            TypeError: a name that a report does not have.
            ValueError: bytes of another length than their field.
        """
        sealing = {name: changes.pop(name) for name in SEALING_FIELDS & changes.keys()}
        flags = _flags(signing_key, changes)
        values = {
            **self._values(version, signing_key),
            "flags": flags,
            **self.fields,
            "report_data": report_data,
            **changes,
        }
        if unknown := sorted(values.keys() - FIELDS):
            raise TypeError(f"a report has no field {', '.join(unknown)}")
        reported = self._tcb(values["reported_tcb"])
        values |= {name: self._level(values[name]) for name in TCB_FIELDS}
        if signing_key == "none":
            sealing.setdefault("signature", bytes(144))
        key = self.vek("vlek" if signing_key == "vlek" else "vcek", reported).key
        return snp_report.write(key, values, Sealing(**sealing))

    def certificate_table(self, kind: str = "vcek", tcb: Tcb | None = None) -> bytes:
        """The table that the host gives beside a report: VCEK or VLEK, its signer, the root; padded to a page."""
        guid = snp_report.VLEK if kind == "vlek" else snp_report.VCEK
        issuer = self.line.issuer(kind)
        items = [
            (guid, self.vek(kind, tcb).der),
            (snp_report.ASK, issuer.der),
            (snp_report.ARK, self.line.ark.der),
        ]
        table = snp_report.certificate_table(items)
        return table.ljust(-(-len(table) // 4096) * 4096, b"\0")

    def certificates_pem(self, kind: str = "vcek", tcb: Tcb | None = None) -> bytes:
        """VCEK or VLEK, its signer and the root as PEM text."""
        issuer = self.line.issuer(kind)
        return pem(self.vek(kind, tcb).der, issuer.der, self.line.ark.der).encode("ascii")

    def bundle(self, kind: str = "vcek", tcb: Tcb | None = None) -> dict[str, str]:
        """The collateral of one report: the certificate and the revocation list, DER in hex."""
        return {"vek": self.vek(kind, tcb).der.hex(), "crl": self.line.crl(kind).der.hex()}

    def _values(self, version: int, signing_key: str) -> dict[str, Any]:
        """Fields as firmware of this version fills them."""
        major, minor, build = self.firmware
        values: dict[str, Any] = default_fields() | dict.fromkeys(TCB_FIELDS, self.tcb)
        values |= {
            "version": version,
            "platform_info": SMT | ECC | (ALIAS_CHECK if version >= 3 else 0),
            "chip_id": bytes(64) if signing_key == "vlek" else self.chip_id,
        }
        for which in ("current", "committed"):
            values |= {
                f"{which}_build": build,
                f"{which}_minor": minor,
                f"{which}_major": major,
            }
        if version >= 3:
            names = ("cpuid_family", "cpuid_model", "cpuid_stepping")
            values |= dict(zip(names, self.cpu, strict=True))
        if version >= 5:
            values |= {"launch_mit_vector": MITIGATIONS, "current_mit_vector": MITIGATIONS}
        return values

    def _level(self, value: Value | Tcb) -> Value:
        return self.product.encode(value) if isinstance(value, Tcb) else value

    def _tcb(self, value: Value | Tcb) -> Tcb:
        """What a REPORTED_TCB means here."""
        if isinstance(value, Tcb):
            return value
        raw = value.to_bytes(8, "little") if isinstance(value, int) else value
        return self.product.decode(raw)


def _flags(signing_key: str, changes: dict[str, Any]) -> int:
    """The word with AUTHOR_KEY_EN, MASK_CHIP_KEY and SIGNING_KEY; takes the first two out of `changes`."""
    author = bool(changes.pop("author_key_en", False))
    mask = bool(changes.pop("mask_chip_key", False))
    return author | mask << 1 | SIGNING_KEYS[signing_key] << 2
