# SPDX-License-Identifier: Apache-2.0
"""Changes of one real quote and its collateral that were shown to three verifiers; how ours differs stands beside.

The quote is tdx4-b0c06f-uptodate (version 4). Where Intel's library, dcap-qvl and go-tdx-guest disagreed, ours takes
the strict side, but for bytes that no signature covers and no reader can take for something else (n-s signatures,
CRLF in PEM, zero bytes behind the quote).
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from simulator.pki import malleate
from tests.tdx_lab import Case, Lab, both, edited, expired, flipped, shown
from tests.tdx_vectors import load
from verifiers.errors import Reason
from verifiers.tcb import TcbStatus

if TYPE_CHECKING:
    from collections.abc import Callable

UP_TO_DATE = TcbStatus.UP_TO_DATE
BASELINE = "tdx4-b0c06f-uptodate"
V5 = "tdx5-90c06f-td15-uptodate"
CERTIFICATE = re.compile(b"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)

# Offsets in a quote of version 4.
MR_TD = 184
USER_DATA = 28
SIGNATURE_DATA_LENGTH = 632
SIGNATURE = slice(636, 700)
ATTESTATION_KEY = slice(700, 764)
OUTER_TYPE, OUTER_LENGTH = 764, 766
QE_SIGNATURE = slice(1154, 1218)
INNER_TYPE, INNER_LENGTH, CHAIN = 1252, 1254, 1258


def put(quote: bytes, at: int, value: bytes) -> bytes:
    return quote[:at] + value + quote[at + len(value) :]


def grown(quote: bytes, *lengths: int, by: int) -> bytes:
    """The u32 length fields at these offsets, changed."""
    for at in lengths:
        value = int.from_bytes(quote[at : at + 4], "little") + by
        quote = put(quote, at, value.to_bytes(4, "little"))
    return quote


def chained(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Another PCK chain text, all lengths right."""

    def patch(quote: bytes) -> bytes:
        size = int.from_bytes(quote[INNER_LENGTH:CHAIN], "little")
        text = quote[CHAIN : CHAIN + size]
        new = change(text)
        all_lengths = (SIGNATURE_DATA_LENGTH, OUTER_LENGTH, INNER_LENGTH)
        return grown(quote[:CHAIN] + new, *all_lengths, by=len(new) - size)

    return patch


def certificates(pick: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return chained(lambda text: b"".join(pick(CERTIFICATE.findall(text))))


def resized(quote: bytes, junk: bytes, *lengths: int) -> bytes:
    """Bytes after the last part, counted by these length fields."""
    return grown(trimmed(quote) + junk, *lengths, by=len(junk))


def trimmed(quote: bytes) -> bytes:
    return quote[: SIGNATURE_DATA_LENGTH + 4 + int.from_bytes(quote[632:636], "little")]


def times(text: str, member: str) -> Any:  # noqa: ANN401 - a JSON value
    return json.loads(text)[member]


def quote_case(
    name: str, expect: Reason | TcbStatus, change: Callable[[bytes], bytes], vector: str = BASELINE
) -> Case:
    return Case(0, name, expect, both(shown(vector), lambda lab: lab.patch(change)))


def bundle_case(name: str, expect: Reason | TcbStatus, **edits: Any) -> Case:  # noqa: ANN401 - as Lab.edit
    return Case(0, name, expect, both(shown(BASELINE), edited(**edits)))


def from_vector(name: str, part: str) -> Callable[[str], str]:
    return lambda _: load(name).bundle[part]


def of_baseline(part: str) -> Callable[[str], str]:
    return from_vector(BASELINE, part)


def broken(text: str) -> str:
    return flipped(bytes.fromhex(text), -1).hex()


def at(lab: Lab, part: str, member: str, by: int) -> None:
    """Judge some seconds after a date in TCB info or QE identity."""
    lab.real(BASELINE)
    assert lab.vector is not None
    date = type(lab.at).fromisoformat(times(lab.vector.bundle[part], member))
    lab.at = date + timedelta(seconds=by)


def moved(lab: Lab, **units: float) -> None:
    lab.real(BASELINE)
    lab.later(**units)


def swap(lab: Lab, part: str) -> None:
    """The other CA's chain and list beside a Platform certificate: of a vector under the Processor CA."""
    lab.real(BASELINE)
    assert lab.vector is not None
    lab.edit(
        **{part: lab.vector.bundle[{"pck_crl": "root_ca_crl", "root_ca_crl": "pck_crl"}[part]]}
    )


QUOTES = (
    quote_case("baseline", UP_TO_DATE, bytes),
    quote_case("1 junk byte after the quote", Reason.TRAILING_BYTES, lambda q: q + b"\x7f"),
    quote_case("2 KB junk after the quote", Reason.TRAILING_BYTES, lambda q: q + b"junk" * 512),
    quote_case("quote signature n-s", UP_TO_DATE, lambda q: put(q, 636, malleate(q[SIGNATURE]))),
    quote_case("QE signature n-s", UP_TO_DATE, lambda q: put(q, 1154, malleate(q[QE_SIGNATURE]))),
    quote_case("outer type 5", Reason.UNSUPPORTED_FORMAT, lambda q: put(q, OUTER_TYPE, b"\5")),
    quote_case("outer type 7", Reason.UNSUPPORTED_FORMAT, lambda q: put(q, OUTER_TYPE, b"\7")),
    quote_case("junk after the chain text", Reason.CHAIN, chained(lambda text: text + b"junk!\n")),
    quote_case(
        "junk after the inner data",
        Reason.MALFORMED,
        lambda q: resized(q, b"junk", SIGNATURE_DATA_LENGTH, OUTER_LENGTH),
    ),
    quote_case(
        "junk after the outer data",
        Reason.MALFORMED,
        lambda q: resized(q, b"junk", SIGNATURE_DATA_LENGTH),
    ),
    quote_case("chain without the root", Reason.CHAIN, certificates(lambda c: c[:2])),
    quote_case("chain of the leaf alone", Reason.CHAIN, certificates(lambda c: c[:1])),
    quote_case("chain reversed", Reason.CHAIN, certificates(lambda c: c[::-1])),
    quote_case("chain with the leaf twice", Reason.CHAIN, certificates(lambda c: c[:1] + c)),
    quote_case(
        "chain with 60 intermediates",
        Reason.CHAIN,
        certificates(lambda c: c[:1] + c[1:2] * 60 + c[2:]),
    ),
    quote_case(
        "inner type 4 with a PEM chain",
        Reason.UNSUPPORTED_FORMAT,
        lambda q: put(q, INNER_TYPE, b"\4"),
    ),
    quote_case("chain with CRLF", UP_TO_DATE, chained(lambda text: text.replace(b"\n", b"\r\n"))),
    quote_case("TEE type 0", Reason.UNSUPPORTED_TEE, lambda q: put(q, 4, b"\0")),
    quote_case("version 5", Reason.UNSUPPORTED_FORMAT, lambda q: put(q, 0, b"\5")),
    quote_case("attestation key type 3", Reason.UNSUPPORTED_FORMAT, lambda q: put(q, 2, b"\3")),
    quote_case("one bit of user_data", Reason.SIGNATURE, lambda q: flipped(q, USER_DATA + 17)),
    quote_case("one bit of mr_td", Reason.SIGNATURE, lambda q: flipped(q, MR_TD)),
    quote_case("attestation key zero", Reason.SIGNATURE, lambda q: put(q, 700, bytes(64))),
    quote_case("quote signature zero", Reason.SIGNATURE, lambda q: put(q, 636, bytes(64))),
    quote_case(
        "signature data length +1",
        Reason.MALFORMED,
        lambda q: grown(trimmed(q), SIGNATURE_DATA_LENGTH, by=1),
    ),
    quote_case("truncated by one byte", Reason.MALFORMED, lambda q: trimmed(q)[:-1]),
    quote_case(
        "v5: body size 649", Reason.MALFORMED, lambda q: put(q, 50, (649).to_bytes(4, "little")), V5
    ),
    quote_case("v5: body type 2, same bytes", Reason.MALFORMED, lambda q: put(q, 48, b"\2"), V5),
    quote_case("v5: body type 9", Reason.UNSUPPORTED_FORMAT, lambda q: put(q, 48, b"\x09"), V5),
)

DATES = (
    Case(
        0,
        "1 s before TCB info's issueDate",
        Reason.COLLATERAL_NOT_YET_VALID,
        lambda lab: at(lab, "tcb_info", "issueDate", -1),
    ),
    Case(
        0,
        "at the QE identity's issueDate",
        UP_TO_DATE,
        lambda lab: at(lab, "qe_identity", "issueDate", 0),
    ),
    Case(
        0,
        "1 s before the QE identity's issueDate",
        Reason.COLLATERAL_NOT_YET_VALID,
        lambda lab: at(lab, "qe_identity", "issueDate", -1),
    ),
    Case(
        0, "at TCB info's nextUpdate", UP_TO_DATE, lambda lab: at(lab, "tcb_info", "nextUpdate", 0)
    ),
    Case(
        0,
        "1 s after TCB info's nextUpdate",
        UP_TO_DATE,
        lambda lab: at(lab, "tcb_info", "nextUpdate", 1),
        lambda claims: "tcb_info" in {p.part for p in claims.expired_parts},
    ),
    Case(
        0,
        "a year later",
        UP_TO_DATE,
        lambda lab: moved(lab, days=365),
        expired("tcb_info", "qe_identity", "pck_crl", "root_ca_crl"),
    ),
    Case(
        0,
        "5 years earlier",
        Reason.CERTIFICATE_NOT_YET_VALID,
        lambda lab: moved(lab, days=-5 * 365),
    ),
)

COLLATERAL = (
    bundle_case("empty PCK CRL", Reason.CRL_INVALID, pck_crl=""),
    Case(0, "PCK CRL := root CRL", Reason.CRL_INVALID, lambda lab: swap(lab, "pck_crl")),
    Case(0, "root CRL := PCK CRL", Reason.CRL_INVALID, lambda lab: swap(lab, "root_ca_crl")),
    bundle_case(
        "PCK CRL of the Processor CA",
        Reason.CRL_INVALID,
        pck_crl=from_vector("sgx3-00906ed5-eval17-swhardening", "pck_crl"),
    ),
    bundle_case("PCK CRL signature broken", Reason.CRL_INVALID, pck_crl=broken),
    bundle_case("root CRL signature broken", Reason.CRL_INVALID, root_ca_crl=broken),
    bundle_case("PCK CRL issuer chain empty", Reason.CHAIN, pck_crl_issuer_chain=""),
    bundle_case(
        "TCB info with one space more",
        Reason.COLLATERAL_SIGNATURE,
        tcb_info=lambda text: text.replace(",", ", ", 1),
    ),
    bundle_case(
        "TCB info with sorted keys",
        Reason.COLLATERAL_SIGNATURE,
        tcb_info=lambda text: json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")),
    ),
    bundle_case(
        "TCB info signature := QE identity's",
        Reason.COLLATERAL_SIGNATURE,
        tcb_info_signature=of_baseline("qe_identity_signature"),
    ),
    Case(
        0,
        "TCB info chain := PCK chain",
        Reason.CHAIN,
        both(
            shown(BASELINE),
            lambda lab: lab.edit(
                tcb_info_issuer_chain=lab.vector.quote[CHAIN:].rstrip(b"\0").decode()
                if lab.vector
                else None
            ),
        ),
    ),
    Case(
        0,
        "QE identity of SGX",
        Reason.ENDORSEMENT_MISMATCH,
        both(
            moved,
            edited(
                **{
                    n: from_vector("sgx3-00a067-config-and-swhardening", n)
                    for n in ("qe_identity", "qe_identity_signature")
                }
            ),
        ),
    ),
    Case(
        0,
        "TCB info of another FMSPC",
        Reason.ENDORSEMENT_MISMATCH,
        both(
            shown(BASELINE),
            edited(
                **{
                    n: from_vector("tdx4-00806f-azure-vtpm-septve-off", n)
                    for n in ("tcb_info", "tcb_info_signature")
                }
            ),
        ),
    ),
    bundle_case(
        "TCB info signature n-s",
        UP_TO_DATE,
        tcb_info_signature=lambda text: malleate(bytes.fromhex(text)).hex(),
    ),
)

CASES = (*QUOTES, *DATES, *COLLATERAL)
