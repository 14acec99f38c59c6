# SPDX-License-Identifier: Apache-2.0
"""TDX machines of Azure enroll: by the service in this process, at `attestca serve`, with a software TPM as well."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from attestca_client.azure import AzureQuoteSource
from attestca_client.enroll import enroll
from attestca_client.errors import Refused
from attestca_client.protocol import DEFAULT_OID_ARC, binding, tpm_extra
from attestca_client.tpm import TpmTools
from ca.issuance import csr, extension
from ca.ports import CertificateQuery
from ca.recomputation import Recalled, Setting, Word
from policies.loader import load_policy
from simulator.azure import PARAVISOR, AzureTd, report_data_of, td_report, write
from simulator.cvm import SimulatedAzure
from simulator.tdx_policies import AZURE_POLICY, azure_tdx_policy
from tests.authority_lab import make_csr
from tests.eventlog_lab import action, tcg2
from tests.service_lab import body_of, leaf_of
from tests.tpm_lab import jwk, runtime
from tests.unit.client import software_tpm
from verifiers.anchors import Anchor, Anchors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.ports import Decision
    from simulator.stage import Stage
    from tests.app_lab import App
    from tests.service_lab import Reply
    from tests.unit.client.software_tpm import SoftwareTpm

PROFILE = "azure"
BOOTED = (4, 8, 9, 11, 12)


# The service in this process


async def send(
    app: App,
    vm: AzureTd,
    without: str = "",
    log: bytes = b"",
    **fields: Any,  # noqa: ANN401 - of the TD's quote
) -> Reply:
    """A whole enrollment; `without`: a kind of evidence that is left out. `log`: of the vTPM, sent beside."""
    nonce = await app.nonce()
    request = make_csr(ec.generate_private_key(ec.SECP256R1()))
    bound = binding(
        ca_id=app.service.authority.ca_id,
        profile=PROFILE,
        nonce=nonce,
        spki_der=csr.parse(request).spki_der,
    )
    pieces = [one for one in vm.evidence(tpm_extra(bound), **fields) if one[0] != without]
    pieces += [("tpm-event-log", log)] if log else []
    return await app.post(body_of(nonce, request, pieces, profile=PROFILE))


async def test_what_is_certified_and_on_record(app_on_both: App) -> None:
    app = app_on_both
    await app.accept_image(azure_tdx_policy())
    vm = AzureTd(app.machine)
    reply = await send(app, vm)
    assert reply.status == 201, reply.body
    oid = x509.ObjectIdentifier(extension.info_oid(DEFAULT_OID_ARC))
    found = leaf_of(reply).extensions.get_extension_for_oid(oid)
    info = extension.decode(found.value.public_bytes())
    assert (info.tee, info.product) == ("tdx", f"fmspc:{app.machine.fmspc}")
    assert dict(info.registers) == {
        "mr_td": PARAVISOR,
        **{f"pcr{index}": vm.tpm.pcrs[index] for index in BOOTED},
    }
    (record,) = await app.service.store.certificates(CertificateQuery())
    assert [kind for kind, _ in record.decision.evidence] == [
        *("tdx-quote", "hcl-report", "tpm-attest", "tpm-signature", "tpm-pcrs"),
    ]


async def test_refusals_and_recomputation(app_on_both: App) -> None:
    app = app_on_both
    await app.accept_image(azure_tdx_policy())
    good = AzureTd(app.machine)
    other = AzureTd(app.machine)
    other.tpm.pcrs[9] = bytes(32)
    for vm, status, code, fields in (
        (good, 201, None, {}),
        (other, 403, "denied", {}),
        (good, 403, "denied", {"mr_td": bytes(48)}),  # anybody's guest with a TPM of its own
        (good, 403, "denied", {"td_attributes": 1}),
        (good, 422, "signature", {"report_data": bytes(64)}),
        (good, 422, "incomplete", {"without": "tdx-quote"}),
        (good, 422, "ak-not-bound", {"without": "hcl-report"}),
        (good, 422, "evidence", {"without": "tpm-pcrs"}),
    ):
        reply = await send(app, vm, **fields)
        assert (reply.status, reply.json().get("code")) == (status, code), reply.body
    store = app.service.store
    issued = [one.decision for one in await store.certificates(CertificateQuery())]
    refused = [one.decision for one in await store.refusals(100, None)]
    assert (len(issued), len(refused)) == (1, 3)
    setting = Setting(
        Anchors(Anchor.from_der(app.intel.root_der)), app.service.authority.ca_id, frozenset()
    )
    for made in (*issued, *refused):
        await again(app, made, setting)


async def again(app: App, made: Decision, setting: Setting) -> None:
    """The verdict on record comes out of the record, to the bit."""
    found = await app.service.store.policy(made.policy_name or "", made.policy_version or 0)
    assert found is not None
    verdict = Recalled(made, setting).under((load_policy(found.document),))
    assert verdict.record is not None
    assert verdict.record() == made.result_json
    assert (verdict.word is Word.ACCEPTED) is (
        json.loads(made.result_json)["decision"] == "accepted"
    )


# With the vTPM's event log


def told(*events: tuple[int, bytes]) -> bytes:
    algorithms = (0x0B,)
    return tcg2(*(action(one, text, algorithms) for one, text in events), algorithms=algorithms)


BOOT = tuple((number, f"measured into PCR {number}".encode()) for number in BOOTED)


async def test_the_log_of_its_virtual_tpm(app_on_both: App) -> None:
    """A log that explains the PCRs is on record beside them; one that contradicts them denies, whatever they are."""
    app, vm = app_on_both, AzureTd(app_on_both.machine)
    for number, text in BOOT:
        digest = hashlib.sha256(text).digest()
        vm.tpm.pcrs[number] = hashlib.sha256(bytes(32) + digest).digest()
    pinned = {f"pcr{number}": vm.tpm.pcrs[number].hex() for number in BOOTED}
    await app.accept_image(AZURE_POLICY.format(mr_td=PARAVISOR.hex(), **pinned))
    for log, status in (
        (b"", 201),
        (told(*BOOT), 201),
        (told((4, b"another boot loader"), *BOOT[1:]), 403),
        (told(*BOOT[1:]), 201),  # it does not speak of PCR 4, whose value is pinned all the same
        (told(*BOOT)[:-1], 400),
    ):
        reply = await send(app, vm, log=log)
        assert reply.status == status, (log, reply.body)
    store = app.service.store
    issued = [one.decision for one in await store.certificates(CertificateQuery())]
    refused = [one.decision for one in await store.refusals(100, None)]
    assert sorted("tpm-event-log" in dict(made.evidence) for made in issued) == [False, True, True]
    assert ["tpm-event-log" in dict(made.evidence) for made in refused] == [True]
    setting = Setting(
        Anchors(Anchor.from_der(app.intel.root_der)), app.service.authority.ca_id, frozenset()
    )
    for made in (*issued, *refused):
        await again(app, made, setting)


# `attestca serve`, and the client's own code


def test_a_machine_enrolls(stage: Stage, tmp_path: Path) -> None:
    source = SimulatedAzure(stage.world.azure_td())
    enrolled = enroll(stage.url, stage.root.read_bytes(), PROFILE, source, tmp_path)
    assert (enrolled.policy, enrolled.assurance) == ("demo-azure-tdx@1", "simulated")
    names = enrolled.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    (uri,) = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    assert uri.startswith("spiffe://example.org/azure-tdx/")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({"fields": {"pcr4": bytes(32)}}, "denied"),
        ({"fields": {"mr_td": bytes(48)}}, "denied"),
        ({"tamper": True}, "signature"),
    ],
)
def test_a_machine_that_must_not(
    sqlite_stage: Stage, tmp_path: Path, source: dict[str, Any], code: str
) -> None:
    made = SimulatedAzure(sqlite_stage.world.azure_td(), **source)
    with pytest.raises(Refused) as refused:
        enroll(sqlite_stage.url, sqlite_stage.root.read_bytes(), PROFILE, made, tmp_path)
    assert refused.value.code == code


def test_the_simulated_machine_by_its_command(sqlite_stage: Stage, tmp_path: Path) -> None:
    arguments = ("--tee", "tdx", "--azure", "--profile", PROFILE)
    done = sqlite_stage.enroll(tmp_path / "vm", *arguments)
    assert done.returncode == 0, done.stderr
    changed = sqlite_stage.enroll(tmp_path / "changed", *arguments, "--tamper")
    assert changed.returncode == 1
    assert "signature" in changed.stderr


@contextmanager
def quoting(vm: AzureTd) -> Iterator[tuple[str, int]]:
    """Azure's metadata service, as far as it makes quotes of TDREPORTs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            plain = self.path == "/acc/tdquote" and (
                self.headers["Content-Type"] == "application/json"
            )
            self.send_response(200 if plain else 415)
            self.end_headers()
            report = base64.urlsafe_b64decode(asked["report"] + "==")
            quote = base64.urlsafe_b64encode(vm.quoted(report)).rstrip(b"=").decode()
            self.wfile.write(json.dumps({"quote": quote}).encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield ("127.0.0.1", server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def set_up(tpm: SoftwareTpm, vm: AzureTd) -> None:
    """What the paravisor does before the guest runs: a key, and a TDREPORT over it in the NV index."""
    data = runtime(keys=[jwk(tpm.make_key())])
    body = vm.quote(report_data_of(data))[48:632]
    tpm.store(write(td_report(body), data, report_type=4).rstrip(b"\0"))


def test_a_machine_with_a_software_tpm(sqlite_stage: Stage, tmp_path: Path) -> None:
    """Everything but the processor and its quoting service is as in Azure: the client's code, tpm2-tools, a TPM."""
    stage, vm = sqlite_stage, AzureTd(sqlite_stage.world.machine)
    root, name = stage.root.read_bytes(), "software-td"
    with software_tpm.started() as tpm, quoting(vm) as address:
        set_up(tpm, vm)
        values = {f"pcr{number}": value.hex() for number, value in tpm.extend(*BOOTED).items()}
        text = AZURE_POLICY.format(mr_td=PARAVISOR.hex(), **values)
        text = text.replace("name: demo-azure-tdx", f"name: {name}")
        policy = tmp_path / "policy.yaml"
        policy.write_text(text.replace("profile: azure", f"profile: {name}"))
        stage.operate("policy", "add", str(policy))
        stage.operate("policy", "activate", name, "1")
        source = AzureQuoteSource(tools=TpmTools(tcti=tpm.tcti), metadata=address)
        enrolled = enroll(stage.url, root, name, source, tmp_path / "machine")
        assert (enrolled.policy, enrolled.assurance) == (f"{name}@1", "simulated")

        tpm.extend(12)
        with pytest.raises(Refused) as refused:
            enroll(stage.url, root, name, source, tmp_path / "other")
        assert [finding.rule for finding in refused.value.findings] == ["measurement"]
