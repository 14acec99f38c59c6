# SPDX-License-Identifier: Apache-2.0
"""What the admin of a namespace decides: `attestca chain register|set-log-key|set-guardian|set-caps|allow`.

The admin's key is kept elsewhere, so each of these goes in one of three ways:

    (nothing)                      prints what is to be signed: EIP-712 typed data, as wallets take it
    --signature HEX                sends what was signed; anybody may, and the account of chain.gas_keystore pays
    --admin-keystore FILE          signs here and sends, for an admin whose key is a keystore file on this machine

The admin is the one that the registry names, who after `attestca chain hand-over` is not the one that registered.
`chain.admin` stays: the namespace hangs on it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ca.cli import chain_sign, inputs, options, output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ca.config import Chain, Config
    from ca.ledger.accounts import LocalAccount
    from ca.ledger.contract import Registry
    from ca.ledger.desk import Decision, Desk, Namespace
    from ca.ledger.rpc import Nodes
    from ca.ledger.transactions import Call
    from ca.ports import OperatorAction
    from ca.signers.folder import KeyFolder

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


@dataclass(frozen=True, slots=True)
class _Admin:
    """Who decides, in one of the three ways, and about the namespace of which authority."""

    settings: Config
    signer: chain_sign.Signing

    @classmethod
    def of(cls, config: Path | None, signature: str | None, *keystore: Path | None) -> _Admin:
        """From the options that all these commands have; `keystore` is the file and its passphrase's."""
        return cls(options.load_config(config), chain_sign.admin(signature, *keystore))

    def changes(self, name: str, **fields: Any) -> None:  # noqa: ANN401 - as typed data has them
        """What changes a namespace that is there; it is good for the namespace's nonce of now."""
        from ca.ledger.desk import change

        registry = registry_of(self.settings)
        found = asyncio.run(_namespace(self.settings, registry))
        self.decides(change(registry, name, fields, found))

    def decides(self, decision: Decision) -> None:
        """Print what is to be signed, or send it."""
        signature = self.signer.sign(decision.typed, decision.signer)
        if signature is None:
            output.say("To be signed by the admin, and given back with --signature:")
            output.print_json(decision.typed)
            return
        asyncio.run(send(self.settings, decision, signature))


async def _namespace(settings: Config, registry: Registry) -> Namespace:
    from ca.ledger.desk import namespace

    async with nodes_of(settings.chain) as nodes:
        return await namespace(nodes, registry)


def register_command(
    guardian: GuardianOption = None,
    log_key_per_day: LogKeyCapOption = 1000,
    guardian_per_day: GuardianCapOption = 100,
    signature: chain_sign.SignatureOption = None,
    admin_keystore: chain_sign.KeystoreOption = None,
    admin_passphrase_file: chain_sign.KeystorePassphraseOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Make this authority's namespace in the registry, with the newest key of `attestca chain key`."""
    from ca.ledger.desk import registration

    admin = _Admin.of(config, signature, admin_keystore, admin_passphrase_file)
    second = address_given(guardian, "--guardian")
    log_key, caps = _newest_key(admin.settings), (log_key_per_day, guardian_per_day)
    admin.decides(registration(registry_of(admin.settings), log_key, second, caps))


def set_log_key_command(
    address: AddressArgument = None,
    signature: chain_sign.SignatureOption = None,
    admin_keystore: chain_sign.KeystoreOption = None,
    admin_passphrase_file: chain_sign.KeystorePassphraseOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Have another key sign anchors, at once: after `attestca chain key --make`. The zero address: nobody."""
    admin = _Admin.of(config, signature, admin_keystore, admin_passphrase_file)
    newest = address is None
    new = _newest_key(admin.settings) if newest else address_given(address, "ADDRESS")
    admin.changes("SetLogKey", logKey=new)


def set_guardian_command(
    address: GuardianArgument = None,
    signature: chain_sign.SignatureOption = None,
    admin_keystore: chain_sign.KeystoreOption = None,
    admin_passphrase_file: chain_sign.KeystorePassphraseOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Have another guardian, at once."""
    admin = _Admin.of(config, signature, admin_keystore, admin_passphrase_file)
    admin.changes("SetGuardian", guardian=address_given(address, "ADDRESS"))


def set_caps_command(
    log_key_per_day: LogKeyCapOption,
    guardian_per_day: GuardianCapOption,
    signature: chain_sign.SignatureOption = None,
    admin_keystore: chain_sign.KeystoreOption = None,
    admin_passphrase_file: chain_sign.KeystorePassphraseOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Set how many tombstones may be written on one day."""
    admin = _Admin.of(config, signature, admin_keystore, admin_passphrase_file)
    admin.changes("SetCaps", caps=(log_key_per_day, guardian_per_day))


def allow_command(
    log_key_per_day: LogKeyCapOption,
    guardian_per_day: GuardianCapOption = 0,
    day: DayOption = None,
    signature: chain_sign.SignatureOption = None,
    admin_keystore: chain_sign.KeystoreOption = None,
    admin_passphrase_file: chain_sign.KeystorePassphraseOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Allow so many tombstones more on one day. A second time for the same day replaces the first."""
    admin = _Admin.of(config, signature, admin_keystore, admin_passphrase_file)
    today = int(inputs.now().timestamp()) // _SECONDS_A_DAY if day is None else day
    admin.changes("Allow", day=today, extra=(log_key_per_day, guardian_per_day))


async def send(settings: Config, decision: Decision, *signatures: bytes) -> None:
    """Have the account that pays send it, wait, and tell of it."""
    async with desk_of(settings.chain) as desk:
        await carry(desk, decision.call(*signatures), settings.chain)
    await told(settings, decision)
    output.say(f"{decision.name}: done")


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
async def nodes_of(chain: Chain) -> AsyncIterator[Nodes]:
    """The nodes of the configuration."""
    from ca.errors import ConfigurationError
    from ca.ledger.rpc import connected

    if not chain.urls or chain.chain_id is None:
        raise ConfigurationError("chain: rpc and chain_id must be given")
    async with connected(chain.urls, chain.chain_id) as nodes:
        yield nodes


@asynccontextmanager
async def desk_of(chain: Chain, payer: LocalAccount | None = None) -> AsyncIterator[Desk]:
    """Who sends, and pays: the account of `chain.gas_keystore`, where nobody else is given."""
    from ca.app.chain import payer_of
    from ca.ledger.desk import Desk

    async with nodes_of(chain) as nodes:
        yield Desk(nodes, payer or payer_of(chain), chain.chain_id or 0, chain.max_fee)


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
    from ca.app.keys import ca_id

    return ca_id(_folder(settings, b"").root())


def _folder(settings: Config, passphrase: bytes) -> KeyFolder:
    import secrets

    from ca.signers.folder import KeyFolder

    return KeyFolder(settings.ca.directory, passphrase, secrets.token_bytes)


def payer_address(settings: Config) -> bytes:
    """Of the account that pays; its keystore says so without the passphrase."""
    from ca.ledger.accounts import keystore_address
    from ca.ledger.contract import parse_address
    from ca.signers import files

    keystore = settings.chain.gas_keystore
    if keystore is None:
        return _NOBODY
    return parse_address(keystore_address(files.read(keystore)), "chain.gas_keystore")


def registry_of(settings: Config) -> Registry:
    """The registry of the configuration, and our namespace in it."""
    from ca.app import chain

    return chain.registry_of(settings.chain, ca_id_of(settings))


def _newest_key(settings: Config) -> bytes:
    from ca.config import read_passphrase
    from ca.errors import NotFound
    from ca.ledger.accounts import account_of, address_of
    from ca.signers.chain import chain_keys

    keys = chain_keys(_folder(settings, read_passphrase(settings)))
    if not keys:
        raise NotFound("no key that signs anchors: `attestca chain key --make`")
    return address_of(account_of(keys[0], "chain-log"))


def address_given(text: str | None, what: str) -> bytes:
    """20 bytes; zero where none was given. Raises BadParameter."""
    from ca.errors import ConfigurationError
    from ca.ledger.contract import parse_address

    if text is None:
        return _NOBODY
    try:
        return parse_address(text, what)
    except ConfigurationError as error:
        raise typer.BadParameter(error.detail) from error


async def told(settings: Config, decision: Decision) -> None:
    """Have the operators' log tell of it."""
    from ca.store.sql import SqlStore

    store = await SqlStore.open(options.database_url(settings))
    try:
        await store.log_action(action(f"chain.{decision.name}", str(decision.typed["message"])))
    finally:
        await store.close()
