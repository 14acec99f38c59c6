# SPDX-License-Identifier: Apache-2.0
"""contracts/README.md lists every call and every signed message, as they are in the artefact and the sources."""

from __future__ import annotations

import json
import re
from typing import Any

from simulator.node import CONTRACTS
from tests.docs.documents import section

DOCUMENT = CONTRACTS / "README.md"
ARTEFACT = json.loads((CONTRACTS / "artifact" / "AttestationRegistry.json").read_text())
CALL = re.compile(r"^ {4}(\w+)\(([^)]*)\)(?: -> ([^ ].*?))?(?: {2,}.*)?$", re.MULTILINE)


def short(output: dict[str, Any]) -> str:
    kind = str(output["internalType"]).removeprefix("struct IAttestationRegistry.")
    return f"{kind} {output['name']}".strip()


def shown(parameters: list[dict[str, Any]]) -> str:
    return ", ".join(
        short(one).replace("head_", "head").replace("caps_", "caps") for one in parameters
    )


def results(outputs: list[dict[str, Any]]) -> str:
    if len(outputs) == 1:
        return short({**outputs[0], "name": ""})
    return f"({shown(outputs)})".replace("revoked)", "revokedAt)").replace("revoked,", "revokedAt,")


def test_every_call_is_listed() -> None:
    functions = [one for one in ARTEFACT["abi"] if one["type"] == "function"]
    real = {
        (one["name"], shown(one["inputs"]), results(one["outputs"]) if one["outputs"] else "")
        for one in functions
    }
    listed = {tuple(match) for match in CALL.findall(section(DOCUMENT, "## Calls"))}
    assert listed == real
    assert len(functions) == len(real)


def test_every_message_is_listed() -> None:
    text = section(DOCUMENT, "## Signed messages")
    listed = {
        re.sub(r" {2,}.*", "", line.strip())
        for line in re.findall(r"^ {4}\S.*$", text, re.MULTILINE)
    }
    source = (CONTRACTS / "src" / "AttestationRegistry.sol").read_text()
    types = set(re.findall(r'"([A-Z]\w*\([^")]*\))"', source))
    domain = next(one for one in types if one.startswith("EIP712Domain"))
    assert listed == types - {domain}
    assert f"`{domain}`" in text.replace("\n", " ")
