# SPDX-License-Identifier: Apache-2.0
"""What a namespace's events say: every head that was anchored, and every tombstone. For auditors, who have no key.

Read up to the final block, in pieces that public nodes give, each of which enough nodes must give alike. Who keeps what
was told goes on from there, once `stands` has said that the chain is still that one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from web3.exceptions import BlockNotFound

from ca.ledger.contract import address_bytes
from ca.ledger.evm import block_at, contract_of, event_head, height

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from attestca_client.protocol.checkpoint import Head
    from ca.ledger.rpc import W3, Nodes

PIECE: Final = 2000  # blocks


@dataclass(frozen=True, slots=True)
class Told:
    """What was read up to a block, which may be gone on with from there.

    Attributes:
        heads: in the order of the chain. tombstones: handle -> address of the key that said so.
        block: the last that was read. hash: of it.
        count: how many heads there are, though a reader that goes on need not have kept all of them.
        new: how many of `heads`, at the end, were read this time.
    """

    heads: tuple[Head, ...]
    tombstones: Mapping[bytes, bytes]
    block: int
    hash: bytes
    count: int
    new: int = 0


async def stands(nodes: Nodes, known: Told) -> bool:
    """Whether the block that was read last is still there. Raises NodesDisagree, Unavailable."""
    name: Any = known.block

    async def question(web3: W3) -> bytes | None:
        try:
            return bytes((await web3.eth.get_block(name))["hash"])
        except BlockNotFound:
            return None

    return await nodes.ask(question) == known.hash


async def told(
    nodes: Nodes,
    contract: bytes,
    namespace: bytes,
    first: int,
    known: Told | None,
    progress: Callable[[int, int], None],
) -> Told:
    """From the block `first` on, or from behind `known`, which still stands. Raises NodesDisagree, Unavailable."""
    last = await nodes.level(height("finalized"))
    if known is not None and known.block >= last:
        return replace(known, new=0)
    # Its hash first: what is read of a chain that changes meanwhile is read again the next time.
    block, _ = await nodes.ask(block_at(last))
    heads: list[Head] = []
    tombstones = {} if known is None else dict(known.tombstones)
    for start in range(first if known is None else known.block + 1, last + 1, PIECE):
        end = min(start + PIECE - 1, last)
        anchored, revoked = await nodes.ask(_piece(contract, namespace, start, end))
        heads += anchored
        tombstones |= dict(revoked)
        progress(end, last)
    before, count = ((), 0) if known is None else (known.heads, known.count)
    return Told((*before, *heads), tombstones, last, block.hash, count + len(heads), new=len(heads))


def _piece(
    contract: bytes, namespace: bytes, start: int, end: int
) -> Callable[[W3], Awaitable[tuple[tuple[Head, ...], tuple[tuple[bytes, bytes], ...]]]]:
    async def question(
        web3: W3,
    ) -> tuple[tuple[Head, ...], tuple[tuple[bytes, bytes], ...]]:
        events = contract_of(web3, contract).events
        of = {"namespace": namespace}
        anchored = await events.Anchored().get_logs(
            from_block=start, to_block=end, argument_filters=of
        )
        revoked = await events.Revoked().get_logs(
            from_block=start, to_block=end, argument_filters=of
        )
        heads = tuple(event_head(event) for event in anchored if not event.get("removed"))
        tombstones = tuple(
            (bytes(event["args"]["handle"]), address_bytes(event["args"]["by"]))
            for event in revoked
            if not event.get("removed")
        )
        return heads, tombstones

    return question
