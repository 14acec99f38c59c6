# SPDX-License-Identifier: Apache-2.0
"""Files that a host hands to a guest at launch, and what the fields of `launch` hold then.

    init data of Confidential Containers   their hash, by the algorithm that they name, cut or filled with zero bytes to
                                           the field; on Azure the guest extends PCR 8 with it, as HOST_DATA has it
    dstack's app-compose.json              01 and its SHA-256 (the compose-hash), in MRCONFIGID
    dstack's configuration document        03 and a hash over label and document in MRCONFIGID; that hash in HOST_DATA
    any other file                         SHA-384 in a TD's field, SHA-256 elsewhere (Azure's container groups do so
                                           with their security policy)

A file is taken as it is, to the last byte: a line that an editor ends it with makes another one of it.

Sources: confidential-containers/trustee, kbs/docs/initdata.md; kata-containers, kata-types (initdata);
guest-components, attester; Dstack-TEE/dstack, dstack-types (mr_config).
"""

from __future__ import annotations

import hashlib
import tomllib
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from verifiers import jsontext
from verifiers.eventlog.launch import Agreement, LaunchField

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verifiers.eventlog.claims import DstackIdentity
    from verifiers.eventlog.launch import Held

_DOCUMENT_LABEL: Final = b"dstack-mr-config-v3:\0"


class HashName(StrEnum):
    """A hash that init data can name."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class FileKind(StrEnum):
    """What a file is, by its content."""

    INIT_DATA = "init-data"
    DSTACK_COMPOSE = "dstack-app-compose"
    DSTACK_DOCUMENT = "dstack-mr-config"
    OTHER = "other"


def kind_of(data: bytes) -> FileKind:
    """What a file says of itself."""
    if declared_algorithm(data) is not None:
        return FileKind.INIT_DATA
    try:
        members = jsontext.parse(data)
    except ValueError:
        return FileKind.OTHER
    if "compose_hash" in members and "key_provider" in members:
        return FileKind.DSTACK_DOCUMENT
    return FileKind.DSTACK_COMPOSE if "manifest_version" in members else FileKind.OTHER


def declared_algorithm(data: bytes) -> HashName | None:
    """The algorithm that init data (TOML or JSON) name for their hash; None where they name none that is known."""
    try:
        members: dict[str, object] = {**jsontext.parse(data)}
    except ValueError:
        try:
            members = tomllib.loads(data.decode("utf-8"))
        except (ValueError, RecursionError):
            return None
    name = str(members.get("algorithm")).replace("-", "")
    return HashName(name) if name in set(HashName) else None


def held_for(field: LaunchField, data: bytes, algorithm: HashName | None = None) -> bytes | None:
    """What a field holds for a file; None where such a file is not put into it.

    `algorithm`: of init data and other files; if not given the one that the file names, else that of the field.
    """
    kind = kind_of(data) if algorithm is None else FileKind.INIT_DATA
    if kind is FileKind.DSTACK_COMPOSE:
        return _compose(field, data)
    if kind is FileKind.DSTACK_DOCUMENT:
        return _document(field, data)
    return _hashed(field, data, algorithm or declared_algorithm(data) or _usual(field))


def found_in(held: Held, data: bytes) -> str | None:
    """By which of its hashes a field holds a file: a `HashName`, or dstack's `FileKind`; None where by none.

    All are tried, whatever the file says of itself: each is a hash of at least 32 bytes, and proves the file.
    """
    return next((name for name, value in _all(held.field, data) if value == held.value), None)


def compare_document(data: bytes, identity: DstackIdentity) -> Agreement:
    """Whether dstack's configuration document names the application that the replayed log names."""
    try:
        members = jsontext.parse(data)
    except ValueError:
        return Agreement.NOT_COMPARABLE
    measured = {
        "app_id": identity.app_id,
        "compose_hash": identity.compose_hash,
        "instance_id": identity.instance_id,
    }
    same = [
        str(members[name]).lower() == one.value.hex()
        for name, one in measured.items()
        if one is not None and members.get(name) is not None
    ]
    if not same:
        return Agreement.NOT_COMPARABLE
    return Agreement.AGREES if all(same) else Agreement.CONTRADICTS


def _all(field: LaunchField, data: bytes) -> Iterator[tuple[str, bytes | None]]:
    usual = _usual(field)
    for name in sorted(HashName, key=lambda name: name is not usual):
        yield name, _hashed(field, data, name)
    yield FileKind.DSTACK_COMPOSE, _compose(field, data)
    yield FileKind.DSTACK_DOCUMENT, _document(field, data)


def _usual(field: LaunchField) -> HashName:
    return HashName.SHA384 if field.size == 48 else HashName.SHA256


def _hashed(field: LaunchField, data: bytes, algorithm: HashName) -> bytes:
    digest = hashlib.new(algorithm, data).digest()[: field.size].ljust(field.size, b"\0")
    if field is LaunchField.PCR8:
        return hashlib.sha256(bytes(32) + digest).digest()
    return digest


def _compose(field: LaunchField, data: bytes) -> bytes | None:
    if field is not LaunchField.MR_CONFIG_ID:
        return None
    return (b"\x01" + hashlib.sha256(data).digest()).ljust(field.size, b"\0")


def _document(field: LaunchField, data: bytes) -> bytes | None:
    digest = hashlib.sha256(_DOCUMENT_LABEL + data).digest()
    if field is LaunchField.HOST_DATA:
        return digest
    if field is LaunchField.MR_CONFIG_ID:
        return (b"\x03" + digest).ljust(field.size, b"\0")
    return None
