# SPDX-License-Identifier: Apache-2.0
"""HCL reports: real ones, every length that does not agree, and runtime data that are odd."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests import vtpm_vectors
from tests.tdx_vectors import NOTICE, ROOT
from tests.tpm_lab import Hcl, base64url, jwk, rsa_key, runtime
from verifiers.errors import Reason, VerificationError
from verifiers.vtpm.claims import HclClaims
from verifiers.vtpm.hcl import HclReport, HclReportType, parse_hcl, read_runtime_data

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

HCL = Hcl(runtime=runtime())
KEY = rsa_key().public_key()
UNIQUE_ID = "7DF7B373-B947-4AAA-96E5-C358F2A03D20"


def refusal(data: bytes) -> Reason:
    with pytest.raises(VerificationError) as caught:
        parse_hcl(data)
    return caught.value.reason


def read(**changes: Any) -> tuple[HclClaims, rsa.RSAPublicKey]:  # noqa: ANN401 - JSON
    return read_runtime_data(parse_hcl(Hcl(runtime=runtime(**changes)).data))


def test_every_part() -> None:
    assert parse_hcl(HCL.data) == HclReport(
        raw=HCL.but(trailing=b"").data,
        version=2,
        report_type=HclReportType.SNP,
        hw_report=HCL.hw_report,
        runtime_data=HCL.runtime,
    )
    assert parse_hcl(HCL.but(version=1, kind=4, trailing=b"").data) == HclReport(
        raw=HCL.but(version=1, kind=4, trailing=b"").data,
        version=1,
        report_type=HclReportType.TDX,
        hw_report=HCL.hw_report,
        runtime_data=HCL.runtime,
    )


def test_no_json_is_read_before_it_is_vouched_for() -> None:
    assert parse_hcl(HCL.but(runtime=b"{\xff").data).runtime_data == b"{\xff"
    assert parse_hcl(HCL.but(runtime=b"").data).runtime_data == b""


REFUSED = [
    (HCL.but(signature=b"HCLB"), Reason.MALFORMED),
    (HCL.but(version=0), Reason.UNSUPPORTED_FORMAT),
    (HCL.but(version=3), Reason.UNSUPPORTED_FORMAT),
    (HCL.but(request=1), Reason.UNSUPPORTED_FORMAT),
    (HCL.but(status=1), Reason.MALFORMED),
    (HCL.but(reserved=bytes(11) + b"\1"), Reason.MALFORMED),
    (HCL.but(data_version=2), Reason.UNSUPPORTED_FORMAT),
    (HCL.but(kind=0), Reason.UNSUPPORTED_FORMAT),
    (HCL.but(kind=3), Reason.UNSUPPORTED_FORMAT),
    (HCL.but(hash_type=0), Reason.UNSUPPORTED_FORMAT),
    (HCL.but(hash_type=2), Reason.UNSUPPORTED_FORMAT),
    (HCL.but(trailing=bytes(50) + b"\1"), Reason.MALFORMED),
    *((HCL.but(size=change), Reason.MALFORMED) for change in (-1, 1, 100)),
    *((HCL.but(data_size=change), Reason.MALFORMED) for change in (-20, -1, 1, 100)),
    *((HCL.but(variable=change), Reason.MALFORMED) for change in (-1, 1, 1 << 20)),
    (HCL.but(variable=1, data_size=1), Reason.MALFORMED),  # the size of the whole disagrees
    (HCL.but(variable=101, data_size=101, size=101), Reason.MALFORMED),  # beyond the end
    (HCL.but(variable=-1, data_size=-1, size=-1), Reason.MALFORMED),  # a brace follows
]


@pytest.mark.parametrize(("report", "reason"), REFUSED)
def test_what_is_refused(report: Hcl, reason: Reason) -> None:
    assert refusal(report.data) is reason


def test_every_shorter_report_is_malformed() -> None:
    whole = HCL.but(trailing=b"").data
    assert {refusal(whole[:end]) for end in range(len(whole))} == {Reason.MALFORMED}


def test_a_report_that_is_too_large() -> None:
    room = 16 * 1024 - len(HCL.but(trailing=b"").data)
    assert parse_hcl(HCL.but(trailing=bytes(room)).data).runtime_data == HCL.runtime
    assert refusal(HCL.but(trailing=bytes(room + 1)).data) is Reason.TOO_LARGE


def test_every_claim() -> None:
    claims, key = read_runtime_data(parse_hcl(HCL.data))
    assert claims == HclClaims(
        version=2,
        runtime_data_sha256=hashlib.sha256(HCL.runtime).digest(),
        user_data=b"\xab" * 64,
        secure_boot=True,
        tpm_enabled=True,
        tpm_persisted=False,
        console_enabled=True,
        vm_unique_id=UNIQUE_ID,
    )
    assert key.public_numbers() == KEY.public_numbers()


@pytest.mark.parametrize("configuration", [None, {}])
def test_what_it_does_not_say(configuration: dict[str, Any] | None) -> None:
    claims, _ = read(**{"vm-configuration": configuration, "user-data": None})
    assert claims.user_data is None
    assert claims.vm_unique_id == ""
    flags = (claims.secure_boot, claims.tpm_enabled, claims.tpm_persisted, claims.console_enabled)
    assert flags == (None, None, None, None)


def test_members_that_are_not_known_are_left_aside() -> None:
    claims, _ = read(more={"of": ["it"]}, **{"vm-configuration": {"current-time": 1700000000}})
    assert claims.secure_boot is None


@pytest.mark.parametrize("operations", [["encrypt"], [], None, 7])
def test_key_ops_are_not_looked_at(operations: object) -> None:
    assert read(keys=[jwk(KEY, key_ops=operations)])[1].key_size == 2048


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_sizes_of_the_key(bits: int) -> None:
    assert read(keys=[jwk(rsa_key(bits).public_key())])[1].key_size == bits


N = KEY.public_numbers().n
ODD_KEYS: list[Any] = [
    None,
    {},
    "HCLAkPub",
    [],
    ["HCLAkPub"],
    [jwk(KEY, "HCLEkPub")],
    [jwk(KEY), jwk(KEY)],
    [jwk(KEY, kty="EC")],
    [jwk(KEY, kty=None)],
    [jwk(KEY, n=None)],
    [jwk(KEY, n=7)],
    [jwk(KEY, n="")],
    [jwk(KEY, n=base64url(N >> 1 | 1))],  # 2047 bits
    [jwk(KEY, n=base64url(1 << 4096 | 1))],
    [jwk(KEY, n=base64url(1 << 40000 | 1))],
    [jwk(KEY, n=base64url(N - 1))],  # even
    [jwk(KEY, n=base64url(N) + "==")],
    [jwk(KEY, n=base64url(N) + "\n")],
    [jwk(KEY, n="+" + base64url(N)[1:])],
    [jwk(KEY, n="é" + base64url(N)[1:])],
    [jwk(KEY, n=base64url(N)[:-1] + "_")],  # bits behind the last byte
    [jwk(KEY, n=base64url(N)[:-1])],  # no length that base64 has
    [jwk(KEY, e=base64url(3))],
    [jwk(KEY, e="AAEAAQ")],  # a leading zero byte
    [jwk(KEY, e=base64url(N))],
    [jwk(KEY, e=None)],
]


@pytest.mark.parametrize("keys", ODD_KEYS)
def test_keys_that_are_refused(keys: object) -> None:
    with pytest.raises(VerificationError) as caught:
        read(keys=keys)
    assert caught.value.reason is Reason.MALFORMED


ODD_MEMBERS: list[tuple[str, Any]] = [
    ("vm-configuration", []),
    ("vm-configuration", "on"),
    *(
        ("vm-configuration", {name: value})
        for name in ("secure-boot", "tpm-enabled", "tpm-persisted", "console-enabled")
        for value in (1, "true")
    ),
    ("vm-configuration", {"vmUniqueId": 7}),
    ("vm-configuration", {"vmUniqueId": "x" * 65}),
    ("vm-configuration", {"vmUniqueId": "a\nb"}),
    ("user-data", ""),
    ("user-data", "AB" * 63),
    ("user-data", "AB" * 65),
    ("user-data", "AB" * 63 + " A"),
    ("user-data", "AG" * 64),
    ("user-data", "AB" * 64 + "\n"),
    ("user-data", 7),
]


@pytest.mark.parametrize(("member", "value"), ODD_MEMBERS)
def test_members_that_are_refused(member: str, value: object) -> None:
    with pytest.raises(VerificationError) as caught:
        read(**{member: value})
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("name", ["secure-boot", "tpm-enabled"])
def test_null_says_nothing_and_is_refused(name: str) -> None:
    text = runtime().replace(f'"{name}":true'.encode(), f'"{name}":null'.encode())
    with pytest.raises(VerificationError, match="neither true nor false"):
        read_runtime_data(parse_hcl(Hcl(runtime=text).data))


ODD_TEXTS = [
    b"",
    b"[]",
    b"{} {}",
    b"\xff\xfe",
    runtime() + b"\0",
    runtime().replace(b'"user-data"', b'"keys":[],"user-data"'),  # a key twice
    runtime().replace(b'"kty"', b'"kty":"EC","kty"'),
    b'{"keys":' + b"[" * 6000 + b"]" * 6000 + b"}",
    b'{"keys":NaN}',
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_texts_that_are_refused(text: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        read_runtime_data(parse_hcl(Hcl(runtime=text).data))
    assert caught.value.reason is Reason.MALFORMED


# Real reports


@pytest.mark.parametrize("name", vtpm_vectors.AZURE)
def test_a_real_report(name: str) -> None:
    vector = vtpm_vectors.load(name)
    expected = vector.expected["hcl"]
    report = parse_hcl(vector.hcl)
    assert (report.version, str(report.report_type)) == (
        expected["version"],
        expected["report_type"],
    )
    assert len(report.raw) == expected["report_size"]
    assert len(report.runtime_data) == expected["runtime_data_bytes"]
    claims, key = read_runtime_data(report)
    assert claims.runtime_data_sha256.hex() == expected["runtime_data_sha256"]
    machine = expected["vm_configuration"]
    assert claims.secure_boot == machine["secure-boot"]
    assert claims.tpm_enabled == machine["tpm-enabled"]
    assert claims.tpm_persisted == machine.get("tpm-persisted")
    assert claims.console_enabled == machine["console-enabled"]
    assert claims.vm_unique_id == machine["vmUniqueId"]
    assert claims.user_data == bytes.fromhex(expected["user_data"])
    assert key.key_size == 2048


@pytest.mark.parametrize("name", vtpm_vectors.AZURE_SNP)
def test_a_real_snp_report_names_its_runtime_data(name: str) -> None:
    report = parse_hcl(vtpm_vectors.load(name).hcl)
    digest = read_runtime_data(report)[0].runtime_data_sha256
    assert report.hw_report[0x50:0x90] == digest + bytes(32)


@pytest.mark.parametrize(
    "name", ["milan-v2-azure-hcl", "milan-v3-azure-hcl", "genoa-v3-azure-hcl-nosmt"]
)
def test_a_real_report_that_was_recorded_alone(name: str) -> None:
    folder = ROOT / "snp" / name
    if not folder.is_dir():
        pytest.skip(NOTICE)
    report = parse_hcl((folder / "hcl_report.bin").read_bytes())
    assert report.report_type is HclReportType.SNP
    assert report.hw_report == (folder / "report.bin").read_bytes()
    claims, _ = read_runtime_data(report)
    assert report.hw_report[0x50:0x70] == claims.runtime_data_sha256
    assert claims.secure_boot == json.loads(report.runtime_data)["vm-configuration"]["secure-boot"]
