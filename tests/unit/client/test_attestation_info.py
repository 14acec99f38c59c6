# SPDX-License-Identifier: Apache-2.0
"""AttestationInfo as the relying party reads it: what another codec encodes, and what is none of version 1."""

from __future__ import annotations

from typing import Any

import pytest

from attestca_client.attestation_info import MAX_BYTES, InfoError, decode
from attestca_client.checks import instant
from attestca_client.leaf import CertificateError, parse_certificates
from tests.authority_lab import digest, make_device, with_devices
from tests.foreign_info import ForeignInfo
from tests.fuzz.test_relying_party import INFO, LEAF

FIELDS: dict[str, Any] = ForeignInfo.load(INFO, strict=True).native


def encoded(**changes: Any) -> bytes:  # noqa: ANN401 - any value
    der: bytes = ForeignInfo(FIELDS | changes).dump()
    return der


def device(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any value
    first: dict[str, Any] = FIELDS["devices"][0]
    return first | changes


def test_what_another_codec_encodes() -> None:
    info = decode(encoded())
    assert encoded() == INFO
    assert (info.policy, info.tee, info.binding) == ("production@3", "tdx", "nonce+cpu-digest")
    gpu, switch = info.devices
    assert (gpu.model, gpu.driver, switch.driver) == ("GH100 A01 GSP BROM", "580.178.04", None)
    assert dict(info.registers)["mr_td"] == digest("mr_td") + bytes(16)
    assert with_devices(make_device())["binding"] == info.binding


def test_at_the_edge_of_what_is_taken() -> None:
    assert decode(encoded(policyVersion=1)).policy_version == 1
    named = [{"name": "chip", "value": one["handle"]} for one in FIELDS["devices"]]
    assert len(decode(encoded(handles=named)).handles) == 2  # the chips of its devices and no other


WRONG: dict[str, dict[str, Any]] = {
    "version 2": {"version": 2},
    "a policy without a version": {"policyVersion": 0},
    "another assurance": {"assurance": "verified by us"},
    "another binding": {"binding": "tdisp"},
    "a binding without its devices": {"devices": []},
    "devices without their binding": {"binding": "none"},
    "a short handle": {"handles": [{"name": "key", "value": b"x"}]},
    "no handle": {"handles": []},
    "a short digest": {"evidenceSha256": bytes(31)},
    "an empty technology": {"tee": ""},
    "a device of another kind": {"devices": [device(kind="nic")]},
    "a device in another mode": {"devices": [device(mode="xyz")]},
    "a device that somebody else appraised": {"devices": [device(appraisedBy="me")]},
    "a GPU without a driver": {"devices": [device(driver=None)]},
    "a switch with a driver": {"devices": [device(kind="switch", mode=None)]},
    "a switch with a mode": {"devices": [device(kind="switch", driver=None)]},
    "an empty driver": {"devices": [device(driver="")]},
    "a driver that goes on": {"devices": [device(driver="x" * 33)]},
    "a device whose handle is not listed": {"devices": [device(handle=bytes(32))]},
}


@pytest.mark.parametrize("what", WRONG)
def test_another_form(what: str) -> None:
    with pytest.raises(InfoError):
        decode(encoded(**WRONG[what]))


@pytest.mark.parametrize("data", [b"", INFO + b"\0", INFO[:-1], b"\x30" + bytes(MAX_BYTES)])
def test_no_der(data: bytes) -> None:
    with pytest.raises(InfoError):
        decode(data)


def test_the_limit() -> None:
    with pytest.raises(InfoError, match="larger than 16384 bytes"):
        decode(bytes(MAX_BYTES + 1))
    with pytest.raises(InfoError, match="not an AttestationInfo"):
        decode(bytes(MAX_BYTES))


def test_times_that_no_calendar_has() -> None:
    assert instant(0) == "1970-01-01T00:00:00Z"
    assert instant(1 << 63) == f"second {1 << 63}"


def test_a_serial_number_that_is_too_large() -> None:
    """RFC 5280, section 4.1.2.2: at most 20 bytes. A handle of the certificate has no form for more."""
    from asn1crypto import x509  # noqa: PLC0415 - for this alone
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - likewise

    value = x509.Certificate.load(LEAF.certificate.public_bytes(Encoding.DER))
    value["tbs_certificate"]["serial_number"] = 1 << 159
    with pytest.raises(CertificateError):
        parse_certificates(value.dump(force=True))
