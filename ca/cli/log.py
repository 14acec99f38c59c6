# SPDX-License-Identifier: Apache-2.0
"""`attestca log audit|key|adopt|rekey`: read a public log from outside; its key, on the authority's machine."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ca.cli import inputs, log_chain, options, output, remote
from ca.cli.exits import Exit, UnreadableError

if TYPE_CHECKING:
    from attestca_client.protocol.checkpoint import Checkpoint, Head, Verifier
    from ca.config import Config
    from ca.ledger.events import Told
    from ca.note import LogKey
    from ca.replay import Replay
    from ca.signers.folder import KeyFolder
    from ca.signers.log import FileWitness

app = typer.Typer(
    name="log",
    help="The public log. Exit code of `audit`: 0 where all is well, 1 where it is not.",
    no_args_is_help=True,
)

TrustOption = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        metavar="BUNDLE",
        help="The authority's trust bundle: names the log's key, and the chain.",
    ),
]
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


FreshOption = Annotated[
    float | None,
    typer.Option(
        "--newest-within",
        metavar="HOURS",
        min=0,
        help="Exit code 1 where the checkpoint, or with --rpc the last anchor, is older: the log may be frozen, or"
        " shown to you as it once was.",
    ),
]


CheckpointOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="A checkpoint that somebody was shown: exit code 1 where it is not of the same history. Repeatable.",
    ),
]


@app.command("audit")
def audit_command(
    url: UrlArgument,
    key: KeyOption = None,
    state: StateOption = None,
    newest_within: FreshOption = None,
    checkpoint: CheckpointOption = None,
    trust: TrustOption = None,
    rpc: log_chain.RpcOption = None,
    chain: log_chain.ChainOption = None,
    from_block: log_chain.FromBlockOption = 0,
    ca_root: remote.CaRootOption = None,
    as_json: options.JsonOption = False,
) -> int:
    """Read every entry, and hold it against the signed tree, what was served the last time, and a chain."""
    from attestca_client.protocol.checkpoint import NoteError
    from ca.cli import log_heads, log_reader
    from ca.replay import NotOneHistoryError

    if not _URL.fullmatch(url):
        raise typer.BadParameter("URL: must be https://host[:port][/path]")
    bundle = log_chain.bundle_of(trust)
    place = log_chain.place_of(rpc, chain, from_block, bundle)
    before = _before(state, key or (bundle.log[0].text if bundle else None))
    shown = [_shown(path, before.verifier) for path in checkpoint or ()]

    async def read() -> tuple[Checkpoint, bytes, Told | None]:
        said = None if place is None else await log_chain.read(place)
        async with log_reader.opened(url, ca_root, before.verifier.name) as reader:
            newest, note = await log_reader.read_on(
                reader, before.replay, before.verifier, before.head, _progress
            )
            anchored = () if said is None else said.heads
            wrong = await log_heads.contradictions(reader, before.replay, (*shown, *anchored))
        if wrong:
            raise NotOneHistoryError("; ".join(wrong))
        return newest, note, said

    try:
        newest, note, said = asyncio.run(read())
    except (NotOneHistoryError, NoteError) as error:
        output.say(f"attestca: {url}: {error}")
        if before.note:
            output.say(f"The checkpoint of the last time, which is evidence:\n{before.note}")
        return Exit.REFUSED
    if state is not None:
        _keep(state, before, note)
    unlike = [] if said is None else log_chain.findings(said, before.replay)
    found = [*before.replay.findings, *unlike]
    _show(newest, before, found, said, as_json=as_json)
    heads = {"checkpoint": newest.head}
    if said is not None and said.heads:
        heads["anchor"] = said.heads[-1]
    old = [what for what, head in heads.items() if _is_old(what, head, newest_within)]
    return Exit.REFUSED if found or old else Exit.OK


def _shown(path: Path, verifier: Verifier) -> Head:
    """The head in a checkpoint of this log. Raises BadParameter, UnreadableError."""
    from attestca_client.protocol.checkpoint import NoteError

    try:
        return verifier.open(inputs.read_input(path)).head
    except NoteError as error:
        raise typer.BadParameter(f"--checkpoint: {path}: {error}") from error


def _is_old(what: str, head: Head, hours: float | None) -> bool:
    """Whether a head is older than it should be; said where it is so."""
    if hours is None:
        return False
    signed = datetime.fromtimestamp(head.time, UTC)
    old = signed < inputs.now() - timedelta(hours=hours)
    if old:
        output.say(f"attestca: the {what} was signed at {signed.isoformat()}")
    return old


@dataclass(frozen=True, slots=True)
class _Before:
    """What the audit begins with. `head`, `note`: the checkpoint of the last time."""

    verifier: Verifier
    replay: Replay
    head: Head
    note: str


def _before(state: Path | None, key: str | None) -> _Before:
    """Raises BadParameter, UnreadableError."""
    from attestca_client.protocol.checkpoint import EMPTY_HEAD, NoteError, parse_verifier
    from ca.replay import Replay

    if state is None or not state.exists():
        if key is None:
            raise typer.BadParameter(
                "--key: the log's verifier key, or --trust, is needed the first time"
            )
        try:
            return _Before(parse_verifier(key), Replay(), EMPTY_HEAD, "")
        except NoteError as error:
            raise typer.BadParameter(f"--key: {error}") from error
    try:
        found = json.loads(inputs.read_input(state))
        verifier = parse_verifier(found["key"])
        head = verifier.open(found["checkpoint"].encode()).head
        replay = Replay.from_json(found["replay"], head)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableError(f"{state}: not what an audit left behind: {error}") from error
    if key not in {None, verifier.text}:
        raise typer.BadParameter(f"--key: {state} is of another log")
    return _Before(verifier, replay, head, found["checkpoint"])


def _keep(state: Path, before: _Before, note: bytes) -> None:
    """Instead of what was there, at once or not at all."""
    from ca.signers import files

    found = {"key": before.verifier.text, "checkpoint": note.decode()}
    text = json.dumps(found | {"replay": before.replay.to_json()}, indent=1)
    files.replace(state, text.encode() + b"\n")


def _progress(done: int, size: int) -> None:
    if done % (1 << 16) < 256:
        output.say(f"{done} of {size} entries …")


def _show(
    checkpoint: Checkpoint,
    before: _Before,
    findings: list[str],
    said: Told | None,
    *,
    as_json: bool,
) -> None:
    head, replay = checkpoint.head, before.replay
    facts: dict[str, Any] = {
        "log": checkpoint.origin,
        "size": head.size,
        "root": head.root.hex(),
        "time": datetime.fromtimestamp(head.time, UTC).isoformat(),
        "revoked": head.revocation_count,
        "revocation_root": head.revocation_root.hex(),
        "new": head.size - before.head.size,
        "newest": "" if replay.newest is None else replay.newest.isoformat(),
        "entries": dict(sorted(replay.counts.items())),
        "findings": findings,
    }
    chain = {} if said is None else log_chain.facts(said, replay)
    if as_json:
        output.print_json(facts | ({"chain": chain} if chain else {}))
        return
    shown = {name: str(fact) for name, fact in facts.items() if isinstance(fact, (int, str))}
    counts = {kind: str(count) for kind, count in facts["entries"].items()}
    output.print_facts(shown | counts | {f"chain {one}": str(chain[one]) for one in chain})
    for finding in findings:
        output.say(f"finding: {finding}")
    if not findings:
        output.say("One history, and it agrees with itself.")


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
