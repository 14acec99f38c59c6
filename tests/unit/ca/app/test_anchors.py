# SPDX-License-Identifier: Apache-2.0
"""Roots of simulated vendors: what a file may hold, what is told of each fault, and that no real key is among them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ca.app.anchors import simulated
from ca.errors import ConfigurationError
from simulator.amd import FakeAmd
from simulator.google import FakeGoogle
from simulator.intel import FakeIntel
from simulator.nvidia.vendor import FakeNvidia
from simulator.pki import pem
from tests.authority_lab import NOW
from tests.google_lab import stranger
from verifiers.anchors import Anchor, NvidiaRoots, builtin
from verifiers.evidence import Product
from verifiers.google_ca import GoogleRoot, builtin_root

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.amd import Line

AMD = FakeAmd.create(NOW, seed=b"anchors")
INTEL = FakeIntel.create(NOW, seed=b"anchors")
NVIDIA = FakeNvidia.create(NOW, seed=b"anchors")
# The roots of devices and manifests, and the intermediate of the attestation service.
OF_NVIDIA = (NVIDIA.device_root_der, NVIDIA.rim_root_der, NVIDIA.nras.intermediate_der)


class Files:
    """Files of a folder, in the order in which they are written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[Path] = []

    def add(self, text: str | bytes) -> Path:
        path = self.folder / f"{len(self.paths)}.pem"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.paths.append(path)
        return path


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def refusal(files: Files, path: Path | None = None) -> str:
    """What is said, and of which file."""
    with pytest.raises(ConfigurationError) as caught:
        simulated(files.paths)
    start = f"ca.simulated_anchors: {path}: " if path else "ca.simulated_anchors: "
    assert caught.value.detail.startswith(start)
    return caught.value.detail.removeprefix(start)


def in_order(line: Line, order: str) -> str:
    """ARK, ASK and ASVK as "rsv" and so on."""
    found = {"r": line.ark, "s": line.ask, "v": line.asvk}
    return pem(*(found[letter].der for letter in order))


@pytest.mark.parametrize("order", ["rsv", "vsr", "srv"])
def test_told_apart_by_their_names(files: Files, order: str) -> None:
    for name in ("Turin", "Milan"):
        files.add(in_order(AMD.line(name), order))
    files.add(pem(INTEL.root_der))
    anchors = simulated(files.paths)
    assert anchors.simulated
    assert anchors.intel_sgx_root == Anchor.from_der(INTEL.root_der)
    assert [one.product for one in anchors.amd] == [Product.MILAN, Product.TURIN]
    for found in anchors.amd:
        line = AMD.line(found.product)
        assert found.ark.spki == line.ark.key.spki
        assert (found.ask.spki, found.asvk.spki) == (line.ask.key.spki, line.asvk.key.spki)
    assert anchors.amd_hierarchy(Product.GENOA) is None


def test_the_order_of_the_files_makes_no_other_anchors(files: Files) -> None:
    """Decisions name them by digest."""
    for text in (pem(INTEL.root_der), AMD.line("Turin").pem, AMD.line("Milan").pem):
        files.add(text)
    assert simulated(files.paths).sha256 == simulated(files.paths[::-1]).sha256


def test_intel_alone(files: Files) -> None:
    files.add(pem(INTEL.root_der))
    assert simulated(files.paths).amd == ()


def test_intel_is_there_once(files: Files) -> None:
    files.add(AMD.line("Milan").pem)
    assert "simulated Intel root" in refusal(files)
    files.add(pem(INTEL.root_der))
    files.add(pem(FakeIntel.create(NOW, seed=b"other").root_der))
    assert "not 2" in refusal(files)


def test_a_product_line_is_there_once(files: Files) -> None:
    files.add(pem(INTEL.root_der))
    files.add(AMD.line("Milan").pem)
    assert refusal(files, files.add(AMD.line("Milan").pem)) == "another file has AMD Milan"


@pytest.mark.parametrize("order", ["r", "s", "rs", "sv", "rv", "rsvr", "rsvs"])
def test_all_three_of_a_line_and_each_once(files: Files, order: str) -> None:
    files.add(pem(INTEL.root_der))
    assert "ARK, ASK and ASVK" in refusal(files, files.add(in_order(AMD.line("Milan"), order)))


def test_of_one_line_in_one_file(files: Files) -> None:
    files.add(pem(INTEL.root_der))
    mixed = in_order(AMD.line("Milan"), "rs") + in_order(AMD.line("Turin"), "v")
    assert "SEV-VLEK-Turin" in refusal(files, files.add(mixed))


def test_with_nothing_else_in_the_file(files: Files) -> None:
    files.add(pem(INTEL.root_der))
    path = files.add(AMD.line("Milan").pem + pem(INTEL.root_der))
    assert "no ARK, ASK and ASVK" in refusal(files, path)


def test_signed_by_their_root(files: Files) -> None:
    """Names alone make no hierarchy."""
    stranger = FakeAmd.create(NOW, seed=b"anchors")
    line = stranger.line("Milan")
    line.ask.signer = AMD.line("Turin").ark.key
    assert "not signed by ARK-Milan" in refusal(files, files.add(line.pem))


@pytest.mark.parametrize("text", ["", "no certificate", b"\xff\x00"])
def test_what_is_no_certificate(files: Files, text: str | bytes) -> None:
    path = files.add(text)
    assert refusal(files, path)
    path.unlink()
    assert "No such file" in refusal(files, path)


def test_a_certificate_that_is_no_root(files: Files) -> None:
    path = files.add(pem(INTEL.platform().pck.der))
    assert "not self-signed" in refusal(files, path)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_of_nvidia_each_for_its_own_use(files: Files, order: tuple[int, ...]) -> None:
    files.add(pem(INTEL.root_der))
    files.add(pem(*(OF_NVIDIA[place] for place in order)))
    found = simulated(files.paths).nvidia
    assert found == NvidiaRoots.from_ders(*OF_NVIDIA[:2], NVIDIA.nras_pins)


@pytest.mark.parametrize("places", [(0,), (0, 1), (0, 1, 1), (0, 1, 2, 2)])
def test_of_nvidia_all_three_and_each_once(files: Files, places: tuple[int, ...]) -> None:
    files.add(pem(INTEL.root_der))
    path = files.add(pem(*(OF_NVIDIA[place] for place in places)))
    if (
        len(places) == 1
    ):  # one self-signed certificate alone is taken for Intel's, which is of another curve
        assert "not" in refusal(files, path)
    else:
        assert "no ARK, ASK and ASVK" in refusal(files, path)


def test_nvidia_is_there_once(files: Files) -> None:
    for text in (pem(INTEL.root_der), pem(*OF_NVIDIA), pem(*OF_NVIDIA)):
        files.add(text)
    assert refusal(files) == "2 files have NVIDIA's authorities"


GOOGLE = FakeGoogle.create(NOW)


@pytest.mark.parametrize("regions", [(), ("us-central1",), ("us-central1", "europe-west4")])
@pytest.mark.parametrize("last", [False, True])
def test_of_google_the_root_and_any_number_below(
    files: Files,
    regions: tuple[str, ...],
    last: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    files.add(pem(INTEL.root_der))
    root, below = [GOOGLE.root.der], [GOOGLE.intermediate(region).der for region in regions]
    files.add(pem(*(below + root if last else root + below)))
    anchors = simulated(files.paths)
    assert anchors.google == GoogleRoot.from_der(*root, *below)
    files.paths.pop()
    assert simulated(files.paths).google is None
    assert simulated(files.paths).sha256 != anchors.sha256


def test_of_google_what_the_root_has_not_signed(files: Files) -> None:
    files.add(pem(INTEL.root_der))
    path = files.add(pem(GOOGLE.root.der, stranger().intermediate().der))
    assert "not signed by the pinned Simulated EK/AK CA Root" in refusal(files, path)


@pytest.mark.parametrize("spoil", ["intermediate alone", "root twice", "another root beside"])
def test_of_google_one_root(files: Files, spoil: str) -> None:
    files.add(pem(INTEL.root_der))
    root, below = GOOGLE.root.der, GOOGLE.intermediate().der
    held = {
        "intermediate alone": (below,),
        "root twice": (root, root),
        "another root beside": (root, INTEL.root_der),
    }
    assert refusal(files, files.add(pem(*held[spoil])))


def test_google_is_there_once(files: Files) -> None:
    for text in (pem(INTEL.root_der), GOOGLE.pem, GOOGLE.pem):
        files.add(text)
    assert refusal(files) == "2 files have Google's root"


# no real key among them


def test_the_real_authorities_of_google(files: Files) -> None:
    real = builtin_root()
    (known,) = real.known
    for der in (real.authority.der, known.der):
        for beside in ((), (GOOGLE.root.der,)):
            assert "has the key of a real vendor" in refusal(files, files.add(pem(der, *beside)))
            files.paths.clear()


def test_a_real_root_of_nvidia_among_simulated_ones(files: Files) -> None:
    real = builtin().nvidia
    assert real is not None
    for anchor in (real.device, real.rim):
        path = files.add(pem(anchor.certificate.der, *OF_NVIDIA[1:]))
        assert "has the key of a real vendor" in refusal(files, path)
        files.paths.clear()


def test_the_real_root_of_intel(files: Files) -> None:
    path = files.add(pem(builtin().intel_sgx_root.certificate.der))
    assert "Intel SGX Root CA has the key of a real vendor" in refusal(files, path)


@pytest.mark.parametrize("role", ["ark", "ask", "asvk"])
@pytest.mark.parametrize("product", Product)
def test_one_real_key_of_amd_among_simulated_ones(
    files: Files, product: Product, role: str
) -> None:
    """Whoever signed the certificate, and whatever it is called."""
    hierarchy = builtin().amd_hierarchy(product)
    assert hierarchy is not None
    real = getattr(hierarchy, role)
    signer = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ARK-Milan")])
    certificate = (
        x509.CertificateBuilder(name, name, real.public_key, 1, NOW, NOW + timedelta(1))
        .sign(signer, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    line = AMD.line("Milan")
    path = files.add(pem(certificate, line.ask.der, line.asvk.der))
    assert refusal(files, path) == "ARK-Milan has the key of a real vendor"
