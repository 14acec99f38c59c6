# SPDX-License-Identifier: Apache-2.0
"""The log as somebody outside of the authority reads it: every entry, in order, from what was read the last time on.

Two things are held apart. That the log is one history: the entries make exactly the tree that the checkpoint names,
and it begins with the tree of the last time; the tiles that are served are those of that tree; what the entries revoke
makes exactly the revocation tree that the checkpoint names. And that what the
history says agrees with itself; what does not is a finding, and reading goes on:
- every entry is one that this version can read, or of a kind that a later one added;
- numbers of revocations rise;
- every certificate is of an issuer whose certificate is in the log, and under a policy that came into force in it.

Pure: bytes come from the caller, who believes them no more than this module does.
"""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509

from attestca_client.protocol import leaf_hash
from attestca_client.protocol.log import EntryError
from ca import audit, merkle
from ca.revocation_tree import RevocationTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from attestca_client.protocol.checkpoint import Head

_FORMAT: Final = 2
_MOST: Final = 100  # findings that are told one by one


class NotOneHistoryError(Exception):
    """What is served is no continuation of what was served before, or not the tree that was signed."""


class StateError(ValueError):
    """Not what `Replay.to_json` gave."""


@dataclass(slots=True)
class Replay:
    """Everything up to `size`. `edge`: the tiles that are not full, which the tree grows at.

    `counts`: entries by kind. `newest`: the latest time that an entry names. The sets hold digests and key ids as
    hexadecimal. `revoked`: position, handle and leaf hash of what revoked something first; `tree`: what that makes.
    `odd`: what was found in entries; it is in the log for ever, and so in every later answer.
    """

    size: int = 0
    edge: dict[tuple[int, int], bytes] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    newest: datetime | None = None
    revocation: int = 0
    revoked: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    tree: RevocationTree = field(default_factory=RevocationTree)
    issuers: set[str] = field(default_factory=set)
    policies: set[str] = field(default_factory=set)
    issued_by: set[str] = field(default_factory=set)
    issued_under: set[str] = field(default_factory=set)
    odd: list[str] = field(default_factory=list)

    @property
    def findings(self) -> list[str]:
        """What does not agree with itself in everything up to `size`, at most 100."""
        issuers, policies = self.issued_by - self.issuers, self.issued_under - self.policies
        found = [
            *self.odd,
            *(
                f"certificates of the issuer {one}, which the log does not tell of"
                for one in sorted(issuers)
            ),
            *(
                f"certificates under the policy {one}, which never came into force"
                for one in sorted(policies)
            ),
        ]
        return found[:_MOST]

    def missing(self, size: int) -> Iterator[tuple[int, int]]:
        """(number, width) of the bundles that are to be read to get to `size`."""
        if size > self.size:
            for number in range(self.size // merkle.WIDTH, -(-size // merkle.WIDTH)):
                yield number, merkle.tile_width(0, number, size)

    def take(self, number: int, width: int, bundle: bytes) -> dict[tuple[int, int], bytes]:
        """Read one bundle, in order. Returns the tiles that are full by now.

        Raises NotOneHistoryError where it has not that many entries, or others than the last time.
        """
        try:
            entries = merkle.decode_bundle(bundle)
        except ValueError as error:
            raise NotOneHistoryError(f"bundle {number}: {error}") from error
        if len(entries) != width:
            raise NotOneHistoryError(f"bundle {number} has {len(entries)} entries, not {width}")
        known = self.edge.get((0, number), b"")
        if not merkle.tile_of(entries).startswith(known):
            raise NotOneHistoryError(f"entries of bundle {number} are not those of the last time")
        fresh = entries[len(known) // merkle.HASH :]
        leaves = merkle.split(merkle.tile_of(fresh))
        self.edge.update(merkle.grow(self.read, self.size, leaves))
        for position, entry in enumerate(fresh, self.size):
            self._judge(position, entry)
        self._revoke(fresh)
        self.size += len(fresh)
        full = {tile: hashes for tile, hashes in self.edge.items() if merkle.is_full(hashes)}
        for tile in full:
            del self.edge[tile]
        return full

    def finish(self, head: Head) -> None:
        """Hold all that was read against a signed head. Raises NotOneHistoryError."""
        if self.size != head.size:
            raise NotOneHistoryError(
                f"there were {self.size} entries, and the checkpoint is of {head.size}"
            )
        if merkle.tree_hash(self.read, self.size) != head.root:
            raise NotOneHistoryError("the entries do not make the tree that the checkpoint names")
        if (self.tree.count, self.tree.root) != (head.revocation_count, head.revocation_root):
            raise NotOneHistoryError(
                f"the entries revoke {self.tree.count} handles and not what the checkpoint names"
            )

    def trees_at(self, sizes: Iterable[int]) -> Iterator[RevocationTree]:
        """The revocation tree of the first entries, for each of these sizes, which rise and are not above `size`."""
        tree, at = RevocationTree(), 0
        for size in sizes:
            start = at
            while at < len(self.revoked) and self.revoked[at][0] < size:
                at += 1
            tree = tree.with_all((handle, value) for _, handle, value in self.revoked[start:at])
            yield tree

    def read(self, level: int, number: int) -> bytes:
        """The hashes of a tile that is not full; of others none."""
        return self.edge.get((level, number), b"")

    def _revoke(self, fresh: Iterable[bytes]) -> None:
        """Have the tree say what these revoke, which come behind all others."""
        new: dict[bytes, tuple[int, bytes, bytes]] = {}
        for position, entry in enumerate(fresh, self.size):
            handle = _revoked_by(entry)
            if handle is not None and handle not in new and self.tree.value(handle) is None:
                new[handle] = (position, handle, leaf_hash(entry))
        self.revoked += new.values()
        self.tree = self.tree.with_all((handle, value) for _, handle, value in new.values())

    def _judge(self, position: int, data: bytes) -> None:
        try:
            entry = audit.decode(data)
        except EntryError as error:
            self.counts["unreadable"] += 1
            self._find(f"entry {position}: {error}")
            return
        match entry:
            case audit.Issuance():
                self.issued_by.add(entry.issuer_key_id.hex())
                self.issued_under.add(entry.policy_sha256.hex())
            case audit.Revocation():
                if entry.number <= self.revocation:
                    self._find(f"entry {position}: revocation {entry.number} is out of its order")
                self.revocation = entry.number
            case audit.PolicyChange(what="policy", state="active"):
                self.policies.add(entry.sha256.hex())
            case audit.KeyAdded(purpose=audit.Purpose.ISSUING):
                self._take_issuer(position, entry.der)
            case _:
                pass
        self.counts[audit.kind_of(entry)] += 1
        self.newest = entry.time if self.newest is None else max(self.newest, entry.time)

    def _take_issuer(self, position: int, der: bytes) -> None:
        try:
            extensions = x509.load_der_x509_certificate(der).extensions
            key_id = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        except (ValueError, x509.ExtensionNotFound):
            self._find(f"entry {position}: not the certificate of an issuing CA")
            return
        self.issuers.add(key_id.hex())

    def _find(self, what: str) -> None:
        if len(self.odd) < _MOST:
            self.odd.append(what)

    # from one time to the next

    def to_json(self) -> dict[str, Any]:
        """What the next time goes on from, as JSON values."""
        return {
            "format": _FORMAT,
            "size": self.size,
            "edge": {
                f"{level}/{number}": base64.b64encode(hashes).decode()
                for (level, number), hashes in self.edge.items()
            },
            "counts": dict(self.counts),
            "newest": None if self.newest is None else self.newest.isoformat(),
            "revocation": self.revocation,
            "revoked": [
                [position, handle.hex(), value.hex()] for position, handle, value in self.revoked
            ],
            "findings": self.odd,
            **{name: sorted(getattr(self, name)) for name in _SETS},
        }

    @classmethod
    def from_json(cls, found: Any, head: Head) -> Replay:  # noqa: ANN401 - any JSON
        """What `to_json` gave. Raises StateError for anything else, or where it is not of the head's trees."""
        try:
            replay = cls(
                size=head.size,
                edge={_tile(name): base64.b64decode(tile) for name, tile in found["edge"].items()},
                counts=Counter(found["counts"]),
                newest=_time(found["newest"]),
                revocation=int(found["revocation"]),
                revoked=[(int(at), _hash(one), _hash(by)) for at, one, by in found["revoked"]],
                odd=[str(one) for one in found["findings"]],
            )
            for name in _SETS:
                getattr(replay, name).update(map(str, found[name]))
            (replay.tree,) = replay.trees_at([head.size])
            replay.finish(head)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError("not what an audit leaves behind") from error
        except (merkle.TileMissingError, NotOneHistoryError) as error:
            raise StateError(str(error)) from error
        if found.get("format") != _FORMAT:
            raise StateError("of another format")
        return replay


_SETS: Final = ("issuers", "policies", "issued_by", "issued_under")


def _tile(name: str) -> tuple[int, int]:
    level, _, number = name.partition("/")
    return int(level), int(number)


def _hash(text: str) -> bytes:
    """Raises ValueError, TypeError."""
    found = bytes.fromhex(text)
    if len(found) != merkle.HASH:
        raise ValueError("not a hash")
    return found


def _revoked_by(entry: bytes) -> bytes | None:
    try:
        return audit.revoked_by(entry)
    except EntryError:
        return None  # it is told as one that cannot be read


def _time(text: str | None) -> datetime | None:
    """Raises ValueError where it has no time zone, TypeError for what is no text."""
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without its zone")
    return time
