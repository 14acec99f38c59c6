# SPDX-License-Identifier: Apache-2.0
"""Whether a document about Google's vTPM is wise: asked by `policies.lint`.

A measurement that is pinned beside PCRs of Azure's evidence is a paravisor's, which vouches for them; beside Google's
it is that of a firmware under which all customers run. So a document takes one or the other.
What a vTPM of Google's says is Google's word. The binding ties it to the CPU's report, and any VM that the section
takes can have signed that: a document is as narrow as its list of VMs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policies.measurements import covered
from policies.registers import MUST_PIN, PCRS, boot_registers
from verifiers.evidence import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.document import PolicyDocument
    from policies.tree import Path

_NO_SECTION: Final = (
    "there is no section google, which names whose VMs will do: every machine is denied"
)
_LEFT_OUT: Final = (
    "a machine may leave its vTPM out, and is judged without this section then: say match.provider: "
    "google"
)
_ANYONES: Final = (
    "evidence in Azure's form passes as well, in which any guest under this firmware vouches for a TPM of its own, "
    "with any PCRs: say match.provider: google"
)
_LENT: Final = (
    "PCRs are Google's word, and the binding alone ties them to the CPU's report: any VM of these projects that runs "
    "what they name can lend its own to another machine. List instances{}"
)
_OF_A_TD: Final = ", or pin RTMRs alone, which the CPU signs"


def errors(document: PolicyDocument) -> Iterator[tuple[Path, str]]:
    """What makes the document worth nothing."""
    if document.match.provider is Provider.GOOGLE and document.google is None:
        yield ("match", "provider"), _NO_SECTION
    if document.google is not None and document.match.provider is None:
        named = covered(document) | document.rules.unpinned.keys()
        if named.issuperset(MUST_PIN[document.match.tee, Provider.AZURE]):
            yield ("google",), _ANYONES


def warnings(document: PolicyDocument) -> Iterator[tuple[Path, str]]:
    """What an operator should know."""
    if document.google is None:
        return
    if document.match.provider is None:
        yield ("google",), _LEFT_OUT
    booted = boot_registers(document.match.tee, Provider.GOOGLE)
    if document.google.instances is None and PCRS.keys() & (booted | covered(document)):
        signed = PCRS.keys().isdisjoint(booted)
        yield ("google", "projects"), _LENT.format(_OF_A_TD if signed else "")
