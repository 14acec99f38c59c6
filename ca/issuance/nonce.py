# SPDX-License-Identifier: Apache-2.0
"""The authority's nonce: 64 bytes that say when they were made and that we made them. Nothing is stored.

    offset  length
         0       8   issued at, seconds since 1970-01-01T00:00:00Z, unsigned big-endian
         8      24   entropy
        32      32   HMAC-SHA-256( key, frame("attestca/1 nonce", ca_id, the 32 bytes above) )

64 bytes are the most that an EAT nonce may have (RFC 9711, section 4.1). A nonce of another authority fails, because
`ca_id` is part of what is authenticated. Single use is not checked here: the store does that, with a UNIQUE column.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from attestca_client.protocol import Label, frame
from ca.errors import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

LENGTH = 64
ENTROPY_LENGTH = 24
KEY_LENGTH = 32
LIFETIME = timedelta(seconds=120)
CLOCK_SKEW = timedelta(seconds=5)  # between replicas that share the key
_HEAD = 32


@dataclass(frozen=True, slots=True)
class Nonce:
    """A nonce of ours. Times are UTC with whole seconds."""

    value: bytes  # 64
    issued: datetime

    @property
    def expires(self) -> datetime:
        """The first instant at which it is refused."""
        return self.issued + LIFETIME


def make(key: bytes, ca_id: bytes, now: datetime, entropy: bytes) -> Nonce:
    """A new nonce.

    Args:
        key: 32 bytes, shared by all replicas of this authority.
        ca_id: SHA-256 of the root's SubjectPublicKeyInfo, 32 bytes.
        now: aware; the part below a second is dropped.
        entropy: 24 fresh random bytes.
    """
    if len(key) != KEY_LENGTH or len(ca_id) != 32 or len(entropy) != ENTROPY_LENGTH:
        raise ValueError("nonce: a key of 32, a ca_id of 32 and 24 bytes of entropy")
    issued = now.astimezone(UTC).replace(microsecond=0)
    head = int(issued.timestamp()).to_bytes(8, "big") + entropy
    return Nonce(head + _tag(key, ca_id, head), issued)


def check(keys: Sequence[bytes], ca_id: bytes, nonce: bytes, now: datetime) -> Nonce:
    """`nonce` if one of `keys` made it for `ca_id` no longer than 120 s ago. Raises as the two halves do."""
    found = authenticate(keys, ca_id, nonce)
    check_fresh(found, now)
    return found


def authenticate(keys: Sequence[bytes], ca_id: bytes, nonce: bytes) -> Nonce:
    """`nonce` if one of `keys` made it for `ca_id`, however long ago.

    Raises:
        RequestRefused: `nonce-malformed` (not 64 bytes), `nonce-foreign` (not made by us).
    """
    if len(nonce) != LENGTH:
        raise RequestRefused(f"a nonce has 64 bytes, this has {len(nonce)}", code="nonce-malformed")
    head, tag = nonce[:_HEAD], nonce[_HEAD:]
    # Every key is tried, so that the time tells nothing about which one fits.
    fits = [hmac.compare_digest(_tag(key, ca_id, head), tag) for key in keys]
    if not any(fits):
        raise RequestRefused("this authority did not make the nonce", code="nonce-foreign")
    return Nonce(nonce, datetime.fromtimestamp(int.from_bytes(head[:8], "big"), UTC))


def check_fresh(nonce: Nonce, now: datetime) -> None:
    """Raises RequestRefused `nonce-expired`: 120 s or older, or from the future beyond the replicas' skew."""
    if not nonce.issued - CLOCK_SKEW <= now < nonce.expires:
        raise RequestRefused(
            "the nonce is older than 120 s; ask for a new one", code="nonce-expired"
        )


def _tag(key: bytes, ca_id: bytes, head: bytes) -> bytes:
    return hmac.digest(key, frame(Label.NONCE.encode(), ca_id, head), "sha256")
