# SPDX-License-Identifier: Apache-2.0
"""The cursor never runs past its end, whatever is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError


def test_reads_forward() -> None:
    cursor = Cursor(b"\x01\x02\x03\x04\x05\x06\x07rest")
    assert cursor.u16("a") == 0x0201
    assert cursor.u32("b") == 0x06050403
    assert cursor.take(1, "c") == b"\x07"
    assert cursor.position == 7
    assert cursor.remaining == 4
    with pytest.raises(VerificationError, match="d: 4 bytes more"):
        cursor.nothing_left("d")
    cursor.take(4, "d")
    cursor.nothing_left("d")


@given(st.binary(max_size=20), st.lists(st.integers(0, 1 << 32), max_size=5), st.integers(0, 20))
def test_never_past_its_end(data: bytes, counts: list[int], end: int) -> None:
    end = min(end, len(data))
    cursor = Cursor(data, 0, end)
    taken = b""
    for count in counts:
        if count <= cursor.remaining:
            taken += cursor.take(count, "field")
            continue
        with pytest.raises(VerificationError) as caught:
            cursor.take(count, "field")
        assert caught.value.reason is Reason.MALFORMED
    assert taken == data[: cursor.position]
    assert cursor.position <= end
