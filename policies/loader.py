# SPDX-License-Identifier: Apache-2.0
"""Bytes of a policy -> PolicyDocument, or every fault with its line and column.

Three looks, each reported whole: the text (`policies.tree`) together with the form of every value
(`policies.document`), then, once the form holds, what several values say together (`policies.consistency`). A document
that loads may still be unwise: saving and activating it asks `policies.lint` as well, while `attestca appraise
--policy` does not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

from policies.consistency import faults
from policies.document import PolicyDocument
from policies.reading import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policies.tree import Mark, Path
    from verifiers.evidence import Tee


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A document with the SHA-256 (32 bytes) of the exact bytes it was read from.

    `marks` tells lint where things stand in the text; it takes no part in comparisons.
    """

    document: PolicyDocument
    sha256: bytes
    marks: Mapping[Path, Mark] = field(default_factory=dict, compare=False, repr=False)


def load(text: bytes) -> PolicyDocument:
    """Read a YAML or JSON policy. Raises PolicyError with every fault."""
    return load_policy(text).document


def load_policy(text: bytes) -> LoadedPolicy:
    """`load`, with the digest that results, certificates and the log name the policy by. Raises PolicyError."""
    reading = read(text, PolicyDocument)
    reading.check(faults(reading.value))
    return LoadedPolicy(reading.value, hashlib.sha256(text).digest(), reading.marks)


def load_default(tee: Tee, *, devices: bool = False) -> LoadedPolicy:
    """The strict default document of one technology: it pins nothing yet, so it accepts nothing.

    `devices`: the one that wants NVIDIA's devices beside the CPU, which the other refuses.
    """
    return load_policy(default_text(tee, devices=devices))


def default_text(tee: Tee, *, devices: bool = False) -> bytes:
    """The commented text of `load_default`, for an operator to start from."""
    name = f"{tee}-nvidia-strict.yaml" if devices else f"{tee}-strict.yaml"
    return resources.files("policies").joinpath("defaults", name).read_bytes()
