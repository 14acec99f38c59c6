# SPDX-License-Identifier: Apache-2.0
"""The section `boot` of a policy document: what the logs of a measured boot have to prove.

Every key asks for something, and a machine that sends no log is denied where one is said; but not where the section
says of registers alone that none need be explained, and explains differences. What is not said is not asked for:
identity is what the reference sets pin, and this section stands beside them.

Every list is of what is accepted. The rules over it hold of all that was measured, never of one event among others:
whoever writes a log can add a good digest behind a bad one, and call either what he likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from policies.boot_application_document import (
    CocoRules,
    ConfidentialSpaceRules,
    DstackRules,
    ImaRules,
)
from policies.boot_values import (
    Data,
    Digest,
    Digests,
    Extended,
    Patterns,
    SomeDigests,
    one_or_several,
)
from policies.event_types import EventType
from policies.model import Model
from policies.patterns import Pattern
from policies.scalars import Hex32, Identifier, Text
from verifiers.eventlog import events
from verifiers.eventlog.claims import SecureBoot

if TYPE_CHECKING:
    from collections.abc import Iterator


def _known(state: SecureBoot) -> SecureBoot:
    if state is SecureBoot.UNDETERMINED:
        raise ValueError("what a log must not be believed about is never accepted")
    return state


class CommandLineRules(Model):
    """The kernel's command line in GRUB's words: path of the kernel, then its arguments.

    Attributes:
        patterns: one must match the whole text.
        files: what GRUB may have read, as digests of the text's register. Any of them could be the command line under
            another name, so one that is not here refuses the machine.
    """

    patterns: Patterns
    files: Digests = frozenset()


class EventRule(Model):
    """A demand on the events of one register.

    Attributes:
        at: place in the register, from 0; the rule is then about the event there.
        digests: accepted ones of the event at that place; without a place, of every event of the register that may be
            a file or table, whatever the log calls it: all but separators, actions, texts and entries of runtime logs.
        type, name: of the events whose data are looked at. A name is dstack's or a file's of IMA.
        data, patterns: what an event's digest covers of its data: one of the values, or a pattern that matches it as
            text. Of that type and name there must be `at_least` so many such events. This says what was measured, and
            not that nothing else was.
    """

    id: Identifier
    register_: Extended = Field(alias="register")
    at: Annotated[int, Field(ge=0, lt=events.MAX_EVENTS)] | None = None
    digests: Digests = frozenset()
    type: EventType | None = None
    name: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    data: Annotated[frozenset[Data], Field(strict=False), BeforeValidator(one_or_several)] = (
        frozenset()
    )
    patterns: Annotated[tuple[Pattern, ...], Field(strict=False)] = ()
    at_least: Annotated[int, Field(ge=1, le=events.MAX_EVENTS)] = 1

    @property
    def looks_at_data(self) -> bool:
        """Whether it says anything of data."""
        return bool(self.data or self.patterns)

    @model_validator(mode="after")
    def _means_something(self) -> EventRule:
        if not self.digests and not self.looks_at_data:
            raise ValueError("wants digests, data or patterns")
        labelled = self.type is not None or self.name is not None
        if self.looks_at_data and not labelled:
            raise ValueError("data and patterns want a type or a name beside them")
        if labelled and not self.looks_at_data:
            raise ValueError(
                "a type or a name is the log's word for a digest: it wants data or patterns beside it"
            )
        if self.at_least != 1 and (self.at is not None or not self.looks_at_data):
            raise ValueError("at_least counts events with such data, and not those of one place")
        return self


class LoggedEvent(Model):
    """One event of a reference log. `label`: for people."""

    digest: Digest
    label: Annotated[Text, Field(max_length=200)] = ""


class BootRules(Model):
    """The section `boot`.

    Attributes:
        require_replay: registers that logs have to explain; None: those of `boot_rules.default_replay`, if a log came.
        secure_boot: accepted states.
        db_certificates: SHA-256 of every certificate that the database db may hold; db_hashes: SHA-256 of images that
            it may allow besides. Anything else in it is refused.
        images: accepted digests of what firmware started; all of them have to be among these.
        cmdline_digest, initrd_digest: of a kernel that firmware started itself, and of a unified kernel image.
        reference_logs: named event lists of a good boot, by register. They accept nothing and refuse nothing: where a
            register differs from its reference value, the finding names the first event that differs.
    """

    require_replay: Annotated[frozenset[Extended], Field(strict=False)] | None = None
    secure_boot: (
        Annotated[
            frozenset[Annotated[SecureBoot, Field(strict=False), AfterValidator(_known)]],
            Field(strict=False, min_length=1),
            BeforeValidator(one_or_several),
        ]
        | None
    ) = None
    db_certificates: Annotated[frozenset[Hex32], Field(min_length=1)] | None = None
    db_hashes: frozenset[Hex32] = frozenset()
    images: SomeDigests | None = None
    kernel_cmdline: CommandLineRules | None = None
    cmdline_digest: SomeDigests | None = None
    initrd_digest: SomeDigests | None = None
    events: tuple[EventRule, ...] = ()
    reference_logs: dict[
        Identifier,
        Annotated[
            dict[Extended, Annotated[tuple[LoggedEvent, ...], Field(min_length=1)]],
            Field(min_length=1),
        ],
    ] = Field(default_factory=dict)
    dstack: DstackRules | None = None
    coco: CocoRules | None = None
    confidential_space: ConfidentialSpaceRules | None = None
    ima: ImaRules | None = None

    @model_validator(mode="after")
    def _hashes_beside_certificates(self) -> BootRules:
        if self.db_hashes and self.db_certificates is None:
            raise ValueError("db_hashes are of the rule db_certificates, which is not said")
        return self

    @property
    def facts(self) -> frozenset[str]:
        """The keys that ask for something which only a log can prove."""
        return frozenset(self._facts())

    def _facts(self) -> Iterator[str]:
        for name in _FACTS:
            if getattr(self, name) not in (None, ()):
                yield name
        if self.dstack is not None and self.dstack.wants_log:
            yield "dstack"
        if self.coco is not None and self.coco.aael is not None:
            yield "coco.aael"

    @property
    def chosen_at_launch(self) -> frozenset[str]:
        """The keys that ask for what the host put into a report's field, which no log has to prove."""
        said = {
            "coco.init_data": self.coco is not None and self.coco.init_data is not None,
            "dstack.launch_compose_hash": self.dstack is not None
            and self.dstack.launch_compose_hash is not None,
        }
        return frozenset(name for name, asked in said.items() if asked)

    @property
    def wants_log(self) -> bool:
        """Whether a machine without a log is denied."""
        return bool(self.facts or self.require_replay)


_FACTS = (
    "secure_boot",
    "db_certificates",
    "images",
    "kernel_cmdline",
    "cmdline_digest",
    "initrd_digest",
    "events",
    "confidential_space",
    "ima",
)
