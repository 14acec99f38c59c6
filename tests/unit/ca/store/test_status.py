# SPDX-License-Identifier: Apache-2.0
"""The status of single certificates, as a projection of revoked handles."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from attestca_client.protocol import HandleKind, certificate_handle
from ca.issuance.crl import Revoked
from ca.issuance.reasons import RevocationReason
from tests import records

if TYPE_CHECKING:
    from ca.store.sql import SqlStore

SERIAL = 0x4711
MINUTE = timedelta(minutes=1)
SHARED = (("measurement", records.digest("image")),)


async def issue(store: SqlStore, serial: int = SERIAL, **fields: Any) -> bytes:  # noqa: ANN401 - of an intent
    """A certificate on record; its own handle."""
    intent = records.intent(serial=serial, **{"handles": SHARED} | fields)
    await store.record_intent(intent)
    await store.record_certificate(serial, b"der", "ear")
    return certificate_handle(intent.issuer_key_id, serial)


async def revoke(
    store: SqlStore, handle: bytes, after: int, reason: RevocationReason, *, own: bool = False
) -> None:
    at = records.NOW + after * MINUTE
    kind = HandleKind.CERTIFICATE if own else HandleKind.MEASUREMENT
    revocation = records.revocation(handle, kind=kind, revoked_at=at, reason=reason)
    await store.revoke(revocation, records.ACTION)


async def status(store: SqlStore, *serials: int) -> dict[int, Revoked | None]:
    return await store.statuses(records.ISSUER, serials or (SERIAL,))


async def test_issued_and_not_revoked(store: SqlStore) -> None:
    await records.activate(store)
    await issue(store)
    assert await status(store) == {SERIAL: None}
    assert await status(store, SERIAL, SERIAL, SERIAL + 1) == {SERIAL: None}


async def test_only_what_was_asked_about(store: SqlStore) -> None:
    await records.activate(store)
    for serial in (5, 6, 7):
        await issue(store, serial)
    assert await status(store, 5, 7) == {5: None, 7: None}
    assert await store.statuses(records.ISSUER, []) == {}


async def test_never_issued(store: SqlStore) -> None:
    await records.activate(store)
    assert await status(store) == {}
    await store.record_intent(records.intent(serial=SERIAL, handles=SHARED))
    assert await status(store) == {}, "there is no certificate yet"
    assert await store.statuses(b"another issuer", [SERIAL]) == {}


async def test_of_another_issuer(store: SqlStore) -> None:
    await records.activate(store)
    await issue(store)
    await revoke(store, SHARED[0][1], 1, RevocationReason.UNSPECIFIED)
    assert await store.statuses(b"another issuer", [SERIAL]) == {}


async def test_what_cannot_be_a_serial_number(store: SqlStore) -> None:
    assert await status(store, -1, 0, 1 << 160, 1 << 4000, -(1 << 4000)) == {}


async def test_by_any_handle_and_by_its_own(store: SqlStore) -> None:
    await records.activate(store)
    own = await issue(store)
    await issue(store, SERIAL + 1, handles=())
    await revoke(store, SHARED[0][1], 9, RevocationReason.SUPERSEDED)
    later = Revoked(SERIAL, records.NOW + 9 * MINUTE, RevocationReason.SUPERSEDED)
    assert await status(store, SERIAL, SERIAL + 1) == {SERIAL: later, SERIAL + 1: None}
    await revoke(store, own, 3, RevocationReason.KEY_COMPROMISE, own=True)
    first = Revoked(SERIAL, records.NOW + 3 * MINUTE, RevocationReason.KEY_COMPROMISE)
    assert await status(store, SERIAL, SERIAL + 1) == {SERIAL: first, SERIAL + 1: None}


async def test_at_the_same_instant_the_one_that_was_written_first(store: SqlStore) -> None:
    await records.activate(store)
    own = await issue(store)
    await revoke(store, own, 3, RevocationReason.KEY_COMPROMISE, own=True)
    await revoke(store, SHARED[0][1], 3, RevocationReason.CA_COMPROMISE)
    found = (await status(store))[SERIAL]
    assert found is not None
    assert found.reason is RevocationReason.KEY_COMPROMISE


async def test_a_certificate_that_has_ended_stays_revoked(store: SqlStore) -> None:
    await records.activate(store)
    own = await issue(store, not_after=records.NOW - MINUTE)
    await revoke(store, own, 3, RevocationReason.UNSPECIFIED, own=True)
    assert await status(store) == {
        SERIAL: Revoked(SERIAL, records.NOW + 3 * MINUTE, RevocationReason.UNSPECIFIED)
    }


async def test_an_abandoned_intent_is_revoked(store: SqlStore) -> None:
    await records.activate(store)
    await store.record_intent(records.intent(serial=SERIAL, handles=SHARED))
    now = records.NOW + 5 * MINUTE
    assert await store.abandon_intents(records.NOW + MINUTE, now) == (SERIAL,)
    found = (await status(store))[SERIAL]
    assert found is not None
    assert found.since == now


async def test_the_same_as_the_lists_say(store: SqlStore) -> None:
    """CRL and OCSP are projections of one table: of every certificate they say the same."""
    chance = random.Random(1)  # noqa: S311 - the same in every run
    await records.activate(store)
    handles = [("measurement", records.digest(f"image {n}")) for n in range(12)]
    own = [
        await issue(store, serial, handles=tuple(chance.sample(handles, 3)))
        for serial in range(1, 31)
    ]
    for handle in chance.sample([*(each for _, each in handles), *own], 14):
        reason = chance.choice(list(RevocationReason))
        await revoke(store, handle, chance.randrange(5), reason, own=handle in own)
    day = records.intent().not_after.date()
    listed = {one.serial: one for one in await store.revoked_on(records.ISSUER, day)}
    asked = await status(store, *range(1, 31))
    assert asked == {serial: listed.get(serial) for serial in range(1, 31)}
    assert 0 < len(listed) < 30
