# SPDX-License-Identifier: Apache-2.0
"""Names that a certificate may carry, as text: "dns:…" and "uri:spiffe://…".

Rules, stricter than RFC 5280 asks: two labels or more of lower-case letters, digits and hyphens; no wildcard, trailing
dot, empty label, underscore, address or internationalised label (one with "--" in its third and fourth place:
look-alikes need a human's eye); SPIFFE ids with a path by the SPIFFE-ID specification, section 2, at most one
(X.509-SVID, section 2). Whether a name was granted is not decided here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography import x509

if TYPE_CHECKING:
    from collections.abc import Sequence

DNS = "dns:"
URI = "uri:"
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_SPIFFE = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)+)", re.ASCII)
_MAX_URI = 2048


def fault(name: str) -> str | None:
    """What is wrong with one name; None if nothing is."""
    if name.startswith(DNS):
        return _dns_fault(name.removeprefix(DNS))
    if name.startswith(URI):
        return _spiffe_fault(name.removeprefix(URI))
    return "neither dns: nor uri:"


def faults(names: Sequence[str]) -> tuple[str, ...]:
    """What is wrong with the names of one certificate, each line naming the name."""
    found = [f"{name!r}: {wrong}" for name in names if (wrong := fault(name))]
    if len(set(names)) != len(names):
        found.append("a name twice")
    if sum(name.startswith(URI) for name in names) > 1:
        found.append("more than one SPIFFE id")
    return tuple(found)


def general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    """The names as X.509 writes them. They passed `faults`."""
    return [
        x509.DNSName(name.removeprefix(DNS))
        if name.startswith(DNS)
        else x509.UniformResourceIdentifier(name.removeprefix(URI))
        for name in names
    ]


def texts(general: x509.SubjectAlternativeName) -> tuple[str, ...]:
    """The names of a certificate in our form; any other kind of name as its type, which no grant equals."""
    return tuple(
        DNS + name.value
        if isinstance(name, x509.DNSName)
        else URI + name.value
        if isinstance(name, x509.UniformResourceIdentifier)
        else f"other:{type(name).__name__}"
        for name in general
    )


def _dns_fault(name: str) -> str | None:
    if not 1 <= len(name) <= 253:
        return "a DNS name has 1 to 253 characters"
    labels = name.split(".")
    if len(labels) < 2:
        return "a single label"
    if not all(_LABEL.fullmatch(label) for label in labels):
        return "a label is 1 to 63 of a-z, 0-9 and inner hyphens"
    if any(label[2:4] == "--" for label in labels):
        return "internationalised and reserved labels are not issued"
    return "the last label is a number" if labels[-1].isdigit() else None


def _spiffe_fault(uri: str) -> str | None:
    found = _SPIFFE.fullmatch(uri)
    if len(uri) > _MAX_URI or found is None:
        return "not a SPIFFE id"
    if any(segment in {".", ".."} for segment in found[2].split("/")):
        return "a path segment of dots"
    return None
