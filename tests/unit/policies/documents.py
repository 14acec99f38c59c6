# SPDX-License-Identifier: Apache-2.0
"""Policies for tests: those that accept `GOOD` and `GOOD_SNP`, with any section said otherwise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from policies import registers
from policies.errors import PolicyError
from policies.loader import load_policy
from tests.unit.policies.claims_factory import TD
from tests.unit.policies.snp_claims import REPORT
from verifiers.evidence import Provider, Tee

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.errors import Problem
    from policies.loader import LoadedPolicy
    from policies.tdx_document import TdxRules

T = TypeVar("T")

MUST_PIN = registers.MUST_PIN[Tee.TDX, Provider.DIRECT]

RELEASE: dict[str, Any] = {
    "id": "r1",
    "values": {
        "mr_td": TD.mr_td.hex(),
        "rtmr0": TD.rtmr0.hex(),
        "rtmr1": TD.rtmr1.hex(),
        "rtmr2": TD.rtmr2.hex(),
    },
}


def entry(entry_id: str = "r1", /, **values: bytes | list[bytes]) -> dict[str, Any]:
    """RELEASE under another id, with some of its registers changed or added."""
    said = {
        name: value.hex() if isinstance(value, bytes) else [one.hex() for one in value]
        for name, value in values.items()
    }
    return {"id": entry_id, "values": RELEASE["values"] | said}


def text(tdx: dict[str, Any] | None = None, **sections: Any) -> bytes:  # noqa: ANN401  JSON values
    """JSON text of the policy; `tdx` is merged into its section, other sections are replaced or added."""
    document: dict[str, Any] = {
        "name": "web",
        "version": 1,
        "match": {"tee": "tdx"},
        "reference_sets": {"release": [RELEASE]},
        "tdx": {"measurements": ["release"]} | (tdx or {}),
        "issue": {"san": {"uri": ["spiffe://example.org/tdx/{mr_config_id_32}"]}},
    }
    return json.dumps(document | sections).encode()


def policy(tdx: dict[str, Any] | None = None, **sections: Any) -> LoadedPolicy:  # noqa: ANN401  JSON values
    """The policy itself."""
    return load_policy(text(tdx, **sections))


SNP_RELEASE: dict[str, Any] = {"id": "s1", "values": {"measurement": REPORT.measurement.hex()}}


def snp_entry(entry_id: str = "s1", /, **values: bytes) -> dict[str, Any]:
    """SNP_RELEASE under another id, with some of its registers changed or added."""
    said = {name: value.hex() for name, value in values.items()}
    return {"id": entry_id, "values": SNP_RELEASE["values"] | said}


def snp_text(snp: dict[str, Any] | None = None, **sections: Any) -> bytes:  # noqa: ANN401  JSON values
    """JSON text of a policy that accepts GOOD_SNP without a remark of lint; arguments as those of `text`."""
    section = {
        "measurements": ["release"],
        "tcb": {"minimum": {"19-11-1": {"reported": {"snp": 27}}}},
        "products": {"deny": ["Milan"]},
    }
    document: dict[str, Any] = {
        "name": "web",
        "version": 1,
        "match": {"tee": "snp"},
        "reference_sets": {"release": [SNP_RELEASE]},
        "snp": section | (snp or {}),
        "issue": {"san": {"uri": ["spiffe://example.org/snp/{host_data_32}"]}},
    }
    return json.dumps(document | sections).encode()


def snp_policy(snp: dict[str, Any] | None = None, **sections: Any) -> LoadedPolicy:  # noqa: ANN401  JSON values
    """The policy itself."""
    return load_policy(snp_text(snp, **sections))


def tdx_rules(loaded: LoadedPolicy) -> TdxRules:
    """Its section `tdx`."""
    assert loaded.document.tdx is not None
    return loaded.document.tdx


def attempt(read: Callable[[bytes], T], data: bytes) -> T | tuple[Problem, ...]:
    """What `read` gives, or the problems of its PolicyError; any other exception escapes."""
    try:
        return read(data)
    except PolicyError as error:
        return error.problems


def problems(data: bytes) -> tuple[Problem, ...]:
    """What the loader says against `data`; it must say something."""
    found = attempt(load_policy, data)
    assert isinstance(found, tuple), "the document loads"
    return found


def faults(data: bytes) -> dict[str, str]:
    """The loader's messages by path."""
    return {problem.path: problem.message for problem in problems(data)}
