# SPDX-License-Identifier: Apache-2.0
"""`attestca revoke` and `attestca revocations`, through the operators' API; `--json` prints its answer.

What is named goes into the body of the request. A chip's id can come from standard input ("-"), so that it stands in no
history of commands and no list of processes.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from attestca_client.protocol import HandleKind
from ca.cli import options, output, remote
from ca.cli.exits import UnreadableError
from ca.cli.inputs import read_input
from ca.issuance.reasons import RevocationReason

if TYPE_CHECKING:
    from collections.abc import Mapping

REVOCATIONS: Final = "/v1/admin/revocations"
HANDLE: Final = "handle"  # the word for what is named by its handle, beside those of HandleKind
_DIGEST: Final = re.compile("[0-9a-fA-F]{64}")
HELP: Final = """\
Revoke something, and every certificate that depends on it: at once, and for good.

\b
certificate SERIAL
key         SHA-256 | FILE            of the public key; or a PEM file with it or its certificate
measurement REGISTER VALUE            e.g. mr_td 4f2a…
measurement SET/ENTRY POLICY | DIGEST a reference group, e.g. release/image-1 cvm@3
chip        ppid | chip_id | nvidia ID (hexadecimal; "-": standard input)
product     LINE                      Milan, Genoa, Turin, fmspc:50806f000000, nvidia:GH100
tcb         VECTOR
firmware    IDENTIFIER                nvidia-driver:580.95.05, nvidia-vbios:…, nvidia-rim:…
policy      NAME@VERSION | SHA-256
issuer      KEY_ID
handle      [KIND] HANDLE             from `attestca certs show`
"""


def _known(kind: str) -> str:
    words = (*HandleKind, HANDLE)
    if kind not in words:
        raise typer.BadParameter(f"{kind!r} is not one of {', '.join(words)}")
    return kind


KindArgument = Annotated[str, typer.Argument(metavar="KIND", callback=_known)]
WordsArgument = Annotated[list[str], typer.Argument(metavar="[NAME] VALUE")]
ReasonOption = Annotated[RevocationReason, typer.Option(help="Stands in the CRLs, for everybody.")]
NoteOption = Annotated[str, typer.Option(metavar="TEXT", help="For operators alone.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what it would take, and revoke nothing.")
]
LimitOption = Annotated[int, typer.Option(min=1, max=1000, help="Lines at most.")]
BeforeOption = Annotated[int | None, typer.Option(metavar="ID", help="Go on before this one.")]


def revoke_command(
    kind: KindArgument,
    words: WordsArgument,
    reason: ReasonOption = RevocationReason.UNSPECIFIED,
    note: NoteOption = "",
    dry_run: DryRunOption = False,
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Revoke what is named, or show what that would take."""
    subject = _subject(kind, words)
    asked = remote.connect(url, token_file, ca_root)
    if dry_run:
        found = asked.post_json(f"{REVOCATIONS}/preview", subject, "count")
    else:
        found = asked.post_json(REVOCATIONS, subject | {"reason": reason, "note": note}, "again")
    if json_:
        output.print_json(found)
    elif dry_run:
        _show_preview(found)
    else:
        output.print_facts(_facts(found))
        output.say("it was revoked before: nothing changed" if found["again"] else "revoked")


def revocations_command(
    limit: LimitOption = 100,
    before: BeforeOption = None,
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Show what is revoked, by whom and why, newest first."""
    found = remote.connect(url, token_file, ca_root).get(
        REVOCATIONS, "revocations", limit=limit, before=before
    )
    if json_:
        output.print_json(found)
        return
    columns = ("id", "revoked at", "kind", "subject", "reason", "actor", "note", "handle")
    rows = (
        [str(one[column.replace(" ", "_")]) for column in columns] for one in found["revocations"]
    )
    output.print_table(columns, rows, "Revocations")
    if found["next"] is not None:
        output.say(f"More: --before {found['next']}")


def _subject(kind: str, words: list[str]) -> dict[str, str]:
    """The members of a request that name what is meant. Raises BadParameter, UnreadableError."""
    *name, value = words
    if kind == HANDLE and len(name) <= 1:
        return {"handle": value.lower()} | ({"kind": name[0]} if name else {})
    if len(name) != (kind in {HandleKind.MEASUREMENT, HandleKind.CHIP}):
        raise typer.BadParameter(f"{kind}: see `attestca revoke --help` for what it takes")
    if kind == HandleKind.CHIP and value == "-":
        value = read_input("-").decode("ascii", "replace").strip()
    if kind == HandleKind.KEY and not _DIGEST.fullmatch(value):
        value = _key_of(value)
    return {"kind": kind, "value": value} | ({"name": name[0]} if name else {})


def _key_of(file: str) -> str:
    """The SubjectPublicKeyInfo in a PEM file, or of the certificate in it, as base64."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )

    data, spki = read_input(file), PublicFormat.SubjectPublicKeyInfo
    try:
        if b"-BEGIN CERTIFICATE-" in data:
            certificate = x509.load_pem_x509_certificate(data)
            data = certificate.public_key().public_bytes(Encoding.PEM, spki)
        key = load_pem_public_key(data)
    except ValueError as error:
        raise UnreadableError(f"{file}: neither a public key nor a certificate in PEM") from error
    return base64.b64encode(key.public_bytes(Encoding.DER, spki)).decode()


def _facts(found: Mapping[str, Any]) -> dict[str, str]:
    return {
        "revocation": str(found["id"]),
        "kind": found["kind"],
        "subject": found["subject"],
        "handle": found["handle"],
        "revoked at": found["revoked_at"],
        "reason": found["reason"],
        "by": found["actor"],
        "note": found["note"],
    }


def _show_preview(found: Mapping[str, Any]) -> None:
    revoked = found["revoked"]
    output.print_facts(
        {
            "kind": found["kind"],
            "subject": found["subject"],
            "handle": found["handle"],
            "revoked": "no" if revoked is None else f"{revoked['revoked_at']} {revoked['reason']}",
            "certificates": str(found["count"]),
        }
    )
    if not found["known"]:
        output.say("no certificate on record, expired or not, has depended on it")
        return
    output.say_blank()
    rows = (
        (one["serial"], one["outcome"], one["not_after"], "\n".join(one["names"]))
        for one in found["certificates"]
    )
    output.print_table(("serial", "outcome", "not after", "names"), rows, "The last to expire")
