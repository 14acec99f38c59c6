# SPDX-License-Identifier: Apache-2.0
"""Event logs and what replay says of them -> `BootClaims`. Pure; never raises for what a log says.

A claim needs an event that replays, of the right type, in the right register, before the end of the phase that it
speaks of, and a rule that ties what is claimed to its digest. A log that says something about a subject and fails in
one of these leaves a doubt in place of the claim. The rules of each subject stand in the module that reads it.

Beside logs there are fields that the quote itself signs and that the host fills in at launch: `launch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verifiers.eventlog import applications, firmware, loader
from verifiers.eventlog.claims import (
    AaelClaim,
    BootClaims,
    ConfidentialSpace,
    Doubt,
    DstackIdentity,
    EventClaim,
    Subject,
)
from verifiers.eventlog.events import Algorithm
from verifiers.eventlog.labels import as_digests
from verifiers.eventlog.proven import TD, Layout, Logs, gather

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from verifiers.eventlog.claims import Digest
    from verifiers.eventlog.events import EventLog, Register
    from verifiers.eventlog.proven import Proven
    from verifiers.eventlog.replay import Replayed


def boot_claims(
    logs: Sequence[EventLog],
    replayed: Mapping[Register, Replayed],
    algorithm: Algorithm = Algorithm.SHA384,
    layout: Layout = TD,
) -> BootClaims:
    """What the logs prove.

    Args:
        logs: those that were replayed.
        replayed: what `replay.replay` gave for these logs, this algorithm, and a quote that was verified.
        algorithm: SHA-384 for a TD, the bank for a TPM.
        layout: `proven.TD` or `proven.TPM`.
    """
    view = gather(logs, replayed, algorithm, layout)
    secure_boot, origin, doubt = firmware.secure_boot(view)
    databases, doubts = firmware.databases(view, origin)
    images = firmware.images(view)
    cmdline, cmdline_doubt = loader.command_line(view)
    sections = loader.sections(view)
    cmdline_digest, initrd_digest = _kernel(view, images, sections)
    application, application_doubts = _application(view)
    singles = tuple(one for one in (doubt, cmdline_doubt) if one is not None)
    return BootClaims(
        secure_boot=secure_boot,
        secure_boot_origin=origin,
        pk=databases.get(Subject.PK),
        kek=databases.get(Subject.KEK),
        db=databases.get(Subject.DB),
        dbx=databases.get(Subject.DBX),
        authorities=firmware.authorities(view),
        images=images,
        kernel_cmdline=cmdline,
        cmdline_digest=cmdline_digest,
        initrd_digest=initrd_digest,
        sections=sections,
        grub=loader.commands(view),
        opaque=_opaque(view),
        events=_events(view),
        dstack=application if isinstance(application, DstackIdentity) else None,
        aael=application if isinstance(application, tuple) else None,
        confidential_space=application if isinstance(application, ConfidentialSpace) else None,
        doubts=(*singles, *doubts, *application_doubts),
    )


def _kernel(
    view: Logs, images: tuple[Digest, ...], sections: tuple[Digest, ...]
) -> tuple[Digest | None, Digest | None]:
    """(digest of the command line, of the initrd), by their place."""
    if not sections:
        return loader.stub(view, images)
    named = {one.label: one for one in sections}
    return named.get(loader.SECTION_CMDLINE), named.get(loader.SECTION_INITRD)


def _opaque(view: Logs) -> tuple[Digest, ...]:
    marks = firmware.known_marks(view.algorithm)
    return as_digests(
        one
        for events in view.registers.values()
        for one in events
        if one.bound is None and one.digest not in marks
    )


def _events(view: Logs) -> tuple[EventClaim, ...]:
    return tuple(_event(one) for events in view.registers.values() for one in events)


def _event(one: Proven) -> EventClaim:
    event, bound = one.event, one.bound
    name = None if event.hashed is None else event.name  # of other events nothing covers it
    data = None if bound is None else bound.data
    return EventClaim(one.origin, event.type, name, one.digest, data, one.may_be_file)


def _application(
    view: Logs,
) -> tuple[DstackIdentity | ConfidentialSpace | tuple[AaelClaim, ...] | None, tuple[Doubt, ...]]:
    """What the register of applications says, and why it says nothing."""
    subject, doubts = applications.spoken(view)
    events = view.of(view.layout.application)
    match subject:
        case Subject.DSTACK:
            result: DstackIdentity | ConfidentialSpace | tuple[AaelClaim, ...] | str = (
                applications.dstack_identity(events)
            )
        case Subject.CONFIDENTIAL_SPACE:
            result = applications.confidential_space(events)
        case Subject.AAEL:
            result = applications.aael_entries(events)
        case _:
            return None, doubts
    if isinstance(result, str):
        return None, (Doubt(subject, result),)
    return result, ()
