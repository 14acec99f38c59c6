# SPDX-License-Identifier: Apache-2.0
"""An independent checker: the OpenSSL command line, which knows chains and signatures, and nothing of SEV-SNP.

It is asked what a client would ask that has AMD's root: does the certificate chain to it at this instant (RSASSA-PSS),
is no intermediate revoked by the list at hand, and is the report signed by the certificate's key? Offsets and the
encoding of r and s are written here anew (AMD ABI 56860, ATTESTATION_REPORT).
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from datetime import datetime

OPENSSL = shutil.which("openssl")
NOTICE = "openssl is not installed"

SIGNED = 0x2A0  # bytes that the signature covers
COMPONENT = 72  # r and s, little-endian


@dataclass(frozen=True)
class Question:
    """What OpenSSL is shown: DER certificates and CRL, and the report."""

    report: bytes
    vek: bytes
    ica: bytes
    ark: bytes
    crl: bytes | None
    at: datetime


def accepts(question: Question) -> bool:
    """Whether chain, revocation and signature hold."""
    if OPENSSL is None:
        pytest.skip(NOTICE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("vek", "ica", "ark"):
            (folder / f"{part}.pem").write_bytes(as_pem(getattr(question, part), "CERTIFICATE"))
        return (
            _chain_holds(folder, question)
            and _not_revoked(folder, question)
            and _signature_holds(folder, question.report)
        )


def as_pem(der: bytes, label: str) -> bytes:
    text = base64.encodebytes(der)
    return f"-----BEGIN {label}-----\n".encode() + text + f"-----END {label}-----\n".encode()


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    assert OPENSSL is not None
    return subprocess.run(  # noqa: S603 - the system's openssl
        [OPENSSL, *arguments], input=stdin, capture_output=True, check=False, timeout=60
    )


def _verify(folder: Path, at: datetime, *arguments: str) -> bool:
    when = str(int(at.timestamp()))
    fixed = ("-CAfile", str(folder / "ark.pem"), "-no-CApath", "-no-CAstore", "-attime", when)
    return run("verify", "-check_ss_sig", *fixed, *arguments).returncode == 0


def _chain_holds(folder: Path, question: Question) -> bool:
    ica, vek = str(folder / "ica.pem"), str(folder / "vek.pem")
    return _verify(folder, question.at, "-untrusted", ica, vek)


def _not_revoked(folder: Path, question: Question) -> bool:
    if question.crl is None:
        return True
    (folder / "crl.pem").write_bytes(as_pem(question.crl, "X509 CRL"))
    listed = ("-crl_check", "-CRLfile", str(folder / "crl.pem"))
    return _verify(folder, question.at, *listed, str(folder / "ica.pem"))


def _signature_holds(folder: Path, report: bytes) -> bool:
    key = run("x509", "-in", str(folder / "vek.pem"), "-noout", "-pubkey").stdout
    (folder / "key.pem").write_bytes(key)
    r = int.from_bytes(report[SIGNED : SIGNED + COMPONENT], "little")
    s = int.from_bytes(report[SIGNED + COMPONENT : SIGNED + 2 * COMPONENT], "little")
    (folder / "signature.der").write_bytes(_sequence(_integer(r) + _integer(s)))
    files = (str(folder / "key.pem"), "-signature", str(folder / "signature.der"))
    return run("dgst", "-sha384", "-verify", *files, stdin=report[:SIGNED]).returncode == 0


def _integer(value: int) -> bytes:
    content = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes((0x02, len(content))) + content


def _sequence(content: bytes) -> bytes:
    length = bytes((len(content),)) if len(content) < 0x80 else bytes((0x81, len(content)))
    return b"\x30" + length + content
