# SPDX-License-Identifier: Apache-2.0
"""`attestca log audit`: read a public log from outside, and hold it against all else that is said of it.

Nothing but public addresses is needed: no token, no database, no configuration.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ca.cli import inputs, log_chain, log_state, options, output, remote
from ca.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from attestca_client.protocol.checkpoint import Checkpoint, Head, Verifier
    from ca.cli.log_chain import Place
    from ca.cli.log_state import Seen, State
    from ca.ledger.events import Told

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


def audit_command(
    url: UrlArgument,
    key: KeyOption = None,
    state: StateOption = None,
    newest_within: FreshOption = None,
    checkpoint: CheckpointOption = None,
    trust: TrustOption = None,
    root: log_chain.RootOption = None,
    rpc: log_chain.RpcOption = None,
    chain: log_chain.ChainOption = None,
    from_block: log_chain.FromBlockOption = None,
    ca_root: remote.CaRootOption = None,
    as_json: options.JsonOption = False,
) -> int:
    """Read every entry, and hold it against the signed tree, what was served the last time, and a chain."""
    from attestca_client.protocol.checkpoint import NoteError
    from ca.replay import NotOneHistoryError

    if not _URL.fullmatch(url):
        raise typer.BadParameter("URL: must be https://host[:port][/path]")
    bundle = log_chain.bundle_of(trust)
    place = log_chain.place_of(rpc, chain, from_block, bundle)
    before = log_state.read(state, key or (bundle.log[0].text if bundle and bundle.log else None))
    ca_id = log_chain.check_root(bundle, root, before.ca_id)
    shown = [_shown(path, before.verifier) for path in checkpoint or ()]
    try:
        read = asyncio.run(_read(url, ca_root, before, place, shown))
    except (NotOneHistoryError, NoteError) as error:
        output.say(f"attestca: {url}: {error}")
        if before.note:
            output.say(f"The checkpoint of the last time, which is evidence:\n{before.note}")
        return Exit.REFUSED
    if state is not None:
        seen = log_chain.shortened(read.seen) if read.seen else before.chain
        after = replace(
            before, head=read.newest.head, note=read.note.decode(), ca_id=ca_id, chain=seen
        )
        log_state.keep(state, after)
    said = None if read.seen is None else read.seen.said
    unlike = [] if said is None else log_chain.findings(said, before.replay)
    found = [*before.replay.findings, *unlike]
    _show(read.newest, before, found, said, as_json=as_json)
    heads = {"checkpoint": read.newest.head}
    if said is not None and said.heads:
        heads["anchor"] = said.heads[-1]
    old = [what for what, head in heads.items() if _is_old(what, head, newest_within)]
    return Exit.REFUSED if found or old else Exit.OK


@dataclass(frozen=True, slots=True)
class _Answers:
    """What was read: the newest checkpoint with its note, and what the chain says."""

    newest: Checkpoint
    note: bytes
    seen: Seen | None


async def _read(
    url: str, ca_root: Path | None, before: State, place: Place | None, shown: list[Head]
) -> _Answers:
    """Raises NotOneHistoryError, NoteError, NotFound, Unavailable."""
    from ca.cli import log_heads, log_reader
    from ca.replay import NotOneHistoryError

    seen = None if place is None else await log_chain.read(place, before.chain)
    # What was kept of the chain was held against the log when it was new.
    anchored = () if seen is None else seen.said.heads[len(seen.said.heads) - seen.said.new :]
    async with log_reader.opened(url, ca_root, before.verifier.name) as reader:
        with output.progress() as progress:
            newest, note = await log_reader.read_on(
                reader, before.replay, before.verifier, before.head, partial(_progress, progress)
            )
        wrong = await log_heads.contradictions(reader, before.replay, (*shown, *anchored))
    if wrong:
        raise NotOneHistoryError("; ".join(wrong))
    return _Answers(newest, note, seen)


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


def _progress(show: Callable[[str], None], done: int, size: int) -> None:
    show(f"{done} of {size} entries …")


def _show(
    checkpoint: Checkpoint,
    before: State,
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
