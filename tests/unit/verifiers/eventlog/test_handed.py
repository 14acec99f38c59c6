# SPDX-License-Identifier: Apache-2.0
"""Files that a host hands over at launch, and what fields hold of them."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dstack_lab import APP, COMPOSE, identity
from verifiers.eventlog.handed import (
    FileKind,
    HashName,
    compare_document,
    declared_algorithm,
    found_in,
    held_for,
    kind_of,
)
from verifiers.eventlog.launch import Agreement, Form, Held, LaunchField

CONFIG, HOST, PCR8 = LaunchField.MR_CONFIG_ID, LaunchField.HOST_DATA, LaunchField.PCR8
TOML = 'algorithm = "{}"\nversion = "0.1.0"\n\n[data]\n"policy.rego" = "package agent_policy"\n'
DOCUMENT = json.dumps(
    {
        "app_id": APP.hex(),
        "compose_hash": COMPOSE.hex(),
        "instance_id": "44" * 20,
        "key_provider": "kms",
        "key_provider_id": "33" * 32,
        "version": 3,
    },
    separators=(",", ":"),
).encode()
APP_COMPOSE = b'{"manifest_version":2,"name":"web","runner":"docker-compose"}'


def test_init_data_of_the_size_of_the_field() -> None:
    data = TOML.format("sha384").encode()
    assert held_for(CONFIG, data) == hashlib.sha384(data).digest()
    data = TOML.format("sha256").encode()
    digest = hashlib.sha256(data).digest()
    assert held_for(HOST, data) == digest
    assert held_for(PCR8, data) == hashlib.sha256(bytes(32) + digest).digest()


def test_init_data_cut_and_filled() -> None:
    data = TOML.format("sha512").encode()
    digest = hashlib.sha512(data).digest()
    assert held_for(CONFIG, data) == digest[:48]
    assert held_for(HOST, data) == digest[:32]
    assert held_for(PCR8, data) == hashlib.sha256(bytes(32) + digest[:32]).digest()
    data = TOML.format("sha256").encode()
    assert held_for(CONFIG, data) == hashlib.sha256(data).digest() + bytes(16)


def test_another_algorithm_than_they_name() -> None:
    data = TOML.format("sha512").encode()
    assert held_for(CONFIG, data, HashName.SHA384) == hashlib.sha384(data).digest()
    compose = held_for(HOST, APP_COMPOSE, HashName.SHA256)
    assert compose == hashlib.sha256(APP_COMPOSE).digest()


@pytest.mark.parametrize("name", [*HashName, "sha-256", "sha-384", "sha-512"])
def test_names_of_algorithms(name: str) -> None:
    for text in (TOML.format(name), json.dumps({"algorithm": name, "data": {}})):
        assert declared_algorithm(text.encode()) == name.replace("-", "")
        assert kind_of(text.encode()) is FileKind.INIT_DATA


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"package policy",
        b"[]",
        b"{}",
        b"algorithm = 384\n",
        b'algorithm = "md5"\n',
        b'{"algorithm":"md5"}',
        b'{"compose_hash":"00"}',
        b'{"key_provider":"none"}',
        b'{"algorithm":"sha256","algorithm":"sha384"}',
        b"a = " + b"[" * 100_000,
        b"[" * 100_000,
    ],
)
def test_other_files(data: bytes) -> None:
    assert (declared_algorithm(data), kind_of(data)) == (None, FileKind.OTHER)
    assert held_for(CONFIG, data) == hashlib.sha384(data).digest()
    assert held_for(HOST, data) == hashlib.sha256(data).digest()


def test_an_app_compose_of_dstack() -> None:
    assert kind_of(APP_COMPOSE) is FileKind.DSTACK_COMPOSE
    value = held_for(CONFIG, APP_COMPOSE)
    assert value is not None
    held = Held(CONFIG, value)
    assert (held.form, held.compose_hash) == (Form.DSTACK_V1, hashlib.sha256(APP_COMPOSE).digest())
    assert held_for(HOST, APP_COMPOSE) is held_for(PCR8, APP_COMPOSE) is None
    assert found_in(held, APP_COMPOSE) == FileKind.DSTACK_COMPOSE


def test_a_configuration_document_of_dstack() -> None:
    """The label and the zero byte between it and the document are those of the source."""
    assert kind_of(DOCUMENT) is FileKind.DSTACK_DOCUMENT
    digest = hashlib.sha256(b"dstack-mr-config-v3:\0" + DOCUMENT).digest()
    value = held_for(CONFIG, DOCUMENT)
    assert value == b"\3" + digest + bytes(15)
    assert (Held(CONFIG, value).form, held_for(HOST, DOCUMENT)) == (Form.DSTACK_V3, digest)
    assert held_for(PCR8, DOCUMENT) is None
    for field in (CONFIG, HOST):
        shown = held_for(field, DOCUMENT)
        assert shown is not None
        assert found_in(Held(field, shown), DOCUMENT) == FileKind.DSTACK_DOCUMENT
        assert found_in(Held(field, shown), DOCUMENT + b"\n") is None


@pytest.mark.parametrize(
    ("more", "digest"),
    [
        (
            {"key_provider": "kms", "key_provider_id": "33" * 32, "instance_id": "44" * 20},
            "50fc88d0a462b6a0b06ba25859abc02e98c2a8d9bd000b7dc0d8bae65e71ecbb",
        ),
        (
            {"key_provider": "none"},
            "01d4d7e6ca2922bb80683c27fe1f4da318cf14d1c38db97563c2b6209af7dba5",
        ),
        (
            {
                "key_provider": "tpm",
                "key_provider_id": "66" * 16,
                "instance_id": "44" * 20,
                "gpu_policy_hash": "55" * 32,
                "init_script_hashes": ["cc" * 32],
            },
            "633f5444c26877f68c293d90a6feef58064e1e57367ac55c94b255cf3bdf8885",
        ),
    ],
)
def test_documents_as_dstack_hashes_them(more: dict[str, object], digest: str) -> None:
    """Values that dstack itself gave, for documents in its own (canonical) form."""
    members = {"app_id": "11" * 20, "compose_hash": "22" * 32, "version": 3} | more
    document = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    shown = held_for(HOST, document)
    assert shown == bytes.fromhex(digest)
    assert held_for(CONFIG, document) == b"\3" + shown + bytes(15)


@given(st.sampled_from([CONFIG, HOST, PCR8]), st.binary(max_size=200), st.sampled_from(HashName))
def test_what_is_held_is_found(field: LaunchField, data: bytes, algorithm: HashName) -> None:
    value = held_for(field, data, algorithm)
    assert value is not None
    held = Held(field, value)
    assert len(held.value) == field.size
    assert found_in(held, data) == algorithm
    assert found_in(held, data + b"x") is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_file(data: bytes) -> None:
    kind = kind_of(data)
    assert (kind is FileKind.INIT_DATA) is (declared_algorithm(data) is not None)
    value = held_for(CONFIG, data)
    assert value is not None
    assert len(value) == CONFIG.size


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, Agreement.AGREES),
        ({"app_id": APP.hex().upper()}, Agreement.AGREES),
        ({"app_id": None}, Agreement.AGREES),
        ({"app_id": "ee" * 20}, Agreement.CONTRADICTS),
        ({"compose_hash": "ee" * 32}, Agreement.CONTRADICTS),
        ({"compose_hash": 1}, Agreement.CONTRADICTS),
        ({"app_id": None, "compose_hash": None}, Agreement.NOT_COMPARABLE),
    ],
)
def test_a_document_beside_a_log(changed: dict[str, object], expected: Agreement) -> None:
    document = json.dumps(json.loads(DOCUMENT) | changed).encode()
    assert compare_document(document, identity()) is expected


def test_no_document_beside_a_log() -> None:
    assert compare_document(b"text", identity()) is Agreement.NOT_COMPARABLE
    assert compare_document(DOCUMENT, identity(None, None)) is Agreement.NOT_COMPARABLE
