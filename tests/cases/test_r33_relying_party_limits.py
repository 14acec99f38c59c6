# SPDX-License-Identifier: Apache-2.0
"""R-33, R-34, on the relying party's side: what is too large, too deep or too many is refused before it costs memory or
a signature. Memory is measured by tracemalloc, signatures are counted; nothing depends on how fast the machine is.
"""

from __future__ import annotations

import json
import socket
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client import chain, leaf
from attestca_client.__main__ import parser
from attestca_client.checks import Name, SourceError, Verdict
from attestca_client.protocol.checkpoint import Verifier
from attestca_client.sources import File, Url
from attestca_client.verify import Rules, Sources, verify
from attestca_client.verify_command import Plan, carry_out
from tests.authority_lab import NOW
from tests.relying_lab import make_world, outcomes

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
WORLD = make_world()
LEAF = WORLD.issue()
AT = ("--at", "2026-11-25T13:00:00Z")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """One file for each option, good; and one of a gigabyte that takes no room on the disk."""
    good = {
        "cert": LEAF.pem,
        "trust": WORLD.sealed(),
        "root": WORLD.lab.root.public_bytes(Encoding.PEM),
        "chain": LEAF.issuing.public_bytes(Encoding.PEM),
        "staple": json.dumps(WORLD.staple(LEAF)).encode(),
    }
    made = {name: tmp_path / name for name in good}
    for name, data in good.items():
        made[name].write_bytes(data)
    return made


def run(files: dict[str, Path]) -> tuple[Verdict, str]:
    """The verdict, and the last check."""
    options = [text for name in list(files)[1:] for text in (f"--{name}", str(files[name]))]
    arguments = parser().parse_args(["verify", str(files["cert"]), *options, *AT])
    result = carry_out(Plan.of(arguments, lambda: NOW))
    return result.verdict, result.checks[-1].name


def test_files_that_are_good(files: dict[str, Path]) -> None:
    assert run(files) == (Verdict.ACCEPTED, "staple.revoked")


@pytest.mark.parametrize("which", ["cert", "trust", "root", "chain", "staple"])
def test_a_gigabyte_in_any_file(files: dict[str, Path], which: str) -> None:
    with files[which].open("wb") as file:
        file.truncate(1 << 30)
    tracemalloc.start()
    try:
        verdict, last = run(files)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert verdict is Verdict.UNDECIDED
    assert last == {"trust": "trust", "root": "trust", "staple": "staple"}.get(which, "certificate")
    assert peak < 10 * MIB


def test_an_answer_that_never_ends() -> None:
    """It is read up to the limit; then the connection is closed under whoever sends."""
    listener = socket.create_server(("127.0.0.1", 0))
    sent = [0]

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while sent[0] < 1 << 30:
                    sent[0] += connection.send(b" " * 65_536)
            except OSError:
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    url = Url.parse(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    with pytest.raises(SourceError, match="larger than 1000 bytes"):
        url.read(1000)
    thread.join()
    listener.close()
    assert sent[0] < 64 * MIB  # what the system's buffers took


def test_no_signature_is_checked_for_what_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    for place, name in ((leaf, "check_path"), (chain, "check_path"), (Verifier, "_signed")):
        monkeypatch.setattr(place, name, lambda *_: checked.append("signature"))
    many = LEAF.pem * 3  # more certificates than there can be
    result = verify(many, WORLD.trust, Sources(), at=NOW, rules=Rules(no_revocation=True))
    assert outcomes(result) == {Name.CERTIFICATE: "undecided"}
    assert checked == []


def test_a_file_is_read_to_the_limit_and_no_further(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(bytes(1001))
    with pytest.raises(SourceError, match="larger than 1000 bytes"):
        File(file).read(1000)
    assert File(file).read(1001) == bytes(1001)
