# SPDX-License-Identifier: Apache-2.0
"""A stage for a whole test session, on either database, at log level DEBUG; what a client and an operator ask of it.

Secrets are known here because the test has the passphrase. When the stage ends, whatever tests did on it, none of them
may stand in what its processes wrote (R-41).
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography import x509

from attestca_client.enroll import Enrollment, enroll
from simulator.cvm import (
    GpuEvidence,
    SimulatedAzure,
    SimulatedQuotes,
    SimulatedReports,
    gpus_of,
)
from simulator.stage import Stage
from tests.canary import leaks, secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from simulator.snp import SnpMachine

DATABASE_PASSWORD = "marked-database-password"  # noqa: S105 - the server trusts everybody on loopback
OVERRIDES = {
    "ATTESTCA_LOG__LEVEL": "debug",
    "ATTESTCA_LIMITS__REQUESTS_PER_MINUTE": "60000",
    "ATTESTCA_LIMITS__BURST": "10000",
}


@dataclass(frozen=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


@contextmanager
def open_stage(folder: Path, postgres_url: str = "") -> Iterator[Stage]:
    """Running processes; SQLite where no URL is given. Nothing secret may be in their output."""
    overrides = dict(OVERRIDES)
    if postgres_url:
        url = postgres_url.replace("postgres@", f"postgres:{DATABASE_PASSWORD}@")
        overrides["ATTESTCA_DATABASE__URL"] = url
    with Stage(folder, azure=True, overrides=overrides) as stage:
        yield stage
    assert leaks(written_by(stage), secrets_of(stage)) == []


def written_by(stage: Stage) -> dict[str, bytes]:
    """What the processes wrote to standard error, by file."""
    return {path.name: path.read_bytes() for path in stage.folder.glob("*.log")}


def ask(stage: Stage, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """One request to the public service, over TLS that trusts the authority's root alone."""
    where = urlsplit(stage.url)
    context = ssl.create_default_context(cafile=str(stage.root))
    connection = http.client.HTTPSConnection(where.netloc, context=context, timeout=60)
    return _exchange(connection, method, path, body, headers)


def operate(stage: Stage, method: str, path: str, token: str = "") -> Answer:
    """One request to the operators' API; with the stage's own token unless another is given."""
    connection = http.client.HTTPConnection(urlsplit(stage.admin_url).netloc, timeout=60)
    token = token or stage._environment["ATTESTCA_TOKEN"]
    return _exchange(connection, method, path, None, {"Authorization": f"Bearer {token}"})


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
) -> Answer:
    try:
        said = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, body, {**said, **headers})
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers.items()), response.read())
    finally:
        connection.close()


def enroll_machine(stage: Stage, out: Path, **fields: bytes) -> Enrollment:
    """The simulated machine enrolls with the client's own code, in this process."""
    quotes = SimulatedQuotes(stage.world.machine, fields)
    return enroll(stage.url, stage.root.read_bytes(), "default", quotes, out)


def enroll_gpu_machine(
    stage: Stage,
    out: Path,
    whose: GpuEvidence = GpuEvidence.HONEST,
    *,
    count: int = 2,
    profile: str = "gpu",
) -> Enrollment:
    """The same with so many GPUs beside its CPU."""
    world = stage.world
    quotes, devices = SimulatedQuotes(world.machine), gpus_of(world, count, whose)
    root = stage.root.read_bytes()
    return enroll(stage.url, root, profile, quotes, out, device_source=devices)


def enroll_snp_machine(
    stage: Stage,
    out: Path,
    *,
    machine: SnpMachine | None = None,
    certificates: bool = False,
    fields: Mapping[str, bytes] | None = None,
) -> Enrollment:
    """The same for the simulated SEV-SNP machine, or another."""
    reports = SimulatedReports(machine or stage.world.snp, fields or {}, certificates=certificates)
    return enroll(stage.url, stage.root.read_bytes(), "default", reports, out)


def enroll_azure_machine(stage: Stage, out: Path, **fields: bytes) -> Enrollment:
    """The same for that machine under a paravisor."""
    source = SimulatedAzure(stage.world.azure(), fields)
    return enroll(stage.url, stage.root.read_bytes(), "default", source, out)


def database_url(stage: Stage) -> str:
    """Where the service keeps its records."""
    sqlite = f"sqlite:///{stage.config.parent / 'attestca.db'}"
    return stage.overrides.get("ATTESTCA_DATABASE__URL", sqlite)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A program of others, to its end."""
    words = [str(part) for part in command]
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=120)  # noqa: S603 - named by the test


@dataclass(frozen=True)
class Enrolled:
    """Files of an enrolled machine beside what the service publishes, fetched from it."""

    stage: Stage
    folder: Path

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / "cert.pem").read_bytes())

    @property
    def root(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.stage.root.read_bytes())

    def served(self, certificate: x509.Certificate) -> bytes:
        """The CRL at the address that a certificate names, DER."""
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        (name,) = points[0].full_name or []
        answer = ask(self.stage, "GET", urlsplit(str(name.value)).path)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/pkix-crl"
        return answer.body


def enrolled_once(stage: Stage) -> Enrolled:
    """Of the first call; the others find it."""
    folder = stage.folder / "machine"
    if not folder.exists():
        enroll_machine(stage, folder)
    return Enrolled(stage, folder)
