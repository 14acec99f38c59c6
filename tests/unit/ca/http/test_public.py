# SPDX-License-Identifier: Apache-2.0
"""The public service from end to end: a simulated machine gets a certificate, and everybody can look at it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from attestca_client import wire
from tests.authority_lab import NOW
from tests.service_lab import leaf_of

if TYPE_CHECKING:
    from tests.service_lab import Service


async def test_enroll_end_to_end(service_on_both: Service) -> None:
    service = service_on_both
    key = ec.generate_private_key(ec.SECP256R1())
    reply = await service.post(service.request(await service.nonce(), key=key))
    assert reply.status == 201, reply.body
    leaf = leaf_of(reply)
    assert leaf.public_key() == key.public_key()
    assert reply.headers["Location"] == f"/v1/certificates/{leaf.serial_number:x}"
    assert reply.headers["Cache-Control"] == "no-store"
    issuing, root = (
        x509.load_pem_x509_certificate(pem.encode()) for pem in reply.json()["chain"]
    )
    assert root == service.lab.root
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(root)
    assert reply.json()["assurance"] == "simulated"
    # what the client makes of it
    issued = wire.parse_issued(reply.body)
    assert issued.certificate == leaf
    assert issued.policy == "demo@1"
