# SPDX-License-Identifier: Apache-2.0
"""What firmware measured: Secure Boot, its databases, the variables that images were allowed by, the images themselves.

Secure Boot (TCG PC Client Platform Firmware Profile 1.06, 3.3.4.8): the variable SecureBoot stands in the register of
firmware variables before its first separator, once in all logs, and its digest is that of one of the three variables
that there can be. Everything else that speaks of it makes the state undetermined. Separators are known by their digest:
a type can be rewritten, so that a later separator would seem to be the first.

Databases: PK, KEK, db and dbx follow SecureBoot at once and in this order, empty ones too (the same section). Only
there is one believed: a TD's register has boot variables as well, of which firmware measures the value alone, before
the separator; a host can make such a value be the whole of a good database, and call the real one something else.

Images: what their register holds beside data that are known and no PE image. So no image can hide behind another type,
or behind data: an image's Authenticode hash is over bytes that begin with its header, and such data count as an image.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from verifiers.errors import VerificationError
from verifiers.eventlog import efi
from verifiers.eventlog.bound import (
    EV_EFI_VARIABLE_AUTHORITY,
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    digest_of,
)
from verifiers.eventlog.claims import (
    Authority,
    Digest,
    Doubt,
    Origin,
    Rule,
    SecureBoot,
    SignatureDatabase,
    Subject,
)
from verifiers.eventlog.labels import as_digests
from verifiers.eventlog.proven import ACTIONS, SEPARATORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from verifiers.eventlog.events import Algorithm, Event
    from verifiers.eventlog.proven import Logs

DATABASES: Final = {  # in the order in which they are measured
    Subject.PK: (efi.GLOBAL_VARIABLE, "PK"),
    Subject.KEK: (efi.GLOBAL_VARIABLE, "KEK"),
    Subject.DB: (efi.IMAGE_SECURITY_DATABASE, "db"),
    Subject.DBX: (efi.IMAGE_SECURITY_DATABASE, "dbx"),
}
_SECURE_BOOT: Final = {
    b"\x01": SecureBoot.ENABLED,
    b"\x00": SecureBoot.DISABLED,
    b"": SecureBoot.ABSENT,
}
_IMAGE_HEADERS: Final = (b"MZ", b"PE\0\0")  # what the hashed bytes of a PE image begin with


def secure_boot(logs: Logs) -> tuple[SecureBoot | None, Origin | None, Doubt | None]:
    """(state, the event it comes from, why it is undetermined)."""
    values = {
        efi.variable_data(efi.GLOBAL_VARIABLE, "SecureBoot", value): state
        for value, state in _SECURE_BOOT.items()
    }
    states = {digest_of(data, logs.algorithm): (data, state) for data, state in values.items()}
    algorithm, begins = logs.algorithm, _beginning(efi.GLOBAL_VARIABLE, "SecureBoot").match
    speaking = [
        event for event in logs.told if event.digests[algorithm] in states or begins(event.data)
    ]
    if not speaking:
        return None, None, None
    why = _misplaced(logs, speaking)
    if why is None:
        event = speaking[0]
        data, state = states.get(event.digests[logs.algorithm], (b"", None))
        one = logs.find(event)
        if one is not None and state is not None and (one.event.data == data or one.stripped):
            return state, one.by(Rule.KNOWN_DIGEST), None
        why = "the digest is not that of the variable in the log"
    return SecureBoot.UNDETERMINED, None, Doubt(Subject.SECURE_BOOT, why)


def databases(
    logs: Logs, state: Origin | None
) -> tuple[Mapping[Subject, SignatureDatabase], tuple[Doubt, ...]]:
    """The databases that stand once and in their place behind SecureBoot; and why others are not believed.

    `state`: the event that `secure_boot` believed.
    """
    found: dict[Subject, SignatureDatabase] = {}
    doubts: list[Doubt] = []
    variables = [event for event in logs.told if event.type == EV_EFI_VARIABLE_DRIVER_CONFIG]
    for behind, (subject, (vendor, name)) in enumerate(DATABASES.items(), 1):
        begins = _beginning(vendor, name).match
        speaking = [event for event in variables if begins(event.data)]
        if not speaking:
            continue
        place = state.ordinal + behind if state is not None else None
        result = _misplaced(logs, speaking) or _database(logs, speaking[0], place)
        if isinstance(result, str):
            doubts.append(Doubt(subject, result))
        else:
            found[subject] = result
    return found, tuple(doubts)


def authorities(logs: Logs) -> tuple[Authority, ...]:
    """The variables that images were allowed by."""
    found: list[Authority] = []
    for one in logs.of(logs.layout.firmware):
        if one.event.type != EV_EFI_VARIABLE_AUTHORITY or one.bound is None:
            continue
        try:
            variable = efi.parse_variable(one.bound.data)
        except VerificationError:
            continue
        found.append(Authority(variable.guid, variable.name, variable.value, one.origin))
    return tuple(found)


def images(logs: Logs) -> tuple[Digest, ...]:
    """Everything in the register of images that can be one."""
    marks = known_marks(logs.algorithm)
    return as_digests(
        one
        for one in logs.of(logs.layout.images)
        if one.digest not in marks
        and (one.bound is None or one.bound.hashed.startswith(_IMAGE_HEADERS))
    )


def known_marks(algorithm: Algorithm) -> frozenset[bytes]:
    """The digests of separators and actions, which say what they are without any data."""
    return frozenset(digest_of(mark, algorithm) for mark in (*SEPARATORS, *ACTIONS))


def _misplaced(logs: Logs, speaking: list[Event]) -> str | None:
    """Why events of a variable do not stand as they should: one, proven, of the right type and register, in time."""
    if len(speaking) > 1:
        return f"{len(speaking)} events speak of it"
    event, register = speaking[0], logs.layout.firmware
    if event.type != EV_EFI_VARIABLE_DRIVER_CONFIG or event.register != register:
        return "its event has another type or register"
    one, end = logs.find(event), _first_separator(logs)
    if one is None:
        return f"{register} does not replay"
    if end is None or one.ordinal > end:
        return f"it does not stand before the first separator of {register}"
    return None


def _first_separator(logs: Logs) -> int | None:
    digests = {digest_of(one, logs.algorithm) for one in SEPARATORS}
    places = (one.ordinal for one in logs.of(logs.layout.firmware) if one.digest in digests)
    return next(places, None)


def _beginning(vendor: str, name: str) -> re.Pattern[bytes]:
    """What an event's data begin with if they are those of a variable, whatever its value."""
    empty = efi.variable_data(vendor, name, b"")
    guid_and_length, encoded = re.escape(empty[:24]), re.escape(empty[32:])
    return re.compile(guid_and_length + b".{8}" + encoded, re.DOTALL)


def _database(logs: Logs, event: Event, place: int | None) -> SignatureDatabase | str:
    one = logs.find(event)
    if one is None or one.bound is None:
        return "the digest is not that of the variable in the log"
    if one.ordinal != place:
        return "it does not stand in its place behind SecureBoot"
    try:
        signatures = efi.parse_signatures(efi.parse_variable(one.bound.data).value)
    except VerificationError as error:
        return error.detail
    return SignatureDatabase(
        signatures.certificates,
        tuple(hashlib.sha256(der).digest() for der in signatures.certificates),
        signatures.hashes,
        signatures.unknown,
        one.origin,
    )
