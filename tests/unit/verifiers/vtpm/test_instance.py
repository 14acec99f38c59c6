# SPDX-License-Identifier: Apache-2.0
"""The extension that names a VM: the real form, every other form, and properties that are not read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import der
from simulator.google_certificates import SECURITY, Instance
from verifiers.vtpm.instance import read_instance

if TYPE_CHECKING:
    from verifiers.vtpm.instance import Instance as Read

PRODUCTION = der.explicit(1, der.TRUE)
USUAL = Instance()


def read(instance: Instance) -> Read:
    return read_instance(instance.extension().value)


def written(*security: bytes) -> bytes:
    return replace(USUAL, security=security).extension().value


def test_as_google_writes_it() -> None:
    assert read(USUAL) == (
        "us-central1-a",
        "simulated-project",
        995_067_395_740,
        6_524_697_943_022_743_941,
        "confidential-1",
        0,
    )


@pytest.mark.parametrize(
    ("security", "version"),
    [
        ((PRODUCTION,), 0),
        ((der.explicit(0, der.integer(7)), PRODUCTION), 7),
        ((PRODUCTION, der.explicit(0, der.integer(300))), 300),
        (SECURITY, 0),
        ((*SECURITY, der.explicit(6, der.utf8_string("new"))), 0),
    ],
)
def test_security_properties(security: tuple[bytes, ...], version: int) -> None:
    assert read(replace(USUAL, security=security)).security_version == version


@pytest.mark.parametrize(
    "security",
    [
        None,
        (),
        (der.explicit(1, der.FALSE),),
        (der.explicit(1, b"\x01\x01\x01"),),  # true in BER, not in DER
        (der.explicit(1, der.integer(1)),),
        (der.explicit(0, der.integer(0)),),
        (der.implicit(1, b"\xff"),),
    ],
)
def test_no_key_of_production(security: tuple[bytes, ...] | None) -> None:
    with pytest.raises(ValueError, match=r"production|element"):
        read(replace(USUAL, security=security))


MEMBERS = (
    der.utf8_string("us-central1-a"),
    der.integer(1),
    der.utf8_string("project"),
    der.integer(2),
    der.utf8_string("vm"),
    der.explicit(0, der.sequence(PRODUCTION)),
)


def with_member(place: int, member: bytes) -> bytes:
    changed = [*MEMBERS[:place], member, *MEMBERS[place + 1 :]]
    return der.sequence(*changed)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"", "truncated"),
        (der.NULL, "tag"),
        (der.sequence(), "another form"),
        (der.sequence(*MEMBERS[:4]), "another form"),
        (der.sequence(*MEMBERS, der.NULL), "another form"),
        (der.sequence(*MEMBERS) + b"\0", "more than one"),
        (with_member(0, der.printable_string("us-central1-a")), "another form"),
        (with_member(1, der.integer(-1)), "non-negative"),
        (with_member(3, der.tlv(0x02, b"\0\1")), "minimal"),
        (with_member(3, der.utf8_string("2")), "another form"),
        (with_member(5, der.explicit(1, der.sequence(PRODUCTION))), "another form"),
        (with_member(5, der.explicit(0, PRODUCTION)), "tag"),
        (with_member(5, der.explicit(0, der.sequence(PRODUCTION) * 2)), "more than one"),
        (written(PRODUCTION, PRODUCTION), "twice"),
        (written(der.explicit(1, der.TRUE * 2)), "more than one"),
        (written(der.explicit(0, der.TRUE), PRODUCTION), "no number"),
        (written(der.explicit(0, der.integer(-1)), PRODUCTION), "non-negative"),
        (written(PRODUCTION) + written(PRODUCTION), "more than one"),
        (with_member(0, der.utf8_string("")), "empty"),
        (with_member(2, der.utf8_string("p" * 257)), "too long"),
        (with_member(4, der.utf8_string("vm\n")), "not printable"),
        (with_member(4, der.utf8_string("v\N{RIGHT-TO-LEFT OVERRIDE}m")), "not printable"),
        (with_member(4, der.tlv(0x0C, b"\xff")), "utf-8"),
    ],
)
def test_other_forms(value: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_instance(value)


def test_names_as_long_as_they_may_be() -> None:
    assert len(read(replace(USUAL, project_id="p" * 256)).project_id) == 256


@given(
    st.builds(
        Instance,
        *(st.text(st.characters(categories=("L", "N")), min_size=1, max_size=60),),
        project_number=st.integers(0, 1 << 64),
        project_id=st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=60),
        instance_id=st.integers(0, 1 << 64),
        name=st.text(st.characters(categories=("L", "N")), min_size=1, max_size=60),
    )
)
def test_what_was_written_is_read(instance: Instance) -> None:
    found = read(instance)
    assert (found.zone, found.project_id) == (instance.zone, instance.project_id)
    assert (found.project_number, found.instance_id) == (
        instance.project_number,
        instance.instance_id,
    )
    assert found.instance_name == instance.name


@given(st.data())
def test_mutations(data: st.DataObject) -> None:
    """Read, or refused with the one exception."""
    value = bytearray(USUAL.extension().value)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        match data.draw(st.sampled_from(("set", "cut", "insert"))):
            case "set":
                value[at] = data.draw(st.integers(0, 255))
            case "cut":
                del value[at]
            case _:
                value.insert(at, data.draw(st.integers(0, 255)))
    try:
        found = read_instance(bytes(value))
    except ValueError:
        return
    assert found.project_id.isprintable()
