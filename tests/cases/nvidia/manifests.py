# SPDX-License-Identifier: Apache-2.0
"""How the cases of chapter E are made: a genuine manifest, changed before or after it is signed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.nvidia.certificates import Terms, issue
from simulator.nvidia.rims import Manifest
from tests.cases.nvidia.case import Case
from tests.nvidia_devices import ANCHOR
from verifiers.nvidia.rim import Rim, read_rim

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.errors import Reason

GENUINE = Manifest()
STRANGER = issue("Stranger", None, Terms())


def case(line: int, why: str, expect: Reason, **changed: object) -> Case:
    """A manifest with some of its parts changed before it is signed."""
    manifest = replace(GENUINE, **changed)  # type: ignore[arg-type]  # by name
    return Case(line, why, expect, lambda: read(manifest.xml))


def given(line: int, why: str, expect: Reason, document: Callable[[], bytes]) -> Case:
    """A document as it is."""
    return Case(line, why, expect, lambda: read(document()))


def read(document: bytes) -> Rim:
    return read_rim(document, ANCHOR)


def swapped(old: str, new: str) -> Callable[[str], str]:
    """Change one place of the Signature before it is signed, or of the text after."""

    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change
