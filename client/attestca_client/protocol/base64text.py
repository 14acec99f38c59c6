# SPDX-License-Identifier: Apache-2.0
"""Base64 with one reading: the standard alphabet, padded, without line breaks, and the bits that are left over zero.

RFC 4648, sections 3.2, 3.3 and 3.5. So that what is signed, hashed or compared as text is one text for the same bytes.
Pure.
"""

from __future__ import annotations

import base64


def encoded(data: bytes) -> str:
    """The text of these bytes."""
    return base64.b64encode(data).decode()


def decoded(text: str) -> bytes:
    """The bytes in a text. Raises ValueError for any text that `encoded` does not give."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError("not base64") from error
    if encoded(data) != text:
        raise ValueError("not canonical base64")
    return data
