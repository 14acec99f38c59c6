# SPDX-License-Identifier: Apache-2.0
"""`verify`: what is accepted, and each check failing alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from attestca_client.checks import Name, Outcome, Verdict
from attestca_client.demands import parse_demands
from attestca_client.protocol import DEFAULT_OID_ARC, HandleKind
from attestca_client.verify import Rules, Sources, verify
from ca.issuance import extension, profile
from ca.issuance.authority import ServiceKind
from ca.issuance.request import Assurance
from tests.authority_lab import NOW, digest, make_device, make_lab, with_devices
from tests.relying_lab import (
    FakeChain,
    World,
    forged,
    make_world,
    node,
    outcomes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED, UNDECIDED = Outcome.FAILED, Outcome.UNDECIDED
WITHOUT = Rules(no_revocation=True)
INFO_OID = x509.ObjectIdentifier(extension.info_oid(DEFAULT_OID_ARC))


@pytest.fixture
def world() -> World:
    return make_world()


# accepted


def test_a_staple_alone(world: World) -> None:
    leaf = world.issue()
    for _ in range(20):
        world.issue()
    result = world.check(leaf, staple=world.staple(leaf))
    assert result.accepted
    assert not result.reasons
    assert result.info is not None
    assert result.info.policy == "production@3"
    assert [check.name for check in result.checks] == [
        *("certificate", "path", "time", "no-ca", "key-usage", "extended-key-usage"),
        *("policy-oid", "attestation-info", "handles", "assurance", "revocation"),
        *("staple", "staple.checkpoint", "staple.time", "staple.log", "staple.revoked"),
    ]


def test_all_sources_at_once_while_others_are_revoked(world: World) -> None:
    leaf = world.issue(**with_devices(make_device()))
    for number in range(50):
        world.revoke(digest(f"other {number}"))
    chain = FakeChain(world)
    with node(chain) as one, node(FakeChain(world)) as two:
        lists = [world.crl(leaf), world.lab.root_crl()]
        pem = b"".join(x509.load_der_x509_crl(one).public_bytes(Encoding.PEM) for one in lists)
        staple = world.staple(leaf)
        result = world.check(leaf, staple=staple, nodes=[one, two], crls=[pem], root_list=False)
    assert result.accepted, result.reasons
    names = [check.name for check in result.checks]
    assert {
        "registry",
        "registry.block",
        "registry.head",
        "registry.revoked",
        "one-history",
    } <= set(names)
    for name in (Name.CRL, Name.CRL_TIME, Name.CRL_REVOKED):
        assert names.count(name) == 2
    assert chain.asked == [
        *("eth_chainId", "eth_getBlockByNumber", "eth_getBlockByNumber", "eth_call"),
        *("eth_call", "eth_getBlockByNumber", "eth_getBlockByNumber"),
    ]


def test_der_and_the_chain_apart(world: World) -> None:
    leaf = world.issue()
    der = leaf.certificate.public_bytes(Encoding.DER)
    chain = (leaf.issuing, world.lab.root)
    pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
    assert verify(der, world.trust, Sources(), at=NOW, intermediates=pem, rules=WITHOUT).accepted
    alone = verify(der, world.trust, Sources(), at=NOW, rules=WITHOUT)
    assert outcomes(alone) == {Name.PATH: UNDECIDED}
    assert alone.info is None


def test_no_source_decides_nothing(world: World) -> None:
    leaf = world.issue()
    result = world.check(leaf)
    assert outcomes(result) == {Name.REVOCATION: UNDECIDED}
    assert result.verdict is Verdict.UNDECIDED
    assert world.check(leaf, rules=WITHOUT).accepted


# the certificate


@pytest.mark.parametrize("data", [b"", b"x", b"-----BEGIN CERTIFICATE-----", b"0" * 70_000])
def test_no_certificate(world: World, data: bytes) -> None:
    assert outcomes(world.check(data)) == {Name.CERTIFICATE: UNDECIDED}


def test_too_many_certificates(world: World) -> None:
    leaf = world.issue()
    result = world.check(leaf.pem * 3)
    assert outcomes(result) == {Name.CERTIFICATE: UNDECIDED}
    assert result.reasons[0].seen == "more than 4 certificates"
    assert world.check(leaf.pem * 2, rules=WITHOUT).accepted
    large = world.check(leaf.pem + b" " * 65_536)
    assert large.reasons[0].seen == "larger than 65536 bytes"


def test_another_root(world: World) -> None:
    leaf = world.issue()
    other = replace(world.trust, root=make_world().lab.root)
    assert outcomes(world.check(leaf, trust=other, rules=WITHOUT)) == {Name.PATH: FAILED}


def test_an_issuing_ca_that_only_has_the_name(world: World) -> None:
    leaf = world.issue()
    foreign = forged(replace(leaf, certificate=leaf.issuing), make_lab().root_key, list)
    namesake = replace(leaf, issuing=x509.load_pem_x509_certificates(foreign)[0])
    assert outcomes(world.check(namesake, rules=WITHOUT)) == {Name.PATH: FAILED}


def test_the_root_is_no_issuing_ca(world: World) -> None:
    """What the root signs itself has no path here, whatever it says."""
    leaf = world.issue()
    alone = replace(leaf, issuing=world.lab.root)
    assert outcomes(world.check(alone, rules=WITHOUT)) == {Name.PATH: UNDECIDED}


def test_out_of_its_dates(world: World) -> None:
    leaf, second = world.issue(), timedelta(seconds=1)
    start, end = leaf.certificate.not_valid_before_utc, leaf.certificate.not_valid_after_utc
    for at in (start - second, end + second):
        assert outcomes(world.check(leaf, rules=WITHOUT, at=at)) == {Name.TIME: FAILED}
    for at in (start, end):
        assert world.check(leaf, rules=WITHOUT, at=at).accepted


def _replaced(new: x509.ExtensionType, *, critical: bool) -> Callable[[list[Any]], list[Any]]:
    def change(extensions: list[Any]) -> list[Any]:
        kept = [one for one in extensions if one.oid != new.oid]
        return [*kept, x509.Extension(new.oid, critical, new)]

    return change


PROFILES: dict[str, tuple[Name, Callable[[list[Any]], list[Any]]]] = {
    "a CA": (
        Name.NO_CA,
        _replaced(x509.BasicConstraints(ca=True, path_length=None), critical=True),
    ),
    "signs lists": (
        Name.KEY_USAGE,
        _replaced(profile.key_usage(digital_signature=True, crl_sign=True), critical=True),
    ),
    "server alone": (
        Name.EXTENDED_KEY_USAGE,
        _replaced(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False),
    ),
    "signs code too": (
        Name.EXTENDED_KEY_USAGE,
        _replaced(
            x509.ExtendedKeyUsage(
                [
                    ExtendedKeyUsageOID.CLIENT_AUTH,
                    ExtendedKeyUsageOID.SERVER_AUTH,
                    ExtendedKeyUsageOID.CODE_SIGNING,
                ]
            ),
            critical=False,
        ),
    ),
    "a foreign policy": (
        Name.POLICY_OID,
        _replaced(profile.certificate_policies("1.2.3.4"), critical=False),
    ),
    "two levels": (
        Name.POLICY_OID,
        _replaced(
            profile.certificate_policies(f"{DEFAULT_OID_ARC}.2.1", f"{DEFAULT_OID_ARC}.2.2"),
            critical=False,
        ),
    ),
    "a level that its issuing CA may not state": (
        Name.POLICY_OID,
        _replaced(profile.certificate_policies(f"{DEFAULT_OID_ARC}.2.9"), critical=False),
    ),
    "an AttestationInfo that is none": (
        Name.ATTESTATION_INFO,
        _replaced(x509.UnrecognizedExtension(INFO_OID, b"\x30\x00"), critical=False),
    ),
    "no AttestationInfo": (
        Name.ATTESTATION_INFO,
        lambda extensions: [one for one in extensions if one.oid != INFO_OID],
    ),
    "an unknown critical extension": (
        Name.PATH,
        _replaced(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b""), critical=True),
    ),
}


@pytest.mark.parametrize("what", PROFILES)
def test_another_profile(world: World, what: str) -> None:
    name, change = PROFILES[what]
    data = forged(world.issue(), world.lab.issuer_key, change)
    assert outcomes(world.check(data, rules=WITHOUT)) == {name: FAILED}


MISSING = {
    "basicConstraints": (ExtensionOID.BASIC_CONSTRAINTS, Name.NO_CA),
    "keyUsage": (ExtensionOID.KEY_USAGE, Name.KEY_USAGE),
    "extendedKeyUsage": (ExtensionOID.EXTENDED_KEY_USAGE, Name.EXTENDED_KEY_USAGE),
    "certificatePolicies": (ExtensionOID.CERTIFICATE_POLICIES, Name.POLICY_OID),
}


@pytest.mark.parametrize("what", MISSING)
def test_a_part_of_the_profile_is_missing(world: World, what: str) -> None:
    gone, name = MISSING[what]
    data = forged(
        world.issue(),
        world.lab.issuer_key,
        lambda extensions: [one for one in extensions if one.oid != gone],
    )
    assert outcomes(world.check(data, rules=WITHOUT)) == {name: FAILED}


def test_the_authority_s_own_certificates_are_no_machines(world: World) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    tls = world.lab.service(ServiceKind.TLS, key.public_key(), ("ca.example.org",))
    leaf = replace(world.issue(), certificate=tls)
    found = outcomes(world.check(leaf, rules=WITHOUT))
    assert found == dict.fromkeys(
        (Name.EXTENDED_KEY_USAGE, Name.POLICY_OID, Name.ATTESTATION_INFO), FAILED
    )


@pytest.mark.parametrize(
    "dropped",
    [
        *(HandleKind.CERTIFICATE, HandleKind.KEY, HandleKind.POLICY, HandleKind.ISSUER),
        *(HandleKind.MEASUREMENT, HandleKind.PRODUCT),
    ],
)
def test_a_handle_that_is_not_listed(world: World, dropped: HandleKind) -> None:
    leaf = world.issue()
    found = leaf.certificate.extensions.get_extension_for_oid(INFO_OID).value
    info = extension.decode(found.public_bytes())
    kept = tuple(one for one in info.handles if one[0] != dropped)
    der = extension.encode(replace(info, handles=kept))
    new = x509.UnrecognizedExtension(INFO_OID, der)
    data = forged(leaf, world.lab.issuer_key, _replaced(new, critical=False))
    result = world.check(data, rules=WITHOUT)
    assert outcomes(result) == {Name.HANDLES: FAILED}
    assert dropped in result.reasons[0].seen


def test_assurance_and_policy_identifier_contradict(world: World) -> None:
    leaf = world.issue()
    found = leaf.certificate.extensions.get_extension_for_oid(INFO_OID).value
    info = replace(extension.decode(found.public_bytes()), assurance=Assurance.SIMULATED)
    new = x509.UnrecognizedExtension(INFO_OID, extension.encode(info))
    data = forged(leaf, world.lab.issuer_key, _replaced(new, critical=False))
    rules = replace(WITHOUT, allow_simulated=True)
    assert outcomes(world.check(data, rules=rules)) == {Name.ATTESTATION_INFO: FAILED}


def test_another_arc(world: World) -> None:
    trust = replace(world.trust, oid_arc="1.2.3")
    assert outcomes(world.check(world.issue(), trust=trust, rules=WITHOUT)) == {
        Name.POLICY_OID: FAILED,
        Name.ATTESTATION_INFO: FAILED,
    }


def test_a_simulated_machine() -> None:
    world = make_world(Assurance.SIMULATED)
    leaf = world.issue(all_pinned=False)
    staple = world.staple(leaf)
    assert outcomes(world.check(leaf, staple=staple)) == {Name.ASSURANCE: FAILED}
    assert world.check(leaf, staple=staple, rules=Rules(allow_simulated=True)).accepted


# demands


HEX = (digest("mr_td") + bytes(16)).hex()


@pytest.mark.parametrize(
    "texts",
    [
        ["tee=tdx,tcb=UpToDate,policy=production"],
        ["policy=production@3", f"measurement=mr_td:{HEX}"],
        [f"policy=sha256:{digest('policy').hex()}"],
        [
            f"measurement=mr_td:{HEX.upper()},measurement=rtmr0:{(digest('rtmr0') + bytes(16)).hex()}"
        ],
    ],
)
def test_demands_that_hold(world: World, texts: list[str]) -> None:
    rules = replace(WITHOUT, demands=parse_demands(texts))
    result = world.check(world.issue(), rules=rules)
    assert result.accepted, result.reasons
    wanted = ",".join(texts).count("=")
    assert sum(check.name.startswith("require.") for check in result.checks) == wanted


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tee=snp", Name.REQUIRE_TEE),
        ("tee=TDX", Name.REQUIRE_TEE),
        ("tcb=UpToDat", Name.REQUIRE_TCB),
        ("policy=productio", Name.REQUIRE_POLICY),
        ("policy=production@4", Name.REQUIRE_POLICY),
        (f"policy=sha256:{digest('x').hex()}", Name.REQUIRE_POLICY),
        (f"measurement=mr_td:{HEX[:-2]}", Name.REQUIRE_MEASUREMENT),
        (f"measurement=rtmr3:{HEX}", Name.REQUIRE_MEASUREMENT),
        (f"measurement=rtmr0:{HEX}", Name.REQUIRE_MEASUREMENT),
    ],
)
def test_a_demand_that_does_not_hold(world: World, text: str, name: Name) -> None:
    rules = replace(
        WITHOUT,
        demands=parse_demands([text, "policy=production"][: 1 + (name != Name.REQUIRE_POLICY)]),
    )
    assert outcomes(world.check(world.issue(), rules=rules)) == {name: FAILED}


def test_what_is_seen_of_a_measurement(world: World) -> None:
    demands = parse_demands([f"measurement=mr_td:00,measurement=rtmr3:{HEX},tcb=a@b"])
    result = world.check(world.issue(), rules=replace(WITHOUT, demands=demands))
    assert [check.seen for check in result.reasons] == [
        f"mr_td:{HEX}, not mr_td:00",
        f"rtmr3 is not pinned, not rtmr3:{HEX}",
        "UpToDate, not a@b",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("", "tee", "tee=", "=tdx", "tee=tdx,", "tee=tdx,tee=tdx", "colour=red", "TEE=tdx"),
        *("measurement=mr_td", "measurement=mr_td:", "measurement=mr_td:abc", "measurement=:aa"),
        *("measurement=mr_td:zz", "policy=sha256:aa", "policy=x@", "policy=x@0", "policy=x@1@2"),
        *("tcb=a,tcb=b", "policy=a,policy=b", " tee=tdx"),
    ],
)
def test_a_demand_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"demanded|is name|measurement is"):
        parse_demands([text])
