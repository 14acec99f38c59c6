# SPDX-License-Identifier: Apache-2.0
"""`attestca log key|adopt|rekey`: the log's key, on the authority's machine. `audit` stands in `ca.cli.log_audit`."""

from __future__ import annotations

import asyncio
import json
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING

import typer

from ca.cli import inputs, log_audit, options, output

if TYPE_CHECKING:
    from ca.config import Config
    from ca.note import LogKey
    from ca.signers.folder import KeyFolder
    from ca.signers.log import FileWitness

app = typer.Typer(
    name="log",
    help="The public log. Exit code of `audit`: 0 where all is well, 1 where it is not.",
    no_args_is_help=True,
)

app.command("audit")(log_audit.audit_command)


@app.command("key")
def key_command(config: options.ConfigOption = None) -> None:
    """Print the log's verifier key, which every reader needs beforehand."""
    settings = options.load_config(config)
    key, _, _ = asyncio.run(_in_force(settings))
    output.write(key.verifier.text + "\n")


@app.command("adopt")
def adopt_command(config: options.ConfigOption = None) -> None:
    """Take it that the checkpoint in the database is the last that the log's key signed.

    For a folder that has lost log-<number>.checkpoint, or must not trust it, where no other replica has it. Only if
    the database was neither restored nor failed over since: else use `rekey`, or the log may show two histories.
    """
    from attestca_client.protocol.checkpoint import NoteError
    from ca.errors import LogHalted, NotFound
    from ca.signers.log import adopt

    settings = options.load_config(config)
    key, witness, note = asyncio.run(_in_force(settings))
    if note is None:
        raise NotFound("no checkpoint is published that could be adopted: `attestca log rekey`")
    try:
        key.verifier.open(note)
    except NoteError as error:
        raise LogHalted(f"the checkpoint in the database is damaged: {error}") from error
    adopt(witness, note)
    asyncio.run(_told(settings, "log.adopt", key, note.decode()))
    output.say(f"{witness.path} is now:")
    output.write(note.decode())


@app.command("rekey")
def rekey_command(config: options.ConfigOption = None) -> None:
    """Let a new key sign the log from now on: after a restore, or where the old one is lost or known to others.

    Readers see the old log end, and need the new key. The service takes it within a minute; other replicas need a
    copy of the new files log-<number>.secret and log-<number>.checkpoint first.
    """
    from ca.app.log import log_host
    from ca.signers.log import add_log_key

    settings = options.load_config(config)
    key, _ = add_log_key(_folder(settings), log_host(settings))
    asyncio.run(_told(settings, "log.rekey", key, key.verifier.text))
    output.say("The log has a new key. Tell its readers:")
    output.write(key.verifier.text + "\n")


def _folder(settings: Config) -> KeyFolder:
    from ca.config import read_passphrase
    from ca.signers.folder import KeyFolder

    return KeyFolder(settings.ca.directory, read_passphrase(settings), secrets.token_bytes)


async def _in_force(settings: Config) -> tuple[LogKey, FileWitness, bytes | None]:
    """The key that may sign, its witness, and the published note. Raises NotFound without the key."""
    from ca.app.log import log_host
    from ca.signers.log import log_key
    from ca.store.sql import SqlStore

    store = await SqlStore.open(options.database_url(settings))
    try:
        bound = await store.log.checkpoint()
    finally:
        await store.close()
    digest, note = (None, None) if bound is None else (bound.key_sha256, bound.note)
    return *log_key(_folder(settings), log_host(settings), digest), note


async def _told(settings: Config, action: str, key: LogKey, what: str) -> None:
    """Have the operators' log tell of it; a new key is the one that may sign from now on."""
    from ca.ports import OperatorAction
    from ca.store.sql import SqlStore

    verifier, new = key.verifier, action == "log.rekey"
    detail = json.dumps({"key" if new else "checkpoint": what})
    line = OperatorAction(inputs.now(), inputs.actor(), action, verifier.name, detail)
    store = await SqlStore.open(options.database_url(settings))
    try:
        if new:
            await store.log.replace_key(sha256(verifier.key).digest())
        await store.log_action(line)
    finally:
        await store.close()
