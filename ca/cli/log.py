# SPDX-License-Identifier: Apache-2.0
"""`attestca log audit|key|rekey`: read an authority's public log from outside; its key, on the authority's machine."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ca.cli import inputs, options, output, remote
from ca.cli.exits import Exit, UnreadableError

if TYPE_CHECKING:
    from ca.config import Config
    from ca.note import Checkpoint, LogKey, Verifier
    from ca.replay import Replay

app = typer.Typer(
    name="log",
    help="The public log. Exit code of `audit`: 0 where all is well, 1 where it is not.",
    no_args_is_help=True,
)

_URL = re.compile(r"https?://[^/?#\s]+(/[^?#\s]*)?")

UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="The authority, https://….")]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="KEY", help="The log's verifier key, as `attestca log key` prints it."
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="FILE",
        help="Go on from what is in it, and leave there what the next time goes on from.",
    ),
]


@app.command("audit")
def audit_command(
    url: UrlArgument,
    key: KeyOption = None,
    state: StateOption = None,
    ca_root: remote.CaRootOption = None,
    as_json: options.JsonOption = False,
) -> int:
    """Read every entry, and hold it against the signed tree and against what was served the last time."""
    from ca.cli import log_reader
    from ca.note import NoteError
    from ca.replay import NotOneHistoryError

    if not _URL.fullmatch(url):
        raise typer.BadParameter("URL: must be https://host[:port][/path]")
    before = _before(state, key)

    async def read() -> tuple[Checkpoint, bytes]:
        async with log_reader.opened(url, ca_root) as reader:
            return await log_reader.read_on(reader, before.replay, before.verifier, _progress)

    try:
        checkpoint, note = asyncio.run(read())
    except (NotOneHistoryError, NoteError) as error:
        output.say(f"attestca: {url}: {error}")
        if before.note:
            output.say(f"The checkpoint of the last time, which is evidence:\n{before.note}")
        return Exit.REFUSED
    if state is not None:
        _keep(state, before, note)
    _show(checkpoint, before.replay, before.size, as_json=as_json)
    return Exit.REFUSED if before.replay.findings else Exit.OK


@dataclass(frozen=True, slots=True)
class _Before:
    """What the audit begins with. `note`: the checkpoint of the last time."""

    verifier: Verifier
    replay: Replay
    size: int
    note: str


def _before(state: Path | None, key: str | None) -> _Before:
    """Raises BadParameter, UnreadableError."""
    from ca.note import NoteError, parse_verifier
    from ca.replay import Replay

    if state is None or not state.exists():
        if key is None:
            raise typer.BadParameter("--key: the log's verifier key is needed the first time")
        try:
            return _Before(parse_verifier(key), Replay(), 0, "")
        except NoteError as error:
            raise typer.BadParameter(f"--key: {error}") from error
    try:
        found = json.loads(inputs.read_input(state))
        verifier = parse_verifier(found["key"])
        replay = Replay.from_json(found["replay"], verifier.open(found["checkpoint"].encode()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableError(f"{state}: not what an audit left behind: {error}") from error
    if key not in {None, verifier.text}:
        raise typer.BadParameter(f"--key: {state} is of another log")
    return _Before(verifier, replay, replay.size, found["checkpoint"])


def _keep(state: Path, before: _Before, note: bytes) -> None:
    """Instead of what was there, at once or not at all."""
    from ca.signers import files

    found = {"key": before.verifier.text, "checkpoint": note.decode()}
    text = json.dumps(found | {"replay": before.replay.to_json()}, indent=1)
    files.replace(state, text.encode() + b"\n")


def _progress(done: int, size: int) -> None:
    if done % (1 << 16) < 256:
        output.say(f"{done} of {size} entries …")


def _show(checkpoint: Checkpoint, replay: Replay, before: int, *, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "log": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "new": checkpoint.size - before,
        "entries": dict(sorted(replay.counts.items())),
        "findings": replay.findings,
    }
    if as_json:
        output.print_json(facts)
        return
    said = {name: str(facts[name]) for name in ("log", "size", "root", "new")}
    output.print_facts(said | {kind: str(count) for kind, count in facts["entries"].items()})
    for finding in replay.findings:
        output.say(f"finding: {finding}")
    if not replay.findings:
        output.say("One history, and it agrees with itself.")


@app.command("key")
def key_command(config: options.ConfigOption = None) -> None:
    """Print the log's verifier key, which every reader needs beforehand."""
    settings = options.load_config(config)
    output.write(_key(settings).verifier.text + "\n")


@app.command("rekey")
def rekey_command(config: options.ConfigOption = None) -> None:
    """Let a new key sign the log from now on: after a restore, or where the old one is lost or known to others.

    Readers see the old log end, and need the new key. The service takes it within a minute; other replicas need a
    copy of the new file log-<number>.secret first.
    """
    settings = options.load_config(config)
    key = _key(settings, new=True)
    asyncio.run(_replace(settings, key))
    output.say("The log has a new key. Tell its readers:")
    output.write(key.verifier.text + "\n")


def _key(settings: Config, *, new: bool = False) -> LogKey:
    from ca.app.log import log_name
    from ca.config import read_passphrase
    from ca.signers.folder import KeyFolder
    from ca.signers.log import add_log_key, log_key

    folder = KeyFolder(settings.ca.directory, read_passphrase(settings), secrets.token_bytes)
    if new:
        add_log_key(folder)
    key, _ = log_key(folder, log_name(settings))
    return key


async def _replace(settings: Config, key: LogKey) -> None:
    from ca.ports import OperatorAction
    from ca.store.sql import SqlStore

    verifier = key.verifier
    detail = json.dumps({"key": verifier.text})
    action = OperatorAction(inputs.now(), inputs.actor(), "log.rekey", verifier.name, detail)
    store = await SqlStore.open(options.database_url(settings))
    try:
        await store.log.replace_key(sha256(verifier.key).digest())
        await store.log_action(action)
    finally:
        await store.close()
