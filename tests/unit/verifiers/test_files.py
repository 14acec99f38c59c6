# SPDX-License-Identifier: Apache-2.0
"""Which files are a CPU's, however damaged they are; what else is told apart is tested with each technology."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.eventlog import grub_boot
from simulator.pki import pem
from tests.google_lab import GoogleLab
from tests.snp_lab import SnpLab
from tests.tdx_lab import Lab
from verifiers import registry
from verifiers.errors import VerificationError
from verifiers.evidence import EvidenceKind
from verifiers.files import identify, is_of_cpu


def test_what_is_a_cpus() -> None:
    quote, report = Lab.create().exhibit().quote, SnpLab.create().report_bytes()
    for data in (
        quote,
        quote[:100],
        report,
        report[:-1],
        b"HCLA",
        dict(grub_boot().logs())["ccel"],
    ):
        assert is_of_cpu(data)


def test_what_is_not() -> None:
    lab = GoogleLab.td()
    for piece in lab.pieces()[1:]:
        assert not is_of_cpu(piece.data)
    for data in (lab.google.crl.der, lab.google.intermediate().der, b"", b"\xff" * 100):
        assert not is_of_cpu(data)


LAB = GoogleLab.td()
FILES = (
    *(piece.data for piece in LAB.pieces()),
    LAB.google.crl.der,
    pem(LAB.google.intermediate().der, LAB.google.root.der).encode(),
    dict(grub_boot().logs())["ccel"],
)


@settings(max_examples=200)
@given(st.data())
def test_files_of_google_with_one_damaged(data: st.DataObject) -> None:
    """Whatever it is taken for, or for nothing: no other exception, no warning, and nothing is lost."""
    files = list(data.draw(st.permutations(FILES)))
    place = data.draw(st.integers(0, len(files) - 1))
    damaged = bytearray(files[place])
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    files[place] = bytes(damaged)[: data.draw(st.integers(0, len(damaged)))]
    try:
        found = identify(files)
        registry.parse([one for one in found.evidence if one.kind is not EvidenceKind.CCEL])
    except VerificationError:
        return
    assert len(found.evidence) + len(found.collateral) >= len(FILES) - 2
