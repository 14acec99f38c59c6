# SPDX-License-Identifier: Apache-2.0
"""What the admin of a namespace decides: `attestca chain register|set-log-key|set-guardian|set-caps|allow`.

The admin's key is kept elsewhere, so each of these goes in one of three ways:

    (nothing)                      prints what is to be signed: EIP-712 typed data, as wallets take it
    --signature HEX                sends what was signed; anybody may, and the account of chain.gas_keystore pays
    --admin-keystore FILE          signs here and sends, for an admin whose key is a keystore file on this machine
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ca.cli import inputs, options, output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ca.config import Chain, Config
    from ca.ledger.contract import Registry
    from ca.ledger.desk import Decision, Desk
    from ca.ledger.rpc import Nodes
    from ca.ledger.transactions import Call
    from ca.ports import OperatorAction

SignatureOption = Annotated[
    str | None,
    typer.Option("--signature", metavar="HEX", help="The admin's signature of what was printed."),
]
KeystoreOption = Annotated[
    Path | None,
    typer.Option("--admin-keystore", metavar="FILE", help="Sign here, with the key in this file."),
]
KeystorePassphraseOption = Annotated[
    Path | None,
    typer.Option("--admin-passphrase-file", metavar="FILE", help="Its passphrase is in it."),
]
GuardianOption = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Who else may revoke, and nothing more. Default: nobody."),
]
LogKeyCapOption = Annotated[
    int,
    typer.Option(
        "--log-key-per-day", min=0, max=2**32 - 1, metavar="N", help="Tombstones of the log key."
    ),
]
GuardianCapOption = Annotated[
    int,
    typer.Option(
        "--guardian-per-day", min=0, max=2**32 - 1, metavar="N", help="Tombstones of the guardian."
    ),
]
DayOption = Annotated[
    int | None,
    typer.Option(min=0, metavar="DAY", help="Days since 1970-01-01 (UTC). Default: today."),
]
AddressArgument = Annotated[
    str | None, typer.Argument(metavar="[ADDRESS]", help="Default: the newest key in the folder.")
]
GuardianArgument = Annotated[
    str | None, typer.Argument(metavar="[ADDRESS]", help="Default: nobody.")
]
_NOBODY = bytes(20)
_SECONDS_A_DAY = 86_400


def register_command(
    guardian: GuardianOption = None,
    log_key_per_day: LogKeyCapOption = 1000,
    guardian_per_day: GuardianCapOption = 100,
    signature: SignatureOption = None,
    admin_keystore: KeystoreOption = None,
    admin_passphrase_file: KeystorePassphraseOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Make this authority's namespace in the registry, with the newest key of `attestca chain key`."""
    from ca.ledger.desk import registration

    settings = options.load_config(config)
    signer = _Signer(settings, signature, admin_keystore, admin_passphrase_file)
    second = _address(guardian, "--guardian")
    log_key, caps = _newest_key(settings), (log_key_per_day, guardian_per_day)
    decision = registration(_registry(settings), log_key, second, caps)
    asyncio.run(signer.decide(decision))


def set_log_key_command(
    address: AddressArgument = None,
    signature: SignatureOption = None,
    admin_keystore: KeystoreOption = None,
    admin_passphrase_file: KeystorePassphraseOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Have another key sign anchors, at once: after `attestca chain key --make`. The zero address: nobody."""
    settings = options.load_config(config)
    signer = _Signer(settings, signature, admin_keystore, admin_passphrase_file)
    new = _newest_key(settings) if address is None else _address(address, "ADDRESS")
    asyncio.run(signer.change("SetLogKey", {"logKey": new}))


def set_guardian_command(
    address: GuardianArgument = None,
    signature: SignatureOption = None,
    admin_keystore: KeystoreOption = None,
    admin_passphrase_file: KeystorePassphraseOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Have another guardian, at once."""
    settings = options.load_config(config)
    signer = _Signer(settings, signature, admin_keystore, admin_passphrase_file)
    asyncio.run(signer.change("SetGuardian", {"guardian": _address(address, "ADDRESS")}))


def set_caps_command(
    log_key_per_day: LogKeyCapOption,
    guardian_per_day: GuardianCapOption,
    signature: SignatureOption = None,
    admin_keystore: KeystoreOption = None,
    admin_passphrase_file: KeystorePassphraseOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Set how many tombstones may be written on one day."""
    settings = options.load_config(config)
    signer = _Signer(settings, signature, admin_keystore, admin_passphrase_file)
    asyncio.run(signer.change("SetCaps", {"caps": (log_key_per_day, guardian_per_day)}))


def allow_command(
    log_key_per_day: LogKeyCapOption,
    guardian_per_day: GuardianCapOption = 0,
    day: DayOption = None,
    signature: SignatureOption = None,
    admin_keystore: KeystoreOption = None,
    admin_passphrase_file: KeystorePassphraseOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Allow so many tombstones more on one day. A second time for the same day replaces the first."""
    settings = options.load_config(config)
    signer = _Signer(settings, signature, admin_keystore, admin_passphrase_file)
    today = int(inputs.now().timestamp()) // _SECONDS_A_DAY if day is None else day
    extra = (log_key_per_day, guardian_per_day)
    asyncio.run(signer.change("Allow", {"day": today, "extra": extra}))


class _Signer:
    """How the admin says so."""

    def __init__(
        self,
        settings: Config,
        signature: str | None,
        keystore: Path | None,
        passphrase: Path | None,
    ) -> None:
        if signature is not None and keystore is not None:
            raise typer.BadParameter("only one of --signature and --admin-keystore")
        if signature is not None and not re.fullmatch("(0x)?([0-9a-fA-F]{2})+", signature):
            raise typer.BadParameter("--signature: must be hexadecimal digits")
        if (keystore is None) != (passphrase is None):
            raise typer.BadParameter("--admin-keystore goes with --admin-passphrase-file")
        self._settings = settings
        self._signature = signature
        self._keystore = keystore
        self._passphrase = passphrase

    async def change(self, name: str, fields: dict[str, Any]) -> None:
        """What changes a namespace that is there; it is good for the namespace's nonce of now."""
        from ca.ledger.desk import change, namespace

        registry = _registry(self._settings)
        async with nodes_of(self._settings) as nodes:
            nonce = (await namespace(nodes, registry)).nonce
        await self.decide(change(registry, name, fields, nonce))

    async def decide(self, decision: Decision) -> None:
        """Print what is to be signed, or send it."""
        signature = self._signed(decision)
        if signature is None:
            output.say("To be signed by the admin, and given back with --signature:")
            output.print_json(decision.typed)
            return
        async with desk_of(self._settings) as desk:
            await carry(desk, decision.call(signature), self._settings.chain)
        await _told(self._settings, decision)
        output.say(f"{decision.name}: done")

    def _signed(self, decision: Decision) -> bytes | None:
        from ca.config import PassphraseSource, read_from
        from ca.ledger.accounts import address_of, open_keystore
        from ca.ledger.desk import sign_typed

        if self._signature is not None:
            return bytes.fromhex(self._signature.removeprefix("0x"))
        if self._keystore is None:
            return None
        source = PassphraseSource("file", str(self._passphrase))
        passphrase = read_from(source, "--admin-passphrase-file")
        data = inputs.read_input(self._keystore)
        admin = open_keystore(data, passphrase, str(self._keystore))
        if address_of(admin) != decision.admin:
            raise typer.BadParameter("--admin-keystore: not the key of chain.admin")
        return sign_typed(admin, decision.typed)


async def carry(desk: Desk, call: Call, settings: Chain) -> bytes | None:
    """Send, say where it can be looked at, and wait. The address of a contract that it made."""
    sent = await desk.send(call)
    output.say(f"sent      {link(settings, sent.hash)}")
    started = time.monotonic()
    done = await desk.wait(sent)
    seconds = time.monotonic() - started
    output.say(f"in block  {done.number}, after {seconds:.0f} s, {done.gas_used} gas")
    return done.made


@asynccontextmanager
async def nodes_of(settings: Config) -> AsyncIterator[Nodes]:
    """The nodes of the configuration."""
    from ca.errors import ConfigurationError
    from ca.ledger.rpc import connected

    chain = settings.chain
    if not chain.urls or chain.chain_id is None:
        raise ConfigurationError("chain: rpc and chain_id must be given")
    async with connected(chain.urls, chain.chain_id) as nodes:
        yield nodes


@asynccontextmanager
async def desk_of(settings: Config) -> AsyncIterator[Desk]:
    """Who sends, and pays."""
    from ca.app.chain import payer_of
    from ca.ledger.desk import Desk

    async with nodes_of(settings) as nodes:
        payer = payer_of(settings.chain)
        yield Desk(nodes, payer, settings.chain.chain_id or 0, settings.chain.max_fee)


def link(settings: Chain, transaction: bytes) -> str:
    """Where people look at it; its hash where no explorer is configured."""
    name = f"0x{transaction.hex()}"
    return settings.explorer.replace("{hash}", name) if settings.explorer else name


def action(name: str, detail: str) -> OperatorAction:
    """A line for the operators' log."""
    from ca.ports import OperatorAction

    return OperatorAction(inputs.now(), inputs.actor(), name, "chain", detail)


def ca_id_of(settings: Config) -> bytes:
    """Of the authority in the configured folder."""
    import secrets

    from ca.app.keys import ca_id
    from ca.signers.folder import KeyFolder

    return ca_id(KeyFolder(settings.ca.directory, b"", secrets.token_bytes).root())


def payer_address(settings: Config) -> bytes:
    """Of the account that pays; its keystore says so without the passphrase."""
    from ca.ledger.accounts import keystore_address
    from ca.ledger.contract import parse_address
    from ca.signers import files

    keystore = settings.chain.gas_keystore
    if keystore is None:
        return _NOBODY
    return parse_address(keystore_address(files.read(keystore)), "chain.gas_keystore")


def _registry(settings: Config) -> Registry:
    from ca.app.chain import registry_of

    return registry_of(settings.chain, ca_id_of(settings))


def _newest_key(settings: Config) -> bytes:
    import secrets

    from ca.config import read_passphrase
    from ca.errors import NotFound
    from ca.ledger.accounts import account_of, address_of
    from ca.signers.chain import chain_keys
    from ca.signers.folder import KeyFolder

    folder = KeyFolder(settings.ca.directory, read_passphrase(settings), secrets.token_bytes)
    keys = chain_keys(folder)
    if not keys:
        raise NotFound("no key that signs anchors: `attestca chain key --make`")
    return address_of(account_of(keys[0], "chain-log"))


def _address(text: str | None, what: str) -> bytes:
    from ca.errors import ConfigurationError
    from ca.ledger.contract import parse_address

    if text is None:
        return _NOBODY
    try:
        return parse_address(text, what)
    except ConfigurationError as error:
        raise typer.BadParameter(error.detail) from error


async def _told(settings: Config, decision: Decision) -> None:
    """Have the operators' log tell of it."""
    from ca.store.sql import SqlStore

    store = await SqlStore.open(options.database_url(settings))
    try:
        await store.log_action(action(f"chain.{decision.name}", str(decision.typed["message"])))
    finally:
        await store.close()
