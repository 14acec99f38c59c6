# SPDX-License-Identifier: Apache-2.0
"""`attestca refvalues compute snp`: published digests, the digest that real hardware signed, and wrong inputs."""

from __future__ import annotations

import builtins
import contextlib
import json
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sevsnpmeasure import guest
from sevsnpmeasure.sev_hashes import SevHashes

from ca.cli import launch
from policies.loader import load_policy
from tests.tdx_vectors import NOTICE, ROOT
from tests.unit.ca.cli.firmware import KERNEL_HASHES, SECTIONS, Section, firmware

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType

    from tests.cli_lab import Cli

VECTORS = ROOT / "refvalues" / "sev-snp-measure"
SIGNED = ROOT / "snp" / "milan-v3-reported-below-committed"
COMPUTE = ("refvalues", "compute", "snp")
POLICY = """\
name: computed
version: 1
match: {{tee: snp}}
reference_sets:
  release:
{entry}
snp:
  measurements: [release]
  tcb: {{no_floor: of no interest here}}
"""


def published() -> list[Any]:
    path = VECTORS / "expected.json"
    return json.loads(path.read_text())["cases"] if path.exists() else [None]


@pytest.fixture
def ovmf(tmp_path: Path) -> Path:
    path = tmp_path / "OVMF.fd"
    path.write_bytes(firmware())
    return path


@pytest.fixture
def boot(tmp_path: Path) -> tuple[str, ...]:
    """Options of a direct boot."""
    kernel, initrd = tmp_path / "vmlinuz", tmp_path / "initrd.img"
    kernel.write_bytes(b"a kernel")
    initrd.write_bytes(b"an initial file system")
    return ("--kernel", str(kernel), "--initrd", str(initrd), "--cmdline", "console=ttyS0")


def on(ovmf: Path | str, *, vcpus: int = 2, vmm: str = "qemu") -> tuple[str, ...]:
    kind = ("--vcpu-type", "EPYC-v4") if vmm == "qemu" else ()
    return (*COMPUTE, "--ovmf", str(ovmf), "--vcpus", str(vcpus), "--vmm", vmm, *kind)


@pytest.mark.parametrize("case", published())
def test_published_digests(cli: Cli, tmp_path: Path, case: Mapping[str, Any] | None) -> None:
    if case is None:
        pytest.skip(NOTICE)
    empty = tmp_path / "empty"
    empty.touch()
    direct = ("--kernel", empty, "--initrd", empty, "--cmdline", case.get("append", ""))
    said = cli.good(
        *(*COMPUTE, "--ovmf", VECTORS / case["ovmf"], "--vcpus", str(case["vcpus"])),
        *("--vcpu-type", case["vcpu_type"], "--vmm", case["vmm"].lower()),
        *("--guest-features", case["guest_features"], "--json"),
        *(direct if "kernel" in case else ()),
    ).json()
    assert said["values"] == {"measurement": case["launch_digest"]}


def test_what_the_hardware_signed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All inputs of this guest are public, firmware and kernel by their hashes: they stand in where files are read."""
    if not SIGNED.is_dir():
        pytest.skip(NOTICE)
    inputs = json.loads((SIGNED / "launch.json").read_text())["inputs"]

    class Hashes(SevHashes):  # type: ignore[misc] # the package has no types
        def __init__(self, *files: str) -> None:
            super().__init__(*files)
            self.kernel_hash = bytes.fromhex(inputs["kernel_hash"])
            self.initrd_hash = bytes.fromhex(inputs["initrd_hash"])

    seeded = partial(guest.calc_launch_digest, snp_ovmf_hash_str=inputs["ovmf_hash"])
    monkeypatch.setattr(guest, "calc_launch_digest", seeded)
    monkeypatch.setattr(guest, "SevHashes", Hashes)
    ovmf, empty = tmp_path / "OVMF.fd", tmp_path / "empty"
    empty.touch()
    ovmf.write_bytes(
        firmware(
            tuple(
                Section(one["gpa"], one["size"], one["section_type"])
                for one in inputs["ovmf_sections"]
            ),
            hash_table_gpa=inputs["sev_hashes_table_gpa"],
            reset_eip=inputs["sev_es_reset_eip"],
        )
    )
    said = cli.good(
        *(*COMPUTE, "--ovmf", ovmf, "--kernel", empty, "--initrd", empty),
        *("--cmdline", inputs["base_cmdline"], "--vcpus", str(inputs["vcpus"])),
        *("--vcpu-type", inputs["vcpu_type"], "--vmm", "qemu"),
        *("--guest-features", hex(inputs["guest_features"]), "--json"),
    ).json()
    report = (SIGNED / "report.bin").read_bytes()
    assert said["values"]["measurement"] == report[0x90:0xC0].hex()


def test_a_firmware_alone_is_said_to_be_one(cli: Cli, ovmf: Path, boot: tuple[str, ...]) -> None:
    """Whoever pins its digest pins no system; with direct boot there is nothing to say."""
    assert "boots from a disk is not in it" in cli.good(*on(ovmf)).err
    assert cli.good(*on(ovmf), *boot).err == ""


def test_the_entry_loads_and_names_every_input(cli: Cli, ovmf: Path, boot: tuple[str, ...]) -> None:
    options = ("--guest-features", "21", "--id", "web-7", "--note", "rack 12: nginx")
    printed = cli.good(*on(ovmf), *boot, *options, "--at", "2026-11-25T13:00:00Z").out
    document = load_policy(POLICY.format(entry=printed).encode()).document
    (entry,) = document.reference_sets["release"]
    assert (entry.id, entry.note) == ("web-7", "rack 12: nginx")
    assert entry.source is not None
    assert (str(entry.source.kind), entry.source.sha256) == (
        "computed",
        sha256(ovmf.read_bytes()).digest(),
    )
    for word in (
        *(f"firmware sha256 {sha256(ovmf.read_bytes()).hexdigest()}",),
        f"kernel sha256 {sha256(b'a kernel').hexdigest()}",
        f"initrd sha256 {sha256(b'an initial file system').hexdigest()}",
        *('command line "console=ttyS0"', "2 vCPUs", "CPU type EPYC-v4", "guest features 0x21"),
        *("VMM qemu", "by sev-snp-measure 0.0."),
    ):
        assert word in entry.source.note
    said = cli.good(*on(ovmf), *boot, *options, "--at", "2026-11-25T13:00:00Z", "--json").json()
    assert said["values"]["measurement"] in printed
    assert (said["id"], said["added"]) == ("web-7", "2026-11-25T13:00:00Z")


def test_the_id_is_the_day(cli: Cli, ovmf: Path) -> None:
    said = cli.good(*on(ovmf), "--at", "2026-11-25T13:00:00Z", "--json").json()
    assert said["id"] == "computed-2026-11-25"
    assert "note" not in said


def test_the_digest_depends_on_each_input(cli: Cli, ovmf: Path, boot: tuple[str, ...]) -> None:
    """One that it did not depend on would be measured for nothing."""
    initrd, cmdline = boot[2:4], boot[4:]
    kernel = boot[:2]
    runs = [
        (*on(ovmf), *boot),
        on(ovmf),
        (*on(ovmf), *kernel, *cmdline),
        (*on(ovmf), *kernel, *initrd),
        (*on(ovmf, vcpus=3), *boot),
        (*on(ovmf, vmm="ec2"), *boot),
        (*on(ovmf, vmm="gce"), *boot),
        (*on(ovmf), *boot, "--vcpu-type", "EPYC-Milan"),
        (*on(ovmf), *boot, "--guest-features", "0x21"),
    ]
    digests = [cli.good(*run, "--json").json()["values"]["measurement"] for run in runs]
    assert len(set(digests)) == len(runs)


def test_a_type_that_is_not_measured_is_not_named(cli: Cli, ovmf: Path) -> None:
    first = cli.good(*on(ovmf, vmm="ec2"), "--json").json()
    other = cli.good(*on(ovmf, vmm="ec2"), "--vcpu-type", "EPYC-Milan", "--json").json()
    assert first["values"] == other["values"]
    assert "CPU type not measured" in other["source"]["note"]


@pytest.mark.parametrize("text", ["x" * 1500, "quiet splash=\u00e9", "a\tb"])
def test_a_command_line_that_is_not_shown_is_named_by_its_digest(
    cli: Cli, ovmf: Path, boot: tuple[str, ...], text: str
) -> None:
    note = cli.good(*on(ovmf), *boot[:2], "--cmdline", text, "--json").json()["source"]["note"]
    data = text.encode()
    assert f"of {len(data)} bytes, sha256 {sha256(data).hexdigest()}" in note


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--vcpu-type", "Pentium"), "known: EPYC, "),
        (("--guest-features", "0x20"), "bit 0"),
        (("--guest-features", "1" + "0" * 15 + "1"), "64-bit"),
        (("--guest-features", "all"), "hexadecimal"),
        (("--vcpus", "0"), "--vcpus"),
        (("--vmm", "vmware"), "--vmm"),
        (("--id", "no spaces"), "id: "),
        (("--note", "x" * 2001), "note: "),
        (("--cmdline", "quiet"), "--kernel"),
        (("--at", "tomorrow"), "RFC 3339"),
    ],
)
def test_wrong_settings(cli: Cli, ovmf: Path, options: tuple[str, ...], words: str) -> None:
    done = cli(*on(ovmf), *options)
    assert (done.code, done.out) == (64, "")
    assert words in done.err


def test_an_initrd_wants_a_kernel(cli: Cli, ovmf: Path, boot: tuple[str, ...]) -> None:
    done = cli(*on(ovmf), *boot[2:4])
    assert (done.code, done.out) == (64, "")
    assert "--kernel" in done.err


def test_qemu_wants_the_type(cli: Cli, ovmf: Path) -> None:
    done = cli(*COMPUTE, "--ovmf", ovmf, "--vcpus", "1", "--vmm", "qemu")
    assert (done.code, done.out) == (64, "")
    assert "--vcpu-type" in done.err


def _without_metadata() -> bytes:
    return bytes(4096 - 32) + firmware()[-32:]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ""),
        (_without_metadata(), "no OVMF with SEV metadata"),
        (firmware(()), "no OVMF with SEV metadata"),
        (firmware(size=4096 + 512), "whole number of pages"),
        (firmware((Section(0x800000, 0x1001, 1),)), "whole number of pages"),
        (firmware((Section(0x800000, 0x1000, 0x77),)), "119"),
        (firmware(reset_eip=0), "further virtual CPUs"),
        (b"XSEV" + firmware()[4:], "signature"),
    ],
)
def test_files_that_are_no_firmware(cli: Cli, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    done = cli(*on(path))
    assert (done.code, done.out) == (66, "")
    assert str(path) in done.err
    assert words in done.err


@pytest.mark.parametrize(
    "content",
    [
        firmware(tuple(one for one in SECTIONS if one.kind != KERNEL_HASHES)),
        firmware((*SECTIONS, Section(0x820000, 0x1000, KERNEL_HASHES))),
        firmware((*SECTIONS[:-1], Section(0x810000, 0x2000, KERNEL_HASHES))),
        firmware(hash_table_gpa=0),
    ],
)
def test_firmware_that_measures_no_kernel(
    cli: Cli, tmp_path: Path, boot: tuple[str, ...], content: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    done = cli(*on(path), *boot)
    assert (done.code, done.out) == (66, "")
    assert "is not measured" in done.err
    assert cli(*on(path)).code == 0


def test_a_table_of_hashes_across_pages(cli: Cli, tmp_path: Path, boot: tuple[str, ...]) -> None:
    path = tmp_path / "file"
    path.write_bytes(firmware(hash_table_gpa=0x810FF0))
    done = cli(*on(path), *boot)
    assert (done.code, done.out) == (66, "")


def test_files_that_are_not_there(cli: Cli, ovmf: Path, tmp_path: Path) -> None:
    none = str(tmp_path / "none")
    assert cli(*on(none)).code == 66
    assert cli(*on(ovmf), "--kernel", none).code == 66
    assert cli(*on(ovmf), "--kernel", str(ovmf), "--initrd", none).code == 66
    assert cli(*on(tmp_path)).code == 66


@given(st.binary(max_size=64), st.integers(0, 4095))
def test_any_firmware_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, part: bytes, at: int
) -> None:
    """Nothing else is raised than what `measure` puts into words."""
    path = tmp_path_factory.mktemp("fuzz") / "file"
    data = firmware()
    path.write_bytes(data[:at] + part + data[at + len(part) :])
    with contextlib.suppress(RuntimeError, ValueError):
        launch._check_firmware(launch.Launch(path, path, None, "", 2, None, launch.Vmm.GCE, 1))


def test_without_the_package(cli: Cli, ovmf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: object) -> ModuleType:
        if name.startswith("sevsnpmeasure"):
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type] # as they came

    monkeypatch.setattr(builtins, "__import__", absent)
    done = cli(*on(ovmf))
    assert (done.code, done.out) == (66, "")
    assert "attestca[snp-measure]" in done.err
