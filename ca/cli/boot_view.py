# SPDX-License-Identifier: Apache-2.0
"""How event logs are shown: registers, what is believed and why, every event; as tables, or as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ca.cli import output
from verifiers.claims import to_json
from verifiers.errors import VerificationError
from verifiers.eventlog import efi
from verifiers.eventlog.bound import (
    EV_EFI_VARIABLE_AUTHORITY,
    EV_EFI_VARIABLE_BOOT,
    EV_EFI_VARIABLE_BOOT2,
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    EV_SEPARATOR,
    bind,
)
from verifiers.eventlog.claims import Rule
from verifiers.eventlog.labels import label_of, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.cli.boot import BootInspection
    from verifiers.claims import JsonValue
    from verifiers.eventlog.bound import Bound
    from verifiers.eventlog.claims import BootClaims, Digest
    from verifiers.eventlog.events import Event
    from verifiers.eventlog.judged import Boot

_DIGITS: Final = 16  # of a digest in the table of events; --json has all of them
_VARIABLES: Final = frozenset(
    {
        EV_EFI_VARIABLE_AUTHORITY,
        EV_EFI_VARIABLE_BOOT,
        EV_EFI_VARIABLE_BOOT2,
        EV_EFI_VARIABLE_DRIVER_CONFIG,
    }
)
_WHY: Final = {
    Rule.EVENT_DATA: "the digest is of all of it",
    Rule.VARIABLE_DATA: "the digest is of the variable's value, not of its name",
    Rule.IPL_SUFFIX: "the digest is of the text",
    Rule.IPL_SUFFIX_NUL: "the digest is of the text",
    Rule.SECTION_NAME: "the digest is of the section's name",
    Rule.SUFFIX_FROM_20: "the digest is of what follows the name",
    Rule.DSTACK_V1: "the digest is of name and payload",
    Rule.DSTACK_V2: "the digest is of name and payload",
    Rule.CEL_CONTENT: "the digest is of the content",
}
_LABEL: Final = "the digest alone; the rest is the log's word"
_NOT_REPLAYED: Final = "nothing: the register does not replay"
_NOT_EXTENDED: Final = "nothing: it extends no register"


def show(found: BootInspection, title: str = "Event logs") -> None:
    """Verdict of the replay, registers, what is believed, events."""
    facts = {"replay": str(found.verdict)}
    if found.reason is not None:
        facts["reason"] = f"{found.reason}: {found.detail}"
    output.print_facts({**facts, "compared with": str(found.source)}, title)
    if found.boot is None or found.logs is None:
        return
    boot = found.boot
    output.say_blank()
    output.print_table(("register", "state", "events", "value"), _register_rows(boot), "Registers")
    output.say_blank()
    output.print_facts(_claims(boot.claims), "What the logs prove")
    output.say_blank()
    proven = proven_events(boot)
    output.print_table(
        ("event", "register", "state", "type", "digest", "says", "believed"),
        (_row(event, boot, proven) for log in found.logs for event in log.events),
        "Events",
    )


def _register_rows(boot: Boot) -> Iterator[tuple[str, ...]]:
    """The value that is quoted, and below it that of the logs where it is another."""
    for register, one in sorted(boot.replayed.items()):
        quoted = "not quoted" if one.value is None else one.value.hex()
        yield str(register), str(one.state), str(one.count), quoted
        if one.computed != one.value and one.count:
            yield "", "", "by the logs", one.computed.hex()


def proven_events(boot: Boot) -> frozenset[int]:
    """The identity (`id`) of each event whose digest is one of those that gave a quoted value."""
    return frozenset(id(event) for one in boot.replayed.values() for event in one.proven)


def _row(event: Event, boot: Boot, proven: frozenset[int]) -> tuple[str, ...]:
    from policies.event_types import type_name

    bound = bind(event, boot.algorithm)
    register = event.register
    known = None if register is None else boot.replayed.get(register)
    return (
        f"{event.source} {event.position}",
        "-" if register is None else str(register),
        str(known.state) if event.extends and known is not None else "-",
        type_name(event.type),
        event.digests.get(boot.algorithm, b"").hex()[:_DIGITS],
        said(event, bound),
        _believed(event, bound, proven),
    )


def _believed(event: Event, bound: Bound | None, proven: frozenset[int]) -> str:
    if not event.extends:
        return _NOT_EXTENDED
    if id(event) not in proven:
        return _NOT_REPLAYED
    return _LABEL if bound is None else _WHY[bound.rule]


def said(event: Event, bound: Bound | None) -> str:
    """What an event says, printable and short; of a variable its name and value."""
    if event.type in _VARIABLES:
        try:
            variable = efi.parse_variable(event.data)
        except VerificationError:
            return label_of(event)
        return f"{printable(variable.name)} = {_value(variable.value)}"
    if event.type == EV_SEPARATOR:
        return event.data.hex()[:_DIGITS]
    if bound is not None and bound.rule in {Rule.DSTACK_V1, Rule.DSTACK_V2}:
        return f"{label_of(event)} = {_value(bound.data)}"
    return label_of(event)


def _value(data: bytes) -> str:
    """Text as it is, everything else by its first bytes."""
    if len(data) > 1 and data.isascii() and data.decode("ascii").isprintable():
        return printable(data.decode("ascii"))
    text = data[:_DIGITS].hex()
    return f"{text}… ({len(data)} bytes)" if len(data) > _DIGITS else text or "empty"


def _claims(claims: BootClaims) -> dict[str, str]:
    """Facts first, then digests, then what is not believed."""
    return {
        "Secure Boot": str(claims.secure_boot or "the logs do not speak of it"),
        **dict(_databases(claims)),
        **dict(_command_line(claims)),
        **dict(_digests(claims)),
        **dict(_applications(claims)),
        **{f"not believed: {one.subject}": one.why for one in claims.doubts},
    }


def _databases(claims: BootClaims) -> Iterator[tuple[str, str]]:
    for name in ("pk", "kek", "db", "dbx"):
        one = getattr(claims, name)
        if one is not None:
            yield name, f"{len(one.certificates)} certificates, {len(one.hashes)} hashes"
            if name == "db":
                yield "db certificates", "\n".join(each.hex() for each in one.certificate_sha256)


def _command_line(claims: BootClaims) -> Iterator[tuple[str, str]]:
    line = claims.kernel_cmdline
    if line is None:
        return
    yield "kernel command line", str(line.state) if line.text is None else line.text
    if line.unexplained:
        yield (
            "beside it",
            f"{len(line.unexplained)} digests of files that its register has too: pin those",
        )


def _digests(claims: BootClaims) -> Iterator[tuple[str, str]]:
    """By place, then those under labels, of which a rule has to hold of all."""
    for name, one in (
        ("command line digest", claims.cmdline_digest),
        ("initrd digest", claims.initrd_digest),
    ):
        if one is not None:
            yield name, one.digest.hex()
    if claims.images:
        yield "images", "\n".join(map(_labelled, claims.images))
    if claims.sections:
        yield "sections", "\n".join(map(_labelled, claims.sections))


def _labelled(one: Digest) -> str:
    return f"{one.digest.hex()} {one.label}"


def _applications(claims: BootClaims) -> Iterator[tuple[str, str]]:
    if claims.dstack is not None:
        for name in ("app_id", "compose_hash", "instance_id", "os_image_hash", "key_provider"):
            value = getattr(claims.dstack, name)
            if value is not None:
                yield f"dstack {name}", _value(value.value)
    for entry in claims.aael or ():
        yield f"AAEL {printable(entry.domain)}", printable(f"{entry.operation} {entry.content}")
    if claims.confidential_space is not None:
        for name in ("image_reference", "image_digest", "image_id", "restart_policy"):
            text = getattr(claims.confidential_space, name)
            if text is not None:
                yield f"Confidential Space {name}", printable(text.text)


# JSON


def boot_json(found: BootInspection) -> dict[str, JsonValue]:
    """The object that `--json` prints for logs. Names and shapes are stable."""
    reason: JsonValue = None
    if found.reason is not None:
        reason = {"code": str(found.reason), "detail": found.detail}
    head: dict[str, JsonValue] = {
        "verdict": str(found.verdict),
        "reason": reason,
        "compared_with": str(found.source),
    }
    if found.boot is None or found.logs is None:
        return head
    boot = found.boot
    claims = to_json(boot.claims)
    if not isinstance(claims, dict):
        raise TypeError("claims are an object")
    claims.pop("events")  # each below, with those that do not replay
    proven = proven_events(boot)
    return {
        **head,
        "formats": [str(one) for one in boot.formats],
        "algorithm": str(boot.algorithm),
        "registers": {
            str(register): {
                "state": str(one.state),
                "quoted": to_json(one.value),
                "computed": one.computed.hex(),
                "events": one.count,
            }
            for register, one in sorted(boot.replayed.items())
        },
        "claims": claims,
        "events": [_event_json(one, boot, proven) for log in found.logs for one in log.events],
    }


def _event_json(event: Event, boot: Boot, proven: frozenset[int]) -> dict[str, JsonValue]:
    from policies.event_types import type_name

    bound = bind(event, boot.algorithm)
    return {
        "log": str(event.source),
        "position": event.position,
        "register": None if event.register is None else str(event.register),
        "extends": event.extends,
        "proven": id(event) in proven,
        "type": type_name(event.type),
        "name": event.name,
        "digest": to_json(event.digests.get(boot.algorithm)),
        "label": label_of(event),
        "rule": None if bound is None else str(bound.rule),
        "data": None if bound is None else bound.data.hex(),
    }
