# SPDX-License-Identifier: Apache-2.0
"""How a verifier asks for collateral without doing I/O, and how long what it got is good.

A `gather()` of a verifier is a generator. Each round it yields the tuple of `Fetch`es it wants (they may be made at the
same time) and is sent the tuple of `Response`s in the same order; at the end it returns its endorsements object. The
shell asks, bounded by the limits named here, and raises its own error for what cannot be had; only the statuses that
mean something to a vendor (200, 404, 410) come back in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

T = TypeVar("T")

# Of one round. Eight GPUs and four switches have some 30 questions: a status for each board, those of two or three
# authorities, three manifests. Sixteen GPUs, each of another batch and VBIOS, still have fewer than these.
MAX_FETCHES: Final = 64


class Revocation(StrEnum):
    """State of one chain. `verify` never returns a revoked one: that is a refusal."""

    GOOD = "good"
    REVOKED = "revoked"
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True, slots=True)
class PartValidity:
    """Window of one part of the collateral.

    Attributes:
        part: the vendor's word, as in `Fetch.part` ("tcb_info", "crl").
        issued, next_update: UTC, as signed.
        expired_since: `next_update` if the part is past it at the instant of verification, else None.
    """

    part: str
    issued: datetime
    next_update: datetime
    expired_since: datetime | None


@dataclass(frozen=True, slots=True)
class Question:
    """The body of a POST: bytes and media type ("application/ocsp-request")."""

    body: bytes = field(repr=False)
    media_type: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """One GET, or one POST with a body, that a verifier wants.

    Attributes:
        part: what it is, in the vendor's word ("tcb_info"); names it in errors, metrics and the cache.
        url: absolute; the base comes from configuration, the rest from signed or length-checked fields.
        header: the response header that is part of the answer, if any (compared without case).
        max_bytes: bound on the body of the answer.
        hardware_id: the text in `url` that names one machine, if any does; logs and errors show `shown` instead.
        question: what is posted, with its media type; None for a GET. It may name hardware and is never logged.
        fresh: the answer is to this question of this moment alone: it is neither kept nor taken from what was kept.
        ends: reads from the body of an answer until when it says that it is good, None where it does not say. What is
            past that is asked for anew, however young it is.
        is_answer: whether a body is an answer at all, whatever it says; never raises. One that is none (a page for
            people, a refusal that HTTP calls a success) takes the place of no answer that is kept. None: any body is.
    """

    part: str
    url: str
    header: str | None = None
    max_bytes: int = 256 * 1024
    hardware_id: str | None = None
    question: Question | None = None
    fresh: bool = False
    ends: Callable[[bytes], datetime | None] | None = field(default=None, compare=False)
    is_answer: Callable[[bytes], bool] | None = field(default=None, compare=False)

    @property
    def key(self) -> str:
        """What an answer is kept under: the URL, and behind "#" the SHA-256 of what is posted to it."""
        if self.question is None:
            return self.url
        return f"{self.url}#{sha256(self.question.body).hexdigest()}"

    @property
    def shown(self) -> str:
        """The address without the hardware id."""
        return self.url if self.hardware_id is None else self.url.replace(self.hardware_id, "…")


@dataclass(frozen=True, slots=True)
class Response:
    """What was answered. `headers` has lower-case names."""

    status: int
    body: bytes
    headers: Mapping[str, str]


Gather: TypeAlias = Generator[tuple[Fetch, ...], tuple[Response, ...], T]


def digest(parts: tuple[bytes | None, ...]) -> bytes:
    """SHA-256 over the SHA-256 of each part, in order; 32 zero bytes stand for one that is missing."""
    digests = (bytes(32) if part is None else sha256(part).digest() for part in parts)
    return sha256(b"".join(digests)).digest()
