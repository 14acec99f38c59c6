# SPDX-License-Identifier: Apache-2.0
"""R-01: what is used is what was verified. Claims come from signed bytes alone; a second copy is refused."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from simulator.layouts import offsets
from simulator.pki import pem
from tests.tdx_lab import Lab
from verifiers.endorsements import Response
from verifiers.errors import Reason, VerificationError
from verifiers.tdx.endorsements import PcsSource, gather, parse_bundle
from verifiers.tdx.quote import parse_quote

if TYPE_CHECKING:
    from collections.abc import Callable

EXHIBIT = Lab.create(b"R-01").exhibit()


def _fields_of(exhibit_quote: bytes) -> dict[str, object]:
    """Header and report of a quote as the verifier reads them, by name."""
    quote = parse_quote(exhibit_quote)
    found: dict[str, object] = {}
    for part in (quote.header, quote.td, quote.td15, quote.td15_ex):
        if part is not None:
            found |= {field.name: getattr(part, field.name) for field in fields(part)}
    return found


@pytest.mark.parametrize(("version", "body_type"), [(4, 2), (5, 2), (5, 3), (5, 4)])
def test_every_claim_of_header_and_report_lies_in_the_signed_bytes(
    version: int, body_type: int
) -> None:
    lab = Lab.create(b"R-01")
    lab.quote(version=version, body_type=body_type)
    exhibit = lab.exhibit()
    signed = parse_quote(exhibit.quote).signed
    where = offsets(version, body_type)
    assert len(signed) == max(place.stop for place in where.values())
    for name, value in _fields_of(exhibit.quote).items():
        place = where[name]
        raw = signed[place]
        assert raw == value or int.from_bytes(raw, "little") == value, name
    assert exhibit.verify().td.mr_td == signed[where["mr_td"]]


def _second_leaf(lab: Lab) -> None:
    other = lab.intel.platform()
    lab.chain(lab.platform.pck, other.pck, lab.platform.ca, lab.intel.root)


def _leaf_twice(lab: Lab) -> None:
    lab.chain(lab.platform.pck, lab.platform.pck, lab.platform.ca, lab.intel.root)


def _second_signer(lab: Lab) -> None:
    signer = pem(lab.intel.tcb_signing.der)
    lab.edit(tcb_info_issuer_chain=lambda text: signer + text)


def _second_crl_issuer(lab: Lab) -> None:
    issuer = pem(lab.intel.processor_ca.der)
    lab.edit(pck_crl_issuer_chain=lambda text: text + issuer)


@pytest.mark.parametrize("alter", [_second_leaf, _leaf_twice, _second_signer, _second_crl_issuer])
def test_a_second_certificate_in_a_bag_is_refused(alter: Callable[[Lab], None]) -> None:
    lab = Lab.create(b"R-01")
    alter(lab)
    assert lab.exhibit().outcome() is Reason.CHAIN


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity", "pck_crl", "tcb_info_signature"])
def test_a_second_copy_of_a_part_in_a_bundle_is_refused(part: str) -> None:
    text = json.dumps(EXHIBIT.bundle)
    twice = text[:-1] + f", {json.dumps(part)}: {json.dumps(EXHIBIT.bundle[part])}}}"
    with pytest.raises(VerificationError) as refused:
        parse_bundle(twice.encode())
    assert refused.value.reason is Reason.COLLATERAL_MALFORMED


@pytest.mark.parametrize("member", ["tcbInfo", "signature"])
@pytest.mark.parametrize("first", [True, False])
def test_a_second_copy_in_an_answer_of_the_vendor_is_refused(member: str, *, first: bool) -> None:
    lab = Lab.create(b"R-01")
    text, signature = lab.intel.sign_tcb_info(lab.intel.tcb_info)
    genuine = {"tcbInfo": text, "signature": json.dumps(signature)}
    forged = {"tcbInfo": text.replace("UpToDate", "OutOfDate"), "signature": '"00"'}
    copies = [f'"{name}":{value}' for name, value in genuine.items()]
    copies.insert(0 if first else 2, f'"{member}":{forged[member]}')
    body = ("{" + ",".join(copies) + "}").encode()
    asking = gather(parse_quote(EXHIBIT.quote), PcsSource(), EXHIBIT.anchors)
    wanted = next(asking)
    answers = [Response(200, body, {}) for _ in wanted]
    with pytest.raises(VerificationError) as refused:
        asking.send(tuple(answers))
    assert refused.value.reason is Reason.COLLATERAL_MALFORMED
