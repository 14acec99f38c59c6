# SPDX-License-Identifier: Apache-2.0
"""Operators' tokens: how they are made, read and named, and the closed list of what they may allow.

    attestca_<43 characters>      base64url without padding of 32 random bytes

Rules: 256 random bits, given as entropy; what is stored is SHA-256 of the whole text, so that a copy of the database
opens nothing; the first 16 hex digits of that digest are the token's id, which logs may show. A fixed prefix lets
scanners find tokens that leaked. Pure: no clock, no store.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ca.errors import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX: Final = "attestca_"
ENTROPY_LENGTH: Final = 32
_FORM: Final = re.compile(PREFIX + "[A-Za-z0-9_-]{43}", re.ASCII)


class Scope(StrEnum):
    """What a token may be used for. The list is closed; a token has any number of them."""

    POLICIES_READ = "policies:read"
    POLICIES_WRITE = "policies:write"
    CERTIFICATES_READ = "certificates:read"
    REFUSALS_READ = "refusals:read"
    REVOCATIONS_READ = "revocations:read"
    REVOCATIONS_WRITE = "revocations:write"
    AUDIT_READ = "audit:read"


@dataclass(frozen=True, slots=True)
class Token:
    """A token at the moment it is made; `text` is shown once and kept nowhere."""

    text: str
    id: str  # 16 hex digits
    sha256: bytes  # 32

    def __repr__(self) -> str:
        """Without the text: a token in a traceback or log line would be a leak."""
        return f"Token(id={self.id!r})"


def make(entropy: bytes) -> Token:
    """A new token. `entropy`: 32 fresh random bytes."""
    if len(entropy) != ENTROPY_LENGTH:
        raise ValueError(f"a token takes {ENTROPY_LENGTH} bytes of entropy")
    text = PREFIX + base64.urlsafe_b64encode(entropy).decode().rstrip("=")
    found = digest(text)
    return Token(text, found[:8].hex(), found)


def digest(text: str) -> bytes:
    """What the store knows a token by: SHA-256 of its text, 32 bytes. Raises ValueError for what cannot be a token."""
    if not _FORM.fullmatch(text):
        raise ValueError("not a token")
    return sha256(text.encode()).digest()


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """At least one scope by name. Raises RequestRefused `scope-unknown`, naming those that exist."""
    wanted = frozenset(names)
    known = frozenset(scope.value for scope in Scope)
    if not wanted or wanted - known:
        listed = ", ".join(sorted(known))
        raise RequestRefused(f"a token needs one or more scopes of: {listed}", code="scope-unknown")
    return frozenset(Scope(name) for name in wanted)
