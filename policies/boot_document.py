# SPDX-License-Identifier: Apache-2.0
"""The section `boot` of a policy document: what the logs of a measured boot have to prove.

Every key asks for something, and a machine that sends no log is denied where one is said; but not where the section
says of registers alone that none need be explained, and explains differences. What is not said is not asked for:
identity is what the reference sets pin, and this section stands beside them.

Every list is of what is accepted. The rules over it hold of all that was measured, never of one event among others:
whoever writes a log can add a good digest behind a bad one, and call either what he likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from policies.event_types import EventType
from policies.model import Model
from policies.patterns import Pattern
from policies.scalars import Hex32, Identifier, Reason, Text, hex_of
from verifiers.eventlog import events
from verifiers.eventlog.claims import SecureBoot

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DATA = 4096  # bytes of an event's data that a policy can name
_DIGEST_SIZES = (32, 48)  # of a TPM's register, and of a TD's


def _digest(said: object) -> bytes:
    """Of SHA-256 or SHA-384; which one the register has is for `policies.consistency` to ask."""
    for size in _DIGEST_SIZES:
        if isinstance(said, str) and len(said) == 2 * size:
            return hex_of(size)(said)
    raise ValueError("wants 64 or 96 hexadecimal digits in quotes, no 0x, no spaces")


def _data(said: object) -> bytes:
    if isinstance(said, str) and not len(said) % 2 and len(said) <= 2 * MAX_DATA:
        return hex_of(len(said) // 2)(said)
    raise ValueError(f"wants at most {MAX_DATA} bytes as hexadecimal digits in quotes")


def _one_or_several(said: object) -> object:
    """A single value stands for a list of one."""
    return [said] if isinstance(said, str) else said


def _extended(register: events.Register) -> events.Register:
    if register is events.Register.MRTD:
        raise ValueError("no event extends it: pin mr_td")
    return register


def _known(state: SecureBoot) -> SecureBoot:
    if state is SecureBoot.UNDETERMINED:
        raise ValueError("what a log must not be believed about is never accepted")
    return state


Digest: TypeAlias = Annotated[bytes, PlainValidator(_digest)]
Digests: TypeAlias = Annotated[
    frozenset[Digest], Field(strict=False), BeforeValidator(_one_or_several)
]
SomeDigests: TypeAlias = Annotated[Digests, Field(min_length=1)]
Hex20: TypeAlias = Annotated[bytes, PlainValidator(hex_of(20))]
Data: TypeAlias = Annotated[bytes, PlainValidator(_data)]
Extended: TypeAlias = Annotated[events.Register, Field(strict=False), AfterValidator(_extended)]
_Words: TypeAlias = Annotated[
    frozenset[Annotated[str, Field(min_length=1, max_length=500)]],
    Field(strict=False, min_length=1),
    BeforeValidator(_one_or_several),
]
_Patterns: TypeAlias = Annotated[tuple[Pattern, ...], Field(strict=False, min_length=1)]


class CommandLineRules(Model):
    """The kernel's command line in GRUB's words: path of the kernel, then its arguments.

    Attributes:
        patterns: one must match the whole text.
        files: what GRUB may have read, as digests of the text's register. Any of them could be the command line under
            another name, so one that is not here refuses the machine.
    """

    patterns: _Patterns
    files: Digests = frozenset()


class EventRule(Model):
    """A demand on the events of one register.

    Attributes:
        at: place in the register, from 0; the rule is then about the event there.
        digests: accepted ones of the event at that place; without a place, of every event of the register that its
            data do not explain, whatever the log calls it.
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
    data: Annotated[frozenset[Data], Field(strict=False), BeforeValidator(_one_or_several)] = (
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


class KeyProvider(Model):
    """Who gives a dstack application its keys. `id`: as measured, text; any if not said."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    id: Annotated[str, Field(min_length=1, max_length=1000)] | None = None


class DstackRules(Model):
    """The application in a dstack guest, as measured before `system-ready`.

    Attributes:
        events: further events by name, each with the payloads that it may have.
    """

    app_id: Annotated[frozenset[Hex20], Field(min_length=1)] | None = None
    compose_hash: Annotated[frozenset[Hex32], Field(min_length=1)] | None = None
    instance_id: Annotated[frozenset[Hex20], Field(min_length=1)] | None = None
    os_image_hash: Annotated[frozenset[Hex32], Field(min_length=1)] | None = None
    key_provider: Annotated[tuple[KeyProvider, ...], Field(strict=False, min_length=1)] | None = (
        None
    )
    events: dict[
        Annotated[str, Field(min_length=1, max_length=200)],
        Annotated[frozenset[Data], Field(min_length=1)],
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _asks_something(self) -> DstackRules:
        _demand_any(self)
        return self


class AaelRule(Model):
    """Entries of the attestation agent that may be there; with `required`, one of them must be.

    `contents`: patterns; any content if not said.
    """

    domain: Annotated[str, Field(min_length=1, max_length=500)]
    operation: Annotated[str, Field(min_length=1, max_length=500)]
    contents: Annotated[tuple[Pattern, ...], Field(strict=False, min_length=1)] | None = None
    required: bool = False


class CocoRules(Model):
    """Confidential Containers.

    Attributes:
        init_data: hashes of accepted init data, as the report has them: SHA-384 in MRCONFIGID of a TD, SHA-256 in
            HOST_DATA of an SEV-SNP guest and in PCR 8 in Azure. They need no log.
        aael: what may stand in the agent's log: every entry has to fit one of these.
    """

    init_data: SomeDigests | None = None
    aael: Annotated[tuple[AaelRule, ...], Field(strict=False, min_length=1)] | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> CocoRules:
        _demand_any(self)
        return self


class ConfidentialSpaceRules(Model):
    """The one container of Google's Confidential Space. What the launch overrode is refused unless a pattern allows it.

    Attributes:
        image_digest, image_id: e.g. `sha256:` and 64 digits. args, env: each one of them; an env is `NAME=value`.
    """

    image_digest: _Words | None = None
    image_id: _Words | None = None
    image_reference: _Patterns | None = None
    restart_policy: _Words | None = None
    gpu_cc_mode: _Words | None = None
    args: _Patterns | None = None
    env: _Patterns | None = None
    override_args: Annotated[tuple[Pattern, ...], Field(strict=False)] = ()
    override_env: Annotated[tuple[Pattern, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _names_the_image(self) -> ConfidentialSpaceRules:
        if self.image_digest is None and self.image_id is None and self.image_reference is None:
            raise ValueError("wants image_digest, image_id or image_reference")
        return self


def _file_digest(said: object) -> bytes:
    for size in (32, 48, 64):
        if isinstance(said, str) and len(said) == 2 * size:
            return hex_of(size)(said)
    raise ValueError("wants 64, 96 or 128 hexadecimal digits in quotes, no 0x, no spaces")


class ImaRule(Model):
    """Files whose path a pattern matches, with the digests that they may have, or why any will do."""

    path: Pattern
    digests: Annotated[
        frozenset[Annotated[bytes, PlainValidator(_file_digest)]],
        Field(strict=False),
        BeforeValidator(_one_or_several),
    ] = frozenset()
    any_content: Reason | None = None

    @model_validator(mode="after")
    def _digests_or_a_reason(self) -> ImaRule:
        if bool(self.digests) == (self.any_content is not None):
            raise ValueError("wants digests, or the reason why any content will do as any_content")
        return self


class ImaRules(Model):
    """Files that Linux' IMA measured: each has to fit one of `allow`. `files`: as in `CommandLineRules`."""

    allow: Annotated[tuple[ImaRule, ...], Field(strict=False, min_length=1)]
    files: Digests = frozenset()


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
            BeforeValidator(_one_or_several),
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
        if self.coco is not None and self.coco.aael is not None:
            yield "coco.aael"

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
    "dstack",
    "confidential_space",
    "ima",
)


def _demand_any(rules: Model) -> None:
    if all(value in (None, {}) for _, value in rules):
        raise ValueError("asks for nothing: leave it out, or say what is accepted")
