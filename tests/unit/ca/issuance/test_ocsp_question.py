# SPDX-License-Identifier: Apache-2.0
"""Questions that another library wrote: what is read of them, and every way in which one is refused."""

from __future__ import annotations

from typing import Any

import pytest
from asn1crypto import core
from asn1crypto import x509 as names
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import RequestRefused
from ca.issuance.ocsp_question import MAX_CERTIFICATES, MAX_REQUEST_BYTES, parse
from tests import ocsp_lab
from tests.authority_lab import make_lab

LAB = make_lab()
ISSUER = LAB.issuer.certificate
OIDS = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
}
asked = st.lists(
    st.tuples(st.sampled_from(ocsp_lab.HASHES), st.integers(1, 2**160 - 1)),
    min_size=1,
    max_size=MAX_CERTIFICATES,
)
nonces = st.none() | st.binary(min_size=1, max_size=128)


def ids(*wanted: tuple[str, int]) -> list[Any]:
    return [ocsp_lab.cert_id(ISSUER, serial, algorithm) for algorithm, serial in wanted]


@given(asked, nonces)
def test_what_another_library_wrote(wanted: list[tuple[str, int]], nonce: bytes | None) -> None:
    extensions = [] if nonce is None else [ocsp_lab.nonce(nonce)]
    question = parse(ocsp_lab.request(*ids(*wanted), extensions=extensions))
    assert [(one.algorithm, one.serial) for one in question.certificates] == [
        (OIDS[algorithm], serial) for algorithm, serial in wanted
    ]
    assert question.serials == {serial for _, serial in wanted}
    assert question.nonce == nonce
    for one, (algorithm, _) in zip(question.certificates, wanted, strict=True):
        lengths = {len(one.issuer_name_hash), len(one.issuer_key_hash)}
        assert lengths == {{"sha1": 20, "sha256": 32, "sha384": 48}[algorithm]}


def test_what_the_library_writes_of_a_certificate() -> None:
    server = LAB.root
    built = library.OCSPRequestBuilder().add_certificate(server, ISSUER, hashes.SHA256())
    der = built.add_extension(x509.OCSPNonce(b"n" * 32), critical=False).build()
    question = parse(der.public_bytes(Encoding.DER))
    (one,) = question.certificates
    assert (one.serial, one.issuer_key_hash) == (server.serial_number, der.issuer_key_hash)
    assert question.nonce == b"n" * 32


ONE = ocsp_lab.cert_id(ISSUER, 5)


def _with(**members: Any) -> bytes:  # noqa: ANN401 - of `ocsp_lab.request`
    return ocsp_lab.request(ONE, **members)


@pytest.mark.parametrize(
    "name",
    [
        names.GeneralName("rfc822_name", "someone@example.org"),
        names.GeneralName("directory_name", names.Name.build({"common_name": "someone"})),
    ],
)
def test_who_asks_is_read_past(name: names.GeneralName) -> None:
    assert parse(_with(requester=name)) == parse(_with())


def test_a_signature_is_read_past() -> None:
    nobody = {"signature_algorithm": {"algorithm": "sha256_ecdsa"}, "signature": b"of nobody"}
    assert parse(_with(signature=nobody)) == parse(_with())


def test_a_version_that_is_written_though_it_is_the_default() -> None:
    """DER leaves it out; not everybody does."""
    plain = _with()
    assert plain[:2] == bytes([0x30, len(plain) - 2])
    assert plain[2:4] == bytes([0x30, len(plain) - 4])
    written = _sequence(_sequence(bytes.fromhex("a003020100") + plain[4:]))
    assert parse(written) == parse(plain)


def _sequence(content: bytes) -> bytes:
    assert len(content) < 256
    header = [len(content)] if len(content) < 128 else [0x81, len(content)]
    return bytes([0x30, *header]) + content


def test_parameters_of_the_hash_may_be_absent() -> None:
    bare = ocsp_lab.cert_id(ISSUER, 5, hash_algorithm={"algorithm": "sha1"})
    assert parse(ocsp_lab.request(bare)) == parse(ocsp_lab.request(ONE))


@pytest.mark.parametrize("name", [b"", b"\x82\x01x\x82\x01y"], ids=["none", "two"])
def test_one_name_of_who_asks_or_nothing(name: bytes) -> None:
    whole = _sequence(_sequence(b"\xa1" + bytes([len(name)]) + name + _with()[4:]))
    with pytest.raises(RequestRefused, match="not an OCSPRequest"):
        parse(whole)


@pytest.mark.parametrize("signature", [b"", b"\x30\x00\x30\x00"], ids=["none", "two"])
def test_one_signature_or_nothing(signature: bytes) -> None:
    whole = _sequence(_with()[2:] + b"\xa0" + bytes([len(signature)]) + signature)
    with pytest.raises(RequestRefused, match="not an OCSPRequest"):
        parse(whole)


UNKNOWN = "1.3.6.1.4.1.32473.99"
OTHER = ocsp_lab.extension(UNKNOWN, b"\x05\x00")


def test_extensions_that_are_not_known_are_ignored() -> None:
    assert parse(_with(extensions=[OTHER], single=[OTHER])) == parse(_with())
    both = parse(_with(extensions=[OTHER, ocsp_lab.nonce(b"x")]))
    assert both.nonce == b"x"


def test_a_critical_nonce_is_known() -> None:
    assert parse(_with(extensions=[ocsp_lab.nonce(b"x", critical=True)])).nonce == b"x"


CRITICAL = ocsp_lab.extension(UNKNOWN, b"\x05\x00", critical=True)
LONG = ocsp_lab.extension(UNKNOWN, bytes(MAX_REQUEST_BYTES))
RAW_NONCE = ocsp_lab.extension("1.3.6.1.5.5.7.48.1.2", b"0123456789abcdef")
MALFORMED = {
    "nothing": b"",
    "no DER": b"\xff" * 40,
    "empty": b"\x30\x00",
    "a part of one": ocsp_lab.request(ONE)[2:],
    "version 2": _with(version=1),
    "cut off": _with()[:-1],
    "something behind": _with() + b"\0",
    "no certificate": ocsp_lab.request(),
    "too many": ocsp_lab.request(*[ONE] * (MAX_CERTIFICATES + 1)),
    "too large": _with(extensions=[LONG]),
    "critical": _with(extensions=[CRITICAL]),
    "critical, of one certificate": _with(single=[CRITICAL]),
    "twice": _with(extensions=[OTHER, OTHER]),
    "two nonces": _with(extensions=[ocsp_lab.nonce(b"x"), ocsp_lab.nonce(b"y")]),
    "an empty nonce": _with(extensions=[ocsp_lab.nonce(b"")]),
    "a long nonce": _with(extensions=[ocsp_lab.nonce(bytes(129))]),
    "serial 0": ocsp_lab.request(ONE, ocsp_lab.cert_id(ISSUER, 0)),
    "serial -1": ocsp_lab.request(ocsp_lab.cert_id(ISSUER, -1)),
    "a serial of 21 bytes": ocsp_lab.request(ocsp_lab.cert_id(ISSUER, 2**160), ONE),
    "a message as a serial": ocsp_lab.request(ocsp_lab.cert_id(ISSUER, 2**28000)),
    "a nonce without its type": _with(extensions=[RAW_NONCE]),
    "parameters of the hash": ocsp_lab.request(
        ocsp_lab.cert_id(
            ISSUER, 5, hash_algorithm={"algorithm": "sha1", "parameters": core.Integer(1)}
        )
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_question(name: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        parse(MALFORMED[name])
    assert caught.value.code == "malformed"


def test_the_largest_are_read() -> None:
    full = ocsp_lab.request(
        *ids(*[("sha384", 2**159 - 1)] * MAX_CERTIFICATES), extensions=[ocsp_lab.nonce(bytes(128))]
    )
    assert len(full) < MAX_REQUEST_BYTES
    room = ocsp_lab.extension(UNKNOWN, bytes(MAX_REQUEST_BYTES - len(full) - 30))
    padded = ocsp_lab.request(
        *ids(*[("sha384", 2**159 - 1)] * MAX_CERTIFICATES),
        extensions=[ocsp_lab.nonce(bytes(128)), room],
    )
    assert MAX_REQUEST_BYTES - 16 < len(padded) <= MAX_REQUEST_BYTES
    assert parse(padded) == parse(full)
