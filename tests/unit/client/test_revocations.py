# SPDX-License-Identifier: Apache-2.0
"""Proofs of the revocation tree as a relying party reads them: by hand, and whatever else somebody may send."""

from __future__ import annotations

import sys
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attestca_client.protocol.revocations import (
    EMPTY_ROOT,
    MAX_PROOF,
    ProofError,
    PrunedTree,
    bits,
    branch_node,
    leaf_node,
    read_proof,
)

# Their first bits are 00, 01, 10.
A, B, C = b"\x00" * 32, b"\x40" * 32, b"\x80" * 32
VALUE = b"v" * 32
EMPTY, LEAF, HIDDEN, BRANCH = (bytes([form]) for form in range(4))


def leaf(handle: bytes, value: bytes = VALUE) -> bytes:
    return LEAF + handle + value


def hidden(digest: bytes) -> bytes:
    return HIDDEN + digest


AB = BRANCH + leaf(A) + leaf(B)
WHOLE = BRANCH + AB + leaf(C)


def test_the_hashes_are_fixed_for_ever() -> None:
    left = sha256(b"\x02" + A + VALUE).digest()
    right = sha256(b"\x02" + C + VALUE).digest()
    assert leaf_node(A, VALUE) == left
    assert branch_node(left, right) == sha256(b"\x03" + left + right).digest()
    assert read_proof(BRANCH + leaf(A) + leaf(C)).root == branch_node(left, right)
    assert (read_proof(leaf(A)).root, read_proof(EMPTY).root) == (left, bytes(32))
    assert bytes(32) == EMPTY_ROOT
    assert bits(B)[:3] == "010"


def test_what_is_shown_and_what_is_not() -> None:
    whole = read_proof(WHOLE)
    assert [whole.value(one) for one in (A, B, C)] == [VALUE] * 3
    assert whole.value(b"\xc0" * 32) is None
    below = branch_node(leaf_node(A, VALUE), leaf_node(B, VALUE))
    cut = read_proof(BRANCH + hidden(below) + leaf(C))
    assert cut.root == whole.root
    assert (cut.value(C), cut.value(b"\xff" * 32)) == (VALUE, None)
    for one in (A, B, b"\x7f" * 32):
        with pytest.raises(ProofError, match="says nothing of"):
            cut.value(one)
    assert read_proof(EMPTY).value(A) is None
    assert read_proof(leaf(A)).value(B) is None, "one that is alone stands for the whole"


BAD = {
    "nothing": b"",
    "another form": b"\x04",
    "behind the end": EMPTY + EMPTY,
    "cut off in a leaf": leaf(A)[:-1],
    "cut off in a hash": hidden(VALUE)[:-1],
    "cut off in a branch": BRANCH + leaf(A),
    "a leaf on the other side": BRANCH + leaf(C) + leaf(A),
    "a leaf too deep": BRANCH + (BRANCH + leaf(A) + leaf(C)) + hidden(VALUE),
    "a branch of nothing": BRANCH + EMPTY + EMPTY,
    "a branch of one": BRANCH + leaf(A) + EMPTY,
    "a branch of one, on the other side": BRANCH + EMPTY + leaf(C),
    "emptiness by its hash": hidden(bytes(32)),
    "deeper than handles are long": BRANCH * 257 + EMPTY * 258,
    "too long": EMPTY + bytes(MAX_PROOF),
}


@pytest.mark.parametrize("proof", BAD)
def test_what_is_no_proof(proof: str) -> None:
    with pytest.raises(ProofError):
        read_proof(BAD[proof])


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_every_byte_counts(at: int, flip: int) -> None:
    """A proof that was tampered with is none, or one of another tree."""
    tampered = bytearray(WHOLE)
    tampered[at] ^= flip
    try:
        found = read_proof(bytes(tampered))
    except ProofError:
        return
    assert found.root != read_proof(WHOLE).root


@given(st.binary(max_size=300) | st.lists(st.sampled_from([EMPTY, BRANCH, AB])).map(b"".join))
@example(BRANCH * 256 + leaf(bytes(32)) + (EMPTY * 256))
def test_no_bytes_crash_it(data: bytes) -> None:
    try:
        found = read_proof(data)
    except ProofError:
        return
    assert len(found.root) == 32


def test_a_caller_that_is_deep_itself() -> None:
    deepest = (BRANCH + hidden(VALUE)) * 256 + leaf(b"\xff" * 32)
    assert read_proof(deepest).value(b"\xff" * 32) == VALUE

    def called(depth: int) -> PrunedTree:
        return called(depth - 1) if depth else read_proof(deepest)

    with pytest.raises(ProofError, match="too deep"):
        called(sys.getrecursionlimit() - 400)
