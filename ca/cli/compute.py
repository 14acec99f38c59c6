# SPDX-License-Identifier: Apache-2.0
"""`attestca refvalues compute`: the reference entry of an image, calculated and not read off a machine.

The entry is what `policies.document.ReferenceEntry` reads; its source names every input, since the digest depends on
all of them: the same image with another number of virtual CPUs has another digest.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import launch, options, output
from ca.cli.inputs import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from verifiers.claims import JsonValue

app = typer.Typer(name="compute", help="Calculate them from an image.", no_args_is_help=True)

OvmfOption = Annotated[Path, typer.Option("--ovmf", metavar="FILE", help="The firmware.")]
KernelOption = Annotated[
    Path | None,
    typer.Option("--kernel", metavar="FILE", help="With direct boot (QEMU's -kernel)."),
]
InitrdOption = Annotated[Path | None, typer.Option("--initrd", metavar="FILE")]
CmdlineOption = Annotated[
    str, typer.Option("--cmdline", metavar="TEXT", help="The kernel's command line, exactly.")
]
VcpusOption = Annotated[
    int,
    typer.Option("--vcpus", metavar="N", min=1, max=launch.MAX_VCPUS, help="Virtual CPUs."),
]
VcpuTypeOption = Annotated[
    str | None,
    typer.Option("--vcpu-type", metavar="NAME", help="As QEMU names it: EPYC-v4, EPYC-Milan, …"),
]
VmmOption = Annotated[launch.Vmm, typer.Option("--vmm", help="Who starts the guest.")]
FeaturesOption = Annotated[
    str,
    typer.Option(
        "--guest-features", metavar="HEX", help="SEV_FEATURES: 0x1 SNP, 0x21 with debug swap."
    ),
]
IdOption = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="Of the entry. Default: computed-<date>.")
]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="For people and audits.")]
AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="RFC3339", help="Date the entry to this instant, not to now."),
]


_FIRMWARE_ALONE = "attestca: without --kernel the digest is the firmware's: what that boots from a disk is not in it"


@app.callback()
def _group() -> None:
    """Calculate reference values from an image."""


@app.command("snp")
def snp_command(
    ovmf: OvmfOption,
    vcpus: VcpusOption,
    vmm: VmmOption,
    vcpu_type: VcpuTypeOption = None,
    kernel: KernelOption = None,
    initrd: InitrdOption = None,
    cmdline: CmdlineOption = "",
    guest_features: FeaturesOption = "0x1",
    entry_id: IdOption = None,
    note: NoteOption = "",
    at: AtOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Print a reference entry (YAML) with the launch digest of an SEV-SNP guest; wants the extra snp-measure."""
    added = parse_instant(at)
    guest = launch.Launch(
        ovmf, kernel, initrd, cmdline, vcpus, vcpu_type, vmm, _hexadecimal(guest_features)
    )
    measured = launch.measure(guest)
    if kernel is None:
        output.say(_FIRMWARE_ALONE)
    found = _entry(measured, entry_id or f"computed-{added:%Y-%m-%d}", note, added)
    if json_:
        output.print_json(found)
    else:
        output.write("".join(f"{line}\n" for line in _yaml(found)))


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no hexadecimal number") from error


def _entry(
    measured: launch.Measured, entry_id: str, note: str, added: datetime
) -> dict[str, JsonValue]:
    """The entry as a policy has it. Raises BadParameter for an id or a note that no policy takes."""
    from pydantic import ValidationError

    from policies.document import ReferenceEntry

    entry: dict[str, JsonValue] = {
        "id": entry_id,
        "values": {"measurement": measured.measurement.hex()},
        "added": f"{added:%Y-%m-%dT%H:%M:%SZ}",
        **({"note": note} if note else {}),
        "source": {
            "kind": "computed",
            "sha256": measured.ovmf_sha256.hex(),
            "note": measured.inputs,
        },
    }
    try:
        ReferenceEntry.model_validate_json(json.dumps(entry))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise typer.BadParameter(f"{first['loc'][0]}: {first['msg']}") from error
    return entry


def _yaml(entry: dict[str, JsonValue]) -> Iterator[str]:
    """As one item of a list to paste below a name in `reference_sets`; text in JSON's quotes, which YAML 1.2 reads."""
    lead = "    - "
    for name, value in entry.items():
        if isinstance(value, dict):
            yield f"{lead}{name}:"
            yield from (f"        {inner}: {json.dumps(one)}" for inner, one in value.items())
        else:
            yield f"{lead}{name}: {json.dumps(value) if name != 'added' else value}"
        lead = "      "
