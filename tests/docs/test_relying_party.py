# SPDX-License-Identifier: Apache-2.0
"""The Python that docs/relying-parties.md shows, as it stands there, with a certificate of a running authority."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import urllib.request
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from attestca_client.protocol import DEFAULT_OID_ARC, OID_POLICY_SIMULATED
from tests.docs.documents import TOP, blocks, codes, rows, section
from tests.docs.sessions import on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.stage import Stage

RELYING = TOP / "docs" / "relying-parties.md"
SIMULATED = f"{DEFAULT_OID_ARC}.{OID_POLICY_SIMULATED}"


@pytest.fixture(scope="module")
def shown() -> Any:  # noqa: ANN401 - a module without stubs
    """The document's Python as one module."""
    module = ModuleType("shown")
    for block in blocks(RELYING):
        if block.language == "python":
            exec(compile(block.text, block.where, "exec"), vars(module))  # noqa: S102 - our own document
    return module


@pytest.fixture(scope="module")
def machine(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the client wrote for one simulated machine."""
    folder = tmp_path_factory.mktemp("machine")
    on(stage, "stage", folder)
    out = folder / "vm"
    done = stage.enroll(out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def pair(shown: Any, stage: Stage, machine: Path) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:  # noqa: ANN401 - a value of any type is what it takes
    """Client and server after a handshake, both with the machine's certificate."""
    files = (str(stage.root), str(machine / "fullchain.pem"), str(machine / "key.pem"))
    server = shown.context(ssl.PROTOCOL_TLS_SERVER, *files)
    client = shown.context(ssl.PROTOCOL_TLS_CLIENT, *files)
    left, right = socket.socketpair()
    accepted: list[ssl.SSLSocket] = []
    thread = threading.Thread(
        target=lambda: accepted.append(server.wrap_socket(left, server_side=True))
    )
    thread.start()
    with client.wrap_socket(right, server_hostname="demo.example.org") as ours:
        thread.join()
        with accepted[0] as theirs:
            yield ours, theirs


def test_peers_see_what_they_meet(shown: Any, pair: tuple[ssl.SSLSocket, ssl.SSLSocket]) -> None:  # noqa: ANN401 - a value of any type is what it takes
    for end in pair:
        certificate = shown.attested_peer(end, SIMULATED)
        assert shown.spiffe_id(certificate).startswith("spiffe://example.org/tdx/")


def test_a_simulated_peer_is_not_taken_for_a_real_one(
    shown: Any,  # noqa: ANN401 - a value of any type is what it takes
    pair: tuple[ssl.SSLSocket, ssl.SSLSocket],
) -> None:
    with pytest.raises(PermissionError, match="not attested at this level"):
        shown.attested_peer(pair[0])


def test_the_result_is_checked_as_shown(
    shown: Any,  # noqa: ANN401 - a value of any type is what it takes
    stage: Stage,
    pair: tuple[ssl.SSLSocket, ssl.SSLSocket],
) -> None:
    certificate = shown.attested_peer(pair[0], SIMULATED)
    token, jwks = _result_of(stage, f"{certificate.serial_number:x}")
    claims = shown.attestation_result(token, jwks, "https://localhost", certificate)
    _check_tables(claims)
    with pytest.raises(jwt.InvalidIssuerError):
        shown.attestation_result(token, jwks, "https://ca.example.org", certificate)


def test_a_result_about_another_certificate_is_refused(
    shown: Any,  # noqa: ANN401 - a value of any type is what it takes
    stage: Stage,
    tmp_path: Path,
    pair: tuple[ssl.SSLSocket, ssl.SSLSocket],
) -> None:
    certificate = shown.attested_peer(pair[0], SIMULATED)
    other = json.loads(stage.enroll(tmp_path / "vm", "--json").stdout)
    token, jwks = _result_of(stage, other["serial"])
    with pytest.raises(PermissionError, match="another certificate"):
        shown.attestation_result(token, jwks, "https://localhost", certificate)


def _result_of(stage: Stage, serial: str) -> tuple[str, dict[str, Any]]:
    token = _get(stage, f"/v1/certificates/{serial}/ear").decode()
    return token, json.loads(_get(stage, "/.well-known/jwks.json"))


def _get(stage: Stage, path: str) -> bytes:
    trust = ssl.create_default_context(cafile=stage.root)
    with urllib.request.urlopen(stage.url + path, context=trust, timeout=30) as answer:  # noqa: S310 - loopback
        body: bytes = answer.read()
        return body


def _check_tables(claims: dict[str, Any]) -> None:
    """The two tables of claims say all that there is, and nothing else."""
    text = section(RELYING, "## The attestation result as a token")
    whole, cpu = text.split("| member of `cpu` | means |")
    assert {codes(row[0])[0] for row in rows(whole)} == claims.keys()
    table = {codes(row[0])[0]: codes(row[1]) for row in rows("| | |\n" + cpu.lstrip("\n"))}
    appraisal = claims["submods"]["cpu"]
    assert table.keys() == appraisal.keys()
    for name in ("ear_attester_claims", "ear_verifier_claims"):
        assert set(table[name]) == appraisal[name].keys()
    always = {"runtime-opaque", "instance-identity"}  # absent here: simulated
    assert (
        set(table["ear_trustworthiness_vector"]) - always
        == appraisal["ear_trustworthiness_vector"].keys()
    )
