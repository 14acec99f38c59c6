# SPDX-License-Identifier: Apache-2.0
"""The writers give, for the values of AMD's real certificates, lists, reports and vTPM quotes, exactly their bytes.

Values are read by other code (cryptography, json) and by offsets written out here.
"""

from __future__ import annotations

import base64
import json
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from simulator import amd_certificates, azure, der, layouts, pki, vtpm
from simulator.amd_certificates import ARC, CSP_ID, HWID
from simulator.amd_keys import PSS_SHA384, PSS_SHA384_WITH_TRAILER, RsaKey
from simulator.azure import AzureCvm
from simulator.pki import CertificateSpec, CrlSpec, Extension, Revoked
from simulator.products import PRODUCTS, Tcb
from simulator.vtpm import SHA256, FakeTpm

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.amd import FakeAmd


NEW_PARAMETERS = datetime(2024, 7, 1, tzinfo=UTC)  # from then on AMD leaves the trailer field out


def common_name(name: x509.Name) -> str:
    return str(name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


def spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def real_authorities(vectors: Path) -> list[x509.Certificate]:
    texts = [path.read_bytes() for path in sorted((vectors / "roots").glob("*.pem"))]
    return [x509.load_pem_x509_certificate(text) for text in texts]


def real_veks(vectors: Path) -> list[x509.Certificate]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # serial number 0
        return [
            x509.load_der_x509_certificate(path.read_bytes())
            for path in sorted(vectors.glob("*/v[cl]ek.der"))
        ]


def extension_oids(spec: CertificateSpec) -> list[tuple[str, bool]]:
    return [(extension.oid, extension.critical) for extension in spec.extensions]


def rebuilt_authority(certificate: x509.Certificate) -> CertificateSpec:
    """The certificate from its values, with the extensions of its role in the simulator's order."""
    found = certificate.extensions
    subject = found.get_extension_for_class(x509.SubjectKeyIdentifier).value
    points = found.get_extension_for_class(x509.CRLDistributionPoints).value
    key_id = pki.subject_key_identifier(subject.digest)
    url = pki.crl_distribution_point(str((points[0].full_name or [])[0].value))
    extensions: tuple[Extension, ...]
    if certificate.subject == certificate.issuer:
        usage = pki.key_usage(pki.CERT_SIGN_AND_CRL_SIGN)
        extensions = (usage, key_id, pki.basic_constraints(ca=True), url)
    else:
        authority = found.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        extensions = (
            key_id,
            pki.authority_key_identifier(authority.key_identifier or b""),
            pki.basic_constraints(ca=True, path_len=0),
            amd_certificates.INTERMEDIATE_USAGE,
            url,
        )
    return CertificateSpec(
        serial=certificate.serial_number,
        issuer=amd_certificates.name(common_name(certificate.issuer)),
        subject=amd_certificates.name(common_name(certificate.subject)),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        spki=spki(certificate),
        extensions=extensions,
        algorithm=PSS_SHA384_WITH_TRAILER,
    )


def rebuilt_vek(certificate: x509.Certificate) -> CertificateSpec:
    values = {e.oid.dotted_string: e.value for e in certificate.extensions}
    raw = {oid: v.value for oid, v in values.items() if isinstance(v, x509.UnrecognizedExtension)}
    return CertificateSpec(
        serial=0,
        issuer=amd_certificates.name(common_name(certificate.issuer)),
        subject=amd_certificates.name(common_name(certificate.subject)),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        spki=spki(certificate),
        extensions=tuple(Extension(oid, value) for oid, value in raw.items()),
        algorithm=PSS_SHA384
        if certificate.not_valid_before_utc > NEW_PARAMETERS
        else PSS_SHA384_WITH_TRAILER,
    )


def test_authorities(snp_vectors: Path) -> None:
    real = real_authorities(snp_vectors)
    assert len(real) == 10
    for certificate in real:
        assert rebuilt_authority(certificate).tbs() == certificate.tbs_certificate_bytes


@pytest.mark.parametrize("name", ["Milan", "Genoa", "Turin"])
def test_our_authorities_differ_in_key_and_dates_alone(
    snp_vectors: Path, amd: FakeAmd, name: str
) -> None:
    line = amd.line(name)
    for role, ours in (("ark", line.ark), ("ask", line.ask), ("asvk", line.asvk)):
        text = (snp_vectors / "roots" / f"{name.lower()}_{role}.pem").read_bytes()
        real = x509.load_pem_x509_certificate(text)
        theirs = rebuilt_authority(real)
        assert ours.spec.serial == theirs.serial
        assert (ours.spec.issuer, ours.spec.subject) == (theirs.issuer, theirs.subject)
        assert extension_oids(ours.spec) == extension_oids(theirs)
        for extension, other in zip(ours.spec.extensions, theirs.extensions, strict=True):
            if extension.oid not in {pki.SUBJECT_KEY_IDENTIFIER, pki.AUTHORITY_KEY_IDENTIFIER}:
                assert extension == other


def test_key_identifiers_are_made_as_amd_makes_them(snp_vectors: Path) -> None:
    for certificate in real_authorities(snp_vectors):
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        expected = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
        assert identifier.value == expected


def test_endorsement_certificates(snp_vectors: Path, amd: FakeAmd) -> None:
    real = real_veks(snp_vectors)
    seen = set()
    for certificate in real:
        theirs = rebuilt_vek(certificate)
        assert theirs.tbs() == certificate.tbs_certificate_bytes
        values = {extension.oid: extension.value for extension in theirs.extensions}
        kind = "vlek" if CSP_ID in values else "vcek"
        name = common_name(certificate.issuer).split("-")[-1]
        product = PRODUCTS[name]
        spls = {arc: values[amd_certificates.spl(arc)] for arc in product.spl_order}
        assert spls.keys() == {
            int(oid.rpartition(".")[2]) for oid in values if oid.startswith(f"{ARC}.3.")
        }
        numbers = {arc: int.from_bytes(value[2:], "big") for arc, value in spls.items()}
        parts = {1: "bootloader", 2: "tee", 3: "snp", 8: "microcode", 9: "fmc"}
        tcb = Tcb(**{part: numbers[arc] for arc, part in parts.items() if arc in numbers})
        if kind == "vlek":
            csp_id = values[CSP_ID][2:].decode("ascii")
            ours = amd.vlek(name, csp_id, tcb)
        else:
            ours = amd.vcek(name, values[HWID], tcb)
        assert ours.spec.extensions == theirs.extensions
        ours.alter(  # all that differs
            not_before=theirs.not_before,
            not_after=theirs.not_after,
            spki=theirs.spki,
            algorithm=theirs.algorithm,
        )
        assert ours.spec.tbs() == certificate.tbs_certificate_bytes
        seen.add((name, kind))
    assert seen == {("Milan", "vcek"), ("Milan", "vlek"), ("Genoa", "vcek"), ("Turin", "vcek")}


def test_revocation_lists(snp_vectors: Path) -> None:
    lists = sorted(snp_vectors.glob("roots/*.der"))
    assert len(lists) == 2
    for path in lists:
        real = x509.load_der_x509_crl(path.read_bytes())
        authority = real.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        number = real.extensions.get_extension_for_class(x509.CRLNumber).value
        spec = CrlSpec(
            issuer=amd_certificates.name(common_name(real.issuer)),
            this_update=real.last_update_utc,
            next_update=real.next_update_utc,
            extensions=(
                pki.authority_key_identifier(authority.key_identifier or b""),
                pki.crl_number(number.crl_number),
            ),
            revoked=tuple(Revoked(r.serial_number, r.revocation_date_utc, None) for r in real),
            algorithm=PSS_SHA384,
        )
        assert spec.tbs() == real.tbs_certlist_bytes


def test_reports(snp_vectors: Path, amd: FakeAmd) -> None:
    machine = amd.machine("Genoa")
    where = layouts.places((*layouts.SNP_REPORT, *layouts.SNP_SIGNATURE))
    assert where["reserved6"].stop == 1184
    versions = set()
    for path in sorted(snp_vectors.glob("*/report.bin")):
        real = path.read_bytes()
        parts: dict[str, Any] = {name: real[place] for name, place in where.items()}
        signature = parts.pop("signature_r") + parts.pop("signature_s")
        report_data = parts.pop("report_data")
        version = int.from_bytes(parts.pop("version"), "little")
        rewritten = machine.report(report_data, version=version, signature=signature, **parts)
        assert rewritten == real, path
        versions.add(version)
    assert versions == {2, 3, 5}


OFFSETS = {  # AMD publication 56860, ATTESTATION_REPORT
    "guest_svn": 0x004,
    "policy": 0x008,
    "vmpl": 0x030,
    "platform_info": 0x040,
    "flags": 0x048,
    "report_data": 0x050,
    "measurement": 0x090,
    "host_data": 0x0C0,
    "id_key_digest": 0x0E0,
    "author_key_digest": 0x110,
    "report_id": 0x140,
    "report_id_ma": 0x160,
    "reported_tcb": 0x180,
    "cpuid_family": 0x188,
    "chip_id": 0x1A0,
    "committed_tcb": 0x1E0,
    "current_build": 0x1E8,
    "committed_build": 0x1EC,
    "launch_tcb": 0x1F0,
    "launch_mit_vector": 0x1F8,
    "current_mit_vector": 0x200,
    "reserved5": 0x208,
}


def test_fields_lie_where_amd_says() -> None:
    where = layouts.places((*layouts.SNP_REPORT, *layouts.SNP_SIGNATURE))
    assert {name: where[name].start for name in OFFSETS} == OFFSETS
    assert (where["signature_r"].start, where["signature_s"].start) == (0x2A0, 0x2E8)


def test_default_reports_look_like_real_ones(snp_vectors: Path, amd: FakeAmd) -> None:
    """Zero where the newest real reports of the same version are zero, but for what names a guest or a host."""
    where = layouts.places(layouts.SNP_REPORT)
    for case, name, version in (
        ("milan-v2-google", "Milan", 2),
        ("milan-v3-google", "Milan", 3),
        ("genoa-v5-mitigation-vector", "Genoa", 5),
        ("turin-v5-azure-aci", "Turin", 5),
    ):
        real = (snp_vectors / case / "report.bin").read_bytes()
        ours = amd.machine(name).report(b"\x01" * 64, version=version)
        for field in where.keys() - {"guest_svn", "host_data", "family_id", "image_id"}:
            if field in {"id_key_digest", "author_key_digest", "report_id", "report_data"}:
                continue
            assert any(ours[where[field]]) == any(real[where[field]]), (case, field)


@pytest.mark.parametrize(
    "case", ["milan-v2-azure-hcl", "milan-v3-azure-hcl", "genoa-v3-azure-hcl-nosmt"]
)
def test_hcl_reports(snp_vectors: Path, amd: FakeAmd, case: str) -> None:
    real = (snp_vectors / case / "hcl_report.bin").read_bytes()
    size = int.from_bytes(real[1232:1236], "little")
    text = real[1236 : 1236 + size]
    version = int.from_bytes(real[4:8], "little")
    assert azure.write(real[32:1216], text, hcl_version=version) == real
    data = json.loads(text)
    assert azure.json_text(data) == text
    ours = AzureCvm(amd.machine("Genoa")).runtime_data()
    assert list(ours) == list(data)
    assert [list(key) for key in ours["keys"]] == [list(key) for key in data["keys"]]
    settings = list(data["vm-configuration"])
    assert [name for name in ours["vm-configuration"] if name in settings] == settings


@pytest.mark.parametrize("case", ["azure-snp-v2", "azure-snp-genoa"])
def test_vtpm_quotes(vectors: Path, case: str) -> None:
    folder = vectors.parent / "vtpm" / case
    expected = json.loads((folder / "expected.json").read_bytes())["tpm_quote"]
    evidence = json.loads((folder / "evidence.json").read_bytes())
    message = evidence["tpm_quote" if "tpm_quote" in evidence else "quote"]["message"]
    real = bytes.fromhex(message) if isinstance(message, str) else bytes(message)
    tpm = FakeTpm(ak=RsaKey.generate(2048), ek=RsaKey.generate(2048))
    quote = tpm.quote(
        bytes.fromhex(expected["extraData"]),
        qualified_signer=bytes.fromhex(expected["qualifiedSigner"]),
        clock=expected["clock"],
        reset_count=expected["resetCount"],
        restart_count=expected["restartCount"],
        firmware_version=int(expected["firmware"], 16),
        pcr_digest=bytes.fromhex(expected["pcrDigest"]),
    )
    assert quote.attest == real


def test_signatures_of_plain_tpms(vectors: Path) -> None:
    """Their tools give TPMT_SIGNATURE, where Azure's give the signature alone."""
    folder = vectors.parent / "vtpm" / "plain-tpm-quote"
    quote = json.loads((folder / "evidence.json").read_bytes())["tpm_quote"]
    real = base64.b64decode(quote["signature"])
    assert vtpm.tpmt_signature(real[6:]) == real


def test_selections_of_some_pcrs(vectors: Path) -> None:
    message = (vectors.parent / "vtpm" / "partial-pcr-selection" / "quote.msg").read_bytes()
    selection = vtpm.pcr_selection(SHA256, (0, 1, 2, 3, 4, 5, 6, 7, 14))
    assert message[-44:-34] == (1).to_bytes(4, "big") + selection


def test_integers_are_written_as_in_the_real_ones() -> None:
    assert der.integer(0xDB) == bytes.fromhex("020200db")
