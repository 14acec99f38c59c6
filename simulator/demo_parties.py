# SPDX-License-Identifier: Apache-2.0
"""The demo's relying party: four ways to ask whether a certificate is still good, none of which needs another.

openssl with the list that the certificate names, openssl with the responder, attestca-client with the chain alone and
with the staple alone. All have the root and the trust bundle beforehand, and no word of the authority's commands. An
answer counts where it is plainly yes or plainly "revoked"; any other is unclear, and no statement of the demo holds
with it.
"""

from __future__ import annotations

import http.client
import os
import shlex
import shutil
import ssl
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKOUT: Final = Path(__file__).parents[1]
IT: Final = "$it"  # a machine, in a command that is shown
_PATIENCE: Final = 60.0  # seconds


class Word(StrEnum):
    """What an answer comes to."""

    GOOD = "good"
    REVOKED = "revoked"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Answer:
    """`line`: of the program's output, the one that says so."""

    word: Word
    line: str


@dataclass(frozen=True, slots=True)
class Way:
    """A way to ask. `command`: for any machine, which is IT in it; `judge`: exit code and output -> answer."""

    name: str
    command: tuple[str, ...]
    judge: Callable[[int, str], Answer]

    @property
    def shown(self) -> str:
        """The command as it could be typed."""
        return shlex.join(self.command).replace("'", "")


@dataclass(frozen=True, slots=True)
class Party:
    """A relying party in a folder with root.pem, trust.json, and for each machine a folder of the certificate's files.

    Attributes:
        url: of the authority. rpc: of a node; empty where there is no chain.
    """

    folder: Path
    url: str
    rpc: str

    def meet(self, machine: str, certificates: Path) -> None:
        """A machine shows its certificate: cert.pem, chain.pem and fullchain.pem of `certificates`."""
        place = self.folder / machine
        place.mkdir()
        for name in ("cert.pem", "chain.pem", "fullchain.pem"):
            shutil.copy(certificates / name, place)
        issuing = x509.load_pem_x509_certificates((place / "chain.pem").read_bytes())[0]
        (place / "issuing.pem").write_bytes(issuing.public_bytes(Encoding.PEM))

    def ways(self) -> tuple[Way, ...]:
        """Those that this machine can be asked by."""
        found = []
        if shutil.which("openssl"):
            found += [self._list(), self._responder()]
        if self.rpc:
            found.append(self._client("registry.revoked", "the chain alone", "--rpc", self.rpc))
        address = f"{self.url}/v1/status/{{serial}}"
        found.append(self._client("staple.revoked", "the staple alone", "--staple", address))
        return tuple(found)

    def ask(self, way: Way, machine: str) -> Answer:
        """Ask about a machine."""
        done = self.run([word.replace(IT, machine) for word in way.command])
        return way.judge(done.returncode, done.stdout + done.stderr)

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """A command in the folder, without anything of the authority in its environment."""
        modules = {"attestca": "ca", "attestca-client": "attestca_client"}
        program, *words = command
        if program in modules:
            program, words = sys.executable, ["-m", modules[program], *words]
        both = f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'client'}"
        clean = {key: text for key, text in os.environ.items() if not key.startswith("ATTESTCA_")}
        return subprocess.run(  # noqa: S603 - our own words
            [program, *words],
            cwd=self.folder,
            env={**clean, "PYTHONPATH": both},
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )

    def fetch(self, path: str) -> bytes | None:
        """What the authority serves there; None for 404 and the like."""
        context = ssl.create_default_context(cafile=str(self.folder / "root.pem"))
        where = urlsplit(self.url).netloc
        connection = http.client.HTTPSConnection(where, timeout=_PATIENCE, context=context)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        return body if response.status == http.HTTPStatus.OK else None

    def serial(self, machine: str) -> int:
        """Of its certificate."""
        return self._certificate(machine).serial_number

    def is_listed(self, machine: str) -> bool:
        """Whether the list that its certificate names has it; the list is kept for openssl.

        Raises ValueError where there is none.
        """
        points = self._certificate(machine).extensions.get_extension_for_class(
            x509.CRLDistributionPoints
        )
        (name,) = points.value[0].full_name or []
        found = self.fetch(urlsplit(name.value).path)
        if found is None:
            raise ValueError(f"{name.value}: no list")
        revoked = x509.load_der_x509_crl(found)
        (self.folder / machine / "list.pem").write_bytes(revoked.public_bytes(Encoding.PEM))
        serial = self.serial(machine)
        return revoked.get_revoked_certificate_by_serial_number(serial) is not None

    def _certificate(self, machine: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / machine / "cert.pem").read_bytes())

    def _list(self) -> Way:
        command = (
            *("openssl", "verify", "-CAfile", "root.pem", "-untrusted", f"{IT}/chain.pem"),
            *("-crl_check", "-CRLfile", f"{IT}/list.pem", f"{IT}/cert.pem"),
        )
        return Way("openssl with the list (CRL)", command, judge_list)

    def _responder(self) -> Way:
        command = (
            *("openssl", "ocsp", "-issuer", f"{IT}/issuing.pem", "-cert", f"{IT}/cert.pem"),
            *("-url", f"{self.url}/v1/ocsp", "-CAfile", "root.pem"),
            *("-verify_other", f"{IT}/issuing.pem"),
        )
        return Way("openssl with the responder (OCSP)", command, judge_responder)

    def _client(self, check: str, name: str, *source: str) -> Way:
        command = (
            *("attestca-client", "verify", f"{IT}/fullchain.pem", "--root", "root.pem"),
            *("--trust", "trust.json", *source, "--allow-simulated"),
        )
        return Way(
            f"attestca-client with {name}",
            command,
            lambda code, output: judge_client(check, code, output),
        )


def judge_list(code: int, output: str) -> Answer:
    """Of `openssl verify`: anything but OK and "certificate revoked" is unclear."""
    if code == 0:
        return Answer(Word.GOOD, _line(output, ": OK"))
    line = _line(output, "certificate revoked")
    return Answer(Word.REVOKED if line else Word.UNCLEAR, line or _short(output))


def judge_responder(code: int, output: str) -> Answer:
    """Of `openssl ocsp`, which ends with 0 whatever the status is; without a verified signature it is unclear."""
    if code == 0 and "Response verify OK" in output:
        for word in (Word.GOOD, Word.REVOKED):
            if line := _line(output, f"cert.pem: {word}"):
                return Answer(word, line)
    return Answer(Word.UNCLEAR, _short(output))


def judge_client(check: str, code: int, output: str) -> Answer:
    """Of `attestca-client verify`: good where it accepts, revoked where it refuses and this check alone failed."""
    failed = [row.split()[0] for row in output.splitlines() if row.split()[1:2] == ["FAILED"]]
    line = " ".join(_line(output, check).split())
    if code == 0 and line:
        return Answer(Word.GOOD, line)
    if code == 1 and failed == [check]:
        return Answer(Word.REVOKED, line)
    return Answer(Word.UNCLEAR, _short(output))


def _line(output: str, part: str) -> str:
    """The first line with this part; empty where there is none."""
    return next((row.strip() for row in output.splitlines() if part in row), "")


def _short(output: str) -> str:
    return " ".join(output.split())[-200:]
