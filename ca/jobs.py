# SPDX-License-Identifier: Apache-2.0
"""What the service does by the clock, beside its requests: close intents, publish CRLs, renew its own, forget, refresh.

Rules: a job may run on several replicas at once and do no harm (the store decides who was first); one that fails is
reported and tried again at its next turn, and never ends the service. Nothing here is on the issuing path.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Final

from cryptography import x509

from ca.issuance import crl
from ca.issuance.request import shard_url
from ca.ports import CrlRecord, ServedList

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import date, datetime

    from ca.issuance.request import Issuer
    from ca.ports import CrlState, Signer, Store

CRL_EVERY: Final = timedelta(hours=1)
CRL_LIFETIME: Final = timedelta(hours=24)
INTENT_PATIENCE: Final = timedelta(
    minutes=5
)  # far above any signature; see `Store.abandon_intents`


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to be done every so often, the first time at once, and whenever `wake` is set.

    `at_start`: once already before anybody can ask.

    Who sets it while the job runs wakes it again: a run never misses what was written before it was woken.
    """

    name: str
    every: timedelta
    run: Callable[[datetime], Awaitable[None]]
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    at_start: bool = True


async def run_forever(
    jobs: Sequence[Job],
    clock: Callable[[], datetime],
    report: Callable[[str, Exception], None],
) -> None:
    """Run every job in a loop of its own until cancelled. `report` is told each failure."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_loop(job, clock, report), name=job.name)


async def _loop(
    job: Job, clock: Callable[[], datetime], report: Callable[[str, Exception], None]
) -> None:
    while True:
        job.wake.clear()
        try:
            await job.run(clock())
        except Exception as error:  # noqa: BLE001 - one failing job must not end the others; it is reported
            report(job.name, error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(job.wake.wait(), job.every.total_seconds())


async def abandon_intents(store: Store, now: datetime) -> tuple[int, ...]:
    """Close intents that never got their certificate; their serials are revoked. Returns them."""
    return await store.abandon_intents(now - INTENT_PATIENCE, now)


async def publish_crls(store: Store, issuer: Issuer, signer: Signer, now: datetime) -> int:
    """New CRLs of one issuing CA, of each day whose list is missing, old, or short of something that is revoked.

    A replica that was overtaken while it signed looks again: what it misses may not be on the other's lists. Returns
    how many lists this call published.
    """
    days = crl.days(issuer.certificate, now)
    while True:
        state = await store.crl_state(issuer.key_id, days[0], days[-1])
        due = [day for day in days if _is_due(state, day, now)]
        if not due:
            return 0
        this_update = max(now, state.this_update or now)  # another replica's clock may be ahead
        numbers = count(max(state.number, state.floor) + 1)
        lists = [
            await _signed_list(store, issuer, signer, day, number, this_update)
            for day, number in zip(due, numbers, strict=False)
        ]
        if await store.publish_crls(lists, state.number):
            return len(lists)


def _is_due(state: CrlState, day: date, now: datetime) -> bool:
    shard = state.shards.get(day)
    return (
        shard is None
        or now >= shard.this_update + CRL_EVERY
        or shard.entries != state.revoked.get(day, 0)
    )


async def _signed_list(
    store: Store, issuer: Issuer, signer: Signer, day: date, number: int, this_update: datetime
) -> CrlRecord:
    revoked = await store.revoked_on(issuer.key_id, day)
    prepared = await asyncio.to_thread(  # a hundred thousand entries take a while
        crl.prepare,
        issuer.certificate,
        revoked,
        number=number,
        this_update=this_update,
        next_update=this_update + CRL_LIFETIME,
        url=shard_url(issuer.public_url, issuer.key_id, day),
    )
    return CrlRecord(
        issuer_key_id=issuer.key_id,
        day=day,
        number=number,
        entries=len(revoked),
        der=crl.complete(prepared, await signer.sign(prepared.tbs)),
        this_update=prepared.this_update,
        next_update=prepared.next_update,
    )


async def served_lists(
    store: Store, public_url: str, root_crl: tuple[str, bytes]
) -> tuple[ServedList, ...]:
    """Every list of revoked certificates that is served now, by URL. `root_crl`: URL and DER of the root's."""
    url, der = root_crl
    number = x509.load_der_x509_crl(der).extensions.get_extension_for_class(x509.CRLNumber)
    lists = [ServedList(url, sha256(der).digest(), number.value.crl_number)]
    for one in await store.crl_names():
        shard = shard_url(public_url, one.issuer_key_id, one.day)
        lists.append(ServedList(shard, one.sha256, one.number))
    return tuple(sorted(lists, key=lambda one: one.url))


async def oldest_list(store: Store, issuer: Issuer, now: datetime) -> datetime | None:
    """When the newest list was signed, of the day whose newest is the oldest. None: there is a day without one."""
    days = crl.days(issuer.certificate, now)
    shards = (await store.crl_state(issuer.key_id, days[0], days[-1])).shards
    signed = [shard.this_update for day in days if (shard := shards.get(day)) is not None]
    return min(signed) if len(signed) == len(days) else None


async def forget(store: Store, now: datetime, refusals: timedelta, nonces: timedelta) -> None:
    """Retention: old refusals, nonces of refusals that expired long ago, CRLs and withheld handles that are over."""
    await store.expire_refusals(now - refusals)
    await store.forget_nonces(now - nonces)
    await store.forget_withheld(now)
    await store.forget_crls(crl.first_day(now))
