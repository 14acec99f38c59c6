# SPDX-License-Identifier: Apache-2.0
"""Which part of an event's data a digest covers, for each kind of event."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import boot_lab as lab
from tests.eventlog_lab import Runtime, ima_line, log_text, record, tlv
from verifiers.eventlog import bound, cel, dstack, ima
from verifiers.eventlog.bound import bind
from verifiers.eventlog.claims import Rule
from verifiers.eventlog.events import Algorithm, Event, LogFormat, Register


def event(
    kind: int | None,
    hashed: bytes,
    data: bytes,
    *,
    name: str | None = None,
    source: LogFormat = LogFormat.CCEL,
    register: Register | None = Register.RTMR2,
) -> Event:
    digests = {Algorithm.SHA384: hashlib.sha384(hashed).digest()}
    return Event(0, register, kind, digests, data, name, source)


SECTION = ".cmdline\0".encode("utf-16-le")
WHOLE = (4, 5, 8, 0x11, 0x80000001, 0x80000006, 0x80000007, 0x8000000C, 0x800000E0)
OTHERS = (0, 1, 2, 7, 9, 10, 14, 0x80000003, 0x80000008, 0x8000000A, 0x8000000B, 0x08000001, None)


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_data(kind: int) -> None:
    found = bind(event(kind, b"data", b"data"))
    assert found == bound.Bound(Rule.EVENT_DATA, b"data", b"data")
    assert bind(event(kind, b"data", b"datA")) is None
    assert bind(event(kind, b"data", b"data\0")) is None


@pytest.mark.parametrize("kind", OTHERS)
def test_kinds_that_cover_nothing(kind: int | None) -> None:
    assert bind(event(kind, b"data", b"data")) is None


def test_what_extends_nothing_is_covered_by_nothing() -> None:
    assert bind(event(4, b"data", b"data", register=None)) is None
    assert bind(event(4, b"data", b"data", register=Register.MRTD)) is None
    assert bind(event(3, b"data", b"data")) is None


def test_digest_of_another_algorithm() -> None:
    one = event(4, b"data", b"data")
    assert bind(one, Algorithm.SHA256) is None
    both = replace(one, digests={Algorithm.SHA256: hashlib.sha256(b"data").digest()})
    assert bind(both, Algorithm.SHA256) is not None
    assert bind(both) is None


def test_variable_value() -> None:
    data = lab.variable_data("Boot0000", b"value")
    found = bind(event(0x80000002, b"value", data))
    assert found == bound.Bound(Rule.VARIABLE_DATA, b"value", b"value")
    assert bind(event(0x80000002, data, data)) is None
    assert bind(event(0x80000002, b"value", b"value")) is None


@pytest.mark.parametrize(
    ("prefix", "end", "hashed_end", "rule"),
    [
        (b"grub_cmd: ", b"\0", b"", Rule.IPL_SUFFIX),
        (b"kernel_cmdline: ", b"\0", b"", Rule.IPL_SUFFIX),
        (b"module_cmdline: ", b"\0", b"", Rule.IPL_SUFFIX),
        (b"grub_cmd ", b"\0\x41", b"\0", Rule.IPL_SUFFIX_NUL),
        (b"grub_kernel_cmdline ", b"\0\x41", b"", Rule.IPL_SUFFIX),
        (b"grub_cmd: ", b"", b"", Rule.IPL_SUFFIX),
    ],
)
def test_texts_of_grub(prefix: bytes, end: bytes, hashed_end: bytes, rule: Rule) -> None:
    data = prefix + b"linux /a b" + end
    found = bind(event(13, b"linux /a b" + hashed_end, data))
    assert found == bound.Bound(rule, b"linux /a b", b"linux /a b" + hashed_end)
    assert bind(event(13, data, data)) is None
    assert bind(event(13, b"linux /a c" + hashed_end, data)) is None
    assert bind(event(13, b"linux /a b" + hashed_end, data + b"more")) is None


def test_old_text_needs_its_nul() -> None:
    assert bind(event(13, b"linux", b"grub_cmd linux\0")) is None
    assert bind(event(13, b"linux\0", b"grub_cmd linux")) is None


def test_labels_of_files() -> None:
    for data in (b"/vmlinuz\0", b"(hd0)/x\0", b"MokList\0", b"", b"."):
        assert bind(event(13, data, data)) is None


def test_name_of_a_section() -> None:
    found = bind(event(13, b".cmdline\0", SECTION))
    assert found == bound.Bound(Rule.SECTION_NAME, b".cmdline", b".cmdline\0")
    for odd in (
        SECTION[:-2],
        SECTION[:-1],
        SECTION + b"\0\0",
        b"x" + SECTION[1:],
        SECTION[:2] + b"a\1\0\0",
    ):
        assert bind(event(13, odd[0::2], odd)) is None


def test_aael_alone_of_the_tags() -> None:
    for tag, covered in ((lab.AAEL, True), (lab.OPTIONS, False), (lab.INITRD, False), (0, False)):
        data = lab.tagged(tag, b"text").data
        assert (bind(event(6, data, data)) is not None) is covered
    assert bind(event(6, b"LEAA", b"LEAA")) is None
    assert bound.tag(event(6, b"", b"LEAA")) is None
    assert bound.tag(event(5, b"", lab.aael().data)) is None
    assert bound.tag(event(6, b"", lab.aael().data)) == lab.AAEL
    assert bound.tag(event(6, b"", b"LEAA\0\0\0\0")) == lab.AAEL


def test_td_shim() -> None:
    for name in (b"td_hob", b"td_payload_info"):
        data = name.ljust(16, b"\0") + b"\5\0\0\0hello"
        found = bind(event(10, b"hello", data))
        assert found == bound.Bound(Rule.SUFFIX_FROM_20, b"hello", b"hello")
        assert bind(event(10, data, data)) is None
    assert bind(event(10, b"hello", b"ACPI DATA".ljust(20, b"\0") + b"hello")) is None


@pytest.mark.parametrize("version", [1, 2])
def test_dstack(version: int) -> None:
    one = Runtime("app-id", b"\1\2", version)
    (made,) = dstack.parse(log_text(one.json())).events
    rule = Rule.DSTACK_V1 if version == 1 else Rule.DSTACK_V2
    assert bind(made) == bound.Bound(rule, b"\1\2", one.preimage)


def test_cel() -> None:
    content = tlv(0, b"image")
    (made,) = cel.parse(record(0, content)).events
    assert bind(made) == bound.Bound(Rule.CEL_CONTENT, content, tlv(0x50, content))


def test_ima() -> None:
    (made,) = ima.parse(ima_line(), Register.RTMR2, Algorithm.SHA384).events
    assert bind(made) == bound.Bound(Rule.EVENT_DATA, made.data, made.data)
    assert hashlib.sha384(made.data).digest() == made.digests[Algorithm.SHA384]
    assert bind(made, Algorithm.SHA256) is None


def test_an_entry_of_ima_that_begins_as_json_does() -> None:
    """Its first byte is a length: a list may say what it wants there, and makes no event of dstack's by it."""
    named, path = b"sha256:\0" + bytes(ord("{") - 8), b"/bin/sh\0"
    template = b"".join(len(part).to_bytes(4, "little") + part for part in (named, path))
    hashed, digest = hashlib.sha384(template).hexdigest(), named[8:].hex()
    line = f"10 {hashed} ima-ng sha256:{digest} /bin/sh\n".encode()
    (made,) = ima.parse(line, Register.RTMR2, Algorithm.SHA384).events
    assert made.data.startswith(b"{")
    assert bind(made) == bound.Bound(Rule.EVENT_DATA, template, template)


@pytest.mark.parametrize("source", [LogFormat.DSTACK, LogFormat.CEL, LogFormat.IMA])
def test_what_no_parser_has_hashed(source: LogFormat) -> None:
    for kind in (0x08000001, 0x50, None):
        assert bind(event(kind, b"data", b"data", source=source)) is None


@given(
    st.sampled_from([*WHOLE, 6, 10, 13, 0x80000002, 0x08000001, 0x50]),
    st.binary(max_size=80),
    st.sampled_from([LogFormat.CCEL, LogFormat.DSTACK, LogFormat.CEL]),
    st.sampled_from([b"", b"grub_cmd: ", b"grub_cmd ", b"td_hob".ljust(16, b"\0"), b".\0"]),
)
def test_what_is_bound_was_hashed(kind: int, data: bytes, source: LogFormat, head: bytes) -> None:
    """Whatever the data: what is called covered hashes to the digest, and lies in the data."""
    made = event(kind, data, head + data, source=source, name="name")
    found = bind(made)
    if found is not None:
        assert hashlib.sha384(found.hashed).digest() == made.digests[Algorithm.SHA384]
        assert found.data in made.data
