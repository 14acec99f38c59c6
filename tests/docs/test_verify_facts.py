# SPDX-License-Identifier: Apache-2.0
"""What docs/relying-parties.md and client/README.md say of `attestca-client verify` is what it has."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client import __main__ as cli
from attestca_client import verify_command
from attestca_client.checks import Name
from attestca_client.demands import Key
from ca.issuance.request import Assurance
from tests.authority_lab import NOW
from tests.docs.documents import TOP, blocks, codes, rows, section
from tests.relying_lab import FakeChain, make_world, measurement, node

if TYPE_CHECKING:
    from pathlib import Path

RELYING = TOP / "docs" / "relying-parties.md"
HEADING = "## attestca-client verify"


def options() -> set[str]:
    (commands,) = (a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction))
    actions = commands.choices["verify"]._actions
    return {action.option_strings[-1] for action in actions if action.option_strings} - {"--help"}


def test_every_option() -> None:
    cells = [codes(row[0]) for row in rows(section(RELYING, HEADING))]
    shown = {cell[0].split()[0] for cell in cells if cell and cell[0].startswith("--")}
    assert shown == options()
    readme = section(TOP / "client" / "README.md", "## Verifying others")
    assert "docs/relying-parties.md#attestca-client-verify" in readme


def test_every_exit_code() -> None:
    shown = {row[0]: codes(row[1]) for row in rows(section(RELYING, HEADING)) if row[0].isdigit()}
    ours = {str(code): [verdict.value] for verdict, code in verify_command.EXITS.items()}
    assert shown == ours | {"64": []}


def test_every_check_once() -> None:
    shown = [
        name for row in rows(section(RELYING, "### What is checked")) for name in codes(row[0])
    ]
    assert sorted(shown) == sorted(Name)


def test_every_demand() -> None:
    cells = [codes(row[0]) for row in rows(section(RELYING, "### What you require"))]
    assert {text.partition("=")[0] for cell in cells for text in cell} == set(Key)


def test_the_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands there, at the time of the test's world."""
    (text,) = (
        block.text
        for block in blocks(RELYING)
        if block.language == "python" and "def machine(" in block.text
    )
    shown: dict[str, Any] = {}
    exec(text.replace("datetime.now(UTC)", "NOW"), shown)  # noqa: S102 - our own document
    shown["NOW"] = NOW
    machine = shown["machine"]
    assert callable(machine)
    world = make_world(Assurance.SIMULATED)
    leaf = world.issue(all_pinned=False)
    (tmp_path / "trust.json").write_bytes(world.sealed())
    monkeypatch.chdir(tmp_path)
    data = [x509.load_pem_x509_certificates(leaf.pem)[0], leaf.issuing]
    own, issuing = (one.public_bytes(Encoding.PEM) for one in data)

    def ask(**more: object) -> object:
        return machine(own, issuing, json.dumps(world.staple(leaf)).encode(), **more)

    with pytest.raises(PermissionError, match=r"require\.policy: production@3, not demo"):
        ask(simulated=True)
    text = text.replace("policy=demo", "policy=production")
    exec(text.replace("datetime.now(UTC)", "NOW"), shown)  # noqa: S102 - likewise
    machine = shown["machine"]
    assert callable(machine)
    with pytest.raises(PermissionError, match="assurance: simulated"):
        ask()
    assert ask(simulated=True).tee == "tdx"  # type: ignore[attr-defined]  # an AttestationInfo
    with node(FakeChain(world)) as one:
        nodes = (f"http://127.0.0.1:{one.url.port}",)
        assert ask(simulated=True, nodes=nodes)
        world.revoke(measurement(leaf))
        with pytest.raises(PermissionError, match=r"staple\.revoked.*registry\.revoked"):
            ask(simulated=True, nodes=nodes)
