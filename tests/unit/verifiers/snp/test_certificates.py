# SPDX-License-Identifier: Apache-2.0
"""Certificates that come with a report, in three forms; and those that pose as AMD's authorities."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING

import pytest

from simulator import amd_certificates, snp_report
from simulator.pki import pem
from simulator.snp_report import ARK, ASK, VCEK, VLEK, certificate_table, table_entry
from tests.snp_lab import SnpLab, hierarchy
from verifiers.errors import Reason, VerificationError
from verifiers.snp.certificates import (
    Certificates,
    check_authorities,
    is_table,
    parse_certificates,
)
from verifiers.snp.claims import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

GCE = uuid.UUID("9f4116cd-c503-4f5a-8f6f-fb68882f4ce2")  # means nothing to us
BENCH = SnpLab.create("Milan")
LINE = BENCH.line
VEK, ASK_DER, ASVK_DER, ARK_DER = BENCH.vek.der, LINE.ask.der, LINE.asvk.der, LINE.ark.der
PINNED = hierarchy(LINE)


def vlek() -> bytes:
    return BENCH.machine.vek("vlek").der


def refusal(call: Callable[[], object]) -> Reason:
    with pytest.raises(VerificationError) as caught:
        call()
    return caught.value.reason


def test_a_table() -> None:
    table = BENCH.machine.certificate_table()
    assert is_table(table)
    assert len(table) % 4096 == 0
    assert parse_certificates(table) == Certificates((VEK,), (ASK_DER, ARK_DER))


def test_a_table_with_what_we_do_not_know() -> None:
    items = ((GCE, b"x"), (VLEK, vlek()), (VCEK, VEK), (ARK, ARK_DER))
    found = parse_certificates(certificate_table(items, padding=100))
    assert found == Certificates((vlek(), VEK), (ARK_DER,))
    assert not is_table(certificate_table(items))
    assert found.endorsement(SigningKey.VCEK) == VEK
    assert found.endorsement(SigningKey.VLEK) == vlek()


def test_a_table_of_nothing() -> None:
    assert parse_certificates(bytes(4096)) == Certificates()
    assert Certificates().endorsement(SigningKey.VCEK) is None


def test_a_table_of_pem() -> None:
    """What an operator gave the host stands in the table as it is."""
    items = ((VCEK, pem(VEK).encode()), (ASK, pem(ASK_DER).encode()), (ARK, ARK_DER))
    assert parse_certificates(certificate_table(items)) == Certificates((VEK,), (ASK_DER, ARK_DER))
    two = certificate_table(((VCEK, pem(VEK, VEK).encode()),))
    assert refusal(lambda: parse_certificates(two)) is Reason.CHAIN


@pytest.mark.parametrize("role", [VCEK, VLEK, ASK, ARK])
@pytest.mark.parametrize("size", [8192, 8193, 60_000])
def test_a_certificate_is_small_in_every_form(role: uuid.UUID, size: int) -> None:
    """So that overlapping entries of a table, each as long as it, are refused before anything reads them."""
    large = b"\x30\x82" + (size - 4).to_bytes(2, "big") + bytes(size - 4)
    for data in (
        large,
        pem(large).encode(),
        certificate_table(((role, large),)),
        certificate_table(((role, pem(large).encode()),)),
    ):
        if size > 8192:
            assert refusal(partial(parse_certificates, data)) is Reason.TOO_LARGE
        else:
            found = parse_certificates(data)
            assert found.candidates + found.others == (large,)
    unknown = certificate_table(((GCE, large), (VCEK, VEK)))
    assert parse_certificates(unknown) == Certificates((VEK,), ())


def test_the_place_in_the_table_says_nothing_of_the_kind() -> None:
    """The certificate says what it is; the first is taken where none is right, and is refused later."""
    found = parse_certificates(certificate_table(((VCEK, vlek()), (VLEK, VEK))))
    assert found.endorsement(SigningKey.VCEK) == VEK
    assert found.endorsement(SigningKey.VLEK) == vlek()
    unfit = parse_certificates(certificate_table(((VCEK, b"junk"), (VLEK, vlek()))))
    assert unfit.endorsement(SigningKey.VCEK) == b"junk"


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes(23), id="short"),
        pytest.param(table_entry(VCEK, 24, 10) + bytes(10), id="no end"),
        pytest.param(table_entry(VCEK, 48, 11) + bytes(34), id="longer than the table"),
        pytest.param(table_entry(VCEK, 59, 0) + bytes(34), id="begins behind the table"),
        pytest.param(table_entry(VCEK, 2**32 - 1, 1) + bytes(34), id="far behind"),
        pytest.param(table_entry(VCEK, 48, 2**32 - 1) + bytes(34), id="far longer"),
        pytest.param(table_entry(GCE, 59, 1) + bytes(34), id="unknown one behind the table"),
        pytest.param(table_entry(VCEK, 48, 1) * 17 + bytes(400), id="too many"),
        pytest.param(bytes(16) + b"\x30" + bytes(31), id="an end with an offset"),
        pytest.param(bytes(20) + b"\x08" + bytes(27), id="an end with a length"),
    ],
)
def test_tables_that_do_not_fit(table: bytes) -> None:
    assert refusal(lambda: parse_certificates(table)) is Reason.MALFORMED


def test_the_most_entries() -> None:
    table = certificate_table([(VCEK, VEK)] * 15)
    assert parse_certificates(table) == Certificates((VEK,) * 15)


def test_pem_and_der() -> None:
    text = pem(ARK_DER, VEK, ASK_DER, vlek()).encode()
    assert not is_table(text)
    assert parse_certificates(text) == Certificates((VEK, vlek()), (ARK_DER, ASK_DER))
    assert parse_certificates(b"\n  " + text + b"\n\0") == parse_certificates(text)
    assert parse_certificates(VEK) == Certificates((VEK,))
    assert parse_certificates(ARK_DER) == Certificates((), (ARK_DER,))
    assert parse_certificates(b"\x30junk") == Certificates((), (b"\x30junk",))


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
        b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        pem(VEK).encode() + b"more",
        b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n" + pem(VEK).encode(),
    ],
)
def test_other_pem(text: bytes) -> None:
    assert refusal(lambda: parse_certificates(text)) is Reason.CHAIN


def check(
    *others: bytes, kind: SigningKey = SigningKey.VCEK, revoked: tuple[int, ...] = ()
) -> None:
    check_authorities(others, PINNED, kind, frozenset(revoked))


@pytest.mark.parametrize(
    ("kind", "issuer"), [(SigningKey.VCEK, ASK_DER), (SigningKey.VLEK, ASVK_DER)]
)
def test_the_pinned_authorities(kind: SigningKey, issuer: bytes) -> None:
    for others in ((), (issuer,), (ARK_DER,), (issuer, ARK_DER), (ARK_DER, issuer)):
        check(*others, kind=kind)


def test_another_certificate_of_the_same_name_and_key() -> None:
    line = SnpLab.create("Milan").line
    line.ask.alter(serial=77)
    assert line.ask.der != ASK_DER
    check(line.ask.der, ARK_DER)


STRANGERS = BENCH.stranger().line("Milan")
ROOT_BY_NAME = SnpLab.create("Milan").line.ark
ROOT_BY_NAME.alter(subject=amd_certificates.name("ARK-Other"))
SELF_ISSUED = SnpLab.create("Milan").line.ark
SELF_ISSUED.alter(**dict.fromkeys(("subject", "issuer"), amd_certificates.name("SEV-Milan")))
RENAMED = SnpLab.create("Milan").line.ask
RENAMED.alter(subject=amd_certificates.name("SEV-Siena"))
ANOTHER_LINE = SnpLab.create("Genoa").line


@pytest.mark.parametrize(
    ("others", "kind", "reason"),
    [
        pytest.param((STRANGERS.ark.der,), "vcek", Reason.UNTRUSTED_ROOT, id="another root"),
        pytest.param((ASK_DER, ANOTHER_LINE.ark.der), "vcek", Reason.UNTRUSTED_ROOT, id="line"),
        pytest.param((ROOT_BY_NAME.der,), "vcek", Reason.UNTRUSTED_ROOT, id="a root by its name"),
        pytest.param(
            (SELF_ISSUED.der,), "vcek", Reason.UNTRUSTED_ROOT, id="a root of no such name"
        ),
        pytest.param((ARK_DER, ARK_DER), "vcek", Reason.UNTRUSTED_ROOT, id="the root twice"),
        pytest.param((STRANGERS.ask.der,), "vcek", Reason.CHAIN, id="another ASK"),
        pytest.param((ANOTHER_LINE.ask.der, ARK_DER), "vcek", Reason.CHAIN, id="ASK of a line"),
        pytest.param((RENAMED.der,), "vcek", Reason.CHAIN, id="the ASK's key by another name"),
        pytest.param((ASK_DER, ASK_DER), "vcek", Reason.CHAIN, id="the ASK as its own root"),
        pytest.param((ASVK_DER, ARK_DER), "vcek", Reason.CHAIN, id="ASVK beside a VCEK"),
        pytest.param((ASK_DER, ARK_DER), "vlek", Reason.CHAIN, id="ASK beside a VLEK"),
        pytest.param((b"",), "vcek", Reason.CHAIN, id="nothing"),
        pytest.param((b"\x30\x03\x02\x01\x00",), "vcek", Reason.CHAIN, id="no certificate"),
        pytest.param((LINE.vcek_crl.der,), "vcek", Reason.CHAIN, id="a CRL"),
    ],
)
def test_who_is_no_authority(others: tuple[bytes, ...], kind: str, reason: Reason) -> None:
    assert refusal(lambda: check(*others, kind=SigningKey(kind))) is reason


def test_an_old_ask_that_is_revoked() -> None:
    """Another certificate of the ARK, by its serial number: refused for that, and without a list as a stranger."""
    old = SnpLab.create("Milan").line.ask
    old.alter(serial=99, spki=STRANGERS.ask.key.spki)
    assert refusal(lambda: check(old.der, revoked=(1, 99))) is Reason.CERTIFICATE_REVOKED
    assert refusal(lambda: check(old.der, revoked=(1,))) is Reason.CHAIN
    old.alter(issuer=amd_certificates.name("ARK-Genoa"))
    assert refusal(lambda: check(old.der, revoked=(99,))) is Reason.CHAIN


def test_guids_as_real_hosts_write_them() -> None:
    """In the order of their digits; another order is an entry of no meaning."""
    assert snp_report.VCEK.bytes[:4] == bytes.fromhex("63da758d")
    entry = table_entry(VCEK, 48, len(VEK))
    table = VCEK.bytes_le + entry[16:] + bytes(24) + VEK
    assert parse_certificates(table) == Certificates()


def test_roots_of_the_table_are_no_candidates() -> None:
    found = parse_certificates(certificate_table(((ASK, VEK), (ARK, VEK))))
    assert found == Certificates((), (VEK, VEK))
