# SPDX-License-Identifier: Apache-2.0
"""Who signs checkpoints, and what logs are called. How one is read: `attestca_client.protocol.checkpoint`. Pure."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from attestca_client.protocol.checkpoint import Checkpoint, Head, NoteError, Verifier, is_name

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_LATER: Final = re.compile(r"[^/]+/(?P<number>[1-9][0-9]{0,8})", re.ASCII)


@dataclass(frozen=True, slots=True)
class LogKey:
    """Who signs checkpoints."""

    name: str
    key: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """What readers know it by. Raises NoteError for a name that cannot be one."""
        if not is_name(self.name):
            raise NoteError("the name of a log's key has neither spaces nor +")
        return Verifier(self.name, self.key.public_key().public_bytes_raw())

    def sign(self, head: Head) -> bytes:
        """The checkpoint with this head as a signed note, UTF-8."""
        verifier = self.verifier
        body = Checkpoint(self.name, head).text
        signature = base64.b64encode(verifier.id + self.key.sign(body.encode())).decode()
        return f"{body}\n— {self.name} {signature}\n".encode()


def origin(host: str, number: int) -> str:
    """The name of an authority's log under its key of that number.

    Each key has a log of its own: a later one may not continue what the one before signed, and then no address of
    the former may give bytes of the new.
    """
    return host if number == 1 else f"{host}/{number}"


def path_of(name: str) -> str:
    """Where the log with that name is served, below the authority's URL: `log`; of a later key `log/2`, `log/3`."""
    match = _LATER.fullmatch(name)
    return "log" if match is None else f"log/{match['number']}"


def origin_of(note: bytes) -> str:
    """The name of the log in a note of ours, which is not checked."""
    return note.decode().partition("\n")[0]
