# SPDX-License-Identifier: Apache-2.0
"""R-34, at the verifier: chains have the one length that Intel's have, keys and algorithms are the one kind."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator.pki import pem
from tests.tdx_lab import Lab, clear_caches
from verifiers import chain
from verifiers.certificate import parse_certificate
from verifiers.errors import Reason, VerificationError

KEYS: dict[str, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey] = {
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-224": ec.generate_private_key(ec.SECP224R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "RSA-2048": rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 10, 60])
def test_length_of_the_chain_in_a_quote(count: int) -> None:
    lab = Lab.create()
    links = [lab.platform.pck, *[lab.platform.ca] * max(0, count - 2), lab.intel.root][:count]
    lab.chain(*links)
    clear_caches()
    assert lab.exhibit().outcome() is Reason.CHAIN
    assert chain._issued.cache_info().misses == 0  # not one certificate was looked into


@pytest.mark.parametrize(
    "part", ["pck_crl_issuer_chain", "tcb_info_issuer_chain", "qe_identity_issuer_chain"]
)
@pytest.mark.parametrize("count", [0, 1, 3, 60])
def test_length_of_a_chain_in_the_collateral(part: str, count: int) -> None:
    lab = Lab.create()
    signer = lab.platform.ca if part.startswith("pck") else lab.intel.tcb_signing
    links = [signer, *[lab.intel.root] * max(0, count - 1)][:count]
    lab.edit(**{part: pem(*(link.der for link in links))})
    assert lab.exhibit().outcome() is Reason.CHAIN


@pytest.mark.parametrize("name", KEYS)
def test_other_keys(name: str) -> None:
    lab = Lab.create()
    public = KEYS[name].public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    lab.platform.pck.alter(spki=spki)
    with pytest.raises(VerificationError, match="key is not P-256") as caught:
        parse_certificate(lab.platform.pck.der)
    assert caught.value.reason is Reason.CHAIN
    assert lab.exhibit().outcome() is Reason.CHAIN


def test_a_compressed_point() -> None:
    lab = Lab.create()
    public = lab.platform.pck.key.private.public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    right = lab.platform.pck.key.spki
    header = right[:-66].replace(b"\x30\x59", b"\x30\x39", 1).replace(b"\x03\x42", b"\x03\x22")
    lab.platform.pck.alter(spki=header + b"\0" + point)
    assert lab.exhibit().outcome() is Reason.CHAIN
