# SPDX-License-Identifier: Apache-2.0
"""`attestca_client.verify` at a whole service: staples and lists as it serves them, before and after a revocation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.checks import Name, Outcome
from attestca_client.lists import addresses, key_id
from attestca_client.sources import Url
from attestca_client.verify import Rules, Sources, Trust, verify
from ca.app.log import log_host
from ca.http import public_application
from ca.issuance.request import root_crl_url
from ca.signers.log import log_key
from tests.integration.test_revocation import OTHER, Fleet, policy
from tests.relying_lab import outcomes
from tests.revoking import issued, publish, revoke

if TYPE_CHECKING:
    from cryptography import x509

    from attestca_client.checks import Result
    from tests.app_lab import App

SIMULATED = Rules(allow_simulated=True, max_staleness=timedelta(minutes=10))


@dataclass
class Party:
    """A relying party that trusts the service's root and the key of its log."""

    app: App
    address: str

    @property
    def trust(self) -> Trust:
        keys = self.app.service.keys
        key, _ = log_key(keys.folder, log_host(keys.config))
        return Trust(keys.root, (key.verifier,))

    async def ask(self, leaf: x509.Certificate, sources: Sources) -> Result:
        chain = (await self.app.get("/v1/ca/chain")).body
        return await asyncio.to_thread(
            verify,
            leaf.public_bytes(Encoding.PEM),
            self.trust,
            sources,
            at=self.app.clock(),
            intermediates=chain,
            rules=SIMULATED,
        )

    async def by_staple(self, leaf: x509.Certificate) -> Result:
        url = Url.parse(f"{self.address}/v1/status/{leaf.serial_number:x}")
        return await self.ask(leaf, Sources(staple=url))

    async def by_list(self, leaf: x509.Certificate) -> Result:
        (named,) = addresses(leaf)
        root = root_crl_url(self.address, key_id(self.trust.root))
        urls = (f"{self.address}{urlsplit(named).path}", root)
        return await self.ask(leaf, Sources(crls=tuple(map(Url.parse, urls))))

    async def publish(self) -> None:
        """What the service does by the clock."""
        await publish(self.app)
        await self.app.run_job("log")


@pytest.fixture
async def party(app_on_both: App) -> Party:
    await app_on_both.accept_image(policy("one"))
    made = await app_on_both._listen(public_application(app_on_both.doors), None)
    return Party(app_on_both, made)


async def test_a_measurement_is_revoked(party: Party) -> None:
    fleet = Fleet(party.app, party.app.intel.platform())
    bad = [
        issued(await fleet.enroll(rtmr1=OTHER)),
        issued(await fleet.enroll(rtmr1=OTHER, machine=fleet.other)),
    ]
    good = issued(await fleet.enroll())
    await party.publish()
    for leaf in (*bad, good):
        for result in (await party.by_staple(leaf), await party.by_list(leaf)):
            assert result.accepted, result.reasons
    await revoke(party.app, kind="measurement", name="rtmr1", value=OTHER.hex())
    await party.publish()
    for leaf in bad:
        stapled, listed = await party.by_staple(leaf), await party.by_list(leaf)
        assert outcomes(stapled) == {Name.STAPLE_REVOKED: Outcome.FAILED}
        assert "measurement" in stapled.reasons[0].seen
        assert "keyCompromise" in stapled.reasons[0].seen
        assert outcomes(listed) == {Name.CRL_REVOKED: Outcome.FAILED}
    for result in (await party.by_staple(good), await party.by_list(good)):
        assert result.accepted, result.reasons


async def test_a_certificate_that_is_not_in_the_log_yet(party: Party) -> None:
    await party.publish()
    fleet = Fleet(party.app, party.app.intel.platform())
    leaf = issued(await fleet.enroll())
    early = await party.by_staple(leaf)
    assert outcomes(early) == {Name.STAPLE: Outcome.UNDECIDED}
    assert early.reasons[0].seen.endswith("answered 404")
    await party.publish()
    assert (await party.by_staple(leaf)).accepted


async def test_a_service_whose_log_stands_still(party: Party) -> None:
    fleet = Fleet(party.app, party.app.intel.platform())
    leaf = issued(await fleet.enroll())
    await party.publish()
    party.app.clock.advance(minutes=10)
    assert (await party.by_staple(leaf)).accepted
    party.app.clock.advance(seconds=1)
    assert outcomes(await party.by_staple(leaf)) == {Name.STAPLE_TIME: Outcome.UNDECIDED}
    await party.app.run_job("log")
    assert (await party.by_staple(leaf)).accepted
