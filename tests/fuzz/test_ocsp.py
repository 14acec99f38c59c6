# SPDX-License-Identifier: Apache-2.0
"""R-31, at the OCSP responder: whatever bytes come, there is an answer in OCSP's own words, and never an alarm."""

from __future__ import annotations

import base64
import random
from contextlib import suppress
from typing import TYPE_CHECKING

from asn1crypto import ocsp as reader
from asn1crypto import x509 as names
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.errors import RequestRefused
from ca.issuance import ocsp
from ca.issuance.ocsp_question import MAX_CERTIFICATES, parse
from tests import ocsp_lab
from tests.authority_lab import NOW, make_lab
from tests.fuzz.test_verifier_parsers import mutated
from tests.service_lab import open_service

if TYPE_CHECKING:
    from ca.issuance.ocsp_question import Question

LAB = make_lab()
RESPONDER = ocsp_lab.responder(LAB)
IDS = [
    ocsp_lab.cert_id(LAB.issuer.certificate, serial, algorithm)
    for serial, algorithm in ((5, "sha1"), (2**160 - 1, "sha256"), (7, "sha384"))
]
RIGHT = (
    ocsp_lab.request(IDS[0]),
    ocsp_lab.request(*IDS, extensions=[ocsp_lab.nonce(bytes(32))]),
    ocsp_lab.request(
        *IDS,
        extensions=[ocsp_lab.extension("1.3.6.1.5.5.7.48.1.4", b"\x30\x00")],
        single=[ocsp_lab.extension("1.3.6.1.5.5.7.48.1.7", b"\x30\x00")],
        requester=names.GeneralName("directory_name", names.Name.build({"common_name": "x"})),
        signature={"signature_algorithm": {"algorithm": "sha256_ecdsa"}, "signature": b"x"},
    ),
)
MODERATE = settings(max_examples=300, deadline=None)
changed = st.sampled_from(RIGHT).flatmap(mutated)


def _consistent(question: Question) -> None:
    """What was read is within the limits, and an answer to it can be made and read."""
    assert 1 <= len(question.certificates) <= MAX_CERTIFICATES
    assert all(0 < serial < 2**160 for serial in question.serials)
    assert question.nonce is None or 1 <= len(question.nonce) <= 128
    made = ocsp.answer(question, RESPONDER, {5: None}, now=NOW)
    assert [one.serial for one in ocsp_lab.said(made)] == [
        one.serial for one in question.certificates
    ]
    assert ocsp_lab.nonce_of(made) == question.nonce


@MODERATE
@given(st.binary(max_size=300) | changed)
def test_any_bytes(data: bytes) -> None:
    with suppress(RequestRefused):
        _consistent(parse(data))


@MODERATE
@given(changed)
def test_what_is_read_is_what_another_reader_reads(data: bytes) -> None:
    """Both take it: then both have read the same. (asn1crypto takes more: it reads BER.)"""
    with suppress(RequestRefused):
        question = parse(data)
        other = reader.OCSPRequest.load(data)["tbs_request"]["request_list"]
        assert [one["req_cert"]["serial_number"].native for one in other] == [
            one.serial for one in question.certificates
        ]
        assert [one["req_cert"].dump() for one in other] == [
            one["cert_id"].dump()
            for one in reader.OCSPResponse.load(
                ocsp.answer(question, RESPONDER, {}, now=NOW)
            ).response_data["responses"]
        ]


async def test_any_bytes_over_http(sqlite_url: str) -> None:
    """In path and body; what comes back is OCSP or a problem of the caller's."""
    chance = random.Random(1)  # noqa: S311 - the same in every run
    headers = {"Content-Type": "application/ocsp-request"}
    async with open_service(
        sqlite_url, accepting=False, responders=lambda: (RESPONDER,)
    ) as service:
        for _ in range(300):
            data = bytearray(chance.choice(RIGHT))
            for _ in range(chance.randint(0, 4)):
                data[chance.randrange(len(data))] = chance.choice((0, 1, 0x30, 0x80, 0xFF))
            text = base64.b64encode(data).decode()
            if chance.random() < 0.2:
                text = text[: chance.randrange(1, len(text))] + chance.choice(
                    ("%00", "/", "%25", "")
                )
            for reply in (
                await service.send(
                    "POST", f"{service.public}/v1/ocsp", data=bytes(data), headers=headers
                ),
                await service.get(f"/v1/ocsp/{text}"),
            ):
                assert reply.status == 200
                assert ocsp_lab.status_of(reply.body) in {
                    "successful",
                    "malformed_request",
                    "unauthorized",
                }
        metrics = (await service.get("/metrics")).body.decode()
        alarms = [line for line in metrics.splitlines() if line.startswith("attestca_alarms_total")]
        assert alarms
        assert all(line.endswith(" 0.0") for line in alarms)
