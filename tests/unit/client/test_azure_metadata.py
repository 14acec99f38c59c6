# SPDX-License-Identifier: Apache-2.0
"""Certificates from Azure's instance metadata service: a help where they come, nothing lost where they do not."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.azure import MAX_METADATA, fetch_certificates, parse_certification
from attestca_client.runtime import Runtime
from attestca_client.wire import Evidence
from tests.unit.client.fake_tpm_tools import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.client.fake_tpm_tools import Bench

CERTIFICATE = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----"
LEAF, CHAIN = CERTIFICATE.format("leaf"), CERTIFICATE.format("ask") + CERTIFICATE.format("ark")
GOOD = {"vcekCert": f"{LEAF}\n", "tcbm": "DB18000000000004", "certificateChain": CHAIN}
PEM = f"{LEAF}\n{CHAIN}\n".encode()


@dataclass
class Metadata:
    """What the service answers, and what it was asked."""

    status: int = 200
    body: bytes = json.dumps(GOOD).encode()
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str | None]] = field(default_factory=list)


@contextlib.contextmanager
def serving(service: Metadata) -> Iterator[tuple[str, int]]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            service.seen.append((self.path, self.headers.get("Metadata")))
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


def test_certificates_come_along_where_azure_has_them(bench: Bench) -> None:
    service = Metadata()
    with serving(service) as address:
        pieces = bench.but(metadata=address)(DATA)
    assert pieces == [*bench.expected, Evidence("snp-certificates", PEM)]
    assert service.seen == [("/metadata/THIM/amd/certification", "true")]


def test_a_service_that_is_not_there_costs_nothing(bench: Bench) -> None:
    assert bench.source(DATA) == bench.expected
    assert [line for line in bench.lines if "the authority will ask AMD" in line]


BAD_ANSWERS = [
    Metadata(status=404),
    Metadata(status=500),
    Metadata(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    Metadata(body=b""),
    Metadata(body=b"{"),
    Metadata(body=b"[]"),
    Metadata(body=b"[" * 60_000),
    Metadata(body=b"\xff"),
    Metadata(body=b"1" * 10_000),
    Metadata(body=json.dumps(GOOD | {"vcekCert": None}).encode()),
    Metadata(body=json.dumps(GOOD | {"certificateChain": 7}).encode()),
    Metadata(body=json.dumps(GOOD | {"certificateChain": ""}).encode()),
    Metadata(body=json.dumps(GOOD | {"vcekCert": "x" + LEAF}).encode()),
    Metadata(body=json.dumps(GOOD | {"vcekCert": LEAF + "é"}).encode()),
    Metadata(body=json.dumps(GOOD).encode() + b" " * MAX_METADATA),
    Metadata(headers={"Content-Length": "-"}, body=b""),
    Metadata(headers={"X": "y" * 70_000}),
]


@pytest.mark.parametrize("service", BAD_ANSWERS)
def test_a_service_that_answers_something_else(bench: Bench, service: Metadata) -> None:
    with serving(service) as address:
        assert bench.but(metadata=address)(DATA) == bench.expected
    assert len(service.seen) == 1
    (line,) = (line for line in bench.lines if "the authority will ask AMD" in line)
    assert line.isprintable()


def test_a_service_that_is_slow_is_not_waited_for() -> None:
    clock = iter([0.0, 0.5, 1.5])
    with serving(Metadata()) as address, pytest.raises(TimeoutError):
        fetch_certificates(address, Runtime(monotonic=lambda: next(clock, 2.0)))


def test_the_parts_of_a_certification() -> None:
    assert parse_certification(json.dumps(GOOD).encode()) == PEM


@given(
    st.binary(max_size=100)
    | st.dictionaries(st.text(), st.text()).map(lambda d: json.dumps(d).encode())
)
def test_any_certification(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        parse_certification(body)
