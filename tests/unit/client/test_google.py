# SPDX-License-Identifier: Apache-2.0
"""Evidence of Google's vTPM, from a software TPM with its indices by real tpm2-tools, before the authority's verifier.

What cannot be had from real tools is in `test_google_tools`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attestca_client.errors import TpmMissing
from attestca_client.google import GoogleVtpmSource
from attestca_client.protocol import tpm_extra
from attestca_client.runtime import Runtime
from attestca_client.tpm import TpmTools
from tests.google_lab import GoogleLab
from tests.unit.client import software_tpm
from tests.unit.client.fake_metadata import Metadata, serving
from tests.unit.client.fake_tpm_tools import DATA, NOWHERE
from tests.unit.client.google_keys import (
    ECC,
    RSA,
    ecc_template,
    primary,
    product,
    provision,
    rsa_template,
)
from verifiers.errors import Reason
from verifiers.evidence import Binding, EvidenceKind, Provider, Tee
from verifiers.files import identify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from attestca_client.wire import Evidence
    from tests.unit.client.software_tpm import SoftwareTpm

UNIQUE = bytes(range(256))
EXTENDED = (4, 9, 11)
KINDS = ["tpm-attest", "tpm-signature", "tpm-pcrs", "tpm-ak-certificate"]


@pytest.fixture(scope="module")
def lab() -> GoogleLab:
    made = GoogleLab.td()
    made.binding = Binding(DATA, tpm_extra(DATA), bytes(32))
    return made


@pytest.fixture(scope="module")
def tpm(lab: GoogleLab) -> Iterator[SoftwareTpm]:
    with software_tpm.started() as running:
        provision(running, lab.google, RSA, rsa_template(UNIQUE))
        provision(running, lab.google, ECC, ecc_template(b"x" * 32, b"y" * 32))
        running.extend(*EXTENDED)
        yield running


@pytest.fixture
def source(tpm: SoftwareTpm, tmp_path: Path) -> GoogleVtpmSource:
    return GoogleVtpmSource(
        tools=TpmTools(tcti=tpm.tcti), product_name=product(tmp_path), bucket=NOWHERE
    )


@pytest.fixture
def no_rsa(tpm: SoftwareTpm, lab: GoogleLab) -> Iterator[None]:
    for index in RSA:
        tpm.erase(index)
    yield
    provision(tpm, lab.google, RSA, rsa_template(UNIQUE))


def judged(lab: GoogleLab, pieces: list[Evidence]) -> GoogleLab:
    """The lab's VM, with this vTPM in the place of its own."""
    sent = {EvidenceKind(piece.kind): piece.data for piece in pieces}
    return replace(lab, edits=dict(sent))


def key_in(pieces: list[Evidence]) -> object:
    """The key of the certificate that goes alone, in DER."""
    return x509.load_der_x509_certificate(pieces[3].data).public_key()


def checked_by_the_tool(tpm: SoftwareTpm, pieces: list[Evidence]) -> None:
    """tpm2_checkquote shares no code with our verifier."""
    key = x509.load_der_x509_certificate(pieces[3].data).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name, data in (("ak", pem), ("attest", pieces[0].data), ("signature", pieces[1].data)):
        (tpm.folder / name).write_bytes(data)
    files = ("-u", "ak", "-m", "attest", "-s", "signature")
    tpm.tool("checkquote", *files, "-q", tpm_extra(DATA).hex())


def test_the_authority_takes_a_quote_by_the_rsa_key(
    source: GoogleVtpmSource, lab: GoogleLab
) -> None:
    pieces = source(DATA)
    assert [piece.kind for piece in pieces] == KINDS
    assert isinstance(key_in(pieces), rsa.RSAPublicKey)
    claims = judged(lab, pieces).verify()
    assert (claims.tee, claims.provider) == (Tee.TDX, Provider.GOOGLE)
    assert claims.gce is not None
    assert claims.gce.project_id == "simulated-project"
    assert claims.tpm is not None
    assert claims.tpm.extra_data == tpm_extra(DATA)
    assert {n for _, n, value in claims.tpm.pcrs if value.strip(b"\0\xff")} == set(EXTENDED)


@pytest.mark.usefixtures("no_rsa")
def test_the_authority_takes_a_quote_by_the_ecc_key_where_there_is_no_other(
    source: GoogleVtpmSource, lab: GoogleLab, tpm: SoftwareTpm
) -> None:
    pieces = source(DATA)
    assert isinstance(key_in(pieces), ec.EllipticCurvePublicKey)
    assert judged(lab, pieces).verify().provider is Provider.GOOGLE
    checked_by_the_tool(tpm, pieces)


def test_the_tool_takes_the_quote_too(source: GoogleVtpmSource, tpm: SoftwareTpm) -> None:
    checked_by_the_tool(tpm, source(DATA))


def test_a_quote_over_other_data_is_another_machines(
    source: GoogleVtpmSource, lab: GoogleLab
) -> None:
    assert judged(lab, source(DATA[::-1])).refused().reason is Reason.BINDING_MISMATCH


@pytest.mark.usefixtures("no_rsa")
def test_the_files_of_evidence_tell_what_they_are(source: GoogleVtpmSource, lab: GoogleLab) -> None:
    """`attestca verify` is shown files, as `evidence` writes them; here by the ECC key."""
    with serving(Metadata(body=lab.google.intermediate().der)) as address:
        pieces = [*replace(source, bucket=address)(DATA), *source(DATA)[3:]]
    quote = [piece.data for piece in lab.pieces() if piece.kind is EvidenceKind.TDX_QUOTE]
    for certificate in pieces[3:]:
        sent = {piece.kind: piece.data for piece in (*pieces[:3], certificate)}
        found = {str(one.kind): one.data for one in identify([*sent.values(), *quote]).evidence}
        assert found == {**sent, "tdx-quote": quote[0]}


def test_nothing_stays_loaded(source: GoogleVtpmSource, tpm: SoftwareTpm) -> None:
    """A TPM without a resource manager has three places."""
    for _ in range(2):
        source(DATA)
    assert tpm.tool("getcap", "handles-transient") == b""


def test_a_certificate_of_another_key_is_not_sent(
    source: GoogleVtpmSource, tpm: SoftwareTpm, lab: GoogleLab
) -> None:
    """RSA's is of another template; ECC serves in its place."""
    tpm.erase(RSA[0])
    other = primary(tpm, rsa_template(UNIQUE[::-1]))
    tpm.write(RSA[0], lab.google.certify(other, lab.vm.instance).der)
    try:
        assert isinstance(key_in(source(DATA)), ec.EllipticCurvePublicKey)
    finally:
        for index in RSA:
            tpm.erase(index)
        provision(tpm, lab.google, RSA, rsa_template(UNIQUE))


def test_a_tpm_without_googles_indices(tmp_path: Path) -> None:
    with software_tpm.started() as empty:
        bare = GoogleVtpmSource(
            tools=TpmTools(tcti=empty.tcti), product_name=product(tmp_path), bucket=NOWHERE
        )
        with pytest.raises(
            TpmMissing, match=r"RSA: tpm2_nvread ended.*ECC: tpm2_nvread ended"
        ) as caught:
            bare(DATA)
    assert "Shielded VM" in caught.value.hint


# What comes with the certificate


def test_the_issuers_certificate_comes_along(source: GoogleVtpmSource, lab: GoogleLab) -> None:
    with serving(Metadata(body=lab.google.intermediate().der)) as address:
        pieces = replace(source, bucket=address)(DATA)
    both = x509.load_pem_x509_certificates(pieces[3].data)
    assert [one.issuer for one in both] == [both[1].subject, both[1].issuer]
    shown = judged(lab, pieces)
    shown.knowing = False
    assert shown.verify().provider is Provider.GOOGLE


def test_without_it_the_key_goes_alone(source: GoogleVtpmSource, lab: GoogleLab) -> None:
    lines: list[str] = []
    pieces = replace(source, runtime=Runtime(say=lines.append))(DATA)
    shown = judged(lab, pieces)
    shown.knowing = False
    assert shown.refused().reason is Reason.CHAIN
    assert lines == [
        "no certificate of who certified the vTPM's key: [Errno 111] Connection refused"
    ]
