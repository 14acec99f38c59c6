# SPDX-License-Identifier: Apache-2.0
"""Names out of templates: closed variables, exact forms, nothing an attester can widen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.errors import NameRefused
from policies.names import (
    INSTANCE_VARIABLES,
    VARIABLES,
    NameKind,
    Names,
    check_name,
    check_template,
    render_names,
    variables_of,
)
from policies.registers import Register
from tests.unit.policies.claims_factory import GOOD, TD, register, with_service_td, with_td
from tests.unit.policies.documents import policy
from tests.unit.policies.snp_claims import TPM
from verifiers.evidence import Tee


def names(**san: list[str]) -> Names:
    return render_names(policy(issue={"san": san}).document, GOOD)


def test_names_are_made_of_verified_claims() -> None:
    assert names(
        dns=["{policy}-{tee}.{provider}.example.org", "f{fmspc}.{mr_td_32}.example.org"],
        uri=["spiffe://example.org/{mr_config_id}/{rtmr2_16}"],
    ) == Names(
        dns=("web-tdx.direct.example.org", f"fb0c06f000000.{'b0' * 16}.example.org"),
        uri=(f"spiffe://example.org/{'c1' * 48}/{'d2' * 8}",),
    )


def test_every_register_is_a_variable_in_three_lengths() -> None:
    bound = replace(with_service_td(register(0xEE)), tpm=TPM)
    for one in (one for one in Register if one.is_of(Tee.TDX)):
        full, short, middle = (
            VARIABLES[Tee.TDX][f"{one}{tail}"]("web", bound) for tail in ("", "_16", "_32")
        )
        assert (len(full), short, middle) == (2 * one.length, full[:16], full[:32])


def test_there_is_no_variable_for_hardware() -> None:
    claims = replace(with_service_td(register(1)), tpm=TPM)
    values = {read("web", claims) for read in VARIABLES[Tee.TDX].values()}
    assert GOOD.pck.ppid.hex() not in values
    assert GOOD.pck.platform_instance_id is not None
    assert GOOD.pck.platform_instance_id.hex() not in values


def test_equal_names_are_granted_once() -> None:
    assert names(dns=["{policy}.example.org", "web.example.org"]).dns == ("web.example.org",)


def test_instance_variables_tell_deployments_apart() -> None:
    names = ("mr_config_id", "mr_owner", "mr_owner_config", "host_data")
    expected = {f"{name}{tail}" for name in names for tail in ("", "_16", "_32")}
    assert expected == INSTANCE_VARIABLES


@pytest.mark.parametrize("name", ["mr_config_id", "mr_owner", "mr_owner_config"])
def test_an_all_zero_instance_field_names_nothing(name: str) -> None:
    document = policy(issue={"san": {"uri": [f"spiffe://example.org/{{{name}}}"]}}).document
    with pytest.raises(NameRefused, match="all zero") as caught:
        render_names(document, with_td(**{name: bytes(48)}))
    assert caught.value.template == f"spiffe://example.org/{{{name}}}"


def test_a_zero_measurement_may_be_named() -> None:
    document = policy(issue={"san": {"uri": ["spiffe://example.org/{rtmr2_16}"]}}).document
    assert render_names(document, with_td(rtmr2=bytes(48))).uri == (
        "spiffe://example.org/" + "0" * 16,
    )


def test_a_register_that_is_not_reported_names_nothing() -> None:
    document = policy(issue={"san": {"uri": ["spiffe://example.org/{mr_service_td}"]}}).document
    with pytest.raises(NameRefused, match="not reported"):
        render_names(document, GOOD)


def test_a_rendered_name_is_checked_whole() -> None:
    """A template that is fine for most values is still refused for the one that is not."""
    document = policy(issue={"san": {"dns": ["example.{rtmr3_16}"]}}).document
    assert render_names(document, GOOD).dns == ("example." + "d3" * 8,)
    with pytest.raises(NameRefused, match="end in a number"):
        render_names(document, replace(GOOD, td=replace(TD, rtmr3=bytes([0x12]) * 48)))


def test_variables_of() -> None:
    assert variables_of("a-{policy}.{tee}.{tee}", Tee.TDX) == {"policy", "tee"}
    assert variables_of("plain", Tee.TDX) == frozenset()


@pytest.mark.parametrize(
    "template",
    [
        "{",
        "}",
        "{}",
        "{{}",
        "{{policy}}.example.org",
        "{unknown}.example.org",
        "{policy!r}.example.org",
        "{policy:>9}.example.org",
        "{policy.name}.example.org",
        "{policy[0]}.example.org",
        "{0}.example.org",
        "{ppid}.example.org",
        "{ policy}.example.org",
        "{mr_td}.example.org",
    ],
)
def test_templates_that_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_template(NameKind.DNS, template, "web", Tee.TDX)


@pytest.mark.parametrize(
    "name",
    [
        "a.b",
        "web.example.org",
        "3com.example.org",
        "a-b--c.example.org",
        "x" * 63 + ".org",
        "1.2.3.4a",
        ".".join(["a"] * 127),
    ],
)
def test_dns_names(name: str) -> None:
    check_name(NameKind.DNS, name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "localhost",
        "*.example.org",
        "w*b.example.org",
        "Web.example.org",
        "web.example.org.",
        ".web.example.org",
        "web..example.org",
        "-web.example.org",
        "web-.example.org",
        "we_b.example.org",
        "web example.org",
        "web.example.org\x00",
        "web.example.org\n",
        "web/x.example.org",
        "xn--bcher-kva.example.org",
        "ab--cd.example.org",
        "bücher.example.org",
        "\uff57eb.example.org",
        "10.0.0.1",
        "web.123",
        "[::1]",
        "web.example.org:443",
        "a" * 64 + ".org",
        ".".join(["a"] * 128),
    ],
    ids=ascii,
)
def test_other_dns_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="DNS"):
        check_name(NameKind.DNS, name)


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://example.org/a",
        "spiffe://trust_domain.1/A/b.c/d_e-f",
        "spiffe://x/...",
        "spiffe://" + "a" * 255 + "/x",
        "spiffe://x/" + "a" * (2048 - len("spiffe://x/")),
    ],
    ids=lambda uri: uri[:40],
)
def test_spiffe_ids(uri: str) -> None:
    check_name(NameKind.URI, uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://example.org/a",
        "SPIFFE://example.org/a",
        "spiffe:/example.org/a",
        "spiffe:///a",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://example.org/a/",
        "spiffe://example.org//a",
        "spiffe://example.org/.",
        "spiffe://example.org/a/../b",
        "spiffe://example.org/a%2f",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b",
        "spiffe://example.org:8443/a",
        "spiffe://user@example.org/a",
        "spiffe://Example.org/a",
        "spiffe://ex*mple.org/a",
        "spiffe://exämple.org/a",
        "spiffe://example.org/ä",
        "spiffe://example.org/*",
        "spiffe://example.org/a b",
        "spiffe://example.org/a\x00",
        "spiffe://example.org/a\\b",
        "spiffe://" + "a" * 256 + "/x",
        "spiffe://x/" + "a" * (2049 - len("spiffe://x/")),
    ],
    ids=lambda uri: ascii(uri[:40] + uri[-3:]),
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"SPIFFE|trust domain|path segment"):
        check_name(NameKind.URI, uri)
