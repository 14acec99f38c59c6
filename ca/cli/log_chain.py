# SPDX-License-Identifier: Apache-2.0
"""Whether a chain says the same as a log that was read: every head that was anchored there, and every tombstone.

The chain is read first: what it has, the log has had before. The exception is a guardian, who revokes on the chain
alone; that is told, and is for the authority to explain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ca.cli import inputs, output
from ca.cli.exits import UnreadableError
from ca.cli.log_state import Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

    from attestca_client.protocol.trust import TrustBundle
    from ca.ledger.events import Told
    from ca.replay import Replay

RpcOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rpc",
        metavar="URL",
        help="A node of the chain: compare the log with what is anchored there. Repeatable; two must say the same.",
    ),
]
ChainOption = Annotated[
    str | None,
    typer.Option(
        metavar="ID:CONTRACT:NAMESPACE",
        help="With --rpc: chain id, address of the registry, and the namespace, with colons between them. Default: what"
        " the trust bundle says.",
    ),
]
FromBlockOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="With --rpc: where the registration is, or before. Default: as the last time, or 0.",
    ),
]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root", metavar="FILE", help="The authority's root (PEM): --trust must be a bundle of it."
    ),
]
_MOST: Final = 20  # handles that are named
_LATE: Final = 86_400  # seconds; caps are of a day


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look. `contract`: 20 bytes; `namespace`: 32. `first`: None where nobody said so."""

    urls: tuple[str, ...]
    chain_id: int
    contract: bytes
    namespace: bytes
    first: int | None


def bundle_of(path: Path | None) -> TrustBundle | None:
    """The trust bundle in this file. Raises BadParameter, UnreadableError."""
    from attestca_client.protocol.trust import BundleError, open_bundle

    if path is None:
        return None
    try:
        return open_bundle(inputs.read_input(path))
    except BundleError as error:
        raise typer.BadParameter(f"--trust: {path}: {error}") from error


def place_of(
    urls: list[str] | None, chain: str | None, first: int | None, bundle: TrustBundle | None
) -> Place | None:
    """None where no node was named. Raises BadParameter."""
    if not urls:
        if chain is not None:
            raise typer.BadParameter("--chain goes with --rpc")
        return None
    if chain is None:
        if bundle is None or bundle.chain is None:
            raise typer.BadParameter("--rpc: --chain, or a --trust that names a chain, is needed")
        there = bundle.chain
        return Place(tuple(urls), there.chain_id, there.contract, there.namespace, first)
    number, _, rest = chain.partition(":")
    contract, _, namespace = rest.partition(":")
    try:
        found = Place(tuple(urls), int(number), _hex(contract, 20), _hex(namespace, 32), first)
    except ValueError:
        raise typer.BadParameter("--chain: must be ID:CONTRACT:NAMESPACE") from None
    return found


def check_root(bundle: TrustBundle | None, root: Path | None, known: bytes | None) -> bytes | None:
    """The ca_id that counts from now on: of the bundle, which must be of `root`, and of the root of the last time.

    Raises BadParameter, UnreadableError.
    """
    from attestca_client.protocol.trust import root_id

    if bundle is None:
        if root is not None:
            raise typer.BadParameter("--root goes with --trust")
        return known
    found = root_id(bundle.root)
    pinned = None if root is None else root_id(_certificate(root))
    for wanted, whose in ((pinned, "of --root"), (known, "of the last time, which --state has")):
        if wanted not in {None, found}:
            raise typer.BadParameter(f"--trust: a bundle of another root than that {whose}")
    return found


def _certificate(path: Path) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(inputs.read_input(path))
    except ValueError as error:
        raise UnreadableError(f"{path}: not a certificate (PEM)") from error


async def read(place: Place, seen: Seen | None) -> Seen:
    """All that the chain says; where `seen` is of this place, only what is new is asked for. Raises Unavailable."""
    from ca.ledger.events import stands, told
    from ca.ledger.rpc import connected

    first = place.first if place.first is not None else seen.first if seen else 0
    where = (place.chain_id, place.contract, place.namespace)
    known = None
    if seen is not None and (seen.chain_id, seen.contract, seen.namespace) == where:
        known = seen.said if seen.first <= first else None
    async with connected(place.urls, place.chain_id) as nodes:
        if known is not None and not await stands(nodes, known):
            output.say(f"block {known.block} is not that of the last time: the chain is read again")
            known = None
        with output.progress() as progress:
            say = partial(_progress, progress)
            said = await told(nodes, place.contract, place.namespace, first, known, say)
    return Seen(*where, first if known is None or seen is None else seen.first, said)


def shortened(seen: Seen) -> Seen:
    """What the next time needs: of the heads those of the last day, and the one before them."""
    said = seen.said
    newest = said.heads[-1].time if said.heads else 0
    old = sum(head.time <= newest - _LATE for head in said.heads)
    return replace(seen, said=replace(said, heads=said.heads[max(0, old - 1) :], new=0))


def findings(said: Told, replay: Replay) -> list[str]:
    """What the chain revokes and the log does not, and what it should have revoked by now."""
    logged = {handle for _, handle, _ in replay.revoked}
    foreign = [handle for handle in said.tombstones if handle not in logged]
    found = [
        f"0x{said.tombstones[handle].hex()} revoked {handle.hex()} on the chain, and the log does not"
        for handle in foreign[:_MOST]
    ]
    if len(foreign) > _MOST:
        found.append(f"and {len(foreign) - _MOST} more that the log does not revoke")
    if not said.heads:
        found.append("nothing is anchored on the chain")
    late = _late(said, replay)
    if late:
        found.append(
            f"{late} revocations have no tombstone, though heads of a day ago cover them: who asks the chain alone does"
            " not know of them"
        )
    return found


def _late(said: Told, replay: Replay) -> int:
    """Revocations without a tombstone that a head covers which is a day older than the one anchored last."""
    newest = said.heads[-1].time if said.heads else 0
    size = max((head.size for head in said.heads if head.time <= newest - _LATE), default=0)
    return sum(
        position < size and handle not in said.tombstones for position, handle, _ in replay.revoked
    )


def facts(said: Told, replay: Replay) -> dict[str, Any]:
    """How far the chain is. `missing`: revocations of the head anchored last that have no tombstone yet."""
    size = said.heads[-1].size if said.heads else 0
    covered = [handle for position, handle, _ in replay.revoked if position < size]
    return {
        "block": said.block,
        "heads": said.count,
        "anchored_size": size,
        "anchored_time": said.heads[-1].time if said.heads else 0,
        "tombstones": len(said.tombstones),
        "missing": sum(handle not in said.tombstones for handle in covered),
    }


def _progress(show: Callable[[str], None], block: int, last: int) -> None:
    show(f"block {block} of {last} …")


def _hex(text: str, length: int) -> bytes:
    found = bytes.fromhex(text.removeprefix("0x"))
    if len(found) != length:
        raise ValueError("another length")
    return found
