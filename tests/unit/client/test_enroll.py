# SPDX-License-Identifier: Apache-2.0
"""One enrollment after another against a real HTTPS server that plays the authority."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from attestca_client import errors, protocol
from attestca_client.enroll import (
    REPEAT_DELAYS,
    DeviceSource,
    Enrollment,
    QuoteSource,
    enroll,
    enrolled,
)
from attestca_client.files import NAMES, KeyDirectory
from attestca_client.runtime import Runtime, utc_now
from attestca_client.tsm import TsmQuoteSource
from attestca_client.wire import Evidence
from tests.unit.client.fake_authority import (
    QUOTE_PREFIX,
    FakeAuthority,
    Pki,
    Reply,
    Seen,
    csr_key,
    fake_devices,
    fake_quote,
    pem,
    problem,
    serve,
    spki_of,
)
from tests.unit.client.fake_configfs import FakeConfigfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PKI = Pki()


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeAuthority]:
    with serve(FakeAuthority(PKI)) as authority:
        yield authority


@pytest.fixture
def authority(shared: FakeAuthority) -> FakeAuthority:
    shared.scripts.clear()
    shared.seen.clear()
    shared.lifetime, shared.start = timedelta(hours=24), None
    return shared


class Guest:
    """One machine: where it writes, what it waited, what it said."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.waits: list[float] = []
        self.lines: list[str] = []
        self.runtime = Runtime(sleep=self.waits.append, say=self.lines.append)

    def enroll(
        self,
        authority: FakeAuthority,
        *,
        profile: str = "default",
        source: QuoteSource = fake_quote,
        devices: DeviceSource | None = None,
        root: bytes | None = None,
    ) -> Enrollment:
        return enroll(
            authority.url,
            root or authority.root_pem,
            profile,
            source,
            self.out,
            self.runtime,
            device_source=devices,
        )


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path / "out")


def test_issued(authority: FakeAuthority, guest: Guest) -> None:
    result = guest.enroll(authority)
    certificate = load_pem_x509_certificate((guest.out / "cert.pem").read_bytes())
    assert certificate == result.certificate == authority.issued[-1]
    key = load_pem_private_key((guest.out / "key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == certificate.public_key()
    assert (guest.out / "chain.pem").read_text() == pem(PKI.issuer) + pem(PKI.root)
    assert result.serial == f"{certificate.serial_number:x}"
    assert (result.policy, result.assurance) == ("demo@3", "simulated")
    assert [(seen.method, seen.path) for seen in authority.seen] == [
        ("GET", "/v1/nonce"),
        ("POST", "/v1/enrollments"),
    ]


def test_the_csr_names_nothing(authority: FakeAuthority, guest: Guest) -> None:
    guest.enroll(authority, profile="gpu")
    (request,) = authority.posts()
    assert request.json()["profile"] == "gpu"
    assert set(request.json()) == {"nonce", "profile", "csr", "evidence"}
    assert csr_key(request) == authority.issued[-1].public_key()


def test_through_the_kernels_interface(
    authority: FakeAuthority, guest: Guest, tmp_path: Path
) -> None:
    reports = tmp_path / "report"
    reports.mkdir()
    source = TsmQuoteSource(guest.runtime, reports, FakeConfigfs(reports, prefix=QUOTE_PREFIX))
    assert guest.enroll(authority, source=source).certificate == authority.issued[-1]


def test_pieces_go_as_the_source_gives_them(authority: FakeAuthority, guest: Guest) -> None:
    kinds = ("hcl-report", "tpm-attest", "tpm-signature", "tpm-pcrs", "snp-certificates")

    def several(report_data: bytes) -> list[Evidence]:
        return [Evidence(kind, kind.encode() + report_data) for kind in kinds]

    authority.script("POST", problem(403, "denied"))
    with pytest.raises(errors.Refused):
        guest.enroll(authority, source=several)
    pieces = authority.posts()[0].json()["evidence"]
    assert [piece["kind"] for piece in pieces] == list(kinds)
    assert {tuple(piece) for piece in pieces} == {("kind", "data")}
    sent = [base64.b64decode(piece["data"], validate=True) for piece in pieces]
    (report_data,) = {data[len(kind) :] for kind, data in zip(kinds, sent, strict=True)}
    assert len(report_data) == 64


@pytest.mark.parametrize("count", [0, 1, 16])
def test_devices(authority: FakeAuthority, guest: Guest, count: int) -> None:
    result = guest.enroll(authority, devices=fake_devices(count))
    assert result.certificate == authority.issued[-1]
    pieces = authority.posts()[0].json()["evidence"]
    assert [piece["kind"] for piece in pieces] == ["tdx-quote", *["nvidia-device"] * count]


def test_devices_are_asked_before_the_cpu_whose_quote_covers_them(
    authority: FakeAuthority, guest: Guest
) -> None:
    asked: list[tuple[str, bytes]] = []

    def devices(nonce: bytes) -> list[Evidence]:
        asked.append(("devices", nonce))
        return fake_devices(2)(nonce)

    def quote(report_data: bytes) -> list[Evidence]:
        asked.append(("cpu", report_data))
        return fake_quote(report_data)

    guest.enroll(authority, source=quote, devices=devices)
    assert [(who, len(value)) for who, value in asked] == [("devices", 32), ("cpu", 64)]


def test_without_devices_the_binding_is_as_before(authority: FakeAuthority, guest: Guest) -> None:
    bindings: list[bytes] = []

    def quote(report_data: bytes) -> list[Evidence]:
        bindings.append(report_data)
        return fake_quote(report_data)

    guest.enroll(authority, source=quote, devices=fake_devices(0))
    (request,) = authority.posts()
    expected = protocol.binding(
        ca_id=authority.ca_id,
        profile="default",
        nonce=base64.b64decode(request.json()["nonce"]),
        spki_der=spki_of(csr_key(request)),
    )
    assert bindings == [expected]


def test_devices_for_another_enrollment_are_refused_by_the_authority(
    authority: FakeAuthority, guest: Guest
) -> None:
    recorded: list[Evidence] = []

    def recording(nonce: bytes) -> list[Evidence]:
        recorded.extend(fake_devices(2)(nonce))
        return recorded

    guest.enroll(authority, devices=recording)
    with pytest.raises(errors.Refused, match="answers another nonce"):
        guest.enroll(authority, devices=lambda _nonce: recorded)  # a new key, a new nonce


def test_no_devices_no_quote_no_request(authority: FakeAuthority, guest: Guest) -> None:
    def broken(_nonce: bytes) -> list[Evidence]:
        raise errors.DevicesUnavailable("the driver hangs")

    def never(_report_data: bytes) -> list[Evidence]:
        raise AssertionError

    with pytest.raises(errors.DevicesUnavailable):
        guest.enroll(authority, source=never, devices=broken)
    assert authority.posts() == []
    assert list(guest.out.iterdir()) == []


def test_a_lost_answer_is_asked_for_with_the_same_devices(
    authority: FakeAuthority, guest: Guest
) -> None:
    calls: list[bytes] = []

    def devices(nonce: bytes) -> list[Evidence]:
        calls.append(nonce)
        return fake_devices(2)(nonce)

    authority.script("POST", lambda _request: None)
    guest.enroll(authority, devices=devices)
    first, second = authority.posts()
    assert first.body == second.body
    assert len(calls) == 1


def test_denied(authority: FakeAuthority, guest: Guest) -> None:
    finding = {"rule": "tcb.status", "path": "tcb_status", "result": "fail", "hint": "update it"}
    authority.script("POST", problem(403, "denied", "one rule failed", findings=[finding]))
    with pytest.raises(errors.Refused) as caught:
        guest.enroll(authority)
    assert caught.value.code == "denied"
    assert caught.value.findings == (
        errors.Finding("tcb.status", "tcb_status", "fail", "update it"),
    )
    assert list(guest.out.iterdir()) == []  # no key without a certificate


def test_wrong_evidence_is_refused_by_the_authority(authority: FakeAuthority, guest: Guest) -> None:
    def other(_report_data: bytes) -> list[Evidence]:
        return fake_quote(b"\0" * 64)

    with pytest.raises(errors.Refused) as caught:
        guest.enroll(authority, source=other)
    assert (caught.value.status, caught.value.code) == (422, "binding-mismatch")


def test_nonce_used(authority: FakeAuthority, guest: Guest) -> None:
    authority.script("POST", problem(409, "nonce-used", "answered before"))
    with pytest.raises(errors.Refused) as caught:
        guest.enroll(authority)
    assert caught.value.code == "nonce-used"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unavailable(authority: FakeAuthority, guest: Guest, method: str) -> None:
    reply = problem(503, "unavailable", "collateral cannot be had")
    reply.headers["Retry-After"] = "17"
    authority.script(method, reply)
    with pytest.raises(errors.Unavailable, match="collateral") as caught:
        guest.enroll(authority)
    assert caught.value.retry_after == 17.0
    assert guest.waits == []  # the authority spoke: whoever called decides when to ask again


def test_a_lost_answer_is_asked_for_again_byte_for_byte(
    authority: FakeAuthority, guest: Guest
) -> None:
    def lose(request: Seen) -> Reply | None:
        authority.enrollment(request)  # issued, but the answer never arrives
        return None

    authority.script("POST", lose)
    result = guest.enroll(authority)
    first, second = authority.posts()
    assert first.body == second.body
    assert result.certificate == authority.issued[-1]
    assert guest.waits == [REPEAT_DELAYS[0]]


def test_an_answer_cut_off_is_asked_for_again(authority: FakeAuthority, guest: Guest) -> None:
    def cut(request: Seen) -> Reply:
        whole = authority.enrollment(request).body
        return Reply(201, whole[:100], length=len(whole))

    authority.script("POST", cut)
    assert guest.enroll(authority).certificate == authority.issued[-1]


def test_lost_answers_are_asked_for_a_bounded_number_of_times(
    authority: FakeAuthority, guest: Guest
) -> None:
    authority.script("POST", *[lambda _request: None] * 10)
    with pytest.raises(errors.Unavailable):
        guest.enroll(authority)
    assert len(authority.posts()) == 1 + len(REPEAT_DELAYS)
    assert guest.waits == list(REPEAT_DELAYS)


BAD_BODIES = [
    Reply(200, b""),
    Reply(200, b'{"nonce": "'),
    Reply(200, b"[]"),
    Reply.json(200, {}),
    Reply(204, b""),
    Reply(200, b"x" * (1024 * 1024 + 1)),
]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("reply", BAD_BODIES, ids=lambda r: repr(r.body[:12]) + str(r.status))
def test_bad_answers(authority: FakeAuthority, guest: Guest, method: str, reply: Reply) -> None:
    authority.script(method, reply)
    with pytest.raises(errors.BadAnswer):
        guest.enroll(authority)
    assert list(guest.out.iterdir()) == []


def issue(authority: FakeAuthority, what: str) -> None:
    """Make the next answer a certificate that the client must not take."""

    def answer(request: Seen) -> Reply:
        key = csr_key(request)
        match what:
            case "another key":
                stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
                return authority.certificate(PKI.leaf(stranger))
            case "another root":
                other = Pki()
                return authority.certificate(other.leaf(key), [other.issuer, other.root])
            case "does not chain":
                return authority.certificate(Pki().leaf(key))
            case "ended":
                return authority.certificate(PKI.leaf(key, lifetime=timedelta(minutes=1)))
            case "starts":
                return authority.certificate(PKI.leaf(key, start=utc_now() + timedelta(hours=1)))
            case _:
                raise AssertionError(what)

    authority.script("POST", answer)


@pytest.mark.parametrize(
    "what", ["another key", "another root", "does not chain", "ended", "starts"]
)
def test_a_certificate_that_must_not_be_taken(
    authority: FakeAuthority, guest: Guest, what: str
) -> None:
    before = guest.enroll(authority)
    issue(authority, what)
    with pytest.raises(errors.Untrusted, match=what):
        guest.enroll(authority)
    assert (guest.out / "cert.pem").read_text() == pem(before.certificate)


def test_a_bad_output_directory_is_found_before_anything_is_sent(
    authority: FakeAuthority, guest: Guest
) -> None:
    guest.out.mkdir(mode=0o777)
    guest.out.chmod(0o777)
    with pytest.raises(errors.Misconfigured):
        guest.enroll(authority)
    assert authority.seen == []


def test_no_quote_no_request(authority: FakeAuthority, guest: Guest, tmp_path: Path) -> None:
    with pytest.raises(errors.TsmMissing):
        guest.enroll(authority, source=TsmQuoteSource(reports=tmp_path / "none"))
    assert authority.posts() == []


def test_enrolled_finds_what_was_written(authority: FakeAuthority, guest: Guest) -> None:
    result = guest.enroll(authority)
    now = utc_now()
    found = enrolled(authority.root_pem, guest.out, now)
    assert found is not None
    assert found.certificate == result.certificate
    assert enrolled(authority.root_pem, guest.out, result.not_after) is None  # expired
    assert enrolled(pem(Pki().root).encode(), guest.out, now) is None  # another authority
    guest.out.joinpath("key.pem").write_bytes(b"x")
    assert enrolled(authority.root_pem, guest.out, now) is None


def test_enrolled_in_an_empty_directory(authority: FakeAuthority, guest: Guest) -> None:
    assert enrolled(authority.root_pem, guest.out, utc_now()) is None


def test_no_secret_in_anything_said_or_sent(authority: FakeAuthority, guest: Guest) -> None:
    result = guest.enroll(authority)
    found = KeyDirectory.open(guest.out).read()
    assert found is not None
    scalar = found.key.private_numbers().private_value
    text = (guest.out / "key.pem").read_text()
    secrets = [line for line in text.splitlines() if not line.startswith("-")]
    secrets += [f"{scalar:x}", f"{scalar}"]
    spoken = "\n".join(guest.lines) + repr(result) + repr(guest.runtime)
    sent = b"".join(
        request.body + json.dumps(request.headers).encode() for request in authority.seen
    )
    public = "".join((guest.out / name).read_text() for name in NAMES if name != "key.pem")
    for secret in secrets:
        assert secret not in spoken
        assert secret.encode() not in sent
        assert secret not in public
    assert scalar.to_bytes(32, "big") not in sent
