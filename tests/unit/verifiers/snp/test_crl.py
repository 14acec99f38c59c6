# SPDX-License-Identifier: Apache-2.0
"""Revocation lists: AMD's real ones are read, and only the ARK's own of version 2 in one exact form are believed."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest

from simulator import amd_certificates, der, pki
from simulator.amd_keys import PSS_SHA384_WITH_TRAILER
from simulator.pki import Extension, pem
from tests.cases.snp import vectors
from tests.snp_lab import SnpLab, hierarchy
from verifiers.anchors import builtin
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Product
from verifiers.snp.crl import ArkCrl, crl_der, verify_crl

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.pki import Crl


def verified(crl: Crl, bench: SnpLab) -> ArkCrl:
    return verify_crl(crl.der, hierarchy(bench.line).ark)


def refusal(call: Callable[[], object]) -> Reason:
    with pytest.raises(VerificationError) as caught:
        call()
    return caught.value.reason


def test_real_lists() -> None:
    milan, genoa = (
        hierarchy.ark
        for product in (Product.MILAN, Product.GENOA)
        if (hierarchy := builtin().amd_hierarchy(product))
    )
    first = verify_crl(vectors.root_file("milan_crl_20220509.der"), milan)
    assert (first.number, first.serials) == (3, frozenset())
    assert first.this_update == datetime(2022, 5, 9, 17, 7, 45, tzinfo=UTC)
    second = verify_crl(vectors.root_file("genoa_crl_20221031.der"), genoa)
    assert (second.number, second.serials) == (2, frozenset({0x020001}))
    assert second.next_update == datetime(2023, 10, 31, 23, 0, tzinfo=UTC)
    assert vectors.load("milan-v2-author-key-crl").crl == vectors.root_file(
        "milan_crl_20220509.der"
    )


def test_a_list() -> None:
    bench = SnpLab.create()
    crl = bench.line.vcek_crl
    crl.revoke(0x020001, 2**90)
    found = verified(crl, bench)
    assert found.serials == {0x020001, 2**90}
    assert found.number == 1
    assert (found.this_update, found.next_update) == (crl.spec.this_update, crl.spec.next_update)
    assert verified(crl, bench) is found


def test_pem() -> None:
    data = SnpLab.create().line.vcek_crl.der
    text = pem(data, label="X509 CRL").encode()
    assert crl_der(text) == crl_der(b"\n" + text) == crl_der(data) == data
    for bad in (text[:60], text.replace(b"M", b"!"), pem(b"\x30\x00", label="X509 CRL").encode()):
        assert refusal(partial(crl_der, bad)) is Reason.CRL_INVALID


OTHER = SnpLab.create().stranger().line("Genoa").ark.key
CHANGES: dict[str, Callable[[Crl], None]] = {
    "version 1": lambda crl: crl.alter(version=1),
    "another issuer": lambda crl: crl.alter(issuer=amd_certificates.name("ARK-Milan")),
    "issuer in another form": lambda crl: crl.alter(issuer=pki.name("ARK-Genoa")),
    "another key": lambda crl: setattr(crl, "signer", OTHER),
    "ECDSA": lambda crl: crl.alter(algorithm=pki.ECDSA_SHA384),
    "ECDSA inside": lambda crl: crl.alter(
        algorithm=pki.ECDSA_SHA384, outer_algorithm=crl.spec.algorithm
    ),
    "not the same outside": lambda crl: crl.alter(outer_algorithm=PSS_SHA384_WITH_TRAILER),
    "no next update": lambda crl: crl.alter(next_update=None),
    "no number": lambda crl: crl.alter(extensions=crl.spec.extensions[:1]),
    "no extensions": lambda crl: crl.alter(extensions=()),
    "negative number": lambda crl: crl.alter(extensions=(pki.crl_number(-1),)),
    "a part of the certificates": lambda crl: crl.alter(
        extensions=(*crl.spec.extensions, Extension("2.5.29.28", b"\x30\x00", critical=True))
    ),
    "a number twice": lambda crl: crl.alter(
        extensions=(*crl.spec.extensions, crl.spec.extensions[-1])
    ),
    "something behind": lambda crl: setattr(crl, "edit", lambda data: data + b"\0"),
    "cut": lambda crl: setattr(crl, "edit", lambda data: data[:-1]),
    "nothing": lambda crl: setattr(crl, "edit", lambda _: b""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_no_list_of_the_root(change: Callable[[Crl], None]) -> None:
    bench = SnpLab.create()
    crl = bench.line.vcek_crl
    verified(crl, bench)
    change(crl)
    assert refusal(lambda: verified(crl, bench)) is Reason.CRL_INVALID


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_a_list_of_fewer_elements(count: int) -> None:
    """Rightly signed, as far as it goes."""
    bench = SnpLab.create()
    crl = bench.line.vcek_crl
    first = (der.integer(1), crl.spec.algorithm, crl.spec.issuer, der.time(crl.spec.this_update))
    tbs = der.sequence(*first[:count])
    data = der.sequence(tbs, crl.spec.algorithm, der.bit_string(crl.signer.sign_der(tbs)))
    assert refusal(lambda: verify_crl(data, hierarchy(bench.line).ark)) is Reason.CRL_INVALID


def test_the_ask_signs_no_lists() -> None:
    bench = SnpLab.create()
    crl = bench.line.vcek_crl
    crl.signer = bench.line.ask.key
    assert refusal(lambda: verified(crl, bench)) is Reason.CRL_INVALID
    crl.alter(issuer=bench.line.ask.spec.subject)
    assert refusal(lambda: verified(crl, bench)) is Reason.CRL_INVALID
