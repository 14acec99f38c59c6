# SPDX-License-Identifier: Apache-2.0
"""What the host chose at launch, explained: each field of a TD or an SEV-SNP guest, beside the log and a file.

It explains and refuses nothing, with one exception: `verify --init-data` states what is expected, and a machine that
shows another file is rejected (`register-mismatch`), as for `--register`. Policies ask for the same by their own words
(`boot.coco.init_data`, `boot.dstack`, reference values).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ca.cli import output
from ca.cli.inputs import read_input
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.eventlog.handed import FileKind, HashName, compare_document, found_in
from verifiers.eventlog.launch import Agreement, Held, LaunchField, compare
from verifiers.evidence import EvidenceKind, Provider
from verifiers.files import identify
from verifiers.snp.claims import SnpClaims, SnpReportBody
from verifiers.snp.report import parse_report
from verifiers.tdx.quote import parse_quote
from verifiers.vtpm.hcl import parse_hcl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from verifiers.claims import Claims, JsonValue
    from verifiers.eventlog.claims import DstackIdentity
    from verifiers.eventlog.judged import Boot
    from verifiers.tdx.claims import TdReport10

InitDataOption = Annotated[
    str | None,
    typer.Option(
        "--init-data",
        metavar="FILE",
        help="What the host should have handed over: init data of Confidential Containers, dstack's app-compose.json or"
        " configuration document. Says which field holds its hash.",
    ),
]

_OF_A_TD: Final = (LaunchField.MR_CONFIG_ID, LaunchField.MR_OWNER, LaunchField.MR_OWNER_CONFIG)
_INIT_DATA_PCR: Final = 8
_MEASUREMENT: Final = (
    "the firmware and what else is in memory at the start, and the first state of each virtual CPU (how many, model,"
    " guest features).\nKernel, initial file system and command line: only where that firmware checks their hashes"
    " (kernel-hashes=on).\nNot the guest policy, HOST_DATA or ID block. `attestca refvalues compute snp` calculates it"
)
_OF_A_PARAVISOR: Final = (
    "Azure's paravisor alone: what the guest boots is in the PCRs of its virtual TPM"
)
_NO_ID_BLOCK: Final = "none: nobody signed what was to be started"
_ID_BLOCK: Final = "measurement, guest policy and this, signed by the ID key; anybody can make one: pin id_key_digest"
_HASHES: Final[dict[str, str]] = {
    **{name: f"the {name.upper().replace('SHA', 'SHA-')} of" for name in HashName},
    FileKind.DSTACK_COMPOSE: "dstack's compose-hash of",
    FileKind.DSTACK_DOCUMENT: "dstack's hash of the configuration document",
}
_LOG: Final = {
    Agreement.AGREES: "the event log says the same of the application",
    Agreement.CONTRADICTS: "the event log CONTRADICTS it: its application is another",
    Agreement.NOT_COMPARABLE: "the event log cannot be compared with it",
}


@dataclass(frozen=True, slots=True)
class FieldInspection:
    """One field.

    Attributes:
        log: whether dstack's identity in a replayed log agrees with it; None where none of the two is dstack's.
        file: by which hash it holds the file that was given; None where it does not.
    """

    held: Held
    log: Agreement | None
    file: str | None


@dataclass(frozen=True, slots=True)
class LaunchInspection:
    """The fields of one machine.

    Attributes:
        verified: whether they are from evidence that was verified.
        file: the name of the file that was given; None if none was.
        report: of SEV-SNP. azure: whether its measurement is a paravisor's.
    """

    fields: tuple[FieldInspection, ...]
    verified: bool
    file: str | None = None
    report: SnpReportBody | None = None
    azure: bool = False

    @property
    def reason(self) -> Reason | None:
        """Why it is not what was expected."""
        missing = self.file is not None and not any(one.file for one in self.fields)
        return Reason.REGISTER_MISMATCH if missing and self.verified else None

    @property
    def detail(self) -> str:
        """The reason in words."""
        titles = " or ".join(one.held.field.vendor_name for one in self.fields)
        return f"{self.file} is not what {titles} holds a hash of" if self.reason else ""

    @property
    def verdict(self) -> Verdict:
        """Whether what was expected is there; verified where nothing was."""
        return Verdict.VERIFIED if self.reason is None else self.reason.verdict


def read_file(name: str | None) -> tuple[str, bytes] | None:
    """What `--init-data` names: the name without its folder, and the content. Raises UnreadableError."""
    return None if name is None else (PurePath(name).name, read_input(name))


def inspect(
    claims: Claims | None,
    evidence: Sequence[bytes],
    boot: Boot | None,
    init_data: tuple[str, bytes] | None = None,
) -> LaunchInspection | None:
    """The fields of verified claims, else of evidence that can be parsed; None of any other.

    `init_data`: name and content of a file that one of the fields should hold.
    """
    body = _reported(evidence) if claims is None else _body(claims)
    if body is None:
        return None
    identity = None if boot is None else boot.claims.dstack
    name, data = (None, None) if init_data is None else init_data
    return LaunchInspection(
        tuple(_inspect(held, identity, data) for held in _held(body, claims)),
        verified=claims is not None,
        file=name,
        report=body if isinstance(body, SnpReportBody) else None,
        azure=claims is not None and claims.provider is Provider.AZURE,
    )


def _body(claims: Claims) -> TdReport10 | SnpReportBody:
    return claims.report if isinstance(claims, SnpClaims) else claims.td


def _reported(evidence: Sequence[bytes]) -> TdReport10 | SnpReportBody | None:
    """What the CPU's report says in evidence that did not verify; None where none can be read."""
    try:
        parts = {one.kind: one.data for one in identify(evidence).evidence}
        if EvidenceKind.TDX_QUOTE in parts:
            return parse_quote(parts[EvidenceKind.TDX_QUOTE]).td
        report = parts.get(EvidenceKind.SNP_REPORT)
        if report is None and EvidenceKind.HCL_REPORT in parts:
            report = parse_hcl(parts[EvidenceKind.HCL_REPORT]).hw_report
        return None if report is None else parse_report(report).body
    except VerificationError:
        return None


def _held(body: TdReport10 | SnpReportBody, claims: Claims | None) -> Iterator[Held]:
    names = (LaunchField.HOST_DATA,) if isinstance(body, SnpReportBody) else _OF_A_TD
    for name in names:
        yield Held(name, getattr(body, name))
    if claims is not None and claims.provider is Provider.AZURE and claims.tpm is not None:
        pcr = claims.tpm.pcr(_INIT_DATA_PCR)
        if pcr is not None:
            yield Held(LaunchField.PCR8, pcr)


def _inspect(held: Held, identity: DstackIdentity | None, data: bytes | None) -> FieldInspection:
    file = None if data is None else found_in(held, data)
    log = None
    if identity is not None and held.digest is not None:
        log = compare(held, identity)
    if identity is not None and data is not None and file == FileKind.DSTACK_DOCUMENT:
        log = compare_document(data, identity)
    return FieldInspection(held, log, file)


# for people


def show(found: LaunchInspection, *, first: bool = False) -> None:
    """Behind an empty line, where it is not the first thing that is shown of the evidence."""
    if not first:
        output.say_blank()
    facts = {one.held.field.vendor_name: "\n".join(_lines(one, found.file)) for one in found.fields}
    if found.report is not None:
        facts |= _report_facts(found.report, azure=found.azure)
    if found.reason is not None:
        facts = {"expected": f"{found.reason.verdict}: {found.reason}: {found.detail}", **facts}
    whose = "" if found.verified else ", by evidence that did not verify"
    output.print_facts(facts, f"Chosen at launch{whose}")


def _lines(one: FieldInspection, file: str | None) -> Iterator[str]:
    text = one.held.text if one.file is None else f"{_HASHES[one.file]} {file}"
    yield f"{text} ({one.held.field.meaning})"
    if file is not None and one.file is None:
        yield f"no hash of {file}"
    if one.log is not None:
        yield _LOG[one.log]


def _report_facts(report: SnpReportBody, *, azure: bool) -> dict[str, str]:
    return {
        "MEASUREMENT": f"covers {_OF_A_PARAVISOR if azure else _MEASUREMENT}",
        "ID block": "\n".join(_id_block(report)),
    }


def _id_block(report: SnpReportBody) -> Iterator[str]:
    if not any(report.id_key_digest):
        yield _NO_ID_BLOCK
        return
    yield _ID_BLOCK
    yield f"family {report.family_id.hex()}, image {report.image_id.hex()}, guest SVN {report.guest_svn}"
    yield f"ID key {report.id_key_digest.hex()}"
    if report.author_key_en:
        yield f"which author key {report.author_key_digest.hex()} signed"


# JSON


def reason_json(found: LaunchInspection) -> JsonValue:
    """The reason with its words; null where there is none."""
    if found.reason is None:
        return None
    return {"code": str(found.reason), "detail": found.detail}


def launch_json(found: LaunchInspection) -> dict[str, JsonValue]:
    """The object `launch` that `--json` prints. Names and shapes are stable."""
    said: dict[str, JsonValue] = {
        "verified": found.verified,
        "reason": reason_json(found),
        "file": found.file,
        "fields": {one.held.field.value: _field_json(one) for one in found.fields},
    }
    report = found.report
    if report is not None:
        said["measurement"] = {
            "value": report.measurement.hex(),
            "covers": "paravisor" if found.azure else "launch",
        }
        said["id_block"] = None if not any(report.id_key_digest) else _id_block_json(report)
    return said


def _field_json(one: FieldInspection) -> dict[str, JsonValue]:
    digest = one.held.digest
    return {
        "value": one.held.value.hex(),
        "form": one.held.form.value,
        "digest": None if digest is None else digest.hex(),
        "log": None if one.log is None else one.log.value,
        "holds_file": one.file,
    }


def _id_block_json(report: SnpReportBody) -> dict[str, JsonValue]:
    return {
        "family_id": report.family_id.hex(),
        "image_id": report.image_id.hex(),
        "guest_svn": report.guest_svn,
        "id_key_digest": report.id_key_digest.hex(),
        "author_key_digest": report.author_key_digest.hex() if report.author_key_en else None,
    }
