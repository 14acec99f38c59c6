# SPDX-License-Identifier: Apache-2.0
"""Templates of keys as options of tpm2_createprimary. That the tool makes the same of them: `test_google`."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.tpm_template import MAX_TEMPLATE, Template
from tests.unit.client.google_keys import ecc_template, rsa_template

X, Y = b"x" * 32, b"y" * 32
RSA_PSS = rsa_template().replace(b"\x00\x10\x00\x14", b"\x00\x10\x00\x16", 1)


def test_sizes_are_those_of_real_ones() -> None:
    assert (len(rsa_template()), len(ecc_template())) == (280, 88)


def test_an_rsa_key() -> None:
    raw = rsa_template(bytes(range(256)))
    found = Template.parse(raw)
    assert (found.raw, found.name_hash, found.attributes) == (raw, "sha256", "0x50072")
    assert found.algorithm == "rsa2048:rsassa-sha256:null"
    assert int.from_bytes(found.unique[:2], "little") == 256
    assert found.unique[2:] == bytes(range(256))
    assert Template.parse(RSA_PSS).algorithm == "rsa2048:rsapss-sha256:null"


def test_an_ecc_key() -> None:
    found = Template.parse(ecc_template(X, Y[:31]))
    assert found.algorithm == "ecc256:ecdsa-sha256:null"
    x, y = found.unique[:130], found.unique[130:]
    assert x == b"\x20\0" + X + bytes(96)
    assert y == b"\x1f\0" + Y[:31]
    assert Template.parse(ecc_template(b"", b"", 4)).algorithm == "ecc384:ecdsa-sha256:null"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        rsa_template()[:-1],
        rsa_template() + b"\0",
        rsa_template(exponent=65537),
        ecc_template()[:-1],
        ecc_template() + b"\0",
        ecc_template()[:40],
        ecc_template(curve=0x0010),
        ecc_template(x=b"x" * 129),
        ecc_template(y=b"y" * 129),
        rsa_template()[:3] + b"\x04" + rsa_template()[4:],  # named by SHA-1
        rsa_template()[:1] + b"\x08" + rsa_template()[2:],  # a keyed hash
        rsa_template()[:8] + b"\x00\x20" + bytes(32) + rsa_template()[10:],  # a policy
        rsa_template()[:11] + b"\x06" + rsa_template()[12:],  # symmetric
        rsa_template()[:13] + b"\x18" + rsa_template()[14:],  # ECDSA of an RSA key
        rsa_template()[:15] + b"\x04" + rsa_template()[16:],  # SHA-1
        ecc_template()[:19] + b"\x20" + ecc_template()[20:],  # a key derivation
    ],
)
def test_what_options_cannot_say(raw: bytes) -> None:
    with pytest.raises(ValueError, match="no template of a signing key"):
        Template.parse(raw)


@given(st.binary(max_size=MAX_TEMPLATE), st.integers(0, 88))
def test_any_bytes(rest: bytes, kept: int) -> None:
    for raw in (rest, rsa_template()[:kept] + rest, ecc_template()[:kept] + rest):
        with contextlib.suppress(ValueError):
            found = Template.parse(raw)
            assert len(found.unique) <= 2 * 130 + len(raw)
            assert found.algorithm.endswith(":null")
