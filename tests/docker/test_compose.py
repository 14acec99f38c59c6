# SPDX-License-Identifier: Apache-2.0
"""The container files: compose.yaml is what compose understands, and nothing in it is weaker than it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ca.config import Config

DOCKER = Path(__file__).parents[2] / "docker"


@pytest.fixture(name="compose")
def _compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def test_compose_accepts_the_file() -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed: compose.yaml not validated by it")
    done = subprocess.run(  # noqa: S603 - a fixed command
        [program, "-f", str(DOCKER / "compose.yaml"), "config", "-q"],
        env={"POSTGRES_PASSWORD": "x", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_its_variables_are_keys_of_the_configuration(compose: dict[str, Any]) -> None:
    for name in compose["services"]["attestca"]["environment"]:
        section, _, key = name.removeprefix("ATTESTCA_").lower().partition("__")
        field = Config.model_fields[section].annotation
        assert key in getattr(field, "model_fields", {}), name


def test_the_operators_listener_is_not_published(compose: dict[str, Any]) -> None:
    assert compose["services"]["attestca"]["ports"] == ["8443:8443"]
    assert "ports" not in compose["services"]["database"]


def test_no_secret_stands_in_it(compose: dict[str, Any]) -> None:
    environment = str(compose["services"])
    assert "${POSTGRES_PASSWORD" in environment
    assert not re.search(r"PASSWORD: (?!\$)", (DOCKER / "compose.yaml").read_text("utf-8"))


def test_the_image_runs_as_nobody_in_particular_and_holds_the_service_alone() -> None:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    last = text.rpartition("\nFROM ")[2]
    assert "\nUSER attestca\n" in last
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE))
    assert not any("simulator" in item or "tests" in item for item in copied)
    assert "--require-hashes" in text
