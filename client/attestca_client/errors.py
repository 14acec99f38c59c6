# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in an enrollment, sorted by who can mend it. Nothing else leaves this package's functions.

    Exception
      ClientError(detail, hint)       one English line, and what to do next; `exit_code` of the command line
        Misconfigured           64    the caller's: an option, the address, the directory to write to
        Unreadable              66    the file of the root certificate
        EvidenceError                 this machine's
          TsmMissing            66    no configfs-tsm, or no guest driver behind it
          TsmPermission         66    it is there, but not for this user
          TpmMissing            66    evidence of a vTPM lacks a part: tpm2-tools, a TPM, what the cloud keeps in it
          DevicesMissing        66    GPUs are demanded, and none here is in confidential-computing mode
          DevicesPermission     66    they are there, but not for this user
          DevicesUnavailable    69    their driver failed, or gave what cannot be evidence; try again
          EventLogUnusable      66    a log that --event-log names: not there, not readable, no log, too large
          UnsupportedProvider   66    another technology than this version can enroll with
          QuoteUnavailable      69    busy, interrupted, or what makes the quote failed; try again
        AuthorityError                the authority's, or the network's
          Unavailable           69    not reachable, overloaded, 5xx; `retry_after` seconds where it said so
          Untrusted             69    not the authority that --ca-root names, or a certificate that is not ours
          BadAnswer             69    an answer that is not of the interface: redirect, oversized, malformed
          Refused                1    a definite no, with its findings
        OutputFailed            70    the certificate was issued but could not be written

Messages never hold key material. `code` is a stable string for machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ClientError(Exception):
    """Base of all. `detail` says what happened, `hint` (may be empty) what a person can do about it."""

    code = "internal"
    exit_code = 70

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


class Misconfigured(ClientError):
    """An option, the authority's address, or the directory to write to."""

    code = "misconfigured"
    exit_code = 64


class Unreadable(ClientError):
    """The root certificate's file: missing, not readable, or not one CA certificate."""

    code = "unreadable"
    exit_code = 66


class EvidenceError(ClientError):
    """This machine cannot give evidence of itself."""

    code = "no-evidence"
    exit_code = 66


class TsmMissing(EvidenceError):
    """The kernel offers no configfs-tsm reports, or no guest driver registered with it."""

    code = "tsm-missing"


class TsmPermission(EvidenceError):
    """configfs-tsm is there, but this user may not use it."""

    code = "tsm-permission"


class TpmMissing(EvidenceError):
    """A VM without what evidence of its vTPM is made of: tpm2-tools, a TPM device, what the cloud keeps in it."""

    code = "tpm-missing"


class DevicesMissing(EvidenceError):
    """GPUs are demanded, but there is no NVML, no driver, no GPU, or no confidential-computing mode."""

    code = "devices-missing"


class DevicesPermission(EvidenceError):
    """There are GPUs, but this user may not use them."""

    code = "devices-permission"


class DevicesUnavailable(EvidenceError):
    """No evidence of the GPUs this time: their driver failed, hangs, or gave what cannot be evidence."""

    code = "devices-unavailable"
    exit_code = 69


class EventLogUnusable(EvidenceError):
    """An event log that is to be sent: missing, not for this user, of no known format, too large, or one too many."""

    code = "event-log-unusable"


class UnsupportedProvider(EvidenceError):
    """The guest is of another technology than this version can enroll with."""

    code = "unsupported-provider"


class QuoteUnavailable(EvidenceError):
    """No quote this time: the interface stayed busy, or what makes the quote failed."""

    code = "quote-unavailable"
    exit_code = 69


class AuthorityError(ClientError):
    """The authority, or the way to it."""

    code = "authority"
    exit_code = 69


class Unavailable(AuthorityError):
    """Not reachable or not able.

    `answered`: whether the authority said so itself (with `retry_after` in seconds, None where it named no time);
    otherwise nothing came back, and whether a request was taken is not known.
    """

    code = "unavailable"

    def __init__(
        self, detail: str, *, answered: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(detail)
        self.answered = answered
        self.retry_after = retry_after


class Untrusted(AuthorityError):
    """Whoever answered is not the pinned authority, or what came is not a certificate for our key."""

    code = "untrusted"


class BadAnswer(AuthorityError):
    """An answer that the interface does not allow."""

    code = "bad-answer"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule of the authority's policy that was not met."""

    rule: str
    path: str
    result: str
    hint: str


class Refused(AuthorityError):
    """A definite no. `code` is the authority's; `findings` are the rules that failed, for code "denied"."""

    exit_code = 1

    def __init__(
        self, detail: str, *, status: int, code: str, findings: Sequence[Finding] = ()
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.findings = tuple(findings)


class OutputFailed(ClientError):
    """The key and certificate could not be written."""

    code = "output-failed"
