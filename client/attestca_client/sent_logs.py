# SPDX-License-Identifier: Apache-2.0
"""Which event logs go with the evidence: what `--event-log` says.

`auto`, and nothing said: the firmware's, where the machine has one (`eventlog`). `none`: no log. A file: that log; of
what is named, all, and nothing else. Files may be named where evidence may not: a log proves nothing but what the
registers of this machine's own evidence confirm, so one from elsewhere helps nobody.

Files are read anew for each enrollment, before the quote is made and after: where a running system has written on in
between, the quote is asked for again, so that log and registers are of one moment. What is wrong with a file is an
error, before anything of it is sent. Which format it has, its content says; of whose registers a firmware's log is, the
evidence beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attestca_client.errors import EventLogUnusable, Misconfigured
from attestca_client.eventlog import (
    MAX_AREA,
    MAX_LOG,
    LogFault,
    is_crypto_agile,
    without_padding,
)
from attestca_client.tsm import KernelFiles
from attestca_client.wire import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attestca_client.enroll import QuoteSource
    from attestca_client.errors import Refused
    from attestca_client.runtime import Runtime

AUTO: Final = "auto"
NONE: Final = "none"
KINDS: Final = frozenset({"ccel", "tpm-event-log", "dstack-event-log", "cel", "ima-log"})
QUOTES: Final = 3  # at most, for one enrollment
FORMATS: Final = (
    "a firmware's log (TCG, crypto agile), with entries of an attestation agent or without; dstack's in JSON; TCG's"
    " canonical event log in TLV; IMA's ascii_runtime_measurements"
)
OPTION: Final = "--event-log"
UNUSABLE_HINT: Final = (
    "an authority would refuse it: name the log as the kernel, or what wrote on, has it"
)

_CEL: Final = b"\0\0\0\0\x08" + bytes(8)  # the record number 0 as TLV
_IMA: Final = re.compile(rb" ?[0-9]{1,2} [0-9a-f]{40,128} ima-")
_JSON: Final = re.compile(rb"\s*[\[{]")
_DSTACK: Final = (b'"imr"', b'"event_log"')  # a member of each event; of the guest agent's reply
_UNREADABLE: Final = frozenset(
    {
        "malformed",
        "unsupported-format",
        "no-sha384-bank",
        "too-large",
        "evidence",
        "unsupported-tee",
    }
)  # what an authority says of a log that it cannot read, and of other things


@dataclass(frozen=True, slots=True)
class Choice:
    """What the option says.

    Attributes:
        firmware: whether the firmware's log goes along. files: the other logs.
    """

    firmware: bool = True
    files: tuple[Path, ...] = ()

    @classmethod
    def of(cls, values: Sequence[str]) -> Choice:
        """Of the option's values, as often as it was given. Raises Misconfigured."""
        if not values:
            return cls()
        if NONE in values and len(values) > 1:
            raise Misconfigured(
                f"{OPTION} {NONE} stands alone", f"a file of that name is written ./{NONE}"
            )
        return cls(AUTO in values, tuple(Path(one) for one in values if one not in {AUTO, NONE}))


@dataclass(frozen=True, slots=True)
class WithEventLogs:
    """A quote source: that of the machine, and the logs of a choice. Raises EvidenceError.

    Attributes:
        source: gives the quote, and the firmware's log where it is to be sent.
    """

    source: QuoteSource
    choice: Choice
    runtime: Runtime
    files: KernelFiles = field(default_factory=KernelFiles)

    def __call__(self, report_data: bytes) -> list[Evidence]:
        """Evidence over `report_data` (64 bytes), with its logs."""
        pieces, contents = self._of_one_moment(report_data)
        if not self.choice.firmware:
            pieces = [piece for piece in pieces if piece.kind not in KINDS]
        of_a_tpm = _replays_to_pcrs({piece.kind for piece in pieces})
        for path, data in zip(self.choice.files, contents, strict=True):
            pieces.append(_piece(path, data, of_a_tpm=of_a_tpm))
        _demand_sendable([piece for piece in pieces if piece.kind in KINDS])
        return pieces

    def _of_one_moment(self, report_data: bytes) -> tuple[list[Evidence], list[bytes]]:
        """The source's evidence, and the contents of the files; those of the last quote if they never stand still."""
        contents = self._contents()
        pieces: list[Evidence] = []
        for _ in range(QUOTES):
            before, pieces = contents, list(self.source(report_data))
            contents = self._contents()
            if contents == before:
                break
            self.runtime.say("an event log has grown while the quote was made")
        return pieces, contents

    def _contents(self) -> list[bytes]:
        """Of each file, as it is. Raises EventLogUnusable."""
        return [self._read(path) for path in self.choice.files]

    def _read(self, path: Path) -> bytes:
        try:
            data = self.files.read(path, MAX_AREA)
        except OSError as error:
            raise EventLogUnusable(
                f"the event log {path} cannot be read: {error.strerror or error}",
                f"see that it is there and that this user may read it, or leave {OPTION} {path} away",
            ) from error
        if len(data) > MAX_AREA:
            raise _too_large(f"the event log {path} has more than {MAX_AREA} bytes")
        return data


def kind_of(data: bytes, *, of_a_tpm: bool = False) -> str | None:
    """The kind of evidence that a log is, by how it begins; None where it is none that is known here."""
    if is_crypto_agile(data):
        return "tpm-event-log" if of_a_tpm else "ccel"
    if data.startswith(_CEL):
        return "cel"
    if _IMA.match(data):
        return "ima-log"
    if _JSON.match(data) and any(mark in data for mark in _DSTACK):
        return "dstack-event-log"
    return None


def _replays_to_pcrs(kinds: set[str]) -> bool:
    """Whether a firmware's log beside evidence of these kinds is that of a vTPM.

    A TD has registers of its own. Under a paravisor, whose HCL report comes along then, they are empty.
    """
    return "tpm-attest" in kinds and ("tdx-quote" not in kinds or "hcl-report" in kinds)


def _piece(path: Path, data: bytes, *, of_a_tpm: bool) -> Evidence:
    """Raises EventLogUnusable."""
    kind = kind_of(data, of_a_tpm=of_a_tpm)
    if kind is None:
        raise EventLogUnusable(
            f"{path} is no event log that is known here", f"known are: {FORMATS}"
        )
    try:
        return Evidence(kind, without_padding(data, kind) if is_crypto_agile(data) else data)
    except LogFault as fault:
        raise EventLogUnusable(f"the event log {path} {fault}", UNUSABLE_HINT) from fault


def _demand_sendable(logs: Sequence[Evidence]) -> None:
    """What an authority demands of logs together. Raises EventLogUnusable."""
    kinds = [log.kind for log in logs]
    twice = {kind for kind in kinds if kinds.count(kind) > 1}
    if twice:
        raise EventLogUnusable(
            f"two event logs of one kind: {', '.join(sorted(twice))}",
            f"an attestation agent's file begins with the firmware's log: name it without {OPTION} {AUTO}"
            if twice & {"ccel", "tpm-event-log"}
            else f"name one of them with {OPTION}",
        )
    if sum(len(log.data) for log in logs) > MAX_LOG:
        raise _too_large(f"the event logs have more than {MAX_LOG} bytes together")


def _too_large(detail: str) -> EventLogUnusable:
    return EventLogUnusable(
        detail, f"an authority takes {MAX_LOG} bytes: name fewer logs with {OPTION}"
    )


def advice(refused: Refused, sent: Sequence[Evidence]) -> str:
    """What to do about a refusal that event logs have to do with; empty for any other.

    Args:
        refused: the answer.
        sent: all pieces of evidence.
    """
    logs = ", ".join(piece.kind for piece in sent if piece.kind in KINDS)
    rules = {finding.rule for finding in refused.findings}
    if "boot-log" in rules:
        return (
            "no event log was sent, and the policy asks for one: where the firmware has one, see that this user may"
            f" read it and that {OPTION} is {AUTO}; else name a log with {OPTION} FILE"
        )
    if "boot-replay" in rules:
        return _about_replay(refused, logs)
    if logs and refused.code in _UNREADABLE:
        return (
            f"event logs were sent ({logs}): if one of them is meant, {OPTION} {NONE} enrolls without, unless the"
            " policy asks what was booted"
        )
    return ""


def _about_replay(refused: Refused, logs: str) -> str:
    replay = [finding for finding in refused.findings if finding.rule == "boot-replay"]
    paths = ", ".join(finding.path.removeprefix("boot.replayed.") for finding in replay)
    if all(finding.result == "missing" for finding in replay):
        return (
            f"no event log that was sent ({logs}) has what was extended into {paths}: name the one that has, too, with"
            f" {OPTION} FILE"
        )
    return (
        f"the event logs that were sent ({logs}) do not give {paths} of the quote: they are of another boot, were"
        f" changed, or lack what was extended later. Name a log that is complete with {OPTION} FILE; where there is"
        f" none, {OPTION} {NONE} enrolls without, unless the policy asks what was booted"
    )
