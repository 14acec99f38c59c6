# SPDX-License-Identifier: Apache-2.0
"""Fields that a host fills in at launch, and what they are compared with."""

from __future__ import annotations

import hashlib

import pytest

from tests import boot_lab as lab
from tests import eventlog_vectors
from verifiers.eventlog.events import Algorithm
from verifiers.eventlog.launch import (
    LaunchField,
    dstack_compose_hash,
    init_data_digest,
    init_data_pcr8,
    load_options_digest,
)
from verifiers.tdx.quote import parse_quote

INIT_DATA = b'algorithm = "sha384"\n'


def test_init_data_fill_the_whole_field() -> None:
    for field in LaunchField:
        assert len(init_data_digest(field, INIT_DATA)) == field.size
    assert (
        init_data_digest(LaunchField.MR_CONFIG_ID, INIT_DATA) == hashlib.sha384(INIT_DATA).digest()
    )
    assert init_data_digest(LaunchField.HOST_DATA, INIT_DATA) == hashlib.sha256(INIT_DATA).digest()


def test_init_data_on_azure() -> None:
    hashed = hashlib.sha256(INIT_DATA).digest()
    assert init_data_pcr8(INIT_DATA) == hashlib.sha256(bytes(32) + hashed).digest()


def test_compose_hash_in_mrconfigid() -> None:
    good = b"\1" + b"c" * 32 + bytes(15)
    assert dstack_compose_hash(good) == b"c" * 32
    for odd in (bytes(48), good[:-1], good + b"\0", b"\2" + good[1:], good[:-1] + b"\1", b""):
        assert dstack_compose_hash(odd) is None


@pytest.mark.parametrize("name", ["dstack-lite-stripped-log", "dstack-scale-attestation"])
def test_compose_hash_of_real_quotes(name: str) -> None:
    case = eventlog_vectors.load(name)
    assert case.quote is not None
    events = {one["name"]: one["payload"] for one in case.expected["runtime_events"]}
    found = dstack_compose_hash(parse_quote(case.quote).td.mr_config_id)
    assert found is not None
    assert found.hex() == events["compose-hash"]


def test_load_options_digest() -> None:
    text = "console=hvc0 ü"
    expected = (text + "\0").encode("utf-16-le")
    assert load_options_digest(text) == hashlib.sha384(expected).digest()
    assert load_options_digest(text, Algorithm.SHA256) == hashlib.sha256(expected).digest()
    assert load_options_digest("console=hvc0") == lab.options("console=hvc0").digest
    with pytest.raises(ValueError, match="surrogate"):
        load_options_digest("\ud800")
