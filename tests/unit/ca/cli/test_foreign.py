# SPDX-License-Identifier: Apache-2.0
"""Files of other tools on the command line: what is one piece, what is left out and said, what is an error."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

import pytest

from ca.cli import foreign
from simulator.pki import pem
from tests import tdx_vectors, vtpm_vectors
from tests.eventlog_lab import action, tcg2
from tests.snp_lab import SnpLab
from tests.tdx_lab import Lab
from tests.tpm_lab import Hcl, Quote, rsa_area
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli, Evidence

SNP: Final = SnpLab.create()
REPORT: Final = SNP.report_bytes()
TD: Final = Lab.create().exhibit().quote
LOG: Final = tcg2(action(1, b"one"))
README: Final = b"# What this is\n\nEvidence of a machine.\n"
UNKNOWN_JSON: Final = b'{"answer": 42, "\\ud800": 1}'
BUNDLE: Final = json.dumps({"tcb_info": "{}"}).encode()


def unpacked(*files: bytes) -> list[bytes]:
    return list(foreign.unpack(files).files)


@pytest.mark.parametrize(
    "files",
    [
        (REPORT, SNP.vek.der, SNP.line.vcek_crl.der),
        (REPORT, pem(SNP.vek.der).encode()),
        (TD, LOG),
        (Hcl().data, Quote().attest, bytes(256), Quote().pcrs),
        (b"", b"\0", b"\xff" * 100),
        (b" 10 " + b"0" * 40 + b" ima-ng sha256:00 /bin/sh\n",),
        (b'[{"evidence": "AA==", "certificate": "AA=="}]', b"<Payload x='some words here'/>"),
        (b"04 00 02 00 81 00 00 00", b"BAACAIEAAAAAAAAA\nk5pyM/ecTKmUCg2z\n"),
    ],
)
def test_files_of_their_own_stay_as_they_are(files: tuple[bytes, ...]) -> None:
    found = foreign.unpack(files)
    assert found.files == files
    assert found.each == tuple((one,) for one in files)
    assert (found.bundles, found.notes) == ((), ())


def test_nothing_is_nothing() -> None:
    assert foreign.unpack(()).files == ()


def test_text_and_unknown_json_are_left_out_and_said() -> None:
    found = foreign.unpack((README, TD, UNKNOWN_JSON, BUNDLE))
    assert (found.files, found.bundles) == ((TD,), (BUNDLE,))
    assert found.each == ((), (TD,), (), ())
    text, unknown = found.notes
    assert text == "a file of text holds no evidence, and is left out"
    assert unknown.endswith("left out (members: 'answer', '\\ud800')")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((README,), "a file of text"),
        ((README, UNKNOWN_JSON), "; JSON of no form that is known"),
        ((BUNDLE,), "collateral alone"),
    ],
)
def test_no_evidence_at_all(files: tuple[bytes, ...], said: str) -> None:
    with pytest.raises(VerificationError) as caught:
        foreign.unpack(files)
    assert caught.value.reason is Reason.UNSUPPORTED_FORMAT
    assert said in caught.value.detail


def test_a_text_longer_than_its_head_is_looked_at() -> None:
    text = README + "ä".encode() * foreign._HEAD
    assert unpacked(TD, text) == [TD]
    assert unpacked(TD, b"x" + text) == [TD]
    assert unpacked(TD, README + b"\xff") == [TD, README + b"\xff"]
    assert unpacked(TD, README + b"\0") == [TD, README + b"\0"]


def test_parts_of_a_piece_beside_it() -> None:
    hcl = Hcl().data
    assert unpacked(hcl, hcl[32 : 32 + 1184]) == [hcl]
    assert unpacked(hcl[32 : 32 + 1184], hcl) == [hcl]
    assert unpacked(REPORT, REPORT[0x50:0x90]) == [REPORT]
    assert unpacked(TD[568:632], TD) == [TD]
    fifth = b"\5\0" + TD[2:]
    assert unpacked(fifth, fifth[574:638]) == [fifth]
    other = b"\xff" + REPORT[0x51:0x90]
    assert unpacked(REPORT, other) == [REPORT, other]


def test_a_file_given_twice_stays_twice() -> None:
    assert unpacked(TD, TD) == [TD, TD]
    container = json.dumps({"quote": TD.hex()}).encode()
    assert unpacked(TD, container, TD) == [TD, TD]
    assert unpacked(container, TD) == [TD]
    assert unpacked(container, container) == [TD]


def test_a_bare_key_stands_beside_no_cpu() -> None:
    area = rsa_area()
    quote = Quote().attest
    assert unpacked(quote, area) == [quote, area]
    for cpu in (TD, REPORT, Hcl().data):
        assert unpacked(area, cpu, quote) == [cpu, quote]


def test_too_many_pieces() -> None:
    most = (b"\0",) * foreign.MAX_PIECES
    assert foreign.unpack(most).files == most
    with pytest.raises(VerificationError) as caught:
        foreign.unpack((b"\0",) * (foreign.MAX_PIECES + 1))
    assert caught.value.reason is Reason.TOO_LARGE


# the commands


def test_a_container_that_cannot_be_read_is_rejected(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    path.write_bytes(b'{"hcl_report": "?"}')
    for command, verdict in (("verify", "rejected"), ("appraise", "denied")):
        done = cli(command, path, "--json")
        said = done.json()
        assert (done.code, said["verdict"]) == (1, verdict)
        assert said["reason"] == {
            "code": "malformed",
            "detail": "JSON evidence: hcl_report: neither hexadecimal nor base64",
        }
    for arguments in (("refvalues", "capture"), ("collateral",)):
        done = cli(*arguments, path)
        assert (done.code, done.out) == (1, "")
        assert "evidence.json" in done.err
        assert "malformed: JSON evidence: hcl_report" in done.err


def test_collateral_among_the_files(cli: Cli, evidence: Evidence) -> None:
    at = ("--at", evidence.at)
    quote = evidence.quote()
    named = cli.good("verify", quote, *evidence.judged, "--json").json()
    among = cli.good("verify", evidence.collateral, quote, *at, "--json").json()
    assert among == named
    for command in (("verify",), ("refvalues", "capture")):
        twice = cli(*command, quote, evidence.collateral, *evidence.judged)
        assert (twice.code, twice.out) == (64, "")
        assert "one bundle" in twice.err
    captured = cli.good("refvalues", "capture", quote, evidence.collateral, *at, "--id", "web")
    assert (
        captured.out == cli.good("refvalues", "capture", quote, *evidence.judged, "--id", "web").out
    )


def test_collateral_without_the_evidence_of_a_cpu(cli: Cli, evidence: Evidence) -> None:
    log = evidence.folder / "log"
    log.write_bytes(LOG)
    done = cli("verify", log, evidence.collateral)
    assert (done.code, done.out) == (64, "")
    assert "is for CPUs: none is here" in done.err


def test_what_is_left_out_is_said(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_bytes(README)
    for command in (("verify",), ("refvalues", "capture")):
        done = cli.good(*command, evidence.quote(), readme, *evidence.judged)
        assert done.err == "attestca: a file of text holds no evidence, and is left out\n"


def test_reference_values_of_machines_in_containers(
    cli: Cli, evidence: Evidence, tmp_path: Path
) -> None:
    """Each container is one machine's, beside raw quotes of others."""
    paths = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"quote": evidence.quote(name).read_bytes().hex()}))
        paths.append(path)
    raw = cli.good("refvalues", "capture", evidence.quote("a"), *evidence.judged).out
    assert cli.good("refvalues", "capture", *paths, *evidence.judged).out == raw


def test_reference_values_of_a_machine_of_azure(cli: Cli) -> None:
    name = "azure-snp-v2"
    vtpm_vectors.load(name)
    path = tdx_vectors.ROOT / "vtpm" / name / "evidence.json"
    printed = cli.good("refvalues", "capture", path, path).out
    assert "pcr4" in printed
    assert printed == cli.good("refvalues", "capture", path).out


@pytest.mark.parametrize("length", [64, 72, 256, 768])
def test_what_is_raw_stays_whatever_it_begins_with(length: int) -> None:
    """A bare signature and the values of PCRs are as random as bytes can be: one in 256 begins as JSON does."""
    for first in range(256):
        noise = hashlib.shake_256(f"{length} {first}".encode()).digest(length)
        for head in (b"", b"\n", b" \t"):
            raw = (head + bytes([first]) + noise)[:length]
            assert foreign.unpack([raw]).files == (raw,)
