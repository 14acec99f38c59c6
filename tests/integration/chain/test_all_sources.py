# SPDX-License-Identifier: Apache-2.0
"""A whole service that anchors on a chain, as a relying party with the trust bundle sees it: a measurement is revoked,
and staple, chain and list each refuse its two machines, while a third of another measurement is accepted by all."""

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
from attestca_client.protocol.trust import Deployment, TrustBundle, open_bundle, seal_bundle
from attestca_client.rpc import Node
from attestca_client.sources import Url
from attestca_client.verify import Rules, Sources, Trust, verify
from ca.app.chain import registry_of
from ca.app.keys import ca_id
from ca.app.log import log_host
from ca.http import public_application
from ca.issuance.request import root_crl_url
from ca.signers.chain import add_chain_key
from ca.signers.folder import KeyFolder
from ca.signers.log import log_key
from tests import chain_lab
from tests.app_lab import PASSPHRASE, make_config, make_keys, open_app
from tests.integration.chain.test_service import entropy, register, settings
from tests.integration.test_revocation import OTHER, Fleet, policy
from tests.relying_lab import outcomes
from tests.revoking import issued, publish, revoke

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cryptography import x509

    from attestca_client.checks import Result
    from tests.app_lab import App
    from tests.chain_lab import Chain
    from tests.vendor_lab import Clock

RULES = Rules(allow_simulated=True)


@dataclass
class World:
    """The service, its chain, and where it answers in plain text."""

    app: App
    chain: Chain
    address: str

    async def go_on(self) -> None:
        """Everything that the service does by the clock, until it is final."""
        await publish(self.app)
        self.app.clock.now += timedelta(seconds=30)
        await self.app.run_job("log")
        for _ in range(2):
            self.app.clock.now += timedelta(seconds=5)
            await self.app.run_job("anchors")
        self.chain.mine(8)

    async def install_bundle(self) -> None:
        """What `attestca trust sign` and `install` do."""
        keys, now = self.app.service.keys, self.app.clock()
        registry = registry_of(self.app.config.chain, ca_id(keys.root))
        where = (registry.chain_id, registry.address, registry.namespace, registry.admin)
        key, _ = log_key(keys.folder, log_host(keys.config))
        bundle = TrustBundle(1, keys.root, (key.verifier,), Deployment(*where), None, now)
        keys.folder.install_trust(1, seal_bundle(bundle, keys.folder.root_key()))

    async def ask(self, leaf: x509.Certificate, *sources: str) -> Result:
        """By those of "staple", "chain" and "list", with the bundle as it is served."""
        (named,) = addresses(leaf)
        status = Url.parse(f"{self.address}/v1/status/{leaf.serial_number:x}")
        root = root_crl_url(self.address, key_id(self.app.service.keys.root))
        lists = (f"{self.address}{urlsplit(named).path}", root)
        node = Node(Url.parse(self.chain.url))
        asked = Sources(
            staple=status if "staple" in sources else None,
            nodes=(node, node) if "chain" in sources else (),
            crls=tuple(map(Url.parse, lists)) if "list" in sources else (),
        )
        return await asyncio.to_thread(
            verify,
            leaf.public_bytes(Encoding.PEM),
            Trust.of(open_bundle((await self.app.get("/v1/trust")).body)),
            asked,
            at=self.app.clock(),
            intermediates=(await self.app.get("/v1/ca/chain")).body,
            rules=RULES,
        )


@pytest.fixture
async def world(
    anvil: Path, app_clock: Clock, sqlite_url: str, tmp_path: Path
) -> AsyncIterator[World]:
    """On a chain whose clock begins where the service's does."""
    with chain_lab.anvil(anvil, "--timestamp", str(int(app_clock().timestamp()))) as chain:
        more = {"chain": await settings(chain, tmp_path)}
        config = make_config(
            tmp_path, sqlite_url, vendor="https://127.0.0.1:9", root_pem="", more=more
        )
        make_keys(config, app_clock())
        add_chain_key(KeyFolder(config.ca.directory, PASSPHRASE, entropy))
        async with open_app(tmp_path, sqlite_url, app_clock, more) as app:
            await register(app)
            await app.accept_image(policy("one"))
            plain = await app._listen(public_application(app.doors), None)
            yield World(app, chain, plain)


ALONE = {
    "staple": Name.STAPLE_REVOKED,
    "chain": Name.REGISTRY_REVOKED,
    "list": Name.CRL_REVOKED,
}


async def test_a_measurement_is_revoked(world: World) -> None:
    fleet = Fleet(world.app, world.app.intel.platform())
    bad = [
        issued(await fleet.enroll(rtmr1=OTHER)),
        issued(await fleet.enroll(rtmr1=OTHER, machine=fleet.other)),
    ]
    good = issued(await fleet.enroll())
    await world.go_on()
    await world.install_bundle()
    for leaf in (*bad, good):
        result = await world.ask(leaf, *ALONE)
        assert result.accepted, result.reasons
    await revoke(world.app, kind="measurement", name="rtmr1", value=OTHER.hex())
    await world.go_on()
    for leaf in bad:
        for source, name in ALONE.items():
            assert outcomes(await world.ask(leaf, source)) == {name: Outcome.FAILED}, source
        assert outcomes(await world.ask(leaf, *ALONE)) == dict.fromkeys(
            ALONE.values(), Outcome.FAILED
        )
    result = await world.ask(good, *ALONE)
    assert result.accepted, result.reasons
    assert Name.ONE_HISTORY in {check.name for check in result.checks}
