# SPDX-License-Identifier: Apache-2.0
"""Tables and examples of the documents say what the code does: both sides are compared, whole lists at a time."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pydantic import BaseModel

import ca.issuance.extension
from attestca_client import protocol
from ca import verification
from ca.cli.exits import Exit
from ca.config.model import Limits, Retention
from ca.http import admission, problems, schema, wire
from ca.http.routes import ROUTES, On
from ca.issuance import csr, listed, nonce, profile
from ca.issuance.request import Assurance, BindingLevel, policy_oid
from ca.tokens import Scope
from policies.boot_document import EventRule
from policies.document import MAX_LIFETIME, PolicyDocument
from policies.lint import lint
from policies.loader import load_policy
from policies.model import MAX_STALE
from policies.names import VARIABLES
from policies.registers import Register
from policies.result import Finding, RuleResult
from policies.rules import RELAXABLE, RULES, WARNABLE, RuleId
from tests import foreign_info
from tests.docs.documents import TOP, blocks, codes, rows, section
from verifiers.errors import Reason
from verifiers.evidence import MAX_BYTES, EvidenceKind, Tee
from verifiers.tcb import TcbStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ENROLLMENT = TOP / "docs" / "enrollment.md"
POLICIES = TOP / "docs" / "policies.md"
OPERATE = TOP / "docs" / "operate.md"
RELYING = TOP / "docs" / "relying-parties.md"
CLIENT = TOP / "client" / "README.md"
# Faults of collateral that are found after the evidence is authentic: told as `collateral-unusable`.
IN_THE_LOG = {
    Reason.CRL_INVALID,
    Reason.COLLATERAL_SIGNATURE,
    Reason.COLLATERAL_NOT_YET_VALID,
    Reason.COLLATERAL_EXPIRED,
    Reason.RIM_SIGNATURE,
    Reason.OCSP_INVALID,
    Reason.TOKEN_ALG,
    Reason.TOKEN_KEY_UNKNOWN,
    Reason.TOKEN_INVALID,
}
# What is said of devices alone: on record, as faults of the platform are.
OF_DEVICES = {
    Reason.CERTIFICATE_STATUS_UNKNOWN,
    Reason.MEASUREMENT_MISMATCH,
    Reason.DUPLICATE_DEVICE,
    Reason.TOPOLOGY,
    Reason.NRAS_REFUSED,
    Reason.VERIFIERS_DISAGREE,
}
KIB = 1024


def _first_code(row: list[str]) -> str:
    (code,) = codes(row[0])
    return code


# routes


@pytest.mark.parametrize(
    ("heading", "document", "on"),
    [("## Routes", ENROLLMENT, On.PUBLIC), ("## Tokens and the operators' API", OPERATE, On.ADMIN)],
)
def test_routes(heading: str, document: object, on: On) -> None:
    path = ENROLLMENT if document == ENROLLMENT else OPERATE
    shown = [(codes(row[0])[0], codes(row[1])[0]) for row in rows(section(path, heading))]
    there = [(one.method, one.path) for one in ROUTES if on in one.on]
    shared = {(one.method, one.path) for one in ROUTES if one.on is On.BOTH}
    if on is On.ADMIN:  # what both listeners have stands in the other table
        there = [one for one in there if one not in shared]
    assert sorted(shown) == sorted(there)


def test_scopes() -> None:
    text = section(OPERATE, "## Tokens and the operators' API")
    for row in rows(text):
        (route,) = [
            one for one in ROUTES if [one.method, one.path] == codes(row[0]) + codes(row[1])
        ]
        assert row[2].strip("`") == getattr(route.access, "value", route.access)
    assert {code for code in codes(text.partition("<!--")[0]) if ":" in code} == set(Scope)


# errors


def test_every_code_stands_in_one_table_with_its_status() -> None:
    text = section(ENROLLMENT, "## Errors")
    tables = [(_first_code(row), int(row[1])) for row in rows(text)]
    elsewhere = section(ENROLLMENT, "### Elsewhere")
    admin = {code: int(status) for code, status in re.findall(r"`([a-z-]+)` \((\d+)\)", elsewhere)}
    logged = {
        code for code in codes(elsewhere.partition("log only")[2]) if code != "collateral-unusable"
    }
    assert len(tables) == len(dict(tables))
    assert logged == {*IN_THE_LOG, "client-left"}
    assert {_first_code(row) for row in rows(section(ENROLLMENT, "### The devices"))} == OF_DEVICES
    assert {*dict(tables), *admin, *logged} == problems.CODES
    for code, status in [*tables, *admin.items()]:
        assert status == _status(code), code


def _status(code: str) -> int:
    """By the table of the code; what is the platform's fault leaves as a denial, which is on record."""
    if code in {reason.value for reason in verification._PLATFORM_FAULTS | OF_DEVICES}:
        return 403
    known = problems._REQUEST | problems._DENIED | problems._CONFLICT
    known |= dict.fromkeys(problems._UNAVAILABLE, 503) | {problems._INTERNAL: 500}
    return known.get(code) or problems._EVIDENCE[Reason(code)]


def test_troubleshooting_speaks_of_codes_and_rules() -> None:
    shown = {_first_code(row) for row in rows(section(OPERATE, "## When something does not work"))}
    assert shown <= problems.CODES | set(RuleId)


def test_the_example_of_a_refusal_has_the_members_of_one() -> None:
    (shown,) = (
        json.loads(one.text)
        for one in blocks(ENROLLMENT)
        if one.language == "json" and "findings" in one.text
    )
    schema.ProblemAnswer.model_validate(shown)
    assert shown["status"] == _status(shown["code"])


def test_the_other_examples_have_the_members_of_the_api() -> None:
    shown = [json.loads(one.text) for one in blocks(ENROLLMENT) if one.language == "json"]
    models: tuple[type[BaseModel], ...] = (
        schema.NonceAnswer,
        schema.EnrollmentBody,
        schema.EnrollmentAnswer,
    )
    for model, example in zip(models, (one for one in shown if "findings" not in one), strict=True):
        assert example.keys() == model.model_fields.keys()


# the binding


def test_worked_example() -> None:
    field = {row[0].strip("`"): row for row in rows(section(ENROLLMENT, "### 4. The binding"))}
    value = {name: bytes.fromhex(codes(row[2])[0]) for name, row in field.items()}
    for name, row in field.items():
        assert len(value[name]) == int(row[1]), name
    assert value["label"].decode() == protocol.Label.ENROLL
    key = load_der_public_key(value["spki_der"])
    assert key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == value["spki_der"]
    worked = re.compile(r"<!-- worked: .*? -->\n *```text\n(.*?)```", re.DOTALL)
    framed, report_data, tpm_extra, gpu_nonce = map(bytes.fromhex, worked.findall(_text()))
    assert framed == protocol.frame(*value.values())
    assert report_data == protocol.binding(
        ca_id=value["ca_id"],
        profile=value["profile"].decode(),
        nonce=value["nonce"],
        spki_der=value["spki_der"],
    )
    assert tpm_extra == protocol.tpm_extra(report_data)
    assert gpu_nonce == protocol.gpu_nonce(
        ca_id=value["ca_id"],
        profile=value["profile"].decode(),
        nonce=value["nonce"],
        spki_der=value["spki_der"],
    )


def test_kinds_of_evidence() -> None:
    """Every kind with its limit, and every machine of kinds that there are."""
    machines, kinds = [], {}
    for row in rows(section(ENROLLMENT, "### 5. The evidence")):
        if row[0].startswith("`"):
            kinds[_first_code(row)] = _bytes(row[1])
        else:
            machines += codes(row[1])
    assert kinds == MAX_BYTES
    assert set(machines) == set(EvidenceKind)


def _bytes(text: str) -> int:
    number, unit = text.split()
    return int(number) * {"bytes": 1, "KiB": KIB, "MiB": KIB * KIB}[unit]


def _text() -> str:
    return ENROLLMENT.read_text(encoding="utf-8")


def test_limits() -> None:
    limits = Limits()
    shown = {row[0]: row[1] for row in rows(section(ENROLLMENT, "## Limits"))}
    assert shown == {
        "request body": f"{limits.body_bytes // KIB // KIB} MiB",
        "TDX quote": f"{MAX_BYTES[EvidenceKind.TDX_QUOTE] // KIB} KiB",
        "pieces of evidence": str(schema.MAX_EVIDENCE),
        "CSR": f"{csr.MAX_BYTES // KIB} KiB",
        "nonce": f"{nonce.LENGTH} bytes",
        "profile": "63 characters of `a-z`, `0-9` and `-`",
        "depth of the JSON": str(wire.MAX_DEPTH),
        "commas, colons and brackets in the JSON": str(wire.MAX_STRUCTURE),
        "time for the whole body": f"{wire.BODY_SECONDS:g} s",
        "time in the queue": f"{admission.PATIENCE:g} s",
        "enrollments in the queue": str(limits.verification_queue),
        "requests of one address (IPv6: of one /64)": (
            f"{limits.requests_per_minute} a minute, {limits.burst} at once"
        ),
    }
    body = schema.EnrollmentBody.model_json_schema()["properties"]["profile"]
    assert (body["maxLength"], body["pattern"]) == (63, "^[a-z0-9-]+$")
    assert f"good for {nonce.LIFETIME.seconds} seconds" in _text()


# policies


def test_rules() -> None:
    shown = rows(section(POLICIES, "## Rules"))
    table = {_first_code(row): (row[3], row[4]) for row in shown}
    assert list(table) == list(RuleId)
    for tee in Tee:
        about = {_first_code(row) for row in shown if row[1] in ("both", tee.upper())}
        assert about == RULES[tee]
    assert {rule for rule, (relax, _) in table.items() if relax == "yes"} == RELAXABLE
    assert {rule for rule, (_, warn) in table.items() if warn == "yes"} == WARNABLE


def test_name_variables() -> None:
    shown = rows(section(POLICIES, "## Names"))
    for tee in Tee:
        names = {name for row in shown if row[1] in ("both", tee.upper()) for name in _named(row)}
        short = {f"{name}_{digits}" for name in names & set(Register) for digits in (16, 32)}
        assert names | short == VARIABLES[tee].keys()


def _named(row: list[str]) -> Sequence[str]:
    """The variable of one row; two codes are the ends of a run of registers."""
    first, *last = (code.strip("{}") for code in codes(row[0]))
    if not last:
        return [first]
    registers = list(Register)
    return registers[registers.index(Register(first)) : registers.index(Register(*last)) + 1]


def test_members_of_a_finding() -> None:
    finding = Finding(RuleId.MATCH, "match", RuleResult.PASS)
    table = {_first_code(row): row[1] for row in rows(section(POLICIES, "## Findings"))}
    assert table.keys() == finding.as_json().keys()
    hidden = {name for name, text in table.items() if "For the operator only" in text}
    assert table.keys() - hidden == finding.as_public_json().keys()
    assert set(codes(table["result"])) == set(RuleResult)


def test_statuses_that_can_be_tolerated() -> None:
    text = section(POLICIES, "## Every key")
    named = set(codes(text[text.rindex("Status words") :]))
    assert named == {status.value for status in TcbStatus}


def test_the_examples_have_every_key_and_are_accepted() -> None:
    every = [load_policy(one.encode()) for one in _policies("name: ")]
    tdx, snp, gpus, google, booted, *_ = every
    assert list(_unsaid(tdx.document, "")) == ["snp", "nvidia", "boot", "google"]
    assert list(_unsaid(snp.document.rules, "snp.")) == ["snp.tcb.no_floor"]
    assert gpus.document.nvidia is not None
    unsaid = list(_unsaid(gpus.document.nvidia, "nvidia."))
    assert unsaid == ["nvidia.driver.no_minimum", "nvidia.vbios.no_minimum"]
    assert google.document.google is not None
    assert list(_unsaid(google.document.google, "google.")) == []
    assert booted.document.boot is not None
    alternatives = ("boot.events.", "boot.ima.allow.")  # what one rule says, another must not
    unsaid = list(_unsaid(booted.document.boot, "boot."))
    assert [one for one in unsaid if not one.startswith(alternatives)] == []
    said = {name for rule in booted.document.boot.events for name in rule.model_fields_set}
    assert said == set(EventRule.model_fields)
    for loaded in every:
        assert [str(one) for one in lint(loaded, datetime.now(UTC)) if one.is_error] == []


def _policies(begin: str) -> list[str]:
    """The blocks of YAML that begin so."""
    every = [one.text for one in blocks(POLICIES) if one.language == "yaml"]
    return [one for one in every if one.startswith(begin)]


def test_recipes_for_devices_stand_in_the_place_of_the_section_and_are_wise() -> None:
    _, _, example, *_ = _policies("name: ")
    before, after = example.partition("\nnvidia:\n")[0], example.partition("\nissue:\n")[2]
    recipes = _policies("nvidia:\n")
    texts = [f"{before}\n{recipe}issue:\n{after}" for recipe in recipes]
    loaded = [load_policy(text.encode()) for text in texts]
    remarks = {
        (number, one.problem.path)
        for number, policy in enumerate(loaded)
        for one in lint(policy, datetime.now(UTC))
    }
    assert remarks == {(2, "nvidia.vbios.no_minimum"), (2, "nvidia.coverage")}
    assert [one.document.nvidia.gpus.max for one in loaded if one.document.nvidia] == [2, 8, 8, 2]


def _unsaid(model: BaseModel, path: str) -> Iterator[str]:
    """Keys that no part of the document says. Of entries of a list, one that says all is enough."""
    for name in type(model).model_fields:
        if name not in model.model_fields_set:
            yield f"{path}{name}"
        yield from _below(getattr(model, name), f"{path}{name}.")


def _below(value: object, path: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from _unsaid(value, path)
    elif isinstance(value, dict):
        for key, one in list(value.items())[:1]:
            yield from _below(one, f"{path}{key}.")
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        yield from min((list(_unsaid(one, path)) for one in value), key=len)


def test_required_keys_and_bounds() -> None:
    text = section(POLICIES, "## Every key")
    required = {name for name, one in PolicyDocument.model_fields.items() if one.is_required()}
    assert required == {"name", "version", "match"}
    assert "Only `name`, `version`, `match.tee` and the section of that technology must" in text
    assert f"one minute to {MAX_LIFETIME.days} days; default 24h" in text
    assert f"at most {MAX_STALE.days}d" in text
    assert MAX_LIFETIME == profile.MAX_LIFETIME


# relying parties


def test_levels() -> None:
    shown = {codes(row[0])[0]: codes(row[1])[0] for row in rows(section(RELYING, "## Levels"))}
    arc = protocol.DEFAULT_OID_ARC
    assert shown == {
        policy_oid(arc, Assurance.VERIFIED, all_pinned=True): "verified",
        policy_oid(arc, Assurance.VERIFIED, all_pinned=False): "verified",
        policy_oid(arc, Assurance.SIMULATED, all_pinned=True): "simulated",
    }
    readme = section(TOP / "README.md", "## For a relying party")
    assert all(oid in readme or oid.removeprefix(f"{arc}.") in readme for oid in shown)


def test_asn1_module_is_that_of_the_code() -> None:
    (shown,) = (one.text for one in blocks(RELYING) if one.language == "asn1")
    docstring = ca.issuance.extension.__doc__ or ""
    module = docstring[docstring.index("    Attestca DEFINITIONS") : docstring.index("    END") + 7]
    assert shown == re.sub(r"^ {4}", "", module, flags=re.MULTILINE) + "\n"


def test_other_object_identifiers() -> None:
    text = RELYING.read_text(encoding="utf-8")
    arc = protocol.DEFAULT_OID_ARC
    for oid in (
        f"{arc}.{protocol.OID_ATTESTATION_INFO}",
        f"{arc}.{protocol.OID_EKU_EAR}",
        protocol.OID_PE_CMW,
    ):
        assert f"`{oid}`" in text
    assert f"`{protocol.OID_PE_CMW}`" in _text()


def test_binding_levels() -> None:
    table = section(RELYING, "## Devices").split("| level | what was checked |")[1]
    assert [_first_code(row) for row in rows("| | |\n" + table.lstrip("\n"))] == [*BindingLevel]


def test_members_of_a_device() -> None:
    table = section(RELYING, "## Devices").split("| level |")[0]
    shown = [_first_code(row) for row in rows(table)]
    assert shown == [name for name, *_ in foreign_info.Device._fields]
    words = {_first_code(row): {*codes(row[1])} for row in rows(table)}
    assert words["kind"] == listed.KINDS
    assert words["mode"] == listed.MODES
    assert words["appraisedBy"] == listed.APPRAISERS


def test_handle_kinds() -> None:
    shown = {_first_code(row) for row in rows(section(RELYING, "## Handles"))}
    assert shown == set(protocol.HandleKind)


# operators


def test_metrics_and_events_of_the_table_are_in_the_code() -> None:
    text = section(OPERATE, "## Watching it")
    source = "".join(path.read_text(encoding="utf-8") for path in (TOP / "ca").rglob("*.py"))
    events = set(re.findall(r"""_log\.\w+\(\s*f?"([a-z.{}-]+)\"""", source))
    events |= {"crashed", "enrollment.issued", "enrollment.repeated"}
    shown = {
        code for row in rows(text) for code in codes(row[0]) if not code.startswith("attestca_")
    }
    assert shown == events - {"enrollment.{outcome}"}


def test_what_takes_nothing_from_the_rate_limit() -> None:
    text = " ".join(section(OPERATE, "## Watching it").split())
    assert "Of these, `/metrics` alone counts for the rate limit." in text
    assert {one.path for one in ROUTES if not one.limited} == {"/healthz", "/readyz"}


def test_exit_codes() -> None:
    operators = {int(row[0]) for row in rows(section(OPERATE, "## Exit codes"))}
    assert operators == set(Exit)
    assert {int(row[0]) for row in rows(section(CLIENT, "## Exit codes"))} == set(Exit)


def test_retention() -> None:
    text = section(OPERATE, "## What is kept")
    kept = Retention()
    for name in ("refusal_days", "nonce_hours", "refusal_ring"):
        assert f"`retention.{name}`, {getattr(kept, name)}" in text
