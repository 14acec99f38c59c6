# SPDX-License-Identifier: Apache-2.0
"""R-31, at the verifier of NVIDIA devices: whatever report, chain or JSON comes, only VerificationError escapes.

Most inputs are right ones that were changed; reports are signed again after the change, so that what is behind the
signature meets them too, and certificates likewise. Warnings are errors here.
"""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.nvidia import devices as fake
from simulator.nvidia.certificates import raw
from simulator.nvidia.reports import FSP, GPU, SWITCH, Written, tlv
from simulator.pki import pem
from tests import nvidia_devices as lab
from tests.fuzz.test_verifier_parsers import elements_changed, mutated
from tests.nvidia_devices import Exhibit
from verifiers.errors import VerificationError
from verifiers.nvidia.chain import verify_device_chain
from verifiers.nvidia.claims import OpaqueId
from verifiers.nvidia.evidence import NvidiaEvidence, parse_evidence_json
from verifiers.nvidia.report import parse_report

MODERATE = settings(max_examples=200, deadline=None)
EXHIBITS = {
    "gpu": Exhibit(),
    "switch": lab.a_switch(),
    "fsp": Exhibit(device=fake.fsp(), written=FSP),
}
PLAIN = EXHIBITS["gpu"]
ROOTS = lab.anchors().nvidia
assert ROOTS is not None
ROOT = ROOTS.device


@MODERATE
@given(
    st.binary(max_size=300)
    | st.sampled_from([GPU, SWITCH, FSP]).map(Written.encoded).flatmap(mutated)
)
def test_reports(data: bytes) -> None:
    with suppress(VerificationError):
        parse_report(data)


@MODERATE
@given(st.sampled_from(sorted(EXHIBITS)), st.data())
def test_reports_signed_after_the_change(name: str, data: st.DataObject) -> None:
    exhibit = EXHIBITS[name]
    body = data.draw(mutated(exhibit.written.but(end=b"").encoded()))
    report = body + raw(exhibit.device.parties[0].key, body)
    with suppress(VerificationError):
        exhibit.but(report=report, nonce=None).verify()


FIELDS = st.dictionaries(
    st.sampled_from([*OpaqueId, 0, 40, 300, 0xFFFF]).map(int), st.binary(max_size=16), max_size=4
)


@MODERATE
@given(st.sampled_from(["gpu", "switch"]), FIELDS, st.binary(max_size=5))
def test_opaque_data(name: str, fields: dict[int, bytes], rest: bytes) -> None:
    exhibit = EXHIBITS[name]
    opaque = tlv(exhibit.written.fields | fields) + rest
    with suppress(VerificationError):
        claims = exhibit.but(written=exhibit.written.but(opaque=opaque)).verify()
        assert {field.id: field.value for field in claims.opaque} == (
            exhibit.written.fields | fields
        )
        assert rest == b""


@MODERATE
@given(st.binary(max_size=200) | mutated(PLAIN.device.chain_pem))
def test_chains(text: bytes) -> None:
    with suppress(VerificationError):
        verify_device_chain(text, ROOT)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([0, 1]), st.sampled_from([fake.device(), fake.blackwell()]), st.data())
def test_certificates_signed_after_the_change(
    place: int, device: fake.Device, data: st.DataObject
) -> None:
    """Whatever the leaf or the device's certificate says, its issuer has signed it."""

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        return elements_changed(draw, parties[place].certificate.tbs_certificate_bytes)

    parties = device.parties
    tbs = data.draw(changed())
    der = fake.signed_tbs(tbs, parties[place + 1].key)
    ders = [party.der for party in parties]
    ders[place] = der
    with suppress(VerificationError):
        verify_device_chain(pem(*ders).encode(), ROOT)


TEXT = json.dumps({"evidence_list": [{"evidence": "YQ==", "certificate": "Yg==", "arch": "LS10"}]})


@MODERATE
@given(st.binary(max_size=60) | mutated(TEXT.encode()) | mutated(TEXT[18:-1].encode()))
def test_json(text: bytes) -> None:
    with suppress(VerificationError):
        for device in parse_evidence_json(text):
            assert isinstance(device, NvidiaEvidence)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just("YQ=="),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["evidence_list", "evidence", "certificate", "arch"]), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@MODERATE
@given(JSON)
def test_json_of_any_shape(value: object) -> None:
    with suppress(VerificationError):
        assert len(parse_evidence_json(json.dumps(value).encode())) >= 1
