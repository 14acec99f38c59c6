# SPDX-License-Identifier: Apache-2.0
"""One SEV-SNP report v3: our verifier, warm and cold, beside the raw P-384 verification that it cannot do without.

Warm: the VCEK's chain is remembered, as in the service; a report costs its own signature. Cold: nothing is remembered,
and the collateral comes as JSON text; the VCEK's signature by the ASK (RSASSA-PSS, 4096 bits) is on top. The report is
real where the vectors are at hand, else simulated. A real one has no revocation list in force, so none is judged.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bench.timing import rates
from bench.verification import caches
from simulator.amd import FakeAmd
from simulator.intel import FakeIntel
from verifiers import registry
from verifiers.amd import AmdHierarchy
from verifiers.anchors import Anchor, Anchors, builtin
from verifiers.evidence import Evidence, EvidenceKind, Product

if TYPE_CHECKING:
    from verifiers.claims import Claims

CASE = "milan-v3-google"
SIGNED = 0x2A0  # bytes of a report that are signed


@dataclass(frozen=True, slots=True)
class Subject:
    """What is verified."""

    origin: str
    report: bytes
    bundle: bytes
    anchors: Anchors
    at: datetime


def subject() -> Subject:
    """A real report with its VCEK, or a simulated one."""
    folder = Path(os.environ.get("ATTESTCA_VECTORS", "../shared/vectors")) / "snp" / CASE
    if folder.is_dir():
        at = json.loads((folder / "expected.json").read_bytes())["at"]
        bundle = {"vek": (folder / "vcek.der").read_bytes().hex()}
        report = (folder / "report.bin").read_bytes()
        when = datetime.fromisoformat(at)
        return Subject("a real report", report, json.dumps(bundle).encode(), builtin(), when)
    now = datetime.now(UTC)
    machine = FakeAmd.create(now).machine("Milan")
    line = machine.line
    pinned = AmdHierarchy.from_certificates(
        Product.MILAN, line.ark.der, line.ask.der, line.asvk.der
    )
    anchors = Anchors(Anchor.from_der(FakeIntel.create(now).root_der), amd=(pinned,))
    bundle = {"vek": machine.vek().der.hex()}
    report = machine.report(version=3)
    return Subject("a simulated report", report, json.dumps(bundle).encode(), anchors, now)


def measure() -> tuple[str, dict[str, float]]:
    """(what was verified, calls per second by name)."""
    case = subject()
    remembered = set(caches())
    pieces = (Evidence(EvidenceKind.SNP_REPORT, case.report),)
    collateral = registry.parse_bundle(registry.parse(pieces), case.bundle)
    key = ec.generate_private_key(ec.SECP384R1())
    algorithm = ec.ECDSA(hashes.SHA384())
    signed, public = case.report[:SIGNED], key.public_key()
    signature = key.sign(signed, algorithm)

    def warm() -> Claims:
        return registry.verify(registry.parse(pieces), collateral, case.anchors, None, case.at)

    def cold() -> Claims:
        for forget in remembered:
            forget()
        parsed = registry.parse(pieces)
        fresh = registry.parse_bundle(parsed, case.bundle)
        return registry.verify(parsed, fresh, case.anchors, None, case.at)

    return case.origin, rates(
        {
            "SNP cold": cold,
            "SNP warm": warm,
            "P-384 verify": lambda: public.verify(signature, signed, algorithm),
        }
    )
