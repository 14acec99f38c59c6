# SPDX-License-Identifier: Apache-2.0
"""R-43: the policy language reads no file, opens no connection, runs nothing, and no regular expression backtracks."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import policies
from policies.appraise import appraise
from policies.boot_application_document import ConfidentialSpaceRules, ImaRule
from policies.lint import lint
from policies.loader import load_default, load_policy
from policies.model import Model
from policies.names import render_names
from policies.patterns import matches
from policies.result import Decision
from tests import boot_lab
from tests.unit.policies.boot_facts import logged
from tests.unit.policies.claims_factory import GOOD, NOW
from tests.unit.policies.documents import entry, faults, snp_text, text
from tests.unit.policies.nvidia_claims import GPU, section, together
from tests.unit.policies.snp_claims import GOOD_SNP
from verifiers.evidence import Tee

if TYPE_CHECKING:
    from collections.abc import Iterator

(FOLDER,) = (Path(folder) for folder in policies.__path__)
ALLOWED = {
    "__future__",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "hashlib",
    "itertools",
    "importlib",  # default documents and lists of the package, through importlib.resources
    "json",
    "policies",
    "pydantic",
    "pydantic_core",
    "re2",  # of policies.patterns alone
    "ruamel.yaml",
    "string",
    "typing",
    "verifiers.claims",
    "verifiers.endorsements",
    "verifiers.errors",
    "verifiers.eventlog",  # names in import-linter's contract: the vocabulary, and how registers are extended
    "verifiers.evidence",
    "verifiers.nvidia.claims",
    "verifiers.snp.claims",
    "verifiers.tcb",
    "verifiers.tdx.claims",
    "verifiers.vtpm.claims",
}


def imports(source: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("source", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_imports_pure_things_only(source: Path) -> None:
    strange = {
        name
        for name in imports(source)
        if not any(name == allowed or name.startswith(f"{allowed}.") for allowed in ALLOWED)
    }
    assert strange == set()


def test_only_loaders_read_package_data() -> None:
    assert {path.stem for path in FOLDER.rglob("*.py") if "importlib" in imports(path)} == {
        "loader",
        "versioned",
    }


def test_patterns_are_of_one_engine_which_does_not_backtrack() -> None:
    assert [path.stem for path in FOLDER.rglob("*.py") if "re2" in imports(path)] == ["patterns"]
    words = {"kernel_cmdline": {"patterns": ["^(a+)+$", "(a*)*b", "(a|a)*b"]}}
    loaded = load_policy(text(boot=words)).document.boot
    assert loaded is not None
    assert loaded.kernel_cmdline is not None
    for pattern in loaded.kernel_cmdline.patterns:  # each takes an engine that backtracks for ever
        assert not matches([pattern], "a" * 65_536 + "!")
    for pattern in (r"(a)\1", "(?=a)", "a{1001}"):
        found = faults(text(boot={"kernel_cmdline": {"patterns": [pattern]}}))
        assert found["boot.kernel_cmdline.patterns[0]"].startswith("no RE2 pattern: ")


def test_judging_touches_nothing_outside() -> None:
    """Audit events of the interpreter while a policy is loaded, linted, applied and rendered."""
    events: list[str] = []
    watching = False

    def watch(event: str, _: tuple[object, ...]) -> None:
        if watching:
            events.append(event)

    sys.addaudithook(watch)
    tdx = text(not_after="2027-01-01T00:00:00Z")
    snp = snp_text({"tcb": {"advisories": ["AMD-SB-3027"]}})
    gpus = text(nvidia=section(devices=[GPU.device_serial]))
    machine, log = logged(boot_lab.direct_boot())
    release = entry(rtmr0=machine.td.rtmr0, rtmr1=machine.td.rtmr1, rtmr2=machine.td.rtmr2)
    event = {"id": "x", "register": "rtmr1", "type": "EV_EFI_ACTION", "patterns": ["Exit.*"]}
    logs = text(boot={"events": [event]}, reference_sets={"release": [release]})

    def judge() -> set[Decision]:
        decisions = set()
        for data, claims, devices, boot in (
            (tdx, GOOD, None, None),
            (snp, GOOD_SNP, None, None),
            (gpus, GOOD, together(GPU), None),
            (logs, machine, None, log),
        ):
            loaded = load_policy(data)
            lint(loaded, NOW)
            render_names(loaded.document, claims)
            decisions.add(appraise(claims, loaded, NOW, devices=devices, boot=boot).decision)
        return decisions

    judge()  # what is imported on first use is imported now, and the lists read
    watching = True
    load_default(Tee.TDX)
    opened = [event for event in events if event == "open"]
    events.clear()
    decisions = judge()
    watching = False
    outside = ("open", "socket.", "subprocess.", "os.", "exec", "import", "ctypes.", "urllib.")
    assert [event for event in events if event.startswith(outside)] == []
    assert decisions == {Decision.ACCEPTED}
    assert opened == ["open"]  # the hook does see a file being read


def sections(base: type[Model]) -> Iterator[type[Model]]:
    for one in base.__subclasses__():
        yield one
        yield from sections(one)


def test_no_key_takes_a_pattern_a_path_or_an_address() -> None:
    """Names of all keys of the schema; one that hints at another kind of value must be looked at here."""
    every = {(section, key) for section in sections(Model) for key in section.model_fields}
    looked_at = {
        (ImaRule, "path"),  # a pattern over the path that the kernel measured
        (ConfidentialSpaceRules, "env"),  # patterns over what the launcher measured
        (ConfidentialSpaceRules, "override_env"),
    }
    assert looked_at <= every
    keys = {key for _, key in every - looked_at}
    active = {
        "regex",
        "pattern",
        "glob",
        "path",
        "file",
        "dir",
        "url",
        "host",
        "command",
        "exec",
        "script",
        "include",
        "env",
    }
    assert not {word for key in keys for word in key.split("_")} & active
    assert {"name", "version", "measurements", "until", "lifetime"} <= keys


@pytest.mark.parametrize(
    "value",
    [".*", "^(a+)+$", "/etc/passwd", "file:///x", "${HOME}", "$(id)", "!!python/object:os.system"],
)
def test_what_would_be_active_elsewhere_is_refused_or_text(value: str) -> None:
    values = {"mr_td": value}
    found = faults(text(reference_sets={"release": [{"id": "r1", "values": values}]}))
    assert found == {
        "reference_sets.release[0].values.mr_td[0]": "wants exactly 96 hexadecimal digits in quotes, no 0x, no spaces"
    }
    assert load_policy(text(description=value)).document.description == value
