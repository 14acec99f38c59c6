# SPDX-License-Identifier: Apache-2.0
"""Event logs from a machine to a certificate: sent, replayed, judged, on record, judged again."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from ca.ports import CertificateQuery
from ca.recomputation import Recalled, Setting, Word
from policies.loader import load_policy
from simulator import eventlog
from simulator.azure import AzureCvm
from simulator.machine import register
from simulator.tpm_eventlog import KIND, of_tpm
from simulator.world import BOOT
from tests.app_lab import problem_of
from tests.integration.test_recomputed import both_ways
from tests.service_lab import leaf_of
from tests.snp_app import open_snp_app
from tests.snp_app import policy as azure_document

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.eventlog import Boot
    from simulator.stage import Stage
    from tests.app_lab import App
    from tests.service_lab import Reply
    from tests.vendor_lab import Clock

POLICY = """\
name: {name}
version: 1
match: {{tee: tdx}}
reference_sets:
  release:
    - {{id: image, values: {values}}}
tdx: {{measurements: [release]}}
{boot}
issue:
  profile: {name}
  lifetime: 1h
  san: {{uri: ["spiffe://example.org/{name}"]}}
  shared_name: of a test
"""
GRUB = eventlog.grub_boot()
DIRECT = eventlog.direct_boot()
APPLICATION = eventlog.aael("example.org", "start", "app")
BOOTS = {
    "grub": GRUB,
    "direct": DIRECT,
    "dstack": eventlog.dstack_boot(),
    "aael": GRUB.then(APPLICATION),
    "space": DIRECT.then(*eventlog.confidential_space()),
    "ima": DIRECT.then(eventlog.measured_file("/usr/bin/app", b"app")),
}
SECURE = "boot: {secure_boot: enabled}"


def document(name: str, boot: Boot, section: str = "") -> str:
    """A policy of the profile `name` for what this boot measures."""
    registers = {one: boot.registers[one].hex() for one in ("rtmr0", "rtmr1", "rtmr2")}
    values = {"mr_td": register("simulated firmware").hex(), **registers}
    return POLICY.format(name=name, values=json.dumps(values), boot=section)


async def enroll(
    app: App,
    name: str,
    boot: Boot,
    logs: list[tuple[str, bytes]] | None = None,
    **changes: bytes,
) -> Reply:
    """A machine of that boot, which sends its own logs unless told otherwise."""
    sent = boot.logs() if logs is None else logs
    return await app.enroll(profile=name, logs=sent, **boot.registers, **changes)


def refusing(reply: Reply) -> set[tuple[str, str, str]]:
    problem = problem_of(reply, 403, "denied")
    return {(one["rule"], one["path"], one["result"]) for one in problem["findings"]}


async def test_a_machine_with_its_log(app: App) -> None:
    await app.accept_image(document("grub", GRUB, SECURE))
    issued = leaf_of(await enroll(app, "grub", GRUB))
    record = await app.service.store.certificate(issued.serial_number)
    assert record is not None
    kept = [(kind, blob.data) for kind, blob in record.decision.evidence]
    assert kept[1:] == GRUB.logs()
    token = (await app.get(f"/v1/certificates/{issued.serial_number:x}/ear")).body.decode()
    claims = jwt.decode(token, options={"verify_signature": False})
    said = claims["submods"]["cpu"]["ear_verifier_claims"]
    assert said["event_logs"] == ["ccel"]
    assert said["replayed"] == {f"rtmr{number}": "replayed" for number in range(4)}
    results = {
        (one["rule"], one["path"]): one["result"]
        for one in json.loads(record.decision.result_json)["findings"]
    }
    assert results["secure-boot", "boot.secure_boot"] == "pass"
    assert {results["boot-replay", f"boot.replayed.rtmr{n}"] for n in range(3)} == {"pass"}


@pytest.mark.parametrize("section", ["", SECURE])
async def test_a_log_that_was_tampered_with(app: App, section: str) -> None:
    """Whatever the policy says of logs: one that contradicts the quote denies."""
    await app.accept_image(document("grub", GRUB, section))
    told = [one for one in GRUB.events if one.data != b"\1"]
    told[2] = eventlog.variable("SecureBoot", b"\0")
    reply = await enroll(app, "grub", GRUB, [("ccel", eventlog.ccel(told))])
    assert ("boot-replay", "boot.replayed.rtmr0", "fail") in refusing(reply)


async def test_the_log_of_another_boot(app: App) -> None:
    await app.accept_image(document("grub", GRUB, SECURE))
    other = eventlog.grub_boot(cmdline="/vmlinuz init=/bin/sh")
    denied = refusing(await enroll(app, "grub", GRUB, other.logs()))
    assert denied == {("boot-replay", "boot.replayed.rtmr2", "fail")}


async def test_no_log_where_the_policy_wants_one(app: App) -> None:
    await app.accept_image(document("grub", GRUB, SECURE))
    denied = refusing(await enroll(app, "grub", GRUB, []))
    assert {result for _, _, result in denied} == {"missing"}
    assert ("boot-log", "boot", "missing") in denied
    await app.accept_image(document("plain", GRUB))
    assert (await enroll(app, "plain", GRUB, [])).status == 201


@pytest.mark.parametrize(
    ("logs", "status", "code"),
    [
        ([("ccel", GRUB.logs()[0][1][:-1])], 400, "malformed"),
        ([("ccel", b"\xff" * 100)], 400, "malformed"),
        ([("cel", b"")], 400, "malformed"),
        ([("tpm-event-log", GRUB.logs()[0][1])], 422, "evidence"),
        ([GRUB.logs()[0], GRUB.logs()[0]], 422, "evidence"),
        ([("ccel", bytes(600_000)), ("ima-log", bytes(600_000))], 413, "too-large"),
    ],
)
async def test_what_is_no_log(
    app: App, logs: list[tuple[str, bytes]], status: int, code: str
) -> None:
    """Refused, and not on record: the machine may be good, what it said is nothing that can be judged."""
    await app.accept_image(document("grub", GRUB))
    problem_of(await enroll(app, "grub", GRUB, logs), status, code)
    assert not await app.service.store.refusals(10, None)


async def test_a_log_of_forged_evidence_is_not_read(app: App) -> None:
    """The CPU's evidence comes first: a stranger has no log of his parsed."""
    await app.accept_image(document("grub", GRUB))
    reply = await enroll(app, "grub", GRUB, [("ccel", b"no log")], signature=bytes(64))
    problem_of(reply, 422, "signature")


async def test_every_kind_of_log_recomputes(app_on_both: App) -> None:
    app = app_on_both
    for name, boot in BOOTS.items():
        wants = ["rtmr0", "rtmr1", "rtmr2"] + (["rtmr3"] if name in {"dstack", "space"} else [])
        section = f"boot: {{require_replay: {json.dumps(wants)}}}"
        await app.accept_image(document(name, boot, section))
        issued = await enroll(app, name, boot)
        assert issued.status == 201, (name, issued.body)
        other = eventlog.grub_boot(cmdline="/vmlinuz init=/bin/sh")
        logs = [*boot.logs()[1:], *other.logs()] if name != "dstack" else other.logs()
        assert (await enroll(app, name, boot, logs)).status == 403
        assert (await enroll(app, name, boot, [])).status == 403
    app.clock.advance(days=200)
    store, authority = app.service.store, app.service.authority
    refused = [record.decision for record in await store.refusals(100, None)]
    issued_ = [record.decision for record in await store.certificates(CertificateQuery())]
    assert (len(refused), len(issued_)) == (2 * len(BOOTS), len(BOOTS))
    kinds = {kind for made in issued_ for kind, _ in made.evidence}
    assert kinds == {"tdx-quote", "ccel", "dstack-event-log", "cel", "ima-log"}
    for made in (*refused, *issued_):
        again = await both_ways(made, store, authority.anchors, authority.ca_id)
        assert again == made.result_json


async def test_a_draft_is_judged_over_the_logs_on_record(app: App) -> None:
    """The dry run's verdict under a policy that asks what was booted: by the log that was kept, or missing."""
    await app.accept_image(document("grub", GRUB))
    with_log = leaf_of(await enroll(app, "grub", GRUB))
    without = leaf_of(await enroll(app, "grub", GRUB, []))
    authority = app.service.authority
    setting = Setting(authority.anchors, authority.ca_id)
    verdicts = {}
    for leaf in (with_log, without):
        record = await app.service.store.certificate(leaf.serial_number)
        assert record is not None
        recalled = Recalled(record.decision, setting)
        for state in ("enabled", "disabled"):
            draft = load_policy(document("grub", GRUB, f"boot: {{secure_boot: {state}}}").encode())
            found = recalled.under([draft])
            verdicts[leaf is with_log, state] = (found.word, {one.rule for one in found.causes})
    assert verdicts == {
        (True, "enabled"): (Word.ACCEPTED, set()),
        (True, "disabled"): (Word.DENIED, {"secure-boot"}),
        (False, "enabled"): (Word.DENIED, verdicts[False, "enabled"][1]),
        (False, "disabled"): (Word.DENIED, verdicts[False, "enabled"][1]),
    }
    assert "boot-log" in verdicts[False, "enabled"][1]


async def test_the_log_of_a_virtual_tpm(
    app_clock: Clock, database_url: str, tmp_path: Path
) -> None:
    """Under a paravisor: PCRs, and the TPM's own log."""
    made, other = of_tpm(GRUB), of_tpm(eventlog.grub_boot(cmdline="/vmlinuz init=/bin/sh"))
    async with open_snp_app(tmp_path, database_url, app_clock) as snp:
        cvm = AzureCvm(snp.amd.machine("Milan"))
        cvm.tpm.pcrs = made.pcrs
        values: dict[str, Any] = {
            f"pcr{number}": made.pcrs[number].hex() for number in (4, 8, 9, 11, 12)
        }
        text = azure_document(provider="azure", name="azure", **values)
        await snp.app.accept_image(f"{text}{SECURE}\n")
        log = [(KIND, made.log)]
        assert (await snp.enroll(cvm, logs=log)).status == 201
        assert ("boot-log", "boot", "missing") in refusing(await snp.enroll(cvm))
        denied = refusing(await snp.enroll(cvm, logs=[(KIND, other.log)]))
        assert denied == {("boot-replay", "boot.replayed.pcr8", "fail")}
        problem_of(await snp.enroll(cvm, logs=GRUB.logs()), 422, "evidence")
        direct = snp.amd.machine("Milan")
        problem_of(await snp.enroll(direct, logs=log), 422, "evidence")
        store, authority = snp.app.service.store, snp.app.service.authority
        app_clock.advance(days=900)
        decisions = [
            *(one.decision for one in await store.refusals(100, None)),
            *(one.decision for one in await store.certificates(CertificateQuery())),
        ]
        assert len(decisions) == 3
        for decision in decisions:
            again = await both_ways(decision, store, authority.anchors, authority.ca_id)
            assert again == decision.result_json


SECRET = "luks.key=0f1e2d3c4b5a"  # noqa: S105 - what must not be repeated
TELLING = """\
boot:
  kernel_cmdline: {patterns: ["/vmlinuz quiet"]}
  events:
    - {id: text, register: rtmr2, type: EV_IPL, patterns: ["nothing"]}
  dstack: {app_id: ["%s"]}
"""


async def test_no_text_of_a_guest_is_in_the_operators_log(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command line may hold secrets; the record has what it was refused for, the lines of the log have not."""
    boot = eventlog.grub_boot(cmdline=f"/vmlinuz {SECRET}").then(eventlog.aael(SECRET, "a", SECRET))
    await app.accept_image(document("telling", boot, TELLING % ("00" * 20)))
    denied = refusing(await enroll(app, "telling", boot))
    assert {"kernel-cmdline", "boot-event", "dstack"} <= {rule for rule, _, _ in denied}
    other = document("other", GRUB, reference_log(GRUB))
    await app.accept_image(other)
    differing = refusing(await enroll(app, "other", boot))
    assert ("measurement", "td.rtmr2", "fail") in differing
    printed = capsys.readouterr().out
    assert "kernel-cmdline" in printed
    assert SECRET not in printed
    for record in await app.service.store.refusals(10, None):
        assert SECRET in record.decision.result_json


def reference_log(boot: Boot) -> str:
    """A section `boot` that explains differences by what this boot measured into RTMR2."""
    events = [{"digest": one.digest.hex()} for one in boot.events if one.index == 3]
    logs = {"image": {"rtmr2": events}}
    return f"boot: {{reference_logs: {json.dumps(logs)}, require_replay: []}}"


def test_by_the_client_and_the_service(sqlite_stage: Stage, tmp_path: Path) -> None:
    """`attestca-client` with a simulated machine, `attestca serve`, and what the operator sees."""
    out = tmp_path / "own"
    own = sqlite_stage.enroll(out, "--json")
    assert own.returncode == 0, own.stderr
    serial = json.loads(own.stdout)["serial"]
    shown = sqlite_stage.operate("certs", "show", serial, "--json")
    log = sha256(dict(BOOT.logs())["ccel"]).hexdigest()
    assert log in shown
    assert sqlite_stage.enroll(tmp_path / "none", "--log", "none").returncode == 0
    for sent, register_ in (("tampered", "rtmr0"), ("other", "rtmr2")):
        refused = sqlite_stage.enroll(tmp_path / sent, "--log", sent)
        assert refused.returncode == 1
        assert f"fail: boot-replay at boot.replayed.{register_}" in refused.stderr
        assert f"(ccel) do not give {register_} of the quote" in refused.stderr
    broken = sqlite_stage.enroll(tmp_path / "broken", "--log", "broken")
    assert broken.returncode == 1
    assert "refused (malformed)" in broken.stderr
    assert "(ccel): if one of them is meant, --event-log none" in broken.stderr


def test_the_option_of_the_client(sqlite_stage: Stage, tmp_path: Path) -> None:
    """What `--event-log` names is on record, and nothing else: of a good machine, and of one that sends a lie."""
    own = tmp_path / "eventlog"
    own.write_bytes(dict(BOOT.logs())["ccel"] + b"\xff" * 100)

    def enroll_with(*options: str, sent: str = "own") -> tuple[int, str, set[str]]:
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        done = sqlite_stage.enroll(out, "--json", "--log", sent, *options)
        answer = json.loads(done.stdout)
        if done.returncode:
            return done.returncode, answer["code"], set()
        record = json.loads(sqlite_stage.operate("certs", "show", answer["serial"], "--json"))
        return 0, "", {piece["kind"] for piece in record["decision"]["evidence"]}

    named = ("--event-log", str(own))
    assert enroll_with() == (0, "", {"tdx-quote", "ccel"})
    assert enroll_with("--event-log", "none") == (0, "", {"tdx-quote"})
    assert enroll_with("--event-log", "none", sent="tampered") == (0, "", {"tdx-quote"})
    assert enroll_with(*named, sent="tampered") == (0, "", {"tdx-quote", "ccel"})
    assert enroll_with("--event-log", "auto", *named) == (66, "event-log-unusable", set())
    own.write_bytes(dict(eventlog.direct_boot().logs())["ccel"])
    assert enroll_with(*named) == (1, "denied", set())
