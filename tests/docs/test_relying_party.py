# SPDX-License-Identifier: Apache-2.0
"""The Python that docs/relying-parties.md shows, as it stands there, with a certificate of a running authority."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import urllib.request
from dataclasses import asdict
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from attestca_client.protocol import DEFAULT_OID_ARC, OID_ATTESTATION_INFO, OID_POLICY_SIMULATED
from ca.issuance import extension
from ca.issuance.ear import token
from tests.authority_lab import (
    NOW,
    make_device,
    make_lab,
    make_request,
    make_switch,
    with_devices,
)
from tests.docs.documents import TOP, blocks, codes, rows, section
from tests.docs.sessions import on
from tests.foreign_info import rewritten

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
            code = compile(block.text, block.where, "exec", dont_inherit=True)
            exec(code, vars(module))  # noqa: S102 - our own document
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
    whole, cpu = text.split("| member of `devices` |")[0].split("| member of `cpu` | means |")
    assert {codes(row[0])[0] for row in rows(whole)} == claims.keys()
    table, appraisal = _members(cpu), claims["submods"]["cpu"]
    assert table.keys() == appraisal.keys()
    for name in ("ear_attester_claims", "ear_verifier_claims"):
        assert set(table[name]) == appraisal[name].keys()
    always = {"runtime-opaque", "instance-identity"}  # absent here: simulated
    assert (
        set(table["ear_trustworthiness_vector"]) - always
        == appraisal["ear_trustworthiness_vector"].keys()
    )


def _members(text: str) -> dict[str, list[str]]:
    """A table without its heading: what is named by what it says."""
    return {codes(row[0])[0]: codes(row[1]) for row in rows("| | |\n" + text.lstrip("\n"))}


def test_the_table_of_devices_says_all_that_a_result_says_of_them() -> None:
    lab = make_lab()
    issued = lab.issue(make_request(**with_devices(make_device(), make_switch())))
    claims = jwt.decode(token(issued, lab.ear_key()), options={"verify_signature": False})
    text = section(RELYING, "## The attestation result as a token")
    table = _members(text.split("| member of `devices` | means |")[1])
    appraisal = claims["submods"]["devices"]
    assert table.keys() == appraisal.keys()
    assert (
        set(table["ear_trustworthiness_vector"]) == appraisal["ear_trustworthiness_vector"].keys()
    )
    assert set(table["ear_verifier_claims"]) == appraisal["ear_verifier_claims"].keys()
    gpu, _ = appraisal["ear_attester_claims"]["devices"]
    assert set(table["ear_attester_claims"]) == {"devices", *gpu}


# the list of devices


def _leaf(**changes: Any) -> x509.Certificate:  # noqa: ANN401 - goes to a request
    return x509.load_der_x509_certificate(make_lab().issue(make_request(**changes)).der)


def test_a_machine_without_devices_reads_so(
    shown: Any,  # noqa: ANN401 - a value of any type is what it takes
    pair: tuple[ssl.SSLSocket, ssl.SSLSocket],
) -> None:
    certificate = shown.attested_peer(pair[0], SIMULATED)
    info = shown.attestation_info(certificate)
    assert (info.tee, info.assurance, info.binding, info.devices) == (
        "tdx",
        "simulated",
        "none",
        [],
    )
    with pytest.raises(PermissionError, match="another set of GPUs"):
        shown.attested_gpus(certificate, "GH100", 1)


def test_devices_are_read_as_shown(shown: Any) -> None:  # noqa: ANN401 - a module without stubs
    gpus = (make_device(0), make_device(1, chip_id=None, mode=None))
    with_chips = (make_device(0), make_device(1, mode=None), make_switch())
    for devices in (gpus[:1], gpus[1:], with_chips):
        certificate = _leaf(**with_devices(*devices))
        info = shown.attestation_info(certificate)
        ours = extension.decode(_extension(certificate))
        for read, listed in zip(info.devices, ours.devices, strict=True):
            assert {name: getattr(read, name) for name in listed.__slots__} == asdict(listed)
        count = sum(one.kind == "gpu" for one in devices)
        found = shown.attested_gpus(certificate, "GH100", count)
        assert [one.driver for one in found] == ["580.178.04"] * count
        with pytest.raises(PermissionError, match="another set of GPUs"):
            shown.attested_gpus(certificate, "GH100", count + 1)
        with pytest.raises(PermissionError, match="another family"):
            shown.attested_gpus(certificate, "GB100", count)


def _extension(certificate: x509.Certificate) -> bytes:
    oid = x509.ObjectIdentifier(f"{DEFAULT_OID_ARC}.{OID_ATTESTATION_INFO}")
    return certificate.extensions.get_extension_for_oid(oid).value.public_bytes()


@pytest.mark.parametrize("changes", [{"version": 2}, {"binding": "none"}, {"devices": []}])
def test_what_contradicts_itself_is_refused_as_shown(
    shown: Any,  # noqa: ANN401 - a module without stubs
    changes: dict[str, Any],
) -> None:
    forged = rewritten(_extension(_leaf(**with_devices(make_device()))), changes)
    oid = x509.ObjectIdentifier(f"{DEFAULT_OID_ARC}.{OID_ATTESTATION_INFO}")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(
        x509.Name([]), x509.Name([]), key.public_key(), 1, NOW, NOW + timedelta(hours=1), []
    ).add_extension(x509.UnrecognizedExtension(oid, forged), critical=False)
    with pytest.raises(ValueError, match="not an AttestationInfo of version 1"):
        shown.attestation_info(builder.sign(key, hashes.SHA256()))
