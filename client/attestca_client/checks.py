# SPDX-License-Identifier: Apache-2.0
"""What a verification found: one line for each check, and the verdict that follows from them.

    failed      something proven speaks against the certificate
    undecided   nothing does, but something that was asked for does not speak for it: a source that is stale, cannot be
                read, is of another authority, or contradicts another
    passed

The verdict is the worst of them: refused, undecided, accepted. A certificate is good for use where it is accepted, and
nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attestca_client.attestation_info import AttestationInfo


class Name(StrEnum):
    """Every check. The list grows; a name never changes its meaning."""

    TRUST = "trust"  # bundle and root can be read, are of one authority, and new enough
    CERTIFICATE = "certificate"  # it can be read
    PATH = "path"  # signatures, CAs and their dates, up to the trusted root
    TIME = "time"  # it is within its dates
    NO_CA = "no-ca"
    KEY_USAGE = "key-usage"
    EXTENDED_KEY_USAGE = "extended-key-usage"
    POLICY_OID = "policy-oid"  # one level, which the issuing CA may state
    ATTESTATION_INFO = "attestation-info"
    HANDLES = "handles"  # those that can be computed are those that are listed
    ASSURANCE = "assurance"  # verified, or simulated where that is allowed
    REQUIRE_TEE = "require.tee"
    REQUIRE_MEASUREMENT = "require.measurement"
    REQUIRE_POLICY = "require.policy"
    REQUIRE_TCB = "require.tcb"
    REVOCATION = "revocation"  # some source was given
    STAPLE = "staple"  # it can be read
    STAPLE_CHECKPOINT = "staple.checkpoint"  # signed by the newest key of the log
    STAPLE_TIME = "staple.time"
    STAPLE_LOG = "staple.log"  # the certificate is in the log
    STAPLE_REVOKED = "staple.revoked"
    REGISTRY = "registry"  # every node answers, for the right chain, and all agree on one block and its state
    REGISTRY_BLOCK = "registry.block"  # the age of the last final block, on which that one builds
    REGISTRY_HEAD = "registry.head"  # the age of the authority's last anchor
    REGISTRY_REVOKED = "registry.revoked"
    ONE_HISTORY = "one-history"  # staple and chain tell the same
    CRL = "crl"  # a list is for this certificate, and signed by its issuer
    CRL_TIME = "crl.time"
    CRL_REVOKED = "crl.revoked"


class Outcome(StrEnum):
    """Of one check."""

    PASSED = "passed"
    UNDECIDED = "undecided"
    FAILED = "failed"


class Verdict(StrEnum):
    """Of all of them."""

    ACCEPTED = "accepted"
    UNDECIDED = "undecided"
    REFUSED = "refused"


class SourceError(Exception):
    """A source did not give what can be used. The text is one line without secrets, for people."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `seen`: one line, for people."""

    name: Name
    outcome: Outcome
    seen: str


@dataclass(frozen=True, slots=True)
class Result:
    """Of one certificate. `info`: what it says of the machine; None where that could not be read.

    Nothing in `info` is to be used unless the verdict is `ACCEPTED`.
    """

    checks: tuple[Check, ...]
    info: AttestationInfo | None

    @property
    def verdict(self) -> Verdict:
        """The worst outcome."""
        outcomes = {check.outcome for check in self.checks}
        if Outcome.FAILED in outcomes:
            return Verdict.REFUSED
        return Verdict.UNDECIDED if Outcome.UNDECIDED in outcomes else Verdict.ACCEPTED

    @property
    def accepted(self) -> bool:
        """Whether the certificate is good for use."""
        return self.verdict is Verdict.ACCEPTED

    @property
    def reasons(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if check.outcome is not Outcome.PASSED)


@dataclass(slots=True)
class Findings:
    """Checks as they are made."""

    checks: list[Check] = field(default_factory=list)

    def passed(self, name: Name, seen: str) -> None:
        """It holds."""
        self.checks.append(Check(name, Outcome.PASSED, seen))

    def failed(self, name: Name, seen: str) -> None:
        """Something speaks against the certificate."""
        self.checks.append(Check(name, Outcome.FAILED, seen))

    def undecided(self, name: Name, seen: str) -> None:
        """Nothing speaks for it."""
        self.checks.append(Check(name, Outcome.UNDECIDED, seen))

    def expect(self, name: Name, seen: str, *, holds: bool) -> None:
        """Passed or failed."""
        self.checks.append(Check(name, Outcome.PASSED if holds else Outcome.FAILED, seen))

    def rely(self, name: Name, seen: str, *, holds: bool) -> None:
        """Passed or undecided."""
        self.checks.append(Check(name, Outcome.PASSED if holds else Outcome.UNDECIDED, seen))


def plain(text: str) -> str:
    """Fit for a terminal, and not long: some of what is shown was written by strangers."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:200])


def instant(seconds: int) -> str:
    """Seconds since 1970-01-01T00:00:00Z for people; a time that no calendar has as its number."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"second {seconds}"
