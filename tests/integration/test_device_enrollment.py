# SPDX-License-Identifier: Apache-2.0
"""One certificate for a CPU and its devices: a TDX machine with simulated GPUs and switches at a running service."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from attestca_client.protocol import DEFAULT_OID_ARC, HandleKind, chip_id, handle
from ca.issuance import extension
from ca.issuance.request import BindingLevel
from simulator.nvidia import services as parts
from simulator.nvidia.certificates import DAY, YEAR, Terms, issue
from simulator.nvidia.services import Fault
from simulator.nvidia.vendor import REVOKED, UNKNOWN, FakeNvidia
from tests.app_lab import problem_of
from tests.device_app import DeviceApp, open_device_app
from tests.service_lab import leaf_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ca.issuance.extension import AttestationInfo
    from ca.ports import Decision
    from tests.service_lab import Reply
    from tests.vendor_lab import Clock


@pytest.fixture
async def bare(app_clock: Clock, sqlite_url: str, tmp_path: Path) -> AsyncIterator[DeviceApp]:
    """Without a policy that knows devices."""
    async with open_device_app(tmp_path, sqlite_url, app_clock) as running:
        yield running


@pytest.fixture
async def lab(bare: DeviceApp) -> DeviceApp:
    await bare.accept()
    return bare


def said_in(reply: Reply) -> AttestationInfo:
    """What the certificate says."""
    assert reply.status == 201, reply
    oid = extension.info_oid(DEFAULT_OID_ARC)
    (found,) = (one for one in leaf_of(reply).extensions if one.oid.dotted_string == oid)
    return extension.decode(found.value.value)


async def refused(lab: DeviceApp) -> Decision:
    """The one refusal on record."""
    (record,) = await lab.app.service.store.refusals(10, None)
    return record.decision


async def denied(lab: DeviceApp, reply: Reply, code: str = "denied") -> dict[str, str]:
    """The paths of the rules that denied, by rule; the one refusal on record says the same."""
    problem = problem_of(reply, 403, code)
    decision = await refused(lab)
    said = json.loads(decision.result_json)
    assert said["decision"] == "denied"
    if code != "denied":
        assert said["reason"]["code"] == code
    return {one["rule"]: one["path"] for one in problem.get("findings", ())}


async def nothing_is_on_record(lab: DeviceApp) -> bool:
    """No refusal."""
    return not await lab.app.service.store.refusals(10, None)


def counted(lab: DeviceApp, line: str) -> bool:
    return line in lab.app.doors.state.metrics.exposition().decode().splitlines()


# what is certified


async def test_two_gpus_in_one_certificate(lab: DeviceApp) -> None:
    gpus = [lab.nvidia.gpu(), lab.nvidia.gpu()]
    reply = await lab.enroll(*gpus)
    info = said_in(reply)
    assert info.binding is BindingLevel.NONCE_CPU_DIGEST
    assert [(one.kind, one.model, one.driver, one.vbios, one.mode) for one in info.devices] == [
        ("gpu", "GH100 A01 GSP BROM", "580.178.04", "96.00.CF.00.01", "spt")
    ] * 2
    chips = [value for kind, value in info.handles if kind == "chip"]
    chip_key = lab.app.service.authority.chip_key
    for gpu, listed in zip(gpus, info.devices, strict=True):
        own = handle(HandleKind.CHIP, chip_id(chip_key, "nvidia", gpu.serial.encode()))
        assert listed.handle == own
        assert own in chips
        assert gpu.serial.encode() not in leaf_of(reply).tbs_certificate_bytes
    serial = reply.json()["serial"]
    token = (await lab.app.get(f"/v1/certificates/{serial}/ear")).body.decode()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["submods"].keys() == {"cpu", "devices"}


async def test_eight_gpus_and_four_switches(lab: DeviceApp) -> None:
    info = said_in(await lab.enroll(*lab.nvidia.ppcie()))
    assert [one.kind for one in info.devices] == ["gpu"] * 8 + ["switch"] * 4
    assert {one.mode for one in info.devices} == {"ppcie", None}
    assert len([value for kind, value in info.handles if kind == "chip"]) == 13


async def test_a_machine_without_devices_is_as_before(lab: DeviceApp) -> None:
    info = said_in(await lab.app.enroll())
    assert (info.binding, info.devices) == (BindingLevel.NONE, ())


async def test_the_order_in_which_devices_are_sent_is_free(lab: DeviceApp) -> None:
    gpus = [lab.nvidia.gpu(), lab.nvidia.gpu()]
    said_in(await lab.enroll(*gpus, bound=lambda pieces: pieces[::-1]))


async def test_what_nvidia_said_is_kept(lab: DeviceApp) -> None:
    gpu = lab.nvidia.gpu()
    said_in(await lab.enroll(gpu))
    asked = len(lab.services.requests)
    assert asked == 2 + 3 + 2 * 3 - len(
        _shared(lab)
    )  # manifests, the device's chain, their signers'
    said_in(await lab.enroll(gpu))
    assert len(lab.services.requests) == asked


def _shared(lab: DeviceApp) -> set[int]:
    """Certificates of both manifests' chains that are the same."""
    chains = [
        {party.certificate.serial_number for party in manifest.chain[:-1]}
        for manifest in lab.nvidia.manifests.values()
    ]
    return set.intersection(*chains)


async def test_a_genuine_device_elsewhere_is_accepted_at_this_level(lab: DeviceApp) -> None:
    """The limit of the level: a device of another machine, asked live with this nonce, looks like an own one."""
    of_another_machine = lab.nvidia.gpu()
    info = said_in(await lab.enroll(of_another_machine))
    assert info.binding is BindingLevel.NONCE_CPU_DIGEST


# what a policy says


async def test_a_policy_that_says_nothing_of_devices_takes_none(bare: DeviceApp) -> None:
    reply = await bare.enroll(bare.nvidia.gpu(), profile="default")
    assert await denied(bare, reply) == {"device-unexpected": "devices"}
    assert bare.services.requests == []


async def test_of_devices_that_nobody_looked_at_only_digests_are_kept(bare: DeviceApp) -> None:
    """Whoever has one genuine CPU could fill the record with anything otherwise."""
    reply = await bare.enroll(*[bare.nvidia.gpu()] * 16, profile="default")
    assert (await denied(bare, reply)).keys() == {"device-unexpected"}
    (_, quote), *rest = (await refused(bare)).evidence
    assert [(kind, len(blob.data)) for kind, blob in rest] == [("attachment", 32)] * 16
    assert len(quote.data) > 4000


async def test_a_refused_image_has_nobody_ask_about_its_devices(bare: DeviceApp) -> None:
    """Its guest chooses what it sends, as often as it likes."""
    await bare.accept(appraisal="both")
    found = await denied(bare, await bare.enroll(bare.nvidia.gpu(), mr_td=bytes(48)))
    assert found == {"measurement": "reference_sets.release", "device-unexpected": "devices"}
    assert bare.services.requests == []


async def test_fewer_and_more_than_the_policy_wants(bare: DeviceApp) -> None:
    await bare.accept(gpus=2, switches=0, modes="[spt]")
    for number in (0, 1, 3):
        reply = await bare.enroll(*(bare.nvidia.gpu() for _ in range(number)))
        problem = problem_of(reply, 403, "denied")
        assert "device-count" in {one["rule"] for one in problem["findings"]}
    said_in(await bare.enroll(bare.nvidia.gpu(), bare.nvidia.gpu()))


async def test_an_old_driver_is_named(bare: DeviceApp) -> None:
    await bare.accept(driver='{minimum: {"580": 580.200.01}}')
    found = await denied(bare, await bare.enroll(bare.nvidia.gpu()))
    assert found == {"driver-minimum": "devices[0].driver_version"}


async def test_the_list_in_force_is_on_record(bare: DeviceApp) -> None:
    await bare.accept(driver="{advisories: [nvidia-5861]}")
    said_in(await bare.enroll(bare.nvidia.gpu()))
    await bare.enroll(bare.nvidia.gpu(driver="580.95.05"))
    said = json.loads((await refused(bare)).result_json)
    assert said["minimums"]["version"] >= 1


# devices that are not what they must be


async def test_a_device_of_no_vendor(lab: DeviceApp) -> None:
    forged = FakeNvidia.create(lab.app.clock(), seed=b"forger " * 5).gpu()
    problem_of(await lab.enroll(lab.nvidia.gpu(), forged), 422, "untrusted-root")
    assert lab.services.requests == []
    assert await nothing_is_on_record(lab)


@pytest.mark.parametrize("other", [bytes(32), b"\xff" * 32])
async def test_reports_recorded_for_another_nonce(lab: DeviceApp, other: bytes) -> None:
    reply = await lab.enroll(lab.nvidia.gpu(), asked=lambda _: other)
    problem_of(reply, 422, "binding-mismatch")
    assert lab.services.requests == []
    assert await nothing_is_on_record(lab)


async def test_a_set_recorded_for_another_key(lab: DeviceApp) -> None:
    """The nonce of devices is made of the key as well: what another enrollment was given does not fit."""
    gpu = lab.nvidia.gpu()
    taken: list[bytes] = []

    def keep(pieces: list[bytes]) -> list[bytes]:
        taken[:] = pieces
        return pieces

    nonce = await lab.app.nonce()
    lab.body(nonce, [gpu], sent=keep)  # never sent
    reply = await lab.app.post(lab.body(nonce, [gpu], sent=lambda _: taken))
    problem_of(reply, 422, "binding-mismatch")


@pytest.mark.parametrize("covered", [0, 1])
async def test_the_cpu_must_have_named_every_device(lab: DeviceApp, covered: int) -> None:
    """Nobody is asked about devices that a genuine CPU has not vouched for, and nothing is on record."""
    gpus = [lab.nvidia.gpu(), lab.nvidia.gpu()]
    reply = await lab.enroll(*gpus, bound=lambda pieces: pieces[:covered])
    problem_of(reply, 422, "binding-mismatch")
    assert lab.services.requests == []
    assert await nothing_is_on_record(lab)


async def test_a_named_device_must_be_there(lab: DeviceApp) -> None:
    gpus = [lab.nvidia.gpu(), lab.nvidia.gpu()]
    nonce = await lab.app.nonce()
    all_of_them: list[bytes] = []

    def drop(pieces: list[bytes]) -> list[bytes]:
        all_of_them[:] = pieces
        return pieces[:1]

    reply = await lab.app.post(lab.body(nonce, gpus, sent=drop, bound=lambda _: all_of_them))
    problem_of(reply, 422, "binding-mismatch")


async def test_one_device_for_two(lab: DeviceApp) -> None:
    gpu = lab.nvidia.gpu()
    await denied(lab, await lab.enroll(gpu, gpu), "duplicate-device")


async def test_a_system_that_lacks_a_switch(lab: DeviceApp) -> None:
    await denied(lab, await lab.enroll(*lab.nvidia.ppcie()[:-1]), "topology")


async def test_other_firmware_than_the_manifest_names(lab: DeviceApp) -> None:
    gpu = lab.nvidia.gpu()
    gpu.written = gpu.written.but(blocks=lab.nvidia.gpu(driver="580.95.05").written.blocks)
    await denied(lab, await lab.enroll(gpu), "measurement-mismatch")
    assert "device 0" in json.loads((await refused(lab)).result_json)["reason"]["detail"]


@pytest.mark.parametrize(
    ("status", "code"), [(REVOKED, "certificate-revoked"), (UNKNOWN, "certificate-status-unknown")]
)
async def test_what_nvidia_has_withdrawn(lab: DeviceApp, status: dict[str, Any], code: str) -> None:
    gpu = lab.nvidia.gpu()
    lab.nvidia.status(gpu.device.parties[1], status)
    await denied(lab, await lab.enroll(gpu), code)


async def test_a_manifest_that_nvidia_has_withdrawn(lab: DeviceApp) -> None:
    gpu = lab.nvidia.gpu()
    lab.nvidia.status(lab.nvidia.manifests[gpu.rim_ids[0]].chain[0], REVOKED)
    await denied(lab, await lab.enroll(gpu), "certificate-revoked")


async def test_a_driver_that_nvidia_has_no_manifest_of(lab: DeviceApp) -> None:
    gpu = lab.nvidia.gpu()
    del lab.nvidia.manifests[gpu.rim_ids[0]]
    await denied(lab, await lab.enroll(gpu), "incomplete")


async def test_a_manifest_whose_signer_is_out_of_date(lab: DeviceApp) -> None:
    """NVIDIA has let it end: the machine learns that, and must get another driver."""
    gpu, now = lab.nvidia.gpu(), lab.app.clock()
    for rim_id in gpu.rim_ids:
        manifest = lab.nvidia.manifests[rim_id]
        _, third, *above = manifest.chain
        terms = Terms(not_before=now - 2 * YEAR, not_after=now - DAY, key="out of date")
        chain = (issue("NVIDIA GH100 RIM L4 Signer", third, terms), third, *above)
        lab.nvidia.manifests[rim_id] = replace(manifest, chain=chain)
    await denied(lab, await lab.enroll(gpu), "certificate-expired")


async def test_answers_past_their_time(lab: DeviceApp) -> None:
    gpu = lab.nvidia.gpu()
    lab.nvidia.status(gpu.device.parties[1], lab.nvidia.stale())
    assert (await denied(lab, await lab.enroll(gpu))).keys() == {"collateral-stale"}


async def test_seventeen_devices(lab: DeviceApp) -> None:
    gpu = lab.nvidia.gpu()
    problem_of(await lab.enroll(gpu, sent=lambda pieces: pieces * 17), 422, "evidence")


# what is not the machine's fault


@pytest.mark.parametrize("part", [parts.RIM, parts.OCSP])
async def test_a_service_that_does_not_answer(lab: DeviceApp, part: str) -> None:
    gpu = lab.nvidia.gpu()
    lab.services.faults[part] = Fault(status=500)
    problem_of(await lab.enroll(gpu), 503, "unavailable")
    assert await nothing_is_on_record(lab)
    lab.services.faults.clear()
    lab.app.clock.advance(minutes=30)
    said_in(await lab.enroll(gpu))


async def test_a_manifest_that_was_altered_on_the_way(lab: DeviceApp) -> None:
    gpu = lab.nvidia.gpu()
    good = lab.nvidia.manifests[gpu.rim_ids[0]]
    stranger = FakeNvidia.create(lab.app.clock(), seed=b"stranger" * 4)
    lab.nvidia.manifests[gpu.rim_ids[0]] = stranger.manifests[stranger.gpu().rim_ids[0]]
    problem_of(await lab.enroll(gpu), 503, "collateral-unusable")
    assert await nothing_is_on_record(lab)
    lab.nvidia.manifests[gpu.rim_ids[0]] = good
    lab.app.clock.advance(minutes=2)  # what could not be used is asked for anew
    said_in(await lab.enroll(gpu))


async def test_what_is_known_of_the_cpu_is_not_doubted_for_its_devices(lab: DeviceApp) -> None:
    gpu = lab.nvidia.gpu()
    said_in(await lab.enroll(gpu))
    asked = len(lab.app.pcs.requests)
    stranger = FakeNvidia.create(lab.app.clock(), seed=b"stranger" * 4)
    other = lab.nvidia.gpu(driver="580.200.01")
    lab.nvidia.manifests[other.rim_ids[0]] = stranger.manifests[stranger.gpu().rim_ids[0]]
    lab.app.clock.advance(minutes=2)
    problem_of(await lab.enroll(other), 503, "collateral-unusable")
    said_in(await lab.enroll(gpu))
    assert len(lab.app.pcs.requests) == asked


# NVIDIA's own appraisal


@pytest.mark.parametrize("appraisal", ["nras", "both"])
async def test_appraised_by_nvidia(bare: DeviceApp, appraisal: str) -> None:
    await bare.accept(appraisal=appraisal)
    info = said_in(await bare.enroll(*bare.nvidia.ppcie()))
    assert {one.appraised_by for one in info.devices} == {appraisal}
    posted = [request for request in bare.services.requests if "attest" in request]
    assert sorted(posted) == ["POST /v4/attest/gpu", "POST /v4/attest/switch"]


async def test_every_enrollment_has_tokens_of_its_own(bare: DeviceApp) -> None:
    await bare.accept(appraisal="nras")
    gpu = bare.nvidia.gpu()
    for _ in range(2):
        said_in(await bare.enroll(gpu))
    assert bare.services.requests.count("POST /v4/attest/gpu") == 2
    assert bare.services.requests.count("GET /.well-known/jwks.json") == 1


async def test_a_refusal_of_nvidias_is_one(bare: DeviceApp) -> None:
    """Signed, and delivered as a success of HTTP."""
    await bare.accept(appraisal="nras")
    gpu = bare.nvidia.gpu()
    gpu.written = gpu.written.but(blocks=bare.nvidia.gpu(driver="580.95.05").written.blocks)
    await denied(bare, await bare.enroll(gpu), "nras-refused")


async def test_a_disagreement_refuses_and_alarms(bare: DeviceApp) -> None:
    await bare.accept(appraisal="both")
    gpu = bare.nvidia.gpu()
    said_in(await bare.enroll(gpu))
    bare.nvidia.nras.edit_overall = lambda said: said | {"x-nvidia-overall-att-result": False}
    await denied(bare, await bare.enroll(gpu), "verifiers-disagree")
    assert counted(bare, 'attestca_alarms_total{kind="disagreement"} 1.0')


async def test_a_token_that_is_not_the_services_refuses_nobody(bare: DeviceApp) -> None:
    await bare.accept(appraisal="nras")
    gpu, issuer = bare.nvidia.gpu(), bare.nvidia.nras.issuer
    bare.nvidia.nras.issuer = "https://other.example"
    problem_of(await bare.enroll(gpu), 503, "collateral-unusable")
    assert await nothing_is_on_record(bare)
    bare.nvidia.nras.issuer = issuer
    said_in(await bare.enroll(gpu))


async def test_a_service_that_is_down_refuses_nobody(bare: DeviceApp) -> None:
    await bare.accept(appraisal="both")
    bare.services.faults[parts.NRAS] = Fault(status=500)
    problem_of(await bare.enroll(bare.nvidia.gpu()), 503, "unavailable")
    assert await nothing_is_on_record(bare)
