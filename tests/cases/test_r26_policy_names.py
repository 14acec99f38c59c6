# SPDX-License-Identifier: Apache-2.0
"""R-26, policy side: whatever a template holds, a rendered name is a plain DNS name or SPIFFE id, or there is none."""

from __future__ import annotations

import ipaddress
import string
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.document import Issue, San
from policies.errors import NameRefused
from policies.names import VARIABLES, Names, render_names
from tests.unit.policies.claims_factory import GOOD, TD, register
from tests.unit.policies.documents import policy, snp_policy
from tests.unit.policies.snp_claims import with_report
from verifiers.evidence import Tee

if TYPE_CHECKING:
    from policies.document import PolicyDocument

HOSTILE = [
    "*",
    "/",
    "..",
    ".",
    "\x00",
    "xn--",
    "é",
    "\u0430",
    "\u3002",
    "A",
    "-",
    "_",
    "%2f",
    "@",
    ":443",
    " ",
    "\n",
    "",
]
HOSTILE += [
    "{",
    "}",
    "{{",
    "{}",
    "{mr_td!r}",
    "{mr_td:x}",
    "{__class__}",
    "\\",
    "?",
    "#",
    "\u202e",
    "\ufeff",
]
PLAIN = ["web", "example", "org", "a", "0", "spiffe://", "example.org", ".example.org"]

pieces = st.sampled_from(HOSTILE + PLAIN) | st.sampled_from(sorted(VARIABLES[Tee.TDX])).map(
    "{{{}}}".format
)
templates = st.lists(pieces, max_size=8).map("".join) | st.text(max_size=30)


BASE = policy().document


def document(dns: list[str], uri: list[str]) -> PolicyDocument:
    """A document whose templates were not looked at when it was loaded: rendering alone must hold."""
    return BASE.model_copy(update={"issue": Issue(san=San(dns=tuple(dns), uri=tuple(uri)))})


def rendered(dns: list[str], uri: list[str]) -> Names | None:
    try:
        return render_names(document(dns, uri), GOOD)
    except NameRefused:
        return None


@given(templates)
def test_a_dns_name_is_a_plain_host_name(template: str) -> None:
    names = rendered([template], [])
    for name in names.dns if names else ():
        assert set(name) <= set(string.ascii_lowercase + string.digits + ".-")
        assert len(name) <= 253
        labels = name.split(".")
        assert len(labels) >= 2
        assert all(0 < len(label) <= 63 and label.strip("-") == label for label in labels)
        assert not any(label[2:4] == "--" for label in labels)
        with pytest.raises(ValueError, match="does not appear"):
            ipaddress.ip_address(name)


@given(templates)
def test_a_uri_is_a_plain_spiffe_id(template: str) -> None:
    names = rendered([], [template])
    for name in names.uri if names else ():
        assert name.startswith("spiffe://")
        assert len(name) <= 2048
        domain, *path = name.removeprefix("spiffe://").split("/")
        assert set(domain) <= set(string.ascii_lowercase + string.digits + ".-_")
        assert domain
        assert path
        assert all(segment not in ("", ".", "..") for segment in path)
        assert set("".join(path)) <= set(string.ascii_letters + string.digits + ".-_")


@pytest.mark.parametrize(
    "piece", [piece for piece in HOSTILE if piece not in ("", ".", "-", "_", "A")], ids=ascii
)
@pytest.mark.parametrize(
    "place", ["{}.example.org", "web.{}.example.org", "web{}.example.org", "web.example.org{}"]
)
def test_hostile_pieces_give_no_dns_name(piece: str, place: str) -> None:
    assert rendered([place.replace("{}", piece)], []) is None


@pytest.mark.parametrize(
    "template", ["web.example.org.", "Web.example.org", "web.example.ORG", "*.example.org"]
)
def test_forms_that_others_would_normalise_are_refused(template: str) -> None:
    assert rendered([template], []) is None


@given(st.binary(min_size=48, max_size=48), st.binary(min_size=48, max_size=48))
def test_register_values_cannot_shape_a_name(config: bytes, measurement: bytes) -> None:
    """Whoever starts the TD chooses MRCONFIGID freely; it is only ever seen as hexadecimal digits."""
    claims = replace(GOOD, td=replace(TD, mr_config_id=config or register(1), mr_td=measurement))
    templates_ = document(
        ["i{mr_config_id_32}.example.org"], ["spiffe://example.org/{mr_td}/{mr_config_id}"]
    )
    if not any(config):
        with pytest.raises(NameRefused):
            render_names(templates_, claims)
    else:
        assert render_names(templates_, claims) == Names(
            dns=(f"i{config.hex()[:32]}.example.org",),
            uri=(f"spiffe://example.org/{measurement.hex()}/{config.hex()}",),
        )


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=48, max_size=48))
def test_the_host_of_an_snp_guest_cannot_shape_a_name(host_data: bytes, measurement: bytes) -> None:
    """The host chooses HOST_DATA freely."""
    claims = with_report(host_data=host_data, measurement=measurement)
    san = {"dns": ["{product}.i{host_data_32}.example.org"], "uri": ["spiffe://x/{measurement}"]}
    document = snp_policy(issue={"san": san}).document
    if not any(host_data):
        with pytest.raises(NameRefused):
            render_names(document, claims)
    else:
        assert render_names(document, claims) == Names(
            dns=(f"genoa.i{host_data.hex()[:32]}.example.org",),
            uri=(f"spiffe://x/{measurement.hex()}",),
        )
