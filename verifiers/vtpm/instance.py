# SPDX-License-Identifier: Apache-2.0
"""The extension by which Google's certificates of attestation keys name a VM: DER -> `Instance`.

Nothing may follow what is known of it but further security properties, which say nothing that is read here. A property
stands at most once.

Source: google/go-tpm-tools and google/go-attestation, which read the extension 1.3.6.1.4.1.11129.2.1.21:

    SEQUENCE { zone UTF8String, projectNumber INTEGER, projectId UTF8String, instanceId INTEGER,
               instanceName UTF8String, [0] EXPLICIT SEQUENCE { [0] securityVersion INTEGER OPTIONAL,
                                                                [1] isProduction BOOLEAN OPTIONAL, … } OPTIONAL }
"""

from __future__ import annotations

from typing import Final, NamedTuple

from verifiers import der

_UTF8_STRING: Final = 0x0C
_FIELDS: Final = (_UTF8_STRING, der.INTEGER, _UTF8_STRING, der.INTEGER, _UTF8_STRING)
_SECURITY_VERSION, _IS_PRODUCTION = 0xA0, 0xA1  # explicit tags
_TRUE: Final = (der.BOOLEAN, b"\xff")
_MAX_TEXT: Final = (
    256  # bytes of a name; a project's has at most 30, an instance's 63, a domain before a project
)


class Instance(NamedTuple):
    """What the extension says; see `GceClaims`."""

    zone: str
    project_id: str
    project_number: int
    instance_id: int
    instance_name: str
    security_version: int


def read_instance(value: bytes) -> Instance:
    """Read the extension. Raises ValueError for any other form, and for a key that is not of Google's production."""
    members = der.elements(der.only(value, der.SEQUENCE))
    if tuple(tag for tag, _ in members[:5]) != _FIELDS or len(members) > 6:
        raise ValueError("the extension that names the VM has another form")
    zone, project_number, project_id, instance_id, instance_name = (one for _, one in members[:5])
    security = dict(_security(members[5:]))
    if security.get(_IS_PRODUCTION) != _TRUE:
        raise ValueError("it is no key of Google's production")
    tag, version = security.get(_SECURITY_VERSION, (der.INTEGER, b"\x00"))
    if tag != der.INTEGER:
        raise ValueError("securityVersion is no number")
    return Instance(
        zone=_text(zone),
        project_id=_text(project_id),
        project_number=der.unsigned(project_number),
        instance_id=der.unsigned(instance_id),
        instance_name=_text(instance_name),
        security_version=der.unsigned(version),
    )


def _security(rest: tuple[tuple[int, bytes], ...]) -> list[tuple[int, tuple[int, bytes]]]:
    """(tag, element) of the security properties, each once. Raises ValueError."""
    if not rest:
        return []
    ((tag, content),) = rest
    if tag != der.CONTEXT_0:
        raise ValueError("the security properties have another form")
    found = [
        (one, der.element(inner)) for one, inner in der.elements(der.only(content, der.SEQUENCE))
    ]
    if len({one for one, _ in found}) != len(found):
        raise ValueError("a security property stands twice")
    return found


def _text(data: bytes) -> str:
    """A name without control characters. Raises ValueError."""
    text = data.decode("utf-8")
    if not text or len(data) > _MAX_TEXT or not text.isprintable():
        raise ValueError("a name of the VM is empty, too long, or not printable")
    return text
