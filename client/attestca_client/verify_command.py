# SPDX-License-Identifier: Apache-2.0
"""`attestca-client verify`: options, files and addresses in; one line for each check out.

Exit codes: 0 accepted, 1 refused, 2 undecided (which includes files that cannot be read), 64 usage. The result is on
stdout, a table or with --json one object. Nothing of the environment is read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.chain import load_root
from attestca_client.checks import Check, Name, Outcome, Result, SourceError, Verdict
from attestca_client.demands import parse_demands
from attestca_client.errors import Unreadable
from attestca_client.leaf import MAX_FILE, CertificateError, parse_certificates
from attestca_client.protocol import DEFAULT_OID_ARC
from attestca_client.protocol.trust import MAX_BUNDLE, BundleError, open_bundle, root_id
from attestca_client.rpc import Node
from attestca_client.sources import File, Url
from attestca_client.verify import Rules, Sources, Trust, verify

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from attestca_client.attestation_info import AttestationInfo
    from attestca_client.protocol.trust import TrustBundle
    from attestca_client.sources import Source

EXITS: Final = {Verdict.ACCEPTED: 0, Verdict.REFUSED: 1, Verdict.UNDECIDED: 2}
MAX_NODES: Final = 8
_ARC: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,9})){1,20}")
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MARKS: Final = {Outcome.PASSED: "ok", Outcome.UNDECIDED: "?", Outcome.FAILED: "FAILED"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """All of `verify`."""
    add = parser.add_argument
    add("certificate", type=Path, metavar="CERT", help="PEM or DER; the issuing CA may follow")
    add("--trust", type=Path, metavar="BUNDLE", help="the authority's signed trust bundle")
    add("--root", type=Path, metavar="FILE", help="its root; with --trust, the bundle's must be it")
    add("--trust-version", type=int, default=1, metavar="N", help="refuse an older bundle")
    add("--chain", type=Path, metavar="FILE", help="the issuing CA's certificate")
    add("--staple", metavar="FILE|URL", help="the authority's word on this certificate")
    add("--rpc", action="append", default=[], metavar="URL", help="a node; two must agree")
    add("--crl", action="append", default=[], metavar="FILE|URL", help="revocation lists")
    add("--no-revocation", action="store_true", help="accept without any source of revocation")
    add("--require", action="append", default=[], metavar="KEY=VALUE,…", help=_REQUIRE)
    add("--max-staleness", default="1h", metavar="AGE", help="of staple and chain (%(default)s)")
    add("--allow-simulated", action="store_true", help="accept a machine that proves nothing")
    add("--at", metavar="TIME", help="RFC 3339 with an offset, in place of now")
    add("--oid-arc", default=DEFAULT_OID_ARC, metavar="OID", help="the authority's (%(default)s)")
    add("--json", action="store_true", help="print the result as one line of JSON")


_REQUIRE: Final = "tee=, measurement=name:hex, policy=name[@version] or sha256:hex, tcb="


@dataclass(frozen=True, slots=True)
class Plan:
    """The options, read.

    Attributes:
        anchor: the bundle, or without one the root. is_bundle: which of them.
        pinned: the root that a bundle must be of, where one was given. trust_version: that it must have.
    """

    certificate: Path
    anchor: Path
    is_bundle: bool
    pinned: Path | None
    trust_version: int
    chain: Path | None
    staple: File | Url | None
    nodes: tuple[Node, ...]
    crls: tuple[File | Url, ...]
    rules: Rules
    at: datetime
    oid_arc: str

    @classmethod
    def of(cls, options: argparse.Namespace, now: Callable[[], datetime]) -> Plan:
        """Raises ValueError for what is wrong with the options, in words for people."""
        if options.trust is None and options.root is None:
            raise ValueError("--trust or --root is needed")
        if len(options.rpc) > MAX_NODES:
            raise ValueError(f"--rpc: at most {MAX_NODES} nodes")
        if not _ARC.fullmatch(options.oid_arc):
            raise ValueError(f"--oid-arc: {options.oid_arc!r} is no object identifier")
        return cls(
            certificate=options.certificate,
            anchor=options.trust or options.root,
            is_bundle=options.trust is not None,
            pinned=options.root,
            trust_version=options.trust_version,
            chain=options.chain,
            staple=None if options.staple is None else _source(options.staple),
            nodes=tuple(Node(Url.parse(url)) for url in options.rpc),
            crls=tuple(_source(text) for text in options.crl),
            rules=Rules(
                demands=parse_demands(options.require),
                max_staleness=_duration(options.max_staleness),
                allow_simulated=options.allow_simulated,
                no_revocation=options.no_revocation,
            ),
            at=now() if options.at is None else _instant(options.at),
            oid_arc=options.oid_arc,
        )


def carry_out(plan: Plan) -> Result:
    """Read the files and verify."""
    try:
        trust, trusted = _trust(plan)
    except (SourceError, BundleError, Unreadable) as error:
        return _nothing(Name.TRUST, str(error))
    try:
        certificate = File(plan.certificate).read(MAX_FILE)
        chain = b"" if plan.chain is None else File(plan.chain).read(MAX_FILE)
    except SourceError as error:
        return _nothing(Name.CERTIFICATE, str(error))
    sources = _sources(plan, trust, certificate)
    found = verify(certificate, trust, sources, at=plan.at, intermediates=chain, rules=plan.rules)
    return replace(found, checks=(trusted, *found.checks))


def _nothing(name: Name, seen: str) -> Result:
    return Result((Check(name, Outcome.UNDECIDED, seen),), None)


def _trust(plan: Plan) -> tuple[Trust, Check]:
    """What is trusted. Raises SourceError, BundleError, Unreadable."""
    if plan.is_bundle:
        bundle = _bundle(plan)
        trusted, seen = Trust.of(bundle), f"bundle version {bundle.version}, root"
    else:
        trusted, seen = Trust(load_root(File(plan.anchor).read(MAX_FILE))), "root"
    seen = f"{seen} {root_id(trusted.root).hex()}"
    return replace(trusted, oid_arc=plan.oid_arc), Check(Name.TRUST, Outcome.PASSED, seen)


def _bundle(plan: Plan) -> TrustBundle:
    """Of the pinned root, if there is one, and not below the version that it must have."""
    bundle = open_bundle(File(plan.anchor).read(MAX_BUNDLE))
    if plan.pinned is not None:
        root = load_root(File(plan.pinned).read(MAX_FILE))
        if root_id(root) != root_id(bundle.root):
            raise BundleError("the bundle is of another root than --root")
    if bundle.version < plan.trust_version:
        raise BundleError(f"the bundle is version {bundle.version}: get the one in force")
    return bundle


def _sources(plan: Plan, trust: Trust, certificate: bytes) -> Sources:
    """The addresses among them trust the root too, and know the serial number."""
    roots = trust.root.public_bytes(Encoding.PEM).decode()
    serial = _serial(certificate)

    def complete(source: File | Url) -> Source:
        if isinstance(source, File):
            return source
        return replace(source, roots=roots, target=source.target.replace("{serial}", serial))

    return Sources(
        staple=None if plan.staple is None else complete(plan.staple),
        nodes=plan.nodes,
        crls=tuple(map(complete, plan.crls)),
    )


def _source(text: str) -> File | Url:
    """A file, or an address. Raises ValueError for an address that is none."""
    return Url.parse(text) if re.match(r"https?://", text, re.IGNORECASE) else File(Path(text))


def _serial(certificate: bytes) -> str:
    """In hex; "0" where there is none to be read, which `verify` then says."""
    try:
        return f"{parse_certificates(certificate)[0].serial_number:x}"
    except CertificateError:
        return "0"


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"--at: {text!r} is no RFC 3339 time") from None
    if instant.tzinfo is None:
        raise ValueError("--at: a time needs an offset, e.g. 2026-01-31T12:00:00Z")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"--at: {text!r} is in no year from 1 to 9999") from None


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"--max-staleness: {text!r} is none such as 90s, 30m, 1h, 2d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


# what is printed


def shown(result: Result, *, as_json: bool) -> str:
    """A table, or one line of JSON. What the certificate says of the machine only where it was accepted."""
    info = result.info if result.accepted else None
    if as_json:
        checks = [
            {"name": check.name, "outcome": check.outcome, "seen": check.seen}
            for check in result.checks
        ]
        said = None if info is None else _machine(info)
        return json.dumps({"verdict": result.verdict, "checks": checks, "machine": said})
    width = max(len(check.name) for check in result.checks)
    lines = [
        f"{check.name:{width}}  {_MARKS[check.outcome]:6}  {check.seen}" for check in result.checks
    ]
    return "\n".join([*lines, f"{result.verdict}"])


def _machine(info: AttestationInfo) -> dict[str, object]:
    """What an accepted certificate says."""
    return {
        "tee": info.tee,
        "product": info.product,
        "assurance": info.assurance,
        "binding": info.binding,
        "registers": {name: value.hex() for name, value in info.registers},
        "tcb_status": info.tcb_status,
        "tolerated": list(info.tolerated),
        "policy": {
            "name": info.policy_name,
            "version": info.policy_version,
            "sha256": info.policy_sha256.hex(),
        },
        "devices": [
            {"kind": one.kind, "model": one.model, "driver": one.driver, "vbios": one.vbios}
            for one in info.devices
        ],
        "verified_at": f"{info.verified_at:%Y-%m-%dT%H:%M:%SZ}",
    }
