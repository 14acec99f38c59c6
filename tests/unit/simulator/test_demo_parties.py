# SPDX-License-Identifier: Apache-2.0
"""What the demo takes for an answer: plainly good, plainly revoked, and nothing else for either."""

from __future__ import annotations

import pytest

from simulator.demo_parties import (
    Party,
    Word,
    judge_client,
    judge_list,
    judge_responder,
)

REVOKED = "error 23 at 0 depth lookup: certificate revoked\n"
EXPIRED = "error 10 at 0 depth lookup: certificate has expired\n"
OLD_LIST = "error 12 at 0 depth lookup: CRL has expired\n"


@pytest.mark.parametrize(
    ("code", "output", "word"),
    [
        (0, "one/cert.pem: OK\n", Word.GOOD),
        (2, f"O = a\n{REVOKED}error one/cert.pem: verification failed\n", Word.REVOKED),
        (2, f"{EXPIRED}error one/cert.pem: verification failed\n", Word.UNCLEAR),
        (2, f"{OLD_LIST}error one/cert.pem: verification failed\n", Word.UNCLEAR),
        (1, "Could not open file one/list.pem\n", Word.UNCLEAR),
    ],
)
def test_openssl_with_a_list(code: int, output: str, word: Word) -> None:
    assert judge_list(code, output).word is word


@pytest.mark.parametrize(
    ("code", "output", "word"),
    [
        (0, "Response verify OK\none/cert.pem: good\n", Word.GOOD),
        (0, "Response verify OK\none/cert.pem: revoked\n\tReason: superseded\n", Word.REVOKED),
        (0, "Response verify OK\none/cert.pem: unknown\n", Word.UNCLEAR),
        (0, "Response Verify Failure\none/cert.pem: good\n", Word.UNCLEAR),
        (0, "Response Verify Failure\none/cert.pem: revoked\n", Word.UNCLEAR),
        (1, "Error querying OCSP responder\n", Word.UNCLEAR),
    ],
)
def test_openssl_with_a_responder(code: int, output: str, word: Word) -> None:
    assert judge_responder(code, output).word is word


@pytest.mark.parametrize(
    ("code", "output", "word"),
    [
        (0, "path ok below\nstaple.revoked ok none of 12\naccepted\n", Word.GOOD),
        (0, "path ok below\naccepted\n", Word.UNCLEAR),
        (1, "path ok below\nstaple.revoked  FAILED  revoked, chip\nrefused\n", Word.REVOKED),
        (1, "path FAILED x\nstaple.revoked FAILED revoked, chip\nrefused\n", Word.UNCLEAR),
        (1, "assurance FAILED simulated\nstaple.revoked ok none of 12\nrefused\n", Word.UNCLEAR),
        (2, "staple.revoked ? \nundecided\n", Word.UNCLEAR),
        (2, "staple.revoked FAILED x\nundecided\n", Word.UNCLEAR),
    ],
)
def test_attestca_client(code: int, output: str, word: Word) -> None:
    assert judge_client("staple.revoked", code, output).word is word


def test_what_can_be_asked(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Only what is there: without a chain nobody claims to have asked it, without openssl nobody to have run it."""
    folder = tmp_path_factory.mktemp("party")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
        both = Party(folder, "https://ca", "http://127.0.0.1:8545")
        assert [way.command[0] for way in both.ways()] == ["openssl"] * 2 + ["attestca-client"] * 2
        assert sum("--rpc" in way.command for way in both.ways()) == 1
        patched.setattr("shutil.which", lambda _name: None)
        (only,) = Party(folder, "https://ca", "").ways()
        assert only.shown == (
            "attestca-client verify $it/fullchain.pem --root root.pem --trust trust.json"
            " --staple https://ca/v1/status/{serial} --allow-simulated"
        )


def test_nothing_of_the_authority_reaches_a_party(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTESTCA_TOKEN", "secret")
    monkeypatch.setenv("SOMETHING", "else")
    party = Party(tmp_path_factory.mktemp("party"), "https://ca", "")
    printed = party.run(["env"]).stdout.splitlines()
    assert "SOMETHING=else" in printed
    assert not any(line.startswith("ATTESTCA_") for line in printed)
