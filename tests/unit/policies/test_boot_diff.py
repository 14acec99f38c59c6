# SPDX-License-Identifier: Apache-2.0
"""What differs between two sections `boot`: named by path, and its direction is true of machines that booted.

Every value of a key is tried against every other. Where all is said to be stricter nobody may newly be admitted, where
all is said to be looser nobody may newly be refused, and for each key there is a machine that tells values apart.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.appraise import appraise
from policies.diff import diff
from policies.difference import Effect
from policies.loader import load_policy
from policies.result import Decision
from tests import boot_lab as lab
from tests import eventlog_lab
from tests.eventlog_lab import Runtime
from tests.unit.policies.boot_facts import booted, judged, logged, of_registers
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import policy, text
from verifiers.eventlog import cel, dstack, ima
from verifiers.eventlog.events import Algorithm, EventLog, Register

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy
    from verifiers.eventlog.judged import Boot
    from verifiers.tdx.claims import TdxClaims

STRICTER, LOOSER, NONE = Effect.STRICTER, Effect.LOOSER, Effect.NONE


def sha384(data: bytes) -> str:
    return hashlib.sha384(data).hexdigest()


def runtime(log: EventLog, *preimages: bytes) -> tuple[TdxClaims, Boot]:
    claims = of_registers(lab.runtime_registers(lab.direct_boot(), *preimages))
    return claims, judged(claims, lab.log_of(lab.direct_boot()), log)


def with_dstack(*events: Runtime) -> tuple[TdxClaims, Boot]:
    log = dstack.parse(eventlog_lab.log_text(*(one.json() for one in events)))
    return runtime(log, *(one.preimage for one in events))


def in_container(*contents: tuple[int, bytes]) -> tuple[TdxClaims, Boot]:
    tlvs = [eventlog_lab.tlv(*one) for one in (*contents, (8, b""))]
    records = b"".join(eventlog_lab.record(number, one) for number, one in enumerate(tlvs))
    return runtime(cel.parse(records), *(eventlog_lab.tlv(0x50, one) for one in tlvs))


def with_ima(*paths: str) -> tuple[TdxClaims, Boot]:
    log = ima.parse(b"".join(map(eventlog_lab.ima_line, paths)), Register.RTMR2, Algorithm.SHA384)
    values = lab.registers(lab.direct_boot())
    for one in log.events:
        extended = values[Register.RTMR2] + one.digests[Algorithm.SHA384]
        values[Register.RTMR2] = hashlib.sha384(extended).digest()
    claims = of_registers(values)
    return claims, judged(claims, lab.log_of(lab.direct_boot()), log)


APP = (Runtime("app-id", b"a" * 20), Runtime("compose-hash", b"c" * 32))
KMS = Runtime("key-provider", b'{"name":"kms","id":"1"}')
READY = Runtime("system-ready")
MACHINES: list[tuple[TdxClaims, Boot | None]] = [
    (booted(lab.grub_boot()), None),
    logged(lab.grub_boot()),
    logged(lab.grub_boot("/vmlinuz quiet")),
    logged(
        [lab.secure_boot(b"\0") if one == lab.secure_boot() else one for one in lab.grub_boot()]
    ),
    logged([one for one in lab.grub_boot() if one.hashed != b"MZ grub"]),
    logged([one for one in lab.grub_boot() if one.hashed != b"mok"]),
    logged(lab.grub_boot(), [*lab.grub_boot(), lab.separator(3)]),
    logged(lab.grub_boot(), [*lab.grub_boot(), lab.separator(1), lab.aael()]),
    logged([*lab.grub_boot(), lab.separator(2)]),
    logged(lab.direct_boot()),
    logged([*lab.direct_boot(), lab.aael("d o one")]),
    logged([*lab.direct_boot(), lab.aael("d o one"), lab.aael("d p two")]),
    with_dstack(*APP, READY),
    with_dstack(APP[0], KMS, READY),
    with_dstack(*APP, Runtime("storage-fs", b"zfs"), READY),
    in_container((1, b"sha256:a"), (4, b"/web"), (5, b"A=1")),
    in_container((1, b"sha256:b"), (0, b"web"), (6, b"--x"), (7, b"A=1")),
    with_ima("boot_aggregate", "/usr/bin/sh"),
    with_ima("boot_aggregate"),
]
GRUB_FILES = [sha384(one) for one in (b"mok", b"cfg", b"kernel", b"initrd")]
SHIM, GRUB, KERNEL = (sha384(one) for one in (b"MZ shim", b"MZ grub", b"MZ kernel"))
CERTIFICATE, OTHER = hashlib.sha256(b"0certificate").hexdigest(), "ee" * 32
STUB_FILES = [sha384("console=hvc0\0".encode("utf-16-le")), sha384(b"initrd")]
SHELL = {"path": "/usr/bin/sh", "digests": [hashlib.sha256(b"/usr/bin/sh").hexdigest()]}
AGGREGATE = {"path": "boot_aggregate", "any_content": "a reason"}
SEPARATOR = {"id": "e", "register": "rtmr1", "type": "EV_SEPARATOR", "data": ["00000000"]}
ENTRY = {"domain": "d", "operation": "o"}
OPTIONS: dict[str, tuple[Any, ...]] = {
    "require_replay": (
        None,
        [],
        ["rtmr0"],
        ["rtmr0", "rtmr1"],
        ["rtmr0", "rtmr1", "rtmr2"],
        ["rtmr3"],
    ),
    "secure_boot": (None, "enabled", ["enabled", "disabled"], "disabled"),
    "db_certificates": (None, [CERTIFICATE], [OTHER], [CERTIFICATE, OTHER]),
    "images": (None, [SHIM], [SHIM, GRUB], [SHIM, GRUB, KERNEL]),
    "kernel_cmdline": (
        None,
        *(
            {"patterns": patterns, "files": files}
            for patterns in (["/vmlinuz quiet"], ["/vmlinuz .*"], ["/vmlinuz quiet", "/vmlinuz .*"])
            for files in ([], GRUB_FILES[1:], GRUB_FILES)
        ),
    ),
    "cmdline_digest": (None, STUB_FILES[:1], STUB_FILES, ["ee" * 48]),
    "initrd_digest": (None, STUB_FILES[1:], STUB_FILES, ["ee" * 48]),
    "events": (
        None,
        [SEPARATOR],
        [SEPARATOR | {"at_least": 2}],
        [SEPARATOR | {"data": ["ffffffff"]}],
        [SEPARATOR | {"data": ["ffffffff", "00000000"]}],
        [SEPARATOR | {"patterns": ["x"]}],
        [SEPARATOR | {"digests": [SHIM, GRUB]}],
        [SEPARATOR | {"digests": [SHIM]}],
        [SEPARATOR, SEPARATOR | {"id": "f", "at_least": 2}],
        [{"id": "e", "register": "rtmr1", "at": 2, "digests": [SHIM]}],
        [{"id": "e", "register": "rtmr1", "at": 2, "digests": [SHIM, KERNEL]}],
    ),
    "dstack": (
        None,
        {"app_id": [(b"a" * 20).hex()]},
        {"app_id": [(b"b" * 20).hex()]},
        {"app_id": [(b"a" * 20).hex(), (b"b" * 20).hex()]},
        {"app_id": [(b"a" * 20).hex()], "compose_hash": [(b"c" * 32).hex()]},
        {"key_provider": [{"name": "kms"}]},
        {"key_provider": [{"name": "kms", "id": "2"}]},
        {"key_provider": [{"name": "kms", "id": "1"}, {"name": "kms", "id": "2"}]},
        {"events": {"storage-fs": ["7a6673"]}},
        {"events": {"storage-fs": ["7a6673", "00"]}},
    ),
    "coco": (
        None,
        {"aael": [ENTRY]},
        {"aael": [ENTRY, ENTRY | {"operation": "p"}]},
        {"aael": [ENTRY, ENTRY | {"operation": "p", "required": True}]},
        {"aael": [ENTRY | {"contents": ["one"]}]},
        {"aael": [ENTRY | {"contents": ["two"]}]},
        {"init_data": ["c1" * 48]},
        {"init_data": ["c1" * 48], "aael": [ENTRY]},
    ),
    "confidential_space": (
        None,
        {"image_digest": ["sha256:a"]},
        {"image_digest": ["sha256:a"], "args": ["/web"]},
        {"image_digest": ["sha256:a"], "args": ["/web", ".*"], "env": ["A=1"]},
        {"image_digest": ["sha256:a", "sha256:b"]},
        {
            "image_digest": ["sha256:a", "sha256:b"],
            "override_args": ["--.*"],
            "override_env": ["A=.*"],
        },
        {"image_reference": ["web"], "override_args": ["--.*"], "override_env": ["A=.*"]},
    ),
    "ima": (
        None,
        {"allow": [AGGREGATE]},
        {"allow": [AGGREGATE, SHELL]},
        {"allow": [AGGREGATE], "files": STUB_FILES},
        {"allow": [AGGREGATE, SHELL], "files": STUB_FILES},
        {"allow": [AGGREGATE, SHELL | {"digests": ["ee" * 32]}], "files": STUB_FILES},
        {
            "allow": [AGGREGATE, SHELL, {"path": "/usr/bin/sh", "digests": ["ee" * 32]}],
            "files": STUB_FILES,
        },
        {
            "allow": [{"path": "boot_aggregate|/usr/bin/sh", "any_content": "a reason"}],
            "files": STUB_FILES,
        },
    ),
}


def loaded(section: dict[str, Any]) -> LoadedPolicy:
    """A policy that leaves the registers to its section `boot`, so that verdicts are of that alone."""
    said = {key: value for key, value in section.items() if value is not None}
    values = {"mr_td": "b0" * 48}
    unpinned = dict.fromkeys(("rtmr0", "rtmr1", "rtmr2"), "a reason")
    sets = {"release": [{"id": "r1", "values": values}]}
    return policy({"unpinned": unpinned}, reference_sets=sets, boot=said)


def admitted(by: LoadedPolicy) -> frozenset[int]:
    return frozenset(
        number
        for number, (claims, boot) in enumerate(MACHINES)
        if appraise(claims, by, NOW, boot=boot).decision is Decision.ACCEPTED
    )


def check(
    old: LoadedPolicy, new: LoadedPolicy, before: frozenset[int], after: frozenset[int]
) -> None:
    differences = diff(old.document, new.document)
    effects = {one.effect for one in differences}
    if effects <= {STRICTER, NONE}:
        assert after <= before, differences
    if effects <= {LOOSER, NONE}:
        assert before <= after, differences


@pytest.mark.parametrize("key", OPTIONS)
def test_directions_are_true(key: str) -> None:
    documents = [loaded({key: value}) for value in OPTIONS[key]]
    verdicts = [admitted(one) for one in documents]
    assert len(set(verdicts)) > 2  # machines tell values apart
    directed = set()
    for (old, before), (new, after) in itertools.permutations(
        zip(documents, verdicts, strict=True), 2
    ):
        assert diff(old.document, new.document)
        check(old, new, before, after)
        directed |= {one.effect for one in diff(old.document, new.document)}
    assert {STRICTER, LOOSER} <= directed


sections = st.fixed_dictionaries({key: st.sampled_from(values) for key, values in OPTIONS.items()})


@given(sections, sections)
def test_directions_are_true_of_keys_together(old: dict[str, Any], new: dict[str, Any]) -> None:
    before, after = loaded(old), loaded(new)
    check(before, after, admitted(before), admitted(after))


# what is told


def found(
    old: dict[str, Any] | None, new: dict[str, Any] | None
) -> list[tuple[str, str, str, str]]:
    documents = [
        load_policy(text() if one is None else text(boot=one)).document for one in (old, new)
    ]
    return [(one.path, one.effect.value, one.before, one.after) for one in diff(*documents)]


def test_a_section_that_says_nothing_is_none() -> None:
    assert found(None, {}) == []
    assert found(None, {"secure_boot": "enabled"}) == [
        ("boot.secure_boot", "stricter", "any", "enabled")
    ]
    assert found({"secure_boot": "enabled"}, None) == [
        ("boot.secure_boot", "looser", "enabled", "any")
    ]


def test_replay() -> None:
    default: dict[str, Any] = {}
    none: dict[str, Any] = {"require_replay": []}
    some = {"require_replay": ["rtmr1", "rtmr0"]}
    path = "boot.require_replay"
    assert found(default, none) == [(path, "looser", "the default", "none")]
    assert found(none, default) == [(path, "stricter", "none", "the default")]
    assert found(default, some) == [(path, "other", "the default", "rtmr0, rtmr1")]
    assert found(some, default) == [(path, "other", "rtmr0, rtmr1", "the default")]
    assert found(none, some) == [(path, "stricter", "", "rtmr0, rtmr1")]
    assert found(some, {"require_replay": ["rtmr0"]}) == [(path, "looser", "rtmr1", "")]


def test_rules_over_events_are_told_by_their_id() -> None:
    one = {"events": [SEPARATOR]}
    at_least = {"events": [SEPARATOR | {"at_least": 2}]}
    assert found(one, at_least) == [("boot.events.e.at_least", "stricter", "1", "2")]
    assert found(one, {"events": [SEPARATOR | {"register": "rtmr0"}]}) == [
        ("boot.events.e.register", "other", "rtmr1", "rtmr0")
    ]
    assert found(one, {"events": [SEPARATOR | {"digests": [SHIM]}]}) == [
        ("boot.events.e.digests", "other", "", SHIM)
    ]
    ((path, effect, _, after),) = found({}, one)
    assert (path, effect) == ("boot.events.e", "stricter")
    assert "register: rtmr1" in after


def test_reference_logs_concern_nobody() -> None:
    log = {"reference_logs": {"good": {"rtmr1": [{"digest": SHIM}]}}}
    assert [one[:2] for one in found({}, log)] == [("boot.reference_logs", "none")]


def test_files_are_told_by_their_path() -> None:
    one = {"ima": {"allow": [AGGREGATE, SHELL]}}
    assert (
        found(one, {"ima": {"allow": [SHELL, AGGREGATE | {"any_content": "another reason"}]}}) == []
    )
    both = {"ima": {"allow": [AGGREGATE, SHELL, SHELL | {"digests": [OTHER]}]}}
    assert found(one, both) == [("boot.ima.allow./usr/bin/sh", "looser", "", OTHER)]
    free = {
        "ima": {"allow": [AGGREGATE, {"path": "/usr/bin/sh", "any_content": "a reason"}, SHELL]}
    }
    assert [one[:2] for one in found(both, free)] == [("boot.ima.allow./usr/bin/sh", "looser")]
    assert [one[:2] for one in found(one, {"ima": {"allow": [AGGREGATE]}})] == [
        ("boot.ima.allow./usr/bin/sh", "stricter")
    ]


def test_entries_and_providers_in_words() -> None:
    rule = ENTRY | {"contents": ["a", "b"], "required": True}
    one, two = ({"coco": {"aael": rules}} for rules in ([ENTRY], [ENTRY, rule]))
    assert found(one, two) == [("boot.coco.aael", "other", "d o", "d o, d o (a | b), required")]
    providers = (
        {"dstack": {"key_provider": [said]}}
        for said in ({"name": "kms"}, {"name": "kms", "id": "x"})
    )
    assert found(*providers) == [
        ("boot.dstack.key_provider", "stricter", "kms", ""),
        ("boot.dstack.key_provider", "looser", "", "kms x"),
    ]


def test_order_and_notation_make_no_difference() -> None:
    one = {"images": SHIM, "kernel_cmdline": {"patterns": ["a", "b"]}}
    two = {"images": [SHIM.upper()], "kernel_cmdline": {"patterns": ["b", "a"], "files": []}}
    assert found(one, two) == []
    assert json.dumps(one) != json.dumps(two)
