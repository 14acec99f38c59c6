# SPDX-License-Identifier: Apache-2.0
"""UEFI's structures in event data: bytes -> variables, signature databases, load options, names of devices.

Sources: TCG PC Client Platform Firmware Profile 1.06, 10 (UEFI_VARIABLE_DATA, UEFI_IMAGE_LOAD_EVENT); UEFI 2.11, 3.1.3
(EFI_LOAD_OPTION), 10.3 (device paths), 32.4.1 (EFI_SIGNATURE_LIST). All integers are little endian; GUIDs have their
first three fields in that order too and are written as RFC 9562 writes them.

Rules: nothing may follow, no length runs past the end, strings are UTF-16 that decodes. Only `device_path` gives up in
silence, for a device path is a label that nobody believes.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final
from uuid import UUID

from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.record import record

GLOBAL_VARIABLE: Final = "8be4df61-93ca-11d2-aa0d-00e098032b8c"  # SecureBoot, PK, KEK, BootXXXX
IMAGE_SECURITY_DATABASE: Final = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"  # db, dbx

_X509: Final = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"
_HASHES: Final = {  # GUID -> (name, bytes of the hash, bytes behind it: the time of revocation)
    "c1c41626-504c-4092-aca9-41f936934328": ("sha256", 32, 0),
    "ff3e5307-9fd0-48c9-85f1-8ad56c701e01": ("sha384", 48, 0),
    "093e0fae-a6c4-4f50-9f1b-d41e2b89c19a": ("sha512", 64, 0),
    "3bd2a492-96c0-4079-b420-fcf98ef103ed": ("x509-sha256", 32, 16),
    "7076876e-80c2-4ee6-aad2-28b349a6865b": ("x509-sha384", 48, 16),
    "446dbf63-2502-4cda-bcfa-2465d2b0fe9d": ("x509-sha512", 64, 16),
}
_GUID: Final = 16
_GUID_PARTS: Final = Struct("<IHH8s")
_VARIABLE: Final = Struct("<16sQQ")  # vendor, characters of the name, bytes of the value
_LIST_HEADER: Final = Struct("<16sIII")  # type, size of all, of the header, of one signature: 28
MAX_LISTS: Final = 256  # of one database; Microsoft's have a few
MAX_SIGNATURES: Final = 4096  # the largest dbx seen has about 500


@record
class Variable:
    """UEFI_VARIABLE_DATA. `guid`: the vendor's, lower case."""

    guid: str
    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Signatures:
    """The entries of a signature database. See `claims.SignatureDatabase`."""

    certificates: tuple[bytes, ...]
    hashes: tuple[tuple[str, bytes], ...]
    unknown: int


@dataclass(frozen=True, slots=True)
class LoadOption:
    """EFI_LOAD_OPTION: the value of a variable BootXXXX.

    Attributes:
        path: the device path as text, "" where it cannot be read.
    """

    attributes: int
    description: str
    path: str
    optional_data: bytes


def guid(data: bytes) -> str:
    """16 bytes of an EFI_GUID as text."""
    first, second, third, rest = _GUID_PARTS.unpack(data)
    return f"{first:08x}-{second:04x}-{third:04x}-{rest[:2].hex()}-{rest[2:].hex()}"


def parse_variable(data: bytes) -> Variable:
    """Parse UEFI_VARIABLE_DATA, all of it.

    Raises:
        VerificationError: `malformed`.
    """
    start = _value_start(data)
    name = _utf16(data[_VARIABLE.size : start], "UnicodeName")
    return Variable(guid(data[:_GUID]), name, data[start:])


def variable_value(data: bytes) -> bytes:
    """The value in UEFI_VARIABLE_DATA, whose name may be anything.

    Raises:
        VerificationError: `malformed`.
    """
    return data[_value_start(data) :]


def variable_data(vendor: str, name: str, value: bytes) -> bytes:
    """UEFI_VARIABLE_DATA of a variable: what `parse_variable` reads."""
    encoded = name.encode("utf-16-le")
    lengths = (len(encoded) // 2).to_bytes(8, "little") + len(value).to_bytes(8, "little")
    return UUID(vendor).bytes_le + lengths + encoded + value


def parse_signatures(data: bytes) -> Signatures:
    """Parse a signature database: any number of EFI_SIGNATURE_LIST.

    Raises:
        VerificationError: `malformed`, `too-large`.
    """
    cursor = Cursor(data)
    certificates: list[bytes] = []
    hashes: list[tuple[str, bytes]] = []
    lists = entries = unknown = 0
    while cursor.remaining:
        kind, size, found = _parse_list(cursor)
        lists, entries = lists + 1, entries + len(found)
        if lists > MAX_LISTS or entries > MAX_SIGNATURES:
            raise VerificationError(
                Reason.TOO_LARGE,
                f"signature database: more than {MAX_LISTS} lists or {MAX_SIGNATURES} entries",
            )
        if kind == _X509:
            certificates += found
        elif kind in _HASHES:
            name, length, behind = _HASHES[kind]
            if size != length + behind:
                raise _odd(f"a list of {name} has entries of {size} bytes")
            hashes += ((name, entry[:length]) for entry in found)
        else:
            unknown += len(found)
    return Signatures(tuple(certificates), tuple(hashes), unknown)


def parse_load_option(data: bytes) -> LoadOption:
    """Parse EFI_LOAD_OPTION.

    Raises:
        VerificationError: `malformed`.
    """
    cursor = Cursor(data)
    attributes = cursor.u32("Attributes")
    path_length = cursor.u16("FilePathListLength")
    end = _find_nul(data, cursor.position)
    description = _utf16(cursor.take(end - cursor.position, "Description"), "Description")
    cursor.take(2, "Description")
    path = cursor.take(path_length, "FilePathList")
    return LoadOption(
        attributes, description, device_path(path), cursor.take(cursor.remaining, "OptionalData")
    )


def image_path(data: bytes) -> str:
    """The device path of UEFI_IMAGE_LOAD_EVENT as text: a label. "" where there is none, or none that can be read."""
    return device_path(data[32:])


def device_path(data: bytes) -> str:
    """A device path as text, in UEFI's words where it is of files, else by its numbers. "" where it cannot be read."""
    nodes: list[str] = []
    position = 0
    while position + 4 <= len(data) and len(nodes) < _MAX_NODES:
        kind, subtype = data[position], data[position + 1]
        size = int.from_bytes(data[position + 2 : position + 4], "little")
        if size < 4 or position + size > len(data):
            return ""
        if kind == _END:
            return "/".join(nodes)
        nodes.append(_node(kind, subtype, data[position + 4 : position + size]))
        position += size
    return ""


_END: Final = 0x7F
_MAX_NODES: Final = 16  # twice what disks behind bridges have
_FILE: Final = (4, 4)
_FIRMWARE: Final = {(4, 6): "FvFile", (4, 7): "Fv"}
_VENDOR_MEDIA: Final = (4, 3)
_PCI: Final = (1, 1)


def _node(kind: int, subtype: int, data: bytes) -> str:
    match (kind, subtype), len(data):
        case found, _ if found == _FILE:
            return data.decode("utf-16-le", "replace").rstrip("\0")
        case found, 16 if found in _FIRMWARE:
            return f"{_FIRMWARE[found]}({guid(data)})"
        case found, length if found == _VENDOR_MEDIA and length >= _GUID:
            return f"VenMedia({guid(data[:_GUID])})"
        case found, 2 if found == _PCI:
            return f"Pci({data[1]:#x},{data[0]:#x})"
    return f"Path({kind},{subtype})"


def _value_start(data: bytes) -> int:
    """Where the value begins, after the lengths were found to make up all of the data."""
    if len(data) < _VARIABLE.size:
        raise VerificationError(Reason.MALFORMED, f"UEFI variable: {len(data)} bytes")
    _, name_length, value_length = _VARIABLE.unpack_from(data)
    start: int = _VARIABLE.size + 2 * name_length
    if start + value_length != len(data):
        raise VerificationError(
            Reason.MALFORMED,
            f"UEFI variable: {len(data)} bytes, its lengths make {start + value_length}",
        )
    return start


def _parse_list(cursor: Cursor) -> tuple[str, int, list[bytes]]:
    """(type, bytes of each entry without its owner, entries) of one EFI_SIGNATURE_LIST."""
    kind, size, header, one = _LIST_HEADER.unpack(cursor.take(_LIST_HEADER.size, "signature list"))
    body = size - _LIST_HEADER.size - header
    if one <= _GUID or body < 0 or body % one:
        raise _odd(f"a list of {size} bytes, {header} of header, does not hold entries of {one}")
    cursor.take(header, "SignatureHeader")
    if body > one * MAX_SIGNATURES:
        raise VerificationError(
            Reason.TOO_LARGE, f"signature list: more than {MAX_SIGNATURES} entries"
        )
    data = cursor.take(body, "Signatures")
    return guid(kind), one - _GUID, [data[at + _GUID : at + one] for at in range(0, body, one)]


def _find_nul(data: bytes, start: int) -> int:
    """Where the UTF-16 NUL at or behind `start` stands."""
    at = data.find(b"\0\0", start)
    while at >= 0 and (at - start) % 2:
        at = data.find(b"\0\0", at + 1)
    if at < 0:
        raise VerificationError(Reason.MALFORMED, "Description: it does not end")
    return at


def _utf16(data: bytes, field: str) -> str:
    try:
        return data.decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise VerificationError(Reason.MALFORMED, f"{field}: not UTF-16") from error


def _odd(detail: str) -> VerificationError:
    return VerificationError(Reason.MALFORMED, f"signature database: {detail}")
