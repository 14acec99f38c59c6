# SPDX-License-Identifier: Apache-2.0
"""SEV-SNP machines get certificates like any other: what stands in them, and what is refused by whose fault."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography import x509
from structlog.testing import capture_logs

from attestca_client.protocol import DEFAULT_OID_ARC, HandleKind, chip_id, handle
from ca.authority import Issuing
from ca.enrollment import enroll
from ca.errors import PolicyConflict
from ca.http.wire import decode_enrollment
from ca.issuance import extension
from ca.issuance.request import Assurance
from ca.ports import CertificateQuery
from simulator.azure import AzureCvm
from simulator.pki import pem
from simulator.products import Tcb
from simulator.snp import CSP, DEBUG
from simulator.snp_report import FIELDS
from tests.app_lab import problem_of
from tests.authority_lab import make_lab
from tests.service_lab import CountingSigner, leaf_of
from tests.snp_app import MEASUREMENT, NO_FLOOR, open_snp_app, policy

if TYPE_CHECKING:
    from pathlib import Path

    from ca.issuance.extension import AttestationInfo
    from ca.ports import Decision
    from simulator.snp import SnpMachine
    from tests.service_lab import Reply
    from tests.snp_app import SnpApp
    from tests.vendor_lab import Clock

RESERVED = min(name for name in FIELDS if name.startswith("reserved"))
FLOOR = '{minimum: {"19-01-1": {reported: {snp: 27, microcode: 222}}}}'


def info_of(reply: Reply) -> AttestationInfo:
    """What the certificate of an answer says."""
    assert reply.status == 201, reply.body
    oid = x509.ObjectIdentifier(extension.info_oid(DEFAULT_OID_ARC))
    found = leaf_of(reply).extensions.get_extension_for_oid(oid)
    return extension.decode(found.value.public_bytes())


def handles_of(info: AttestationInfo, kind: HandleKind) -> set[bytes]:
    return {value for name, value in info.handles if name == kind.value}


async def claims_of(snp: SnpApp, reply: Reply) -> dict[str, Any]:
    """The signed result, as its reader decodes it."""
    serial = leaf_of(reply).serial_number
    token = (await snp.app.get(f"/v1/certificates/{serial:x}/ear")).body
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def nothing_on_record(snp: SnpApp) -> bool:
    store = snp.app.service.store
    return not (await store.refusals(10, None) or await store.certificates(CertificateQuery()))


async def refusals(snp: SnpApp) -> list[Decision]:
    return [record.decision for record in await snp.app.service.store.refusals(10, None)]


@pytest.mark.parametrize("carried", ["table", "pem", "der", None])
@pytest.mark.parametrize("version", [3, 5])
async def test_a_machine_of_its_own(snp: SnpApp, carried: str | None, version: int) -> None:
    """The certificate of its key may come along, in any form, or is fetched."""
    await snp.accept()
    machine = snp.amd.machine("Milan")
    certificates = {
        "table": machine.certificate_table(),
        "pem": machine.certificates_pem(),
        "der": machine.vek().der,
        None: None,
    }[carried]
    reply = await snp.enroll(machine, certificates=certificates, version=version)
    info = info_of(reply)
    assert (info.tee, info.product, info.tcb_status) == ("snp", "Milan", "NotRated")
    assert info.registers == (("measurement", MEASUREMENT),)
    assert snp.fetched == (["crl"] if carried else ["crl", "vcek"])
    shown = (await snp.app.get(f"/v1/certificates/{leaf_of(reply).serial_number:x}")).json()
    assert (shown["tee"], shown["tcb_status"]) == ("snp", "NotRated")
    assert shown["evidence_sha256"] == [info.evidence_sha256.hex()]


@pytest.mark.parametrize(
    ("product", "model", "tcb"),
    [
        ("Milan", "190101", "0400000000001dde"),
        ("Genoa", "191101", "0a00000000001b58"),
        ("Turin", "1a0201", "0101010400000051"),
    ],
)
async def test_each_product_line_and_its_handles(
    snp: SnpApp, product: str, model: str, tcb: str
) -> None:
    await snp.accept()
    machine = snp.amd.machine(product)
    info = info_of(await snp.enroll(machine))
    key = snp.app.service.authority.chip_key
    chip = chip_id(key, "chip_id", machine.chip_id)
    vector = product.encode() + b"\0" + bytes.fromhex(model + tcb)
    assert info.product == product
    assert handles_of(info, HandleKind.CHIP) == {handle(HandleKind.CHIP, chip)}
    assert handles_of(info, HandleKind.TCB) == {handle(HandleKind.TCB, vector)}
    assert handles_of(info, HandleKind.PRODUCT) == {handle(HandleKind.PRODUCT, product.encode())}
    assert handle(HandleKind.MEASUREMENT, b"measurement", MEASUREMENT) in handles_of(
        info, HandleKind.MEASUREMENT
    )


async def test_two_technologies_side_by_side(snp: SnpApp) -> None:
    """Each under its own policy of the same profile; neither's evidence reaches the other's."""
    await snp.accept()
    assert (await snp.app.enroll()).json()["policy"]["name"] == "demo"
    assert (await snp.enroll(snp.amd.machine("Genoa"))).json()["policy"]["name"] == "snp"
    assert {one.name for one in await snp.app.service.store.policies(active_only=True)} == {
        "demo",
        "snp",
    }


async def test_a_guest_under_azures_paravisor(snp: SnpApp) -> None:
    await snp.accept(name="azure", provider="azure")
    cvm = AzureCvm(snp.amd.machine("Genoa"))
    info = info_of(await snp.enroll(cvm))
    pinned = dict(info.registers)
    assert (info.tee, info.product) == ("snp", "Genoa")
    assert pinned["measurement"] == MEASUREMENT
    assert {name: value for name, value in pinned.items() if name.startswith("pcr")} == {
        f"pcr{index}": cvm.tpm.pcrs[index] for index in (4, 8, 9, 11, 12)
    }
    (record,) = await snp.app.service.store.certificates(CertificateQuery())
    kinds = [kind for kind, _ in record.decision.evidence]
    assert kinds == ["hcl-report", "tpm-attest", "tpm-signature", "tpm-pcrs"]


async def test_every_pcr_fits_in_a_certificate(snp: SnpApp) -> None:
    cvm = AzureCvm(snp.amd.machine("Genoa"))
    pcrs = {f"pcr{index}": value.hex() for index, value in enumerate(cvm.tpm.pcrs)}
    await snp.accept(name="azure", provider="azure", **pcrs)
    assert len(info_of(await snp.enroll(cvm)).registers) == 25


async def test_a_cloud_providers_key(snp: SnpApp) -> None:
    """Only where the policy names the provider; one of its machines cannot be told from another."""
    await snp.accept()
    machine = snp.amd.machine("Milan")
    table = machine.certificate_table("vlek")
    denied = await snp.enroll(machine, signing_key="vlek", certificates=table)
    problem = problem_of(denied, 403, "denied")
    assert [finding["rule"] for finding in problem["findings"]] == ["vlek"]
    assert CSP not in str(problem)
    await snp.accept(version=2, rules=f'  vlek: {{csp_ids: ["{CSP}"]}}')
    info = info_of(await snp.enroll(machine, signing_key="vlek", certificates=table))
    assert handles_of(info, HandleKind.CHIP) == set()
    assert "vlek:vek.kind" in info.tolerated, "which is all that tells it from the key of one chip"
    assert "vcek" not in snp.fetched
    await snp.accept(version=3, rules='  vlek: {csp_ids: ["CN=cc-eu-west-1.amazonaws.com"]}')
    again = await snp.enroll(machine, signing_key="vlek", certificates=table)
    problem_of(again, 403, "denied")


# what the certificate and the result say of the TCB


@pytest.mark.parametrize(
    ("tcb", "configuration"),
    [(FLOOR, 2), (NO_FLOOR, 32)],
    ids=["floor", "no-floor"],
)
async def test_tolerated_things_are_named(snp: SnpApp, tcb: str, configuration: int) -> None:
    await snp.accept(tcb=tcb)
    reply = await snp.enroll(snp.amd.machine("Milan"))
    info, claims = info_of(reply), await claims_of(snp, reply)
    vector = claims["submods"]["cpu"]["ear_trustworthiness_vector"]
    assert vector["configuration"] == configuration
    assert vector["hardware"] == 97  # a simulated vendor's
    assert claims["submods"]["cpu"]["ear_verifier_claims"]["tcb_status"] == "NotRated"
    assert [name.partition(":")[0] for name in info.tolerated] == (
        [] if configuration == 2 else ["tcb-floor"]
    )


@pytest.mark.parametrize(
    ("tcb", "old", "hardware"),
    [(FLOOR, False, 2), (FLOOR, True, 32), (NO_FLOOR, False, 32)],
    ids=["above", "below", "no-floor"],
)
async def test_hardware_is_affirmed_above_a_floor_alone(
    snp: SnpApp, tcb: str, *, old: bool, hardware: int
) -> None:
    """As an authority says it whose certificates are of real machines; `below` is tolerated by a warning."""
    await snp.app.accept_image(policy(tcb=tcb) + "warn: {tcb-floor: 2035-01-01}\n")
    now = snp.app.clock()
    lab = make_lab(Assurance.VERIFIED, now)
    issuing = Issuing(lab.issuer, CountingSigner(lab), lab.ear_key(now))
    authority = replace(snp.app.service.authority, issuing=lambda: issuing)
    level = Tcb(bootloader=3, tee=0, snp=8, microcode=0x73) if old else None
    body = snp.body(await snp.app.nonce(), snp.amd.machine("Milan", tcb=level))
    record = (await enroll(decode_enrollment(body), authority, now)).certificate
    claims = jwt.decode(record.ear or "", options={"verify_signature": False})
    cpu = claims["submods"]["cpu"]
    assert cpu["ear_trustworthiness_vector"]["hardware"] == hardware
    assert cpu["ear_status"] == ("affirming" if hardware == 2 else "warning")


async def test_a_tcb_below_the_floor(snp: SnpApp) -> None:
    """Told with what is too low, and without what would have done."""
    await snp.accept(tcb=FLOOR)
    machine = snp.amd.machine("Milan", tcb=Tcb(bootloader=3, tee=0, snp=8, microcode=0x73))
    problem = problem_of(await snp.enroll(machine), 403, "denied")
    assert [finding["rule"] for finding in problem["findings"]] == ["tcb-floor"]
    assert "222" not in str(problem)
    (decision,) = await refusals(snp)
    assert "222" in decision.result_json


async def test_a_policy_is_denied_with_findings_and_without_values(snp: SnpApp) -> None:
    await snp.accept()
    machine = snp.amd.machine("Genoa")
    for fields, rule in (
        ({"measurement": bytes(48)}, "measurement"),
        ({"policy": 0x30000 | DEBUG}, "debug"),
        ({"vmpl": 1}, "vmpl-not-zero"),
    ):
        problem = problem_of(await snp.enroll(machine, **fields), 403, "denied")
        assert {finding["rule"] for finding in problem["findings"]} == {rule}
        assert MEASUREMENT.hex() not in str(problem)
        assert {"rule", "path", "result", "hint"} == problem["findings"][0].keys()
    assert len(await refusals(snp)) == 3


async def test_a_generation_can_be_denied(snp: SnpApp) -> None:
    """R-52: from the activation on."""
    await snp.accept()
    milan, genoa = snp.amd.machine("Milan"), snp.amd.machine("Genoa")
    assert (await snp.enroll(milan)).status == 201
    await snp.accept(version=2, rules="  products: {deny: [Milan]}")
    problem = problem_of(await snp.enroll(milan), 403, "denied")
    assert [finding["rule"] for finding in problem["findings"]] == ["product"]
    assert (await snp.enroll(genoa)).status == 201


async def test_a_fleet_can_be_named(snp: SnpApp) -> None:
    """R-53 and R-12: by chip; a report without a chip id is none of the fleet."""
    ours, theirs = snp.amd.machine("Genoa"), snp.amd.machine("Genoa")
    await snp.accept(rules=f'  chips: ["{ours.chip_id.hex()}"]')
    assert (await snp.enroll(ours)).status == 201
    with capture_logs() as logs:
        problem = problem_of(await snp.enroll(theirs), 403, "denied")
    assert [finding["rule"] for finding in problem["findings"]] == ["chip-list"]
    (record,) = await refusals(snp)
    assert theirs.chip_id.hex() in record.result_json
    (denied,) = [line["record"] for line in logs if line["event"] == "enrollment.denied"]
    assert '"rule":"chip-list"' in denied
    for machine in (ours, theirs):
        assert machine.chip_id.hex() not in str(problem) + str(logs)


# whose fault it is: the evidence's, of which nothing is kept


@pytest.mark.parametrize("certificates", [True, False])
async def test_another_binding(snp: SnpApp, *, certificates: bool) -> None:
    await snp.accept()
    machine = snp.amd.machine("Milan")
    carried = machine.certificate_table() if certificates else None
    reply = await snp.enroll(machine, report_data=bytes(64), certificates=carried)
    problem_of(reply, 422, "binding-mismatch")
    assert await nothing_on_record(snp)


async def test_another_binding_of_a_vtpm(snp: SnpApp) -> None:
    """A quote of the same vTPM for another nonce."""
    await snp.accept(name="azure", provider="azure")
    cvm = AzureCvm(snp.amd.machine("Genoa"))
    body, other = [json.loads(snp.body(await snp.app.nonce(), cvm)) for _ in range(2)]
    body["evidence"] = other["evidence"]
    problem_of(await snp.app.post(json.dumps(body).encode()), 422, "binding-mismatch")
    assert await nothing_on_record(snp)


async def test_a_paravisors_report_without_a_quote(snp: SnpApp) -> None:
    """Its report_data is no binding of ours: what is missing is the attester's to send."""
    await snp.accept(name="azure", provider="azure")
    cvm = AzureCvm(snp.amd.machine("Genoa"))
    body = json.loads(snp.body(await snp.app.nonce(), cvm))
    body["evidence"] = body["evidence"][:1]
    problem = problem_of(await snp.app.post(json.dumps(body).encode()), 422, "incomplete")
    assert "tpm-attest" in problem["detail"]
    assert await nothing_on_record(snp)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"signing_key": "none"}, 422, "signature"),
        ({"version": 6}, 422, "unsupported-format"),
        ({"cpuid_model": 0x50}, 422, "product-unknown"),
        ({"chip_id": bytes(64)}, 422, "endorsement-mismatch"),
        ({RESERVED: 1}, 400, "malformed"),
    ],
)
async def test_reports_that_are_none(
    snp: SnpApp, fields: dict[str, Any], status: int, code: str
) -> None:
    await snp.accept()
    problem_of(await snp.enroll(snp.amd.machine("Genoa"), **fields), status, code)
    assert await nothing_on_record(snp)
    assert snp.fetched == [], "AMD was not asked"


async def test_a_certificate_of_another_chip_or_tcb(snp: SnpApp) -> None:
    await snp.accept()
    machine, other = snp.amd.machine("Genoa"), snp.amd.machine("Genoa")
    older = Tcb(bootloader=9, tee=0, snp=20, microcode=0x54)
    for carried in (other.certificate_table(), machine.certificate_table(tcb=older)):
        reply = await snp.enroll(machine, certificates=carried)
        problem_of(reply, 422, "endorsement-mismatch")
    assert await nothing_on_record(snp)
    assert snp.fetched == []


async def test_a_certificate_that_has_ended(snp: SnpApp) -> None:
    """A provider's lives a year; it came with the evidence, so it is the attester's to renew."""
    await snp.accept(rules=f'  vlek: {{csp_ids: ["{CSP}"]}}')
    machine = snp.amd.machine("Milan")
    snp.amd.line("Milan").vlek_crl.alter(next_update=snp.app.clock().replace(year=2035))
    vlek = machine.vek("vlek")
    vlek.alter(not_after=snp.app.clock().replace(microsecond=0))
    table = machine.certificate_table("vlek")
    snp.app.clock.advance(seconds=1)
    reply = await snp.enroll(machine, signing_key="vlek", certificates=table)
    problem_of(reply, 422, "certificate-expired")
    assert await nothing_on_record(snp)


async def test_an_authority_of_strangers_beside_it(snp: SnpApp) -> None:
    await snp.accept()
    machine = snp.amd.machine("Milan")
    wrong = machine.vek().der, snp.amd.line("Genoa").ark.der
    reply = await snp.enroll(machine, certificates=pem(*wrong).encode())
    problem_of(reply, 422, "untrusted-root")
    assert await nothing_on_record(snp)


async def test_a_product_line_that_nobody_pinned(
    app_clock: Clock, sqlite_url: str, tmp_path: Path
) -> None:
    async with open_snp_app(tmp_path, sqlite_url, app_clock, ("Genoa",)) as snp:
        await snp.accept()
        reply = await snp.enroll(snp.amd.machine("Milan"))
        problem_of(reply, 422, "untrusted-root")
        assert await nothing_on_record(snp)
        assert snp.fetched == []


# whose fault it is: the platform's, on record with everything


async def _refused(snp: SnpApp, reply: Reply, code: str) -> None:
    problem_of(reply, 403, code)
    (decision,) = await refusals(snp)
    assert json.loads(decision.result_json)["reason"]["code"] == code
    assert (decision.tee, decision.policy_name) == ("snp", None)
    assert [kind for kind, _ in decision.evidence] == ["snp-report"]


async def test_tcbs_that_no_firmware_reports(snp: SnpApp) -> None:
    await snp.accept()
    machine = snp.amd.machine("Genoa")
    above = Tcb(bootloader=11, tee=0, snp=0x1B, microcode=0x58)
    await _refused(snp, await snp.enroll(machine, committed_tcb=above), "tcb-inconsistent")


@pytest.mark.parametrize("role", ["ask", "asvk"])
async def test_an_authority_that_amd_has_revoked(snp: SnpApp, role: str) -> None:
    await snp.accept(rules=f'  vlek: {{csp_ids: ["{CSP}"]}}')
    machine: SnpMachine = snp.amd.machine("Genoa")
    kind = "vcek" if role == "ask" else "vlek"
    line = snp.amd.line("Genoa")
    line.crl(kind).revoke(getattr(line, role).spec.serial)
    table = machine.certificate_table(kind)
    reply = await snp.enroll(machine, signing_key=kind, certificates=table)
    await _refused(snp, reply, "certificate-revoked")


async def test_a_signed_report_in_a_layout_that_no_firmware_has(snp: SnpApp) -> None:
    """The evidence's own fault, like any other that cannot be read."""
    await snp.accept()
    machine = snp.amd.machine("Genoa")
    reply = await snp.enroll(machine, committed_tcb=bytes((10, 0, 1, 0, 0, 0, 0x1B, 0x58)))
    problem_of(reply, 400, "malformed")
    assert await nothing_on_record(snp)


async def test_policies_that_overlap(snp: SnpApp) -> None:
    """R-60 holds within one technology too."""
    await snp.accept()
    with pytest.raises(PolicyConflict):
        await snp.app.accept_image(policy("second"))
    await snp.app.accept_image(policy("third", profile="third"))
    await snp.app.accept_image(policy("azure", provider="azure"))
