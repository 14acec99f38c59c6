# SPDX-License-Identifier: Apache-2.0
"""What an operator can name, and the handle of each: the table of `ca.issuance.handles`, read from the other side.

    kind          name                       value
    certificate                              serial number, hexadecimal; on record here
    key                                      SHA-256 of the canonical SubjectPublicKeyInfo, or its DER in base64
    measurement   a register ("mr_td")       its value, hexadecimal
    measurement   a group ("set/entry")      its digest, or the policy "name@version" that has it
    chip          "ppid"                     32 hexadecimal digits
    chip          "chip_id"                  128 hexadecimal digits
    chip          "nvidia"                   serial number of the device certificate, 18 hexadecimal digits
    product                                  "Milan", "fmspc:50806f000000", "nvidia:GH100"
    tcb                                      TCB vector, hexadecimal; layouts in `ca.issuance.platform`
    firmware                                 "nvidia-driver:580.178.04", "nvidia-vbios:…", "nvidia-rim:<id>:<SHA-256>"
    policy                                   "name@version" on record, or SHA-256 of its text
    issuer                                   key id of an issuing CA, 40 hexadecimal digits

Or a handle itself; its kind is what is on record, and must be said of one that no certificate has had.

Rules: what could not be of that kind is refused, for a slip would revoke nothing and look like success. Of hardware ids
nothing leaves this module but the handle.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from attestca_client.protocol import HandleKind, certificate_handle, chip_id, handle
from ca.errors import NotFound, RequestRefused
from ca.issuance import keys
from policies.loader import load_policy
from policies.measurements import group_digest
from policies.registers import Register
from verifiers.evidence import Product
from verifiers.nvidia.claims import Family

if TYPE_CHECKING:
    from ca.authority import Authority
    from ca.ports import PolicyRecord, Store

CHIP_IDS: Final = {"ppid": 16, "chip_id": 64, "nvidia": 9}  # bytes
_DIGEST: Final = re.compile("[0-9a-fA-F]{64}")
_HEX: Final = re.compile("(?:[0-9a-fA-F]{2})+")
_SERIAL: Final = re.compile("0*[1-9a-fA-F][0-9a-fA-F]{0,39}")
_AT_VERSION: Final = re.compile("([a-z0-9][a-z0-9-]{0,62})@([1-9][0-9]{0,8})")
_FMSPC: Final = re.compile("fmspc:[0-9a-f]{12}")
_FIRMWARE: Final = re.compile(
    r"nvidia-driver:[0-9]+(\.[0-9]+)+"
    r"|nvidia-vbios:[0-9A-F]{2}(\.[0-9A-F]{2})+"
    r"|nvidia-rim:[A-Za-z0-9_.-]{1,200}:[0-9a-f]{64}"
)
_PRODUCTS: Final = frozenset((*Product, *(f"nvidia:{family.value}" for family in Family)))
_TDX_VECTOR: Final = 34  # bytes
_SNP_VECTOR: Final = 1 + 3 + 8  # bytes behind the name of the product line


@dataclass(frozen=True, slots=True)
class Subject:
    """What an operator names, as it came: `value` (with `name`, where the kind has one), or `handle` (32 bytes)."""

    kind: HandleKind | None = None
    name: str | None = None
    value: str | None = field(default=None, repr=False)  # may be a hardware id
    handle: bytes | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """The handle (32 bytes) of something, and what it is in words; of hardware the kind of its id alone."""

    kind: HandleKind
    handle: bytes
    words: str


async def named(subject: Subject, authority: Authority) -> Named:
    """The handle of what `subject` names.

    Raises:
        RequestRefused: `malformed`: it cannot be of that kind. NotFound: the serial or policy is not on record.
        Unavailable.
    """
    if subject.handle is not None:
        return await _bare(subject, subject.handle, authority.store)
    kind, name, value = subject.kind, subject.name or "", subject.value
    if kind is None or value is None:
        raise RequestRefused("kind and value, or a handle")
    if bool(name) != (kind in {HandleKind.MEASUREMENT, HandleKind.CHIP}):
        raise RequestRefused("name: a register, a group or the kind of a chip's id, and only these")
    match kind:
        case HandleKind.CERTIFICATE:
            return await _certificate(value, authority.store)
        case HandleKind.MEASUREMENT:
            return await _measurement(name, value, authority.store)
        case HandleKind.CHIP:
            return _chip(name, value, authority.chip_key)
        case HandleKind.POLICY:
            return await _policy(value, authority.store)
        case _:
            return _of_one_field(kind, value)


async def _bare(subject: Subject, given: bytes, store: Store) -> Named:
    if (subject.name, subject.value) != (None, None):
        raise RequestRefused("handle: alone, or with its kind")
    known = await store.kind_of(given)
    kind = known or subject.kind
    if kind is None:
        raise RequestRefused("kind: no certificate has had this handle, so say what it is of")
    if subject.kind not in {None, kind}:
        raise RequestRefused(f"kind: this is a handle of kind {kind}")
    return Named(kind, given, "")


async def _certificate(value: str, store: Store) -> Named:
    if not _SERIAL.fullmatch(value):
        raise RequestRefused("value: a serial number is 1 to 40 hexadecimal digits")
    record = await store.certificate(int(value, 16))
    if record is None:
        raise NotFound("this serial number was never used here")
    own = certificate_handle(record.issuer_key_id, record.serial)
    return Named(HandleKind.CERTIFICATE, own, f"{record.serial:x}")


async def _measurement(name: str, value: str, store: Store) -> Named:
    if "/" in name:
        found = await _group_digest(name, value, store)
    elif name in frozenset(Register):
        found = _bytes(value, Register(name).length)
    else:
        raise RequestRefused("name: neither a register nor a group (set/entry)")
    own = handle(HandleKind.MEASUREMENT, name.encode(), found)
    return Named(HandleKind.MEASUREMENT, own, f"{name} {found.hex()}")


async def _group_digest(name: str, value: str, store: Store) -> bytes:
    """The digest of a reference group (32 bytes): as it stands, or as a policy on record has it."""
    if _DIGEST.fullmatch(value):
        return bytes.fromhex(value)
    record = await _recorded_policy(value, store)
    document = (await asyncio.to_thread(load_policy, record.document)).document
    reference_set, _, entry = name.partition("/")
    for one in document.reference_sets.get(reference_set, ()):
        if one.id == entry:
            return group_digest(one)
    raise NotFound(f"{record.name}@{record.version} has no such entry")


def _chip(name: str, value: str, chip_key: bytes) -> Named:
    if name not in CHIP_IDS:
        raise RequestRefused(f"name: one of {', '.join(CHIP_IDS)}")
    found = _bytes(value, CHIP_IDS[name])
    if not any(found):
        raise RequestRefused("value: an id of zeros is of a chip that hides itself")
    # The serial number of a device counts as it stands in its certificate: as text.
    own = found.hex().upper().encode() if name == "nvidia" else found
    return Named(HandleKind.CHIP, handle(HandleKind.CHIP, chip_id(chip_key, name, own)), name)


async def _policy(value: str, store: Store) -> Named:
    if _DIGEST.fullmatch(value):
        digest, words = bytes.fromhex(value), value.lower()
    else:
        record = await _recorded_policy(value, store)
        digest, words = record.sha256, f"{record.name}@{record.version}"
    return Named(HandleKind.POLICY, handle(HandleKind.POLICY, digest), words)


async def _recorded_policy(value: str, store: Store) -> PolicyRecord:
    match = _AT_VERSION.fullmatch(value)
    if match is None:
        raise RequestRefused("value: neither name@version of a policy nor a SHA-256")
    record = await store.policy(match[1], int(match[2]))
    if record is None:
        raise NotFound("there is no such version of this policy")
    return record


def _of_one_field(kind: HandleKind, value: str) -> Named:
    match kind:
        case HandleKind.KEY:
            field_ = _key(value)
            words = field_.hex()
        case HandleKind.TCB:
            field_ = _vector(value)
            words = field_.hex()
        case HandleKind.ISSUER:
            field_ = _bytes(value, 20)
            words = field_.hex()
        case HandleKind.PRODUCT if value in _PRODUCTS or _FMSPC.fullmatch(value):
            field_, words = value.encode(), value
        case HandleKind.FIRMWARE if _FIRMWARE.fullmatch(value):
            field_, words = value.encode(), value
        case _:
            raise RequestRefused(f"value: no certificate could name this as its {kind}")
    return Named(kind, handle(kind, field_), words)


def _key(value: str) -> bytes:
    """SHA-256 of the canonical SubjectPublicKeyInfo, 32 bytes."""
    if _DIGEST.fullmatch(value):
        return bytes.fromhex(value)
    try:
        spki_der = base64.b64decode(value, validate=True)
    except ValueError:
        raise RequestRefused("value: neither a SHA-256 nor a key in base64") from None
    return hashlib.sha256(keys.encode(keys.load(spki_der))).digest()


def _vector(value: str) -> bytes:
    found = _bytes(value)
    line, zero, rest = found.partition(b"\0")
    of_snp = line in {one.encode() for one in Product} and len(zero + rest) == _SNP_VECTOR
    if len(found) != _TDX_VECTOR and not of_snp:
        raise RequestRefused("value: no technology has such a TCB vector")
    return found


def _bytes(value: str, length: int | None = None) -> bytes:
    if not _HEX.fullmatch(value) or length not in {None, len(value) // 2}:
        size = "" if length is None else f" of {length} bytes"
        raise RequestRefused(f"value: must be hexadecimal{size}")
    return bytes.fromhex(value)
