# SPDX-License-Identifier: Apache-2.0
"""R-05, at the verifier: whoever writes unsigned collateral changes nothing, though the signed one is remembered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tdx_lab import Lab
from verifiers.errors import VerificationError
from verifiers.tdx.endorsements import PARTS
from verifiers.tdx.quote import parse_quote
from verifiers.tdx.verify import verify

EXHIBIT = Lab.create(b"R-05").exhibit()
QUOTE = parse_quote(EXHIBIT.quote)
WHOLE = EXHIBIT.endorsements
RIGHT = EXHIBIT.verify()


@settings(max_examples=300, deadline=None)
@given(
    part=st.sampled_from(PARTS),
    at=st.integers(0, 1 << 16),
    byte=st.integers(0, 255),
    data=st.data(),
)
def test_one_byte_of_any_part(part: str, at: int, byte: int, data: st.DataObject) -> None:
    """Refused; or it was white space or Base64 that means the same bytes, and then nothing that is claimed differs."""
    text = getattr(WHOLE, part)
    at %= len(text)
    changed = {
        "replaced": text[:at] + bytes([byte]) + text[at + 1 :],
        "inserted": text[:at] + bytes([byte]) + text[at:],
        "removed": text[:at] + text[at + 1 :],
        "cut": text[:at],
    }[data.draw(st.sampled_from(["replaced", "inserted", "removed", "cut"]))]
    endorsements = replace(WHOLE, **{part: changed})
    try:
        claims = verify(QUOTE, endorsements, EXHIBIT.anchors, None, EXHIBIT.at)
    except VerificationError:
        return
    assert part.endswith("issuer_chain") or changed == text
    assert claims.collateral_sha256 == endorsements.sha256
    assert replace(claims, collateral_sha256=RIGHT.collateral_sha256) == RIGHT


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity", "pck_crl", "root_ca_crl"])
def test_every_byte_of_a_signed_part_counts(part: str) -> None:
    text = getattr(WHOLE, part)
    for at in range(0, len(text), 1 if len(text) < 1000 else 41):
        changed = text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]
        with pytest.raises(VerificationError):
            verify(QUOTE, replace(WHOLE, **{part: changed}), EXHIBIT.anchors, None, EXHIBIT.at)
