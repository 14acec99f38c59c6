# SPDX-License-Identifier: Apache-2.0
"""One TDX quote v4: our verifier, warm and cold, beside the package dcap-qvl and beside the raw P-256 it needs.

Warm: the platform's chain and the collateral are remembered, as in the service; a quote costs its own signature and the
QE's. Cold: nothing is remembered, and the collateral comes as JSON text, as for dcap-qvl's `from_json` and `verify`;
what the process knows since it started are the roots, and the certificates under Intel's that all platforms share.
The quote is real where the vectors are at hand, else simulated; both verifiers see the same bytes and root.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dcap_qvl
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bench.timing import rates
from simulator.intel import FakeIntel
from verifiers.anchors import Anchor, Anchors, builtin
from verifiers.tdx.endorsements import parse_bundle
from verifiers.tdx.quote import parse_quote
from verifiers.tdx.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

CASE = "tdx4-b0c06f-uptodate"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is verified."""

    origin: str
    quote: bytes
    bundle: bytes
    anchors: Anchors
    root_der: bytes
    at: datetime


def subject() -> Subject:
    """A real quote with its collateral, or a simulated one."""
    folder = Path(os.environ.get("ATTESTCA_VECTORS", "../shared/vectors")) / "tdx" / CASE
    if folder.is_dir():
        at = json.loads((folder / "expected.json").read_bytes())["at"]
        return Subject(
            "a real quote",
            (folder / "quote.bin").read_bytes(),
            (folder / "collateral.json").read_bytes(),
            builtin(),
            builtin().intel_sgx_root.certificate.der,
            datetime.fromisoformat(at),
        )
    now = datetime.now(UTC)
    intel = FakeIntel.create(now)
    platform = intel.platform()
    shared = (intel.platform_ca.der, intel.processor_ca.der, intel.tcb_signing.der)
    anchors = Anchors(intel_sgx_root=Anchor.from_der(intel.root_der).knowing(*shared))
    bundle = json.dumps(intel.bundle(platform)).encode()
    quote = platform.quote(report_data=bytes(64))
    return Subject("a simulated quote", quote, bundle, anchors, intel.root_der, now)


def caches() -> list[Callable[[], None]]:
    """What empties each cache of the verifier; what a process loads once, when it starts, stays: `builtin()`."""
    return [
        value.cache_clear
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == "verifiers" and name != "verifiers.anchors"
        for value in vars(module).values()
        if hasattr(value, "cache_clear")
    ]


def measure() -> tuple[str, dict[str, float]]:
    """(what was verified, calls per second by name)."""
    case = subject()
    endorsements = parse_bundle(case.bundle)
    theirs = dcap_qvl.QuoteCollateralV3.from_json(case.bundle.decode())
    seconds = int(case.at.timestamp())
    key = ec.generate_private_key(ec.SECP256R1())
    algorithm = ec.ECDSA(hashes.SHA256())
    signature, public = key.sign(case.quote[:632], algorithm), key.public_key()

    remembered = set(caches())

    def cold() -> None:
        for forget in remembered:
            forget()
        collateral_now = parse_bundle(case.bundle)
        verify(parse_quote(case.quote), collateral_now, case.anchors, None, case.at)

    def peer_cold() -> None:
        fresh = dcap_qvl.QuoteCollateralV3.from_json(case.bundle.decode())
        dcap_qvl.verify_with_root_ca(case.quote, fresh, case.root_der, seconds)

    return case.origin, rates(
        {
            "cold": cold,
            "dcap-qvl from_json + verify": peer_cold,
            "warm": lambda: verify(
                parse_quote(case.quote), endorsements, case.anchors, None, case.at
            ),
            "dcap-qvl verify": lambda: dcap_qvl.verify_with_root_ca(
                case.quote, theirs, case.root_der, seconds
            ),
            "P-256 verify": lambda: public.verify(signature, case.quote[:632], algorithm),
        }
    )
