# SPDX-License-Identifier: Apache-2.0
"""Certificates of the authority with single parts exchanged, and what the lints say against them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from ca.errors import LintFailed
from ca.issuance import tbs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

OTHER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other")])
CONSTRAINTS, USAGE = ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE
Extensions: TypeAlias = "Mapping[x509.ObjectIdentifier, tuple[x509.ExtensionType, bool] | None]"
_NONE: Extensions = {}


def forged(
    base: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
    extensions: Extensions = _NONE,
    **changes: Any,  # noqa: ANN401 - values of the builder's parts
) -> x509.Certificate:
    """`base` with single parts exchanged, signed by `signer`; an extension of None is left out."""
    parts: dict[str, Any] = {
        "issuer": base.issuer,
        "subject": base.subject,
        "key": base.public_key(),
        "serial": base.serial_number,
        "start": base.not_valid_before_utc,
        "end": base.not_valid_after_utc,
    }
    given = parts | changes
    builder = (
        x509.CertificateBuilder()
        .issuer_name(given["issuer"])
        .subject_name(given["subject"])
        .public_key(given["key"])
        .serial_number(given["serial"])
        .not_valid_before(given["start"])
        .not_valid_after(given["end"])
    )
    found = {each.oid: (each.value, each.critical) for each in base.extensions}
    for extension in {**found, **extensions}.values():
        if extension:
            builder = builder.add_extension(extension[0], critical=extension[1])
    return builder.sign(signer, tbs.hash_for(signer.public_key()))


def detail(call: Callable[[], object]) -> set[str]:
    with pytest.raises(LintFailed) as error:
        call()
    return set(error.value.detail.removeprefix("lints failed: ").split(", "))
