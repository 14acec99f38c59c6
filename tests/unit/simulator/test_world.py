# SPDX-License-Identifier: Apache-2.0
"""A world in a file: every process that reads it sees the same vendors and machines."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from attestca_client.protocol import tpm_extra
from simulator.cvm import (
    GpuEvidence,
    SimulatedAzure,
    SimulatedGoogle,
    SimulatedQuotes,
    SimulatedReports,
    gpus_of,
)
from simulator.eventlog import ccel
from simulator.tpm_eventlog import of_tpm
from simulator.world import BOOT, World, anchor_paths, root_path

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world's file."""
    path = tmp_path_factory.mktemp("world") / "world.json"
    World.create(path)
    return path


def test_two_readers_see_the_same_world(file: Path) -> None:
    one, two = World.load(file), World.load(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert one.machine.quote() == two.machine.quote()
    assert one.snp.report() == two.snp.report()
    assert one.amd.chips == two.amd.chips == {("Genoa", one.snp.hwid)}
    assert one.snp.line.ark.key.spki == two.snp.line.ark.key.spki
    nonce = bytes(range(32))
    for first, second in zip(one.nvidia.devices, two.nvidia.devices, strict=True):
        assert first.evidence(nonce) == second.evidence(nonce)
    assert (*one.gpus, *one.elsewhere) == tuple(one.nvidia.devices)
    assert len({gpu.serial for gpu in one.nvidia.devices}) == 4
    assert one.nvidia.nras_pins == two.nvidia.nras_pins


def test_anchors_lie_beside_it(file: Path) -> None:
    world = World.load(file)
    intel, genoa, nvidia, google = anchor_paths(file)
    assert intel == root_path(file)
    assert x509.load_pem_x509_certificate(intel.read_bytes()) == x509.load_der_x509_certificate(
        world.intel.root_der
    )
    found = x509.load_pem_x509_certificates(genoa.read_bytes())
    line = world.snp.line
    assert [one.tbs_certificate_bytes for one in found] == [
        authority.spec.tbs() for authority in (line.ark, line.ask, line.asvk)
    ]
    assert nvidia.read_text() == world.nvidia.pem
    assert google.read_text() == world.google.pem


def test_evidence_of_each_kind(file: Path) -> None:
    world = World.load(file)
    binding = bytes(range(64))
    quote, log = SimulatedQuotes(world.machine)(binding)
    assert (log.kind, log.data) == ("ccel", ccel(BOOT.events))
    report, table = SimulatedReports(world.snp, certificates=True)(binding)
    hcl, attest, _, pcrs = SimulatedAzure(world.azure(), {"pcr9": b"\x09" * 32})(binding)
    kinds = [piece.kind for piece in (quote, report, table, hcl, attest)]
    assert kinds == ["tdx-quote", "snp-report", "snp-certificates", "hcl-report", "tpm-attest"]
    assert report.data[0x50:0x90] == binding
    assert pcrs.data[9 * 32 : 10 * 32] == b"\x09" * 32
    quote, hcl, *of_tpm = SimulatedAzure(world.azure_td(), {"pcr4": b"\x04" * 32})(binding)
    assert [piece.kind for piece in (quote, hcl)] == ["tdx-quote", "hcl-report"]
    text = hcl.data[1236 : 1236 + int.from_bytes(hcl.data[1232:1236], "little")]
    assert quote.data[568:632] == hashlib.sha256(text).digest() + bytes(32)
    assert hcl.data[32 + 128 : 32 + 192] == quote.data[568:632]
    assert of_tpm[2].data[4 * 32 : 5 * 32] == b"\x04" * 32
    cut = world.azure_td().quoted(hcl.data[32 : 32 + 1024])
    assert cut[48:632] == quote.data[48:632]


def test_evidence_of_googles_machines(file: Path) -> None:
    world = World.load(file)
    binding, extra = bytes(range(64)), tpm_extra(bytes(range(64)))
    of_tpm_kinds = ["tpm-attest", "tpm-signature", "tpm-pcrs", "tpm-ak-certificate"]
    cvm, td = world.google_cvm(), world.google_td()
    report, attest, _, pcrs, certificate, log = SimulatedGoogle(cvm)(binding)
    assert [report.kind, log.kind] == ["snp-report", "tpm-event-log"]
    assert report.data[0x50:0x90] == binding
    assert extra in attest.data
    assert pcrs.data == b"".join(of_tpm(BOOT).pcrs)
    assert x509.load_der_x509_certificate(certificate.data).public_key() == (
        cvm.tpm.ak.private.public_key()
    )
    quote, *beside, log = SimulatedGoogle(td)(binding)
    assert [piece.kind for piece in beside] == of_tpm_kinds
    assert (quote.data[568:632], log.data) == (binding, ccel(BOOT.events))
    for change in ({"pcr4": b"\4" * 32}, {"rtmr1": b"\1" * 48}):
        *pieces, last = SimulatedGoogle(td, change)(binding)
        assert last.kind == "tpm-ak-certificate"
        assert b"\4" * 32 in pieces[3].data


def test_tampering_changes_one_signed_bit(file: Path) -> None:
    world = World.load(file)
    azure = SimulatedAzure(world.azure())
    google = SimulatedGoogle(world.google_cvm())
    for source, start in (
        (SimulatedReports(world.snp), 0x90),
        (azure, 0x20 + 0x90),
        (google, 0x90),
    ):
        right = source(bytes(64))[0].data
        changed = replace(source, tamper=True)(bytes(64))[0].data
        differing = [at for at, (a, b) in enumerate(zip(right, changed, strict=True)) if a != b]
        assert differing == [start]


def test_tampering_with_a_td_changes_its_measurement(file: Path) -> None:
    """Its signatures are made anew each time, so that two quotes differ in them."""
    world = World.load(file)
    for source in (SimulatedAzure(world.azure_td()), SimulatedGoogle(world.google_td())):
        right, changed = (
            replace(source, tamper=tamper)(bytes(64))[0].data[:632] for tamper in (False, True)
        )
        assert [at for at in range(632) if right[at] != changed[at]] == [184]


def test_whose_evidence_is_sent_for_that_of_gpus(file: Path) -> None:
    world, nonce = World.load(file), bytes(range(32))
    sent = {whose: gpus_of(world, 2, whose)(nonce) for whose in GpuEvidence}
    assert {piece.kind for pieces in sent.values() for piece in pieces} == {"nvidia-device"}
    data = {whose: [piece.data for piece in pieces] for whose, pieces in sent.items()}
    assert data[GpuEvidence.HONEST] == [gpu.evidence(nonce) for gpu in world.gpus]
    assert data[GpuEvidence.RELAYED] == [gpu.evidence(nonce) for gpu in world.elsewhere]
    for whose, same_chain, same_nonce in (
        (GpuEvidence.HONEST, True, True),
        (GpuEvidence.RECORDED, True, False),
        (GpuEvidence.FORGED, False, True),
    ):
        for gpu, piece in zip(world.gpus, data[whose], strict=True):
            assert piece.endswith(gpu.chain) is same_chain
            assert (nonce in piece) is same_nonce
    assert gpus_of(world, 1)(nonce) == sent[GpuEvidence.HONEST][:1]
