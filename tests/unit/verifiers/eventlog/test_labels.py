# SPDX-License-Identifier: Apache-2.0
"""Labels: what the log calls its events, fit for a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import boot_lab as lab
from verifiers.eventlog.claims import Kind
from verifiers.eventlog.events import Event, LogFormat, Register
from verifiers.eventlog.labels import MAX_LABEL, kind_of, label_of


def event(kind: int | None, data: bytes, name: str | None = None) -> Event:
    return Event(0, Register.RTMR2, kind, {}, data, name, LogFormat.CCEL)


@pytest.mark.parametrize(
    ("kind", "data", "expected", "label"),
    [
        (0x80000003, lab.image().data, Kind.IMAGE, "\\EFI\\shim.efi"),
        (0x80000004, b"", Kind.IMAGE, ""),
        (0x80000005, b"", Kind.IMAGE, ""),
        (0x80000006, b"EFI PART", Kind.OTHER, "EFI PART"),
        (6, lab.options().data, Kind.LOAD_OPTIONS, "LOADED_IMAGE::LoadOptions"),
        (6, lab.initrd().data, Kind.INITRD, "Linux initrd"),
        (6, lab.aael().data, Kind.OTHER, "example.org start {}"),
        (6, b"", Kind.OTHER, ""),
        (13, b"/vmlinuz\0", Kind.FILE, "/vmlinuz"),
        (13, b"(hd0)/x\0junk", Kind.FILE, "(hd0)/x"),
        (13, b"MokList\0", Kind.OTHER, "MokList"),
        (13, ".linux\0".encode("utf-16-le"), Kind.SECTION, ".linux"),
        (10, b"ACPI DATA", Kind.OTHER, "ACPI DATA"),
        (10, b"\x1b[31mred\x7f\xff", Kind.OTHER, ".[31mred.."),
        (10, b"\tTdxTable\0", Kind.OTHER, ".TdxTable"),
        (10, b"x", Kind.OTHER, "x"),
        (10, b"x" * 999, Kind.OTHER, "x" * MAX_LABEL),
        (None, b"", Kind.OTHER, ""),
    ],
)
def test_kind_and_label(kind: int | None, data: bytes, expected: Kind, label: str) -> None:
    assert (kind_of(event(kind, data)), label_of(event(kind, data))) == (expected, label)


def test_name_of_dstack_or_ima_comes_first() -> None:
    assert label_of(event(10, b"ACPI DATA", "acpi\u202erev\n")) == "acpi.rev."


@given(
    st.sampled_from([None, 6, 10, 13, 0x80000003]), st.binary(max_size=400), st.none() | st.text()
)
def test_labels_are_printable_and_short(kind: int | None, data: bytes, name: str | None) -> None:
    label = label_of(event(kind, data, name))
    assert len(label) <= MAX_LABEL
    assert label.isascii()
    assert not label or label.isprintable()
