# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA says of its devices, as received."""

from __future__ import annotations

import hashlib

import pytest

from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.endorsements import MAX_ANSWERS, MAX_RIMS, NvidiaEndorsements


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def test_the_digest_names_every_document_in_its_place() -> None:
    assert NvidiaEndorsements((b"a", b"b"), (b"c",)).sha256 == sha256(
        sha256(b"a", b"b"), sha256(b"c")
    )
    different = [
        NvidiaEndorsements(),
        NvidiaEndorsements((b"a", b"b")),
        NvidiaEndorsements((b"b", b"a")),
        NvidiaEndorsements((b"ab",)),
        NvidiaEndorsements((), (b"a", b"b")),
        NvidiaEndorsements((b"a",), (b"b",)),
    ]
    assert len({one.sha256 for one in different}) == len(different)


def test_equal_documents_are_the_same_collateral() -> None:
    assert len({NvidiaEndorsements((b"a",)), NvidiaEndorsements((b"a",))}) == 1


@pytest.mark.parametrize(
    ("rims", "ocsp", "what"),
    [(MAX_RIMS + 1, 0, "manifests"), (0, MAX_ANSWERS + 1, "OCSP answers")],
)
def test_limits(rims: int, ocsp: int, what: str) -> None:
    with pytest.raises(VerificationError, match=what) as caught:
        NvidiaEndorsements((b"",) * rims, (b"",) * ocsp)
    assert caught.value.reason is Reason.TOO_LARGE
    NvidiaEndorsements((b"",) * MAX_RIMS, (b"",) * MAX_ANSWERS)
