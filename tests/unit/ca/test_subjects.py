# SPDX-License-Identifier: Apache-2.0
"""What operators name has the very handle that certificates carry; what could not be of its kind is refused."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol import HandleKind, chip_id
from ca.errors import NotFound, RequestRefused
from ca.issuance import handles, platform
from ca.issuance.platform import describe
from ca.subjects import CHIP_IDS, Named, Subject, named
from policies.loader import load_policy
from policies.measurements import group_digest
from tests import records
from tests.authority_lab import make_device, make_request, with_devices
from tests.unit.ca.cli.conftest import POLICY as EMPTY_SETS
from tests.unit.policies.claims_factory import GOOD
from tests.unit.policies.snp_claims import GOOD_SNP

if TYPE_CHECKING:
    from ca.authority import Authority
    from ca.store.sql import SqlStore

KEY = bytes(range(32))
K = HandleKind


class Desk:
    """As much of an authority as is asked here: the store and the key of chips."""

    def __init__(self, store: SqlStore | None) -> None:
        self.store, self.chip_key = store, KEY


async def name(store: SqlStore | None, *given: object, handle: bytes | None = None) -> Named:
    """`given`: kind, perhaps a name, and a value."""
    kind, *words = given or (None,)
    value = words.pop() if words else None
    subject = Subject(
        kind=cast("Any", kind),
        name=cast("Any", words[0] if words else None),
        value=cast("Any", value),
        handle=handle,
    )
    return await named(subject, cast("Authority", Desk(store)))


def hexed(value: bytes) -> str:
    return value.hex().upper()


async def test_the_handles_of_a_certificate_are_those_of_what_is_named(store: SqlStore) -> None:
    """One certificate with all that there can be; each of its handles by the name of what it is of."""
    ppid, serial = GOOD.pck.ppid, "163123ABC456789012"
    tdx = describe(GOOD, KEY, floors_hold=False)
    device = replace(make_device(0), chip_id=chip_id(KEY, "nvidia", serial.encode()))
    request = replace(make_request(**with_devices(device)), platform=tdx)
    await records.activate(store)
    intent = records.intent(serial=0x1234, issuer_key_id=b"i" * 20)
    await store.record_intent(intent)
    carried = handles.of_leaf(request, intent.issuer_key_id, intent.serial)
    spki = base64.b64encode(request.key.spki_der).decode()
    given: list[tuple[object, ...]] = [
        (K.CERTIFICATE, "001234"),
        (K.KEY, spki),
        *((K.MEASUREMENT, one.name, hexed(one.value)) for one in request.registers),
        (K.CHIP, "ppid", hexed(ppid)),
        (K.CHIP, "nvidia", serial),
        (K.PRODUCT, tdx.product),
        (K.PRODUCT, device.product),
        (K.TCB, hexed(tdx.tcb_vector)),
        *((K.FIRMWARE, each) for each in device.firmware),
        (K.POLICY, request.policy.sha256.hex()),
        (K.ISSUER, (b"i" * 20).hex()),
    ]
    found = [await name(store, *one) for one in given]
    groups = [one for one in carried if one[0] == "measurement"][len(request.registers) :]
    assert {(one.kind.value, one.handle) for one in found} == set(carried) - set(groups)
    by_digest = await name(store, K.KEY, hashlib.sha256(request.key.spki_der).hexdigest())
    assert by_digest == found[1]


async def test_an_snp_machine() -> None:
    snp = describe(GOOD_SNP, KEY, floors_hold=False)
    request = replace(make_request(), platform=snp)
    carried = dict(handles.of_leaf(request, b"i" * 20, 1))
    chip = await name(None, K.CHIP, "chip_id", GOOD_SNP.report.chip_id.hex())
    product = await name(None, K.PRODUCT, "Genoa")
    tcb = await name(None, K.TCB, snp.tcb_vector.hex())
    assert [one.handle for one in (chip, product, tcb)] == [
        carried[kind] for kind in ("chip", "product", "tcb")
    ]


GROUPS = b"""\
name: cvm
version: 3
match: {tee: tdx}
reference_sets:
  release:
    - {id: image-1, values: {mr_td: "%s"}}
    - {id: image-2, values: {mr_td: "%s"}}
tdx: {measurements: [release]}
issue: {profile: default}
""" % (b"11" * 48, b"22" * 48)


async def test_a_group_by_its_policy_or_its_digest(store: SqlStore) -> None:
    await store.add_policy(records.policy(version=3, document=GROUPS), records.ACTION)
    second = load_policy(GROUPS).document.reference_sets["release"][1]
    digest = group_digest(second)
    by_policy = await name(store, K.MEASUREMENT, "release/image-2", "cvm@3")
    by_digest = await name(store, K.MEASUREMENT, "release/image-2", digest.hex())
    assert by_policy == by_digest
    assert by_policy.words == f"release/image-2 {digest.hex()}"
    other = await name(store, K.MEASUREMENT, "release/image-1", "cvm@3")
    assert other.handle != by_policy.handle
    for group in ("release/image-3", "nothing/image-1", "/", "release/"):
        with pytest.raises(NotFound, match="cvm@3 has no such entry"):
            await name(store, K.MEASUREMENT, group, "cvm@3")
    with pytest.raises(NotFound, match="no such version"):
        await name(store, K.MEASUREMENT, "release/image-1", "cvm@4")


async def test_a_policy_by_name_or_digest(store: SqlStore) -> None:
    record = records.policy(version=2, document=EMPTY_SETS)
    await store.add_policy(record, records.ACTION)
    by_name = await name(store, K.POLICY, "cvm@2")
    assert by_name.words == "cvm@2"
    assert by_name.handle == (await name(store, K.POLICY, hexed(record.sha256))).handle
    with pytest.raises(NotFound):
        await name(store, K.POLICY, "cvm@3")


async def test_a_serial_that_was_never_used(store: SqlStore) -> None:
    with pytest.raises(NotFound, match="never used"):
        await name(store, K.CERTIFICATE, "1234")


async def test_a_handle_alone(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent()
    await store.record_intent(intent)
    known, unknown = intent.handles[0][1], records.digest("never seen")
    assert await name(store, handle=known) == Named(K.MEASUREMENT, known, "")
    assert await name(store, K.MEASUREMENT, handle=known) == Named(K.MEASUREMENT, known, "")
    assert await name(store, K.CHIP, handle=unknown) == Named(K.CHIP, unknown, "")
    with pytest.raises(RequestRefused, match="say what it is of"):
        await name(store, handle=unknown)
    with pytest.raises(RequestRefused, match="of kind measurement"):
        await name(store, K.CHIP, handle=known)
    with pytest.raises(RequestRefused, match="alone"):
        await name(store, K.MEASUREMENT, "mr_td", "00", handle=known)


async def test_of_hardware_nothing_is_told_but_the_kind_of_its_id() -> None:
    for kind, length in CHIP_IDS.items():
        value = bytes(range(1, length + 1)).hex()
        found = await name(None, K.CHIP, kind, value)
        assert found.words == kind
        assert value not in repr(found)
        assert value not in repr(Subject(K.CHIP, kind, value))


def rsa_key() -> str:
    key = rsa.generate_private_key(65537, 2048).public_key()
    return base64.b64encode(
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()


def explicit_key() -> str:
    """A key in another encoding than the canonical one: its point is compressed."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    head = bytearray(der[:-65])
    head[1], head[-2] = len(head) - 2 + len(point), len(point) + 1
    return base64.b64encode(bytes(head) + point).decode()


ZEROS = "00" * 16
REFUSED: list[tuple[object, ...]] = [
    (),
    (K.PRODUCT,),
    (None, "Milan"),
    (K.CERTIFICATE, "0"),
    (K.CERTIFICATE, "000"),
    (K.CERTIFICATE, "xyz"),
    (K.CERTIFICATE, "1" * 41),
    (K.CERTIFICATE, "1234 "),
    (K.KEY, "ab" * 31),
    (K.KEY, "ab" * 33),
    (K.KEY, "not base64!"),
    (K.KEY, base64.b64encode(b"no key").decode()),
    (K.KEY, rsa_key()),
    (K.KEY, explicit_key()),
    (K.MEASUREMENT, "ab" * 48),
    (K.MEASUREMENT, "mr_td", "ab" * 47),
    (K.MEASUREMENT, "mr_td", "ab" * 49),
    (K.MEASUREMENT, "mr_td", "ab" * 47 + "a"),
    (K.MEASUREMENT, "mr_td", " " + "ab" * 48),
    (K.MEASUREMENT, "MR_TD", "ab" * 48),
    (K.MEASUREMENT, "pcr24", "ab" * 32),
    (K.MEASUREMENT, "pcr4", "ab" * 48),
    (K.MEASUREMENT, "release/image", "ab" * 31),
    (K.MEASUREMENT, "release/image", "cvm"),
    (K.MEASUREMENT, "release/image", "cvm@0"),
    (K.CHIP, "11" * 16),
    (K.CHIP, "serial", "11" * 16),
    (K.CHIP, "ppid", "11" * 15),
    (K.CHIP, "ppid", "11" * 64),
    (K.CHIP, "ppid", ZEROS),
    (K.CHIP, "chip_id", ZEROS * 4),
    (K.CHIP, "nvidia", "SN-1234567890"),
    (K.PRODUCT, "milan"),
    (K.PRODUCT, "Naples"),
    (K.PRODUCT, "name", "Milan"),
    (K.PRODUCT, "fmspc:50806F000000"),
    (K.PRODUCT, "fmspc:50806f00000"),
    (K.PRODUCT, "nvidia:H100"),
    (K.TCB, "ab" * 33),
    (K.TCB, b"Naples\0".hex() + "00" * 11),
    (K.TCB, b"Milan\0".hex() + "00" * 10),
    (K.TCB, b"Milan".hex() + "01" * 12 + "00"),
    (K.TCB, "zz"),
    (K.FIRMWARE, "580.95.05"),
    (K.FIRMWARE, "nvidia-driver:"),
    (K.FIRMWARE, "nvidia-driver:580"),
    (K.FIRMWARE, "nvidia-vbios:96.0.cf"),
    (K.FIRMWARE, "nvidia-rim:NV_GPU:" + "ab" * 31),
    (K.FIRMWARE, "nvidia-rim:" + "ab" * 32),
    (K.POLICY, "cvm"),
    (K.POLICY, "cvm@"),
    (K.POLICY, "cvm@01"),
    (K.POLICY, "cvm@1000000000"),
    (K.POLICY, "ab" * 31),
    (K.ISSUER, "ab" * 19),
    (K.ISSUER, "ab" * 21),
]


@pytest.mark.parametrize("given", REFUSED, ids=map(str, range(len(REFUSED))))
async def test_what_could_not_be_of_its_kind(given: tuple[object, ...]) -> None:
    with pytest.raises(RequestRefused) as caught:
        await name(None, *given)
    assert caught.value.code in {"malformed", "key-type"}
    last = str(given[-1]) if given else ""
    assert len(last) < 12 or last not in caught.value.detail


@given(kind=st.sampled_from(sorted(set(K) - {K.CERTIFICATE, K.POLICY})), value=st.text())
async def test_any_text(kind: HandleKind, value: str) -> None:
    """A handle of 32 bytes, or a refusal that does not repeat what it refuses."""
    label = {K.CHIP: "ppid", K.MEASUREMENT: "rtmr3"}.get(kind)
    words = () if label is None else (label,)
    try:
        found = await name(None, kind, *words, value)
    except RequestRefused as error:
        told = error.detail
    else:
        told = ""
        assert (found.kind, len(found.handle)) == (kind, 32)
    assert len(value) < 12 or value not in told


def test_every_kind_of_chip_id_that_certificates_rest_on() -> None:
    """Their names are what `ca.issuance.platform` hashes with them."""
    source = Path(platform.__file__).read_text()
    for kind in CHIP_IDS:
        assert f'chip_key, "{kind}"' in source
