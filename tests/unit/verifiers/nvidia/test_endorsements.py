# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA says of its devices, as received."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.endorsements import (
    MAX_ANSWERS,
    MAX_RIMS,
    MAX_TOKENS,
    NvidiaEndorsements,
    NvidiaSource,
    from_documents,
)
from verifiers.registry import Sources

SOME = st.lists(st.binary(max_size=4), max_size=4).map(tuple)


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def test_the_digest_names_every_document_in_its_place() -> None:
    assert NvidiaEndorsements((b"a", b"b"), (b"c",), (b"d",), b"e").sha256 == sha256(
        sha256(b"a", b"b"), sha256(b"c"), sha256(b"d"), b"e"
    )
    different = [
        NvidiaEndorsements(),
        NvidiaEndorsements((b"a", b"b")),
        NvidiaEndorsements((b"b", b"a")),
        NvidiaEndorsements((b"ab",)),
        NvidiaEndorsements((), (b"a", b"b")),
        NvidiaEndorsements((b"a",), (b"b",)),
        NvidiaEndorsements((), (), (b"a",)),
        NvidiaEndorsements((), (), (), b"a"),
        NvidiaEndorsements((), (), (), b""),
    ]
    assert len({one.sha256 for one in different}) == len(different)


def test_equal_documents_are_the_same_collateral() -> None:
    assert len({NvidiaEndorsements((b"a",)), NvidiaEndorsements((b"a",))}) == 1


@pytest.mark.parametrize(
    ("rims", "ocsp", "nras", "what"),
    [
        (MAX_RIMS + 1, 0, 0, "manifests"),
        (0, MAX_ANSWERS + 1, 0, "OCSP answers"),
        (0, 0, MAX_TOKENS + 1, "answers of NRAS"),
    ],
)
def test_limits(rims: int, ocsp: int, nras: int, what: str) -> None:
    with pytest.raises(VerificationError, match=what) as caught:
        NvidiaEndorsements((b"",) * rims, (b"",) * ocsp, (b"",) * nras)
    assert caught.value.reason is Reason.TOO_LARGE
    NvidiaEndorsements((b"",) * MAX_RIMS, (b"",) * MAX_ANSWERS, (b"",) * MAX_TOKENS)


@given(SOME, SOME, SOME, st.none() | st.binary(max_size=4))
def test_documents_and_back(
    rims: tuple[bytes, ...], ocsp: tuple[bytes, ...], nras: tuple[bytes, ...], jwks: bytes | None
) -> None:
    whole = NvidiaEndorsements(rims, ocsp, nras, jwks)
    documents = whole.documents()
    assert len(documents) == len(rims) + len(ocsp) + len(nras) + (jwks is not None)
    assert from_documents(documents) == whole
    assert from_documents(iter(documents)).sha256 == whole.sha256


def test_the_names_of_documents() -> None:
    whole = NvidiaEndorsements((b"r",), (b"o", b"p"), (b"n",), b"j")
    assert whole.documents() == (
        ("rim", b"r"),
        ("ocsp", b"o"),
        ("ocsp", b"p"),
        ("nras", b"n"),
        ("jwks", b"j"),
    )


@pytest.mark.parametrize(
    "documents", [[("crl", b"")], [("RIM", b"")], [("", b"")], [("jwks", b"a"), ("jwks", b"a")]]
)
def test_documents_that_are_none(documents: list[tuple[str, bytes]]) -> None:
    with pytest.raises(VerificationError) as caught:
        from_documents(documents)
    assert caught.value.reason is Reason.COLLATERAL_MALFORMED


def test_where_nvidia_is_asked() -> None:
    source = Sources().nvidia
    assert source == NvidiaSource()
    assert source.rim_url("X") == "https://rim.attestation.nvidia.com/v1/rim/X"
    assert source.ocsp_url == "https://ocsp.ndis.nvidia.com"
    assert source.nras_url("gpu") == "https://nras.attestation.nvidia.com/v4/attest/gpu"
    assert source.jwks_url == "https://nras.attestation.nvidia.com/.well-known/jwks.json"
    mirror = NvidiaSource("https://a", "https://b/ocsp", "https://c/d")
    assert [mirror.rim_url("X"), mirror.nras_url("switch"), mirror.jwks_url] == [
        "https://a/v1/rim/X",
        "https://c/d/v4/attest/switch",
        "https://c/d/.well-known/jwks.json",
    ]
