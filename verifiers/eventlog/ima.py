# SPDX-License-Identifier: Apache-2.0
r"""Linux IMA's list in ASCII: `PCR templatehash template filedigest path [more]` -> `EventLog`.

The kernel hashes the template data of a file, which is rebuilt here from the fields of its line, each behind its length
(u32, little endian): "sha256:\0" and the file's digest; the path and "\0"; the signature or buffer, where the template
has one. The kernel has already replaced spaces in paths, so a space ends a field.

Rules: one line is one event, and its template hash is checked, so file digest and path are what it covers. A hash of
zeros is a violation (a file written while it was measured): it stands for ones, which is what the kernel extends, and
nothing covers the rest of its line, so nothing of it is given. Other templates, and the old `ima` with them, are
refused. The kernel extends a TPM's PCR 10; kernels that extend a TD's registers take RTMR2, and write its own number
or PCR 10's.
Not done here: whether a file is allowed; how much of the list a quote covers (`verifiers.eventlog.replay`).

Source: Linux, security/integrity/ima (ima_fs.c, ima_template.c, ima_template_lib.c).
"""

from __future__ import annotations

import re
from binascii import Error as HexError
from binascii import unhexlify
from struct import Struct
from typing import Final

from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.events import (
    HASHES,
    MAX_LIST_EVENTS,
    PCRS,
    Algorithm,
    Event,
    EventLog,
    LogFormat,
    Register,
    demand_count,
    demand_size,
)

_LINE: Final = re.compile(
    rb" ?(?P<pcr>[0-9]{1,2}) (?P<hash>[0-9a-f]+) (?P<template>ima-(?:ng|ngv2|sig|sigv2|buf)) "
    rb"(?P<algorithm>(?:ima:|verity:)?[a-z0-9-]{1,16}):(?P<digest>[0-9a-f]*) (?P<path>[^ \n]+)"
    rb"(?: (?P<more>[0-9a-f]*))?\n"
)
_TWO_FIELDS: Final = (b"ima-ng", b"ima-ngv2")
_BY_SIZE: Final = {
    one.size: one for one in (Algorithm.SHA1, Algorithm.SHA256, Algorithm.SHA384, Algorithm.SHA512)
}
_IMA: Final = LogFormat.IMA  # found four times as fast by a name of its own
_length: Final = Struct("<I").pack

_NUMBERS: Final = {  # as lines write them
    Register.RTMR2: frozenset({b"2", b"02", b"10"}),
    PCRS[10]: frozenset({b"10"}),
}


def parse(data: bytes, register: Register, algorithm: Algorithm) -> EventLog:
    """Parse a list, `ascii_runtime_measurements` or one that names its hash behind, at most 1 MiB.

    Args:
        data: the list. The length of a template hash tells its algorithm.
        register: what it extended: RTMR2 of a TD, or PCR 10.
        algorithm: whose template hashes are wanted. Where the list has another's they are computed from the template
            data, as the kernel does for each bank.

    Raises:
        VerificationError: `too-large`; `malformed`; `unsupported-format` for a line of an unknown form or template.
        ValueError: another register, which IMA does not extend.
    """
    if register not in _NUMBERS:
        raise ValueError(f"IMA does not extend {register}")
    demand_size(data, "IMA list")
    demand_count(data.count(b"\n"), "IMA list", MAX_LIST_EVENTS)
    if data and not data.endswith(b"\n"):
        raise VerificationError(Reason.MALFORMED, "IMA list: its last line has no end")
    events: list[Event] = []
    start, end = 0, len(data)
    try:
        while start < end:
            fields = _LINE.match(data, start)
            if fields is None:
                raise VerificationError(
                    Reason.UNSUPPORTED_FORMAT,
                    f"IMA list, line {len(events)}: of no template that is known",
                )
            start = fields.end()
            events.append(_parse_line(len(events), fields, register, algorithm))
    except HexError:
        raise VerificationError(
            Reason.MALFORMED, f"IMA list, line {len(events)}: an odd number of hex digits"
        ) from None
    return EventLog(LogFormat.IMA, tuple(events), (algorithm,))


def _parse_line(
    position: int, fields: re.Match[bytes], register: Register, algorithm: Algorithm
) -> Event:
    """One line. Raises VerificationError, HexError."""
    pcr, hashed, kind, name, file_digest, path, more = fields.groups()
    if pcr not in _NUMBERS[register]:
        raise VerificationError(Reason.MALFORMED, f"IMA list, line {position}: PCR {int(pcr)}")
    listed = unhexlify(hashed)
    own = _BY_SIZE.get(len(listed))
    if own is None:
        raise VerificationError(
            Reason.MALFORMED, f"IMA list, line {position}: a hash of {len(listed)} bytes"
        )
    if not any(listed):
        ones = {algorithm: b"\xff" * algorithm.size}
        return Event(position, register, None, ones, b"", None, _IMA)
    named = name + b":\0" + unhexlify(file_digest)
    template = _length(len(named)) + named + _length(len(path) + 1) + path + b"\0"
    if kind not in _TWO_FIELDS:
        third = unhexlify(more or b"")
        template += _length(len(third)) + third
    elif more is not None:
        raise VerificationError(
            Reason.MALFORMED, f"IMA list, line {position}: more fields than its template has"
        )
    if HASHES[own](template).digest() != listed:
        raise VerificationError(
            Reason.MALFORMED, f"IMA list, line {position}: its hash is not that of its fields"
        )
    digest = listed if own is algorithm else HASHES[algorithm](template).digest()
    digests = {algorithm: digest}
    return Event(position, register, None, digests, template, _text(path), _IMA, template)


def _text(path: bytes) -> str | None:
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        return None
