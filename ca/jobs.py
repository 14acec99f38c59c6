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
from typing import TYPE_CHECKING, Final

from cryptography import x509

from ca.issuance import crl
from ca.ports import CrlRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from ca.ports import Signer, Store

CRL_EVERY: Final = timedelta(hours=1)
CRL_LIFETIME: Final = timedelta(hours=24)
INTENT_PATIENCE: Final = timedelta(
    minutes=5
)  # far above any signature; see `Store.abandon_intents`


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to be done every so often, the first time at once, and whenever `wake` is set.

    Who sets it while the job runs wakes it again: a run never misses what was written before it was woken.
    """

    name: str
    every: timedelta
    run: Callable[[datetime], Awaitable[None]]
    wake: asyncio.Event = field(default_factory=asyncio.Event)


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


async def publish_crl(store: Store, signer: Signer, now: datetime) -> bool:
    """A new CRL of one issuing CA, if the last is old or no longer says all that is revoked.

    An entry leaves only after a list of later than the certificate's end had it (RFC 5280, section 3.3).
    Returns whether this call published one; a replica that was overtaken did not.
    """
    issuer = x509.load_der_x509_certificate(signer.certificate_der)
    key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    last = await store.latest_crl(key_id)
    since = min(now, last.this_update) if last is not None else now
    revoked = await store.revoked_serials(key_id, since)
    if last is not None and now < last.this_update + CRL_EVERY and _lists(last, revoked):
        return False
    prepared = crl.prepare(
        issuer,
        revoked,
        number=await store.next_crl_number(key_id),
        this_update=now,
        next_update=now + CRL_LIFETIME,
    )
    der = crl.complete(prepared, await signer.sign(prepared.tbs))
    return await store.add_crl(
        CrlRecord(key_id, prepared.number, der, prepared.this_update, prepared.next_update)
    )


def _lists(record: CrlRecord, revoked: Sequence[tuple[int, datetime]]) -> bool:
    """Whether a CRL lists all of these serials."""
    listed = {entry.serial_number for entry in x509.load_der_x509_crl(record.der)}
    return listed.issuperset(serial for serial, _ in revoked)


async def forget(store: Store, now: datetime, refusals: timedelta, nonces: timedelta) -> None:
    """Retention: refusals older than their time, and nonces of refusals that expired long ago."""
    await store.expire_refusals(now - refusals)
    await store.forget_nonces(now - nonces)
