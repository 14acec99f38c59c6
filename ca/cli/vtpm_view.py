# SPDX-License-Identifier: Apache-2.0
"""What Azure's paravisor, Google and a virtual TPM say, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attestca_client.protocol import tpm_extra
from ca.cli import output

if TYPE_CHECKING:
    from verifiers.vtpm.claims import GceClaims, HclClaims, TpmClaims

_BOUND: Final = "by Google's word and the guest's: what both carry is one binding, no more"
_NOT_BOUND: Final = (
    "nothing says so: extra data is not what an enrollment with this report_data has"
)


def show_vtpm(
    hcl: HclClaims | None,
    tpm: TpmClaims | None,
    gce: GceClaims | None = None,
    report_data: bytes = b"",
) -> None:
    """Each under a title, behind an empty line; nothing of what is not there. `report_data`: of the CPU's evidence."""
    if hcl is not None:
        output.say_blank()
        output.print_facts(_hcl_facts(hcl), "Azure's paravisor")
    if gce is not None:
        output.say_blank()
        bound = tpm is not None and tpm.extra_data == tpm_extra(report_data)
        output.print_facts(
            _gce_facts(gce, bound=bound), "Google's word for the key of its virtual TPM"
        )
    if tpm is not None:
        output.say_blank()
        output.print_facts(_tpm_facts(tpm), "Virtual TPM")
        output.say_blank()
        output.print_table(
            ("bank", "PCR", "value"),
            ((str(bank), str(index), value.hex()) for bank, index, value in tpm.pcrs),
            "Quoted PCRs",
        )


def _hcl_facts(hcl: HclClaims) -> dict[str, str]:
    switches = {
        "secure boot": hcl.secure_boot,
        "TPM": hcl.tpm_enabled,
        "TPM persisted": hcl.tpm_persisted,
        "console": hcl.console_enabled,
    }
    return {
        "HCL report": f"version {hcl.version}",
        **{name: "on" if on else "off" for name, on in switches.items() if on is not None},
        "VM": hcl.vm_unique_id or "not named",
        "user data": "none" if hcl.user_data is None else hcl.user_data.hex(),
        "runtime data": f"sha256 {hcl.runtime_data_sha256.hex()}",
    }


def _gce_facts(gce: GceClaims, *, bound: bool) -> dict[str, str]:
    return {
        "VM": f"{gce.instance_name}, id {gce.instance_id}, in {gce.zone}",
        "project": f"{gce.project_id}, number {gce.project_number}",
        "certificate": f"sha256 {gce.ak_certificate_sha256.hex()}",
        "revocation": f"authority that signed it {gce.revocation}",
        "certificates end": gce.certificates_expire.isoformat(),
        "of this CPU's machine": _BOUND if bound else _NOT_BOUND,
    }


def _tpm_facts(tpm: TpmClaims) -> dict[str, str]:
    return {
        "extra data": tpm.extra_data.hex(),
        "clock": f"{tpm.clock} ms" + ("" if tpm.safe else ", not safe: it may have run backwards"),
        "resets": f"{tpm.reset_count}, restarts {tpm.restart_count}",
        "firmware": f"{tpm.firmware_version:016x}",
    }
