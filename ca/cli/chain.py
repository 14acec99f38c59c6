# SPDX-License-Identifier: Apache-2.0
"""`attestca chain key|deploy|register|status|anchor|…`: the place on a chain where the log is anchored.

What only the admin may do stands in `ca.cli.chain_admin`; what a new admin has to sign too, and what the guardian says,
in `ca.cli.chain_others`. Everything here is paid by the account of `chain.gas_keystore`, which can do nothing else.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ca.cli import chain_admin, chain_others, inputs, options, output
from ca.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ca.anchoring import Anchorer
    from ca.config import Config
    from ca.ledger.desk import Namespace
    from ca.ledger_ports import AnchorRecord, Progress
    from ca.signers.folder import KeyFolder
    from ca.store.sql import SqlStore

app = typer.Typer(
    name="chain", help="The chain on which the log is anchored.", no_args_is_help=True
)
app.command("register")(chain_admin.register_command)
app.command("set-log-key")(chain_admin.set_log_key_command)
app.command("set-guardian")(chain_admin.set_guardian_command)
app.command("set-caps")(chain_admin.set_caps_command)
app.command("allow")(chain_admin.allow_command)
app.command("hand-over")(chain_others.hand_over_command)
app.command("revoke")(chain_others.revoke_command)

MakeOption = Annotated[bool, typer.Option("--make", help="Make a new key that signs anchors.")]
NoWaitOption = Annotated[
    bool, typer.Option("--no-wait", help="Send, and do not wait until the anchor is final.")
]
_SHOWN = 10  # anchors
_MINUTES = 30


@app.command("key")
def key_command(
    make: MakeOption = False,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show the addresses of the keys that sign anchors, the newest first, and of the account that pays."""
    from ca.app.chain import namespace_of
    from ca.ledger.accounts import by_address, keystore_address
    from ca.ledger.contract import checksum
    from ca.signers import files
    from ca.signers.chain import add_chain_key, chain_keys

    settings = options.load_config(config)
    folder = _folder(settings)
    if make:
        add_chain_key(folder)
    keys = [checksum(address) for address in by_address(chain_keys(folder))]
    keystore = settings.chain.gas_keystore
    facts: dict[str, Any] = {
        "log_keys": keys,
        "payer": keystore_address(files.read(keystore)) if keystore else "",
        "namespace": namespace_of(settings.chain, folder.root()),
    }
    if as_json:
        output.print_json(facts)
        return
    output.print_facts(facts | {"log_keys": "\n".join(keys) or "none: --make"})


@app.command("deploy")
def deploy_command(
    config: options.ConfigOption = None, as_json: options.JsonOption = False
) -> None:
    """Put a registry contract on the chain. One is enough for many authorities; none can touch another's namespace."""
    from ca.ledger.contract import checksum
    from ca.ledger.desk import check_deployed, deployment

    settings = options.load_config(config)

    async def run() -> bytes:
        async with chain_admin.desk_of(settings.chain) as desk:
            made = await chain_admin.carry(desk, deployment(), settings.chain)
            assert made is not None  # noqa: S101 - a receipt of a deployment has an address
            await check_deployed(desk.nodes, made)
            return made

    address = checksum(asyncio.run(run()))
    if as_json:
        output.print_json({"contract": address})
        return
    output.say("The registry is there. Put it into the configuration, section [chain]:")
    output.write(f'contract = "{address}"\n')


@app.command("status")
def status_command(
    config: options.ConfigOption = None, as_json: options.JsonOption = False
) -> None:
    """Show what the chain says of this authority, and what became of the last anchors."""
    settings = options.load_config(config)
    found, progress, records, balance = asyncio.run(_status(settings))
    facts = _facts(found, progress, balance)
    if as_json:
        anchors = [_anchor(settings, record) for record in records]
        output.print_json(facts | {"anchors": anchors})
        return
    output.print_facts({name: str(value) for name, value in facts.items()})
    output.print_table(
        ("number", "state", "entries", "tombstones", "created", "block", "transaction"),
        (tuple(map(str, _anchor(settings, record).values())) for record in records),
        title="anchors",
    )


async def _status(
    settings: Config,
) -> tuple[Namespace, Progress, tuple[AnchorRecord, ...], int]:
    from ca.app.chain import registry_of
    from ca.ledger.desk import balance, check_deployed, namespace
    from ca.store.sql import SqlStore

    async with chain_admin.nodes_of(settings.chain) as nodes:
        registry = registry_of(settings.chain, chain_admin.ca_id_of(settings))
        await check_deployed(nodes, registry.address)
        found = await namespace(nodes, registry)
        coins = await balance(nodes, chain_admin.payer_address(settings))
    store = await SqlStore.open(options.database_url(settings))
    try:
        progress = await store.anchors.progress(registry.target)
        records = await store.anchors.newest(registry.target, _SHOWN)
    finally:
        await store.close()
    return found, progress, records, coins


def _facts(found: Namespace, progress: Progress, balance: int) -> dict[str, Any]:
    from ca.ledger.contract import checksum

    head = found.head
    return {
        "size": head.size,
        "root": head.root.hex(),
        "revoked": head.revocation_count,
        "time": _instant(head.time) if head.time else "",
        "age_seconds": max(0, found.block_time - head.time) if head.time else None,
        "final": _instant(progress.final.head.time) if progress.final else "",
        "block": found.block,
        "admin": checksum(found.admin),
        "log_key": checksum(found.log_key),
        "guardian": checksum(found.guardian),
        "admin_nonce": found.nonce,
        "log_key_per_day": found.caps[0],
        "log_key_left_today": found.left[0],
        "guardian_per_day": found.caps[1],
        "guardian_left_today": found.left[1],
        "payer_balance_wei": balance,
    }


def _anchor(settings: Config, record: AnchorRecord) -> dict[str, Any]:
    sent = record.transactions
    return {
        "number": record.number,
        "state": record.state.value,
        "size": record.head.size,
        "tombstones": len(record.tombstones),
        "created_at": record.created_at.isoformat(timespec="seconds"),
        "block": record.block.number if record.block else "",
        "transaction": chain_admin.link(settings.chain, sent[-1].hash) if sent else "adopted",
    }


@app.command("anchor")
def anchor_command(no_wait: NoWaitOption = False, config: options.ConfigOption = None) -> int:
    """Anchor the newest checkpoint now, whether the heartbeat is due or not, and wait until it is final.

    Exit code 1 where it was not within half an hour. The service may run meanwhile.
    """
    settings = options.load_config(config)
    return asyncio.run(_anchored(settings, wait=not no_wait))


async def _anchored(settings: Config, *, wait: bool) -> int:
    async with _anchorer(settings) as anchorer:
        await asyncio.sleep(1)  # a head of this very second is not anchored yet
        end = inputs.now() + timedelta(minutes=_MINUTES)
        shown: set[bytes] = set()
        while inputs.now() < end:
            turn = await anchorer.turn(inputs.now())
            progress = await anchorer.progress()
            for record in progress.unsettled:
                _tell(settings, record, shown)
            output.say(f"{turn.step.value}: {len(progress.unsettled)} not final yet")
            if not progress.unsettled or not wait:
                _tell_end(settings, progress)
                return Exit.OK
            await asyncio.sleep(settings.chain.poll_seconds)
    return Exit.REFUSED


def _tell(settings: Config, record: AnchorRecord, shown: set[bytes]) -> None:
    for transaction in record.transactions:
        if transaction.hash not in shown:
            shown.add(transaction.hash)
            output.say(chain_admin.link(settings.chain, transaction.hash))


def _tell_end(settings: Config, progress: Progress) -> None:
    newest = progress.unsettled[-1] if progress.unsettled else progress.final
    if newest is None:
        output.say("nothing is published that could be anchored")
        return
    link = chain_admin.link(settings.chain, newest.transactions[-1].hash)
    output.write(f"{newest.state.value} {newest.head.size} {link}\n")


@app.command("adopt")
def adopt_command(config: options.ConfigOption = None) -> None:
    """Take it that the head on the chain is good, though it was not anchored from this database.

    After a stolen log key was replaced, or the database was restored: see docs/chain.md, Recovery. Refused unless the
    head is of this log, and what it says of revocations is what the log says.
    """
    from ca.app.chain import adopt

    settings = options.load_config(config)

    async def run() -> int:
        from ca.store.sql import SqlStore

        store = await SqlStore.open(options.database_url(settings))
        try:
            async with _ledger(settings) as ledger:
                head = await adopt(store, ledger, inputs.now())
                await store.log_action(chain_admin.action("chain.adopt", str(head.size)))
                return head.size
        finally:
            await store.close()

    output.say(f"The head of {asyncio.run(run())} entries counts as ours.")


@asynccontextmanager
async def _anchorer(settings: Config) -> AsyncIterator[Anchorer]:
    """Who anchors at once."""
    from ca.anchoring import Anchorer
    from ca.app.chain import Heads, rules_of
    from ca.store.sql import SqlStore

    store: SqlStore = await SqlStore.open(options.database_url(settings))
    try:
        async with _ledger(settings) as ledger:
            heads = Heads(settings, _folder(settings), store)
            rules = replace(rules_of(settings.chain), heartbeat=timedelta(0))
            yield Anchorer(store.anchors, ledger, heads.newest, rules)
    finally:
        await store.close()


def _ledger(settings: Config) -> Any:  # noqa: ANN401 - a context manager of what is imported late
    from ca.app.chain import ledger_of

    return ledger_of(settings.chain, _folder(settings), chain_admin.ca_id_of(settings))


def _folder(settings: Config) -> KeyFolder:
    from ca.config import read_passphrase
    from ca.signers.folder import KeyFolder

    return KeyFolder(settings.ca.directory, read_passphrase(settings), secrets.token_bytes)


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
