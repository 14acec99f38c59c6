# SPDX-License-Identifier: Apache-2.0
"""Single values of a policy: exact forms only."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from policies.scalars import HardwareId, Identifier, Slug, hex_of, read_duration, read_instant

ANY = st.text(max_size=40) | st.integers() | st.none() | st.booleans() | st.lists(st.text())


@pytest.mark.parametrize("text", ["00ff", "00FF", "aBcD"])
def test_hexadecimal_of_either_case_is_compared_as_bytes(text: str) -> None:
    assert hex_of(2)(text) == hex_of(2)(text.lower()) == bytes.fromhex(text)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00f",
        "00ff0",
        "0x00",
        " 00f",
        "00 f",
        "00f\n",
        "00fg",
        "\u0660\u0660ff",
        1234,
        None,
        b"00ff",
        ["00ff"],
    ],
)
def test_other_hexadecimal_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="exactly 4 hexadecimal digits"):
        hex_of(2)(value)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:34:56Z", datetime(2026, 1, 31, 12, 34, 56, tzinfo=UTC)),
        ("2026-01-31T12:34:56+02:00", datetime(2026, 1, 31, 10, 34, 56, tzinfo=UTC)),
    ],
)
def test_instants(text: str, instant: datetime) -> None:
    assert read_instant(text) == instant
    assert read_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "2026-02-30",
        "2026-1-31",
        "26-01-31",
        "2026-01-31T12:34:56",
        "2026-01-31 12:34:56Z",
        "2026-01-31T12:34:56.5Z",
        "2026-01-31T25:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "\u0662\u0660\u0662\u0666-\u0660\u0661-\u0663\u0661",
        "",
        20260131,
        None,
    ],
)
def test_other_instants_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="wants 2026-01-31"):
        read_instant(value)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0s", timedelta()),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("P7D", timedelta(days=7)),
        ("PT12H", timedelta(hours=12)),
        ("PT1H30M5S", timedelta(hours=1, minutes=30, seconds=5)),
        ("P1DT6H", timedelta(days=1, hours=6)),
    ],
)
def test_durations(text: str, duration: timedelta) -> None:
    assert read_duration(text) == duration


@pytest.mark.parametrize(
    "value",
    [
        "",
        "24",
        "h",
        "1h30m",
        "1.5h",
        "-1h",
        "24H",
        "24 h",
        "1w",
        "P",
        "PT",
        "P1DT",
        "P1H",
        "PT1D",
        "PT5M1H",
        "PT1H1H",
        "P1M",
        "P1Y",
        "9999999999s",
        "999999d",
        "\u0663h",
        {},
        None,
    ],
)
def test_other_durations_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="wants a duration"):
        read_duration(value)


@pytest.mark.parametrize("value", ["a", "web-1", "9"])
def test_slugs(value: str) -> None:
    assert TypeAdapter(Slug).validate_python(value) == value


@pytest.mark.parametrize("value", ["", "A", "a_b", "a.b", "-a", "a-", "a b", "ä", "a" * 64])
def test_other_slugs_are_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Slug).validate_python(value)


def test_identifiers() -> None:
    assert TypeAdapter(Identifier).validate_python("INTEL-SA-00615_b.7") == "INTEL-SA-00615_b.7"
    for value in ("", "a/b", "a b", "é", "x" * 65):
        with pytest.raises(ValidationError):
            TypeAdapter(Identifier).validate_python(value)


def test_an_all_zero_hardware_id_is_no_id() -> None:
    assert TypeAdapter(HardwareId).validate_python("01" * 16) == b"\x01" * 16
    with pytest.raises(ValidationError, match="names no hardware"):
        TypeAdapter(HardwareId).validate_python("00" * 16)


@given(ANY)
def test_readers_give_their_type_or_a_value_error(value: object) -> None:
    for reader, kind in ((hex_of(3), bytes), (read_instant, datetime), (read_duration, timedelta)):
        with contextlib.suppress(ValueError):
            assert isinstance(reader(value), kind)
