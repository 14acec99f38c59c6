# SPDX-License-Identifier: Apache-2.0
"""Revoking among 100,000 live certificates: one chip, on which ten of them rest, and then all of them at once.

A certificate has twelve handles and ends some time in the next seven days, so the lists are of eight days. Each
measurement is a process of its own, which has opened the database (SQLite) and published its lists before; what is
reported of memory is the most that it ever had, all its libraries included. Wall time of the machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from attestca_client.protocol import DEFAULT_OID_ARC, HandleKind, certificate_handle
from ca import jobs
from ca.issuance import authority
from ca.issuance.reasons import RevocationReason
from ca.issuance.request import Assurance
from ca.ports import OperatorAction, Revocation
from ca.signers.file import FileSigner
from ca.store import schema
from ca.store.sql import SqlStore
from ca.store.tables import SERIAL_BYTES, micros

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.issuance.request import Issuer

CERTIFICATES: Final = 100_000
OF_A_CHIP: Final = 10
LIVE: Final = timedelta(days=7)
FIRST_SERIAL: Final = 1 << 126
SHARED: Final = ("measurement",) * 5 + ("product", "tcb", "policy", "issuer")
_NAME: Final = authority.Authority(
    "Bench", Assurance.SIMULATED, "https://ca.example", DEFAULT_OID_ARC
)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a database and the issuing CA."""

    folder: Path

    @property
    def url(self) -> str:
        """The database's."""
        return f"sqlite:///{self.folder}/bench.db"

    def make(self, now: datetime) -> None:
        """Root, issuing CA, database with its certificates."""
        root_key, key = (
            ec.generate_private_key(ec.SECP384R1()),
            ec.generate_private_key(ec.SECP256R1()),
        )
        root = authority.make_root(root_key, _NAME, now=now, entropy=bytes(range(16)))
        issuing = authority.sign_issuer(
            authority.issuer_request(key),
            root,
            root_key,
            _NAME,
            now=now,
            entropy=bytes(range(1, 17)),
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / "key").write_bytes(pem)
        for name, certificate in (("root", root), ("issuing", issuing)):
            (self.folder / name).write_bytes(certificate.public_bytes(Encoding.PEM))
        asyncio.run(schema.upgrade(self.url))
        _fill(self.folder / "bench.db", self.issuer().key_id, now)

    def issuer(self) -> Issuer:
        """The issuing CA as the service has it."""
        issuing, root = self._certificate("issuing"), self._certificate("root")
        return authority.load_issuer(
            issuing, root, _NAME, build="bench", reserved_names=frozenset()
        )

    def signer(self) -> FileSigner:
        """Its key."""
        key = load_pem_private_key((self.folder / "key").read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the key is the one that was made above")
        return FileSigner(key, self._certificate("issuing"), self._certificate("root"))

    def _certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / name).read_bytes())


def measure() -> dict[str, float]:
    """Milliseconds and MB by name."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="attestca-bench-") as folder:
        Place(Path(folder)).make(datetime.now(UTC))
        for what, label in (("chip", "1 chip"), ("all", "all")):
            words = [sys.executable, "-m", "bench.revocation", folder, what]
            done = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603 - this module
            for name, value in json.loads(done.stdout).items():
                found[f"{label} of {CERTIFICATES:,} certificates revoked: {name}"] = value
    return found


async def _revoke(place: Place, what: str) -> dict[str, float]:
    kind, handle = _CHIP if what == "chip" else _ALL
    now = datetime.now(UTC)
    issuer, signer = place.issuer(), place.signer()
    store = await SqlStore.open(place.url)
    try:
        await jobs.publish_crls(store, issuer, signer, now)
        before = time.perf_counter()
        preview = await store.dependents(handle, now, 20)
        previewed = time.perf_counter()
        await store.revoke(
            _revocation(kind, handle, now), OperatorAction(now, "bench", "revoke", "", "{}")
        )
        revoked = time.perf_counter()
        lists = await jobs.publish_crls(store, issuer, signer, datetime.now(UTC))
        published = time.perf_counter()
        await jobs.publish_crls(store, issuer, signer, datetime.now(UTC))
        looked = time.perf_counter()
    finally:
        await store.close()
    return {
        "certificates taken": preview.count,
        "preview, ms": 1000 * (previewed - before),
        "revocation, ms": 1000 * (revoked - previewed),
        "lists signed anew": lists,
        "signing and publishing them, ms": 1000 * (published - revoked),
        "looking whether anything is due, ms": 1000 * (looked - published),
        "memory of the process at most, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / 1024,
    }


def _revocation(kind: HandleKind, handle: bytes, now: datetime) -> Revocation:
    reason = RevocationReason.KEY_COMPROMISE
    return Revocation(handle, kind, "bench", now, reason, "bench", "")


def _handle(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _fill(file: Path, issuer_key_id: bytes, now: datetime) -> None:
    """Issued certificates, written as the store writes them but without a transaction for each."""
    start, step = micros(now + timedelta(hours=1)), LIVE // CERTIFICATES
    ends = [start + i * (step // timedelta(microseconds=1)) for i in range(CERTIFICATES)]
    digest = bytes(32)
    with sqlite3.connect(file) as connection:
        connection.execute("INSERT INTO bundles (sha256) VALUES (?)", (digest,))
        connection.executemany(
            "INSERT INTO decisions (id, refused, decided_at, nonce, nonce_expires, request_sha256, profile, spki_der,"
            " tee, bundle_sha256, anchors_sha256, tcb_status, result_json)"
            " VALUES (?, 0, 0, ?, 0, ?, 'default', ?, 'tdx', ?, ?, 'UpToDate', '{}')",
            ((1 + i, digest, digest, digest, digest, digest) for i in range(CERTIFICATES)),
        )
        connection.executemany(
            "INSERT INTO certificates (serial, decision_id, issuer_key_id, handle, tbs_sha256, not_before, not_after,"
            " state, der, ear) VALUES (?, ?, ?, ?, ?, 0, ?, 'issued', ?, 'ear')",
            (
                (_serial(i), 1 + i, issuer_key_id, _own(issuer_key_id, i), digest, end, digest)
                for i, end in enumerate(ends)
            ),
        )
        connection.executemany(
            "INSERT INTO certificate_handles (serial, position, kind, handle, not_after) VALUES (?, ?, ?, ?, ?)",
            (
                (_serial(i), position, kind, handle, end)
                for i, end in enumerate(ends)
                for position, (kind, handle) in enumerate(_handles(issuer_key_id, i))
            ),
        )


def _handles(issuer_key_id: bytes, i: int) -> Iterator[tuple[str, bytes]]:
    yield "certificate", _own(issuer_key_id, i)
    yield "key", _handle(f"key {i}")
    yield "chip", _handle(f"chip {i % (CERTIFICATES // OF_A_CHIP)}")
    for number, kind in enumerate(SHARED):
        yield kind, _handle(kind if kind == "product" else f"{kind} {number}")


def _own(issuer_key_id: bytes, i: int) -> bytes:
    return certificate_handle(issuer_key_id, FIRST_SERIAL + i)


def _serial(i: int) -> bytes:
    return (FIRST_SERIAL + i).to_bytes(SERIAL_BYTES, "big")


_CHIP: Final = (HandleKind.CHIP, _handle("chip 5"))
_ALL: Final = (HandleKind.PRODUCT, _handle("product"))

if __name__ == "__main__":
    print(json.dumps(asyncio.run(_revoke(Place(Path(sys.argv[1])), sys.argv[2]))))
