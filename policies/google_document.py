# SPDX-License-Identifier: Apache-2.0
"""The section `google` of a policy document: whose virtual machines will do, where Google's vTPM stands beside the CPU.

A document with it takes evidence of that kind (`match.provider: google`), one without takes none. What it names is what
Google's certificate of the vTPM's key says of the VM: Google's word, not the CPU's.
"""

from __future__ import annotations

import string
from datetime import timedelta
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from policies.model import Model, StaleBudget
from policies.scalars import Slug

ROOT_CRL: Final = "google_root_crl"  # the part of the collateral that is Google's
_NAME: Final = frozenset(string.ascii_lowercase + string.digits + "-")
_MAX_NAME: Final = 30  # Google Cloud, Resource Manager: the id of a project
_MAX_INSTANCE: Final = 2**64 - 1
_MAX_DIGITS: Final = 20


def _project(text: str) -> str:
    """Older ones stand behind the domain of their owner: "example.com:web"."""
    domain, colon, name = text.rpartition(":")
    good = 1 <= len(name) <= _MAX_NAME and _NAME.issuperset(name)
    good &= not name.startswith((*string.digits, "-")) and not name.endswith("-")
    if not good or bool(colon) != bool(domain) or not (_NAME | {"."}).issuperset(domain):
        raise ValueError('wants the id of a project, such as "my-project", not its name or number')
    return text


def _zone(text: str) -> str:
    if text.count("-") < 2:
        raise ValueError('wants a zone, such as "us-central1-a", not a region')
    return text


def _number(said: object) -> object:
    """Digits in quotes stand for the number: programs that round numbers of this size quote them."""
    if isinstance(said, str) and said.isascii() and said.isdigit() and len(said) <= _MAX_DIGITS:
        return int(said)
    return said


ProjectId: TypeAlias = Annotated[str, AfterValidator(_project)]
Zone: TypeAlias = Annotated[Slug, AfterValidator(_zone)]
InstanceId: TypeAlias = Annotated[int, Field(ge=1, le=_MAX_INSTANCE), BeforeValidator(_number)]


class GoogleRules(Model):
    """The section `google`. What is not said may be anything, but for the project.

    Attributes:
        projects: ids of projects. zones: "us-central1-a". instances: ids of VMs, 64-bit numbers.
        tolerate_stale_crl: how long past its next update the revocation list of Google's root may be.
    """

    projects: frozenset[ProjectId] = Field(min_length=1)
    zones: frozenset[Zone] | None = Field(default=None, min_length=1)
    instances: frozenset[InstanceId] | None = Field(default=None, min_length=1)
    tolerate_stale_crl: StaleBudget = timedelta()
