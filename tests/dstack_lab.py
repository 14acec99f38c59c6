# SPDX-License-Identifier: Apache-2.0
"""An application of dstack as a log names it."""

from __future__ import annotations

import json
from typing import Final

from verifiers.eventlog.claims import DstackIdentity, Origin, Rule, Value
from verifiers.eventlog.events import LogFormat, Register

COMPOSE: Final = b"c" * 32
APP: Final = b"a" * 20
KMS: Final = json.dumps({"name": "kms", "id": "30593013"}).encode()


def identity(
    compose: bytes | None = COMPOSE, app: bytes | None = APP, provider: bytes | None = KMS
) -> DstackIdentity:
    origin = Origin(LogFormat.DSTACK, 0, Register.RTMR3, 0, Rule.DSTACK_V1)

    def value(data: bytes | None) -> Value | None:
        return None if data is None else Value(data, origin)

    return DstackIdentity(value(app), value(compose), None, None, value(provider), ())
