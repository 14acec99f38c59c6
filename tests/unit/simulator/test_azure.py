# SPDX-License-Identifier: Apache-2.0
"""A VM under a paravisor: a report that vouches for runtime data, a key among them, a quote by that key."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from simulator import azure
from simulator.amd_keys import RsaKey
from simulator.azure import AzureCvm
from simulator.vtpm import SHA1, SHA256, Quote

if TYPE_CHECKING:
    from simulator.amd import FakeAmd

EXTRA = bytes(range(32))


@pytest.fixture
def cvm(amd: FakeAmd) -> AzureCvm:
    return AzureCvm(amd.machine("Genoa"))


def runtime_data(hcl: bytes) -> bytes:
    return hcl[1236 : 1236 + int.from_bytes(hcl[1232:1236], "little")]


def check(quote: Quote, key: rsa.RSAPublicKey) -> None:
    """Raise InvalidSignature unless the quote is signed by this key."""
    key.verify(quote.signature, quote.attest, padding.PKCS1v15(), hashes.SHA256())


def test_the_chain_from_report_to_quote(cvm: AzureCvm) -> None:
    pieces = dict(cvm.evidence(EXTRA))
    assert list(pieces) == ["hcl-report", "tpm-attest", "tpm-signature", "tpm-pcrs"]
    hcl = pieces["hcl-report"]
    report, text = hcl[32:1216], runtime_data(hcl)
    assert (hcl[:4], len(hcl)) == (b"HCLA", 2600)
    assert report[0x50:0x90] == hashlib.sha256(text).digest() + bytes(32)
    jwk = json.loads(text)["keys"][0]
    assert (jwk["kid"], jwk["e"]) == ("HCLAkPub", "AQAB")
    modulus = int.from_bytes(base64.urlsafe_b64decode(jwk["n"] + "=="), "big")
    quote = Quote(pieces["tpm-attest"], pieces["tpm-signature"], pieces["tpm-pcrs"])
    check(quote, rsa.RSAPublicNumbers(65537, modulus).public_key())
    assert quote.pcrs == b"".join(cvm.tpm.pcrs)
    assert quote.attest.endswith(hashlib.sha256(quote.pcrs).digest())
    assert EXTRA in quote.attest
    assert cvm.hcl_report()[32:1216] == report


def test_what_the_guest_wrote_is_told(cvm: AzureCvm) -> None:
    cvm.user_data = b"\xab" * 64
    cvm.configuration["secure-boot"] = False
    data = json.loads(runtime_data(cvm.hcl_report()))
    assert data["user-data"] == "AB" * 64
    assert data["vm-configuration"]["secure-boot"] is False


def test_levers_of_the_hcl_report(cvm: AzureCvm) -> None:
    hcl = cvm.hcl_report(b"{}", report_data=bytes(64), vmpl=2, hcl_version=1, hash_type=2)
    assert runtime_data(hcl) == b"{}"
    assert hcl[32 + 0x50 : 32 + 0x90] == bytes(64)
    assert (hcl[32 + 0x30], hcl[4], hcl[1216 + 12]) == (2, 1, 2)
    assert azure.write(b"", b"", hcl_signature=b"XXXX")[:4] == b"XXXX"


def test_levers_of_quotes(cvm: AzureCvm) -> None:
    other = RsaKey.generate(2048)
    quote = cvm.tpm.quote(EXTRA, signer=other)
    check(quote, other.private.public_key())
    with pytest.raises(InvalidSignature):
        check(quote, cvm.tpm.ak.private.public_key())
    cvm.tpm.banks[SHA1] = [bytes([i]) * 20 for i in range(24)]
    mixed = cvm.tpm.quote(EXTRA, selection=((SHA1, (1,)), (SHA256, (9, 4))))
    assert mixed.pcrs == b"\x01" * 20 + cvm.tpm.pcrs[4] + cvm.tpm.pcrs[9]
    cut = cvm.tpm.quote(EXTRA, edit=lambda attest: attest[:-1])
    check(cut, cvm.tpm.ak.private.public_key())
    assert len(cut.attest) == len(cvm.tpm.quote(EXTRA).attest) - 1
    assert cvm.tpm.quote(EXTRA, magic=1).attest[:4] == b"\0\0\0\1"
    with pytest.raises(TypeError, match="magik"):
        cvm.tpm.quote(EXTRA, magik=1)
    assert quote.tpmt_signature == bytes.fromhex("0014000b0100") + quote.signature
