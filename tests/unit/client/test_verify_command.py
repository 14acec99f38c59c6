# SPDX-License-Identifier: Apache-2.0
"""`attestca-client verify`: options, exit codes, what is printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client import __main__ as cli
from attestca_client import verify_command
from attestca_client.sources import Url
from ca.issuance.crl import Revoked
from ca.issuance.request import Assurance
from tests.authority_lab import NOW, digest, make_device, with_devices
from tests.relying_lab import FakeChain, Leaf, World, make_world, measurement, node, serving

if TYPE_CHECKING:
    from pathlib import Path

AT = ("--at", "2026-11-25T13:00:00Z")


@dataclass
class Desk:
    """A relying party's folder: bundle, root, certificate."""

    world: World
    leaf: Leaf
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def staple(self) -> str:
        return self.file("staple.json", json.dumps(self.world.staple(self.leaf)).encode())

    def __call__(self, *more: str, at: tuple[str, ...] = AT) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = cli.run(["verify", str(self.folder / "cert.pem"), *at, *more])
        return code, *self.capsys.readouterr()

    def json(self, *more: str) -> tuple[int, dict[str, Any]]:
        code, out, _ = self(*more, "--json")
        (line,) = out.splitlines()
        value: dict[str, Any] = json.loads(line)
        return code, value

    @property
    def trust(self) -> tuple[str, str]:
        return "--trust", str(self.folder / "trust.json")

    @property
    def root(self) -> tuple[str, str]:
        return "--root", str(self.folder / "root.pem")


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    world = make_world()
    made = Desk(world, world.issue(**with_devices(make_device())), tmp_path, capsys)
    made.file("cert.pem", made.leaf.pem)
    made.file("trust.json", world.sealed(version=3))
    made.file("root.pem", world.lab.root.public_bytes(Encoding.PEM))
    return made


def test_accepted(desk: Desk) -> None:
    demands = f"tee=tdx,policy=production@3,measurement=mr_td:{(digest('mr_td') + bytes(16)).hex()}"
    staple = desk.staple()
    code, out, err = desk(*desk.trust, *desk.root, "--staple", staple, "--require", demands)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[-1] == "accepted"
    assert lines[0].split()[:5] == ["trust", "ok", "bundle", "version", "3,"]
    assert all(line.split()[1] == "ok" for line in lines[:-1])
    code, said = desk.json(*desk.trust, "--staple", staple, "--require", demands)
    assert (code, said["verdict"]) == (0, "accepted")
    assert [check["outcome"] for check in said["checks"]] == ["passed"] * len(said["checks"])
    assert said["machine"]["tee"] == "tdx"
    assert said["machine"]["policy"]["sha256"] == digest("policy").hex()
    assert said["machine"]["devices"][0]["model"] == "GH100 A01 GSP BROM"


def test_refused(desk: Desk) -> None:
    desk.world.revoke(measurement(desk.leaf))
    code, out, _ = desk(*desk.trust, "--staple", desk.staple())
    assert code == 1
    assert "staple.revoked      FAILED  revoked, measurement" in out
    assert out.splitlines()[-1] == "refused"
    code, said = desk.json(*desk.trust, "--staple", desk.staple())
    assert (code, said["verdict"], said["machine"]) == (1, "refused", None)


def test_undecided(desk: Desk) -> None:
    code, out, _ = desk(*desk.root)
    assert code == 2
    assert "revocation          ?       no source was given" in out
    assert desk(*desk.root, "--no-revocation")[0] == 0
    code, said = desk.json(*desk.root, "--staple", desk.staple())
    assert (code, said["checks"][-1]["name"]) == (2, "staple.checkpoint")


def test_all_sources_from_addresses(desk: Desk) -> None:
    world, leaf = desk.world, desk.leaf
    staple, crl = json.dumps(world.staple(leaf)).encode(), world.crl(leaf)
    with (
        serving(lambda _: staple) as one,
        serving(lambda _: crl) as two,
        serving(lambda _: world.lab.root_crl()) as three,
        node(FakeChain(world)) as first,
        node(FakeChain(world)) as second,
    ):
        urls = [f"http://127.0.0.1:{each.url.port}" for each in (first, second)]
        nodes = [option for url in urls for option in ("--rpc", url)]
        sources = ("--staple", f"{one}v1/status/{{serial}}", "--crl", two, "--crl", three, *nodes)
        code, out, _ = desk(*desk.trust, *sources)
    assert code == 0, out
    assert "2 nodes, which agree" in out


def test_the_serial_in_an_address(desk: Desk) -> None:
    plan = verify_command.Plan.of(
        cli.parser().parse_args(
            ["verify", "x", *desk.trust, "--staple", "https://ca.example.org/v1/status/{serial}"]
        ),
        lambda: NOW,
    )
    sources = verify_command._sources(plan, desk.world.trust, desk.leaf.pem)
    assert isinstance(sources.staple, Url)
    assert sources.staple.target == f"/v1/status/{desk.leaf.serial:x}"
    assert "BEGIN CERTIFICATE" in sources.staple.roots
    nobody = verify_command._sources(plan, desk.world.trust, b"")
    assert isinstance(nobody.staple, Url)
    assert nobody.staple.target.endswith("/0")


def test_lists_and_chain_in_files(desk: Desk) -> None:
    leaf = desk.leaf
    desk.file("cert.pem", leaf.certificate.public_bytes(Encoding.DER))
    chain = desk.file("chain.pem", leaf.issuing.public_bytes(Encoding.PEM))
    good, bad = desk.world.crl(leaf), desk.world.crl(leaf, Revoked(leaf.serial, NOW))
    pem = x509.load_der_x509_crl(good).public_bytes(Encoding.PEM)
    root = desk.file("root-list", desk.world.lab.root_crl())
    for data, wanted in ((good, 0), (pem, 0), (bad, 1)):
        files = ("--crl", desk.file("list", data), "--crl", root)
        assert desk(*desk.root, "--chain", chain, *files)[0] == wanted
    assert desk(*desk.root, "--crl", str(desk.folder / "list"))[0] == 2  # without --chain


def test_a_simulated_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = make_world(Assurance.SIMULATED)
    desk = Desk(world, world.issue(all_pinned=False), tmp_path, capsys)
    desk.file("cert.pem", desk.leaf.pem)
    desk.file("trust.json", world.sealed())
    assert desk(*desk.trust, "--staple", desk.staple())[0] == 1
    assert desk(*desk.trust, "--staple", desk.staple(), "--allow-simulated")[0] == 0


def test_staleness_and_time(desk: Desk) -> None:
    staple = desk.staple()
    later = ("--at", "2026-11-25T15:00:00+01:30")  # 13:30 UTC
    assert desk(*desk.trust, "--staple", staple, at=later)[0] == 0
    for age, wanted in (("30m", 0), ("1800s", 0), ("29m", 2), ("1d", 0)):
        said = ("--staple", staple, "--max-staleness", age)
        assert desk(*desk.trust, *said, at=later)[0] == wanted
    code, out, _ = desk(*desk.trust, "--staple", staple, at=())
    assert code in {1, 2}  # the clock's own time is another than that of the test
    assert "staple.time" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--trust or --root is needed"),
        (("--root", "x", "--at", "noon"), "no RFC 3339 time"),
        (("--root", "x", "--at", "2026-11-25T13:00:00"), "needs an offset"),
        (("--root", "x", "--at", "0001-01-01T00:00:00+01:00"), "in no year from 1 to 9999"),
        (("--root", "x", "--max-staleness", "1"), "--max-staleness"),
        (("--root", "x", "--max-staleness", "0h"), "--max-staleness"),
        (("--root", "x", "--require", "colour=red"), "what can be demanded"),
        (("--root", "x", "--rpc", "http://node.example.org/key"), "loopback only"),
        (("--root", "x", "--staple", "http://ca.example.org/"), "loopback only"),
        (("--root", "x", "--oid-arc", "1.x"), "no object identifier"),
        (("--root", "x", *("--rpc", "https://n.example.org/") * 9), "at most 8"),
    ],
)
def test_usage(desk: Desk, options: tuple[str, ...], words: str) -> None:
    code, out, err = desk(*options, at=())
    assert (code, out) == (64, "")
    assert words in err
    assert "key" not in err


def test_a_key_in_an_address_is_shown_nowhere(desk: Desk) -> None:
    with node(FakeChain(desk.world)) as gone:
        url = f"http://127.0.0.1:{gone.url.port}/secret-key?apikey=secret"
    code, out, err = desk(*desk.trust, "--rpc", url)
    assert code == 2
    assert "secret" not in out + err
    assert f"127.0.0.1:{gone.url.port}" in out


def test_what_cannot_be_read(desk: Desk) -> None:
    missing = str(desk.folder / "missing")
    for options, name in (
        (("--trust", missing), "trust"),
        (("--root", missing), "trust"),
        (("--trust", desk.file("x", b"{}")), "trust"),
        (("--root", desk.file("y", b"x")), "trust"),
        ((*desk.trust, "--trust-version", "4"), "trust"),
        ((*desk.trust, "--root", _other_root(desk)), "trust"),
        ((*desk.root, "--chain", missing), "certificate"),
        ((*desk.root, "--no-revocation", "--chain", desk.file("z", b"x")), "certificate"),
    ):
        code, said = desk.json(*options)
        assert (code, said["checks"][-1]["name"], said["machine"]) == (2, name, None)
    assert desk(*desk.trust, "--trust-version", "3", "--staple", desk.staple())[0] == 0
    (desk.folder / "cert.pem").unlink()
    assert desk(*desk.trust)[0] == 2


def _other_root(desk: Desk) -> str:
    return desk.file("other.pem", make_world().lab.root.public_bytes(Encoding.PEM))


def test_an_error_of_ours_is_no_verdict(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_plan: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(verify_command, "carry_out", fail)
    code, out, err = desk(*desk.trust)
    assert (code, out) == (70, "")
    assert "a bug" in err
