# SPDX-License-Identifier: Apache-2.0
"""`attestca policy simulate` over ten thousand decisions: `python -m bench.simulation [--records N] [--keep FOLDER]`.

The decisions are real ones: simulated machines, TDX and SEV-SNP in turn, enroll with `attestca serve` over HTTPS, each
with a key, a nonce and evidence of its own; one in ten boots another image and is refused. Then the command runs once
as a process of its own, as an operator would start it; time and memory are that process's and its workers'.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attestca_client.protocol import binding
from bench.enrollment import UNLIMITED
from simulator.stage import Stage
from simulator.tdx_policies import tdx_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDS = 10_000
CONCURRENCY = 16
REFUSED = 10  # one in so many
DRAFT = "draft.yaml"


def main() -> None:
    """Fill a store, run the command, print what it took."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--keep", type=Path, help="new folder, kept for more runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="attestca-bench-") as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        with Stage(folder, overrides=dict(UNLIMITED)) as stage:
            asyncio.run(_fill(stage, given.records))
            (folder / DRAFT).write_text(_draft(), encoding="ascii")
            config = stage.config
        _measure(config, folder / DRAFT)


def _draft() -> str:
    """The policy in force, but for a minimum that no simulated machine meets."""
    asked = "  measurements: [release]\n  tcb: {minimum: {tcb_evaluation_data_number: 60000}}\n"
    text = tdx_policy().replace("  measurements: [release]\n", asked)
    return text.replace("version: 1", "version: 2")


def _measure(config: Path, draft: Path) -> None:
    command = ["-m", "ca", "policy", "simulate", str(draft), "--config", str(config)]
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=False)  # noqa: S603 - our own interpreter and module
    elapsed = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{elapsed:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of processor time,"
        f" {used.ru_maxrss / 1024:.0f} MiB in the largest process, {os.cpu_count()} CPUs"
    )


async def _fill(stage: Stage, records: int) -> None:
    tls = ssl.create_default_context(cafile=stage.root)
    connector = aiohttp.TCPConnector(ssl=tls, limit=CONCURRENCY)
    numbers = iter(range(records))
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(_enroll_all(stage, session, numbers))


async def _enroll_all(stage: Stage, session: aiohttp.ClientSession, numbers: Iterator[int]) -> None:
    for number in numbers:
        good = number % REFUSED != 0
        status = await _enroll(stage, session, snp=number % 2 == 1 or not good, good=good)
        if status != (201 if good else 403):
            raise RuntimeError(f"answered {status}")


async def _enroll(stage: Stage, session: aiohttp.ClientSession, *, snp: bool, good: bool) -> int:
    """One enrollment with a new key; the status of the answer."""
    async with session.get(f"{stage.url}/v1/nonce") as answer:
        facts = await answer.json()
    nonce, key = base64.b64decode(facts["nonce"]), ec.generate_private_key(ec.SECP256R1())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    report_data = binding(
        ca_id=bytes.fromhex(facts["ca_id"]), profile="default", nonce=nonce, spki_der=spki
    )
    if snp:
        image = {} if good else {"measurement": bytes(48)}
        evidence = ("snp-report", stage.world.snp.report(report_data, **image))
    else:
        evidence = ("tdx-quote", stage.world.machine.quote(report_data=report_data))
    body = {
        "nonce": facts["nonce"],
        "profile": "default",
        "csr": _text(csr.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)),
        "evidence": [{"kind": evidence[0], "data": _text(evidence[1])}],
    }
    async with session.post(f"{stage.url}/v1/enrollments", json=body) as answer:
        return answer.status


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


if __name__ == "__main__":
    main()
