# SPDX-License-Identifier: Apache-2.0
"""AMD's pinned authorities: the very ones, in a right order of signatures, and what is refused as such."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator import amd_certificates, der, pki
from simulator.amd_keys import PSS_SHA384, RsaKey
from tests.cases.snp import vectors
from tests.snp_lab import SnpLab, hierarchy
from verifiers import amd
from verifiers.amd import AmdHierarchy, builtin_hierarchies, pss_signed, subject_name
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Product

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.amd import Line
    from verifiers.amd import AmdAuthority

ROLES = ("ark", "ask", "asvk")


def authority(product: Product, role: str) -> AmdAuthority:
    (found,) = (one for one in builtin_hierarchies() if one.product is product)
    pinned: AmdAuthority = getattr(found, role)
    return pinned


@pytest.mark.parametrize("product", Product)
@pytest.mark.parametrize("role", ROLES)
def test_what_is_pinned_is_the_real_certificate(product: Product, role: str) -> None:
    """Files and the facts of ASVKs against certificates from elsewhere."""
    pem = vectors.root_file(f"{product.lower()}_{role}.pem")
    real, pinned = x509.load_pem_x509_certificate(pem), authority(product, role)
    assert der.tlv(0x30, pinned.subject) == real.subject.public_bytes()
    (name,) = real.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert pinned.common_name == name.value
    spki = real.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert pinned.spki == spki
    assert pinned.public_key == real.public_key()
    assert pinned.serial_number == real.serial_number
    assert pinned.not_before == real.not_valid_before_utc
    assert pinned.not_after == real.not_valid_after_utc
    digest = hashlib.sha256(real.public_bytes(Encoding.DER)).digest()
    assert pinned.certificate_sha256 == digest
    ark = authority(product, "ark")
    assert pss_signed(ark.public_key, real.signature, real.tbs_certificate_bytes)
    assert der.tlv(0x30, ark.subject) == real.issuer.public_bytes()


@pytest.mark.parametrize("product", Product)
@pytest.mark.parametrize("role", ROLES)
def test_the_digests_that_others_list(product: Product, role: str) -> None:
    listed = json.loads(vectors.root_file("roots.json"))["certificates"]
    (entry,) = (one for one in listed if one["file"] == f"{product.lower()}_{role}.pem")
    pinned = authority(product, role)
    assert pinned.certificate_sha256.hex() == entry["sha256_der"]
    assert hashlib.sha256(pinned.spki).hexdigest() == entry["sha256_spki"]


def test_every_product_line_is_pinned_once() -> None:
    assert [one.product for one in builtin_hierarchies()] == list(Product)
    keys = {getattr(one, role).spki for one in builtin_hierarchies() for role in ROLES}
    assert len(keys) == 9


def test_a_changed_package_file_stops_the_program() -> None:
    with pytest.raises(RuntimeError, match="not the pinned one"):
        amd._pinned(Product.MILAN, "ark", "00" * 32)


def test_names() -> None:
    for name in ("SEV-Milan", "ARK-Turin", "SEV-VLEK-Genoa"):
        assert der.tlv(0x30, subject_name(name)) == amd_certificates.name(name)


@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
def test_a_hierarchy_of_certificates(product: str) -> None:
    line = SnpLab.create(product).line
    found = hierarchy(line)
    for role in ROLES:
        made, pinned = getattr(line, role), getattr(found, role)
        assert pinned.spki == made.key.spki
        assert pinned.serial_number == made.spec.serial
        assert pinned.certificate_sha256 == hashlib.sha256(made.der).digest()
        assert (pinned.not_before, pinned.not_after) == (
            made.spec.not_before,
            made.spec.not_after,
        )
    assert found == hierarchy(line)
    assert hash(found) == hash(hierarchy(line))


def test_authorities_are_equal_by_what_counts() -> None:
    line = SnpLab.create().line
    ask = hierarchy(line).ask
    assert replace(ask, certificate_sha256=bytes(32)) == ask
    assert hash(replace(ask, certificate_sha256=bytes(32))) == hash(ask)
    assert replace(ask, subject=b"") != ask
    assert replace(ask, spki=b"") != ask
    assert replace(ask, serial_number=1) != ask
    assert replace(ask, not_before=ask.not_after) != ask
    assert replace(ask, not_after=ask.not_before) != ask
    assert ask != ask.spki


STRANGER = SnpLab.create().stranger().line("Genoa")
FORGERIES: dict[str, Callable[[Line], None]] = {
    "a root that others signed": lambda line: setattr(line.ark, "signer", STRANGER.ark.key),
    "a root of another issuer": lambda line: line.ark.alter(issuer=STRANGER.ask.spec.subject),
    "an ASK that others signed": lambda line: setattr(line.ask, "signer", STRANGER.ark.key),
    "an ASVK that others signed": lambda line: setattr(line.asvk, "signer", STRANGER.ark.key),
    "an ASK of another issuer": lambda line: line.ask.alter(
        issuer=amd_certificates.name("ARK-Milan")
    ),
    "an ASK of another name": lambda line: line.ask.alter(
        subject=amd_certificates.name("SEV-Milan")
    ),
    "a root of another name": lambda line: line.ark.alter(
        subject=amd_certificates.name("ARK-Milan")
    ),
    "an ASK without a common name": lambda line: line.ask.alter(subject=der.sequence()),
    "P-256": lambda line: line.ask.alter(spki=pki.Key.derive(b"test_amd", "p256").spki),
    "2048 bits": lambda line: line.ask.alter(spki=RsaKey.generate(2048).spki),
    "no certificate": lambda line: setattr(line.ask, "edit", lambda _: b"\x30\x00"),
    "something behind": lambda line: setattr(line.asvk, "edit", lambda data: data + b"\0"),
    "other parameters": lambda line: setattr(
        line.ask,
        "edit",
        lambda data: data.replace(PSS_SHA384[-5:], b"\xa2\x03\x02\x01\x20"),
    ),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_what_is_no_hierarchy(forge: Callable[[Line], None]) -> None:
    line = SnpLab.create("Genoa").line
    hierarchy(line)
    forge(line)
    with pytest.raises(VerificationError) as caught:
        hierarchy(line)
    assert caught.value.reason is Reason.CHAIN


def test_authorities_in_another_order() -> None:
    line = SnpLab.create("Genoa").line
    for order in ((line.ask, line.ark, line.asvk), (line.ark, line.asvk, line.ask)):
        with pytest.raises(VerificationError) as caught:
            AmdHierarchy.from_certificates(Product.GENOA, *(one.der for one in order))
        assert caught.value.reason is Reason.CHAIN


def test_signatures() -> None:
    line = SnpLab.create().line
    key, signature = line.ark.key, line.ark.key.sign_der(b"data")
    public = key.private.public_key()
    assert pss_signed(public, signature, b"data")
    assert not pss_signed(public, signature, b"datb")
    assert not pss_signed(public, signature[:-1], b"data")
    assert not pss_signed(public, b"", b"data")
    assert not pss_signed(public, key.sign_pkcs1(b"data"), b"data")
    assert not pss_signed(public, line.ask.key.sign_der(b"data"), b"data")
