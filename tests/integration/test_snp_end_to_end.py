# SPDX-License-Identifier: Apache-2.0
"""SEV-SNP machines enroll with the client's code at `attestca serve`, beside the TDX machine, whatever the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from attestca_client.errors import Refused
from simulator.world import World
from tests.canary import leaks
from tests.stage_lab import (
    enroll_azure_machine,
    enroll_machine,
    enroll_snp_machine,
    written_by,
)

if TYPE_CHECKING:
    from pathlib import Path

    from attestca_client.enroll import Enrollment
    from simulator.stage import Stage

DEBUG = bytes.fromhex("00000b0000000000")  # a guest policy that lets the host look inside


def uris(enrolled: Enrollment) -> list[str]:
    names = enrolled.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


@pytest.mark.parametrize("carried", ["VCEK fetched", "VCEK carried"])
def test_a_machine_enrolls_with_its_vcek_or_without(
    stage: Stage, tmp_path: Path, carried: str
) -> None:
    enrolled = enroll_snp_machine(stage, tmp_path, certificates=carried == "VCEK carried")
    assert (enrolled.policy, enrolled.assurance) == ("demo-snp@1", "simulated")
    measurement = bytes(stage.world.snp.report()[0x90:0xC0]).hex()
    assert uris(enrolled) == [f"spiffe://example.org/snp/genoa/{measurement[:32]}"]


def test_a_machine_under_a_paravisor_enrolls(stage: Stage, tmp_path: Path) -> None:
    enrolled = enroll_azure_machine(stage, tmp_path)
    assert (enrolled.policy, enrolled.assurance) == ("demo-azure@1", "simulated")
    assert uris(enrolled)[0].startswith("spiffe://example.org/azure/")


def test_both_technologies_side_by_side(sqlite_stage: Stage, tmp_path: Path) -> None:
    tdx = enroll_machine(sqlite_stage, tmp_path / "tdx")
    snp = enroll_snp_machine(sqlite_stage, tmp_path / "snp")
    assert (tdx.policy, snp.policy) == ("demo@1", "demo-snp@1")
    assert tdx.certificate.issuer == snp.certificate.issuer


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"policy": DEBUG}, "debug"),
        ({"measurement": b"\xab" * 48}, "measurement"),
        ({"vmpl": b"\x01\0\0\0"}, "vmpl-not-zero"),
        ({"report_id_ma": bytes(32)}, "migration-agent"),
    ],
)
def test_what_the_policy_refuses(
    sqlite_stage: Stage, tmp_path: Path, fields: dict[str, bytes], rule: str
) -> None:
    with pytest.raises(Refused) as refused:
        enroll_snp_machine(sqlite_stage, tmp_path / "vm", fields=fields)
    assert refused.value.code == "denied"
    assert {finding.rule for finding in refused.value.findings} == {rule}
    assert not (tmp_path / "vm" / "key.pem").exists()
    assert f'"{rule}"' in sqlite_stage.operate("refusals", "list", "--json")


def test_a_kernel_that_the_vtpm_measured_otherwise(sqlite_stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        enroll_azure_machine(sqlite_stage, tmp_path, pcr9=b"\xab" * 32)
    assert [finding.rule for finding in refused.value.findings] == ["measurement"]


def test_a_chip_that_amd_does_not_know(sqlite_stage: Stage, tmp_path: Path) -> None:
    """Nothing of it reaches a log or the answer, for its id is the key of its address at AMD's."""
    world = World.load(sqlite_stage.world_file)
    unknown = world.amd.machine()
    with pytest.raises(Refused) as refused:
        enroll_snp_machine(sqlite_stage, tmp_path, machine=unknown)
    assert refused.value.code == "platform-unknown"
    said = {"answer": str(refused.value).encode(), **written_by(sqlite_stage)}
    assert leaks(said, {"chip id": unknown.chip_id}) == []


@pytest.mark.parametrize("arguments", [(), ("--azure",)])
def test_evidence_that_was_changed_on_its_way(
    sqlite_stage: Stage, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = sqlite_stage.enroll(tmp_path, "--tee", "snp", "--tamper", *arguments)
    assert done.returncode == 1
    assert "refused (signature)" in done.stderr
