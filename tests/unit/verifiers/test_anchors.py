# SPDX-License-Identifier: Apache-2.0
"""The built-in roots are the vendors', by bytes and by key; any other set of roots is a simulated one and says so."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from simulator import pki
from simulator.google import FakeGoogle
from simulator.pki import Key, pem
from tests import nvidia_vectors as vectors
from tests.google_lab import root_of
from tests.snp_lab import NOW, SnpLab, hierarchy
from tests.tdx_lab import Lab
from verifiers import anchors
from verifiers.anchors import Anchor, Anchors, NvidiaRoots, builtin
from verifiers.certificate import parse_issued
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Product
from verifiers.google_ca import builtin_root

if TYPE_CHECKING:
    from simulator.pki import Entity


def test_builtin() -> None:
    root = builtin().intel_sgx_root.certificate
    assert root.common_name == "Intel SGX Root CA"
    assert hashlib.sha256(root.der).hexdigest() == anchors.INTEL_SGX_ROOT_CA_SHA256
    assert root.spki.hex().endswith(anchors.INTEL_SGX_ROOT_CA_KEY)
    assert not builtin().simulated
    assert builtin() is builtin()


def test_intermediates_of_intel() -> None:
    """Known by the root's signature, and equal to what the ordinary path makes of the same bytes."""
    root = builtin().intel_sgx_root
    names = [one.common_name for one in root.issued.values()]
    assert names == [
        "Intel SGX PCK Platform CA",
        "Intel SGX PCK Processor CA",
        "Intel SGX TCB Signing",
    ]
    digests = tuple(hashlib.sha256(der).hexdigest() for der in root.issued)
    assert digests == anchors.INTEL_INTERMEDIATES_SHA256
    for der, known in root.issued.items():
        parsed = parse_issued(der, root.certificate)
        assert all(getattr(known, one.name) == getattr(parsed, one.name) for one in fields(known))


def test_a_changed_file_of_intermediates_stops_the_program() -> None:
    shipped = (files("verifiers.tdx") / "anchors" / "intel-intermediates.pem").read_bytes()
    assert anchors._intermediates(shipped) == tuple(builtin().intel_sgx_root.issued)
    parts = [f"-----BEGIN{block}" for block in shipped.decode().split("-----BEGIN")[1:]]
    other = pem(Lab.create().intel.platform_ca.der)
    for changed in (parts[:2], parts[::-1], [*parts, other], [*parts[:2], other]):
        with pytest.raises(RuntimeError, match="not the known ones"):
            anchors._intermediates("".join(changed).encode())


def test_what_is_known_beforehand_is_no_part_of_an_anchor() -> None:
    lab = Lab.create()
    plain = Anchor.from_der(lab.intel.root_der)
    knowing = plain.knowing(lab.intel.platform_ca.der)
    assert (knowing, hash(knowing), repr(knowing)) == (plain, hash(plain), repr(plain))
    assert Anchors(knowing).sha256 == Anchors(plain).sha256
    assert (list(plain.issued), list(knowing.issued)) == ([], [lab.intel.platform_ca.der])


def test_another_set_is_simulated() -> None:
    lab = Lab.create()
    other = lab.exhibit().anchors
    assert other.simulated
    assert other.sha256 != builtin().sha256
    key = other.intel_sgx_root.certificate.spki
    assert other.sha256 == hashlib.sha256(hashlib.sha256(key).digest()).digest()


def test_the_name_of_a_set_is_its_keys() -> None:
    """Two certificates of one key are one anchor."""
    lab = Lab.create()
    first = Anchors(Anchor.from_der(lab.intel.root_der))
    lab.intel.root.alter(serial=9)
    second = Anchors(Anchor.from_der(lab.intel.root_der))
    assert first != second
    assert first.sha256 == second.sha256


def test_hierarchies_of_amd() -> None:
    assert [one.product for one in builtin().amd] == list(Product)
    for product in Product:
        found = builtin().amd_hierarchy(product)
        assert found is not None
        assert found.product is product
    bench = SnpLab.create("Genoa")
    pinned = bench.anchors()
    assert pinned.amd_hierarchy(Product.GENOA) == hierarchy(bench.line)
    assert pinned.amd_hierarchy(Product.TURIN) is None
    assert pinned.simulated


def test_the_name_of_a_set_is_amds_keys_too() -> None:
    bench = SnpLab.create("Genoa")
    own, intel = hierarchy(bench.line), bench.anchors().intel_sgx_root
    other = hierarchy(bench.stranger().line("Genoa"))
    sets = [
        Anchors(intel, amd)
        for amd in (
            (),
            (own,),
            (other,),
            (replace(own, ark=other.ark),),
            (replace(own, ask=other.ask),),
            (replace(own, asvk=other.asvk),),
        )
    ]
    assert len({one.sha256 for one in sets}) == len(sets)
    bench.line.ask.alter(serial=9)
    assert Anchors(intel, (hierarchy(bench.line),)).sha256 == sets[1].sha256


def test_a_changed_package_file_stops_the_program() -> None:
    pem_text = pem(Lab.create().intel.root_der).encode()
    with pytest.raises(RuntimeError, match="not the pinned one"):
        anchors._pinned(pem_text)
    shipped = (files("verifiers.tdx") / "anchors" / "intel-sgx-root-ca.pem").read_bytes()
    assert anchors._pinned(shipped) == builtin().intel_sgx_root


def test_builtin_roots_of_nvidia() -> None:
    roots = builtin().nvidia
    assert roots is not None
    device, rim = roots.device.certificate, roots.rim.certificate
    assert device.common_name == "NVIDIA Device Identity CA"
    assert rim.common_name == "NVIDIA CoRIM signing Root CA"
    assert hashlib.sha256(device.der).hexdigest() == anchors.NVIDIA_DEVICE_IDENTITY_CA_SHA256
    assert hashlib.sha256(rim.der).hexdigest() == anchors.NVIDIA_RIM_SIGNING_ROOT_CA_SHA256
    assert tuple(pin.hex() for pin in roots.nras) == anchors.NVIDIA_NRAS_INTERMEDIATES_SHA256
    assert roots.nras_issuer == "https://nras.attestation.nvidia.com"


def test_pins_of_nvidias_attestation_service() -> None:
    """As published beside the real key sets that they certify."""
    document = vectors.document("nras-hgx-h100x8-ppcie-token/nvidia_ca_pins.json")
    assert tuple(json.loads(document).values()) == anchors.NVIDIA_NRAS_INTERMEDIATES_SHA256


def test_roots_of_nvidia_are_part_of_the_name_of_a_set() -> None:
    without = replace(builtin(), nvidia=None)
    roots = builtin().nvidia
    assert roots is not None
    swapped = replace(builtin(), nvidia=NvidiaRoots(device=roots.rim, rim=roots.device))
    others = [
        replace(builtin(), nvidia=replace(roots, **changes))
        for changes in ({"nras": ()}, {"nras": roots.nras[:1]}, {"nras_issuer": "https://x"})
    ]
    assert len({one.sha256 for one in (without, builtin(), swapped, *others)}) == 6


def test_an_issuer_of_no_tokens_names_no_set() -> None:
    roots = builtin().nvidia
    assert roots is not None
    unpinned = replace(roots, nras=())
    renamed = replace(unpinned, nras_issuer="https://x")
    assert (
        unpinned.names
        == renamed.names
        == (
            roots.device.certificate.spki,
            roots.rim.certificate.spki,
        )
    )


def test_a_changed_root_of_nvidia_stops_the_program() -> None:
    with pytest.raises(RuntimeError, match=r"device-identity-ca.pem is not NVIDIA's pinned one"):
        anchors._nvidia("device-identity-ca.pem", anchors.NVIDIA_RIM_SIGNING_ROOT_CA_SHA256)


def test_roots_of_nvidia_are_of_p384() -> None:
    roots = builtin().nvidia
    assert roots is not None
    with pytest.raises(VerificationError, match="ecdsa-with-SHA384"):
        NvidiaRoots.from_ders(roots.device.certificate.der, Lab.create().intel.root_der)
    with pytest.raises(VerificationError, match="ecdsa-with-SHA256"):
        Anchor.from_der(roots.device.certificate.der)


def test_googles_root_is_part_of_the_name_of_a_set() -> None:
    root = builtin().google
    assert root == builtin_root()
    other = root_of(FakeGoogle.create(NOW))
    sets = [replace(builtin(), google=one) for one in (root, None, other)]
    assert len({one.sha256 for one in sets}) == 3
    unknowing = replace(builtin(), google=replace(builtin_root(), known=()))
    assert unknowing.sha256 == builtin().sha256


def test_what_was_decided_before_googles_root() -> None:
    """Judged as ever: nothing of then rests on it. Of any other change nothing is known."""
    now = builtin()
    before = replace(now, google=None)
    assert now.judged_as(now.sha256)
    assert now.judged_as(before.sha256)
    assert not before.judged_as(now.sha256)
    for other in (
        replace(now, google=root_of(FakeGoogle.create(NOW))),
        replace(now, nvidia=None),
        replace(now, amd=now.amd[:-1]),
    ):
        assert not now.judged_as(other.sha256)
        assert not other.judged_as(now.sha256)


def by_a_stranger(root: Entity) -> None:
    root.signer = Key.derive(b"anchors", "stranger")


@pytest.mark.parametrize(
    "spoil", [by_a_stranger, lambda root: root.alter(issuer=pki.name("Another Root"))]
)
def test_a_root_that_is_not_self_signed(spoil: object) -> None:
    root = replace(Lab.create().intel.root)
    assert callable(spoil)
    spoil(root)
    with pytest.raises(VerificationError, match="not self-signed") as caught:
        Anchor.from_der(root.der)
    assert caught.value.reason is Reason.CHAIN


def test_no_certificate() -> None:
    with pytest.raises(VerificationError):
        Anchor.from_der(b"no certificate")
