# SPDX-License-Identifier: Apache-2.0
"""The log as it is served: what Go's own client reads of it, and where a certificate stands in it."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from attestca_client.protocol import is_included, leaf_hash
from ca import audit, merkle
from ca.store.database import Database
from ca.store.tables import decisions, log_outbox
from tests import log_lab, records
from tests.service_lab import leaf_of, open_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection

    from tests.go_log import GoLog
    from tests.service_lab import Service


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with open_service(database_url) as running:
        yield running


async def fill(service: Service, count: int) -> None:
    """Entries beside those of the service's own, for tiles to become full."""
    keys = [audit.KeyAdded(records.NOW, "tls", f"{number}".encode()) for number in range(count)]
    await service.store.log.append_keys(keys)
    await log_lab.sequence(service.store.log)


async def test_before_the_first_checkpoint(service: Service) -> None:
    reply = await service.get("/log/checkpoint")
    assert (reply.status, reply.json()["code"]) == (404, "not-logged")
    reply = await service.get("/log/tile/0/000")
    assert reply.status == 404
    serial = (await service.enrolled()).json()["serial"]
    reply = await service.get(f"/v1/certificates/{serial}/proof")
    assert (reply.status, reply.json()["code"]) == (404, "not-logged")
    assert reply.headers["Cache-Control"] == "no-store"
    assert (await service.get("/v1/certificates/1/proof")).status == 404


async def test_a_certificate_of_before_the_log(service: Service, database_url: str) -> None:
    """It is told to go away, not to come again in a moment."""
    serial = (await service.enrolled()).json()["serial"]

    def forget(connection: Connection) -> None:
        """As an upgrade leaves a decision that is older than the log."""
        connection.execute(log_outbox.delete())
        connection.execute(decisions.update().values(salt=None, commitment=None))

    database = Database(database_url)
    try:
        await database.write(forget)
    finally:
        await database.close()
    await fill(service, 1)
    reply = await service.get(f"/v1/certificates/{serial}/proof")
    assert (reply.status, reply.json()["code"]) == (404, "before-log")
    assert "before" in reply.json()["detail"]


async def test_a_certificate_is_proven(service: Service, go_log: GoLog) -> None:
    enrolled = await service.enrolled()
    serial = enrolled.json()["serial"]
    await fill(service, 400)
    proof = (await service.get(f"/v1/certificates/{serial}/proof")).json()
    head = log_lab.KEY.verifier.open(proof["checkpoint"].encode()).head
    entry = base64.b64decode(proof["entry"])
    hashes = [base64.b64decode(one) for one in proof["hashes"]]
    leaf, index = leaf_hash(entry), proof["index"]
    assert is_included(leaf, index, head.size, hashes, head.root)
    facts = {"size": head.size, "index": index, "root": head.root}
    go_log.ask("included", leaf=leaf, proof=hashes, **facts)

    said = audit.decode(entry)
    assert isinstance(said, audit.Issuance)
    certificate = leaf_of(enrolled)
    (policy,) = await service.store.policies(active_only=True)
    assert said.serial == certificate.serial_number == int(serial, 16)
    assert said.certificate_sha256 == sha256(der_of(enrolled.json()["certificate"])).digest()
    assert said.issuer_key_id == service.lab.issuer.key_id
    assert said.policy_sha256 == policy.sha256


def der_of(pem: str) -> bytes:
    return base64.b64decode("".join(pem.splitlines()[1:-1]))


async def test_what_go_reads_from_the_served_tiles(service: Service, go_log: GoLog) -> None:
    await fill(service, 700)
    note = (await service.get("/log/checkpoint")).body
    checkpoint = log_lab.KEY.verifier.open(note)
    head = checkpoint.head
    opened = go_log.ask("open", key=log_lab.KEY.verifier.text, note=note.decode())
    assert opened["text"] == checkpoint.text
    tiles: dict[str, bytes] = {}
    entries: list[bytes] = []
    for level in range(2):
        for number in range(3):
            width = merkle.tile_width(level, number, head.size)
            if not width:
                continue
            path = merkle.tile_path(level, number, width)
            reply = await service.get(f"/log/{path}")
            assert reply.headers["Content-Type"] == "application/octet-stream"
            assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            tiles[path] = reply.body
            if level == 0:
                bundle = await service.get(f"/log/{merkle.tile_path(None, number, width)}")
                part = merkle.decode_bundle(bundle.body)
                assert merkle.tile_of(part) == reply.body
                entries += part
    assert len(entries) == head.size
    assert go_log.root(entries) == head.root
    facts = {"size": head.size, "root": head.root}
    proof = go_log.proof("prove-included", tiles, index=600, **facts)
    assert is_included(leaf_hash(entries[600]), 600, head.size, proof, head.root)
    assert go_log.proof("prove-consistent", tiles, oldsize=300, **facts)


async def test_headers_of_a_checkpoint(service: Service) -> None:
    await fill(service, 1)
    reply = await service.get("/log/checkpoint")
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert reply.headers["Cache-Control"] == "public, max-age=1"


@pytest.mark.parametrize(
    "path",
    ["0/000", "0/000.p/200", "1/000.p/1", "entries/001", "8/000", "0/0", "0/000.p/0", "x/000", "0"],
)
async def test_what_the_tree_does_not_have(service: Service, path: str) -> None:
    await fill(service, 20)
    reply = await service.get(f"/log/tile/{path}")
    assert reply.status == 404
    assert reply.headers["Cache-Control"] == "no-store"
    assert (await service.get("/log/tile/0/000.p/20")).status == 200


async def test_what_is_not_published_is_not_served(service: Service) -> None:
    await fill(service, 3)
    size = (await service.store.log.tree(0)).size
    keys = [audit.KeyAdded(records.NOW, "tls", b"one more")]
    await service.store.log.append_keys(keys)
    assert await service.store.log.sequence(10) == 1
    assert (await service.get(f"/log/tile/entries/000.p/{size}")).status == 200
    assert (await service.get(f"/log/tile/entries/000.p/{size + 1}")).status == 404


async def test_a_later_key_has_addresses_of_its_own(service: Service) -> None:
    """What stands at an address that a cache may keep for ever is never of another log."""
    await fill(service, 20)
    size = int((await service.get("/log/checkpoint")).body.split(b"\n")[1])
    paths = ("checkpoint", f"tile/0/000.p/{size}", f"tile/entries/000.p/{size}")
    for path in paths:
        assert (await service.get(f"/log/{path}")).status == 200
        for number in ("1", "2", "x"):
            assert (await service.get(f"/log/{number}/{path}")).status == 404
    log = service.store.log
    await log.replace_key(log_lab.sha256_of(log_lab.SECOND))
    for path in paths:
        assert (await service.get(f"/log/{path}")).status == 404, "none has signed yet"
    await log_lab.sequence(log, log_lab.SECOND)
    for path in paths:
        reply = await service.get(f"/log/{path}")
        assert (reply.status, reply.headers["Cache-Control"]) == (404, "no-store")
        assert (await service.get(f"/log/2/{path}")).status == 200
        for number in ("1", "3", "02"):
            assert (await service.get(f"/log/{number}/{path}")).status == 404
    note = (await service.get("/log/2/checkpoint")).body
    assert log_lab.SECOND.verifier.open(note).head.size == size


async def test_a_certificate_that_is_not_published_yet_has_no_proof(service: Service) -> None:
    """It has its position already: a replica died before it signed."""
    await fill(service, 3)
    serial = (await service.enrolled()).json()["serial"]
    assert await service.store.log.sequence(10)
    reply = await service.get(f"/v1/certificates/{serial}/proof")
    assert (reply.status, reply.json()["code"]) == (404, "not-logged")
    await log_lab.sequence(service.store.log)
    assert (await service.get(f"/v1/certificates/{serial}/proof")).status == 200
