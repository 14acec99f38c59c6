# SPDX-License-Identifier: Apache-2.0
"""`make demo`: what attestca does, shown in about a minute on one machine, with the commands that do it.

Real evidence of Intel TDX and AMD SEV-SNP is appraised where the vectors are at hand; everything else happens on
loopback between simulated vendors, simulated machines, a real authority and a chain of this machine's own, in a
temporary folder that goes at the end. Exit code 0 if all that was told was so; what could not be shown says so.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from attestca_client.protocol import DEFAULT_OID_ARC, OID_ATTESTATION_INFO, OID_PE_CMW
from simulator.demo_chain import make_stage, start_chain
from simulator.demo_gpus import gpu_chapters
from simulator.demo_revocation import revocation_chapters
from simulator.stage import Stage, StageError
from simulator.teller import Teller

REAL_QUOTE, QUOTE_AT = "tdx4-90c06f-outofdate", "2025-12-02T05:03:49Z"
REAL_REPORT, REPORT_AT = "milan-v3-reported-below-committed", "2026-07-17T00:00:00Z"
WITH_DEBUG = (
    "00000b0000000000"  # a guest policy, little-endian: SMT, DEBUG, and the bit that is always one
)
NAME = "demo.example.org"
EXTENSIONS = {
    f"{DEFAULT_OID_ARC}.{OID_ATTESTATION_INFO}": "AttestationInfo (attestca)",
    OID_PE_CMW: "id-pe-cmw: attestation result (EAR)",
}


def main() -> int:
    """Run the demo; the exit code."""
    teller = Teller()
    real_quote(teller)
    real_report(teller)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attestca-demo-")))
            place = start_chain(stack, teller)
            teller.chapter("an authority, three vendors, policies (all simulated, all on loopback)")
            stage = stack.enter_context(make_stage(folder, place, teller.command))
            enrollment(stage, teller)
            snp_enrollment(stage, teller)
            gpu_chapters(stage, teller)
            refusals(stage, teller)
            revocation_chapters(stage, place, teller)
    except StageError as error:
        teller.expect(str(error), good=False)
    return teller.end()


def real_quote(teller: Teller) -> None:
    """A TDX quote of real hardware, under the strict default policy."""
    teller.chapter("a real TDX quote, appraised offline as of its own time")
    case = f"tdx/{REAL_QUOTE}"
    said = appraisal(
        teller, case, "{}/quote.bin", "--collateral", "{}/collateral.json", "--at", QUOTE_AT
    )
    if said is not None:
        teller.output(
            said, only=("verdict", "status", "tcb-out-of-date", "measurement", "Microcode")
        )
        teller.expect(
            "genuine, but its TCB is out of date and no measurement is pinned: denied",
            good="tcb-out-of-date" in said,
        )


def real_report(teller: Teller) -> None:
    """An SEV-SNP report of real hardware, under the strict default policy."""
    teller.chapter("a real SEV-SNP report and its VCEK, appraised likewise")
    said = appraisal(
        teller, f"snp/{REAL_REPORT}", "{}/report.bin", "{}/vcek.der", "--at", REPORT_AT
    )
    if said is not None:
        teller.output(
            said, only=("verdict", "reported-below", "revocation-u", "report.measurement")
        )
        teller.expect(
            "genuine, but the host reports an older TCB than it is committed to, and nothing is pinned: denied",
            good="reported-below-committed" in said,
        )


def appraisal(teller: Teller, case: str, *arguments: str) -> str | None:
    """What `attestca appraise` says of a case, whose folder is {} in arguments; None where it is not at hand."""
    folder = Path(os.environ.get("ATTESTCA_VECTORS", "../shared/vectors")) / case
    if not folder.is_dir():
        teller.line(f"(no real evidence at hand: {folder} is not there)")
        return None
    words = ["appraise", *(argument.format(folder) for argument in arguments)]
    teller.command(f"attestca {' '.join(words)}")
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "ca", *words], capture_output=True, text=True, check=False
    )
    if done.returncode != 1:
        teller.expect(f"exit code 1, not {done.returncode}: {done.stderr}", good=False)
    return done.stdout


def enrollment(stage: Stage, teller: Teller) -> None:
    """The simulated TDX machine gets a certificate and uses it."""
    teller.chapter("a confidential VM enrolls (TDX)")
    out = stage.folder / "vm"
    start = time.monotonic()
    done = stage.enroll(out)
    teller.output(done.stdout + done.stderr)
    took = time.monotonic() - start
    teller.expect(
        f"certificate issued in {took:.1f} s, start of the client included",
        good=done.returncode == 0,
    )
    if done.returncode:
        return
    teller.chapter("what it says")
    certificate = x509.load_pem_x509_certificate((out / "cert.pem").read_bytes())
    show_certificate(out / "cert.pem", certificate, teller)
    teller.chapter("two peers meet with it (TLS 1.3, both show a certificate)")
    mutual_tls(stage, out, teller)


def snp_enrollment(stage: Stage, teller: Teller) -> None:
    """The simulated SEV-SNP machine gets a certificate from the same authority."""
    teller.chapter("another enrolls (SEV-SNP); the authority fetches its VCEK from AMD")
    out = stage.folder / "snp"
    done = stage.enroll(out, "--tee", "snp")
    teller.output(done.stdout + done.stderr, only=("issued", "policy", "refused", "fail"))
    teller.expect("certificate issued under a policy of its own", good=done.returncode == 0)
    if done.returncode:
        return
    certificate = x509.load_pem_x509_certificate((out / "cert.pem").read_bytes())
    show_certificate(
        out / "cert.pem",
        certificate,
        teller,
        only=("Issuer", "spiffe:", "32473.1.1", "..snp..", "AttestationInfo"),
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    teller.expect(
        "its name says product line and measurement",
        good=any(uri.startswith("spiffe://example.org/snp/genoa/") for uri in uris),
    )


def show_certificate(
    path: Path, certificate: x509.Certificate, teller: Teller, *, only: tuple[str, ...] = ()
) -> None:
    """The certificate through openssl where it is installed, else in our own words; `only` lines with one of these."""
    openssl = shutil.which("openssl")
    if openssl is not None:
        teller.command("openssl x509 -in cert.pem -noout -text")
        done = subprocess.run(  # noqa: S603 - a fixed command
            [
                openssl,
                "x509",
                "-in",
                str(path),
                "-noout",
                "-text",
                "-certopt",
                "no_sigdump,no_pubkey",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        teller.output("\n".join(row[:110] for row in done.stdout.splitlines()), only=only)
        return
    teller.line("    (openssl is not installed; the same, by attestca)")
    teller.output(
        f"subject {certificate.subject.rfc4514_string()}\nissuer {certificate.issuer.rfc4514_string()}\n"
        f"valid {certificate.not_valid_before_utc} to {certificate.not_valid_after_utc}",
        only=only,
    )
    for extension in certificate.extensions:
        oid = extension.oid
        name = EXTENSIONS.get(oid.dotted_string, getattr(oid, "_name", oid.dotted_string))
        value = extension.value
        shown = (
            f"{len(value.value)} bytes" if isinstance(value, x509.UnrecognizedExtension) else value
        )
        teller.output(f"{name}: {shown}"[:110], only=only)


def mutual_tls(stage: Stage, out: Path, teller: Teller) -> None:
    """A server and a client, both with the certificate, over a socket pair."""
    server = _context(ssl.PROTOCOL_TLS_SERVER, stage, out)
    client = _context(ssl.PROTOCOL_TLS_CLIENT, stage, out)
    left, right = socket.socketpair()
    answer: list[str] = []

    def serve() -> None:
        with server.wrap_socket(left, server_side=True) as peer:
            der = peer.getpeercert(binary_form=True) or b""
            names = x509.load_der_x509_certificate(der).extensions.get_extension_for_oid(
                ExtensionOID.SUBJECT_ALTERNATIVE_NAME
            )
            uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)  # type: ignore[attr-defined]  # typed as any extension
            peer.sendall(f"hello {uris[0]}".encode())

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(right, server_hostname=NAME) as peer:
        answer.append(peer.recv(200).decode())
        version = peer.version()
    thread.join()
    teller.output(f"{version}: server says: {answer[0]}")
    teller.expect(
        f"the client saw {NAME} attested, the server saw the client's SPIFFE id",
        good=answer[0].startswith("hello spiffe://example.org/tdx/"),
    )


def _context(side: int, stage: Stage, out: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.load_verify_locations(stage.root)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(out / "fullchain.pem", out / "key.pem")
    return context


def refusals(stage: Stage, teller: Teller) -> None:
    """Two machines that must not get one, and what each side learns."""
    teller.chapter("a TDX quote that was changed on its way")
    changed = stage.enroll(stage.folder / "changed", "--tamper")
    teller.output(changed.stdout + changed.stderr, only=("refused", "missing", "fail"))
    teller.expect(
        "refused: the quote's own signature does not hold",
        good=changed.returncode == 1 and "signature" in changed.stderr,
    )
    teller.chapter("a genuine TDX quote of another kernel")
    other = stage.enroll(stage.folder / "other", "--field", f"rtmr1={'ab' * 48}")
    teller.output(other.stdout + other.stderr, only=("refused", "missing", "fail"))
    teller.expect(
        "refused: the attester learns which rule, not the allowed values",
        good=other.returncode == 1 and "measurement" in other.stderr,
    )
    teller.chapter("a genuine SEV-SNP report of the right image, but its host may look inside")
    debug = stage.enroll(stage.folder / "debug", "--tee", "snp", "--field", f"policy={WITH_DEBUG}")
    teller.output(debug.stdout + debug.stderr, only=("refused", "missing", "fail"))
    teller.expect(
        "refused: no measurement covers the guest policy, so a rule does",
        good=debug.returncode == 1 and "fail: debug" in debug.stderr,
    )
    teller.chapter("what the operator sees of it")
    seen = stage.operate("refusals", "list")
    teller.output("\n".join(row[:160] for row in seen.splitlines()))
    teller.expect(
        "the refusal is on record with what was expected and what was seen",
        good="measurement" in seen,
    )


if __name__ == "__main__":
    sys.exit(main())
