# SPDX-License-Identifier: Apache-2.0
"""Writes quotes: header, body, signatures and certification data, every part replaceable.

A quote is made in the order in which a platform makes it: the attestation key signs header and body; the quoting
enclave's report binds that key and the authentication data; the PCK key signs the report. Each unsigned part may be
given as other bytes or as an edit of the right ones, and every length and type may be falsified. Source: Intel TDX DCAP
Quoting Library API, appendix A; lengths in bytes, integers little-endian.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

from simulator.layouts import (
    BODIES,
    BODY_DESCRIPTOR,
    HEADER,
    SGX_REPORT,
    Value,
    encode,
    size,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from simulator.pki import Key

Edit: TypeAlias = bytes | Callable[[bytes], bytes]

SGX, TDX = 0, 0x81
QE_PREFIX = "qe_"
_QE_FIELDS = frozenset(QE_PREFIX + name for name, _ in SGX_REPORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """What surrounds the signed fields. None means the right value.

    Attributes:
        signer: key that signs header and body. pck_signer: key that signs the QE report.
        signature, attestation_key: r||s and x||y, 64 bytes each; the QE report binds the key as embedded.
        qe_signature: r||s, 64 bytes. qe_auth_data: bound as embedded.
        certification_data: the PCK chain text, or whatever stands in its place.
        version_field, body_type_field, body_size: written instead of the true ones, which still choose the layout.
        signature_data_length, outer_type, outer_length, qe_auth_data_length, inner_type, inner_length: as written.
        auth_layout: 3 for signature data without the outer certification data (quote version 3), else 4.
        body: the whole body. after_inner, after_outer: bytes added after the chain text inside the outer data, and
        after the outer data inside the signature data. trailing: bytes after the quote.
    """

    signer: Key | None = None
    pck_signer: Key | None = None
    signature: Edit | None = None
    attestation_key: Edit | None = None
    qe_signature: Edit | None = None
    qe_auth_data: Edit | None = None
    certification_data: Edit | None = None
    version_field: int | None = None
    body_type_field: int | None = None
    body_size: int | None = None
    signature_data_length: int | None = None
    outer_type: int = 6
    outer_length: int | None = None
    qe_auth_data_length: int | None = None
    inner_type: int = 5
    inner_length: int | None = None
    auth_layout: int | None = None
    body: Edit | None = None
    after_inner: bytes = b""
    after_outer: bytes = b""
    trailing: bytes = b""


FRAMING_FIELDS = frozenset(field.name for field in fields(Framing))


@dataclass(frozen=True, slots=True)
class Signers:
    """What a platform signs with: its two keys, the QE's authentication data, the chain text of its PCK certificate."""

    attestation: Key
    pck: Key
    qe_auth_data: bytes
    chain: bytes


def write(
    signers: Signers, version: int, body_type: int, values: Mapping[str, Value], framing: Framing
) -> bytes:
    """One quote. `values` holds fields of header, body and, with the prefix qe_, of the QE report; others are ignored.

    Raises ValueError for bytes of another length than their field.
    """
    signed = _signed(version, body_type, values, framing)
    signer = framing.signer or signers.attestation
    signature = _edited(signer.sign_raw(signed), framing.signature)
    key = _edited(signers.attestation.point, framing.attestation_key)
    auth_data = _edited(signers.qe_auth_data, framing.qe_auth_data)
    qe_report = _qe_report(values, key, auth_data)
    qe_signature = (framing.pck_signer or signers.pck).sign_raw(qe_report)
    chain = _edited(signers.chain, framing.certification_data)
    inner = b"".join(
        (
            qe_report,
            _edited(qe_signature, framing.qe_signature),
            _counted(2, auth_data, framing.qe_auth_data_length),
            framing.inner_type.to_bytes(2, "little"),
            _counted(4, chain, framing.inner_length),
            framing.after_inner,
        )
    )
    if (framing.auth_layout or (3 if version == 3 else 4)) != 3:
        outer_type = framing.outer_type.to_bytes(2, "little")
        inner = outer_type + _counted(4, inner, framing.outer_length)
    signature_data = signature + key + inner + framing.after_outer
    return signed + _counted(4, signature_data, framing.signature_data_length) + framing.trailing


def refuse_unknown(names: Iterable[str], *body_types: int) -> None:
    """Raise TypeError where a name is no field of header or QE report, nor of a body of one of these types."""
    bodies = (name for body_type in body_types for name, _ in BODIES[body_type])
    header = (name for name, _ in HEADER if name != "version")
    if unknown := sorted(set(names).difference(_QE_FIELDS, header, bodies)):
        raise TypeError(f"this quote has no field {', '.join(unknown)}")


def _signed(version: int, body_type: int, values: Mapping[str, Value], framing: Framing) -> bytes:
    """Header, from version 5 on the body descriptor, and body: what the attestation key signs."""
    layout = BODIES[body_type]
    written = _or(framing.version_field, version)
    header = encode(HEADER, {**values, "version": written})
    descriptor = b""
    if version >= 5:
        body_size = _or(framing.body_size, size(layout))
        kind = _or(framing.body_type_field, body_type)
        descriptor = encode(BODY_DESCRIPTOR, {"body_type": kind, "body_size": body_size})
    return header + descriptor + _edited(encode(layout, values), framing.body)


def _qe_report(values: Mapping[str, Value], key: bytes, auth_data: bytes) -> bytes:
    report = {
        name.removeprefix(QE_PREFIX): value for name, value in values.items() if name in _QE_FIELDS
    }
    report.setdefault("report_data", hashlib.sha256(key + auth_data).digest() + bytes(32))
    return encode(SGX_REPORT, report)


def _edited(right: bytes, edit: Edit | None) -> bytes:
    if edit is None:
        return right
    return edit(right) if callable(edit) else edit


def _or(value: int | None, right: int) -> int:
    return right if value is None else value


def _counted(width: int, content: bytes, written: int | None) -> bytes:
    return _or(written, len(content)).to_bytes(width, "little") + content
