# SPDX-License-Identifier: Apache-2.0
"""Errors of the authority, sorted by whose fault it is. HTTP status codes stand in `ca.http.problems` alone.

    Exception
      AuthorityError(code, detail)
        RequestRefused        the caller's: malformed, nonce, CSR (not what its evidence says: see verifiers.errors)
          NonceUsed
          Denied              authentic evidence that the vendor's rules or the policy refuse; carries public findings
        Conflict              what was asked for was overtaken by another change
          PolicyChanged  PolicyConflict  HandleRevoked  IntentClosed
        NotFound
        Unavailable           infrastructure; answered with Retry-After, nothing signed, nothing lost
          CollateralUnusable  what a vendor gave us is not authentic, not about this machine, or not whole
            CollateralOutdated  its statements are older than those that decided before
            DevicesUnusable     it is about devices, not about the CPU beside them
        LintFailed            ours: a certificate that we must not sign, or must not hand out
        ConfigurationError    the operator's, at start; lists every fault at once
          LogHalted           the log signs no more until the operator looks; everything else goes on
          ChainHalted         likewise: nothing more is anchored
        AnchorRefused         the contract does not take what was to be anchored, as things are now

Codes are stable strings; detail is one English line without secrets.
"""

from __future__ import annotations


class AuthorityError(Exception):
    """Base of all: a stable `code` and one line for a person."""

    code = "internal"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code


class RequestRefused(AuthorityError):
    """The caller's fault. Each raise names its own code ("malformed", "nonce-expired", "csr-signature", …)."""

    code = "malformed"


class NonceUsed(RequestRefused):
    """The nonce was answered before, by another request."""

    code = "nonce-used"


class Denied(RequestRefused):
    """Authentic evidence that was refused. The refusal is on record.

    `findings`: what the attester may see of each rule that failed: rule, path, result, hint. `record`: the decision
    as JSON text for the operator's log, without hardware ids.
    """

    code = "denied"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        findings: tuple[dict[str, str], ...] = (),
        record: str = "",
    ) -> None:
        super().__init__(detail, code=code)
        self.findings = findings
        self.record = record


class Conflict(AuthorityError):
    """Overtaken by another change; asking again may go through."""

    code = "conflict"


class PolicyChanged(Conflict):
    """The policy of a decision is no longer the active one."""

    code = "policy-changed"


class PolicyConflict(Conflict):
    """A policy version that does not rise, an overlap, or another operator was first."""

    code = "policy-conflict"


class HandleRevoked(Conflict):
    """Something that this certificate would depend on is revoked."""

    code = "handle-revoked"


class IntentClosed(Conflict):
    """The intent was abandoned before its certificate came."""

    code = "intent-closed"


class NotFound(AuthorityError):
    """No such thing."""

    code = "not-found"


class Unavailable(AuthorityError):
    """Infrastructure. `retry_after` in seconds."""

    code = "unavailable"

    def __init__(self, detail: str, *, code: str | None = None, retry_after: int = 5) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class CollateralUnusable(Unavailable):
    """What we fetched is at fault, not the attester; it is worth asking for anew."""

    code = "collateral-unusable"


class CollateralOutdated(CollateralUnusable):
    """An older judgement of the vendor than one that was used before, though signed and in date."""


class DevicesUnusable(CollateralUnusable):
    """What was fetched about devices; nothing that was fetched about the CPU is at fault."""


class LintFailed(AuthorityError):
    """Ours. The detail lists every lint that failed."""

    code = "lint-failed"


class ConfigurationError(AuthorityError):
    """The operator's. The detail has one line per fault."""

    code = "configuration"


class LogHalted(ConfigurationError):
    """The database's log is not what was signed, or not this key's to sign."""


class ChainHalted(ConfigurationError):
    """The chain has what this authority did not write, or has not what was final there."""

    code = "chain-halted"


class AnchorRefused(AuthorityError):
    """The registry contract would refuse the transaction, or wants a key that is not here."""

    code = "anchor-refused"
