# SPDX-License-Identifier: Apache-2.0
"""The log as somebody outside of the authority reads it: every entry, in order, from what was read the last time on.

Two things are held apart. That the log is one history: the entries make exactly the tree that the checkpoint names,
and it begins with the tree of the last time; the tiles that are served are those of that tree. And that what the
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

from ca import audit, merkle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.note import Checkpoint

_FORMAT: Final = 1
_MOST: Final = 100  # findings that are told one by one


class NotOneHistoryError(Exception):
    """What is served is no continuation of what was served before, or not the tree that was signed."""


class StateError(ValueError):
    """Not what `Replay.to_json` gave."""


@dataclass(slots=True)
class Replay:
    """Everything up to `size`. `edge`: the tiles that are not full, which the tree grows at.

    `counts`: entries by kind. `newest`: the latest time that an entry names. The sets hold digests and key ids as
    hexadecimal. `odd`: what was found in entries; it is in the log for ever, and so in every later answer.
    """

    size: int = 0
    edge: dict[tuple[int, int], bytes] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    newest: datetime | None = None
    revocation: int = 0
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
        self.edge.update(merkle.grow(self._read, self.size, leaves))
        for position, entry in enumerate(fresh, self.size):
            self._judge(position, entry)
        self.size += len(fresh)
        full = {tile: hashes for tile, hashes in self.edge.items() if merkle.is_full(hashes)}
        for tile in full:
            del self.edge[tile]
        return full

    def finish(self, checkpoint: Checkpoint) -> None:
        """Hold all that was read against the checkpoint. Raises NotOneHistoryError."""
        if self.size != checkpoint.size:
            raise NotOneHistoryError(
                f"there were {self.size} entries, and the checkpoint is of {checkpoint.size}"
            )
        if merkle.tree_hash(self._read, self.size) != checkpoint.root:
            raise NotOneHistoryError("the entries do not make the tree that the checkpoint names")

    def _read(self, level: int, number: int) -> bytes:
        return self.edge.get((level, number), b"")

    def _judge(self, position: int, data: bytes) -> None:
        try:
            entry = audit.decode(data)
        except audit.EntryError as error:
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
            "findings": self.odd,
            **{name: sorted(getattr(self, name)) for name in _SETS},
        }

    @classmethod
    def from_json(cls, found: Any, checkpoint: Checkpoint) -> Replay:  # noqa: ANN401 - any JSON
        """What `to_json` gave. Raises StateError for anything else, or where it is not of the checkpoint's tree."""
        try:
            replay = cls(
                size=checkpoint.size,
                edge={_tile(name): base64.b64decode(tile) for name, tile in found["edge"].items()},
                counts=Counter(found["counts"]),
                newest=_time(found["newest"]),
                revocation=int(found["revocation"]),
                odd=[str(one) for one in found["findings"]],
            )
            for name in _SETS:
                getattr(replay, name).update(map(str, found[name]))
            root = merkle.tree_hash(replay._read, replay.size)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError("not what an audit leaves behind") from error
        except merkle.TileMissingError as error:
            raise StateError(str(error)) from error
        if found.get("format") != _FORMAT or root != checkpoint.root:
            raise StateError("of another format, or not of the tree of its checkpoint")
        return replay


_SETS: Final = ("issuers", "policies", "issued_by", "issued_under")


def _tile(name: str) -> tuple[int, int]:
    level, _, number = name.partition("/")
    return int(level), int(number)


def _time(text: str | None) -> datetime | None:
    """Raises ValueError where it has no time zone, TypeError for what is no text."""
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without its zone")
    return time
