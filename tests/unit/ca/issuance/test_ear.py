# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography import x509

from ca.errors import LintFailed
from ca.issuance import ear, extension, keys
from ca.issuance.request import Assurance
from tests.authority_lab import (
    NOW,
    URL,
    Lab,
    digest,
    make_device,
    make_platform,
    make_request,
    make_switch,
    with_devices,
)


def test_claims_as_the_certificate_carries_them() -> None:
    assert ear.claims(make_request(), "attestca 9") == {
        "eat_profile": "tag:ietf.org,2026:rats/ear#04",
        "iat": int(NOW.timestamp()),
        "ear_status": "affirming",
        "ear_verifier_id": {"developer": "attestca", "build": "attestca 9"},
        "submods": {
            "cpu": {
                "ear_status": "affirming",
                "ear_trustworthiness_vector": {
                    "configuration": 2,
                    "executables": 3,
                    "hardware": 2,
                    "instance-identity": 2,
                    "runtime-opaque": 2,
                },
                "ear_appraisal_policy_ids": [f"production@3#sha256:{digest('policy').hex()}"],
            }
        },
    }


@pytest.mark.parametrize(
    ("changes", "claim", "value", "status"),
    [
        ({"all_pinned": False}, "executables", 33, "warning"),
        ({"tolerated": ("tcb:OutOfDate",)}, "configuration", 32, "warning"),
        (
            {"platform": make_platform(tcb_status="OutOfDate", tcb_current=False)},
            "hardware",
            32,
            "warning",
        ),
        ({"assurance": Assurance.SIMULATED}, "hardware", 97, "contraindicated"),
    ],
)
def test_status_is_that_of_the_worst_claim(
    changes: dict[str, Any], claim: str, value: int, status: str
) -> None:
    claims = json.loads(json.dumps(ear.claims(make_request(**changes), "b")))
    assert claims["submods"]["cpu"]["ear_trustworthiness_vector"][claim] == value
    assert claims["submods"]["cpu"]["ear_status"] == claims["ear_status"] == status


def test_simulated_evidence_claims_no_tee() -> None:
    claims = json.loads(json.dumps(ear.claims(make_request(assurance=Assurance.SIMULATED), "b")))
    vector = claims["submods"]["cpu"]["ear_trustworthiness_vector"]
    assert "runtime-opaque" not in vector
    assert "instance-identity" not in vector


DEVICES = with_devices(make_device(0), make_switch())


def test_devices_are_a_submodule_of_their_own() -> None:
    alone = ear.claims(make_request(), "b")
    claims = json.loads(json.dumps(ear.claims(make_request(**DEVICES), "b")))
    assert claims["submods"].keys() == {"cpu", "devices"}
    assert claims["submods"]["cpu"] == alone["submods"]["cpu"]  # type: ignore[index]  # claims are JSON
    assert claims["submods"]["devices"] == {
        "ear_status": "affirming",
        "ear_trustworthiness_vector": {"configuration": 2, "executables": 3, "hardware": 2},
        "ear_appraisal_policy_ids": [f"production@3#sha256:{digest('policy').hex()}"],
    }


@pytest.mark.parametrize(
    ("changes", "vector", "statuses"),
    [
        (
            with_devices(make_device(0), make_switch(current=False)),
            {"configuration": 2, "executables": 3, "hardware": 32},
            ("affirming", "warning", "warning"),
        ),
        (
            DEVICES | {"tolerated": ("collateral-stale:devices[0].rim",)},
            {"configuration": 32, "executables": 3, "hardware": 2},
            ("warning", "warning", "warning"),
        ),
        (
            DEVICES | {"all_pinned": False},
            {"configuration": 2, "executables": 3, "hardware": 2},
            ("warning", "affirming", "warning"),
        ),
        (
            DEVICES | {"assurance": Assurance.SIMULATED},
            {"configuration": 2, "executables": 3, "hardware": 97},
            ("contraindicated", "contraindicated", "contraindicated"),
        ),
    ],
)
def test_devices_by_the_same_tiers(
    changes: dict[str, Any], vector: dict[str, int], statuses: tuple[str, str, str]
) -> None:
    claims = json.loads(json.dumps(ear.claims(make_request(**changes), "b")))
    cpu, devices = claims["submods"]["cpu"], claims["submods"]["devices"]
    assert devices["ear_trustworthiness_vector"] == vector
    assert (cpu["ear_status"], devices["ear_status"], claims["ear_status"]) == statuses


def test_the_token_lists_the_devices(lab: Lab) -> None:
    issued = lab.issue(make_request(**DEVICES))
    claims = jwt.decode(ear.token(issued, lab.ear_key()), options={"verify_signature": False})
    devices = claims["submods"]["devices"]
    assert devices["ear_attester_claims"] == {
        "devices": [
            {
                "kind": "gpu",
                "model": "GH100 A01 GSP BROM",
                "driver": "580.178.04",
                "vbios": "96.00.CF.00.01",
                "mode": "mpt",
                "report_sha256": digest("report 0").hex(),
            },
            {
                "kind": "switch",
                "model": "LS_10 A01 FSP BROM",
                "vbios": "96.10.6D.00.01",
                "report_sha256": digest("switch report 0").hex(),
            },
        ]
    }
    assert devices["ear_verifier_claims"] == {
        "assurance": "verified",
        "binding": "nonce+cpu-digest",
        "appraised_by": ["local", "local"],
    }
    assert (
        claims["submods"]["cpu"]["ear_attester_claims"]["evidence_sha256"] == digest("quote").hex()
    )


def test_the_token_verifies_through_the_jwks_and_through_x5c(lab: Lab) -> None:
    issued, key = lab.issue(make_request()), lab.ear_key()
    text = ear.token(issued, key)
    header = jwt.get_unverified_header(text)
    assert (header["alg"], header["typ"]) == ("ES256", "eat+jwt")
    (found,) = [
        each
        for each in jwt.PyJWKSet.from_dict(ear.jwks([key.certificate], NOW)).keys
        if each.key_id == header["kid"]
    ]
    claims = jwt.decode(
        text,
        found,
        algorithms=["ES256"],
        issuer=URL,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["exp"] == int(issued.prepared.not_after.timestamp())
    assert claims["jti"] == f"{issued.prepared.serial:x}"
    assert claims["cnf"] == {
        "jkt": keys.thumbprint(keys.load(issued.prepared.request.key.spki_der))
    }
    signer, issuing = (
        x509.load_der_x509_certificate(base64.b64decode(der)) for der in header["x5c"]
    )
    assert signer.public_key() == found.key
    signer.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(lab.root)


def test_the_token_says_what_the_certificate_says_and_more(lab: Lab) -> None:
    issued = lab.issue(make_request(tolerated=("unpinned:rtmr3",)))
    claims = jwt.decode(ear.token(issued, lab.ear_key()), options={"verify_signature": False})
    certificate = x509.load_der_x509_certificate(issued.der)
    cmw = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.35"))
    assert isinstance(cmw.value, x509.UnrecognizedExtension)
    short = extension.decode_cmw(cmw.value.value)
    cpu = claims["submods"]["cpu"]
    assert {name: claims[name] for name in short if name != "submods"} | {
        "submods": {"cpu": {name: cpu[name] for name in cpu if not name.endswith("_claims")}}
    } == short
    assert cpu["ear_attester_claims"]["registers"]["mr_td"] == (digest("mr_td") + bytes(16)).hex()
    assert cpu["ear_attester_claims"]["evidence_sha256"] == digest("quote").hex()
    assert cpu["ear_verifier_claims"] == {
        "assurance": "verified",
        "binding": "none",
        "product": "fmspc:50806f000000",
        "tcb_status": "UpToDate",
        "tolerated": ["unpinned:rtmr3"],
    }


def test_a_token_says_what_event_logs_came_to(lab: Lab) -> None:
    replayed = (("rtmr0", "replayed"), ("rtmr3", "unexplained"))
    request = make_request()
    issued = lab.issue(replace(request, event_logs=("ccel",), replayed=replayed))
    claims = jwt.decode(ear.token(issued, lab.ear_key()), options={"verify_signature": False})
    said = claims["submods"]["cpu"]["ear_verifier_claims"]
    assert (said["event_logs"], said["replayed"]) == (["ccel"], dict(replayed))
    assert ear.claims(issued.prepared.request, "x") == ear.claims(request, "x"), (
        "certificates have nothing of it"
    )


def test_a_token_never_outlives_its_key(lab: Lab) -> None:
    key = lab.ear_key()
    issued = lab.issue(
        make_request(collateral_expires=NOW + timedelta(days=90)), NOW + timedelta(days=29, hours=1)
    )
    with pytest.raises(LintFailed, match="ear-key"):
        ear.token(issued, key)


def test_a_leaf_is_no_key_for_results(lab: Lab) -> None:
    issued = lab.issue(make_request())
    key = replace(lab.ear_key(), certificate=x509.load_der_x509_certificate(issued.der))
    with pytest.raises(LintFailed, match="ear-key"):
        ear.token(issued, key)


def test_jwks_holds_keys_in_force(lab: Lab) -> None:
    old, new = lab.ear_key().certificate, lab.ear_key(NOW + timedelta(days=25)).certificate
    both = ear.jwks([old, new], NOW + timedelta(days=30))
    one = ear.jwks([old, new], NOW + timedelta(days=30, seconds=1))
    assert [each["kid"] for each in json.loads(json.dumps(both))["keys"]] == [
        ear.kid(old),
        ear.kid(new),
    ]
    assert [each["kid"] for each in json.loads(json.dumps(one))["keys"]] == [ear.kid(new)]
    (key,) = json.loads(json.dumps(one))["keys"]
    assert (key["use"], key["alg"], key["crv"]) == ("sig", "ES256", "P-256")
