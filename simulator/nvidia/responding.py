# SPDX-License-Identifier: Apache-2.0
"""The fake NVIDIA's OCSP service: a request in, an answer out (RFC 6960). What it says is `FakeNvidia.answer`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

if TYPE_CHECKING:
    from simulator.nvidia.certificates import Party
    from simulator.nvidia.vendor import FakeNvidia


def respond(nvidia: FakeNvidia, request: bytes) -> bytes:
    """The answer to a request about one certificate, DER; "unauthorized" for one that the vendor has not issued."""
    try:
        asked = ocsp.load_der_ocsp_request(request)
        found = _found(nvidia, asked)
    except (ValueError, NotImplementedError):
        return _unsuccessful(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
    if found is None:
        return _unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED)
    answer = nvidia.answer(*found, asked.hash_algorithm.name)
    nonces = [one.value.nonce for one in asked.extensions if isinstance(one.value, x509.OCSPNonce)]
    return replace(answer, nonce=nonces[0]).der if nonces else answer.der


def _found(nvidia: FakeNvidia, asked: ocsp.OCSPRequest) -> tuple[Party, Party] | None:
    """The certificate that is asked about and its issuer; the request names it in full."""
    for about, issuer in nvidia.issued():
        if about.certificate.serial_number != asked.serial_number:
            continue
        right = (
            ocsp.OCSPRequestBuilder()
            .add_certificate(about.certificate, issuer.certificate, asked.hash_algorithm)
            .build()
        )
        if (right.issuer_name_hash, right.issuer_key_hash) == (
            asked.issuer_name_hash,
            asked.issuer_key_hash,
        ):
            return about, issuer
    return None


def _unsuccessful(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
