# SPDX-License-Identifier: Apache-2.0
"""The writers give, for the values of real quotes and collateral, exactly the bytes that Intel signed.

Values are read by other code (cryptography, dcap_qvl) and by offsets written out here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dcap_qvl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator import layouts, pki
from simulator.pck import SGX_EXTENSION, SgxExtension
from simulator.pki import CertificateSpec, CrlSpec, Revoked

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.intel import FakeIntel
    from simulator.machine import Platform

BEGIN = b"-----BEGIN CERTIFICATE-----"


def quotes(vectors: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(vectors.glob("*/quote.bin"))}


def collaterals(vectors: Path) -> list[dict[str, str]]:
    return [json.loads(path.read_text()) for path in sorted(vectors.glob("*/collateral.json"))]


def certificates(vectors: Path) -> set[x509.Certificate]:
    texts = [quote[quote.index(BEGIN) :] for quote in quotes(vectors).values() if BEGIN in quote]
    texts += [c["tcb_info_issuer_chain"].encode() for c in collaterals(vectors)]
    return {c for text in texts for c in x509.load_pem_x509_certificates(text.rstrip(b"\0"))}


def common_name(name: x509.Name) -> str:
    return str(name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


def distribution_url(certificate: x509.Certificate) -> str:
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    return str(points[0].full_name[0].value)


def rebuilt(certificate: x509.Certificate) -> CertificateSpec:
    found = certificate.extensions
    authority = found.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    subject = found.get_extension_for_class(x509.SubjectKeyIdentifier).value
    constraints = found.get_extension_for_class(x509.BasicConstraints).value
    usage = pki.CERT_SIGN_AND_CRL_SIGN if constraints.ca else pki.SIGNATURE_AND_NON_REPUDIATION
    extensions = [
        pki.authority_key_identifier(authority.key_identifier or b""),
        pki.crl_distribution_point(distribution_url(certificate)),
        pki.subject_key_identifier(subject.digest),
        pki.key_usage(usage),
        pki.basic_constraints(ca=constraints.ca, path_len=constraints.path_length),
    ]
    if "PCK Certificate" in common_name(certificate.subject):
        extensions.append(sgx_values(certificate).extension())
    return CertificateSpec(
        serial=certificate.serial_number,
        issuer=pki.name(common_name(certificate.issuer)),
        subject=pki.name(common_name(certificate.subject)),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        spki=certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        extensions=tuple(extensions),
    )


def sgx_values(certificate: x509.Certificate) -> SgxExtension:
    read = dcap_qvl.parse_pck_extension_from_pem(certificate.public_bytes(Encoding.PEM))
    svns = [read.get_value(f"{SGX_EXTENSION}.2.{i}") for i in range(1, 17)]
    flags = [read.get_value(f"{SGX_EXTENSION}.7.{i}") for i in range(1, 4)]
    dynamic, cached, smt = (None if flag is None else flag == b"\xff" for flag in flags)
    return SgxExtension(
        ppid=read.ppid,
        components=tuple(int.from_bytes(svn or b"", "big") for svn in svns),
        pcesvn=read.pce_svn,
        pceid=read.pce_id,
        fmspc=read.fmspc,
        sgx_type=read.sgx_type,
        cpusvn=read.cpu_svn,
        platform_instance_id=read.platform_instance_id,
        dynamic_platform=dynamic,
        cached_keys=cached,
        smt_enabled=smt,
    )


def test_certificates(vectors: Path) -> None:
    real = certificates(vectors)
    names = {common_name(c.subject) for c in real}
    assert names >= {
        "Intel SGX Root CA",
        "Intel SGX PCK Platform CA",
        "Intel SGX PCK Processor CA",
        "Intel SGX PCK Certificate",
        "Intel SGX TCB Signing",
    }
    for certificate in real:
        assert rebuilt(certificate).tbs() == certificate.tbs_certificate_bytes


def test_revocation_lists(vectors: Path) -> None:
    lists = {c[part] for c in collaterals(vectors) for part in ("root_ca_crl", "pck_crl")}
    assert lists
    for text in lists:
        real = x509.load_der_x509_crl(bytes.fromhex(text))
        authority = real.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        number = real.extensions.get_extension_for_class(x509.CRLNumber).value
        spec = CrlSpec(
            issuer=pki.name(common_name(real.issuer)),
            this_update=real.last_update_utc,
            next_update=real.next_update_utc,
            extensions=(
                pki.crl_number(number.crl_number),
                pki.authority_key_identifier(authority.key_identifier or b""),
            ),
            revoked=tuple(Revoked(r.serial_number, r.revocation_date_utc) for r in real),
        )
        assert spec.tbs() == real.tbs_certlist_bytes


def test_quotes(vectors: Path, platform: Platform) -> None:
    tdx = {name: quote for name, quote in quotes(vectors).items() if name.startswith("tdx")}
    kinds = set()
    for name, real in tdx.items():
        version = int.from_bytes(real[:2], "little")
        body_type = 2 if version == 4 else int.from_bytes(real[48:50], "little")
        kinds.add((version, body_type))
        parts = taken_apart(real, version, body_type)
        assert platform.quote(version=version, body_type=body_type, **parts) == real, name
    assert kinds >= {(4, 2), (5, 3), (5, 4)}


def taken_apart(real: bytes, version: int, body_type: int) -> dict[str, Any]:
    where = layouts.offsets(version, body_type)
    names = where.keys() - {"version", "body_type", "body_size"}
    parts: dict[str, Any] = {name: real[where[name]] for name in names}
    start = max(s.stop for s in where.values())
    end = start + 4 + int.from_bytes(real[start : start + 4], "little")
    data = real[start + 4 : end]
    parts |= {"signature": data[:64], "attestation_key": data[64:128], "trailing": real[end:]}
    report = data[134:518]
    at = 0
    for name, length in layouts.SGX_REPORT:
        parts["qe_" + name] = report[at : at + length]
        at += length
    authentication = int.from_bytes(data[582:584], "little")
    chain = 584 + authentication + 6
    length = int.from_bytes(data[chain - 4 : chain], "little")
    return parts | {
        "qe_signature": data[518:582],
        "qe_auth_data": data[584 : 584 + authentication],
        "certification_data": data[chain : chain + length],
        "after_outer": data[chain + length :],
    }


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity"])
def test_shape_of_statements(vectors: Path, intel: FakeIntel, part: str) -> None:
    """Same keys in the same order at every level as the newest real statements."""
    folder = vectors / "tdx5-b0c06f-td15ex-uptodate"
    real = json.loads((folder / "collateral.json").read_text())[part]
    assert intel.bundle()[part].startswith(real[: real.index(":")])
    assert shape(json.loads(intel.bundle()[part])) == shape(json.loads(real))


def shape(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Keys in order and types; a list of levels by its first, any other list by all members."""
    if isinstance(value, dict):
        return [(key, shape(item)) for key, item in value.items()]
    if isinstance(value, list) and value and "tcbStatus" in value[0]:
        return shape(value[0])
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


def test_bundle_has_the_parts_of_a_real_one(vectors: Path, intel: FakeIntel) -> None:
    for real in collaterals(vectors):
        assert list(intel.bundle()) == list(real)
