# SPDX-License-Identifier: Apache-2.0
"""What an SEV-SNP report says, AMD of its chip, and on Azure the paravisor and its virtual TPM, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ca.cli import output, vtpm_view
from verifiers.snp.claims import TCB_COMPONENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from verifiers.snp.claims import SnpClaims, SnpReportBody, VekClaims

_ASKED_BY_HOST: Final = 0xFFFFFFFF  # VMPL of a report that the host asked for
NO_AGENT: Final = b"\xff" * 32  # REPORT_ID_MA of a guest that no migration agent is bound to


def show_claims(claims: SnpClaims) -> None:
    """Every part, each under a title."""
    output.print_table(
        ("component", "reported", "committed", "current", "launch"),
        _tcb_rows(claims),
        "TCB versions",
    )
    output.say_blank()
    output.print_facts(_claims_facts(claims), "Claims")
    output.say_blank()
    output.print_facts(_vek_facts(claims.vek), "Endorsement by AMD")
    vtpm_view.show_vtpm(claims.hcl, claims.tpm, claims.gce, claims.report.report_data)


def _tcb_rows(claims: SnpClaims) -> Iterator[tuple[str, ...]]:
    versions = (claims.reported_tcb, claims.committed_tcb, claims.current_tcb, claims.launch_tcb)
    for name in TCB_COMPONENTS:
        numbers = [getattr(version, name) for version in versions]
        if numbers != [None] * len(versions):
            yield (name, *map(str, numbers))


def _claims_facts(claims: SnpClaims) -> dict[str, str]:
    report = claims.report
    return {
        "report": f"version {report.version}, provider {claims.provider}",
        "product": f"{claims.product}, {_cpu(claims)}",
        "firmware": f"{report.current_version}, committed {report.committed_version}",
        "guest policy": f"{_bits(report.policy, claims.guest_policy)};"
        f" firmware ABI {report.abi_major}.{report.abi_minor} or later",
        "platform": _bits(report.platform_info, claims.platform),
        "vmpl": "asked for by the host" if report.vmpl == _ASKED_BY_HOST else str(report.vmpl),
        "measurement": report.measurement.hex(),
        "host_data": report.host_data.hex(),
        "report_data": report.report_data.hex(),
        "chip_id": report.chip_id.hex() if any(report.chip_id) else "masked: all zero",
        "report_id": report.report_id.hex(),
        **_id_block_facts(report),
        **_later_facts(report),
        "revocation": f"{claims.vek.kind.upper()} chain {claims.revocation}",
        "expires": claims.expires.isoformat(),
    }


def _cpu(claims: SnpClaims) -> str:
    """The CPU as floors of a policy name it."""
    if claims.cpu is None:
        return "CPU not named by this version of the report"
    return f"CPU {claims.cpu} (family, model, stepping)"


def _bits(number: int, names: Iterable[str]) -> str:
    return f"{number:016x} ({', '.join(sorted(names)) or 'none'})"


def _id_block_facts(report: SnpReportBody) -> dict[str, str]:
    """What whoever started the guest signed, or wrote, about it."""
    facts = {"id_key_digest": report.id_key_digest.hex() if any(report.id_key_digest) else "none"}
    if report.author_key_en:
        facts["author_key_digest"] = report.author_key_digest.hex()
    return {
        **facts,
        "family_id": report.family_id.hex(),
        "image_id": report.image_id.hex(),
        "guest_svn": str(report.guest_svn),
    }


def _later_facts(report: SnpReportBody) -> dict[str, str]:
    """What not every report has."""
    facts = {}
    if report.report_id_ma != NO_AGENT:
        facts["migration agent"] = report.report_id_ma.hex()
    if report.launch_mit_vector is not None and report.current_mit_vector is not None:
        facts["mitigations"] = (
            f"{report.current_mit_vector:016x}, at launch {report.launch_mit_vector:016x}"
        )
    return facts


def _vek_facts(vek: VekClaims) -> dict[str, str]:
    facts = {
        "certificate": f"{vek.kind.upper()} of {vek.product_name}",
        "valid": f"{vek.not_before.isoformat()} to {vek.not_after.isoformat()}",
        "sha256": vek.certificate_sha256.hex(),
    }
    if vek.csp_id is not None:
        facts["CSP id"] = vek.csp_id
    return facts
