# SPDX-License-Identifier: Apache-2.0
"""Logs that replay and lie about what runs: dstack's events, the agent's entries of CoCo, Confidential Space.

Who attacks, and what they can write: `test_eventlog_attacks`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests import boot_lab as lab
from tests import eventlog_lab
from tests.boot_lab import Step, claims, doubted
from tests.eventlog_lab import Runtime
from verifiers.eventlog import cel, dstack
from verifiers.eventlog.claims import BootClaims, Rule, SecureBoot, Subject
from verifiers.eventlog.events import Register

APP = (
    Runtime("system-preparing"),
    Runtime("app-id", b"a" * 20),
    Runtime("compose-hash", b"c" * 32),
    Runtime("instance-id", b"i" * 20),
    Runtime("boot-mr-done"),
    Runtime("os-image-hash", b"o" * 32),
    Runtime("key-provider", b"{}"),
    Runtime("system-ready"),
)


def dstack_claims(*events: Runtime, told: list[dict[str, object]] | None = None) -> BootClaims:
    """A direct boot, and dstack's log behind it."""
    boot = lab.direct_boot()
    log = dstack.parse(eventlog_lab.log_text(*(told or [one.json() for one in events])))
    values = lab.runtime_registers(boot, *(one.preimage for one in events))
    return lab.of_logs([lab.log_of(boot), log], values)


def no_identity(found: BootClaims) -> None:
    assert found.dstack is None
    assert Subject.DSTACK in doubted(found)


@pytest.mark.parametrize("version", [1, 2])
def test_dstack_identity(version: int) -> None:
    found = dstack_claims(*(replace(one, version=version) for one in APP))
    assert found.dstack is not None
    assert found.dstack.app_id is not None
    assert found.dstack.app_id.value == b"a" * 20
    rule = Rule.DSTACK_V1 if version == 1 else Rule.DSTACK_V2
    assert found.dstack.app_id.origin.rule is rule
    assert [name for name, _ in found.dstack.others] == [
        "system-preparing",
        "boot-mr-done",
        "system-ready",
    ]
    assert found.doubts == ()


def test_events_behind_system_ready_are_no_identity() -> None:
    found = dstack_claims(
        *APP, Runtime("anything", b"x"), Runtime("with:colon"), Runtime("system-ready")
    )
    assert found.dstack == dstack_claims(*APP).dstack
    only = dstack_claims(Runtime("system-ready"), Runtime("app-id", b"a" * 20))
    assert only.dstack is not None
    assert only.dstack.app_id is None


@pytest.mark.parametrize(
    "name", ["app-id", "compose-hash", "instance-id", "os-image-hash", "key-provider"]
)
def test_second_identity(name: str) -> None:
    """Before system-ready or after: another reader may take the last."""
    second = next(one for one in APP if one.name == name)
    evil = replace(second, payload=b"e" * len(second.payload))
    no_identity(dstack_claims(*APP, evil))
    no_identity(dstack_claims(*APP[:1], evil, *APP[1:]))
    no_identity(dstack_claims(*APP, second))


def test_identity_before_anything_else_is_in_its_order() -> None:
    """An app-id in front of system-preparing is dstack's own as well: nothing runs before it."""
    found = dstack_claims(APP[1], APP[0], *APP[2:])
    assert found.dstack is not None
    assert found.dstack.app_id is not None


def test_identity_without_system_ready() -> None:
    no_identity(dstack_claims(*APP[:-1]))


def test_identity_with_a_colon_in_a_name() -> None:
    """Version 1: `app-id:evil` with payload x and `app-id` with payload `evil:x` have one digest."""
    no_identity(dstack_claims(*APP[:1], Runtime("a:b", b"c"), *APP[1:]))
    split = Runtime("app-id:aaaa", b"a" * 15)
    no_identity(dstack_claims(*APP[:1], split, *APP[2:]))


def with_payload(at: int, payload: bytes) -> BootClaims:
    return dstack_claims(*APP[:at], replace(APP[at], payload=payload), *APP[at + 1 :])


def test_identity_of_a_wrong_length() -> None:
    for at, payload in ((1, b"a" * 19), (2, b"c" * 31), (3, b"i" * 19), (5, b"o" * 33)):
        no_identity(with_payload(at, payload))
    assert with_payload(3, b"").dstack is not None  # an instance without an id


def test_evil_identity_called_a_boot_event() -> None:
    """The log calls the real identity something that no digest has to cover, and the application adds a good one."""
    evil = (Runtime("app-id", b"e" * 20), Runtime("system-ready"))
    hidden = [
        eventlog_lab.boot_event(3, digest=eventlog_lab.sha384(one.preimage).hex()) for one in evil
    ]
    no_identity(dstack_claims(*evil, *APP, told=[*hidden, *(one.json() for one in APP)]))


def test_identity_in_a_register_that_does_not_replay() -> None:
    boot = lab.direct_boot()
    log = dstack.parse(eventlog_lab.log_text(*(one.json() for one in APP)))
    values = lab.runtime_registers(boot, b"something else")
    found = lab.of_logs([lab.log_of(boot), log], values, frozenset({Register.RTMR3}))
    no_identity(found)
    assert found.secure_boot is SecureBoot.ENABLED


def test_agents_entries() -> None:
    texts = ("a.org pull x", 'a.org pull {"image": "x y", "n": [1, 2]}', "a.org stop ")
    found = claims([*lab.direct_boot(), *(lab.aael(text) for text in texts)])
    assert found.aael is not None
    assert [(one.domain, one.operation, one.content) for one in found.aael] == [
        ("a.org", "pull", "x"),
        ("a.org", "pull", '{"image": "x y", "n": [1, 2]}'),
        ("a.org", "stop", ""),
    ]


def no_entries(*steps: Step) -> None:
    found = claims([*lab.direct_boot(), *steps])
    assert found.aael is None
    assert doubted(found) == {Subject.AAEL}


def test_agents_entry_hidden_under_another_label() -> None:
    evil = lab.aael("a.org pull evil")
    for hidden in (
        evil.told(lab.ACTION, evil.data),
        evil.told(lab.IPL, b"/file\0"),
        evil.told(lab.TAG, b"\0\0\0\0\0\0\0\0"),
    ):
        no_entries(hidden, lab.aael())


def test_agents_entry_whose_digest_is_of_another_text() -> None:
    no_entries(replace(lab.aael(), data=lab.aael("a.org pull good").data))


def test_agents_entry_that_is_none() -> None:
    no_entries(lab.aael("nospace"))


def test_agents_entries_in_another_register_are_not_heard() -> None:
    found = claims([*lab.direct_boot(), lab.aael(index=3), lab.aael(index=2)])
    assert found.aael is None


def test_agents_entries_beside_dstacks() -> None:
    """Two languages in one register: neither knows what the other's events hide."""
    boot = [*lab.direct_boot(), lab.aael()]
    log = dstack.parse(eventlog_lab.log_text(*(one.json() for one in APP)))
    values = lab.runtime_registers(boot, *(one.preimage for one in APP))
    found = lab.of_logs([lab.log_of(boot), log], values)
    assert (found.aael, found.dstack) == (None, None)
    assert doubted(found) == {Subject.AAEL, Subject.DSTACK}


REFERENCE, DIGEST, ARG, SEPARATOR, MONITOR, BINDING = 0, 1, 4, 8, 9, 11


def space_claims(*contents: tuple[int, bytes]) -> BootClaims:
    inner = [eventlog_lab.tlv(kind, value) for kind, value in contents]
    log = cel.parse(b"".join(eventlog_lab.record(at, one) for at, one in enumerate(inner)))
    boot = lab.direct_boot()
    values = lab.runtime_registers(boot, *(eventlog_lab.tlv(0x50, one) for one in inner))
    return lab.of_logs([lab.log_of(boot), log], values)


def no_space(*contents: tuple[int, bytes]) -> None:
    found = space_claims(*contents)
    assert found.confidential_space is None
    assert doubted(found) == {Subject.CONFIDENTIAL_SPACE}


def test_confidential_space() -> None:
    found = space_claims(
        (REFERENCE, b"image"), (DIGEST, b"sha256:1"), (ARG, b"a"), (ARG, b"b"),
        (MONITOR, b"\1"), (BINDING, b"\xff"), (SEPARATOR, b""), (ARG, b"late"), (200, b"new"),
    ).confidential_space  # fmt: skip
    assert found is not None
    assert [one.text for one in found.args] == ["a", "b"]
    assert found.image_digest is not None
    assert found.image_digest.text == "sha256:1"
    assert found.image_id is None
    assert [one.value for one in found.gpu_bindings] == [b"\xff"]


def test_confidential_space_second_image() -> None:
    no_space((DIGEST, b"sha256:1"), (SEPARATOR, b""), (DIGEST, b"sha256:2"))
    no_space((DIGEST, b"sha256:1"), (DIGEST, b"sha256:1"), (SEPARATOR, b""))


def test_confidential_space_before_its_launch() -> None:
    no_space((DIGEST, b"sha256:1"))


def test_confidential_space_with_an_unknown_content() -> None:
    no_space((DIGEST, b"sha256:1"), (200, b"override"), (SEPARATOR, b""))


def test_confidential_space_with_a_text_that_is_none() -> None:
    no_space((DIGEST, b"\xff"), (SEPARATOR, b""))
