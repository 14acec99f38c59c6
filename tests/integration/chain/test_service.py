# SPDX-License-Identifier: Apache-2.0
"""The service with a chain: it anchors by itself, and when the chain is gone nothing else is."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ca.errors import ChainHalted, Unavailable
from ca.ledger.accounts import account_of, address_of
from ca.ledger.contract import Registry, checksum
from ca.ledger.desk import Desk, deployment, registration, sign_typed
from ca.ledger.rpc import connected
from ca.ledger_ports import Anchor, Fees
from ca.signers.chain import add_chain_key, chain_keys
from ca.signers.folder import KeyFolder
from tests.app_lab import PASSPHRASE, make_config, make_keys, open_app
from tests.chain_lab import ADMIN, CHAIN_ID, GWEI, PAYER, keystore
from tests.revoking import issued, revoke

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.app_lab import App
    from tests.chain_lab import Chain
    from tests.vendor_lab import Clock


def entropy(length: int) -> bytes:
    return bytes(range(1, length + 1))


async def settings(chain: Chain, folder: Path) -> dict[str, object]:
    """The registry is deployed; what the section [chain] then says."""
    payer, passphrase = keystore(folder, "gas", PAYER)
    account = account_of(PAYER, "payer")
    chain.call("anvil_setBalance", account.address, hex(10**20))
    async with connected([chain.url], CHAIN_ID) as nodes:
        desk = Desk(nodes, account, CHAIN_ID, 100 * GWEI)
        made = (await desk.wait(await desk.send(deployment()))).made
    assert made is not None
    return {
        "rpc": [chain.url],
        "chain_id": CHAIN_ID,
        "contract": checksum(made),
        "admin": account_of(ADMIN, "admin").address,
        "gas_keystore": str(payer),
        "gas_passphrase": f"file:{passphrase}",
    }


async def register(app: App) -> Registry:
    """As `attestca chain register` does."""
    from ca.app.chain import registry_of  # noqa: PLC0415
    from ca.app.keys import ca_id  # noqa: PLC0415

    registry = registry_of(app.config.chain, ca_id(app.service.keys.root))
    (key,) = chain_keys(app.service.keys.folder)
    said = registration(registry, address_of(account_of(key, "")), bytes(20), (10, 0))
    async with connected(app.config.chain.urls, CHAIN_ID) as nodes:
        desk = Desk(nodes, account_of(PAYER, "payer"), CHAIN_ID, 100 * GWEI)
        signature = sign_typed(account_of(ADMIN, "admin"), said.typed)
        await desk.wait(await desk.send(said.call(signature)))
    return registry


@pytest.fixture
async def app(
    chain: Chain, app_clock: Clock, sqlite_url: str, tmp_path: Path
) -> AsyncIterator[App]:
    more = {"chain": await settings(chain, tmp_path)}
    config = make_config(tmp_path, sqlite_url, vendor="https://127.0.0.1:9", root_pem="", more=more)
    make_keys(config, app_clock())
    add_chain_key(KeyFolder(config.ca.directory, PASSPHRASE, entropy))
    async with open_app(tmp_path, sqlite_url, app_clock, more) as running:
        await register(running)
        yield running


async def metric(app: App, name: str) -> float | None:
    text = (await app.get("/metrics")).body.decode()
    assert f"# TYPE {name} " in text
    found = re.search(rf"^{name}(?:_total)? (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


async def warnings(app: App) -> list[str]:
    reply = await app.get("/readyz")
    assert (reply.status, reply.json()["status"]) == (200, "ready")
    found: list[str] = reply.json()["warnings"]
    return found


async def test_a_revocation_comes_onto_the_chain(app: App, chain: Chain) -> None:
    issued(await app.enroll())
    await app.run_job("log")
    app.clock.now += timedelta(seconds=5)
    await app.run_job("anchors")
    assert await metric(app, "attestca_anchor_age_seconds") is None
    await revoke(app, kind="chip", name="ppid", value=app.machine.sgx.ppid.hex())
    app.clock.now += timedelta(seconds=30)
    await app.run_job("log")
    app.clock.now += timedelta(seconds=5)
    await app.run_job("anchors")
    await app.run_job("anchors")
    chain.mine(8)
    app.clock.now += timedelta(minutes=2)
    await app.run_job("anchors")
    progress = await app.service.store.anchors.progress(_target(app))
    assert progress.final is not None
    assert (progress.mark.count, progress.unsettled) == (1, ())
    assert await metric(app, "attestca_tombstones_pending") == 0
    age = await metric(app, "attestca_anchor_age_seconds")
    assert age is not None
    assert age >= 120
    assert await warnings(app) == []


async def test_the_chain_is_down_for_a_day_and_nothing_else_is(app: App, chain: Chain) -> None:
    chain.process.kill()
    chain.process.wait()
    await app.run_job("log")
    with pytest.raises(Unavailable):
        await app.run_job("anchors")
    issued(await app.enroll())
    await revoke(app, kind="chip", name="ppid", value="ee" * 16)
    await app.run_job("log")
    await app.run_job("anchors")  # too early to ask again: it is not asked
    app.clock.now += timedelta(days=1)
    with pytest.raises(Unavailable):
        await app.run_job("anchors")
    assert await metric(app, "attestca_tombstones_pending") == 1
    assert await metric(app, "attestca_chain_failing") == 1
    found = await warnings(app)
    assert found[0] == "the chain does not do what it is asked"
    assert found[1].startswith("no anchor became final since ")
    await app.run_job("certificates")
    issued(await app.enroll())


async def test_a_head_that_is_not_ours_is_an_alarm(app: App) -> None:
    await app.run_job("log")
    keeper = app.service.chain
    assert keeper is not None
    head = await keeper.anchorer.newest()
    assert head is not None
    ledger = keeper.anchorer.ledger
    forged = type(head)(9, b"f" * 32, 0, bytes(32), bytes(32), head.time - 10)
    standing = await ledger.standing()
    sent = await ledger.sign(Anchor(forged, (), ()), standing, Fees(50 * GWEI, GWEI))
    await ledger.send(sent.raw)
    with pytest.raises(ChainHalted):
        await app.run_job("anchors")
    assert await metric(app, "attestca_chain_halted") == 1
    assert await warnings(app) == [
        "nothing is anchored on the chain: it has a head that is not ours"
    ]
    issued(await app.enroll())


async def test_where_nothing_is_under_way_the_chain_is_left_alone(app: App, chain: Chain) -> None:
    await app.run_job("log")
    app.clock.now += timedelta(seconds=5)
    await app.run_job("anchors")
    chain.mine(8)
    await app.run_job("anchors")
    chain.process.kill()
    chain.process.wait()
    app.clock.now += timedelta(seconds=30)
    await app.run_job("anchors")  # it is not asked
    app.clock.now += timedelta(seconds=31)
    with pytest.raises(Unavailable):
        await app.run_job("anchors")


async def test_gas_that_costs_too_much_is_said(app: App, chain: Chain) -> None:
    await app.run_job("log")
    app.clock.now += timedelta(seconds=5)
    chain.base_fee(50)  # the default cap is 5
    chain.mine()
    await app.run_job("anchors")
    assert await metric(app, "attestca_anchor_too_expensive") == 1
    chain.base_fee(1)
    chain.mine()
    await app.run_job("anchors")
    assert await metric(app, "attestca_anchor_too_expensive") == 0


def _target(app: App) -> bytes:
    keeper = app.service.chain
    assert keeper is not None
    return keeper.anchorer.ledger.target
