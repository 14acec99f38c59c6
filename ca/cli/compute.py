# SPDX-License-Identifier: Apache-2.0
"""`attestca refvalues compute`: the reference entry of an image, calculated and not read off a machine.

An entry is what `policies.document.ReferenceEntry` reads; its source names every input, since the digest depends on
all of them: the same image with another number of virtual CPUs has another digest.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import direct_files, launch, options, output
from ca.cli.inputs import parse_instant, read_input
from verifiers.eventlog import handed
from verifiers.eventlog.launch import LaunchField

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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


QemuOption = Annotated[
    str,
    typer.Option(
        "--qemu", metavar="VERSION", help="Before 10.2 it writes into the kernel's header."
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="SIZE", help="Of the guest (2G, 512M); QEMU before 10.2 with an initrd."
    ),
]
KernelDigestOption = Annotated[
    str | None,
    typer.Option(
        "--kernel-digest",
        metavar="HEX",
        help="Instead of --kernel: its Authenticode SHA-384, as a log of such a boot has it.",
    ),
]
InitrdDigestOption = Annotated[
    str | None,
    typer.Option("--initrd-digest", metavar="HEX", help="Instead of --initrd: its SHA-384."),
]
CmdlineDigestOption = Annotated[
    str | None,
    typer.Option(
        "--cmdline-digest",
        metavar="HEX",
        help="Instead of --cmdline: SHA-384 of the load options, as a log has it.",
    ),
]

InitDataArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="Exactly as it is handed over.")
]
AlgorithmOption = Annotated[
    handed.HashName | None,
    typer.Option("--algorithm", help="Default: what init data name, else that of the field."),
]

_WHERE = {
    LaunchField.MR_CONFIG_ID: "of a TD",
    LaunchField.HOST_DATA: "of an SEV-SNP guest",
    LaunchField.PCR8: "in Azure, whose policies take the value of host_data as boot.coco.init_data",
}
_NOT_ALL = "attestca: MRTD and RTMR0 are not computed: capture them, or leave them to other entries"
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
    values = {"measurement": measured.measurement.hex()}
    source = {
        "kind": "computed",
        "sha256": measured.ovmf_sha256.hex(),
        "note": measured.inputs,
    }
    _print(_checked(values, source, entry_id, note, added), as_json=json_)


@app.command("tdx")
def tdx_command(
    qemu: QemuOption,
    kernel: KernelOption = None,
    initrd: InitrdOption = None,
    cmdline: CmdlineOption = "",
    memory: MemoryOption = None,
    kernel_digest: KernelDigestOption = None,
    initrd_digest: InitrdDigestOption = None,
    cmdline_digest: CmdlineDigestOption = None,
    entry_id: IdOption = None,
    note: NoteOption = "",
    at: AtOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Print a reference entry (YAML) with RTMR1 and RTMR2 of a TD that QEMU starts with a kernel of its own."""
    added = parse_instant(at)
    given = direct_files.Given(
        *(kernel, initrd, cmdline, kernel_digest, initrd_digest, cmdline_digest),
        qemu=direct_files.qemu_version(qemu),
        memory=direct_files.memory_size(memory),
    )
    found = direct_files.measure(given)
    output.say(_NOT_ALL)
    digests = found.digests
    values = {"rtmr1": digests.rtmr1.hex(), "rtmr2": digests.rtmr2.hex()}
    source = {"kind": "computed", "note": found.inputs}
    if found.kernel_sha256 is not None:
        source = {"kind": "computed", "sha256": found.kernel_sha256.hex(), "note": found.inputs}
    _print(_checked(values, source, entry_id, note, added), as_json=json_)


@app.command("init-data")
def init_data_command(
    file: InitDataArgument,
    algorithm: AlgorithmOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Print what MRCONFIGID, HOST_DATA and Azure's PCR 8 hold of a file that a host hands over at launch.

    Init data of Confidential Containers, dstack's app-compose.json or configuration document, or any other file.
    """
    data = read_input(file)
    kind = handed.kind_of(data) if algorithm is None else handed.FileKind.INIT_DATA
    declared = algorithm or handed.declared_algorithm(data)
    held = {one: handed.held_for(one, data, algorithm) for one in _WHERE}
    values = {one: value.hex() for one, value in held.items() if value is not None}
    if json_:
        named = {one.value: value for one, value in values.items()}
        output.print_json({"kind": kind, "algorithm": declared, **named})
        return
    lines = [f"# {kind}" + ("" if declared is None else f", {declared}")]
    lines += [f'{one}: "{value}"  # {_WHERE[one]}' for one, value in values.items()]
    output.write("".join(f"{line}\n" for line in lines))


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no hexadecimal number") from error


def _print(entry: dict[str, JsonValue], *, as_json: bool) -> None:
    if as_json:
        output.print_json(entry)
    else:
        output.write("".join(f"{line}\n" for line in _yaml(entry)))


def _checked(
    values: Mapping[str, JsonValue],
    source: Mapping[str, JsonValue],
    entry_id: str | None,
    note: str,
    added: datetime,
) -> dict[str, JsonValue]:
    """The entry as a policy has it. Raises BadParameter for an id or a note that no policy takes."""
    from pydantic import ValidationError

    from policies.document import ReferenceEntry

    entry: dict[str, JsonValue] = {
        "id": entry_id or f"computed-{added:%Y-%m-%d}",
        "values": dict(values),
        "added": f"{added:%Y-%m-%dT%H:%M:%SZ}",
        **({"note": note} if note else {}),
        "source": dict(source),
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
