# SPDX-License-Identifier: Apache-2.0
"""The staple as a relying party reads it, who has the certificate and the log's key; the lists that are served."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.protocol import (
    certificate_handle,
    crls_digest,
    is_included,
    leaf_hash,
)
from attestca_client.protocol.log import issuance_entry, parse_revocation
from attestca_client.protocol.revocations import ProofError, PrunedTree, read_proof
from ca.store.tables import decisions, log_outbox, log_revocations
from tests import log_lab, records
from tests.service_lab import leaf_of, open_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cryptography import x509
    from sqlalchemy import Connection

    from attestca_client.protocol.checkpoint import Head
    from tests.service_lab import Service


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with open_service(database_url) as running:
        yield running


@dataclass(frozen=True)
class Read:
    """A staple whose proofs hold."""

    head: Head
    tree: PrunedTree
    revoked: dict[bytes, bytes]  # handle -> the entry that revokes it


async def staple(service: Service, leaf: x509.Certificate, replica: int = 0) -> Read:
    url = f"{service.replicas[replica].public}/v1/status/{leaf.serial_number:x}"
    reply = await service.send("GET", url)
    assert reply.status == 200, reply.body
    assert reply.headers["Cache-Control"] == "public, max-age=10"
    said = reply.json()
    head = log_lab.KEY.verifier.open(said["checkpoint"].encode()).head
    (policy,) = await service.store.policies(active_only=True)
    entry = issuance_entry(
        time=said["time"],
        issuer_key_id=service.lab.issuer.key_id,
        serial=leaf.serial_number,
        certificate_sha256=sha256(leaf.public_bytes(Encoding.DER)).digest(),
        policy_sha256=policy.sha256,
        commitment=base64.b64decode(said["commitment"]),
    )
    hashes = [base64.b64decode(one) for one in said["hashes"]]
    assert is_included(leaf_hash(entry), said["index"], head.size, hashes, head.root)
    tree = read_proof(base64.b64decode(said["revocations"]))
    assert tree.root == head.revocation_root
    entries = [base64.b64decode(one) for one in said["revoked"]]
    return Read(head, tree, {parse_revocation(one).handle: one for one in entries})


async def handles_of(service: Service, leaf: x509.Certificate) -> dict[str, bytes]:
    """What it depends on, by kind; one of each, its own among them."""
    record = await service.store.certificate(leaf.serial_number)
    assert record is not None
    own = certificate_handle(record.issuer_key_id, leaf.serial_number)
    return dict(record.handles) | {"certificate": own}


async def revoke(service: Service, *handles: bytes) -> None:
    for one in handles:
        await service.store.revoke(records.revocation(one), records.ACTION)


async def enrolled(service: Service) -> x509.Certificate:
    return leaf_of(await service.enrolled())


async def test_a_certificate_that_is_not_revoked(service: Service) -> None:
    leaf = await enrolled(service)
    await revoke(service, *(records.digest(f"other {number}") for number in range(40)))
    await log_lab.sequence(service.store.log)
    read = await staple(service, leaf)
    assert read.head.revocation_count == 40
    handles = await handles_of(service, leaf)
    assert {"certificate", "key", "measurement", "chip", "product", "policy"} < set(handles)
    assert [read.tree.value(one) for one in handles.values()] == [None] * len(handles)
    assert read.revoked == {}
    unseen = [records.digest(f"other {number}") for number in range(40)]
    with pytest.raises(ProofError):
        assert [read.tree.value(one) for one in unseen] == []


@pytest.mark.parametrize("kind", ["certificate", "key", "measurement", "chip", "policy", "issuer"])
async def test_a_certificate_that_is_revoked(service: Service, kind: str) -> None:
    leaf, other = await enrolled(service), await enrolled(service)
    handles = await handles_of(service, leaf)
    await revoke(service, records.digest("before"), handles[kind], records.digest("behind"))
    await log_lab.sequence(service.store.log)
    read = await staple(service, leaf)
    assert read.head.revocation_count == 3
    assert set(read.revoked) == {handles[kind]}
    entry = read.revoked[handles[kind]]
    assert read.tree.value(handles[kind]) == leaf_hash(entry)
    assert parse_revocation(entry).reason == records.revocation(b"x" * 32).reason
    its_own = kind in {"certificate", "key"}
    assert (await staple(service, other)).revoked == ({} if its_own else read.revoked)


async def test_all_of_a_staple_is_of_one_checkpoint(service: Service) -> None:
    """What was revoked and is not published yet is not in it; it is with the next checkpoint."""
    leaf = await enrolled(service)
    await log_lab.sequence(service.store.log)
    first = await staple(service, leaf)
    own = (await handles_of(service, leaf))["certificate"]
    await revoke(service, own)
    assert await service.store.log.sequence(100) == 1
    assert await staple(service, leaf) == first
    await log_lab.sequence(service.store.log)
    assert set((await staple(service, leaf)).revoked) == {own}


async def test_every_replica_says_the_same(database_url: str) -> None:
    """Though one has followed the tree from the beginning, and the other is asked for the first time."""
    async with open_service(database_url, replicas=2) as service:
        leaf = await enrolled(service)
        for number in range(5):
            await revoke(service, records.digest(f"{number}"))
            await log_lab.sequence(service.store.log)
            await staple(service, leaf)
        await revoke(service, (await handles_of(service, leaf))["key"])
        await log_lab.sequence(service.store.log)
        assert await staple(service, leaf) == await staple(service, leaf, 1)


async def test_before_there_is_anything_to_show(service: Service) -> None:
    serial = (await enrolled(service)).serial_number
    reply = await service.get(f"/v1/status/{serial:x}")
    assert (reply.status, reply.json()["code"]) == (404, "not-logged")
    assert reply.headers["Cache-Control"] == "no-store"
    assert (await service.get("/v1/status/1")).json()["code"] == "not-found"
    assert (await service.get("/v1/status/x")).status == 404

    def forget(connection: Connection) -> None:
        """As an upgrade leaves a decision that is older than the log."""
        connection.execute(log_outbox.delete())
        connection.execute(decisions.update().values(salt=None, commitment=None))

    await service.store._database.write(forget)
    reply = await service.get(f"/v1/status/{serial:x}")
    assert (reply.status, reply.json()["code"]) == (404, "before-log")


async def test_a_database_that_lost_a_revocation(service: Service) -> None:
    """It says nothing rather than that the certificate is good."""
    leaf = await enrolled(service)
    await revoke(service, (await handles_of(service, leaf))["key"])
    await log_lab.sequence(service.store.log)
    await service.store._database.write(lambda found: found.execute(log_revocations.delete()))
    reply = await service.get(f"/v1/status/{leaf.serial_number:x}")
    assert (reply.status, reply.json()["code"]) == (503, "unavailable")


async def test_the_lists_that_are_served(service: Service) -> None:
    reply = await service.get("/v1/crls")
    assert reply.headers["Cache-Control"] == "public, max-age=10"
    said: dict[str, Any] = reply.json()
    served = {one["url"]: bytes.fromhex(one["sha256"]) for one in said["lists"]}
    assert bytes.fromhex(said["digest"]) == crls_digest(served)
    assert len(served) == len(said["lists"]) > 2
    for url, digest in served.items():
        found = await service.get(urlsplit(url).path)
        assert (found.status, sha256(found.body).digest()) == (200, digest)
