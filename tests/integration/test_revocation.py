# SPDX-License-Identifier: Apache-2.0
"""What a revocation does, by each kind of handle: who depends on it is listed and gets no certificate again, and who
does not goes on. A whole service on each of the two databases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select

from attestca_client.protocol import HandleKind, certificate_handle
from ca.ports import CertificateQuery, Outcome
from ca.store.tables import certificates
from simulator.machine import register
from tests.app_lab import IMAGE, install_issuing, problem_of
from tests.device_app import open_device_app
from tests.device_app import policy as device_policy
from tests.revoking import issued, listed, preview, publish, refused, revoke
from tests.snp_app import open_snp_app
from tests.snp_app import policy as snp_policy

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from ca.ports import Signer
    from simulator.machine import Platform
    from tests.app_lab import App
    from tests.service_lab import Reply
    from tests.vendor_lab import Clock

OTHER = register("simulated kernel, the next release")
POLICY = """\
name: {name}
version: {version}
match: {{tee: tdx}}
reference_sets:
  release:
    - {{id: image-1, values: {{{first}}}}}
    - {{id: image-2, values: {{{second}}}}}
tdx: {{measurements: [release]}}
issue:
  profile: {name}
  lifetime: 1h
  san: {{uri: ["spiffe://example.org/tdx/{{mr_td_32}}"]}}
  shared_name: every machine of this image
"""
WITHHOLD = "  withhold_chip_handle: true\n"  # behind the section `issue`


def policy(name: str, version: int = 1) -> str:
    """For two images, which differ in their kernels."""

    def values(**other: bytes) -> str:
        registers = {key: register(f"simulated {what}") for key, what in IMAGE.items()} | other
        return ", ".join(f'{key}: "{value.hex()}"' for key, value in registers.items())

    return POLICY.format(name=name, version=version, first=values(), second=values(rtmr1=OTHER))


@dataclass
class Fleet:
    """Two machines, two images, two policies for both of them."""

    app: App
    other: Platform

    async def enroll(self, **fields: Any) -> Reply:  # noqa: ANN401 - of `App.body`
        return await self.app.enroll(**{"profile": "one"} | fields)

    async def gone(self, leaf: x509.Certificate) -> str | None:
        """The reason under which a leaf is listed."""
        await publish(self.app)
        entry = await listed(self.app, leaf)
        if entry is None:
            return None
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        assert entry.revocation_date_utc == self.app.clock()
        return str(reason.value)


@pytest.fixture
async def fleet(app_on_both: App) -> Fleet:
    app = app_on_both
    await app.accept_image(policy("one"))
    await app.accept_image(policy("two"))
    return Fleet(app, app.intel.platform())


async def test_a_chip(fleet: Fleet) -> None:
    bad, good = issued(await fleet.enroll()), issued(await fleet.enroll(machine=fleet.other))
    ppid = fleet.app.machine.sgx.ppid.hex()
    chip = {"kind": "chip", "name": "ppid", "value": ppid}
    seen = await preview(fleet.app, **chip)
    assert [one["serial"] for one in seen["certificates"]] == [f"{bad.serial_number:x}"]
    await revoke(fleet.app, **chip)
    refused(await fleet.enroll(), "chip")
    refused(await fleet.enroll(profile="two", rtmr1=OTHER), "chip")
    assert await fleet.gone(bad) == "keyCompromise"
    assert await fleet.gone(good) is None
    issued(await fleet.enroll(machine=fleet.other))


@pytest.mark.parametrize(
    "named",
    [{"name": "rtmr1", "value": OTHER.hex()}, {"name": "release/image-2", "value": "one@1"}],
    ids=["register", "group"],
)
async def test_a_measurement(fleet: Fleet, named: dict[str, str]) -> None:
    bad, good = issued(await fleet.enroll(rtmr1=OTHER)), issued(await fleet.enroll())
    await revoke(fleet.app, kind="measurement", **named, reason="superseded")
    refused(await fleet.enroll(rtmr1=OTHER), "measurement")
    refused(await fleet.enroll(rtmr1=OTHER, machine=fleet.other), "measurement")
    refused(await fleet.enroll(rtmr1=OTHER, profile="two"), "measurement")
    assert await fleet.gone(bad) == "superseded"
    assert await fleet.gone(good) is None
    issued(await fleet.enroll())


async def test_a_key(fleet: Fleet) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    bad, good = issued(await fleet.enroll(key=key)), issued(await fleet.enroll())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    await revoke(fleet.app, kind="key", value=sha256(spki).hexdigest())
    refused(await fleet.enroll(key=key), "key")
    refused(await fleet.enroll(key=key, machine=fleet.other, rtmr1=OTHER), "key")
    assert await fleet.gone(bad) == "keyCompromise"
    assert await fleet.gone(good) is None
    issued(await fleet.enroll())


async def test_a_certificate(fleet: Fleet) -> None:
    """The one is listed; its machine may come for another."""
    bad, good = issued(await fleet.enroll()), issued(await fleet.enroll())
    serial = f"{bad.serial_number:x}"
    await revoke(fleet.app, kind="certificate", value=serial, reason="cessationOfOperation")
    assert await fleet.gone(bad) == "cessationOfOperation"
    assert await fleet.gone(good) is None
    issued(await fleet.enroll())


async def test_a_policy(fleet: Fleet) -> None:
    bad, good = issued(await fleet.enroll()), issued(await fleet.enroll(profile="two"))
    await revoke(fleet.app, kind="policy", value="one@1", reason="privilegeWithdrawn")
    refused(await fleet.enroll(), "policy")
    refused(await fleet.enroll(machine=fleet.other), "policy")
    assert await fleet.gone(bad) == "privilegeWithdrawn"
    assert await fleet.gone(good) is None
    issued(await fleet.enroll(profile="two"))


async def test_an_issuer(fleet: Fleet) -> None:
    """Nothing more is issued, until there is another issuing CA."""
    bad = issued(await fleet.enroll())
    key_id = fleet.app.service.authority.issuing().issuer.key_id
    await revoke(fleet.app, kind="issuer", value=key_id.hex(), reason="cACompromise")
    refused(await fleet.enroll(), "issuer")
    assert await fleet.gone(bad) == "cACompromise"
    fleet.app.clock.advance(seconds=1)
    install_issuing(fleet.app.config, fleet.app.clock())
    await publish(fleet.app)
    good = issued(await fleet.enroll())
    assert good.issuer != bad.issuer
    assert await fleet.gone(good) is None
    assert await listed(fleet.app, bad) is not None


@pytest.mark.parametrize("kind", ["product", "tcb"])
async def test_all_that_a_machine_has_in_common_with_its_kind(fleet: Fleet, kind: str) -> None:
    """By the handle, as the record of one certificate shows it."""
    leaves = [issued(await fleet.enroll()), issued(await fleet.enroll(machine=fleet.other))]
    record = await fleet.app.service.store.certificate(leaves[0].serial_number)
    assert record is not None
    await revoke(fleet.app, handle=dict(record.handles)[kind].hex())
    refused(await fleet.enroll(), kind)
    refused(await fleet.enroll(machine=fleet.other, rtmr1=OTHER), kind)
    for leaf in leaves:
        assert await fleet.gone(leaf) == "keyCompromise"


async def test_a_tcb_of_one_product_line(
    app_clock: Clock, database_url: str, tmp_path: Path
) -> None:
    async with open_snp_app(tmp_path, database_url, app_clock, ("Milan", "Genoa")) as snp:
        await snp.accept()
        milan, genoa = snp.amd.machine("Milan"), snp.amd.machine("Genoa")
        bad, good = issued(await snp.enroll(milan)), issued(await snp.enroll(genoa))
        record = await snp.app.service.store.certificate(bad.serial_number)
        assert record is not None
        await revoke(snp.app, handle=dict(record.handles)[HandleKind.TCB].hex())
        refused(await snp.enroll(milan), "tcb")
        issued(await snp.enroll(genoa))
        await publish(snp.app)
        assert await listed(snp.app, bad) is not None
        assert await listed(snp.app, good) is None


@pytest.mark.parametrize("kind", ["firmware", "chip"])
async def test_devices_take_their_machine_with_them(
    kind: str, app_clock: Clock, database_url: str, tmp_path: Path
) -> None:
    async with open_device_app(tmp_path, database_url, app_clock) as lab:
        await lab.accept(driver="{no_minimum: simulated}")
        gpu, other = lab.nvidia.gpu(), lab.nvidia.gpu()
        bad, good = issued(await lab.enroll(gpu, other)), issued(await lab.enroll(other))
        named = {
            "chip": {"name": "nvidia", "value": gpu.serial},
            "firmware": {"value": "nvidia-driver:580.178.04"},
        }
        await revoke(lab.app, kind=kind, **named[kind])
        refused(await lab.enroll(gpu), kind)
        refused(await lab.enroll(other, gpu), kind)
        await publish(lab.app)
        assert await listed(lab.app, bad) is not None
        if kind == "chip":
            issued(await lab.enroll(other))
            assert await listed(lab.app, good) is None
        else:  # both have the driver
            assert await listed(lab.app, good) is not None
        issued(await lab.app.enroll())  # the machine without its devices


async def test_who_is_refused_is_on_record(fleet: Fleet) -> None:
    """With the decision that the policy made, and what was revoked; the nonce is spent."""
    await revoke(fleet.app, kind="measurement", name="rtmr1", value=OTHER.hex())
    body = fleet.app.body(await fleet.app.nonce(), profile="one", rtmr1=OTHER)
    refused(await fleet.app.post(body), "measurement")
    assert (await fleet.app.post(body)).code == "nonce-used"
    (refusal,) = await fleet.app.service.store.refusals(10, None)
    result = json.loads(refusal.decision.result_json)
    assert result["reason"] == {"code": "handle-revoked", "detail": "revoked: measurement"}
    assert result["decision"] == "denied"
    assert (refusal.decision.policy_name, refusal.decision.policy_version) == ("one", 1)
    assert await fleet.app.service.store.nonce_state(refusal.decision.nonce) is not None


@pytest.mark.parametrize("withheld", [False, True], ids=["listed", "withheld"])
async def test_who_would_be_issued_at_that_moment_is_not(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, *, withheld: bool
) -> None:
    """An intent is on record, then comes the revocation, then the signature: nobody gets the certificate.

    It is signed all the same, so its serial is revoked wherever one can ask.
    """
    app = fleet.app
    if withheld:
        await app.accept_image(policy("two", version=2) + WITHHOLD)
    authority = app.service.authority
    signer = authority.issuing().signer
    sign = type(signer).sign
    signed: list[bytes] = []

    async def revoke_first(self: Signer, tbs: bytes) -> bytes:
        if not signed:
            signed.append(tbs)
            await revoke(app, kind="chip", name="ppid", value=app.machine.sgx.ppid.hex())
            authority.revoked.clear()
        return await sign(self, tbs)

    monkeypatch.setattr(type(signer), "sign", revoke_first)
    body = app.body(await app.nonce(), profile="two")
    refused(await app.post(body), "chip")
    assert authority.revoked.is_set()
    assert (await app.post(body)).code == "nonce-used"

    (record,) = await app.service.store.certificates(CertificateQuery())
    assert sha256(signed[0]).digest() in await intents(app)
    assert (record.outcome, record.der) == (Outcome.ABANDONED, None)
    (refusal,) = await app.service.store.refusals(10, None)
    reason = json.loads(refusal.decision.result_json)["reason"]
    assert reason == {"code": "handle-revoked", "detail": "revoked: chip"}
    assert refusal.decision.salt != record.decision.salt

    path = f"/v1/certificates/{record.serial:x}"
    for suffix in ("", "/ear", "/proof"):
        problem_of(await app.get(path + suffix), 404, "not-found")
    await publish(app)
    crl = await app.crl(record.issuer_key_id, record.not_after)
    assert crl.get_revoked_certificate_by_serial_number(record.serial) is not None
    statuses = await app.service.store.statuses(record.issuer_key_id, [record.serial])
    assert statuses[record.serial] is not None
    feed = (await app.get("/v1/revocations?after=0")).json()["revocations"]
    own = certificate_handle(record.issuer_key_id, record.serial).hex()
    assert [one["kind"] for one in feed] == ["chip", "certificate"]
    assert feed[1]["handle"] == own


async def intents(app: App) -> set[bytes]:
    """Digests of all that was to be signed."""

    def read(connection: Connection) -> set[bytes]:
        return set(connection.execute(select(certificates.c.tbs_sha256)).scalars())

    return await app.service.store._database.read(read)


async def test_a_revoked_chip_that_a_policy_withholds(fleet: Fleet) -> None:
    """It gets no certificate more, and what it has is revoked by its own handle: nobody else knows the chip's."""
    await fleet.app.accept_image(policy("two", version=2) + WITHHOLD)
    leaf = issued(await fleet.enroll(profile="two"))
    chip = {"kind": "chip", "name": "ppid", "value": fleet.app.machine.sgx.ppid.hex()}
    assert (await preview(fleet.app, **chip))["count"] == 1
    await revoke(fleet.app, **chip)
    refused(await fleet.enroll(profile="two"), "chip")
    (only,) = await fleet.app.service.store.certificates(CertificateQuery())
    assert only.serial == leaf.serial_number, "nothing more was signed"
    assert await fleet.gone(leaf) is not None
    record = await fleet.app.service.store.certificate(leaf.serial_number)
    assert record is not None
    assert "chip" not in dict(record.handles)
    (of_chip, of_leaf) = (await fleet.app.get("/v1/revocations")).json()["revocations"]
    own = certificate_handle(record.issuer_key_id, leaf.serial_number)
    assert (of_chip["kind"], of_leaf["kind"]) == ("chip", "certificate")
    assert of_leaf["handle"] == own.hex()
    issued(await fleet.enroll(profile="two", machine=fleet.other))


async def test_a_revoked_chip_of_snp_that_a_policy_withholds(
    app_clock: Clock, sqlite_url: str, tmp_path: Path
) -> None:
    async with open_snp_app(tmp_path, sqlite_url, app_clock, ("Milan",)) as snp:
        await snp.app.accept_image(snp_policy() + WITHHOLD)
        bad, good = snp.amd.machine("Milan"), snp.amd.machine("Milan")
        issued(await snp.enroll(bad))
        await revoke(snp.app, kind="chip", name="chip_id", value=bad.chip_id.hex())
        refused(await snp.enroll(bad), "chip")
        issued(await snp.enroll(good))


async def test_a_revoked_device_that_a_policy_withholds(
    app_clock: Clock, database_url: str, tmp_path: Path
) -> None:
    async with open_device_app(tmp_path, database_url, app_clock) as lab:
        await lab.app.accept_image(device_policy() + WITHHOLD)
        gpu, other = lab.nvidia.gpu(), lab.nvidia.gpu()
        issued(await lab.enroll(other, gpu))
        await revoke(lab.app, kind="chip", name="nvidia", value=gpu.serial)
        refused(await lab.enroll(other, gpu), "chip")
        issued(await lab.enroll(other))
