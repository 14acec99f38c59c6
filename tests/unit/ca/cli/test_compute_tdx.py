# SPDX-License-Identifier: Apache-2.0
"""`attestca refvalues compute tdx`: real registers from real digests, a kernel of our own, and wrong inputs."""

from __future__ import annotations

import json
import shutil
import subprocess
from hashlib import sha256, sha384
from struct import pack_into
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.cli import direct_boot
from ca.cli.direct_boot import authenticode, patched
from policies.loader import load_policy
from tests import boot_lab, eventlog_vectors
from tests.unit.ca.cli.bzimage import CERTIFICATES, CHECKSUM, SIZE, bzimage
from verifiers.eventlog.events import Register

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli

COMPUTE = ("refvalues", "compute", "tdx")
INITRD = bytes(range(256)) * 40
MIB, GIB = 1 << 20, 1 << 30
KERNEL = bytes(bzimage())


@pytest.fixture
def boot(tmp_path: Path) -> list[str]:
    (tmp_path / "kernel").write_bytes(KERNEL)
    (tmp_path / "initrd").write_bytes(INITRD)
    return ["--kernel", str(tmp_path / "kernel"), "--initrd", str(tmp_path / "initrd")]


def values(cli: Cli, *arguments: str) -> dict[str, str]:
    found: dict[str, str] = cli.good(*COMPUTE, *arguments, "--json").json()["values"]
    return found


# registers of real machines


def test_the_registers_of_a_real_quote(cli: Cli) -> None:
    """Computed from the digests of the image, whose files are not public; the quote says the same."""
    case = eventlog_vectors.load("dstack-lite-stripped-log")
    image = case.expected["reference_values_from_image"]
    found = values(
        cli,
        *("--qemu", "8.2", "--kernel-digest", image["kernel_authenticode_sha384"]),
        *("--cmdline-digest", image["cmdline_utf16le_nul_sha384"]),
        *("--initrd-digest", image["initrd_sha384"]),
    )
    assert found == {
        "rtmr1": case.registers[Register.RTMR1].hex(),
        "rtmr2": case.registers[Register.RTMR2].hex(),
    }


def test_the_registers_of_a_real_td_report(cli: Cli) -> None:
    case = eventlog_vectors.load("qemu-direct-boot-tdreport")
    (kernel,) = [one["authenticode_sha384"] for one in case.expected["boot_applications"]]
    tags = {one["what"]: one["digest"] for one in case.expected["efi_stub_tags"]}
    found = values(
        cli,
        *("--qemu", "9.0", "--kernel-digest", kernel),
        *("--cmdline-digest", tags["load-options"], "--initrd-digest", tags["initrd"]),
    )
    assert found == {
        "rtmr1": case.registers[Register.RTMR1].hex(),
        "rtmr2": case.registers[Register.RTMR2].hex(),
    }


# files


def test_from_files(cli: Cli, boot: list[str]) -> None:
    found = values(cli, *boot, "--qemu", "10.2", "--cmdline", "console=hvc0")
    marks = [sha384(mark).digest() for mark in direct_boot.MARKS]
    rtmr1 = direct_boot.extended(authenticode(KERNEL), *marks)
    options = boot_lab.options("console=hvc0 initrd=initrd").digest
    rtmr2 = direct_boot.extended(options, sha384(INITRD).digest())
    assert found == {"rtmr1": rtmr1.hex(), "rtmr2": rtmr2.hex()}


def test_without_an_initrd(cli: Cli, boot: list[str]) -> None:
    found = values(cli, *boot[:2], "--qemu", "9.2", "--cmdline", "ro")
    assert found["rtmr2"] == direct_boot.extended(boot_lab.options("ro").digest).hex()
    kernel = authenticode(patched(KERNEL, 0, 0))
    marks = [sha384(mark).digest() for mark in direct_boot.MARKS]
    assert found["rtmr1"] == direct_boot.extended(kernel, *marks).hex()


def test_an_older_qemu_writes_into_the_kernel(cli: Cli, boot: list[str]) -> None:
    new = values(cli, *boot, "--qemu", "10.2")
    old = values(cli, *boot, "--qemu", "10.1", "--memory", "4G")
    assert new["rtmr1"] != old["rtmr1"]
    assert new["rtmr2"] == old["rtmr2"]
    assert values(cli, *boot, "--qemu", "8.2.2", "--memory", "2G") == old
    assert values(cli, *boot, "--qemu", "8.2.2", "--memory", "512M")["rtmr1"] != old["rtmr1"]


def test_the_entry_is_one_of_a_policy(cli: Cli, boot: list[str]) -> None:
    done = cli.good(
        *(*COMPUTE, *boot, "--qemu", "9.2", "--memory", "4G", "--cmdline", "a b"),
        *("--id", "image-7", "--note", "of a test", "--at", "2026-11-25T00:00:00Z"),
    )
    text = "name: p\nversion: 1\nmatch: {tee: tdx}\nreference_sets:\n  kernel:\n" + done.out
    document = load_policy(f"{text}tdx: {{measurements: [kernel]}}\n".encode()).document
    (entry,) = document.reference_sets["kernel"]
    assert entry.id == "image-7"
    assert entry.source is not None
    assert entry.source.sha256 == sha256(KERNEL).digest()
    for said in ("QEMU 9.2", "memory 4096 MiB", '"a b" with initrd=initrd', "initrd sha256"):
        assert said in entry.source.note
    assert "MRTD and RTMR0 are not computed" in done.err


# the setup header


@pytest.mark.parametrize("name", ["2G", "2816M", "64G"])
def test_where_the_initrd_is_at_its_common_place(name: str) -> None:
    memory = {"2G": 2 * GIB, "2816M": 2816 * MIB, "64G": 64 * GIB}[name]
    image = patched(KERNEL, len(INITRD), memory)
    place = int.from_bytes(image[0x218:0x21C], "little")
    assert place == (0x80000000 - 0x28000 - 1 - len(INITRD)) & ~0xFFF
    assert int.from_bytes(image[0x21C:0x220], "little") == len(INITRD)


@pytest.mark.parametrize(
    ("memory", "highest"), [(1 * GIB, 1 * GIB), (2560 * MIB, 2560 * MIB), (2815 * MIB, 2815 * MIB)]
)
def test_where_it_depends_on_memory(memory: int, highest: int) -> None:
    image = patched(KERNEL, len(INITRD), memory)
    place = int.from_bytes(image[0x218:0x21C], "little")
    assert place == (highest - 0x28000 - 1 - len(INITRD)) & ~0xFFF


def test_the_kernels_own_limit() -> None:
    low = bytes(bzimage(xloadflags=0))
    image = patched(low, len(INITRD), 2560 * MIB)
    assert int.from_bytes(image[0x218:0x21C], "little") == (0x7FFFFFFF - len(INITRD)) & ~0xFFF
    old = patched(bytes(bzimage(protocol=0x202)), len(INITRD), 2560 * MIB)
    assert int.from_bytes(old[0x218:0x21C], "little") == (0x37FFFFFF - len(INITRD)) & ~0xFFF


def test_nothing_else_is_written() -> None:
    image = patched(KERNEL, len(INITRD), 4 * GIB)
    changed = {place for place in range(SIZE) if image[place] != KERNEL[place]}
    assert changed <= {0x210, 0x211, 0x224, 0x225, *range(0x218, 0x220), *range(0x228, 0x22C)}
    assert image[0x210] == 0xB0
    assert image[0x211] == 0x81
    assert image[0x224:0x226] == bytes.fromhex("00fe")
    assert image[0x228:0x22C] == bytes.fromhex("00000200")


@pytest.mark.parametrize(
    ("kernel", "initrd", "memory"),
    [
        (bytes(0x800), 0, GIB),
        (bytes(SIZE), 0, GIB),
        (bytes(bzimage(protocol=0x201)), 0, GIB),
        (bytes(bzimage(loadflags=0)), 0, GIB),
        (KERNEL, GIB, GIB),
        (KERNEL, 1, MIB // 8),
    ],
)
def test_what_qemu_does_not_start(kernel: bytes, initrd: int, memory: int) -> None:
    with pytest.raises(ValueError, match=r"bzImage|protocol|initrd"):
        patched(kernel, initrd, memory)


# Authenticode


def hashed(image: bytes) -> bytes:
    """What is covered of the kernel above, written down by hand."""
    kept = [image[:CHECKSUM], image[CHECKSUM + 4 : CERTIFICATES], image[CERTIFICATES + 8 : 0x2000]]
    return sha384(b"".join([*kept, image[0x2000:SIZE]])).digest()


def test_what_is_covered() -> None:
    assert authenticode(KERNEL) == hashed(KERNEL)
    for place in (*range(CHECKSUM, CHECKSUM + 4), *range(CERTIFICATES, CERTIFICATES + 4)):
        image = bytearray(KERNEL)
        image[place] ^= 1
        assert authenticode(bytes(image)) == authenticode(KERNEL)
    for place in (0x48 + 4, 0x200, 0x1000, 0x1FFF, 0x2000, SIZE - 1):
        image = bytearray(KERNEL)
        image[place] ^= 1
        assert authenticode(bytes(image)) != authenticode(KERNEL)


def test_certificates_are_not_covered() -> None:
    signed = bytearray(KERNEL + b"certificate" * 8)
    pack_into("<II", signed, CERTIFICATES, SIZE, 88)
    assert authenticode(bytes(signed)) == authenticode(KERNEL)


def test_an_image_without_a_table_of_certificates() -> None:
    image = bzimage()
    pack_into("<I", image, 0x58 + 108, 4)
    kept = [image[:CHECKSUM], image[CHECKSUM + 4 :]]
    assert authenticode(bytes(image)) == sha384(b"".join(map(bytes, kept))).digest()


def run(*command: str | Path) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    return done.stdout


@pytest.mark.skipif(shutil.which("osslsigncode") is None, reason="osslsigncode is not there")
def test_as_osslsigncode_has_it(tmp_path: Path) -> None:
    """It signs the image, and says what it signed."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    signed, plain = tmp_path / "signed", tmp_path / "plain"
    plain.write_bytes(KERNEL)
    made = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    run(*made, "-nodes", "-subj", "/CN=test", "-keyout", key, "-out", certificate)
    sign = ("osslsigncode", "sign", "-h", "sha384", "-certs", certificate, "-key", key)
    run(*sign, "-in", plain, "-out", signed)
    said = run("osslsigncode", "verify", "-in", signed)
    assert authenticode(signed.read_bytes()).hex().upper() in said
    assert authenticode(signed.read_bytes()) == authenticode(KERNEL)


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"MZ",
        bytes(SIZE),
        KERNEL[:0x1800],
        KERNEL[:0x150],
        bytes(bzimage()[:0x40]) + bytes(200),
    ],
)
def test_what_is_no_image(image: bytes) -> None:
    with pytest.raises(ValueError, match="no PE image"):
        authenticode(image)


@given(st.binary(max_size=64), st.integers(0, 0x200))
def test_any_header(data: bytes, place: int) -> None:
    image = bzimage()
    image[place : place + len(data)] = data
    try:
        assert len(authenticode(bytes(image))) == 48
    except ValueError as error:
        assert "no PE image" in str(error)  # noqa: PT017


# wrong inputs


DIGEST = "ab" * 48
TWICE = ("--cmdline-digest", DIGEST)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--qemu", "9.2"], "--kernel-digest"),
        (["--qemu", "new", "--kernel-digest", DIGEST], "--qemu"),
        (["--qemu", "9.2", "--kernel-digest", "ab"], "--kernel-digest"),
        (["--qemu", "9.2", "--kernel-digest", DIGEST, "--initrd-digest", "x"], "--initrd-digest"),
        (
            [*("--qemu", "9.2", "--kernel-digest", DIGEST, "--cmdline", "a"), *TWICE],
            "--cmdline-digest",
        ),
        (["KERNEL", "--qemu", "9.2", "--kernel-digest", DIGEST], "--kernel"),
        (["KERNEL", "INITRD", "--qemu", "10.2", "--initrd-digest", DIGEST], "--initrd"),
        (["KERNEL", "INITRD", "--qemu", "10.1"], "--memory"),
        (["KERNEL", "INITRD", "--qemu", "10.1", "--memory", "much"], "--memory"),
        (["KERNEL", "--qemu", "10.1", "--initrd-digest", DIGEST], "--initrd"),
        (["KERNEL", "--qemu", "10.1", "--cmdline", "vga=ask"], "vga="),
        (["KERNEL", "--qemu", "10.2", "--cmdline", "\udc80"], "--cmdline"),
        (["KERNEL", "--qemu", "10.2", "--id", "No Id"], "id"),
    ],
)
def test_settings_that_do_not_go_together(
    cli: Cli, boot: list[str], arguments: list[str], said: str
) -> None:
    files = {"KERNEL": boot[:2], "INITRD": boot[2:]}
    done = cli(*COMPUTE, *(part for one in arguments for part in files.get(one, [one])))
    assert (done.code, said in done.err) == (64, True), done.err


def test_files_that_are_none(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no kernel")
    for name in ("text", "absent"):
        for version in ("9.2", "10.2"):
            done = cli(*COMPUTE, "--kernel", str(tmp_path / name), "--qemu", version)
            assert (done.code, name in done.err) == (66, True)


def test_json(cli: Cli) -> None:
    done = cli.good(*COMPUTE, "--qemu", "9.2", "--kernel-digest", DIGEST, "--json")
    entry: dict[str, Any] = json.loads(done.out)
    assert entry["source"]["kind"] == "computed"
    assert "no initrd" in entry["source"]["note"]
