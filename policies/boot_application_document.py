# SPDX-License-Identifier: Apache-2.0
"""The parts of the section `boot` about what runs in the booted machine: applications, and files that IMA measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from policies.boot_values import (
    Data,
    Digests,
    Hex20,
    Patterns,
    SomeDigests,
    Words,
    demand_any,
    one_or_several,
)
from policies.model import Model
from policies.patterns import Pattern
from policies.scalars import Hex32, Reason, hex_of


class KeyProvider(Model):
    """Who gives a dstack application its keys. `id`: as measured, text; any if not said."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    id: Annotated[str, Field(min_length=1, max_length=1000)] | None = None


class DstackRules(Model):
    """The application in a dstack guest, as measured before `system-ready`.

    Attributes:
        launch_compose_hash: accepted ones in MRCONFIGID (version 1), where the host put it at launch. They need no log.
        events: further events by name, each with the payloads that it may have.
    """

    app_id: Annotated[frozenset[Hex20], Field(min_length=1)] | None = None
    compose_hash: Annotated[frozenset[Hex32], Field(min_length=1)] | None = None
    launch_compose_hash: Annotated[frozenset[Hex32], Field(min_length=1)] | None = None
    instance_id: Annotated[frozenset[Hex20], Field(min_length=1)] | None = None
    os_image_hash: Annotated[frozenset[Hex32], Field(min_length=1)] | None = None
    key_provider: Annotated[tuple[KeyProvider, ...], Field(strict=False, min_length=1)] | None = (
        None
    )
    events: dict[
        Annotated[str, Field(min_length=1, max_length=200)],
        Annotated[frozenset[Data], Field(min_length=1)],
    ] = Field(default_factory=dict)

    @property
    def wants_log(self) -> bool:
        """Whether it asks for anything that only a log can prove."""
        return any(value not in (None, {}) for name, value in self if name != "launch_compose_hash")

    @model_validator(mode="after")
    def _asks_something(self) -> DstackRules:
        demand_any(self)
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
        demand_any(self)
        return self


class ConfidentialSpaceRules(Model):
    """The one container of Google's Confidential Space. What the launch overrode is refused unless a pattern allows it.

    Attributes:
        image_digest, image_id: e.g. `sha256:` and 64 digits. args, env: each one of them; an env is `NAME=value`.
    """

    image_digest: Words | None = None
    image_id: Words | None = None
    image_reference: Patterns | None = None
    restart_policy: Words | None = None
    gpu_cc_mode: Words | None = None
    args: Patterns | None = None
    env: Patterns | None = None
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
        BeforeValidator(one_or_several),
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
