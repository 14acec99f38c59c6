# SPDX-License-Identifier: Apache-2.0
"""Evidence of Google's vTPM by fakes of tpm2-tools: how they are asked, and all that can go wrong."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import pytest

from attestca_client import google
from attestca_client.errors import Misconfigured, QuoteUnavailable, TpmMissing
from attestca_client.google import MAX_CERTIFICATES, GoogleVtpmSource
from attestca_client.protocol import tpm_extra
from attestca_client.tpm import RETRY_DELAYS
from simulator.amd_keys import SHARED
from simulator.google import FakeGoogle
from simulator.google_certificates import Instance
from tests.snp_lab import NOW
from tests.unit.client.fake_metadata import Metadata, serving
from tests.unit.client.fake_tpm_tools import DATA, NOWHERE, Bench
from tests.unit.client.google_keys import RSA, product, rsa_template

if TYPE_CHECKING:
    from pathlib import Path

UNIQUE = bytes(range(256))


@lru_cache(maxsize=1)
def fake_google() -> FakeGoogle:
    return FakeGoogle.create(NOW)


class GoogleBench(Bench):
    """A source over fake tools, whose TPM has a certificate and a template of RSA."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.install("tpm2_createprimary", "tpm2_flushcontext")
        spki = SHARED.get("vtpm ak", 2048).spki
        self.certificate = fake_google().certify(spki, Instance()).der
        self.template = rsa_template(UNIQUE)
        self.nv(self.certificate, self.template)
        self.created = {"key.ctx": b"context", "template": self.template, "public": spki}
        self.create(self.created)
        self.tell("tpm2_flushcontext", {})
        self.beside = GoogleVtpmSource(self.runtime, self.source.tools, product(root), NOWHERE)

    def nv(self, *contents: bytes) -> None:
        """What reads of indices give, one after another; the last again and again, and an empty one fails."""
        self.nvread(
            *({"files": {"content": one.hex()}} if one else {"code": 1} for one in contents)
        )

    def create(self, files: dict[str, bytes]) -> None:
        self.tell("tpm2_createprimary", {"files": {k: v.hex() for k, v in files.items()}})


@pytest.fixture
def google_bench(bench: Bench) -> GoogleBench:
    return GoogleBench(bench.root)


def test_what_is_asked_of_the_tools(google_bench: GoogleBench) -> None:
    pieces = google_bench.beside(DATA)
    assert [piece.data for piece in pieces] == [
        *(b"attest", b"sig", b"p" * 768, google_bench.certificate),
    ]
    assert [call.arguments for call in google_bench.calls("tpm2_nvread")] == [
        ["-C", "o", "-o", "content", index] for index in RSA
    ]
    (made,), (quoted,) = (google_bench.calls(f"tpm2_{name}") for name in ("createprimary", "quote"))
    assert made.arguments == [
        *("-C", "e", "-g", "sha256", "-G", "rsa2048:rsassa-sha256:null", "-a", "0x50072"),
        *("-u", "unique", "-c", "key.ctx"),
        *("--template-data", "template", "-f", "der", "-o", "public"),
    ]
    assert sorted(made.there) == ["stderr", "unique"]
    assert quoted.arguments[:6] == [
        "-c",
        "key.ctx",
        "-l",
        "sha256:all",
        "-q",
        tpm_extra(DATA).hex(),
    ]
    assert sorted(quoted.there) == ["key.ctx", "stderr"]
    assert [call.arguments for call in google_bench.calls("tpm2_flushcontext")] == [["-t"]] * 2


NO_KEY: dict[str, tuple[list[bytes], dict[str, bytes], str]] = {
    "no index": ([b""], {}, "tpm2_nvread ended with 1"),
    "no certificate": ([b"\xff" * 1500], {}, "NV index 0x01c10000 holds no certificate"),
    "no template": (
        [b"CERTIFICATE", b"\xff" * 280],
        {},
        "0x01c10001: no template of a signing key",
    ),
    "another template": (
        [b"CERTIFICATE", b"TEMPLATE"],
        {"template": rsa_template()},
        "made another template of that in 0x01c10001",
    ),
    "another key": (
        [b"CERTIFICATE", b"TEMPLATE"],
        {"public": b"spki"},
        "the certificate in NV index 0x01c10000 is of another key",
    ),
    "a failed tool": ([b"CERTIFICATE", b"TEMPLATE"], {"key.ctx": b""}, "key.ctx that is empty"),
}


@pytest.mark.parametrize("case", NO_KEY.values(), ids=list(NO_KEY))
def test_no_key(google_bench: GoogleBench, case: tuple[list[bytes], dict[str, bytes], str]) -> None:
    contents, files, match = case
    real = {b"CERTIFICATE": google_bench.certificate, b"TEMPLATE": google_bench.template}
    google_bench.nv(*(real.get(one, one) for one in contents), b"")
    google_bench.create(google_bench.created | files)
    with pytest.raises(TpmMissing, match=f"RSA: .*{match}.*; ECC: tpm2_nvread ended") as caught:
        google_bench.beside(DATA)
    assert caught.value.exit_code == 66
    assert sum("no attestation key of Google's" in line for line in google_bench.lines) == 2
    assert not (google_bench.root / "tpm2_quote.calls").exists()
    assert list((google_bench.root / "temporary").iterdir()) == []


def test_no_tools(google_bench: GoogleBench) -> None:
    (google_bench.root / "tpm2_createprimary").unlink()
    with pytest.raises(TpmMissing, match="tpm2_createprimary is not in") as caught:
        google_bench.beside(DATA)
    assert "install tpm2-tools" in caught.value.hint


def test_a_quote_that_always_fails(google_bench: GoogleBench) -> None:
    google_bench.quote({"code": 1, "stderr": "ERROR: digest mismatch\n"})
    google_bench.tell("tpm2_flushcontext", {"code": 1, "stderr": "ERROR: nothing to flush\n"})
    with pytest.raises(QuoteUnavailable, match="digest mismatch"):
        google_bench.beside(DATA)
    attempts = len(RETRY_DELAYS) + 1
    assert len(google_bench.calls("tpm2_flushcontext")) == 1 + attempts


@pytest.mark.parametrize("name", [b"", b"Virtual Machine\n", b"Google\n", None])
def test_another_machine(google_bench: GoogleBench, name: bytes | None) -> None:
    file = google_bench.beside.product_name
    if name is None:
        file.unlink()
    else:
        file.write_bytes(name)
    with pytest.raises(Misconfigured, match="no VM of Google Compute Engine") as caught:
        google_bench.beside(DATA)
    assert (caught.value.exit_code, "without --vtpm" in caught.value.hint) == (64, True)
    assert not (google_bench.root / "tpm2_nvread.calls").exists()


@pytest.mark.parametrize("size", [0, 63, 65])
def test_report_data_of_another_length(google_bench: GoogleBench, size: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        google_bench.beside(b"x" * size)


def test_certificates_that_are_too_large_together(
    google_bench: GoogleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Metadata(body=fake_google().intermediate().der)) as address:
        source = replace(google_bench.beside, bucket=address)
        pem = source(DATA)[3].data
        monkeypatch.setattr(google, "MAX_CERTIFICATES", len(pem) - 1)
        (google_bench.root / "tpm2_nvread.calls").unlink()  # it begins anew
        assert source(DATA)[3].data == google_bench.certificate
    assert len(pem) <= MAX_CERTIFICATES
