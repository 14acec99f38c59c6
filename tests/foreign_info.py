# SPDX-License-Identifier: Apache-2.0
"""AttestationInfo as its ASN.1 module says, written once more for a codec of other authors (asn1crypto)."""

from __future__ import annotations

from typing import Any

from asn1crypto import core


class Named(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    _fields = [("name", core.UTF8String), ("value", core.OctetString)]  # noqa: RUF012 - asn1crypto's way


class NamedList(core.SequenceOf):  # type: ignore[misc]  # asn1crypto has no types
    _child_spec = Named


class Device(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    _fields = [  # noqa: RUF012 - the form that asn1crypto reads
        ("kind", core.UTF8String),
        ("model", core.UTF8String),
        ("reportSha256", core.OctetString),
        ("handle", core.OctetString, {"explicit": 0, "optional": True}),
        ("driver", core.UTF8String, {"explicit": 1, "optional": True}),
        ("vbios", core.UTF8String),
        ("mode", core.UTF8String, {"explicit": 2, "optional": True}),
        ("appraisedBy", core.UTF8String),
    ]


class DeviceList(core.SequenceOf):  # type: ignore[misc]  # asn1crypto has no types
    _child_spec = Device


class Texts(core.SequenceOf):  # type: ignore[misc]  # asn1crypto has no types
    _child_spec = core.UTF8String


class ForeignInfo(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    _fields = [  # noqa: RUF012 - the form that asn1crypto reads
        ("version", core.Integer),
        ("tee", core.UTF8String),
        ("product", core.UTF8String),
        ("assurance", core.UTF8String),
        ("binding", core.UTF8String),
        ("registers", NamedList),
        ("tcbStatus", core.UTF8String),
        ("tolerated", Texts),
        ("policyName", core.UTF8String),
        ("policyVersion", core.Integer),
        ("policySha256", core.OctetString),
        ("devices", DeviceList),
        ("evidenceSha256", core.OctetString),
        ("verifiedAt", core.GeneralizedTime),
        ("handles", NamedList),
    ]


def fields_of(der: bytes) -> dict[str, Any]:
    """Name -> value of an AttestationInfo. Raises ValueError."""
    native: dict[str, Any] = ForeignInfo.load(der, strict=True).native
    return native


def rewritten(der: bytes, changes: dict[str, Any], device: int | None = None) -> bytes:
    """The same with members changed, of it or of one device (None takes one away): also what ours never writes."""
    info = ForeignInfo.load(der, strict=True)
    values = info.native
    target = values if device is None else values["devices"][device]
    target |= changes
    values["devices"] = [
        {name: value for name, value in one.items() if value is not None}
        for one in values["devices"]
    ]
    made: bytes = ForeignInfo(values).dump()
    return made
