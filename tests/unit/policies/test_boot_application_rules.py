# SPDX-License-Identifier: Apache-2.0
"""Rules over dstack's application, CoCo's entries and init data, and the container of Confidential Space."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from policies.appraise import appraise
from policies.result import Decision, Finding, RuleResult
from policies.rules import RuleId
from tests import boot_lab as lab
from tests import eventlog_lab
from tests.eventlog_lab import Runtime
from tests.unit.policies.boot_facts import accepting, booted, judge, of_boot, of_registers, only
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import snp_entry, snp_policy
from tests.unit.policies.snp_claims import AZURE, GOOD_SNP, TPM
from verifiers.eventlog import cel, dstack
from verifiers.vtpm.claims import PcrBank

PASS, FAIL, MISSING = RuleResult.PASS, RuleResult.FAIL, RuleResult.MISSING
BOOT = lab.direct_boot()


def results(found: list[Finding]) -> dict[str, RuleResult]:
    return {one.path.removeprefix("boot."): one.result for one in found}


# dstack

IDENTITY = (
    Runtime("system-preparing"),
    Runtime("app-id", b"a" * 20),
    Runtime("compose-hash", b"c" * 32),
    Runtime("instance-id", b"i" * 20),
    Runtime("os-image-hash", b"o" * 32),
    Runtime("key-provider", b'{"name":"kms","id":"ab12"}'),
    Runtime("storage-fs", b"zfs"),
    Runtime("system-ready"),
)


def of_dstack(section: dict[str, Any], *events: Runtime) -> list[Finding]:
    events = events or IDENTITY
    values = lab.runtime_registers(BOOT, *(one.preimage for one in events))
    log = dstack.parse(eventlog_lab.log_text(*(one.json() for one in events)))
    result = judge({"dstack": section}, BOOT, None, log, claims=of_registers(values))
    found = of_boot(result)
    assert {one.rule for one in found} == {RuleId.DSTACK}
    assert set(result.denying) == {one for one in found if one.result is not PASS}
    assert all(one.expected and one.actual for one in found)
    assert all(bool(one.hint) is (one.result is not PASS) for one in found)
    return found


@pytest.mark.parametrize(
    ("key", "letter", "size"),
    [
        ("app_id", "a", 20),
        ("compose_hash", "c", 32),
        ("instance_id", "i", 20),
        ("os_image_hash", "o", 32),
    ],
)
def test_parts_of_the_identity(key: str, letter: str, size: int) -> None:
    good, bad = (letter * size).encode().hex(), "ee" * size
    assert results(of_dstack({key: [bad, good]})) == {f"dstack.{key}": PASS}
    (finding,) = of_dstack({key: [bad]})
    assert (finding.result, finding.hint) == (FAIL, f"{good} is not allowed")
    name = key.replace("_", "-")
    without = tuple(one for one in IDENTITY if one.name != name)
    (finding,) = of_dstack({key: [good]}, *without)
    assert (finding.result, finding.hint) == (MISSING, f"dstack has measured no {key}")


@pytest.mark.parametrize(
    ("accepted", "result"),
    [
        ([{"name": "kms"}], PASS),
        ([{"name": "local-sgx"}, {"name": "kms", "id": "ab12"}], PASS),
        ([{"name": "kms", "id": "ab"}], FAIL),
        ([{"name": "local-sgx"}], FAIL),
        ([{"name": "local-sgx", "id": "ab12"}], FAIL),
    ],
)
def test_key_provider(accepted: list[dict[str, str]], result: RuleResult) -> None:
    assert results(of_dstack({"key_provider": accepted})) == {"dstack.key_provider": result}


@pytest.mark.parametrize(
    "payload",
    [
        b"kms",
        b'["kms"]',
        b'{"name":"evil","name":"kms"}',
        b'{"name":["kms"]}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_a_key_provider_that_is_none(payload: bytes) -> None:
    events = [one for one in IDENTITY if one.name != "key-provider"]
    events.insert(1, Runtime("key-provider", payload))
    assert results(of_dstack({"key_provider": [{"name": "kms"}]}, *events)) == {
        "dstack.key_provider": FAIL
    }


def test_no_key_provider() -> None:
    events = [one for one in IDENTITY if one.name != "key-provider"]
    (finding,) = of_dstack({"key_provider": [{"name": "kms"}]}, *events)
    assert finding.result is MISSING


@pytest.mark.parametrize(
    ("events", "result"),
    [
        (IDENTITY, PASS),
        ([*IDENTITY[:-2], *IDENTITY[-1:]], MISSING),
        ([*IDENTITY[:-1], Runtime("storage-fs", b"evil"), IDENTITY[-1]], FAIL),
        (
            [*IDENTITY, Runtime("storage-fs", b"evil")],
            PASS,
        ),  # the application's own, after system-ready
    ],
)
def test_further_events(events: tuple[Runtime, ...], result: RuleResult) -> None:
    section = {"events": {"storage-fs": [b"zfs".hex(), b"ext4".hex()]}}
    assert results(of_dstack(section, *events)) == {"dstack.events.storage-fs": result}


def test_no_identity_is_missing() -> None:
    (finding,) = of_dstack({"app_id": [(b"a" * 20).hex()]}, *IDENTITY[:-1])
    assert (finding.path, finding.result) == ("boot.dstack", MISSING)
    assert finding.hint == "not proven: no system-ready: the identity is not complete"
    silent = only(judge({"dstack": {"app_id": ["aa" * 20]}}, BOOT), RuleId.DSTACK)
    assert (silent.result, silent.hint) == (MISSING, "not proven: no log speaks of it")


# the attestation agent's entries

PULL = "github.com/confidential-containers PullImage {}"
DIGEST = "sha256:" + "ab" * 32
IMAGES = {
    "domain": "github.com/confidential-containers",
    "operation": "PullImage",
    "contents": [f'{{"image":"web@{DIGEST}"}}'.replace("{", r"\{")],
}


def entry(content: str) -> lab.Step:
    return lab.aael(PULL.format(content))


GOOD_ENTRY = entry(f'{{"image":"web@{DIGEST}"}}')


def of_agent(rules: list[dict[str, Any]], *entries: lab.Step) -> list[Finding]:
    result = judge({"coco": {"aael": rules}}, [*BOOT, *entries])
    found = of_boot(result)
    assert {one.rule for one in found} == {RuleId.AAEL}
    assert set(result.denying) == {one for one in found if one.result is not PASS}
    return found


@pytest.mark.parametrize(
    ("rules", "entries", "expected"),
    [
        ([IMAGES], [GOOD_ENTRY], [PASS]),
        ([IMAGES], [GOOD_ENTRY, GOOD_ENTRY], [PASS]),
        ([IMAGES], [GOOD_ENTRY, entry("{}")], [FAIL]),
        ([IMAGES], [entry("{}"), GOOD_ENTRY], [FAIL]),
        ([{k: v for k, v in IMAGES.items() if k != "contents"}], [entry("{}")], [PASS]),
        ([IMAGES | {"operation": "Pull"}], [GOOD_ENTRY], [FAIL]),
        ([IMAGES | {"domain": "github.com"}], [GOOD_ENTRY], [FAIL]),
        ([IMAGES | {"operation": "x"}, IMAGES], [GOOD_ENTRY], [PASS]),
        ([IMAGES | {"required": True}], [GOOD_ENTRY], [PASS]),
        ([IMAGES | {"operation": "x", "required": True}, IMAGES], [GOOD_ENTRY], [PASS, MISSING]),
    ],
)
def test_entries(
    rules: list[dict[str, Any]], entries: list[lab.Step], expected: list[RuleResult]
) -> None:
    assert [one.result for one in of_agent(rules, *entries)] == expected


def test_entries_that_are_not_believed_are_missing() -> None:
    (finding,) = of_agent([IMAGES], GOOD_ENTRY, lab.separator(4))
    assert finding.result is MISSING
    assert finding.hint == "not proven: other events stand beside it in the register"


# Confidential Space

NAME = "docker.io/me/web:latest"
LAUNCH = [
    (0, NAME.encode()),
    (1, DIGEST.encode()),
    (2, b"Never"),
    (3, b"sha256:id"),
    (4, b"/web"),
    (5, b"HOST=a"),
    (5, b"MODE=x"),
    (10, b"ON"),
    (8, b""),
]


def of_container(section: dict[str, Any], *contents: tuple[int, bytes]) -> dict[str, RuleResult]:
    contents = contents or tuple(LAUNCH)
    records = [
        eventlog_lab.record(number, eventlog_lab.tlv(kind, value))
        for number, (kind, value) in enumerate(contents)
    ]
    hashed = [eventlog_lab.tlv(0x50, eventlog_lab.tlv(*content)) for content in contents]
    values = lab.runtime_registers(BOOT, *hashed)
    log = cel.parse(b"".join(records))
    found = of_boot(
        judge({"confidential_space": section}, BOOT, None, log, claims=of_registers(values))
    )
    assert {one.rule for one in found} == {RuleId.CONFIDENTIAL_SPACE}
    assert all(bool(one.hint) is (one.result is not PASS) for one in found)
    return {
        one.path.removeprefix("boot.confidential_space").removeprefix("."): one.result
        for one in found
    }


NO_OVERRIDES = {"override_args": PASS, "override_env": PASS}


@pytest.mark.parametrize(
    ("key", "good", "kind"),
    [
        ("image_digest", DIGEST, 1),
        ("image_id", "sha256:id", 3),
        ("restart_policy", "Never", 2),
        ("gpu_cc_mode", "ON", 10),
        ("image_reference", r"docker\.io/me/.*", 0),
    ],
)
def test_the_container(key: str, good: str, kind: int) -> None:
    ground = {"image_digest": DIGEST}
    wrap = (lambda one: [one]) if key == "image_reference" else (lambda one: one)
    passes = {"image_digest": PASS} | NO_OVERRIDES
    assert of_container(ground | {key: wrap(good)}) == passes | {key: PASS}
    assert of_container(ground | {key: wrap("x")}) == passes | {key: FAIL}
    without = [one for one in LAUNCH if one[0] != kind]
    found = of_container(ground | {key: wrap(good)}, *without)
    assert found[key] is MISSING


@pytest.mark.parametrize(
    ("section", "more", "failing"),
    [
        ({"args": ["/web"], "env": ["HOST=.*", "MODE=(x|y)"]}, [], set()),
        ({"args": ["/other"]}, [], {"args"}),
        ({"env": ["HOST=.*"]}, [], {"env"}),
        ({"args": ["/web"]}, [(4, b"--evil")], {"args"}),
        ({}, [(6, b"--evil")], {"override_args"}),
        ({"override_args": ["--[a-z]+"]}, [(6, b"--evil")], set()),
        ({}, [(7, b"MODE=x")], {"override_env"}),
        ({"override_env": ["MODE=[xy]"]}, [(7, b"MODE=x")], set()),
        ({"override_env": ["MODE=[xy]"]}, [(7, b"MODE=x"), (7, b"DEBUG=1")], {"override_env"}),
    ],
)
def test_arguments_and_environment(
    section: dict[str, Any], more: list[tuple[int, bytes]], failing: set[str]
) -> None:
    found = of_container({"image_digest": DIGEST} | section, *more, *LAUNCH)
    assert {name for name, result in found.items() if result is not PASS} == failing


def test_no_container_is_missing() -> None:
    assert of_container({"image_digest": DIGEST}, *LAUNCH[:-1]) == {"": MISSING}


# init data

INIT_DATA = b'version = "0.1.0"\n'


def of_init_data(accepted: str, value: bytes) -> Finding:
    claims = booted(BOOT)
    claims = replace(claims, td=replace(claims.td, mr_config_id=value))
    result = appraise(claims, accepting(claims, {"coco": {"init_data": accepted}}), NOW)
    return only(result, RuleId.INIT_DATA)


def test_init_data_of_a_td_need_no_log() -> None:
    digest = hashlib.sha384(INIT_DATA)
    finding = of_init_data(digest.hexdigest(), digest.digest())
    assert (finding.path, finding.result) == ("td.mr_config_id", PASS)
    assert of_init_data(digest.hexdigest(), bytes(48)).result is FAIL


def test_init_data_of_an_snp_guest() -> None:
    digest = hashlib.sha256(INIT_DATA)
    loaded = snp_policy(boot={"coco": {"init_data": digest.hexdigest()}})
    guest = replace(GOOD_SNP, report=replace(GOOD_SNP.report, host_data=digest.digest()))
    assert appraise(guest, loaded, NOW).decision is Decision.ACCEPTED
    result = appraise(GOOD_SNP, loaded, NOW)
    assert [(one.rule, one.path) for one in result.denying] == [
        (RuleId.INIT_DATA, "report.host_data")
    ]


def test_init_data_in_azure_are_extended_into_a_pcr() -> None:
    digest = hashlib.sha256(INIT_DATA).digest()
    loaded = snp_policy(
        {"unpinned": dict.fromkeys(("pcr4", "pcr8", "pcr9", "pcr11", "pcr12"), "a reason")},
        match={"tee": "snp", "provider": "azure"},
        reference_sets={"release": [snp_entry()]},
        boot={"coco": {"init_data": digest.hex()}},
    )

    def verdict(pcr8: bytes | None) -> list[tuple[str, RuleResult]]:
        pcrs = () if pcr8 is None else ((PcrBank.SHA256, 8, pcr8),)
        claims = replace(AZURE, tpm=replace(TPM, pcrs=pcrs))
        return [(one.path, one.result) for one in appraise(claims, loaded, NOW).denying]

    assert verdict(hashlib.sha256(bytes(32) + digest).digest()) == []
    assert verdict(digest) == [("tpm.pcr8", FAIL)]
    assert verdict(None) == [("tpm.pcr8", MISSING)]


def test_what_a_guest_wrote_stands_in_a_finding_as_printable_text() -> None:
    (finding,) = of_agent([IMAGES], entry("\x1b[31mevil" + "x" * 1000))
    assert "\x1b" not in finding.hint
    assert len(finding.hint) < 400
    assert json.loads(json.dumps(finding.as_public_json()))["rule"] == "aael"


def test_what_the_policy_requires_stands_in_no_hint() -> None:
    required = {"domain": "secret.example.org", "operation": "Run", "required": True}
    (_, finding) = of_agent([IMAGES, required], GOOD_ENTRY)
    assert finding.result is MISSING
    assert finding.expected == "secret.example.org Run"
    assert "secret" not in str(finding.as_public_json())
