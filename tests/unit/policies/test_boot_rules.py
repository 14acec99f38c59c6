# SPDX-License-Identifier: Apache-2.0
"""Rules over what firmware and boot loaders measured: what passes, what fails, and what no log proves."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from policies.appraise import appraise
from policies.result import Decision, RuleResult
from policies.rules import RuleId
from tests import boot_lab as lab
from tests.unit.policies.boot_facts import accepting, judge, logged, of_boot, only
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import policy

PASS, FAIL, MISSING = RuleResult.PASS, RuleResult.FAIL, RuleResult.MISSING
CERTIFICATE = hashlib.sha256(b"0certificate").hexdigest()
OTHER = "ee" * 32


def sha384(data: bytes) -> str:
    return hashlib.sha384(data).hexdigest()


# Secure Boot


@pytest.mark.parametrize(
    ("value", "accepted", "result"),
    [
        (b"\1", "enabled", PASS),
        (b"\0", "enabled", FAIL),
        (b"", "enabled", FAIL),
        (b"", ["disabled", "absent"], PASS),
        (b"\1", ["disabled", "absent"], FAIL),
    ],
)
def test_secure_boot(value: bytes, accepted: object, result: RuleResult) -> None:
    finding = only(judge({"secure_boot": accepted}, lab.firmware(value)), RuleId.SECURE_BOOT)
    state = {b"\1": "enabled", b"\0": "disabled", b"": "absent"}[value]
    assert (finding.result, finding.actual) == (result, state)
    assert finding.hint == ("" if result is PASS else f"Secure Boot is {state}")


def test_secure_boot_that_is_not_proven_is_missing() -> None:
    twice = [lab.secure_boot(), *lab.firmware()]
    doubted = only(
        judge({"secure_boot": ["enabled", "disabled", "absent"]}, twice), RuleId.SECURE_BOOT
    )
    assert (doubted.result, doubted.hint) == (MISSING, "not proven: 2 events speak of it")
    silent = [lab.separator(1), lab.separator(2), lab.grub("x")]
    finding = only(judge({"secure_boot": "enabled"}, silent), RuleId.SECURE_BOOT)
    assert (finding.result, finding.hint) == (MISSING, "not proven: no log speaks of it")


def test_secure_boot_may_warn_but_what_is_missing_denies() -> None:
    for value, decision in ((b"\0", Decision.ACCEPTED), (None, Decision.DENIED)):
        history = lab.firmware(value) if value is not None else [lab.secure_boot(), *lab.firmware()]
        claims, boot = logged([*history, lab.grub("x")])
        values = accepting(claims).document.reference_sets["release"][0].values
        release = {"id": "r1", "values": {str(name): one[0].hex() for name, one in values.items()}}
        loaded = policy(
            reference_sets={"release": [release]},
            boot={"secure_boot": "enabled"},
            warn={"secure-boot": "2027-01-01"},
        )
        assert appraise(claims, loaded, NOW, boot=boot).decision is decision


# db


def with_db(content: bytes) -> list[lab.Step]:
    empty = [lab.variable("PK", b""), lab.variable("KEK", b"")]
    db = lab.variable("db", content, lab.SECURITY)
    return [lab.secure_boot(), *empty, db, lab.separator(1), lab.separator(2), lab.grub("x")]


HASHED = lab.signature_list(lab.SHA256_HASHES, b"h" * 32)
STRANGE = lab.signature_list("00000000-0000-0000-0000-000000000001", b"strange")


@pytest.mark.parametrize(
    ("content", "rules", "result"),
    [
        (lab.signature_list(lab.X509, b"0certificate"), {}, PASS),
        (b"", {}, PASS),
        (lab.signature_list(lab.X509, b"1certificate"), {}, FAIL),
        (
            lab.signature_list(lab.X509, b"0certificate") + lab.signature_list(lab.X509, b"1"),
            {},
            FAIL,
        ),
        (HASHED, {}, FAIL),
        (HASHED, {"db_hashes": [(b"h" * 32).hex()]}, PASS),
        (HASHED, {"db_hashes": [(b"i" * 32).hex()]}, FAIL),
        (STRANGE, {"db_hashes": [b"strange".hex().ljust(64, "0")]}, FAIL),
    ],
)
def test_db_holds_nothing_else(content: bytes, rules: dict[str, Any], result: RuleResult) -> None:
    section = {"db_certificates": [CERTIFICATE, OTHER]} | rules
    finding = only(judge(section, with_db(content)), RuleId.DB_CERTIFICATES)
    assert (finding.path, finding.result) == ("boot.db", result)


def test_hashes_of_another_kind_are_not_those_of_images() -> None:
    """A revocation by the hash of a certificate's TBS has 32 bytes as well."""
    kind = "3bd2a492-96c0-4079-b420-fcf98ef103ed"  # EFI_CERT_X509_SHA256
    content = lab.signature_list(kind, b"h" * 32 + bytes(16))
    section = {"db_certificates": [OTHER], "db_hashes": [(b"h" * 32).hex()]}
    assert only(judge(section, with_db(content)), RuleId.DB_CERTIFICATES).result is FAIL


def test_db_that_is_not_proven_is_missing() -> None:
    silent = [lab.separator(1), lab.separator(2), lab.grub("x")]
    finding = only(judge({"db_certificates": [OTHER]}, silent), RuleId.DB_CERTIFICATES)
    assert (finding.result, finding.hint) == (MISSING, "not proven: no log speaks of it")
    twice = [lab.variable("db", b"", lab.SECURITY), *with_db(b"")]
    doubted = only(judge({"db_certificates": [OTHER]}, twice), RuleId.DB_CERTIFICATES)
    assert (doubted.result, doubted.hint) == (MISSING, "not proven: 2 events speak of it")


# images


def test_every_image_has_to_be_listed() -> None:
    boot = lab.grub_boot()
    shim, grub = sha384(b"MZ shim"), sha384(b"MZ grub")
    assert only(judge({"images": [shim, grub]}, boot), RuleId.BOOT_IMAGE).result is PASS
    finding = only(judge({"images": [shim]}, boot), RuleId.BOOT_IMAGE)
    assert finding.result is FAIL
    assert finding.hint == f"1 of 2 images are not allowed: \\EFI\\grub.efi {grub}"
    told = [one.told(lab.GPT, b"disk") if one.hashed == b"MZ grub" else one for one in boot]
    relabelled = only(judge({"images": [shim]}, boot, told), RuleId.BOOT_IMAGE)
    assert (relabelled.result, relabelled.actual) == (FAIL, f"disk {grub}")


def test_an_image_without_a_label_is_told_apart_by_its_digest() -> None:
    step = lab.Step(2, lab.APPLICATION, b"MZ x", b"")
    finding = only(
        judge({"images": "00" * 48}, [*lab.firmware(), step, lab.grub("x")]), RuleId.BOOT_IMAGE
    )
    assert finding.actual == f"without a label {step.digest.hex()}"


def test_no_image_is_missing() -> None:
    finding = only(
        judge({"images": "00" * 48}, [*lab.firmware(), lab.grub("x")]), RuleId.BOOT_IMAGE
    )
    assert finding.result is MISSING


# the kernel


FILES = [sha384(one) for one in (b"mok", b"cfg", b"kernel", b"initrd")]
PATTERN = r"/vmlinuz root=/dev/vd[a-z] ro module\.sig_enforce=1"


@pytest.mark.parametrize(
    ("patterns", "files", "result"),
    [
        ([PATTERN], FILES, PASS),
        (["x", PATTERN], [*FILES, "ee" * 48], PASS),
        (["/vmlinuz"], FILES, FAIL),
        ([PATTERN.removeprefix("/vmlinuz ")], FILES, FAIL),
        ([PATTERN], FILES[1:], FAIL),
        ([PATTERN], [], FAIL),
        (["x"], [], FAIL),
    ],
)
def test_command_line(patterns: list[str], files: list[str], result: RuleResult) -> None:
    section = {"kernel_cmdline": {"patterns": patterns, "files": files}}
    finding = only(judge(section, lab.grub_boot()), RuleId.KERNEL_CMDLINE)
    assert (finding.result, finding.actual) == (result, lab.CMDLINE)
    assert ("the command line is not allowed" in finding.hint) is (PATTERN not in patterns)
    hidden = 4 - len(set(FILES) & set(files))
    assert (f"{hidden} digests beside it" in finding.hint) is bool(hidden)


def test_a_file_that_is_not_listed_is_named_by_its_place() -> None:
    section = {"kernel_cmdline": {"patterns": [PATTERN], "files": FILES[1:]}}
    finding = only(judge(section, lab.grub_boot()), RuleId.KERNEL_CMDLINE)
    assert f"event 0 (EV_IPL MokList) {FILES[0]}" in finding.hint


def test_a_command_line_that_no_log_has_or_that_is_doubted_is_missing() -> None:
    section = {"kernel_cmdline": {"patterns": [".*"]}}
    finding = only(judge(section, lab.direct_boot()), RuleId.KERNEL_CMDLINE)
    assert (finding.result, finding.hint) == (MISSING, "not proven: no log has GRUB's text of it")
    twice = [*lab.grub_boot(), lab.cmdline("x")]
    doubted = only(judge(section, twice), RuleId.KERNEL_CMDLINE)
    assert (doubted.result, doubted.hint) == (MISSING, "not proven: 2 events speak of it")


OPTIONS = sha384("console=hvc0\0".encode("utf-16-le"))


@pytest.mark.parametrize(
    ("key", "rule", "good", "boot"),
    [
        ("cmdline_digest", RuleId.KERNEL_CMDLINE, OPTIONS, lab.direct_boot()),
        ("initrd_digest", RuleId.INITRD, sha384(b"initrd"), lab.direct_boot()),
        ("cmdline_digest", RuleId.KERNEL_CMDLINE, sha384(b"console=hvc0"), lab.uki_boot()),
        ("initrd_digest", RuleId.INITRD, sha384(b"initrd"), lab.uki_boot()),
    ],
)
def test_digests_by_their_place(key: str, rule: RuleId, good: str, boot: list[lab.Step]) -> None:
    finding = only(judge({key: good}, boot), rule)
    assert (finding.path, finding.result, finding.actual) == (f"boot.{key}", PASS, good)
    bad = only(judge({key: ["ee" * 48]}, boot), rule)
    assert (bad.result, bad.hint) == (FAIL, f"{good} is not allowed")
    missing = only(judge({key: good}, lab.grub_boot()), rule)
    assert missing.result is MISSING


def test_all_at_once() -> None:
    section = {
        "secure_boot": "enabled",
        "db_certificates": [CERTIFICATE],
        "images": [sha384(b"MZ kernel")],
        "cmdline_digest": OPTIONS,
        "initrd_digest": sha384(b"initrd"),
    }
    result = judge(section, lab.direct_boot())
    assert result.decision is Decision.ACCEPTED
    assert [one.rule for one in of_boot(result)] == [
        RuleId.SECURE_BOOT,
        RuleId.DB_CERTIFICATES,
        RuleId.BOOT_IMAGE,
        RuleId.KERNEL_CMDLINE,
        RuleId.INITRD,
    ]


@pytest.mark.parametrize("state", [b"\0", b"", None])
def test_command_line_of_a_unified_kernel_image_that_may_take_another(state: bytes | None) -> None:
    """systemd-stub prefers load options to its own section where Secure Boot is not on."""
    own = lab.secure_boot(state) if state is not None else lab.separator(1)
    boot = [own if one == lab.secure_boot() else one for one in lab.uki_boot()]
    boot = [*boot, lab.tagged(lab.OPTIONS, b"LoadOptions\0", b"init=/bin/sh")]
    finding = only(judge({"cmdline_digest": sha384(b"console=hvc0")}, boot), RuleId.KERNEL_CMDLINE)
    assert (finding.path, finding.result) == ("boot.cmdline_digest", MISSING)
    assert finding.hint.endswith("where Secure Boot is not on")
