# SPDX-License-Identifier: Apache-2.0
"""Runs the commands that the documents show, as they are shown, in a folder of their own.

    stage        an authority answers, its policy `demo` is in force, as policy.yaml; draft.yaml is the next version of
                 it; root.pem and trust.json of it; quote.bin, report.bin and nvidia-devices.json of the simulated
                 machines
    fresh stage  the same authority without a policy in force; policy.yaml holds one named `web`
    evidence     offline, with quote.bin and collateral.json of a real machine, judged at the instant they are from
    snp evidence offline, with report.bin, vcek.der and crl.der of a real machine likewise; a firmware and empty files
                 for an image
    tdx direct boot  offline, with a kernel and an initrd
    nvidia evidence  offline, with report, chain, manifests and OCSP answers of a real GPU likewise
    nvidia tokens  offline, with tokens of NVIDIA's service about real GPUs, and its keys, likewise
    new          offline, in an empty folder

The documents' addresses and folders are led to those of the test (those in certificates by `curl`), and `attestca` and
`attestca-client` to this checkout; the client's quotes come from the simulated machine. Nothing else is changed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.docs.documents import TOP
from tests.tdx_vectors import NOTICE, ROOT
from tests.unit.ca.cli.bzimage import bzimage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simulator.stage import Stage
    from tests.docs.documents import Block

OFFLINE = ("evidence", "snp evidence", "tdx direct boot", "nvidia evidence", "nvidia tokens", "new")
REAL = {  # folder of each situation with real evidence, and the files from it
    "evidence": ("tdx/tdx4-b0c06f-uptodate", ("quote.bin", "collateral.json")),
    "snp evidence": ("snp/milan-v2-author-key-crl", ("report.bin", "vcek.der", "crl.der")),
    "nvidia evidence": (
        "nvidia/h100-550.90.07",
        ("report.bin", "chain.pem", "driver_rim.xml", "vbios_rim.xml", "ocsp"),
    ),
    "nvidia tokens": ("nvidia/nras-hgx-h100x8-ppcie-token", ("nras_response.json", "jwks.json")),
}
FIRMWARE = ROOT / "refvalues" / "sev-snp-measure" / "ovmf_AmdSev_suffix.bin"
_MARK = "\x1e"
_ATTESTCA = """\
#!/bin/sh
case "$1 $2 $3" in "refvalues compute init-data") exec "$DOCS_PYTHON" -m ca "$@" ;; esac  # judges nothing
case "$1 $2" in
  "policy lint"|"policy simulate") ;;
  "policy "*|"certs "*|"refusals "*|"actions "*|"revoke "*|"revocations "*) set -- "$@" --url "$DOCS_ADMIN_URL" ;;
  "collateral "*) set -- "$@" --config "$ATTESTCA_CONFIG" ;;
  "verify "*|"appraise "*|"refvalues "*) set -- "$@" --at "$DOCS_AT" ;;
esac
exec "$DOCS_PYTHON" -m ca "$@"
"""
_CLIENT = """\
#!/bin/sh
test "$1" = verify && exec "$DOCS_PYTHON" -m attestca_client "$@"
test "$1" = enroll && shift
exec "$DOCS_PYTHON" -m simulator.cvm --world "$DOCS_WORLD" "$@"
"""
# Certificates name addresses without a port; the service listens at one that the system chose.
_CURL = """\
#!/bin/sh
exec "$DOCS_CURL" ${DOCS_CONNECT_TO:+--connect-to "$DOCS_CONNECT_TO"} "$@"
"""


@dataclass(frozen=True, slots=True)
class Session:
    """A folder, the environment of its commands, and what their texts have in place of the documents' own words."""

    folder: Path
    environment: Mapping[str, str]
    replaced: Mapping[str, str]

    def run(self, blocks: Sequence[Block]) -> list[str]:
        """Run the blocks as one session; what each printed. Fails the test at the first command that fails."""
        script = "".join(f"printf '{_MARK}'\n{block.text}" for block in blocks)
        for theirs, ours in self.replaced.items():
            script = script.replace(theirs, ours)
        done = subprocess.run(  # noqa: S603 - our own documents
            ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607 - found by its name like in a terminal
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        _, *printed = done.stdout.split(_MARK)
        if done.returncode:
            pytest.fail(f"{blocks[len(printed) - 1].where}: {printed[-1]}")
        return [self._in_their_words(text) for text in printed]

    def _in_their_words(self, text: str) -> str:
        for theirs, ours in self.replaced.items():
            text = text.replace(ours, theirs)
        return text


def offline(situation: str, folder: Path) -> Session:
    """A session without an authority. Skips the test where the real evidence is not at hand."""
    environment = _environment(folder)
    if situation in REAL:
        path, names = REAL[situation]
        case = ROOT / path
        if not case.is_dir():
            pytest.skip(NOTICE)
        expected = json.loads((case / "expected.json").read_text(encoding="utf-8"))
        environment["DOCS_AT"] = expected["at"]
        for name in names:
            copy = shutil.copytree if (case / name).is_dir() else shutil.copy
            copy(case / name, folder / name)
        shutil.copy(FIRMWARE, folder / "OVMF.fd")
        for name in ("vmlinuz", "initrd.img"):
            (folder / name).touch()
    else:
        environment["DOCS_AT"] = "2026-01-01T00:00:00Z"
    if situation == "tdx direct boot":
        (folder / "vmlinuz").write_bytes(bzimage())
        (folder / "initrd.img").write_bytes(b"initrd")
    return Session(folder, environment, _folders(folder, folder / "authority"))


@dataclass(frozen=True, slots=True)
class Operators:
    """The operators' API for policies, without the second that a process takes to start."""

    url: str
    token: str

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:  # noqa: ANN401 - JSON
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/yaml"}
        url = f"{self.url}/v1/admin/policies{path}"
        request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - of the stage
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return json.load(answer)


def on(stage: Stage, situation: str, folder: Path) -> Session:
    """A session with the running authority."""
    token = stage._environment["ATTESTCA_TOKEN"]
    operators = Operators(stage.admin_url, token)
    version = _retire_all(operators) + 1
    text = (stage.folder / "demo.yaml").read_text(encoding="ascii")
    if situation == "fresh stage":
        text = text.replace("name: demo\n", "name: web\n")
        (folder / "policy.yaml").write_text(text, encoding="ascii")
    else:
        text = text.replace("version: 1\n", f"version: {version}\n")
        operators.ask("POST", "", text.encode())
        operators.ask("POST", f"/demo/{version}/activate")
        (folder / "policy.yaml").write_text(text, encoding="ascii")
        (folder / "draft.yaml").write_text(_next(text, version + 1), encoding="ascii")
    shutil.copy(stage.root, folder / "root.pem")
    bundle = stage.folder / "trust.json"
    if not bundle.exists():
        stage.attestca("trust", "sign", "--config", str(stage.config), "-o", str(bundle))
    shutil.copy(bundle, folder)
    (folder / "quote.bin").write_bytes(stage.world.machine.quote())
    (folder / "report.bin").write_bytes(stage.world.snp.report())
    (folder / "nvidia-devices.json").write_text(_devices(stage), encoding="ascii")
    environment = _environment(folder) | {
        "DOCS_ADMIN_URL": stage.admin_url,
        "DOCS_WORLD": str(stage.world_file),
        "DOCS_CONNECT_TO": f"localhost:443:{urlsplit(stage.url).netloc}",
        "ATTESTCA_TOKEN": token,
        "ATTESTCA_CONFIG": str(stage.config),  # the simulated vendors in place of the real ones
        **{name: value for name, value in stage._environment.items() if "COLLATERAL" in name},
    }
    folders = _folders(folder, stage.config.parent)
    return Session(folder, environment, folders | {"https://ca.example.org": stage.url})


def _next(text: str, version: int) -> str:
    """The next version of the policy in force: a second image, and Intel's newest evaluation."""
    above, entry, below = text.partition("    - id: demo-image-1\n")
    values = below.partition("tdx:")[0]
    first = values.split('mr_td: "')[1].split('"')[0]
    other = values.replace(first, "00" * 48)
    asked = "  measurements: [release]\n"
    text = f"{above}{entry}{values}    - id: demo-image-2\n{other}{below.removeprefix(values)}"
    text = text.replace(
        asked, f"{asked}  tcb: {{minimum: {{tcb_evaluation_data_number: 60000}}}}\n"
    )
    return re.sub("version: [0-9]+\n", f"version: {version}\n", text, count=1)


def _devices(stage: Stage) -> str:
    """The simulated GPUs' evidence, as NVIDIA's tools write it."""
    nonce = bytes(range(32))
    listed = [
        {
            "evidence": b64encode(gpu.report(nonce)).decode(),
            "certificate": b64encode(gpu.chain).decode(),
        }
        for gpu in stage.world.gpus
    ]
    return json.dumps(listed)


def _retire_all(operators: Operators) -> int:
    """Leave no policy in force. Returns how many versions there are."""
    found = operators.ask("GET", "")["policies"]
    for one in found:
        if one["state"] == "active":
            operators.ask("POST", f"/{one['name']}/{one['version']}/retire")
    return len(found)


def _environment(folder: Path) -> dict[str, str]:
    programs = folder / ".bin"
    programs.mkdir()
    for name, text in (("attestca", _ATTESTCA), ("attestca-client", _CLIENT), ("curl", _CURL)):
        (programs / name).write_text(text, encoding="ascii")
        (programs / name).chmod(0o755)
    for name in ("etc", "media"):
        (folder / name).mkdir()
    passphrase = folder / "etc" / "passphrase"
    passphrase.write_text("correct horse battery staple\n", encoding="ascii")
    passphrase.chmod(0o600)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{TOP}{os.pathsep}{TOP / 'client'}",
        "DOCS_PYTHON": sys.executable,
        "DOCS_CURL": shutil.which("curl") or "/curl/is/not/installed",
    }


def _folders(folder: Path, authority: Path) -> dict[str, str]:
    return {
        "/var/lib/attestca": str(authority),
        "/etc/attestca": str(folder / "etc"),
        "/run/attestca": str(folder / "vm"),
        "/media/usb": str(folder / "media"),
    }
