# SPDX-License-Identifier: Apache-2.0
"""The independent verifier dcap_qvl refuses altered quotes and collateral, each for the reason of its alteration.

An alteration changes the fake Intel or its machine in place and gives the quote, the bundle, or neither; what it does
not give is made afterwards.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import pytest

from simulator import pki
from simulator.collateral import rfc3339
from simulator.intel import FakeIntel
from simulator.pck import SGX_EXTENSION
from simulator.pki import Entity, Key, pem

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import dcap_qvl

    from simulator.machine import Platform

    Judge = Callable[..., dcap_qvl.VerifiedReport]

Bundle: TypeAlias = "dict[str, str]"
Alteration: TypeAlias = "Callable[[FakeIntel, Platform], bytes | Bundle | None]"

SECOND = timedelta(seconds=1)
QE_DEBUG = bytes.fromhex("1700000000000000e700000000000000")
QE_PROVISION_KEY = bytes.fromhex("3500000000000000e700000000000000")

QUOTES: dict[str, tuple[Alteration, str]] = {
    "truncated": (lambda _, p: p.quote()[:-1], "Not enough data"),
    "no quote": (lambda _, p: p.quote()[:40], "Failed to decode quote"),
    "version 6": (lambda _, p: p.quote(version_field=6), "Unsupported quote version"),
    "SGX report in version 4": (lambda _, p: p.quote(body_type=1), "must have version 3"),
    "auth data as in version 3": (
        lambda _, p: p.quote(version=5, auth_layout=3),
        "CertificationData",
    ),
    "key type": (lambda _, p: p.quote(att_key_type=3), "attestation key type"),
    "TEE type": (lambda _, p: p.quote(tee_type=0), "Failed to decode quote"),
    "vendor id": (lambda _, p: p.quote(vendor_id=bytes(16)), "vendor ID"),
    "body type": (lambda _, p: p.quote(version=5, body_type_field=9), "Unsupported body type"),
    "body size": (lambda _, p: p.quote(version=5, body_size=585), "Invalid body size"),
    "signature data too long": (lambda _, p: p.quote(signature_data_length=1 << 20), "Failed to"),
    "auth data too long": (lambda _, p: p.quote(qe_auth_data_length=0xFFFF), "qe_auth_data"),
    "chain too long": (lambda _, p: p.quote(inner_length=0xFFFFFFFF), "certification_data"),
    "outer data too short": (lambda _, p: p.quote(outer_length=1), "qe_report"),
    "certification type": (lambda _, p: p.quote(inner_type=3), "PCK cert format: 3"),
    "debug": (lambda _, p: p.quote(td_attributes=0x10000001), "Debug mode"),
    "reserved attribute": (lambda _, p: p.quote(td_attributes=0x10000002), "Reserved bits"),
    "no SEPT_VE_DISABLE": (lambda _, p: p.quote(td_attributes=0), "SEPT_VE_DISABLE"),
    "service TD": (
        lambda _, p: p.quote(version=5, body_type=3, mr_service_td=b"\1" * 48),
        "MR service TD",
    ),
    "quote signature": (lambda _, p: p.quote(signature=bytes(64)), "ISV enclave report signature"),
    "another signer": (lambda _, p: p.quote(signer=Key.generate()), "ISV enclave report signature"),
    "another key": (
        lambda _, p: p.quote(attestation_key=Key.generate().point),
        "ISV enclave report signature",
    ),
    "key off the curve": (
        lambda _, p: p.quote(attestation_key=b"\1" * 64),
        "ISV enclave report signature",
    ),
    "body after signing": (lambda _, p: flipped(p.quote(), 184), "ISV enclave report signature"),
    "binding": (lambda _, p: p.quote(qe_report_data=bytes(64)), "QE report hash"),
    "QE signature": (lambda _, p: p.quote(qe_signature=bytes(64)), "qe_report"),
    "QE signed by a stranger": (lambda _, p: p.quote(pck_signer=Key.generate()), "qe_report"),
    "QE signer": (lambda _, p: p.quote(qe_mrsigner=bytes(32)), "QE MRSIGNER"),
    "QE product": (lambda _, p: p.quote(qe_isvprodid=1), "QE ISVPRODID"),
    "QE MISCSELECT": (lambda _, p: p.quote(qe_miscselect=1), "QE MISCSELECT"),
    "QE attributes": (lambda _, p: p.quote(qe_attributes=QE_PROVISION_KEY), "QE ATTRIBUTES"),
    "QE debug": (lambda _, p: p.quote(qe_attributes=QE_DEBUG), "Debug mode"),
    "QE revoked": (lambda _, p: p.quote(qe_isvsvn=1), "Revoked"),
    "QE below all levels": (lambda _, p: p.quote(qe_isvsvn=0), "QE ISVSVN 0 is below"),
    "module revoked": (lambda _, p: p.quote(tee_tcb_svn=svn(2, 1, 4)), "Revoked"),
    "module below all levels": (
        lambda _, p: p.quote(tee_tcb_svn=svn(1, 1, 4)),
        "TDX module ISVSVN",
    ),
    "module unknown": (lambda _, p: p.quote(tee_tcb_svn=svn(9, 7, 4)), "TDX_07"),
    "module signer": (lambda _, p: p.quote(mrsigner_seam=b"\1" * 48), "TDX module MRSIGNER"),
    "module attributes": (lambda _, p: p.quote(seam_attributes=1), "SEAMATTRIBUTES"),
    "current TCB below all levels": (
        lambda _, p: p.quote(version=5, body_type=4, tee_tcb_svn2=bytes(16)),
        "TEE_TCB_SVN2",
    ),
    "leaf alone": (lambda _, p: p.quote(certification_data=text(p.pck)), "UnknownIssuer"),
    "chain reversed": (
        lambda i, p: p.quote(certification_data=text(i.root, p.ca, p.pck)),
        "CaUsedAsEndEntity",
    ),
    "chain of sixty": (
        lambda i, p: p.quote(certification_data=text(p.pck, *[p.ca] * 60, i.root)),
        "Too many intermediate",
    ),
    "path length": (lambda i, p: p.quote(certification_data=below_the_ca(i, p)), "PathLen"),
    "another vendor": (
        lambda i, _: FakeIntel.create(i.now).platform().quote(),
        "InvalidSignatureForPublicKey|UnknownIssuer",
    ),
}

COLLATERAL: dict[str, tuple[Alteration, str]] = {
    "platform revoked": (lambda _, p: certify(p, (1, 1, 0, 0, 1)), "Revoked"),
    "platform below all levels": (lambda _, p: certify(p, ()), "No matching TCB level"),
    "crosswise components": (
        lambda _, p: certify(p, (0, 255, 255, 255, 255, 255, 0, 255)),
        "No matching TCB level",
    ),
    "no levels": (lambda i, _: i.tcb_info.update(tcbLevels=[]), "No matching TCB level"),
    "fifteen components": (
        lambda i, _: i.tcb_info["tcbLevels"][0]["tcb"]["tdxtcbcomponents"].clear(),
        "TDX component count",
    ),
    "FMSPC": (lambda i, _: i.tcb_info.update(fmspc="00806f050000"), "Fmspc mismatch"),
    "TCB info of SGX": (lambda i, _: i.tcb_info.update(id="SGX"), "non-TDX TCB info"),
    "TCB info version": (lambda i, _: i.tcb_info.update(version=2), "non-TDX TCB info"),
    "QE identity of SGX": (lambda i, _: i.qe_identity.update(id="QE"), "Unsupported QE Identity"),
    "unknown status": (
        lambda i, _: i.tcb_info["tcbLevels"][0].update(tcbStatus="Splendid"),
        "unknown variant `Splendid`",
    ),
    "space after signing": (
        lambda i, p: edited(i.bundle(p), "tcb_info", lambda t: t.replace(",", ", ", 1)),
        "invalid for tcb_info",
    ),
    "QE identity signature": (
        lambda i, p: edited(i.bundle(p), "qe_identity_signature", lambda _: "11" * 64),
        "invalid for qe_identity",
    ),
    "signature of the other": (
        lambda i, p: i.bundle(p) | {"tcb_info_signature": i.bundle(p)["qe_identity_signature"]},
        "invalid for tcb_info",
    ),
    "no JSON": (lambda i, p: resigned(i.bundle(p), i, "no JSON"), "Failed to decode TcbInfo"),
    "no chain": (lambda i, p: i.bundle(p) | {"tcb_info_issuer_chain": ""}, "too short"),
    "TCB info by a CA": (
        lambda i, _: setattr(i, "tcb_info_signer", i.platform_ca),
        "CaUsedAsEndEntity",
    ),
    "QE identity by the root": (
        lambda i, _: setattr(i, "qe_identity_signer", i.root),
        "CaUsedAsEndEntity",
    ),
    "right chain, another key": (
        lambda i, _: setattr(i, "tcb_info_signer", replace(i.tcb_signing, key=Key.generate())),
        "invalid for tcb_info",
    ),
    "chain of another vendor": (
        lambda i, _: setattr(i, "tcb_info_signer", FakeIntel.create(i.now).tcb_signing),
        "InvalidSignatureForPublicKey|UnknownIssuer",
    ),
    "TCB info expired": (
        lambda i, _: i.tcb_info.update(nextUpdate=rfc3339(i.now - SECOND)),
        "TCBInfo expired",
    ),
    "TCB info of tomorrow": (
        lambda i, _: i.tcb_info.update(issueDate=rfc3339(i.now + SECOND)),
        "TCBInfo issue date is in the future",
    ),
    "QE identity expired": (
        lambda i, _: i.qe_identity.update(nextUpdate=rfc3339(i.now - SECOND)),
        "QE Identity expired",
    ),
    "QE identity of tomorrow": (
        lambda i, _: i.qe_identity.update(issueDate=rfc3339(i.now + SECOND)),
        "QE Identity issue date is in the future",
    ),
    "PCK CRL expired": (
        lambda i, _: i.platform_crl.alter(next_update=i.now - SECOND),
        "CrlExpired",
    ),
    "root CRL expired": (lambda i, _: i.root_crl.alter(next_update=i.now - SECOND), "CrlExpired"),
    "PCK CRL by a stranger": (
        lambda i, _: setattr(i.platform_crl, "signer", Key.generate()),
        "InvalidCrlSignature",
    ),
    "PCK CRL with one bit changed": (
        lambda i, _: setattr(i.platform_crl, "edit", lambda der: flipped(der, -1)),
        "InvalidCrlSignature",
    ),
    "root CRL with one bit changed": (
        lambda i, _: setattr(i.root_crl, "edit", lambda der: flipped(der, -1)),
        "InvalidCrlSignature",
    ),
    "no CRL at all": (lambda i, p: i.bundle(p) | {"pck_crl": ""}, "Failed to parse PCK CRL"),
    "PCK CRL of the other authority": (
        lambda i, p: i.bundle(p) | {"pck_crl": i.processor_crl.der.hex()},
        "UnknownRevocationStatus",
    ),
    "CRL without an end": (lambda i, _: i.platform_crl.alter(next_update=None), "PCK CRL"),
    "PCK revoked": (lambda i, p: i.platform_crl.revoke(p.pck.spec.serial), "CertRevoked"),
    "intermediate revoked": (lambda i, p: i.root_crl.revoke(p.ca.spec.serial), "CertRevoked"),
    "TCB signing revoked": (
        lambda i, _: i.root_crl.revoke(i.tcb_signing.spec.serial),
        "CertRevoked",
    ),
    "PCK expired": (lambda i, p: p.pck.alter(not_after=i.now - SECOND), "CertExpired"),
    "PCK of tomorrow": (lambda i, p: p.pck.alter(not_before=i.now + SECOND), "CertNotValidYet"),
    "intermediate expired": (lambda i, p: p.ca.alter(not_after=i.now - SECOND), "CertExpired"),
    "TCB signing expired": (
        lambda i, _: i.tcb_signing.alter(not_after=i.now - SECOND),
        "CertExpired",
    ),
    "intermediate that is no CA": (
        lambda _, p: p.ca.put(pki.basic_constraints(ca=False)),
        "EndEntityUsedAsCa",
    ),
    "PCK by a stranger": (
        lambda _, p: setattr(p.pck, "signer", Key.generate()),
        "InvalidSignatureForPublicKey",
    ),
    "two signature algorithms": (
        lambda _, p: p.pck.alter(outer_algorithm=pki.ECDSA_SHA384),
        "SignatureAlgorithmMismatch",
    ),
    "no SGX extension": (lambda _, p: p.pck.drop(SGX_EXTENSION), "Intel extension not found"),
}


def svn(*first: int) -> bytes:
    return bytes(first).ljust(16, b"\0")


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def text(*entities: Entity) -> bytes:
    return pem(*(entity.der for entity in entities)).encode()


def certify(platform: Platform, components: tuple[int, ...]) -> None:
    filled = components + (0,) * (16 - len(components))
    platform.certify(replace(platform.sgx, components=filled))


def below_the_ca(intel: FakeIntel, platform: Platform) -> bytes:
    """The chain with one more authority below the PCK CA, whose path length is zero."""
    key = Key.generate()
    ca = platform.ca
    spec = replace(
        ca.spec, issuer=ca.spec.subject, subject=pki.name("Below"), spki=key.spki, serial=9
    )
    below = Entity(spec=spec, signer=ca.key, key=key)
    platform.pck.alter(issuer=below.spec.subject)
    platform.pck.signer = key
    return text(platform.pck, below, ca, intel.root)


def edited(bundle: Bundle, part: str, edit: Callable[[str], str]) -> Bundle:
    return bundle | {part: edit(bundle[part])}


def resigned(bundle: Bundle, intel: FakeIntel, content: str) -> Bundle:
    signed = intel.sign_tcb_info(content)
    return bundle | dict(zip(("tcb_info", "tcb_info_signature"), signed, strict=True))


@pytest.mark.parametrize(
    ("alteration", "reason"),
    [pytest.param(*case, id=name) for name, case in (QUOTES | COLLATERAL).items()],
)
def test_altered(
    judge: Judge, intel: FakeIntel, platform: Platform, alteration: Alteration, reason: str
) -> None:
    made = alteration(intel, platform)
    quote = made if isinstance(made, bytes) else platform.quote()
    bundle = made if isinstance(made, dict) else intel.bundle(platform)
    with pytest.raises(ValueError, match=reason):
        judge(intel, quote, bundle)


@pytest.mark.parametrize("start", range(54, 939, 13))
def test_every_part_of_the_longest_body_is_signed(
    judge: Judge, intel: FakeIntel, platform: Platform, start: int
) -> None:
    quote = flipped(platform.quote(version=5, body_type=4), start)
    with pytest.raises(ValueError, match="ISV enclave report signature"):
        judge(intel, quote, intel.bundle(platform))


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity"])
def test_borders_of_a_statement(
    judge: Judge, intel: FakeIntel, platform: Platform, part: str, now: datetime
) -> None:
    statement = intel.tcb_info if part == "tcb_info" else intel.qe_identity
    statement["issueDate"] = statement["nextUpdate"] = rfc3339(now)
    bundle = intel.bundle(platform)
    assert judge(intel, platform.quote(), bundle, now).status == "UpToDate"
    for at in (now - SECOND, now + SECOND):
        with pytest.raises(ValueError, match=r"future|expired"):
            judge(intel, platform.quote(), bundle, at)
