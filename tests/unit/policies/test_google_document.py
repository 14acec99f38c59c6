# SPDX-License-Identifier: Apache-2.0
"""The section `google`: what can be said, what cannot, and what is unwise."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.document import PolicyDocument
from policies.lint import Severity, lint
from policies.loader import LoadedPolicy, load
from policies.select import overlaps
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import attempt, faults, policy, snp_policy, snp_text, text
from tests.unit.policies.google_claims import (
    GOOGLE_SNP,
    GOOGLE_TD,
    INSTANCE,
    PROJECT,
    SECTION,
    google_policy,
    match,
    release,
)
from verifiers.evidence import Tee

if TYPE_CHECKING:
    from policies.google_document import GoogleRules


def section(**said: Any) -> GoogleRules:  # noqa: ANN401  JSON values
    found = load(text(google=SECTION | said)).google
    assert found is not None
    return found


def test_what_is_not_said_may_be_anything() -> None:
    found = section()
    assert found.projects == {PROJECT}
    assert (found.zones, found.instances, found.tolerate_stale_crl) == (None, None, timedelta())
    assert load(text()).google is None


def test_every_key_is_read() -> None:
    found = section(zones=["us-central1-a", "us-central1-ai1a"], tolerate_stale_crl="24h")
    assert found.zones == frozenset({"us-central1-a", "us-central1-ai1a"})
    assert found.tolerate_stale_crl == timedelta(hours=24)


@pytest.mark.parametrize(
    "project", ["my-project", "web", "a1", "x" * 30, "example.com:web-1", "sub.ex-ample.com:web"]
)
def test_projects(project: str) -> None:
    assert section(projects=[project]).projects == {project}


@pytest.mark.parametrize(
    "project",
    [
        *("", "My Project", "MY-PROJECT", "123456789012", "1web", "-web", "web-", "x" * 31),
        *(":web", "example.com:", "Example.com:web", "a:b:c", "web\n", "wéb", "*"),
    ],
)
def test_what_is_no_id_of_a_project(project: str) -> None:
    (message,) = faults(text(google={"projects": [project]})).values()
    assert message.endswith(
        'wants the id of a project, such as "my-project", not its name or number'
    )


@pytest.mark.parametrize("number", [INSTANCE, 1, 2**64 - 1])
def test_numbers_of_vms_with_or_without_quotes(number: int) -> None:
    assert section(instances=[number]).instances == frozenset({number})
    assert section(instances=[str(number)]).instances == frozenset({number})


@pytest.mark.parametrize(
    "said",
    [
        0,
        2**64,
        "18446744073709551617",
        "1" * 21,
        "web-1",
        "",
        "-1",
        "²",
        "\u0663",
        "+3",
        "3_0",
        1.5,
    ],
)
def test_what_is_no_number_of_a_vm(said: object) -> None:
    assert list(faults(text(google=SECTION | {"instances": [said]}))) == ["google.instances[0]"]


WRONG: dict[str, dict[str, Any]] = {
    "google.projects": {"projects": []},
    "google.zones": {"zones": []},
    "google.zones[0]": {"zones": ["us-central1"]},
    "google.zones[1]": {"zones": ["us-central1-a", "US-central1-b"]},
    "google.instances": {"instances": []},
    "google.tolerate_stale_crl": {"tolerate_stale_crl": "31d"},
    "google.regions": {"regions": ["us-central1"]},
}


@pytest.mark.parametrize("path", WRONG)
def test_what_is_wrong_has_its_place(path: str) -> None:
    assert list(faults(text(google=SECTION | WRONG[path]))) == [path]


def test_a_project_must_be_said() -> None:
    assert list(faults(text(google={}))) == ["google.projects"]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "projects": st.lists(st.text(max_size=8) | st.sampled_from(["web", "a:b"]), max_size=2),
            "zones": st.none() | st.lists(st.text(max_size=8), max_size=2),
            "instances": st.none() | st.lists(st.integers() | st.text(max_size=22), max_size=2),
            "tolerate_stale_crl": st.text(max_size=4),
        },
    )
)
def test_whatever_the_section_says_it_loads_or_has_faults(said: dict[str, Any]) -> None:
    found = attempt(load, text(google=said))
    if isinstance(found, PolicyDocument):
        assert found.google is not None
    else:
        assert all(problem.path.startswith("google") or not problem.path for problem in found)


# beside the rest of the document


@pytest.mark.parametrize("provider", ["direct", "azure"])
def test_the_section_is_about_a_vtpm_of_googles(provider: str) -> None:
    wrong = {"google": f"the policy is about {provider} (match.provider)"}
    assert faults(snp_text(google=SECTION, match={"tee": "snp", "provider": provider})) == wrong
    assert faults(text(google=SECTION, match={"tee": "tdx", "provider": provider})) == wrong


def test_documents_of_different_ways_of_reporting_do_not_overlap() -> None:
    google, any_ = google_policy(GOOGLE_TD).document, policy().document
    direct = policy(match={"tee": "tdx", "provider": "direct"}).document
    assert not overlaps(google, direct)
    assert overlaps(google, any_)
    assert overlaps(google, google)


# what is unwise


def remarks(loaded: LoadedPolicy, severity: Severity) -> dict[str, str]:
    return {
        one.problem.path: one.problem.message
        for one in lint(loaded, NOW)
        if one.severity is severity
    }


LISTED = SECTION | {"instances": [INSTANCE]}


@pytest.mark.parametrize("claims", [GOOGLE_SNP, GOOGLE_TD], ids=["snp", "tdx"])
def test_a_document_about_google_names_whose_vms(claims: Any) -> None:  # noqa: ANN401  of two kinds
    without = remarks(google_policy(claims, google=None), Severity.ERROR)
    assert list(without) == ["match.provider"]
    assert "every machine is denied" in without["match.provider"]
    assert lint(google_policy(claims, google=LISTED), NOW) == ()


def test_pcrs_that_any_vm_of_a_project_can_lend_are_told() -> None:
    def lent(loaded: LoadedPolicy) -> str:
        assert remarks(loaded, Severity.ERROR) == {}
        return remarks(loaded, Severity.WARNING).get("google.projects", "")

    assert lent(google_policy(GOOGLE_SNP)).endswith("List instances")
    assert lent(google_policy(GOOGLE_SNP, google=LISTED)) == ""
    assert lent(google_policy(GOOGLE_TD)) == ""  # nothing but what the CPU signs
    pinned = release(GOOGLE_TD, "pcr4")
    told = lent(google_policy(GOOGLE_TD, reference_sets=pinned))
    assert told.endswith("or pin RTMRs alone, which the CPU signs")
    assert lent(google_policy(GOOGLE_TD, reference_sets=pinned, google=LISTED)) == ""
    values = {"measurement": GOOGLE_SNP.report.measurement.hex()}
    none_pinned = google_policy(
        GOOGLE_SNP, reference_sets={"release": [{"id": "r1", "values": values}]}
    )
    told = remarks(none_pinned, Severity.WARNING)["google.projects"]  # logs speak of PCRs anyway
    assert told.endswith("List instances")


def test_a_vtpm_that_may_be_left_out_is_told() -> None:
    for loaded in (policy(google=LISTED), snp_policy(google=LISTED)):
        assert list(remarks(loaded, Severity.WARNING)) == ["google"]
        assert "say match.provider: google" in remarks(loaded, Severity.WARNING)["google"]
    assert lint(policy(), NOW) == ()


def test_a_document_that_takes_anyones_tpm_as_well_is_none() -> None:
    """Who pins the firmware and PCRs says nothing of a paravisor: evidence of Azure's form has to be refused."""
    for claims, also, bad in (
        (GOOGLE_SNP, (), True),
        (GOOGLE_TD, (), False),
        (GOOGLE_TD, ("pcr4", "pcr8", "pcr9", "pcr11", "pcr12"), True),
    ):
        pinned = release(claims, *also)
        anyones = google_policy(
            claims, match={"tee": claims.tee}, google=LISTED, reference_sets=pinned
        )
        said = remarks(anyones, Severity.ERROR)
        assert list(said) == (["google"] if bad else [])
        assert "a TPM of its own" in said.get("google", "a TPM of its own")
    unpinned = {"unpinned": dict.fromkeys(("pcr4", "pcr8", "pcr9", "pcr11", "pcr12"), "a reason")}
    values = {"measurement": GOOGLE_SNP.report.measurement.hex()}
    open_ = snp_policy(
        unpinned, google=LISTED, reference_sets={"release": [{"id": "r1", "values": values}]}
    )
    assert list(remarks(open_, Severity.ERROR)) == ["google"]


# event logs


D48, D32 = "ab" * 48, "cd" * 32


def test_of_snp_logs_speak_of_pcrs() -> None:
    def said(boot: dict[str, Any]) -> bytes:
        whole = json.loads(snp_text(match=match(Tee.SNP), google=LISTED, boot=boot))
        return json.dumps(whole | {"reference_sets": release(GOOGLE_SNP)}).encode()

    load(said({"require_replay": ["pcr4"], "images": D32}))
    load(said({"coco": {"init_data": D32}}))  # in HOST_DATA
    assert list(faults(said({"images": D48}))) == ["boot.images"]
    assert faults(said({"require_replay": ["rtmr1"]})) == {
        "boot.require_replay": "evidence of snp has no rtmr1"
    }


def test_of_a_td_logs_speak_of_rtmrs() -> None:
    def said(boot: dict[str, Any]) -> bytes:
        return text(match=match(Tee.TDX), google=LISTED, boot=boot)

    load(said({"require_replay": ["rtmr1"], "images": D48}))
    load(said({"coco": {"init_data": D48}}))  # in MRCONFIGID
    assert list(faults(said({"images": D32}))) == ["boot.images"]
    assert list(faults(said({"coco": {"init_data": D32}}))) == ["boot.coco.init_data"]
    assert faults(said({"require_replay": ["pcr4"]})) == {
        "boot.require_replay": "logs of tdx from google do not speak of pcr4"
    }


def test_of_a_td_under_a_paravisor_logs_speak_of_pcrs() -> None:
    azure = {"tee": "tdx", "provider": "azure"}
    assert faults(text(match=azure, boot={"require_replay": ["rtmr1"]})) == {
        "boot.require_replay": "logs of tdx from azure do not speak of rtmr1"
    }


def test_facts_want_what_measured_them_pinned() -> None:
    files = {"kernel_cmdline": {"patterns": ["/vmlinuz ro"], "files": [D32]}}
    values = release(GOOGLE_SNP)["release"][0]["values"]
    open_ = {"unpinned": {"pcr4": "a reason"}}
    less = {name: value for name, value in values.items() if name != "pcr4"}
    loaded = snp_policy(
        open_,
        match=match(Tee.SNP),
        google=LISTED,
        reference_sets={"release": [{"id": "r1", "values": less}]},
        boot=files,
    )
    assert "pin pcr4" in remarks(loaded, Severity.ERROR)["boot.kernel_cmdline"]
    assert remarks(google_policy(GOOGLE_SNP, google=LISTED, boot=files), Severity.ERROR) == {}


def test_init_data_want_the_system_named_that_holds_to_them() -> None:
    """In HOST_DATA: PCR 8 tells of the command line, as every PCR that a boot is measured into."""
    coco = {"coco": {"init_data": D32}}
    open_ = ("pcr4", "pcr8", "pcr9", "pcr11", "pcr12")
    values = {"measurement": GOOGLE_SNP.report.measurement.hex()}
    loaded = snp_policy(
        {"unpinned": dict.fromkeys(open_, "a reason")},
        match=match(Tee.SNP),
        google=LISTED,
        reference_sets={"release": [{"id": "r1", "values": values}]},
        boot=coco,
    )
    assert (
        "pin pcr8, pcr9, pcr11, pcr12, pcr4,"
        in remarks(loaded, Severity.WARNING)["boot.coco.init_data"]
    )
    assert lint(google_policy(GOOGLE_SNP, google=LISTED, boot=coco), NOW) == ()
