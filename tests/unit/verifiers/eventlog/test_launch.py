# SPDX-License-Identifier: Apache-2.0
"""Fields that a host fills in at launch: what they look like, and whether a log's application is theirs."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from tests import eventlog_vectors
from tests.dstack_lab import APP, COMPOSE, identity
from verifiers.eventlog.boot import boot_claims
from verifiers.eventlog.events import Algorithm
from verifiers.eventlog.launch import Agreement, Form, Held, LaunchField, compare
from verifiers.eventlog.replay import replay
from verifiers.tdx.quote import parse_quote

if TYPE_CHECKING:
    from tests.eventlog_vectors import EventLogCase
    from verifiers.eventlog.claims import DstackIdentity

CONFIG = LaunchField.MR_CONFIG_ID
FORMS = {Form.DSTACK_V1: b"\1", Form.DSTACK_V2: b"\2", Form.DSTACK_V3: b"\3"}
PUBLIC_KEY = (  # of a key management service, DER
    "3059301306072a8648ce3d020106082a8648ce3d030107034200048844eb42ccdf8c52fd4f174f362fcb9bbd19c45fd48f1edec2d8f1ca"
    "23536ec1a74021b4cee610c074f8294d431b2b7fee2c39e5333fdaf0a4522d43fb159d9f"
)


def filled(version: bytes, digest: bytes) -> Held:
    return Held(CONFIG, (version + digest).ljust(48, b"\0"))


def test_a_field_of_zeros() -> None:
    for field in LaunchField:
        held = Held(field, bytes(field.size))
        assert (held.form, held.digest, held.compose_hash) == (Form.ZERO, None, None)
        assert held.text.startswith("all zero: ")
        assert field.vendor_name
        assert field.meaning
    assert Held(LaunchField.PCR8, bytes(32)).text == "all zero: nothing was extended into it"
    assert Held(CONFIG, bytes(48)).text == "all zero: the host gave none"


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_dstack(form: Form) -> None:
    held = filled(FORMS[form], COMPOSE)
    assert (held.form, held.digest) == (form, COMPOSE)
    assert held.compose_hash == (COMPOSE if form is Form.DSTACK_V1 else None)
    assert COMPOSE.hex() in held.text
    for field in (LaunchField.MR_OWNER, LaunchField.MR_OWNER_CONFIG):
        assert Held(field, held.value).form is Form.OPAQUE


def test_what_only_looks_like_dstack() -> None:
    good = filled(b"\1", COMPOSE).value
    for value in (good[:-1] + b"\1", b"\4" + good[1:], b"\1" + bytes(47), b"\0" + good[1:]):
        held = Held(CONFIG, value)
        assert (held.form, held.digest) == (Form.OPAQUE, None)
        assert held.text == "not zero, in no form that says what it is"
    assert Held(LaunchField.HOST_DATA, good[:32]).form is Form.OPAQUE


@given(st.sampled_from(list(LaunchField)), st.data())
def test_any_bytes_have_one_form(field: LaunchField, data: st.DataObject) -> None:
    held = Held(field, data.draw(st.binary(min_size=field.size, max_size=field.size)))
    assert (held.form is Form.ZERO) is (not any(held.value))
    if held.digest is not None:
        assert (FORMS[held.form] + held.digest).ljust(48, b"\0") == held.value
        assert field is CONFIG
    assert held.text.isprintable()


def test_version_1_beside_a_log() -> None:
    held = filled(b"\1", COMPOSE)
    assert compare(held, identity()) is Agreement.AGREES
    assert compare(held, identity(b"e" * 32)) is Agreement.CONTRADICTS
    assert compare(held, identity(None)) is Agreement.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("name", "kind"),
    [("none", 0), ("local-sgx", 1), ("kms", 2), ("tpm", 3), ("amd-snp-derived", 4)],
)
def test_version_2_beside_a_log(name: str, kind: int) -> None:
    stated = json.dumps({"name": name, "id": "ab12"}).encode()
    held = filled(b"\2", keccak(COMPOSE + APP + bytes([kind]) + b"\xab\x12"))
    assert compare(held, identity(provider=stated)) is Agreement.AGREES
    for other in (identity(b"e" * 32, provider=stated), identity(app=b"e" * 20, provider=stated)):
        assert compare(held, other) is Agreement.CONTRADICTS
    another = json.dumps({"name": name, "id": "ab13"}).encode()
    assert compare(held, identity(provider=another)) is Agreement.CONTRADICTS


@pytest.mark.parametrize(
    ("compose", "app", "stated", "digest"),
    [
        (
            bytes(range(32)),
            bytes(range(20)),
            {"name": "kms", "id": "aabbccdd"},
            "e472ed80a08042f044ba63b53b798e98e3ea5219cd078007b1ac8b3dfc762b94",
        ),
        (
            bytes(range(32)),
            bytes(range(20)),
            {"name": "none", "id": ""},
            "b21a3a65891c2c3955d82000b30fab13f4adc1a12dc4a84793ea322b71f1882a",
        ),
        (
            bytes.fromhex("4f475ed201ac079f2e4760fb7554763edcc97c48132d554666a2ec3fd2c9e099"),
            bytes.fromhex("8d8f406cf93e1cf54207fbf99c9bc437dd4d6aef"),
            {"name": "kms", "id": PUBLIC_KEY},
            "dd0db3893b8c47b5e4098d7630d22959a1423af536890d10aaf3f0a7b169921b",
        ),
    ],
)
def test_version_2_as_others_compute_it(
    compose: bytes, app: bytes, stated: dict[str, str], digest: str
) -> None:
    """Values that the SDKs of dstack's users agree on."""
    held = filled(b"\2", bytes.fromhex(digest))
    found = identity(compose, app, json.dumps(stated).encode())
    assert compare(held, found) is Agreement.AGREES


@pytest.mark.parametrize(
    "provider",
    [
        None,
        b"kms",
        b'["kms"]',
        b'{"name":"kms"}',
        b'{"id":"ab"}',
        b'{"name":"other","id":"ab"}',
        b'{"name":"kms","id":"xy"}',
        b'{"name":"kms","name":"tpm","id":"ab"}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_version_2_without_a_provider(provider: bytes | None) -> None:
    held = filled(b"\2", COMPOSE)
    assert compare(held, identity(provider=provider)) is Agreement.NOT_COMPARABLE


def test_what_a_log_cannot_be_compared_with() -> None:
    for held in (filled(b"\3", COMPOSE), Held(CONFIG, bytes(48)), Held(CONFIG, b"x" * 48)):
        assert compare(held, identity()) is Agreement.NOT_COMPARABLE
    held = filled(b"\2", COMPOSE)
    assert compare(held, identity(None)) is Agreement.NOT_COMPARABLE
    assert compare(held, identity(app=None)) is Agreement.NOT_COMPARABLE


def real(case: EventLogCase) -> tuple[Held, DstackIdentity]:
    assert case.quote is not None
    replayed = replay(case.logs, case.registers, Algorithm.SHA384)
    claims = boot_claims(case.logs, replayed)
    assert claims.dstack is not None
    return Held(CONFIG, parse_quote(case.quote).td.mr_config_id), claims.dstack


@pytest.mark.parametrize("name", ["dstack-lite-stripped-log", "dstack-scale-attestation"])
def test_real_quotes_and_their_logs(name: str) -> None:
    held, found = real(eventlog_vectors.load(name))
    assert found.compose_hash is not None
    assert held.compose_hash == found.compose_hash.value
    assert compare(held, found) is Agreement.AGREES
    other, _ = real(eventlog_vectors.load("dstack-gpu-h100-quote-report"))
    assert other.form is Form.ZERO


def test_a_real_quote_and_the_log_of_another_machine() -> None:
    held, _ = real(eventlog_vectors.load("dstack-lite-stripped-log"))
    _, found = real(eventlog_vectors.load("dstack-scale-attestation"))
    assert compare(held, found) is Agreement.CONTRADICTS


@pytest.mark.parametrize("name", ["dstack-lite-stripped-log", "dstack-scale-attestation"])
def test_version_2_of_a_real_application(name: str) -> None:
    """No public quote has version 2; this is what the host would have put there for a real one."""
    _, found = real(eventlog_vectors.load(name))
    assert found.compose_hash is not None
    assert found.app_id is not None
    assert found.key_provider is not None
    key = bytes.fromhex(json.loads(found.key_provider.value)["id"])
    digest = keccak(found.compose_hash.value + found.app_id.value + b"\2" + key)
    assert compare(filled(b"\2", digest), found) is Agreement.AGREES
    assert compare(filled(b"\2", sha256(digest).digest()), found) is Agreement.CONTRADICTS
