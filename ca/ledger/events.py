# SPDX-License-Identifier: Apache-2.0
"""What a namespace's events say: every head that was anchored, and every tombstone. For auditors, who have no key.

Read up to the final block, in pieces that public nodes give, each of which enough nodes must give alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ca.ledger.contract import address_bytes
from ca.ledger.evm import contract_of, event_head, height

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from attestca_client.protocol.checkpoint import Head
    from ca.ledger.rpc import W3, Nodes

PIECE: Final = 2000  # blocks


@dataclass(frozen=True, slots=True)
class Told:
    """`heads` in the order of the chain. `tombstones`: handle -> address of the key that said so.

    `block`: the last that was read.
    """

    heads: tuple[Head, ...]
    tombstones: dict[bytes, bytes]
    block: int


async def told(
    nodes: Nodes,
    contract: bytes,
    namespace: bytes,
    first: int,
    progress: Callable[[int, int], None],
) -> Told:
    """From the block `first` on. Raises NodesDisagree, Unavailable."""
    last = await nodes.level(height("finalized"))
    heads: list[Head] = []
    tombstones: dict[bytes, bytes] = {}
    for start in range(first, last + 1, PIECE):
        end = min(start + PIECE - 1, last)
        anchored, revoked = await nodes.ask(_piece(contract, namespace, start, end))
        heads += anchored
        tombstones |= dict(revoked)
        progress(end, last)
    return Told(tuple(heads), tombstones, last)


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
