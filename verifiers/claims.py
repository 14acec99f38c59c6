# SPDX-License-Identifier: Apache-2.0
"""The closed union of what verifiers return, and its one projection to JSON. A new technology adds its type here."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from verifiers.snp.claims import SnpClaims
from verifiers.tdx.claims import TdxClaims

Claims: TypeAlias = TdxClaims | SnpClaims
JsonValue: TypeAlias = "bool | int | str | list[JsonValue] | dict[str, JsonValue] | None"


def to_json(value: object) -> JsonValue:
    """Any claims or part of them as JSON: field names as they are, bytes as lower-case hex, times as RFC 3339 in UTC.

    Sets become sorted lists. Integers above 2^53 (serial numbers) become decimal strings, which every reader keeps.
    """
    match value:
        case None | bool():
            return value
        case str():
            return str(value)
        case int():
            return value if abs(value) < 1 << 53 else str(value)
        case bytes():
            return value.hex()
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case _:
            return _composite(value)


def _composite(value: object) -> JsonValue:
    if isinstance(value, frozenset | set):
        return [to_json(item) for item in sorted(value)]
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no place in claims")
