# SPDX-License-Identifier: Apache-2.0
"""The vendor as a whole: one seed one vendor, collateral that follows alterations, update channels."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from simulator import collateral
from simulator.intel import FakeIntel

if TYPE_CHECKING:
    from datetime import datetime

    from simulator.machine import Platform


def check_statement(bundle: dict[str, str], part: str) -> None:
    """The signature holds over the exact text under the key of the first certificate of its chain."""
    chain = bundle[f"{part}_issuer_chain"].encode()
    key = x509.load_pem_x509_certificates(chain)[0].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    raw = bytes.fromhex(bundle[f"{part}_signature"])
    r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
    text = bundle[part].encode()
    key.verify(encode_dss_signature(r, s), text, ec.ECDSA(hashes.SHA256()))


def test_a_seed_makes_one_vendor_and_none_makes_new_ones(now: datetime) -> None:
    one, same = (FakeIntel.create(now, seed=b"x") for _ in range(2))
    assert one.root_der == same.root_der
    assert one.bundle() == same.bundle()
    assert one.platform().quote() == same.platform().quote()
    assert len({FakeIntel.create(now).root_spki for _ in range(2)} | {one.root_spki}) == 3


def test_statements_are_signed_as_they_stand(intel: FakeIntel) -> None:
    intel.tcb_info["tcbLevels"][0]["tcbStatus"] = "OutOfDate"
    intel.qe_identity["isvprodid"] = 7
    bundle = intel.bundle()
    assert json.loads(bundle["tcb_info"])["tcbLevels"][0]["tcbStatus"] == "OutOfDate"
    assert json.loads(bundle["qe_identity"])["isvprodid"] == 7
    for part in ("tcb_info", "qe_identity"):
        check_statement(bundle, part)
    bundle["tcb_info"] += " "
    with pytest.raises(InvalidSignature):
        check_statement(bundle, "tcb_info")


def test_any_text_can_be_signed(intel: FakeIntel) -> None:
    bundle = intel.bundle()
    bundle["tcb_info"], bundle["tcb_info_signature"] = intel.sign_tcb_info("no JSON")
    bundle["qe_identity"], bundle["qe_identity_signature"] = intel.sign_qe_identity('{"a": 1}')
    for part in ("tcb_info", "qe_identity"):
        check_statement(bundle, part)


def test_signers_can_be_changed_one_by_one(intel: FakeIntel) -> None:
    intel.tcb_info_signer = intel.platform_ca
    bundle = intel.bundle()
    check_statement(bundle, "tcb_info")
    check_statement(bundle, "qe_identity")
    assert bundle["tcb_info_issuer_chain"] == bundle["pck_crl_issuer_chain"]
    assert bundle["qe_identity_issuer_chain"] != bundle["tcb_info_issuer_chain"]


def test_lifetimes_are_those_of_the_vendor(intel: FakeIntel, now: datetime) -> None:
    day = timedelta(days=1)
    for statement in (intel.tcb_info, intel.qe_identity):
        assert statement["issueDate"] == collateral.rfc3339(now - day) == "2026-10-24T12:00:00Z"
        assert statement["nextUpdate"] == "2026-11-23T12:00:00Z"
    for crl, days in ((intel.root_crl, 364), (intel.platform_crl, 29), (intel.processor_crl, 29)):
        assert (crl.spec.this_update, crl.spec.next_update) == (now - day, now + days * day)


def test_bundles_fit_the_machine(intel: FakeIntel) -> None:
    platform, processor = intel.platform(), intel.platform(ca="processor")
    one, other = intel.bundle(platform), intel.bundle(processor)
    assert one == intel.bundle()
    assert one["pck_crl"] == intel.platform_crl.der.hex()
    assert other["pck_crl"] == intel.processor_crl.der.hex()
    assert x509.load_pem_x509_certificates(other["pck_crl_issuer_chain"].encode()) == [
        x509.load_der_x509_certificate(entity.der) for entity in (intel.processor_ca, intel.root)
    ]


def test_more_fmspcs(intel: FakeIntel, now: datetime) -> None:
    other = intel.platform(fmspc="00806f050000")
    with pytest.raises(KeyError):
        intel.bundle(other)
    statement = collateral.tcb_info(now, now + timedelta(days=30), "00806F050000")
    intel.standard.tcb_infos["00806f050000"] = statement
    assert json.loads(intel.bundle(other)["tcb_info"]) == statement


def test_early_is_standard_until_it_starts(intel: FakeIntel, platform: Platform) -> None:
    assert intel.bundle(platform, update="early") == intel.bundle(platform)
    early = intel.start_early()
    early.tcb_infos[intel.fmspc]["tcbLevels"][0]["tcbStatus"] = "OutOfDate"
    seen = {}
    for update in ("standard", "early"):
        bundle = intel.bundle(platform, update=update)
        info, identity = (json.loads(bundle[part]) for part in ("tcb_info", "qe_identity"))
        numbers = {info["tcbEvaluationDataNumber"], identity["tcbEvaluationDataNumber"]}
        seen[update] = (numbers, info["tcbLevels"][0]["tcbStatus"])
    assert seen == {"standard": ({20}, "UpToDate"), "early": ({21}, "OutOfDate")}


def test_levels_have_sixteen_components_in_falling_order(intel: FakeIntel) -> None:
    keys = []
    for level in intel.tcb_info["tcbLevels"]:
        sgx = [component["svn"] for component in level["tcb"]["sgxtcbcomponents"]]
        tdx = [component["svn"] for component in level["tcb"]["tdxtcbcomponents"]]
        assert len(sgx) == len(tdx) == 16
        keys.append((sgx, level["tcb"]["pcesvn"], tdx))
    assert keys == sorted(keys, reverse=True)
    statuses = [level["tcbStatus"] for level in intel.tcb_info["tcbLevels"]]
    assert statuses == ["UpToDate", "OutOfDate", "OutOfDate", "OutOfDate", "Revoked"]
