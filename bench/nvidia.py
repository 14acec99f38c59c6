# SPDX-License-Identifier: Apache-2.0
"""One H100, and a machine of eight GPUs and four NVSwitches, beside the raw P-384 verifications that they need.

First seen: nothing is remembered but the manifests, which many devices share; so many P-384 verifications are needed as
are counted in such a run (report, device chain, OCSP answers and their responders). Warm: all that does not depend on
the nonce is remembered, and a report costs its own signature. The H100 is real where the vectors are at hand, else
simulated; the machine is simulated, for no manifests of a real one are public. CPU time of the machine is measured once
per round, the median is reported.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bench.timing import ROUNDS, rates
from bench.verification import caches
from simulator.intel import FakeIntel
from simulator.nvidia.vendor import FakeNvidia
from verifiers.anchors import Anchor, Anchors, NvidiaRoots, builtin
from verifiers.nvidia.endorsements import NvidiaEndorsements
from verifiers.nvidia.evidence import NvidiaEvidence
from verifiers.nvidia.rim import read_rim
from verifiers.nvidia.system import verify_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.nvidia.hardware import NvidiaDevice

NONCE = bytes(range(32))
CASE = "h100-550.90.07"
AT = "2025-08-21T12:00:00+00:00"  # when its OCSP answers were in force


@dataclass(frozen=True, slots=True)
class Subject:
    """What is verified."""

    origin: str
    devices: tuple[NvidiaEvidence, ...]
    endorsements: NvidiaEndorsements
    anchors: Anchors
    at: datetime

    def verify(self) -> object:
        """All of it."""
        return verify_set(self.devices, self.endorsements, self.anchors, None, self.at)


def h100() -> Subject:
    """A real H100 with its manifests and answers, or a simulated one."""
    folder = Path(os.environ.get("ATTESTCA_VECTORS", "../shared/vectors")) / "nvidia" / CASE
    if not folder.is_dir():
        nvidia = _vendor()
        return _simulated("a simulated H100", nvidia, nvidia.gpu())
    evidence = NvidiaEvidence(
        (folder / "report.bin").read_bytes(), (folder / "chain.pem").read_bytes()
    )
    endorsements = NvidiaEndorsements(
        tuple(path.read_bytes() for path in sorted(folder.glob("*.xml"))),
        tuple(path.read_bytes() for path in sorted(folder.glob("ocsp/gpu_certificate_*.der"))),
    )
    return Subject("a real H100", (evidence,), endorsements, builtin(), datetime.fromisoformat(AT))


def machine() -> Subject:
    """Eight GPUs and four switches, with OCSP answers about everything."""
    nvidia = _vendor()
    return _simulated("a simulated machine", nvidia, *nvidia.ppcie())


def _vendor() -> FakeNvidia:
    return FakeNvidia.create(datetime.now(UTC), seed=b"benchmark")


def _simulated(origin: str, nvidia: FakeNvidia, *devices: NvidiaDevice) -> Subject:
    intel = Anchor.from_der(FakeIntel.create(nvidia.now, seed=b"benchmark").root_der)
    roots = NvidiaRoots.from_ders(nvidia.device_root_der, nvidia.rim_root_der)
    return Subject(
        origin,
        tuple(NvidiaEvidence(one.report(NONCE), one.chain) for one in devices),
        NvidiaEndorsements(*nvidia.bundle(devices)),
        Anchors(intel, nvidia=roots),
        nvidia.now,
    )


def measure() -> tuple[str, dict[str, float], dict[str, float]]:
    """(what was verified, calls per second by name, other numbers by name)."""
    gpu, whole = h100(), machine()
    gpu.verify()
    forget = [one for one in set(caches()) if one != read_rim.cache_clear]

    def first_seen(subject: Subject) -> None:
        for each in forget:
            each()
        subject.verify()

    key = ec.generate_private_key(ec.SECP384R1())
    algorithm = ec.ECDSA(hashes.SHA384())
    signed, public = gpu.devices[0].report, key.public_key()
    signature = key.sign(signed, algorithm)
    rate = rates(
        {
            "H100 first seen, manifests known": lambda: first_seen(gpu),
            "H100 warm": gpu.verify,
            "P-384 verify of a report": lambda: public.verify(signature, signed, algorithm),
        }
    )
    return (
        f"{gpu.origin}, {whole.origin}",
        rate,
        {
            "P-384 verifications of an H100 first seen": _signatures(lambda: first_seen(gpu)),
            "P-384 verifications of 8 GPUs and 4 switches": _signatures(lambda: first_seen(whole)),
            "CPU ms of 8 GPUs and 4 switches first seen": _cpu_ms(lambda: first_seen(whole)),
            "CPU ms of 8 GPUs and 4 switches warm": _cpu_ms(whole.verify),
        },
    )


def _signatures(function: Callable[[], object]) -> int:
    """How many signatures the library verifies in one call."""
    count = 0

    def see(_: object, event: str, called: Any) -> None:  # noqa: ANN401 - the interpreter's form
        nonlocal count
        count += event == "c_call" and called.__name__ == "verify"

    sys.setprofile(see)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def _cpu_ms(function: Callable[[], object]) -> float:
    spent = []
    for _ in range(ROUNDS):
        start = time.process_time()
        function()
        spent.append(1000 * (time.process_time() - start))
    return statistics.median(spent)
