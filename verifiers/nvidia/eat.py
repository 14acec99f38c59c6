# SPDX-License-Identifier: Apache-2.0
"""Detached tokens of NVIDIA's Remote Attestation Service (NRAS): their form, trusted by nobody.

An answer of the service is `[["JWT", overall], {"GPU-0": token, "GPU-1": token, ...}]`: one token about all devices,
which names the digest of each device's own. `parse_answer` takes this form and no other. NVIDIA's tools write the same
inside of other documents; `find_answers` is for files of such tools, and for nothing that a service sends. What wraps
an answer there proves nothing, and is thrown away unread. Source: RFC 9711 (EAT, detached bundles), as NRAS writes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from verifiers import jsontext
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_DEVICES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from verifiers.jsontext import Json

MAX_ANSWER_BYTES: Final = 256 * 1024  # a real one about eight GPUs has 17 KiB
MAX_FILE_BYTES: Final = 1024 * 1024

_DEPTH: Final = 12  # of the JSON; an answer has 2, a tool's file 5 and more
_WRAPPED: Final = ("REMOTE_GPU_CLAIMS", "REMOTE_SWITCH_CLAIMS")  # of NVIDIA's SDK


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `overall`: the token about all; `devices`: what stands under each device's name, text or not."""

    overall: str
    devices: Mapping[str, Json]


def parse_answer(data: bytes) -> Answer:
    """Parse one answer as the service gives it.

    Raises:
        VerificationError: `too-large`, or `token-invalid` for any other form.
    """
    match _json(data, MAX_ANSWER_BYTES):
        case [["JWT", str(overall)], dict(devices)]:
            if not 1 <= len(devices) <= MAX_DEVICES:
                raise VerificationError(
                    Reason.TOO_LARGE if devices else Reason.TOKEN_INVALID,
                    f"tokens of {len(devices)} devices, from 1 to {MAX_DEVICES}",
                )
            return Answer(overall, MappingProxyType(devices))
        case _:
            raise VerificationError(Reason.TOKEN_INVALID, "not a detached token of the service")


def find_answers(text: bytes) -> tuple[bytes, ...]:
    """The answers in a file of NVIDIA's tools, each as `parse_answer` takes it; an answer alone is its own.

    Raises:
        VerificationError: `too-large`; `token-invalid` for a file without any.
    """
    found = _found(_json(text, MAX_FILE_BYTES))
    if not found:
        raise VerificationError(Reason.TOKEN_INVALID, "no detached token in the file")
    return tuple(json.dumps(one, separators=(",", ":")).encode("ascii") for one in found)


def _found(value: Json) -> list[Json]:
    match value:
        case {"detached_eat": inner}:
            return _found(inner)
        case [[str(), str()], dict(members)] if any(name in members for name in _WRAPPED):
            return [members[name] for name in _WRAPPED if name in members]
        case [[str(), str()], dict()]:
            return [value]
        case _:
            return []


def _json(data: bytes, most: int) -> Json:
    if len(data) > most:
        raise VerificationError(Reason.TOO_LARGE, f"tokens: {len(data)} bytes, at most {most}")
    try:
        jsontext.check_depth(data, _DEPTH)
        return jsontext.parse_any(data)
    except ValueError as error:
        raise VerificationError(Reason.TOKEN_INVALID, f"tokens: {error}") from error
