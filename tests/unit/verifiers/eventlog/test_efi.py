# SPDX-License-Identifier: Apache-2.0
"""UEFI's structures: what is read, and that nothing else is raised than the typed refusal."""

from __future__ import annotations

from contextlib import suppress
from struct import pack
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import boot_lab as lab
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog import efi

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = lab.variable_data("SecureBoot", b"\1")
X509_SHA256 = "3bd2a492-96c0-4079-b420-fcf98ef103ed"


def load_option(
    description: str = "Linux", path: bytes | None = None, optional: bytes = b"quiet"
) -> bytes:
    path = lab.file_path("\\EFI\\linux.efi") if path is None else path
    head = pack("<IH", 1, len(path)) + (description + "\0").encode("utf-16-le")
    return head + path + optional


def refused(
    read: Callable[[bytes], object], data: bytes, reason: Reason = Reason.MALFORMED
) -> None:
    with pytest.raises(VerificationError) as refusal:
        read(data)
    assert refusal.value.reason is reason


def test_variable() -> None:
    found = efi.parse_variable(VARIABLE)
    assert (found.guid, found.name, found.value) == (efi.GLOBAL_VARIABLE, "SecureBoot", b"\1")
    assert efi.parse_variable(lab.variable_data("", b"")).name == ""


@given(
    st.uuids(),
    st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF)),
    st.binary(),
)
def test_variable_round_trip(vendor: UUID, name: str, value: bytes) -> None:
    data = efi.variable_data(str(vendor), name, value)
    assert efi.parse_variable(data) == efi.Variable(str(vendor), name, value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        VARIABLE[:-1],
        VARIABLE + b"\0",
        VARIABLE[:16] + pack("<QQ", 1 << 63, 1) + VARIABLE[32:],
        VARIABLE[:16] + pack("<QQ", 10, 1 << 63) + VARIABLE[32:],
        UUID(lab.GLOBAL).bytes_le + pack("<QQ", 1, 0) + b"\0\xd8",  # half of a surrogate pair
    ],
)
def test_variable_refused(data: bytes) -> None:
    refused(efi.parse_variable, data)


def test_signatures() -> None:
    data = (
        lab.signature_list(lab.X509, b"certificate")
        + lab.signature_list(lab.SHA256_HASHES, b"h" * 32, b"i" * 32)
        + lab.signature_list(X509_SHA256, b"t" * 32 + bytes(16))
        + lab.signature_list(lab.GLOBAL, b"x", b"y", header=b"head")
        + lab.signature_list(lab.X509)
    )
    found = efi.parse_signatures(data)
    assert found.certificates == (b"certificate",)
    assert found.hashes == (
        ("sha256", b"h" * 32),
        ("sha256", b"i" * 32),
        ("x509-sha256", b"t" * 32),
    )
    assert found.unknown == 2
    assert efi.parse_signatures(b"") == efi.Signatures((), (), 0)


def with_sizes(size: int, header: int, one: int, body: bytes = bytes(48)) -> bytes:
    return UUID(lab.X509).bytes_le + pack("<III", size, header, one) + body


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        with_sizes(28 + 48, 0, 0),
        with_sizes(28 + 48, 0, 16),
        with_sizes(28 + 48, 0, 17),
        with_sizes(27, 0, 48),
        with_sizes(0, 0, 48),
        with_sizes(28 + 48, 49, 48),
        with_sizes(28 + 96, 0, 48),
        with_sizes(28 + 48, 0, 48) + b"x",
        lab.signature_list(lab.SHA256_HASHES, b"h" * 31),
    ],
)
def test_signatures_refused(data: bytes) -> None:
    refused(efi.parse_signatures, data)


def test_signatures_are_bounded() -> None:
    most = lab.signature_list(lab.SHA256_HASHES, *([bytes(32)] * efi.MAX_SIGNATURES))
    assert len(efi.parse_signatures(most).hashes) == efi.MAX_SIGNATURES
    one = lab.signature_list(lab.SHA256_HASHES, bytes(32))
    refused(efi.parse_signatures, most + one, Reason.TOO_LARGE)
    refused(
        efi.parse_signatures,
        lab.signature_list(lab.SHA256_HASHES, *([bytes(32)] * (efi.MAX_SIGNATURES + 1))),
        Reason.TOO_LARGE,
    )
    lists = lab.signature_list(lab.X509) * efi.MAX_LISTS
    assert efi.parse_signatures(lists).certificates == ()
    refused(efi.parse_signatures, lists + lab.signature_list(lab.X509), Reason.TOO_LARGE)


def test_load_option() -> None:
    assert efi.parse_load_option(load_option()) == efi.LoadOption(
        1, "Linux", "\\EFI\\linux.efi", b"quiet"
    )
    # a NUL that is half of a character ends nothing
    assert efi.parse_load_option(load_option("Ā\x01")).description == "Ā\x01"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pack("<IH", 1, 0),
        pack("<IH", 1, 0) + b"a\0b\0",
        pack("<IH", 1, 0) + b"a\0\0",
        pack("<IH", 1, 1) + b"a\0\0\0",
        pack("<IH", 1, 0) + b"\0\xd8\0\0",
    ],
)
def test_load_option_refused(data: bytes) -> None:
    refused(efi.parse_load_option, data)


END = lab.node(0x7F, 0xFF)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (lab.file_path("\\a.efi"), "\\a.efi"),
        (lab.node(1, 1, b"\2\3") + END, "Pci(0x3,0x2)"),
        (lab.node(4, 6, UUID(lab.GLOBAL).bytes_le) + END, f"FvFile({lab.GLOBAL})"),
        (lab.node(4, 7, UUID(lab.GLOBAL).bytes_le) + END, f"Fv({lab.GLOBAL})"),
        (lab.node(4, 3, UUID(lab.GLOBAL).bytes_le + b"x") + END, f"VenMedia({lab.GLOBAL})"),
        (lab.node(4, 3, b"short") + lab.node(4, 7, b"x") + END, "Path(4,3)/Path(4,7)"),
        (lab.node(1, 1, b"\2") + END, "Path(1,1)"),
        (END, ""),
        (b"", ""),
        (lab.node(1, 2), ""),
        (pack("<BBH", 1, 2, 3) + END, ""),
        (pack("<BBH", 1, 2, 99) + END, ""),
        (lab.node(1, 2) * 15 + END, "/".join(["Path(1,2)"] * 15)),
        (lab.node(1, 2) * 16 + END, ""),
    ],
)
def test_device_path(data: bytes, text: str) -> None:
    assert efi.device_path(data) == text


def test_image_path() -> None:
    assert efi.image_path(lab.image().data) == "\\EFI\\shim.efi"
    assert efi.image_path(b"short") == ""


@given(st.binary(max_size=200))
def test_only_the_typed_refusal(data: bytes) -> None:
    for read in (efi.parse_variable, efi.parse_signatures, efi.parse_load_option):
        with suppress(VerificationError):
            read(data)
    assert isinstance(efi.device_path(data), str)


@given(st.data())
def test_only_the_typed_refusal_near_what_is_right(data: st.DataObject) -> None:
    whole = VARIABLE + lab.signature_list(lab.X509, b"c" * 9) + load_option()
    start = data.draw(st.sampled_from([0, len(VARIABLE), len(whole) - len(load_option())]))
    piece = bytearray(whole[start:])
    for _ in range(3):
        piece[data.draw(st.integers(0, len(piece) - 1))] = data.draw(st.integers(0, 255))
    for read in (efi.parse_variable, efi.parse_signatures, efi.parse_load_option):
        with suppress(VerificationError):
            read(bytes(piece))
    efi.device_path(bytes(piece))
