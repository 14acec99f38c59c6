# SPDX-License-Identifier: Apache-2.0
"""One question over plain HTTP, to a service whose answers nobody believes unchecked.

Bounded in bytes and in time. Nothing is asked of a proxy, and no redirection is followed.
"""

from __future__ import annotations

import contextlib
import http.client
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from attestca_client.transport import TimedSocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from attestca_client.runtime import Runtime

FAULTS: Final = (OSError, http.client.HTTPException, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Question:
    """A POST of `body`, or where that is None a GET.

    Attributes:
        seconds: until the whole answer is there; a name is resolved before. most: bytes of the answer.
    """

    path: str
    headers: Mapping[str, str]
    seconds: float = field(kw_only=True)
    most: int = field(kw_only=True)
    body: bytes | None = None


def ask(address: tuple[str, int], question: Question, runtime: Runtime) -> bytes:
    """The body of the answer 200. Raises OSError, http.client.HTTPException, ValueError for any other answer."""
    method = "GET" if question.body is None else "POST"
    deadline = runtime.monotonic() + question.seconds
    connection = http.client.HTTPConnection(*address, timeout=question.seconds)
    with contextlib.closing(connection):
        connection.request(method, question.path, body=question.body, headers=question.headers)
        sock = cast("socket.socket", TimedSocket(connection.sock, deadline, runtime))
        with http.client.HTTPResponse(sock, method=method) as response:
            response.begin()
            body = response.read(question.most + 1)
    if response.status != 200 or len(body) > question.most:
        raise ValueError(f"status {response.status}, {len(body)} bytes")
    return body
