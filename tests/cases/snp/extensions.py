# SPDX-License-Identifier: Apache-2.0
"""Endorsement certificates with other extensions than AMD writes, signed by the right authority."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.pki import Extension

if TYPE_CHECKING:
    from tests.cases.snp.case import Alteration
    from tests.snp_lab import SnpLab


def extension(oid: str, value: bytes) -> Alteration:
    return lambda lab: lab.vek.put(Extension(oid, value))


def without(oid: str) -> Alteration:
    return lambda lab: lab.vek.drop(oid)


def twice(oid: str) -> Alteration:
    def make(lab: SnpLab) -> None:
        found = next(each for each in lab.vek.spec.extensions if each.oid == oid)
        lab.vek.alter(extensions=(*lab.vek.spec.extensions, found))

    return make


def padded(oid: str) -> Alteration:
    """An INTEGER with a zero octet too many."""

    def make(lab: SnpLab) -> None:
        found = next(each for each in lab.vek.spec.extensions if each.oid == oid)
        content = b"\0" + found.value[2:]
        lab.vek.put(Extension(oid, bytes((0x02, len(content))) + content))

    return make


def moved(oid: str, to: str) -> Alteration:
    """An extension under another OID."""

    def make(lab: SnpLab) -> None:
        lab.vek.alter(
            extensions=tuple(
                replace(each, oid=to) if each.oid == oid else each
                for each in lab.vek.spec.extensions
            )
        )

    return make
