# SPDX-License-Identifier: Apache-2.0
"""A service on loopback that answers every question in one way: instance metadata as in Azure, a bucket as Google's."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CERTIFICATE = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----"
LEAF, CHAIN = CERTIFICATE.format("leaf"), CERTIFICATE.format("ask") + CERTIFICATE.format("ark")
GOOD = {"vcekCert": f"{LEAF}\n", "tcbm": "DB18000000000004", "certificateChain": CHAIN}


@dataclass
class Metadata:
    """What the service answers, and what it was asked."""

    status: int = 200
    body: bytes = json.dumps(GOOD).encode()
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    hosts: list[str | None] = field(default_factory=list)


@contextlib.contextmanager
def serving(service: Metadata) -> Iterator[tuple[str, int]]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            service.seen.append((self.path, self.headers.get("Metadata")))
            service.hosts.append(self.headers.get("Host"))
            self.reply()

        def do_POST(self) -> None:
            question = self.rfile.read(int(self.headers["Content-Length"]))
            service.asked.append((self.path, dict(self.headers), question))
            self.reply()

        def reply(self) -> None:
            self.send_response(service.status)
            for name, value in service.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # the client may have seen enough
                self.wfile.write(service.body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield ("127.0.0.1", server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
