# SPDX-License-Identifier: Apache-2.0
"""Each lint of a leaf and of a request fails for the fault that it is named for."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import ExtensionOID, NameOID

from ca.errors import LintFailed
from ca.issuance import ear, extension, lint, listed, profile
from ca.issuance.prepare import PreparedCertificate, prepare
from ca.issuance.request import Assurance, BindingLevel, Group, Register
from ca.issuance.tbs import view
from tests.authority_lab import (
    ARC,
    NOW,
    Lab,
    digest,
    entropy,
    make_device,
    make_lab,
    make_platform,
    make_request,
    make_switch,
    with_devices,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LAB = make_lab()
GOOD = prepare(make_request(), LAB.issuer, now=NOW + timedelta(days=1), entropy=entropy())
WITH_DEVICES = prepare(
    make_request(**with_devices(make_device(0), make_device(1))),
    LAB.issuer,
    now=NOW + timedelta(days=1),
    entropy=entropy(),
)
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other")])
INFO = f"{ARC}.1.1"
CMW = "1.3.6.1.5.5.7.1.35"


class Forge:
    """A leaf like the good one, with single parts exchanged."""

    def __init__(self, good: PreparedCertificate) -> None:
        leaf = x509.load_der_x509_certificate(LAB.sign(good).der)
        self.subject, self.issuer = leaf.subject, leaf.issuer
        self.serial = leaf.serial_number
        self.dates = (leaf.not_valid_before_utc, leaf.not_valid_after_utc)
        self.key = leaf.public_key()
        self.hash: hashes.SHA256 | hashes.SHA384 = hashes.SHA256()
        self.extensions = {
            each.oid.dotted_string: (each.value, each.critical) for each in leaf.extensions
        }

    def put(self, oid: str, value: x509.ExtensionType | bytes, *, critical: bool = False) -> None:
        if isinstance(value, bytes):
            value = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        self.extensions[oid] = (value, critical)

    def build(self) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            self.issuer, self.subject, self.key, self.serial, *self.dates, []
        )
        for value, critical in self.extensions.values():
            builder = builder.add_extension(value, critical=critical)
        return builder.sign(KEY, self.hash)


def failed(certificate: x509.Certificate, prepared: PreparedCertificate) -> set[str]:
    try:
        lint.check_leaf(certificate, replace(prepared, tbs=certificate.tbs_certificate_bytes))
    except LintFailed as error:
        return set(error.detail.removeprefix("lints failed: ").split(", "))
    return set()


def info_of(**changes: Any) -> bytes:  # noqa: ANN401 - goes to replace()
    return extension.encode(replace(extension.info(GOOD.request, GOOD.handles), **changes))


FAULTS: list[tuple[str, Callable[[Forge], object], set[str]]] = [
    ("serial", lambda f: vars(f).update(serial=5), {"serial", "subject", "handles"}),
    ("algorithm", lambda f: vars(f).update(hash=hashes.SHA384()), {"algorithm"}),
    ("issuer", lambda f: vars(f).update(issuer=OTHER_NAME), {"issuer"}),
    ("subject", lambda f: vars(f).update(subject=OTHER_NAME), {"subject"}),
    ("empty subject", lambda f: vars(f).update(subject=x509.Name([])), {"subject"}),
    (
        "dates",
        lambda f: vars(f).update(dates=(f.dates[0], f.dates[1] - timedelta(seconds=1))),
        {"dates"},
    ),
    (
        "a week and a second",
        lambda f: vars(f).update(dates=(f.dates[0], f.dates[0] + timedelta(days=7, seconds=1))),
        {"dates", "lifetime", "crl-url"},
    ),
    (
        "no time",
        lambda f: vars(f).update(dates=(f.dates[0], f.dates[0])),
        {"dates", "lifetime", "crl-url"},
    ),
    (
        "before the issuer",
        lambda f: vars(f).update(dates=(NOW - timedelta(seconds=1), f.dates[1])),
        {"dates", "within-issuer"},
    ),
    (
        "after the issuer",
        lambda f: vars(f).update(dates=(NOW + timedelta(days=89), NOW + timedelta(days=91))),
        {"dates", "within-issuer", "within-evidence", "crl-url"},
    ),
    (
        "after the collateral",
        lambda f: vars(f).update(dates=(NOW + timedelta(days=19), NOW + timedelta(days=21))),
        {"dates", "within-evidence", "crl-url"},
    ),
    ("key", lambda f: vars(f).update(key=KEY.public_key()), {"key"}),
    ("issuer's key", lambda f: vars(f).update(key=LAB.issuer.public_key), {"key", "issuer-key"}),
    ("an extension too many", lambda f: f.put("1.2.3.4", b"\x05\x00"), {"extensions"}),
    ("criticality", lambda f: f.put(CMW, f.extensions[CMW][0], critical=True), {"extensions"}),
    (
        "a CA",
        lambda f: f.put(
            ExtensionOID.BASIC_CONSTRAINTS.dotted_string,
            x509.BasicConstraints(ca=True, path_length=None),
            critical=True,
        ),
        {"basic-constraints"},
    ),
    (
        "certificate signing",
        lambda f: f.put(
            ExtensionOID.KEY_USAGE.dotted_string,
            profile.key_usage(digital_signature=True, key_cert_sign=True),
            critical=True,
        ),
        {"key-usage"},
    ),
    (
        "any usage",
        lambda f: f.put(
            ExtensionOID.EXTENDED_KEY_USAGE.dotted_string,
            x509.ExtendedKeyUsage(
                [Usage.CLIENT_AUTH, Usage.SERVER_AUTH, Usage.ANY_EXTENDED_KEY_USAGE]
            ),
        ),
        {"extended-key-usage"},
    ),
    (
        "a name not granted",
        lambda f: f.put(
            ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string,
            x509.SubjectAlternativeName([x509.DNSName("evil.example.org")]),
        ),
        {"names-granted"},
    ),
    (
        "a wildcard",
        lambda f: f.put(
            ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string,
            x509.SubjectAlternativeName([x509.DNSName("*.example.org")]),
        ),
        {"names-granted", "names-valid"},
    ),
    (
        "an address",
        lambda f: f.put(
            ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string,
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("10.0.0.1"))]),
        ),
        {"names-granted", "names-valid"},
    ),
    (
        "our own name",
        lambda f: f.put(
            ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string,
            x509.SubjectAlternativeName([x509.DNSName("ca.example.org")]),
        ),
        {"names-granted", "names-valid"},
    ),
    (
        "another authority key",
        lambda f: f.put(
            ExtensionOID.AUTHORITY_KEY_IDENTIFIER.dotted_string,
            x509.AuthorityKeyIdentifier(bytes(20), None, None),
        ),
        {"authority-key-id"},
    ),
    (
        "another subject key",
        lambda f: f.put(
            ExtensionOID.SUBJECT_KEY_IDENTIFIER.dotted_string, x509.SubjectKeyIdentifier(bytes(20))
        ),
        {"subject-key-id"},
    ),
    (
        "another responder",
        lambda f: f.put(
            ExtensionOID.AUTHORITY_INFORMATION_ACCESS.dotted_string,
            profile.authority_info_access(
                "https://elsewhere.example/v1/ocsp", LAB.issuer.certificate_url
            ),
        ),
        {"authority-info-access"},
    ),
    (
        "the list of another day",
        lambda f: f.put(
            ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string,
            profile.crl_distribution(LAB.issuer.crl_url(GOOD.not_after + timedelta(days=1))),
        ),
        {"crl-url"},
    ),
    (
        "another list",
        lambda f: f.put(
            ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string,
            profile.crl_distribution("https://elsewhere.example/x.crl"),
        ),
        {"crl-url"},
    ),
    (
        "a lower level",
        lambda f: f.put(
            ExtensionOID.CERTIFICATE_POLICIES.dotted_string,
            profile.certificate_policies(f"{ARC}.2.1"),
        ),
        {"policy"},
    ),
    (
        "two levels",
        lambda f: f.put(
            ExtensionOID.CERTIFICATE_POLICIES.dotted_string,
            profile.certificate_policies(f"{ARC}.2.1", f"{ARC}.2.2"),
        ),
        {"policy"},
    ),
    (
        "says simulated",
        lambda f: f.put(
            ExtensionOID.CERTIFICATE_POLICIES.dotted_string,
            profile.certificate_policies(f"{ARC}.2.9"),
        ),
        {"policy", "simulated"},
    ),
    (
        "informs simulated",
        lambda f: f.put(INFO, info_of(assurance=Assurance.SIMULATED)),
        {"attestation-info", "simulated"},
    ),
    (
        "other evidence",
        lambda f: f.put(INFO, info_of(evidence_sha256=bytes(32))),
        {"attestation-info", "evidence-digest"},
    ),
    (
        "a register not pinned",
        lambda f: f.put(INFO, info_of(registers=(("rtmr3", bytes(48)),))),
        {"attestation-info"},
    ),
    (
        "no handles",
        lambda f: f.put(INFO, info_of(handles=(("key", bytes(32)),))),
        {"attestation-info", "handles"},
    ),
    (
        "info not readable",
        lambda f: f.put(INFO, b"\x30\x00"),
        {"attestation-info", "evidence-digest", "handles", "listed-devices", "simulated"},
    ),
    (
        "other results",
        lambda f: f.put(CMW, extension.encode_cmw(ear.claims(GOOD.request, "other"))),
        {"results"},
    ),
    ("results not readable", lambda f: f.put(CMW, b"\x05\x00"), {"results"}),
    (
        "too big",
        lambda f: f.put(CMW, extension.encode_cmw({"x": "y" * 16000})),
        {"results", "size"},
    ),
]


def test_the_good_one_passes() -> None:
    assert failed(Forge(GOOD).build(), GOOD) == set()
    assert failed(Forge(WITH_DEVICES).build(), WITH_DEVICES) == set()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(change, names) for _, change, names in FAULTS],
    ids=[name for name, _, _ in FAULTS],
)
def test_faults(fault: Callable[[Forge], object], expected: set[str]) -> None:
    forge = Forge(GOOD)
    fault(forge)
    assert failed(forge.build(), GOOD) == expected


OTHER_DEVICE = listed.of(make_device(2))
LISTED = extension.info(WITH_DEVICES.request, WITH_DEVICES.handles)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"devices": (), "binding": BindingLevel.NONE}, {"attestation-info", "listed-devices"}),
        ({"devices": LISTED.devices[:1]}, {"attestation-info", "listed-devices"}),
        ({"devices": LISTED.devices[::-1]}, {"attestation-info", "listed-devices"}),
        ({"binding": BindingLevel.NONCE}, {"attestation-info", "listed-devices"}),
        (
            {
                "devices": (*LISTED.devices, OTHER_DEVICE),
                "handles": (*LISTED.handles, ("chip", OTHER_DEVICE.handle)),
            },
            {"attestation-info", "listed-devices"},
        ),
        (
            {
                "devices": tuple(replace(one, handle=None) for one in LISTED.devices),
                "handles": tuple(pair for pair in LISTED.handles if pair[0] != "chip"),
            },
            {"attestation-info", "handles"},
        ),
        (
            {"devices": (replace(LISTED.devices[0], driver="999.99"), *LISTED.devices[1:])},
            {"attestation-info"},
        ),
    ],
)
def test_faults_of_devices(changes: dict[str, Any], expected: set[str]) -> None:
    forge = Forge(WITH_DEVICES)
    forge.put(INFO, extension.encode(replace(LISTED, **changes)))
    assert failed(forge.build(), WITH_DEVICES) == expected


@pytest.mark.parametrize(
    ("oid", "expected"),
    [
        (ExtensionOID.BASIC_CONSTRAINTS.dotted_string, {"basic-constraints"}),
        (ExtensionOID.KEY_USAGE.dotted_string, {"key-usage"}),
        (ExtensionOID.EXTENDED_KEY_USAGE.dotted_string, {"extended-key-usage"}),
        (ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string, {"names-granted"}),
        (ExtensionOID.AUTHORITY_KEY_IDENTIFIER.dotted_string, {"authority-key-id"}),
        (ExtensionOID.SUBJECT_KEY_IDENTIFIER.dotted_string, {"subject-key-id"}),
        (ExtensionOID.CERTIFICATE_POLICIES.dotted_string, {"policy", "simulated"}),
        (ExtensionOID.AUTHORITY_INFORMATION_ACCESS.dotted_string, {"authority-info-access"}),
        (ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string, {"crl-url"}),
        (INFO, {"attestation-info", "evidence-digest", "handles", "listed-devices", "simulated"}),
        (CMW, {"results"}),
    ],
)
def test_an_extension_missing(oid: str, expected: set[str]) -> None:
    forge = Forge(GOOD)
    del forge.extensions[oid]
    assert failed(forge.build(), GOOD) == expected | {"extensions"}


def test_other_bytes_than_prepared() -> None:
    other = prepare(make_request(), LAB.issuer, now=NOW, entropy=entropy())
    with pytest.raises(LintFailed) as error:
        lint.check_leaf(Forge(GOOD).build(), other)
    assert "tbs" in error.value.detail


def test_every_lint_of_a_leaf_is_shown_to_fail() -> None:
    shown = {name for _, _, names in FAULTS for name in names} | {"tbs", "version"}
    assert shown == set(lint.LEAF_LINTS)


def test_version_1() -> None:
    tbs = x509.load_der_x509_certificate(LAB.sign(GOOD).der).tbs_certificate_bytes
    body = tbs[4:].removeprefix(bytes.fromhex("a003020102"))  # the default is version 1
    first = view(b"\x30\x82" + len(body).to_bytes(2, "big") + body, LAB.issuer.public_key)
    assert first.version is x509.Version.v1
    assert failed(first, GOOD) == {"version"}


# the request


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("names", {"names": ("dns:*.example.org",)}),
    ("names", {"names": ("dns:Example.org",)}),
    ("names", {"names": tuple(f"dns:a{number}.example" for number in range(17))}),
    ("names", {"names": ("uri:spiffe://a/b", "uri:spiffe://a/c")}),
    ("reserved-names", {"names": ("dns:ca.example.org",)}),
    ("assurance", {"assurance": Assurance.SIMULATED}),
    ("chip-ids", {"platform": make_platform(chip_ids=(b"raw ppid",))}),
    ("digests", {"groups": (Group("g", b"short"),)}),
    ("chip-ids", with_devices(make_device(chip_id=b"raw serial"))),
    ("chip-ids", with_devices(make_device(chip_id=b""))),
    ("devices", with_devices(make_device(kind="nic"))),
    ("devices", with_devices(make_device(driver=None))),
    ("devices", with_devices(make_device(mode="off"))),
    ("devices", with_devices(make_switch(mode="ppcie"))),
    ("devices", with_devices(make_device(appraised_by="nobody"))),
    ("devices", with_devices(make_device(0), make_device(1, evidence_sha256=digest("report 0")))),
    ("devices", with_devices(make_device(0), make_device(1, chip_id=digest("board 0")))),
    ("devices", with_devices(make_device(0), make_device(1, chip_id=None))),
    ("binding-level", {"binding": BindingLevel.NONCE_CPU_DIGEST}),
    ("binding-level", {"binding": BindingLevel.NONCE}),
    ("binding-level", {"devices": (make_device(),)}),
    ("binding-level", {"devices": (make_device(),), "binding": BindingLevel.NONCE}),
    ("fields", {"registers": (Register("mr_td", b""),)}),
    ("fields", {"registers": tuple(Register(f"r{number}", b"v") for number in range(65))}),
    ("fields", {"platform": make_platform(product="")}),
    ("fields", with_devices(make_device(model="m" * 65))),
    ("fields", with_devices(*map(make_device, range(17)))),
    ("digests, fields", with_devices(make_device(evidence_sha256=b"short"))),
    ("devices, fields", with_devices(make_device(driver=""))),
]


@pytest.mark.parametrize(("name", "changes"), REQUESTS)
def test_requests(name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(LintFailed, match=f"^lints failed: {name}$"):
        prepare(make_request(**changes), LAB.issuer, now=NOW, entropy=entropy())


def test_every_lint_of_a_request_is_shown_to_fail() -> None:
    shown = {name for names, _ in REQUESTS for name in names.split(", ")}
    assert shown == {*lint.REQUEST_LINTS, "fields"}


def test_all_faults_are_named_at_once() -> None:
    request = make_request(names=("dns:*",), assurance=Assurance.SIMULATED)
    with pytest.raises(LintFailed, match="lints failed: names, assurance"):
        prepare(request, LAB.issuer, now=NOW, entropy=entropy())


def test_a_simulated_leaf_says_so_three_times(simulated: Lab) -> None:
    issued = simulated.issue(make_request(simulated))
    certificate = x509.load_der_x509_certificate(issued.der)
    assert lint.policies(certificate) == {f"{ARC}.2.9"}
    assert b"simulated" in issued.der
    assert "SIMULATED" in certificate.issuer.rfc4514_string()
    with pytest.raises(LintFailed, match="assurance"):
        simulated.issue(make_request())
