# SPDX-License-Identifier: Apache-2.0
"""Enrollments per second over HTTPS: `attestca serve` with SQLite as its own process, simulated machines in this one.

A request is a nonce, a quote bound to it, and the post; the quotes are made here and are part of the load that both
processes share the processors for.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attestca_client.protocol import binding
from simulator.stage import Stage

if TYPE_CHECKING:
    from simulator.machine import Platform

SECONDS = 10.0
WARM_UP = 2.0
# All machines share one address here; in the world each has its own.
UNLIMITED = {
    "ATTESTCA_LIMITS__REQUESTS_PER_MINUTE": "1000000",
    "ATTESTCA_LIMITS__BURST": "100000",
    "ATTESTCA_LOG__LEVEL": "warning",
}


@dataclass(frozen=True, slots=True)
class Attester:
    """One simulated machine that enrolls over and over."""

    session: aiohttp.ClientSession
    url: str
    machine: Platform

    async def enroll(self) -> None:
        """One enrollment with a new key. Raises RuntimeError if it is refused."""
        async with self.session.get(f"{self.url}/v1/nonce") as answer:
            facts = await answer.json()
        nonce, key = base64.b64decode(facts["nonce"]), ec.generate_private_key(ec.SECP256R1())
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        report_data = binding(
            ca_id=bytes.fromhex(facts["ca_id"]), profile="default", nonce=nonce, spki_der=spki
        )
        body = {
            "nonce": facts["nonce"],
            "profile": "default",
            "csr": _text(csr.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)),
            "evidence": [
                {"kind": "tdx-quote", "data": _text(self.machine.quote(report_data=report_data))}
            ],
        }
        async with self.session.post(f"{self.url}/v1/enrollments", json=body) as answer:
            if answer.status != 201:
                raise RuntimeError(f"{answer.status}: {await answer.text()}")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def measure(concurrency: int = 16) -> dict[str, float]:
    """Enrollments per second by name."""
    with (
        tempfile.TemporaryDirectory(prefix="attestca-bench-") as folder,
        Stage(Path(folder), overrides=dict(UNLIMITED)) as stage,
    ):
        rate = asyncio.run(_load(stage, concurrency))
    return {f"enrollments over HTTPS, SQLite, {concurrency} at a time": rate}


async def _load(stage: Stage, concurrency: int) -> float:
    tls = ssl.create_default_context(cafile=stage.root)
    connector = aiohttp.TCPConnector(ssl=tls, limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:
        attester = Attester(session, stage.url, stage.world.machine)
        done = 0
        start = time.perf_counter()
        counting = start + WARM_UP
        end = counting + SECONDS

        async def one() -> None:
            nonlocal done
            while time.perf_counter() < end:
                await attester.enroll()
                done += time.perf_counter() > counting

        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(one())
        return done / (time.perf_counter() - counting)
