# SPDX-License-Identifier: Apache-2.0
"""IMA's list: template hashes rebuilt from their lines."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.eventlog_lab import ima_line
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.events import (
    MAX_LIST_EVENTS,
    MAX_LOG_BYTES,
    PCRS,
    Algorithm,
    LogFormat,
    Register,
)
from verifiers.eventlog.ima import parse

LINE = ima_line()
DIGEST = hashlib.sha256(b"/bin/sh").digest()
DATA = b"\x28\0\0\0sha256:\0" + DIGEST + b"\x08\0\0\0/bin/sh\0"


def refusal(
    data: bytes, register: Register = Register.RTMR2, algorithm: Algorithm = Algorithm.SHA384
) -> Reason:
    with pytest.raises(VerificationError) as caught:
        parse(data, register, algorithm)
    return caught.value.reason


def test_every_field() -> None:
    log = parse(LINE + ima_line("/usr/lib/a_b"), Register.RTMR2, Algorithm.SHA384)
    assert (log.format, log.algorithms) == (LogFormat.IMA, (Algorithm.SHA384,))
    event, other = log.events
    assert (event.position, event.register, event.type) == (0, Register.RTMR2, None)
    assert (event.name, event.data, event.source) == ("/bin/sh", DATA, LogFormat.IMA)
    assert event.digests == {Algorithm.SHA384: hashlib.sha384(DATA).digest()}
    assert (other.position, other.name) == (1, "/usr/lib/a_b")
    assert event.extends


def test_an_empty_list() -> None:
    assert parse(b"", PCRS[10], Algorithm.SHA256).events == ()


@pytest.mark.parametrize("name", ["sha1", "sha256", "sha384", "sha512"])
def test_a_list_of_another_algorithm(name: str) -> None:
    """The kernel extends each bank with its own hash of the template data, whichever the list shows."""
    line = ima_line(algorithm=name)
    event = parse(line, PCRS[10], Algorithm.SHA256).events[0]
    assert event.digests == {Algorithm.SHA256: hashlib.sha256(DATA).digest()}
    assert event.register is PCRS[10]


@pytest.mark.parametrize("template", ["ima-sig", "ima-sigv2", "ima-buf"])
@pytest.mark.parametrize("more", [b"", b"\3\2\4signature"])
def test_templates_of_three_fields(template: str, more: bytes) -> None:
    prefix = "ima:sha256" if template.endswith("v2") else "sha256"
    line = ima_line(template=template, prefix=prefix, more=more)
    event = parse(line, PCRS[10], Algorithm.SHA384).events[0]
    assert event.data.endswith(len(more).to_bytes(4, "little") + more)
    assert event.name == "/bin/sh"


def test_three_fields_without_the_last_space() -> None:
    line = ima_line(template="ima-sig", more=b"").replace(b" \n", b"\n")
    assert len(parse(line, PCRS[10], Algorithm.SHA384).events) == 1


@pytest.mark.parametrize("prefix", ["ima:sha256", "verity:sha256"])
def test_the_second_version_of_a_digest(prefix: str) -> None:
    line = ima_line(template="ima-ngv2", prefix=prefix)
    data = parse(line, PCRS[10], Algorithm.SHA384).events[0].data
    assert data[4:].startswith(prefix.encode() + b":\0")


def test_which_register_a_list_extended() -> None:
    for register, pcrs in ((Register.RTMR2, (2, 10)), (PCRS[10], (10,))):
        for pcr in (2, 8, 9, 10, 11, 99):
            line = ima_line(pcr=pcr)
            if pcr in pcrs:
                assert parse(line, register, Algorithm.SHA384).events[0].register is register
            else:
                assert refusal(line, register) is Reason.MALFORMED
    with pytest.raises(ValueError, match="rtmr3"):
        parse(LINE, Register.RTMR3, Algorithm.SHA384)


def test_a_violation_stands_for_ones_and_for_no_file() -> None:
    hashed = LINE.split()[1]
    line = LINE.replace(hashed, b"0" * len(hashed))
    event = parse(line, Register.RTMR2, Algorithm.SHA384).events[0]
    assert event.digests == {Algorithm.SHA384: b"\xff" * 48}
    assert (event.name, event.data) == (None, b"")


def test_a_path_that_is_not_utf_8_is_no_name() -> None:
    line = ima_line("/bin/\u00e9")
    raw = "/bin/\u00e9".encode("latin-1")
    data = line.replace("\u00e9".encode(), b"\xe9")
    template = b"\x28\0\0\0sha256:\0" + hashlib.sha256("/bin/\u00e9".encode()).digest()
    template += (len(raw) + 1).to_bytes(4, "little") + raw + b"\0"
    data = data.replace(line.split()[1], hashlib.sha384(template).hexdigest().encode())
    event = parse(data, Register.RTMR2, Algorithm.SHA384).events[0]
    assert (event.name, event.data) == (None, template)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (LINE[:-1], Reason.MALFORMED),
        (LINE + b"x", Reason.MALFORMED),
        (LINE + b"\n", Reason.UNSUPPORTED_FORMAT),
        (LINE.replace(b"/bin/sh", b"/bin/su"), Reason.MALFORMED),
        (LINE.replace(DIGEST.hex().encode(), b"00" * 32), Reason.MALFORMED),
        (LINE.replace(DIGEST.hex().encode(), b"000"), Reason.MALFORMED),
        (LINE.replace(b"10 ", b"10 0"), Reason.MALFORMED),
        (LINE.replace(b"10 ", b"10 00"), Reason.MALFORMED),
        (LINE.replace(b"ima-ng", b"ima"), Reason.UNSUPPORTED_FORMAT),
        (LINE.replace(b"ima-ng", b"ima-modsig"), Reason.UNSUPPORTED_FORMAT),
        (LINE.replace(b"\n", b" \n"), Reason.MALFORMED),
        (LINE.replace(b"\n", b" 00\n"), Reason.MALFORMED),
        (LINE.replace(b"\n", b" zz\n"), Reason.UNSUPPORTED_FORMAT),
        (LINE.replace(b"10 ", b"10  "), Reason.UNSUPPORTED_FORMAT),
        (LINE.replace(b"10 ", b"PCR "), Reason.UNSUPPORTED_FORMAT),
        (ima_line(template="ima-sig", more=b"\1").replace(b" 01\n", b" 1\n"), Reason.MALFORMED),
        (ima_line(template="ima-sig", more=b"\1").replace(b" 01\n", b"\n"), Reason.MALFORMED),
    ],
)
def test_lists_that_are_refused(data: bytes, reason: Reason) -> None:
    assert refusal(data) is reason


def test_limits() -> None:
    assert refusal(b"\n" * (MAX_LIST_EVENTS + 1)) is Reason.TOO_LARGE
    assert refusal(b"x" * (MAX_LOG_BYTES + 1)) is Reason.TOO_LARGE
    most = ima_line("/", algorithm="sha1") * MAX_LIST_EVENTS
    assert len(parse(most, PCRS[10], Algorithm.SHA1).events) == MAX_LIST_EVENTS


@given(st.text(st.characters(exclude_characters=" \n", exclude_categories=["Cs"]), min_size=1))
def test_what_is_written_is_read(path: str) -> None:
    event = parse(ima_line(path), Register.RTMR2, Algorithm.SHA384).events[0]
    assert event.name == path
