# SPDX-License-Identifier: Apache-2.0
"""What runs in the booted machine: dstack's identity, Confidential Space's container, the entries of CoCo's agent.

All three are read from the register of applications, which the booted system extends, by one rule: the register
speaks one language, from its first event on. One event in it that is of another language, or that its digest does not
cover, could be an identity under another label; then nothing is claimed. What follows the launch (dstack's
`system-ready`, Confidential Space's LaunchSeparator) was written by whoever can, and is no identity: but a second event
of a name that stands for the identity, before or after, refuses it, for some other reader may take the last.

Sources: dstack's cc-eventlog, go-tpm-tools' launcher, guest-components' attestation agent (AAEL).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from verifiers.errors import VerificationError
from verifiers.eventlog import aael, cel
from verifiers.eventlog.bound import DSTACK_RUNTIME_EVENT
from verifiers.eventlog.cel import CosType
from verifiers.eventlog.claims import (
    AaelClaim,
    ConfidentialSpace,
    Doubt,
    DstackIdentity,
    Rule,
    Subject,
    Text,
    Value,
)
from verifiers.eventlog.events import LogFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verifiers.eventlog.events import Event
    from verifiers.eventlog.proven import Logs, Proven

SYSTEM_READY: Final = "system-ready"
_DSTACK: Final = {  # name of the event -> lengths of its payload; None: any
    "app-id": (20,),
    "compose-hash": (32,),
    "instance-id": (0, 20),
    "os-image-hash": (32,),
    "key-provider": None,
}
_DSTACK_RULES: Final = (Rule.DSTACK_V1, Rule.DSTACK_V2)
_ONCE: Final = frozenset(  # contents of Confidential Space that may stand once
    {
        CosType.IMAGE_REF,
        CosType.IMAGE_DIGEST,
        CosType.RESTART_POLICY,
        CosType.IMAGE_ID,
        CosType.MEMORY_MONITOR,
        CosType.GPU_CC_MODE,
    }
)


def language(event: Event) -> Subject | None:
    """Whose event it is, by its labels."""
    if event.source is LogFormat.CEL:
        return Subject.CONFIDENTIAL_SPACE
    if event.source is LogFormat.DSTACK and event.type == DSTACK_RUNTIME_EVENT:
        return Subject.DSTACK
    return Subject.AAEL if aael.is_aael(event) else None


def spoken(logs: Logs) -> tuple[Subject | None, tuple[Doubt, ...]]:
    """The one language of the register of applications, or why there is none."""
    register = logs.layout.application
    told = {language(event) for event in logs.told if event.register == register}
    subjects = sorted(one for one in told if one is not None)
    proven = logs.of(register)
    if proven and len(told) == 1:
        return next(iter(told)), ()
    why = (
        "other events stand beside it in the register" if proven else f"{register} does not replay"
    )
    return None, tuple(Doubt(one, why) for one in subjects)


def dstack_identity(events: Sequence[Proven]) -> DstackIdentity | str:
    """The identity before the first `system-ready`; or why there is none. `events`: all of the register."""
    names = [one.event.name for one in events]
    repeated = [name for name in _DSTACK if names.count(name) > 1]
    if repeated:
        return f"{repeated[0]} stands twice"
    if SYSTEM_READY not in names:
        return f"no {SYSTEM_READY}: the identity is not complete"
    found: dict[str, Value] = {}
    others: list[tuple[str, Value]] = []
    for one in events[: names.index(SYSTEM_READY) + 1]:
        if one.bound is None or one.bound.rule not in _DSTACK_RULES or one.event.name is None:
            return f"event {one.event.position} is not covered by its digest"
        value = Value(one.bound.data, one.origin)
        if one.event.name not in _DSTACK:
            others.append((one.event.name, value))
            continue
        lengths = _DSTACK[one.event.name]
        if lengths is not None and len(value.value) not in lengths:
            return f"{one.event.name} has {len(value.value)} bytes"
        found[one.event.name] = value
    return DstackIdentity(
        found.get("app-id"),
        found.get("compose-hash"),
        found.get("instance-id"),
        found.get("os-image-hash"),
        found.get("key-provider"),
        tuple(others),
    )


def aael_entries(events: Sequence[Proven]) -> tuple[AaelClaim, ...] | str:
    """All entries in their order; or why there are none that are believed."""
    found: list[AaelClaim] = []
    for one in events:
        if one.bound is None:
            return f"event {one.event.position} is not covered by its digest"
        try:
            entry = aael.parse_entry(one.bound.data)
        except VerificationError as error:
            return error.detail
        origin = one.origin
        found.append(AaelClaim(entry.domain, entry.operation, entry.content, origin))
    return tuple(found)


def confidential_space(events: Sequence[Proven]) -> ConfidentialSpace | str:
    """What stands before the first LaunchSeparator; or why nothing is believed."""
    contents = _contents(events)
    if isinstance(contents, str):
        return contents
    kinds = [kind for kind, _ in contents]
    repeated = [kind for kind in sorted(_ONCE) if kinds.count(kind) > 1]
    if repeated:
        return f"{repeated[0].name} stands twice"
    if CosType.LAUNCH_SEPARATOR not in kinds:
        return "no LaunchSeparator: the launch is not complete"
    before = contents[: kinds.index(CosType.LAUNCH_SEPARATOR)]
    unknown = [kind for kind, _ in before if kind not in _KNOWN]
    if unknown:
        return f"a content of type {unknown[0]}, which is not known"
    return _container(before)


def _contents(events: Sequence[Proven]) -> list[tuple[int, Value]] | str:
    """(type, value) of each record; or why they are not believed."""
    contents: list[tuple[int, Value]] = []
    for one in events:
        if one.bound is None:
            return f"event {one.event.position} is not covered by its digest"
        try:
            kind, value = cel.parse_cos(one.bound.data)
            if kind in _TEXTS:
                value.decode("utf-8")
        except (VerificationError, UnicodeDecodeError) as error:
            return f"record {one.event.position}: {error}"
        contents.append((kind, Value(value, one.origin)))
    return contents


_KNOWN: Final = frozenset(CosType)
_TEXTS: Final = _KNOWN - {
    CosType.LAUNCH_SEPARATOR,
    CosType.MEMORY_MONITOR,
    CosType.GPU_DEVICE_BINDING,
}


def _container(contents: Sequence[tuple[int, Value]]) -> ConfidentialSpace:
    def values(wanted: CosType) -> tuple[Value, ...]:
        return tuple(value for kind, value in contents if kind == wanted)

    def texts(wanted: CosType) -> tuple[Text, ...]:
        return tuple(Text(one.value.decode("utf-8"), one.origin) for one in values(wanted))

    def text(wanted: CosType) -> Text | None:
        return next(iter(texts(wanted)), None)

    return ConfidentialSpace(
        image_reference=text(CosType.IMAGE_REF),
        image_digest=text(CosType.IMAGE_DIGEST),
        image_id=text(CosType.IMAGE_ID),
        restart_policy=text(CosType.RESTART_POLICY),
        memory_monitor=next(iter(values(CosType.MEMORY_MONITOR)), None),
        gpu_cc_mode=text(CosType.GPU_CC_MODE),
        args=texts(CosType.ARG),
        env=texts(CosType.ENV_VAR),
        override_args=texts(CosType.OVERRIDE_ARG),
        override_env=texts(CosType.OVERRIDE_ENV),
        gpu_bindings=values(CosType.GPU_DEVICE_BINDING),
    )
