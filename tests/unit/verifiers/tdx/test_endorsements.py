# SPDX-License-Identifier: Apache-2.0
"""Bundles, and what `gather` asks for and makes of the answers. The generator is driven by hand; one test uses HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote as url_encoded

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.intel import FakeIntel
from simulator.pcs import running
from simulator.pki import pem
from tests import tdx_vectors
from tests.tdx_lab import NOW, Lab, anchors
from verifiers.endorsements import Fetch, Response, digest
from verifiers.errors import Reason, VerificationError
from verifiers.tcb import TcbStatus
from verifiers.tdx.endorsements import (
    INTEL_PCS,
    INTEL_ROOT_CRL,
    PARTS,
    PcsSource,
    TdxEndorsements,
    gather,
    parse_bundle,
)
from verifiers.tdx.quote import parse_quote
from verifiers.tdx.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.endorsements import Gather

TCB = "https://api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=b0c06f000000"
IDENTITY = "https://api.trustedservices.intel.com/tdx/certification/v4/qe/identity"
PCK_CRL = (
    "https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=platform&encoding=der"
)


def refusal(call: Callable[[], object]) -> Reason:
    with pytest.raises(VerificationError) as caught:
        call()
    return caught.value.reason


# bundles


def test_a_bundle_and_back() -> None:
    bundle = Lab.create().exhibit().bundle
    endorsements = parse_bundle(json.dumps(bundle).encode())
    assert endorsements.missing == ()
    assert endorsements.to_bundle() == bundle
    assert endorsements.parts == tuple(getattr(endorsements, name) for name in PARTS)
    assert endorsements.tcb_info == bundle["tcb_info"].encode()
    assert endorsements.pck_crl == bytes.fromhex(bundle["pck_crl"])


@pytest.mark.parametrize("name", tdx_vectors.names())
def test_real_bundles_and_back(name: str) -> None:
    bundle = tdx_vectors.load(name).bundle
    assert parse_bundle(json.dumps(bundle).encode()).to_bundle() == bundle


def test_an_incomplete_bundle_and_back() -> None:
    endorsements = TdxEndorsements(tcb_info=b"{}")
    assert endorsements.to_bundle() == {"tcb_info": "{}"}
    assert set(endorsements.missing) == set(PARTS) - {"tcb_info"}


def test_a_chain_beside_the_collateral_is_left_aside() -> None:
    bundle = Lab.create().exhibit().bundle
    text = json.dumps(bundle | {"pck_certificate_chain": "anything"}).encode()
    assert parse_bundle(text).to_bundle() == bundle


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b'{"tcb_info": 5}',
        b'{"tcb_info": ["x"]}',
        b'{"tcb_info": "\\ud800"}',
        b'{"pck_crl": "abc"}',
        b'{"root_ca_crl": "xy"}',
        b'{"tcb_info_signature": "0x00"}',
        b'{"unknown": "x"}',
        b'{"TCB_INFO": "x"}',
        b'{"tcb_info": "a", "tcb_info": "b"}',
        b'{"tcb_info": "\xff"}',
    ],
    ids=repr,
)
def test_no_bundle(text: bytes) -> None:
    assert refusal(lambda: parse_bundle(text)) is Reason.COLLATERAL_MALFORMED


@given(st.lists(st.none() | st.binary(max_size=3), min_size=9, max_size=9), st.integers(0, 8))
def test_the_digest_names_every_part(parts: list[bytes | None], at: int) -> None:
    name = digest(tuple(parts))
    assert len(name) == 32
    changed = list(parts)
    changed[at] = b"x" if parts[at] is None else None
    assert digest(tuple(changed)) != name


def test_the_digest_keeps_parts_apart() -> None:
    assert digest((b"ab", b"c")) != digest((b"a", b"bc"))
    endorsements = Lab.create().exhibit().endorsements
    assert endorsements.sha256 == digest(endorsements.parts)
    assert replace(endorsements, tcb_info=None).sha256 != endorsements.sha256


def test_the_digest_is_the_same_for_ever() -> None:
    """Records name collateral by it: computed here by hand."""
    parts = (b"a", None, b"")
    joined = sha256(b"a").digest() + bytes(32) + sha256(b"").digest()
    assert digest(parts) == sha256(joined).digest()


# what is asked


def asked(lab: Lab, source: PcsSource | None = None) -> tuple[Fetch, ...]:
    return next(asking(lab, source))


def asking(lab: Lab, source: PcsSource | None = None) -> Gather[TdxEndorsements]:
    exhibit = lab.exhibit()
    return gather(parse_quote(exhibit.quote), source or PcsSource(), exhibit.anchors)


def test_intels_addresses() -> None:
    assert asked(Lab.create()) == (
        Fetch("tcb_info", TCB, "tcb-info-issuer-chain"),
        Fetch("qe_identity", IDENTITY, "sgx-enclave-identity-issuer-chain"),
        Fetch("pck_crl", PCK_CRL, "sgx-pck-crl-issuer-chain"),
        Fetch("root_ca_crl", "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"),
    )


def test_early() -> None:
    urls = [fetch.url for fetch in asked(Lab.create(), PcsSource(update="early"))]
    assert urls == [TCB + "&update=early", IDENTITY + "?update=early", PCK_CRL, INTEL_ROOT_CRL]


@pytest.mark.parametrize("base", ["https://pccs.example:8081", "https://pccs.example:8081/"])
def test_a_pccs(base: str) -> None:
    urls = [fetch.url for fetch in asked(Lab.create(), PcsSource.pccs(base))]
    ours = "https://pccs.example:8081"
    assert PcsSource.pccs(base).update == "standard"
    expected = [url.replace(INTEL_PCS, ours) for url in (TCB, IDENTITY, PCK_CRL)]
    assert urls == [*expected, ours + "/sgx/certification/v4/rootcacrl"]
    early = [fetch.url for fetch in asked(Lab.create(), PcsSource.pccs(base, "early"))]
    assert early[:2] == [expected[0] + "&update=early", expected[1] + "?update=early"]


def test_the_processor_ca() -> None:
    urls = [fetch.url for fetch in asked(Lab.create(ca="processor"))]
    assert urls[2] == PCK_CRL.replace("platform", "processor")


def test_the_fmspc_is_lower_case_hex() -> None:
    lab = Lab.create()
    lab.sgx(fmspc=bytes.fromhex("ABCDEF012345"))
    exhibit = lab.platform.quote()
    fetches = next(gather(parse_quote(exhibit), PcsSource(), anchors(lab.intel.root_der)))
    assert fetches[0].url.endswith("fmspc=abcdef012345")


def test_a_stranger_causes_no_request() -> None:
    stranger = FakeIntel.create(NOW, seed=b"stranger").platform().quote()
    mine = Lab.create().exhibit().anchors
    wanted = gather(parse_quote(stranger), PcsSource(), mine)
    assert refusal(lambda: next(wanted)) is Reason.UNTRUSTED_ROOT


# what is made of the answers


def answers(lab: Lab) -> dict[str, Response]:
    """What Intel answers, by part."""
    bundle = lab.exhibit().bundle
    statement = '{{"{}":{},"signature":"{}"}}'.format
    chains = {
        part: url_encoded(bundle[f"{part}_issuer_chain"], safe="")
        for part in ("tcb_info", "qe_identity", "pck_crl")
    }
    info = statement("tcbInfo", bundle["tcb_info"], bundle["tcb_info_signature"])
    identity = statement("enclaveIdentity", bundle["qe_identity"], bundle["qe_identity_signature"])
    return {
        "tcb_info": Response(200, info.encode(), {"tcb-info-issuer-chain": chains["tcb_info"]}),
        "qe_identity": Response(
            200, identity.encode(), {"sgx-enclave-identity-issuer-chain": chains["qe_identity"]}
        ),
        "pck_crl": Response(
            200, bytes.fromhex(bundle["pck_crl"]), {"sgx-pck-crl-issuer-chain": chains["pck_crl"]}
        ),
        "root_ca_crl": Response(200, bytes.fromhex(bundle["root_ca_crl"]), {}),
    }


def made(lab: Lab, given: dict[str, Response]) -> TdxEndorsements:
    wanted = asking(lab)
    fetches = next(wanted)
    with pytest.raises(StopIteration) as stop:
        wanted.send(tuple(given[fetch.part] for fetch in fetches))
    endorsements: TdxEndorsements = stop.value.value
    return endorsements


def refused(given: dict[str, Response]) -> Reason:
    return refusal(lambda: made(Lab.create(), given))


def changed(part: str, **changes: object) -> dict[str, Response]:
    given = answers(Lab.create())
    return given | {part: replace(given[part], **changes)}  # type: ignore[arg-type] # fields of it


def test_intels_answers() -> None:
    lab = Lab.create()
    assert made(lab, answers(lab)) == lab.exhibit().endorsements


def test_the_signed_text_is_kept_byte_for_byte() -> None:
    lab = Lab.create()
    given = answers(lab)
    body = given["tcb_info"].body
    spaced = body.replace(b'{"tcbInfo":', b'\n{ "tcbInfo" :\t').replace(
        b',"signature"', b' , "signature"'
    )
    reordered = (
        b'{"signature":'
        + body[body.rindex(b":") + 1 : -1]
        + b","
        + body[1 : body.rindex(b',"sig')]
        + b"}"
    )
    for form in (spaced, reordered):
        given["tcb_info"] = replace(given["tcb_info"], body=form)
        assert made(lab, given) == lab.exhibit().endorsements


def test_header_of_an_older_pccs() -> None:
    lab = Lab.create()
    given = answers(lab)
    header = {"sgx-tcb-info-issuer-chain": given["tcb_info"].headers["tcb-info-issuer-chain"]}
    given["tcb_info"] = replace(given["tcb_info"], headers=header)
    assert made(lab, given) == lab.exhibit().endorsements


def test_lists_as_hexadecimal() -> None:
    lab = Lab.create()
    given = answers(lab)
    for part in ("root_ca_crl", "pck_crl"):
        given[part] = replace(given[part], body=given[part].body.hex().upper().encode() + b"\n")
    assert made(lab, given) == lab.exhibit().endorsements


@pytest.mark.parametrize("status", [404, 410])
def test_intel_does_not_know_the_platform(status: int) -> None:
    assert refused(changed("tcb_info", status=status)) is Reason.PLATFORM_UNKNOWN


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("part", ["qe_identity", "pck_crl", "root_ca_crl"])
def test_another_part_is_not_there(part: str, status: int) -> None:
    assert refused(changed(part, status=status)) is Reason.INCOMPLETE


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity", "pck_crl"])
def test_no_issuer_chain(part: str) -> None:
    """Found out by `verify`, which names it."""
    lab = Lab.create()
    endorsements = made(lab, changed(part, headers={}))
    assert endorsements.missing == (f"{part}_issuer_chain",)
    exhibit = lab.exhibit()
    verdict = refusal(
        lambda: verify(parse_quote(exhibit.quote), endorsements, exhibit.anchors, None, NOW)
    )
    assert verdict is Reason.INCOMPLETE


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity", "pck_crl"])
@pytest.mark.parametrize("value", ["%ff", "\udcff", "ü", "%C3%BC"], ids=ascii)
def test_an_issuer_chain_that_is_no_text(part: str, value: str) -> None:
    name = next(iter(answers(Lab.create())[part].headers))
    assert refused(changed(part, headers={name: value})) is Reason.COLLATERAL_MALFORMED


STATEMENTS = [
    b"",
    b"[]",
    b"{}",
    b"null",
    b'{"signature":"00"}',
    b'{"tcbInfo":{},"enclaveIdentity":{}}',
    b'{"tcbInfo":{},"enclaveIdentity":{},"signature":5}',
    b'{"tcbInfo":{},"enclaveIdentity":{},"signature":1234}',
    b'{"tcbInfo":{},"enclaveIdentity":{},"signature":"zz"}',
    b'{"tcbInfo":{},"enclaveIdentity":{},"signature":["00"]}',
    b'{"tcbInfo":{},"tcbInfo":{},"enclaveIdentity":{},"enclaveIdentity":{},"signature":"00"}',
    b'{"tcbInfo":{"a":1,"a":2},"enclaveIdentity":{"a":1,"a":2},"signature":"00"}',
    b'{"tcbInfo":{},"enclaveIdentity":{},"signature":"00"} trailing',
    b"\xff",
    b'{"tcbInfo":' * 50_000,
]


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity"])
@pytest.mark.parametrize("body", STATEMENTS, ids=lambda body: repr(body[:60]))
def test_malformed_statements(part: str, body: bytes) -> None:
    assert refused(changed(part, body=body)) is Reason.COLLATERAL_MALFORMED


@pytest.mark.parametrize("part", ["pck_crl", "root_ca_crl"])
@pytest.mark.parametrize("body", [b"xyz", b"-----BEGIN X509 CRL-----", b"\xff", b"abc", b"0x3081"])
def test_malformed_lists(part: str, body: bytes) -> None:
    assert refused(changed(part, body=body)) is Reason.COLLATERAL_MALFORMED


def test_a_wrong_chain_is_verifys_affair() -> None:
    lab = Lab.create()
    header = {"tcb-info-issuer-chain": url_encoded(pem(lab.platform.ca.der, lab.intel.root_der))}
    endorsements = made(lab, changed("tcb_info", headers=header))
    exhibit = lab.exhibit()
    verdict = refusal(
        lambda: verify(parse_quote(exhibit.quote), endorsements, exhibit.anchors, None, NOW)
    )
    assert verdict is Reason.CHAIN


@pytest.mark.parametrize("kind", ["pcs", "pccs", "early"])
async def test_over_http(kind: str) -> None:
    """Against the fake service, by a client that knows nothing of Intel."""
    lab = Lab.create()
    lab.intel.start_early()
    async with running(lab.intel) as pcs, aiohttp.ClientSession() as session:
        source = {
            "pcs": PcsSource(pcs.base_url, pcs.root_crl_url),
            "pccs": PcsSource.pccs(pcs.base_url + "/"),
            "early": PcsSource(pcs.base_url, pcs.root_crl_url, "early"),
        }[kind]
        wanted = asking(lab, source)
        responses = []
        for fetch in next(wanted):
            async with session.get(fetch.url) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                responses.append(Response(answer.status, await answer.read(), headers))
    with pytest.raises(StopIteration) as stop:
        wanted.send(tuple(responses))
    exhibit = lab.exhibit()
    claims = verify(parse_quote(exhibit.quote), stop.value.value, exhibit.anchors, None, NOW)
    assert claims.tcb.status is TcbStatus.UP_TO_DATE
    assert claims.tcb.evaluation_data_number == (21 if kind == "early" else 20)


def test_a_statement_is_known_by_its_form() -> None:
    """So that a page for people takes the place of none that is kept."""
    for fetch in asked(Lab.create())[:2]:
        assert fetch.is_answer is not None
        assert fetch.is_answer(b'{"tcbInfo": {}, "signature": ""}')
        assert not fetch.is_answer(b"<html>")
