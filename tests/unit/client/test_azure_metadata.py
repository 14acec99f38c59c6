# SPDX-License-Identifier: Apache-2.0
"""Azure's instance metadata service: certificates, a help where they come, and the quote of a TD, which must come."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.errors import QuoteUnavailable
from attestca_client.imds import (
    MAX_ANSWER,
    MAX_METADATA,
    MAX_QUOTE,
    fetch_certificates,
    fetch_td_quote,
    parse_certification,
    parse_td_quote,
)
from attestca_client.runtime import Runtime
from attestca_client.tpm import RETRY_DELAYS
from attestca_client.wire import Evidence
from tests.tpm_lab import Hcl, runtime
from tests.unit.client.fake_metadata import CHAIN, GOOD, LEAF, Metadata, serving
from tests.unit.client.fake_tpm_tools import DATA

if TYPE_CHECKING:
    from tests.unit.client.fake_tpm_tools import Bench

PEM = f"{LEAF}\n{CHAIN}\n".encode()


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


# The quote of a TD


TD = Hcl(kind=4, hw_report=bytes(range(256)) * 4 + bytes(160), runtime=runtime()).data
QUOTE = bytes(range(251)) * 20


def quoted(quote: bytes = QUOTE) -> bytes:
    return json.dumps({"quote": base64.urlsafe_b64encode(quote).decode()}).encode()


@pytest.fixture
def td(bench: Bench) -> Bench:
    bench.nvread({"files": {"content": TD.hex()}})
    return bench


def test_a_td_asks_for_the_quote_of_its_own_report(td: Bench) -> None:
    service = Metadata(body=quoted())
    with serving(service) as address:
        pieces = td.but(metadata=address)(DATA)
    hcl, *of_tpm = td.expected
    assert pieces == [Evidence("tdx-quote", QUOTE), replace(hcl, data=TD), *of_tpm]
    ((path, headers, question),) = service.asked
    assert (path, headers["Content-Type"]) == ("/acc/tdquote", "application/json")
    report = json.loads(question)
    assert list(report) == ["report"]
    assert "=" not in report["report"]
    assert base64.urlsafe_b64decode(report["report"] + "==") == TD[32 : 32 + 1024]
    assert service.seen == []  # no certificates of AMD's


def test_without_a_quote_there_is_no_evidence(td: Bench) -> None:
    with pytest.raises(QuoteUnavailable, match="after 4 attempts") as caught:
        td.source(DATA)
    assert "metadata service" in caught.value.hint
    assert td.waits == list(RETRY_DELAYS)
    assert not (td.root / "tpm2_quote.calls").exists()


BAD_QUOTES = [
    Metadata(status=500),
    Metadata(status=415),
    Metadata(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    Metadata(body=b""),
    Metadata(body=b"[]"),
    Metadata(body=b"[" * 60_000),
    Metadata(body=b"{}"),
    Metadata(body=b'{"quote": 7}'),
    Metadata(body=b'{"quote": ""}'),
    Metadata(body=b'{"quote": "===="}'),
    Metadata(body=b'{"quote": "A"}'),
    Metadata(body='{"quote": "é"}'.encode()),
    Metadata(body=quoted(bytes(MAX_QUOTE + 1))),
    Metadata(body=quoted() + b" " * MAX_ANSWER),
]


@pytest.mark.parametrize("service", BAD_QUOTES)
def test_another_answer_than_a_quote_is_asked_for_again(td: Bench, service: Metadata) -> None:
    with serving(service) as address, pytest.raises(QuoteUnavailable) as caught:
        td.but(metadata=address)(DATA)
    assert len(service.asked) == len(RETRY_DELAYS) + 1
    assert caught.value.detail.isprintable()


def test_a_quote_that_is_slow_is_not_waited_for() -> None:
    clock = iter([0.0, 5.0, 10.5])
    with serving(Metadata(body=quoted())) as address, pytest.raises(TimeoutError):
        fetch_td_quote(address, bytes(1024), Runtime(monotonic=lambda: next(clock, 11.0)))


@given(st.binary(min_size=1, max_size=100))
def test_a_quote_padded_or_not(quote: bytes) -> None:
    assert parse_td_quote(quoted(quote)) == quote
    bare = base64.urlsafe_b64encode(quote).rstrip(b"=").decode()
    assert parse_td_quote(json.dumps({"quote": bare}).encode()) == quote


@given(
    st.binary(max_size=100)
    | st.dictionaries(st.text(), st.text()).map(lambda d: json.dumps(d).encode())
    | st.text().map(lambda text: json.dumps({"quote": text}).encode())
)
def test_any_answer(body: bytes) -> None:
    with contextlib.suppress(ValueError, RecursionError):
        assert 1 <= len(parse_td_quote(body)) <= MAX_QUOTE
