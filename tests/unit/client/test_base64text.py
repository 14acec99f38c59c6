# SPDX-License-Identifier: Apache-2.0
"""One text for the same bytes, and no other is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol.base64text import decoded, encoded


@given(st.binary())
def test_what_is_written_is_read(data: bytes) -> None:
    assert decoded(encoded(data)) == data


@given(st.text() | st.text("ABab01+/=-_ \n", max_size=12))
def test_any_other_text_is_refused(text: str) -> None:
    try:
        data = decoded(text)
    except ValueError:
        return
    assert encoded(data) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("AB", "not base64"),
        ("AA=", "not base64"),
        ("AA-_", "not base64"),
        ("AA\n==", "not base64"),
        ("AA==AA==", "not"),
        ("é", "not base64"),
        ("AB==", "not canonical base64"),
        ("AAB=", "not canonical base64"),
    ],
)
def test_texts_that_lenient_readers_take(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        decoded(text)
