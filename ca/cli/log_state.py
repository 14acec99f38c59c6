# SPDX-License-Identifier: Apache-2.0
"""What `attestca log audit` leaves behind for the next time: a file that only a good history replaces.

It holds the log's key, the newest checkpoint and what was read up to it, which root's trust bundle was used, and what a
chain said up to a block, of whose heads each was held against the log. What is read from it is looked at as if a
stranger had written it, but for the chain's part: whoever can write the file can have it say anything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from ca.cli import inputs
from ca.cli.exits import UnreadableError

if TYPE_CHECKING:
    from pathlib import Path

    from attestca_client.protocol.checkpoint import Head, Verifier
    from ca.ledger.events import Told
    from ca.replay import Replay


@dataclass(frozen=True, slots=True)
class Seen:
    """What a chain said from the block `first` on, at one place. `contract`: 20 bytes; `namespace`: 32."""

    chain_id: int
    contract: bytes
    namespace: bytes
    first: int
    said: Told

    def to_json(self) -> dict[str, Any]:
        """As the file has it."""
        said = self.said
        return {
            "chain_id": self.chain_id,
            "contract": self.contract.hex(),
            "namespace": self.namespace.hex(),
            "first": self.first,
            "block": said.block,
            "hash": said.hash.hex(),
            "count": said.count,
            "heads": [_head(head) for head in said.heads],
            "tombstones": {handle.hex(): by.hex() for handle, by in said.tombstones.items()},
        }


@dataclass(frozen=True, slots=True)
class State:
    """What an audit begins with.

    Attributes:
        head, note: the checkpoint of the last time. ca_id: of the root whose bundle was used; None where none was.
        chain: what a chain said the last time; None where none was asked.
    """

    verifier: Verifier
    replay: Replay
    head: Head
    note: str
    ca_id: bytes | None = None
    chain: Seen | None = None


def read(path: Path | None, key: str | None) -> State:
    """What is in the file, or the beginning of a log with this key. Raises BadParameter, UnreadableError."""
    from attestca_client.protocol.checkpoint import EMPTY_HEAD, NoteError, parse_verifier
    from ca.replay import Replay

    if path is None or not path.exists():
        if key is None:
            raise typer.BadParameter(
                "--key: the log's verifier key, or --trust, is needed the first time"
            )
        try:
            return State(parse_verifier(key), Replay(), EMPTY_HEAD, "")
        except NoteError as error:
            raise typer.BadParameter(f"--key: {error}") from error
    try:
        state = _read(json.loads(inputs.read_input(path)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableError(f"{path}: not what an audit left behind: {error}") from error
    if key not in {None, state.verifier.text}:
        raise typer.BadParameter(f"--key: {path} is of another log")
    return state


def keep(path: Path, state: State) -> None:
    """Instead of what was there, at once or not at all."""
    from ca.signers import files

    found = {
        "key": state.verifier.text,
        "checkpoint": state.note,
        "ca_id": None if state.ca_id is None else state.ca_id.hex(),
        "chain": None if state.chain is None else state.chain.to_json(),
        "replay": state.replay.to_json(),
    }
    files.replace(path, json.dumps(found, indent=1).encode() + b"\n")


def _read(found: Any) -> State:  # noqa: ANN401 - any JSON
    """Raises ValueError, KeyError, TypeError, AttributeError."""
    from attestca_client.protocol.checkpoint import parse_verifier
    from ca.replay import Replay

    verifier = parse_verifier(found["key"])
    head = verifier.open(found["checkpoint"].encode()).head
    replay = Replay.from_json(found["replay"], head)
    root, chain = found.get("ca_id"), found.get("chain")
    return State(
        verifier,
        replay,
        head,
        found["checkpoint"],
        None if root is None else _hex(root, 32),
        None if chain is None else _seen(chain),
    )


def _seen(found: Any) -> Seen:  # noqa: ANN401 - likewise
    from ca.ledger.events import Told

    said = Told(
        heads=tuple(map(_read_head, found["heads"])),
        tombstones={_hex(one, 32): _hex(by, 20) for one, by in found["tombstones"].items()},
        block=int(found["block"]),
        hash=_hex(found["hash"], 32),
        count=int(found["count"]),
    )
    place = (int(found["chain_id"]), _hex(found["contract"], 20), _hex(found["namespace"], 32))
    return Seen(*place, int(found["first"]), said)


def _head(head: Head) -> list[object]:
    digests = (head.root.hex(), head.revocation_root.hex(), head.crls_digest.hex())
    return [head.size, head.revocation_count, head.time, *digests]


def _read_head(found: Any) -> Head:  # noqa: ANN401 - likewise
    from attestca_client.protocol.checkpoint import Head

    size, count, time, root, revocations, crls = found
    return Head(
        size=int(size),
        root=_hex(root, 32),
        revocation_count=int(count),
        revocation_root=_hex(revocations, 32),
        crls_digest=_hex(crls, 32),
        time=int(time),
    )


def _hex(text: str, length: int) -> bytes:
    """Raises ValueError, TypeError."""
    found = bytes.fromhex(text)
    if len(found) != length:
        raise ValueError("another length")
    return found
