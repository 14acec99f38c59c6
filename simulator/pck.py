# SPDX-License-Identifier: Apache-2.0
"""The SGX extension of PCK certificates (1.2.840.113741.1.13.1), encoded as Intel's real ones are.

Source: Intel SGX PCK Certificate and CRL Profile Specification 1.5, section "SGX extensions". `SgxExtension` holds
sensible values; `parts` and `encode` take it apart, so that a test can leave out, repeat or falsify any item.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from simulator import der
from simulator.pki import Extension

if TYPE_CHECKING:
    from collections.abc import Iterable

SGX_EXTENSION = "1.2.840.113741.1.13.1"

Parts: TypeAlias = "list[tuple[str, bytes]]"


@dataclass(frozen=True, slots=True)
class SgxExtension:
    """Values of the extension.

    Attributes:
        ppid: 16 bytes. components: 16 SVNs. cpusvn: 16 bytes, None for the components as bytes.
        pceid: 2 bytes. fmspc: 6 bytes. sgx_type: 0 standard, 1 scalable, 2 scalable with integrity.
        platform_instance_id: 16 bytes, None leaves it out; so do the three flags together.
    """

    ppid: bytes
    components: tuple[int, ...]
    pcesvn: int
    pceid: bytes
    fmspc: bytes
    sgx_type: int
    cpusvn: bytes | None = None
    platform_instance_id: bytes | None = None
    dynamic_platform: bool | None = None
    cached_keys: bool | None = None
    smt_enabled: bool | None = None

    def parts(self) -> Parts:
        """The items as (arc below the extension's OID, DER of the value), in Intel's order."""
        cpusvn = bytes(self.components) if self.cpusvn is None else self.cpusvn
        flags = (self.dynamic_platform, self.cached_keys, self.smt_enabled)
        instance = self.platform_instance_id
        return [
            ("1", der.octet_string(self.ppid)),
            *((f"2.{i}", der.integer(svn)) for i, svn in enumerate(self.components, 1)),
            ("2.17", der.integer(self.pcesvn)),
            ("2.18", der.octet_string(cpusvn)),
            ("3", der.octet_string(self.pceid)),
            ("4", der.octet_string(self.fmspc)),
            ("5", der.enumerated(self.sgx_type)),
            *([] if instance is None else [("6", der.octet_string(instance))]),
            *((f"7.{i}", der.boolean(value=f)) for i, f in enumerate(flags, 1) if f is not None),
        ]

    def extension(self) -> Extension:
        """The X.509 extension, not critical."""
        return encode(self.parts())


def encode(parts: Iterable[tuple[str, bytes]]) -> Extension:
    """The X.509 extension of these items, in this order; neighbours such as 2.1 and 2.2 share one inner SEQUENCE."""
    items = []
    for arc, group in groupby(parts, key=lambda part: part[0].partition(".")[0]):
        members = list(group)
        if "." in members[0][0]:
            value = der.sequence(*(_item(inner, content) for inner, content in members))
            items.append(_item(arc, value))
        else:
            items.extend(_item(arc, content) for _, content in members)
    return Extension(SGX_EXTENSION, der.sequence(*items))


def _item(arc: str, value: bytes) -> bytes:
    return der.sequence(der.oid(f"{SGX_EXTENSION}.{arc}"), value)
