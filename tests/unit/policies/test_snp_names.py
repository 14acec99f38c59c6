# SPDX-License-Identifier: Apache-2.0
"""Names out of SEV-SNP claims, and the two closed lists of variables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from policies.errors import NameRefused
from policies.names import VARIABLES, NameKind, Names, check_template, render_names, variables_of
from policies.registers import PCRS, Register
from tests.unit.policies.claims_factory import GOOD
from tests.unit.policies.documents import faults, policy, snp_policy, snp_text, text
from tests.unit.policies.snp_claims import AZURE, GOOD_SNP, REPORT, with_report
from verifiers.evidence import Product, Tee

if TYPE_CHECKING:
    from verifiers.snp.claims import SnpClaims


def names(claims: SnpClaims = GOOD_SNP, **san: list[str]) -> Names:
    return render_names(snp_policy(issue={"san": san}).document, claims)


def test_names_are_made_of_verified_claims() -> None:
    assert names(
        dns=["{policy}-{tee}.{provider}.{product}.example.org"],
        uri=["spiffe://example.org/{host_data_32}/{measurement_16}/{id_key_digest}"],
    ) == Names(
        dns=("web-snp.direct.genoa.example.org",),
        uri=(f"spiffe://example.org/{'b0' * 16}/{'a0' * 8}/{'c0' * 48}",),
    )
    assert names(AZURE, dns=["{provider}.p{pcr4_16}.example.org"]).dns == (
        f"azure.p{'04' * 8}.example.org",
    )


@pytest.mark.parametrize("product", Product)
def test_products_are_lower_case(product: Product) -> None:
    claims = replace(GOOD_SNP, product=product)
    assert names(claims, dns=["{product}.example.org"]).dns == (
        f"{product.value.lower()}.example.org",
    )


def test_every_register_is_a_variable_in_three_lengths() -> None:
    claims = replace(AZURE, report=replace(REPORT, author_key_en=True))
    for one in (one for one in Register if one.is_of(Tee.SNP)):
        full, short, middle = (
            VARIABLES[Tee.SNP][f"{one}{tail}"]("web", claims) for tail in ("", "_16", "_32")
        )
        assert (len(full), short, middle) == (2 * one.length, full[:16], full[:32])
        check_template(NameKind.URI, f"spiffe://example.org/{{{one}}}", "web", Tee.SNP)


def test_there_is_no_variable_for_hardware() -> None:
    claims = replace(AZURE, report=replace(REPORT, author_key_en=True))
    values = {read("web", claims) for read in VARIABLES[Tee.SNP].values()}
    assert REPORT.chip_id.hex() not in values
    assert not any(REPORT.chip_id.hex().startswith(value) for value in values)


def test_the_lists_share_what_is_common_alone() -> None:
    pcrs = {f"{one}{tail}" for one in PCRS for tail in ("", "_16", "_32")}
    both = VARIABLES[Tee.TDX].keys() & VARIABLES[Tee.SNP].keys()
    assert both == {"policy", "tee", "provider"} | pcrs


@pytest.mark.parametrize("variable", ["fmspc", "mr_td", "rtmr0_16", "mr_owner"])
def test_a_variable_of_tdx_is_refused_in_a_policy_about_snp(variable: str) -> None:
    data = snp_text(issue={"san": {"uri": [f"spiffe://example.org/{{{variable}}}"]}})
    assert faults(data) == {
        "issue.san.uri[0]": f"unknown variable {{{variable}}}: snp does not report it"
    }


@pytest.mark.parametrize("variable", ["product", "measurement", "host_data_32"])
def test_a_variable_of_snp_is_refused_in_a_policy_about_tdx(variable: str) -> None:
    data = text(issue={"san": {"uri": [f"spiffe://example.org/{{{variable}}}"]}})
    assert faults(data) == {
        "issue.san.uri[0]": f"unknown variable {{{variable}}}: tdx does not report it"
    }


def test_a_variable_of_neither_is_unknown() -> None:
    with pytest.raises(ValueError, match=r"unknown variable \{chip_id\}$"):
        variables_of("{chip_id}", Tee.SNP)
    with pytest.raises(ValueError, match=r"unknown variable \{product\}$"):
        variables_of("{product:>9}", Tee.SNP)


def test_an_all_zero_host_data_names_nothing() -> None:
    with pytest.raises(NameRefused, match="host_data is all zero or not reported"):
        names(with_report(host_data=bytes(32)), uri=["spiffe://example.org/{host_data}"])


def test_an_author_key_that_is_not_enabled_names_nothing() -> None:
    with pytest.raises(NameRefused, match="author_key_digest is all zero or not reported"):
        names(uri=["spiffe://example.org/{author_key_digest_32}"])


def test_claims_of_the_other_technology_have_no_such_facts() -> None:
    snp = snp_policy(issue={"san": {"dns": ["{product}.example.org"]}})
    with pytest.raises(NameRefused, match="product is not reported"):
        render_names(snp.document, GOOD)
    tdx = policy(issue={"san": {"dns": ["{fmspc}.example.org"]}})
    with pytest.raises(NameRefused, match="fmspc is not reported"):
        render_names(tdx.document, GOOD_SNP)
