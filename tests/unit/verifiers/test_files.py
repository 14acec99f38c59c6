# SPDX-License-Identifier: Apache-2.0
"""Which files are a CPU's, however damaged they are; what else is told apart is tested with each technology."""

from __future__ import annotations

from simulator.eventlog import grub_boot
from tests.google_lab import GoogleLab
from tests.snp_lab import SnpLab
from tests.tdx_lab import Lab
from verifiers.files import is_of_cpu


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
