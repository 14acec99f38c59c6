# SPDX-License-Identifier: Apache-2.0
"""Logs of real machines, and what was made of one of them: which claims come out, and which must not."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests import boot_lab as lab
from tests import eventlog_vectors
from tests.tdx_vectors import NOTICE, ROOT
from verifiers.eventlog import bound, tcg2
from verifiers.eventlog.boot import boot_claims
from verifiers.eventlog.claims import BootClaims, Kind, Rule, SecureBoot, TextState
from verifiers.eventlog.events import PCRS, Algorithm, LogFormat
from verifiers.eventlog.proven import TPM
from verifiers.eventlog.replay import ReplayState, replay

if TYPE_CHECKING:
    from verifiers.eventlog.claims import DstackIdentity

NAMES = eventlog_vectors.names()
EXPECTED = {
    path.parent.name: json.loads(path.read_text())
    for path in sorted((ROOT / "eventlog").glob("*/expected.json"))
}


def having(key: str, verdict: str | None = None) -> list[Any]:
    """Names of those whose file speaks of a subject, as parameters; one that is skipped where there are none."""
    found = [
        name
        for name, expected in EXPECTED.items()
        if expected.get(key) and verdict in (None, expected["expect"]["verdict"])
    ]
    return found or [pytest.param("absent", id="absent")]


OF_TDS = [
    name
    for name in NAMES
    if EXPECTED.get(name, {}).get("expect", {}).get("code") != "no-sha384-bank"
]
TPM_LOGS = ("gce-ubuntu-2404-sevsnp-log", "gke-sp800155-log")
# Dialects of the vectors' own words for what is the same.
NOT_COUNTED = {Rule.DSTACK_V1, Rule.DSTACK_V2, Rule.CEL_CONTENT, Rule.SUFFIX_FROM_20}


def judged(name: str) -> tuple[eventlog_vectors.EventLogCase, BootClaims]:
    case = eventlog_vectors.load(name)
    replayed = replay(case.logs, case.registers, Algorithm.SHA384)
    return case, boot_claims(case.logs, replayed)


def states(claims: BootClaims) -> dict[str, Any]:
    cmdline = claims.kernel_cmdline
    return {
        "secure_boot": claims.secure_boot,
        "kernel_cmdline": None if cmdline is None else cmdline.state,
    }


@pytest.mark.parametrize("name", OF_TDS)
def test_claims_are_those_expected(name: str) -> None:
    case, claims = judged(name)
    expected = case.expect.get("claims", {})
    assert {subject: states(claims)[subject] for subject in expected} == expected


@pytest.mark.parametrize("name", OF_TDS)
def test_what_must_not_be_claimed_is_not(name: str) -> None:
    case, claims = judged(name)
    forbidden = case.expect.get("must_not_claim", [])
    assert {states(claims)[one] for one in forbidden} <= {"undetermined"}
    doubted = {doubt.subject for doubt in claims.doubts}
    assert set(forbidden) <= doubted
    if "kernel_cmdline" in forbidden:
        assert claims.kernel_cmdline is not None
        assert claims.kernel_cmdline.text is None
        assert claims.kernel_cmdline.origin is None
    if "secure_boot" in forbidden:
        assert claims.secure_boot_origin is None


@pytest.mark.parametrize("name", OF_TDS)
def test_registers_that_do_not_replay_claim_nothing(name: str) -> None:
    case, claims = judged(name)
    replayed = replay(case.logs, case.registers, Algorithm.SHA384)
    silent = {one for one, result in replayed.items() if result.state is ReplayState.MISMATCH}
    digests = [*claims.images, *claims.opaque, *claims.sections]
    told = [one.origin for one in digests] + [one.origin for one in claims.events]
    told += [one.origin for one in claims.authorities] + [one.origin for one in claims.grub]
    assert not silent & {origin.register for origin in told}


@pytest.mark.parametrize("name", having("data_bound"))
def test_which_data_a_digest_covers(name: str) -> None:
    case = eventlog_vectors.load(name)
    expected = case.expected["data_bound"]
    log = case.logs[0]
    (algorithm,) = log.algorithms
    events = [event for event in log.events if event.extends]
    if algorithm not in hashlib.algorithms_available:
        pytest.skip(f"the library has no {algorithm}")
    covered = {event.position: bound.bind(event, algorithm) for event in events}
    rules = {at: one.rule for at, one in covered.items() if one and one.rule not in NOT_COUNTED}
    assert Counter(rules.values()) == Counter(expected["rule_counts"])
    assert sorted(covered.keys() - rules.keys()) == expected["unbound_events"]


@pytest.mark.parametrize("name", having("secure_boot", "verified"))
def test_secure_boot_comes_from_its_event(name: str) -> None:
    case, claims = judged(name)
    expected = case.expected["secure_boot"]
    assert claims.secure_boot == expected["state"]
    assert claims.secure_boot_origin is not None
    assert claims.secure_boot_origin.position == expected["event"]
    assert claims.secure_boot_origin.rule is Rule.KNOWN_DIGEST


@pytest.mark.parametrize("name", having("boot_applications", "verified"))
def test_images_come_from_their_events(name: str) -> None:
    case, claims = judged(name)
    found = [(one.origin.position, one.digest.hex()) for one in claims.images]
    expected = case.expected["boot_applications"]
    assert found == [(one["event"], one["authenticode_sha384"]) for one in expected]
    assert {one.kind for one in claims.images} == {Kind.IMAGE}


@pytest.mark.parametrize("name", having("kernel_cmdline", "verified"))
def test_command_line_comes_from_its_event(name: str) -> None:
    case, claims = judged(name)
    expected = case.expected["kernel_cmdline"]
    assert claims.kernel_cmdline is not None
    assert claims.kernel_cmdline.origin is not None
    assert claims.kernel_cmdline.text == expected["value"]
    assert claims.kernel_cmdline.origin.position == expected["event"]
    assert claims.kernel_cmdline.origin.rule == expected["data_bound_to_digest"]


def test_derived_logs_lose_only_what_was_changed() -> None:
    _, genuine = judged("gce-cos-113-grub")
    for name, kept in (
        ("derived-forged-cmdline", "secure_boot"),
        ("derived-event-type-changed", "secure_boot"),
        ("derived-forged-secure-boot", "kernel_cmdline"),
    ):
        _, claims = judged(name)
        assert getattr(claims, kept) == getattr(genuine, kept)
        assert claims.images == genuine.images


def test_moved_event_takes_both_its_registers_along() -> None:
    _, claims = judged("derived-event-moved-register")
    assert claims.secure_boot is SecureBoot.DISABLED  # RTMR0 still replays
    assert claims.images == ()
    assert claims.grub == ()
    assert claims.kernel_cmdline is not None
    assert claims.kernel_cmdline.state is TextState.UNDETERMINED


def test_log_of_another_guest_claims_nothing() -> None:
    _, claims = judged("td-shim-unrelated-quote")
    nothing = (claims.secure_boot, claims.kernel_cmdline, claims.images, claims.opaque)
    assert nothing == (None, None, (), ())


def test_unified_kernel_image_by_its_sections() -> None:
    case, claims = judged("gke-uki-no-action")
    expected = case.expected["uki_sections"]
    found = [(one.origin.position, one.label, one.digest.hex()) for one in claims.sections]
    assert found == [(one["event"], one["section"], one["content_digest"]) for one in expected]
    assert claims.cmdline_digest == claims.sections[2]
    assert claims.initrd_digest == claims.sections[3]
    assert {one.origin.rule for one in claims.sections} == {Rule.PLACE}


@pytest.mark.parametrize("name", ["qemu-direct-boot-tdreport", "dstack-lite-stripped-log"])
def test_direct_boot_by_place(name: str) -> None:
    case, claims = judged(name)
    assert claims.cmdline_digest is not None
    assert claims.initrd_digest is not None
    found = (claims.cmdline_digest.digest.hex(), claims.initrd_digest.digest.hex())
    reference = case.expected.get("reference_values_from_image")
    if reference is None:
        assert found == tuple(one["digest"] for one in case.expected["efi_stub_tags"])
    else:
        assert found == (reference["cmdline_utf16le_nul_sha384"], reference["initrd_sha384"])
        assert claims.images[0].digest.hex() == reference["kernel_authenticode_sha384"]
    assert claims.cmdline_digest.digest != lab.options("another command line").digest


def test_load_options_behind_grub_stay_labels() -> None:
    _, claims = judged("grub-secure-boot-on")
    assert claims.secure_boot is SecureBoot.ENABLED
    assert (claims.cmdline_digest, claims.initrd_digest) == (None, None)
    kinds = {one.kind: one.origin.rule for one in claims.opaque}
    assert kinds[Kind.LOAD_OPTIONS] is kinds[Kind.INITRD] is Rule.LABEL


def identity(found: DstackIdentity) -> dict[str, str]:
    named = {
        "app-id": found.app_id,
        "compose-hash": found.compose_hash,
        "instance-id": found.instance_id,
        "os-image-hash": found.os_image_hash,
        "key-provider": found.key_provider,
    } | dict(found.others)
    return {name: value.value.hex() for name, value in named.items() if value is not None}


@pytest.mark.parametrize(
    "name",
    ["dstack-gpu-h100-quote-report", "dstack-lite-stripped-log", "dstack-scale-attestation"],
)
def test_dstack_identity_up_to_system_ready(name: str) -> None:
    case, claims = judged(name)
    expected = {}
    for event in case.expected["runtime_events"]:
        expected[event["name"]] = event["payload"]
        if event["name"] == "system-ready":
            break
    assert claims.dstack is not None
    assert identity(claims.dstack) == expected
    assert "LIUM_MINER_HOTKEY" not in expected
    assert claims.aael is None
    assert claims.confidential_space is None


def test_entries_of_the_attestation_agent() -> None:
    case, claims = judged("alibaba-aael-rtmr3")
    assert claims.aael is not None
    found = [(one.origin.position, one.domain, one.operation, one.content) for one in claims.aael]
    assert found == [
        (one["event"], one["domain"], one["operation"], one["content"])
        for one in case.expected["aael"]
    ]


def test_confidential_space_container() -> None:
    case, claims = judged("gce-confidential-space-cel")
    records = case.expected["records"]

    def expected(kind: str) -> list[str]:
        return [one["value"] for one in records if one["kind"] == kind]

    space = claims.confidential_space
    assert space is not None
    single = (space.image_reference, space.image_digest, space.image_id, space.restart_policy)
    for kind, text in zip(
        ("ImageRef", "ImageDigest", "ImageID", "RestartPolicy"), single, strict=True
    ):
        assert text is not None
        assert [text.text] == expected(kind)
    assert [one.text for one in space.args] == expected("Arg")
    assert [one.text for one in space.env] == expected("EnvVar")
    assert space.gpu_cc_mode is not None
    assert space.gpu_cc_mode.text == "ON"
    assert space.memory_monitor is not None
    assert space.memory_monitor.value == b"\0"
    assert (space.override_args, space.override_env, space.gpu_bindings) == ((), (), ())


@pytest.mark.parametrize("name", TPM_LOGS)
def test_logs_of_tpms(name: str) -> None:
    folder = ROOT / "vtpm" / name
    if not folder.is_dir():
        pytest.skip(NOTICE)
    expected = json.loads((folder / "expected.json").read_text())
    log = tcg2.parse((folder / "event_log.bin").read_bytes(), LogFormat.TCG2)
    values = {
        PCRS[int(number)]: bytes.fromhex(value) for number, value in expected["pcrs_sha256"].items()
    }
    replayed = replay([log], values, Algorithm.SHA256)
    claims = boot_claims([log], replayed, Algorithm.SHA256, TPM)
    assert claims.secure_boot == expected["expect"]["claims"]["secure_boot"]
    assert claims.kernel_cmdline is not None
    assert claims.kernel_cmdline.text == expected["kernel_cmdline"]
    assert claims.kernel_cmdline.unexplained == ()  # files have a PCR of their own
    assert {one.kind for one in claims.images} == {Kind.IMAGE}
    assert claims.db is not None
    assert claims.db.certificates
    assert claims.doubts == ()
