# SPDX-License-Identifier: Apache-2.0
"""R-13: a TCB status, "Unknown" included, comes out of the database as it went in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.ports import CertificateQuery
from tests import records
from verifiers.tcb import TcbStatus

if TYPE_CHECKING:
    from ca.store.sql import SqlStore


async def test_every_status_of_certificates_and_refusals(store: SqlStore) -> None:
    await records.activate(store)
    serials = {}
    for status in TcbStatus:
        intent = records.intent(of=records.decision(tcb_status=status))
        serials[intent.serial] = status
        await store.record_intent(intent)
        await store.record_certificate(intent.serial, b"der", "ear")
        await store.record_refusal(records.decision(tcb_status=status))

    for serial, status in serials.items():
        found = await store.certificate(serial)
        assert found is not None
        assert found.decision.tcb_status == status.value
        by_status = await store.certificates(CertificateQuery(tcb_status=status))
        assert [record.serial for record in by_status] == [serial]
    refused = [refusal.decision.tcb_status for refusal in await store.refusals(100, None)]
    assert refused == [status.value for status in reversed(TcbStatus)]


async def test_a_status_that_nobody_knows_is_kept_too(store: SqlStore) -> None:
    """The database has no list of its own that could turn one status into another."""
    words = ("uptodate", "UpToDate ", "", "Sonstiges ☂")
    for word in words:
        await store.record_refusal(records.decision(tcb_status=word))
    found = [refusal.decision.tcb_status for refusal in await store.refusals(100, None)]
    assert found == list(reversed(words))
