# SPDX-License-Identifier: Apache-2.0
"""Revoking among 100,000 live certificates: one chip, on which ten of them rest, and then all of them at once.

A certificate has twelve handles and ends some time in the next seven days, so the lists are of eight days. The service
is `attestca serve` with SQLite, a process of its own, which is asked over HTTP as an operator asks it. Preview and
revocation are the time until the answer is there; lists are rebuilt when all that is revoked is on those in the
database, from which they are served, counted from the revocation's answer. What is reported of memory is the most that
the process ever had until then, all its libraries included. Wall time of the machine. Linux alone.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import ssl
import tempfile
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509

from attestca_client.protocol import HandleKind, certificate_handle
from ca.store.tables import SERIAL_BYTES, micros
from simulator.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

CERTIFICATES: Final = 100_000
OF_A_CHIP: Final = 10
LIVE: Final = timedelta(days=7)
FIRST_SERIAL: Final = 1 << 126
SHARED: Final = ("measurement",) * 5 + ("product", "tcb", "policy", "issuer")
PATIENCE: Final = 120.0  # seconds
SCOPES: Final = ("--scope", "revocations:read", "--scope", "revocations:write", "--expires", "1h")


def measure() -> dict[str, float]:
    """Milliseconds and MB by name."""
    found: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(prefix="attestca-bench-") as folder,
        Stage(Path(folder), prepare=_fill) as stage,
    ):
        desk = _Desk.of(stage)
        found["memory of the service before, MB"] = _peak(stage)
        for (kind, handle), label, count in (
            (_CHIP, "1 chip", OF_A_CHIP),
            (_ALL, "all", CERTIFICATES),
        ):
            for name, value in _revoke(stage, desk, kind, handle, count).items():
                found[f"{label} of {CERTIFICATES:,} certificates revoked: {name}"] = value
        desk.check(stage, CERTIFICATES)
    return found


def _revoke(
    stage: Stage, desk: _Desk, kind: HandleKind, handle: bytes, count: int
) -> dict[str, float]:
    subject = {"kind": kind, "handle": handle.hex()}
    before = time.perf_counter()
    preview = desk.post("/preview", subject)
    previewed = time.perf_counter()
    desk.post("", subject | {"reason": "keyCompromise", "note": "bench"})
    revoked = time.perf_counter()
    desk.wait_for(count)
    listed = time.perf_counter()
    if preview["count"] != count:
        raise RuntimeError(f"{preview['count']} certificates depend on it, and not {count}")
    return {
        "preview, ms": 1000 * (previewed - before),
        "revocation, ms": 1000 * (revoked - previewed),
        "lists rebuilt, ms": 1000 * (listed - revoked),
        "memory of the service at most, MB": _peak(stage),
    }


def _peak(stage: Stage) -> float:
    """The most memory that the service ever had, MB."""
    status = Path(f"/proc/{stage.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@dataclass(frozen=True, slots=True)
class _Desk:
    """An operator's token, and a look into the database."""

    url: str
    token: str
    database: Path

    @classmethod
    def of(cls, stage: Stage) -> _Desk:
        made = stage.attestca("token", "create", "bench", *SCOPES, "--config", str(stage.config))
        return cls(f"{stage.admin_url}/v1/admin/revocations", made.split()[-1], _database(stage))

    def post(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)  # noqa: S310 - of the stage
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - loopback
            found: dict[str, Any] = json.load(answer)
            return found

    def wait_for(self, entries: int) -> None:
        """Until so many are on the lists. Raises TimeoutError."""
        end = time.perf_counter() + PATIENCE
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            while connection.execute("SELECT sum(entries) FROM crls").fetchone() != (entries,):
                if time.perf_counter() > end:
                    raise TimeoutError("what is revoked is not on the lists")
                time.sleep(0.005)

    def check(self, stage: Stage, entries: int) -> None:
        """That the lists which are served have so many. Raises RuntimeError."""
        tls = ssl.create_default_context(cafile=stage.root)
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            names = connection.execute(
                "SELECT hex(issuer_key_id), day FROM crls WHERE entries"
            ).fetchall()
        found = 0
        for issuer, day in names:
            url = f"{stage.url}/v1/crl/{issuer.lower()}/{day}.crl"
            with urllib.request.urlopen(url, context=tls, timeout=PATIENCE) as answer:  # noqa: S310 - of the stage
                found += len(x509.load_der_x509_crl(answer.read()))
        if found != entries:
            raise RuntimeError(f"{found} are on the lists, and not {entries}")


# the certificates


def _database(stage: Stage) -> Path:
    return stage.config.parent / "attestca.db"


def _fill(stage: Stage) -> None:
    """Issued certificates, written as the store writes them but without a transaction for each."""
    (issuing,) = (stage.config.parent / "ca").glob("issuing-*.pem")
    certificate = x509.load_pem_x509_certificate(issuing.read_bytes())
    subject = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    _insert(_database(stage), subject.value.digest, datetime.now(UTC))


def _insert(file: Path, issuer_key_id: bytes, now: datetime) -> None:
    start, step = micros(now + timedelta(hours=1)), LIVE // CERTIFICATES
    ends = [start + i * (step // timedelta(microseconds=1)) for i in range(CERTIFICATES)]
    digest = bytes(32)
    with closing(sqlite3.connect(file)) as connection, connection:
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


def _handle(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _own(issuer_key_id: bytes, i: int) -> bytes:
    return certificate_handle(issuer_key_id, FIRST_SERIAL + i)


def _serial(i: int) -> bytes:
    return (FIRST_SERIAL + i).to_bytes(SERIAL_BYTES, "big")


_CHIP: Final = (HandleKind.CHIP, _handle("chip 5"))
_ALL: Final = (HandleKind.PRODUCT, _handle("product"))
