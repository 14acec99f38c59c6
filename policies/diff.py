# SPDX-License-Identifier: Apache-2.0
"""What differs between two policies in what they mean: which path, from what to what, and whom it can concern.

Compared are documents, not texts: order, notation, comments and defaults that are written out make no difference.

    stricter   can only refuse machines that were accepted
    looser     can only admit machines that were refused; of `issue.lifetime`, a longer life
    other      either, or neither: names, the profile, a register's single value for another
    none       no machine is judged otherwise: notes, reasons, the version, sets that are not used

What is told of the whole: if every difference is `stricter` or `none`, nobody is newly admitted; if every one is
`looser` or `none`, nobody is newly refused. So where two keys work together, or the direction of a key is not known
here, it is `other`. Both documents are taken as ones that lint would let be saved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from policies import boot_diff
from policies.difference import (
    OPPOSITE,
    Comparison,
    Difference,
    Effect,
    Found,
    always,
    appraisal,
    components,
    fixed,
    mask,
    members,
    ordered,
    text_of,
    until,
    version,
)
from policies.model import Model
from policies.nvidia_versions import driver_numbers, vbios_numbers
from verifiers.tdx.claims import TdAttribute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.document import PolicyDocument, ReferenceEntry
    from policies.tdx_document import TdxRules, ToleratedTcb


def diff(old: PolicyDocument, new: PolicyDocument) -> tuple[Difference, ...]:
    """Every difference, in the order of the document's keys."""
    return tuple(_walk("", "", _meaning(old), _meaning(new)))


def _walk(path: str, pattern: str, old: Any, new: Any) -> Found:  # noqa: ANN401 - any value of a document
    """`pattern`: the path with * for the keys of mappings, as in the tables below."""
    if old == new:
        return
    if pattern in COMPARISONS:
        yield from COMPARISONS[pattern](path, old, new)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in _keys(old, new):
            named = pattern if not pattern else f"{pattern}."
            name = key if f"{named}{key}" in PATTERNS else "*"
            where = f"{path}.{key}" if path else key
            yield from _walk(where, f"{named}{name}", old.get(key), new.get(key))
    else:
        yield Difference(path, Effect.OTHER, text_of(old), text_of(new))


def _keys(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return list(dict.fromkeys([*old, *new]))


# documents as mappings of what they mean


def _meaning(document: PolicyDocument) -> dict[str, Any]:
    """The document as nested mappings, in which equal values mean the same."""
    said: dict[str, Any] = _plain(document)
    used = set(document.rules.measurements)
    said["reference_sets"] = {
        name: _entries(entries) if name in used else _Unused(_entries(entries))
        for name, entries in document.reference_sets.items()
    }
    if document.tdx is not None:
        rules = said["tdx"]
        rules["attributes"]["allowed"] = _allowed_attributes(document.tdx)
        rules["tcb"]["accept"] = _tolerated(document.tdx.tcb.accept)
        rules["platforms"] |= (
            {} if document.tdx.lists_chips else {"platform_instance_id": None, "ppid": None}
        )
    said["boot"] = boot_diff.meaning(document.boot, _plain)
    return said


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a document
    """Models and mappings as mappings by text; everything else as it is."""
    if isinstance(value, Model):
        return {name: _plain(one) for name, one in value}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class _Unused:
    """A reference set that no rule names: nobody is compared with it."""

    entries: Mapping[str, object]


def _entries(entries: Sequence[ReferenceEntry]) -> dict[str, Any]:
    """By id."""
    return {entry.id: _plain(entry) for entry in entries}


def _tolerated(accept: Sequence[ToleratedTcb]) -> dict[str, Any]:
    """By status, and by place among those of one status."""
    count: Counter[str] = Counter()
    found: dict[str, Any] = {}
    for one in accept:
        number = count[one.status]
        count[one.status] += 1
        found[f"{one.status}[{number}]" if number else str(one.status)] = _plain(one)
    return found


def _allowed_attributes(rules: TdxRules) -> frozenset[str] | None:
    """With those that are allowed because they are required."""
    attributes = rules.attributes
    if attributes.allowed is None:
        return None
    return attributes.allowed | attributes.required | {TdAttribute.SEPT_VE_DISABLE}


# comparisons


def _keyed(
    pattern: str, added: Effect, first: Effect | None = None, *, empty: bool = False
) -> Comparison:
    """A mapping, of which one more key is of effect `added`.

    `first`: of the first keys where there were none (`empty`: an empty mapping, too, is none).
    """

    def compare(path: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Found:
        none: tuple[object, ...] = ({}, None) if empty else (None,)
        if first is not None and (old in none or new in none):
            effect = first if old in none else OPPOSITE[first]
            yield Difference(path, effect, text_of(old or None), text_of(new or None))
            return
        before, after = old or {}, new or {}
        for key in _keys(before, after):
            where, was, now = f"{path}.{key}", before.get(key), after.get(key)
            if was == now:
                continue
            if was is None:
                yield Difference(where, added, "", text_of(now))
            elif now is None:
                yield Difference(where, OPPOSITE.get(added, added), text_of(was), "")
            else:
                yield from _walk(where, f"{pattern}.*", was, now)

    return compare


def _section(pattern: str, added: Effect) -> Comparison:
    """A part of the document that need not be there."""

    def compare(path: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Found:
        if old is None or new is None:
            effect = added if old is None else OPPOSITE.get(added, added)
            yield Difference(path, effect, _keys_of(old), _keys_of(new))
            return
        for key in _keys(old, new):
            yield from _walk(f"{path}.{key}", f"{pattern}.{key}", old[key], new[key])

    return compare


def _reference_sets(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Found:
    """Sets by name; that one comes into use or goes out of it is told at `measurements`."""
    for name in _keys(old, new):
        where, was, now = f"{path}.{name}", old.get(name), new.get(name)
        if was == now:
            continue
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from _entries_of_a_set(where, was, now)
        else:
            yield Difference(where, Effect.NONE, _set_text(was), _set_text(now))


def _entries_of_a_set(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Found:
    """Entries by id. One that has another id alone is the same release."""
    renamed = {
        before: after
        for before, after in product(old.keys() - new.keys(), new.keys() - old.keys())
        if _release(old[before]) == _release(new[after])
    }
    for before in sorted(renamed):
        yield Difference(f"{path}.{before}.id", Effect.NONE, before, renamed[before])
    left = {name: entry for name, entry in old.items() if name not in renamed}
    come = {name: entry for name, entry in new.items() if name not in renamed.values()}
    yield from _keyed("reference_sets.*", Effect.LOOSER)(path, left, come)


def _release(entry: Mapping[str, Any]) -> tuple[object, object]:
    values = {register: frozenset(several) for register, several in entry["values"].items()}
    return values, entry["expires"]


_STRICTER, _LOOSER, _OTHER = Effect.STRICTER, Effect.LOOSER, Effect.OTHER
_nothing = always(Effect.NONE)
_other = always(Effect.OTHER)
_forbids = members(_STRICTER)  # one more asks more
_allows = members(_LOOSER)
_minimum = ordered(_STRICTER)
_most = ordered(_LOOSER)
_exception = Effect.LOOSER  # one more thing that is let pass

COMPARISONS: Final[Mapping[str, Comparison]] = {
    "name": _other,
    "version": _nothing,
    "description": _nothing,
    "not_before": ordered(_STRICTER),
    "not_after": until,
    "match.tee": _other,
    "match.provider": fixed,
    "reference_sets": _reference_sets,
    "reference_sets.*.*.values": _keyed("reference_sets.*.*.values", _STRICTER),
    "reference_sets.*.*.values.*": _allows,
    "reference_sets.*.*.note": _nothing,
    "reference_sets.*.*.added": _nothing,
    "reference_sets.*.*.expires": until,
    "reference_sets.*.*.source": _nothing,
    "tdx": _section("tdx", _OTHER),
    "tdx.measurements": _forbids,
    "tdx.unpinned": _keyed("tdx.unpinned", _exception),
    "tdx.unpinned.*": _nothing,
    "tdx.attributes.required": _forbids,
    "tdx.attributes.forbidden": _forbids,
    "tdx.attributes.allowed": _allows,
    "tdx.xfam.required": mask(_STRICTER),
    "tdx.xfam.allowed": mask(_LOOSER),
    "tdx.tcb.accept": _keyed("tdx.tcb.accept", _exception),
    "tdx.tcb.accept.*.until": until,
    "tdx.tcb.accept.*.advisories": _allows,
    "tdx.tcb.accept.*.note": _nothing,
    "tdx.tcb.refuse_advisories": _forbids,
    "tdx.tcb.minimum.tcb_evaluation_data_number": _minimum,
    "tdx.tcb.minimum.tee_tcb_svn": components,
    "tdx.tcb.minimum.tdx_module": _keyed("tdx.tcb.minimum.tdx_module", _LOOSER, _STRICTER),
    "tdx.tcb.minimum.tdx_module.*": _minimum,
    "tdx.tcb.minimum.sgx_tcb_components": components,
    "tdx.tcb.minimum.pcesvn": _minimum,
    "tdx.tcb.minimum.qe_isvsvn": _minimum,
    "tdx.tolerate_stale.*": ordered(_LOOSER, timedelta()),
    "tdx.platforms.fmspc": _allows,
    "tdx.platforms.platform_instance_id": _allows,
    "tdx.platforms.ppid": _allows,
    "snp": _section("snp", _OTHER),
    "snp.measurements": _forbids,
    "snp.unpinned": _keyed("snp.unpinned", _exception),
    "snp.unpinned.*": _nothing,
    "snp.guest_policy.required": _forbids,
    "snp.guest_policy.forbidden": _forbids,
    "snp.allow_smt": _most,
    "snp.vmpl": _allows,
    "snp.id_block.guest_svn": _minimum,
    "snp.id_block.family_id": fixed,
    "snp.id_block.image_id": fixed,
    "snp.products.allow": _allows,
    "snp.products.deny": _forbids,
    "snp.products.deny_cpus": _forbids,
    "snp.platform_info.required": _forbids,
    "snp.platform_info.forbidden": _forbids,
    "snp.mitigation_vectors.launch": mask(_STRICTER),
    "snp.mitigation_vectors.current": mask(_STRICTER),
    "snp.vlek": _section("snp.vlek", _LOOSER),
    "snp.vlek.csp_ids": _allows,
    "snp.tcb.advisories": _forbids,
    # A floor for one more CPU model lets it pass, beside that of its product line it asks more.
    "snp.tcb.minimum": _keyed("snp.tcb.minimum", _OTHER, _STRICTER, empty=True),
    "snp.tcb.minimum.*.reported": _keyed("snp.tcb.minimum.*.reported", _STRICTER),
    "snp.tcb.minimum.*.committed": _keyed("snp.tcb.minimum.*.committed", _STRICTER),
    "snp.tcb.minimum.*.current": _keyed("snp.tcb.minimum.*.current", _STRICTER),
    "snp.tcb.minimum.*.launch": _keyed("snp.tcb.minimum.*.launch", _STRICTER),
    "snp.tcb.minimum.*.reported.*": _minimum,
    "snp.tcb.minimum.*.committed.*": _minimum,
    "snp.tcb.minimum.*.current.*": _minimum,
    "snp.tcb.minimum.*.launch.*": _minimum,
    "snp.tcb.no_floor": _nothing,  # told at advisories and minimum
    "snp.tolerate_stale.*": ordered(_LOOSER, timedelta()),
    "snp.chips": _allows,
    "nvidia": _section("nvidia", _OTHER),
    "nvidia.appraisal": appraisal,
    "nvidia.gpus.min": _minimum,
    "nvidia.gpus.max": _most,
    "nvidia.switches.min": _minimum,
    "nvidia.switches.max": _most,
    "nvidia.models": _allows,
    "nvidia.modes": _allows,
    "nvidia.driver.advisories": _forbids,
    "nvidia.driver.minimum": _keyed("nvidia.driver.minimum", _LOOSER, _STRICTER, empty=True),
    "nvidia.driver.minimum.*": version(driver_numbers),
    "nvidia.driver.no_minimum": _nothing,
    "nvidia.vbios.advisories": _forbids,
    "nvidia.vbios.minimum": _keyed("nvidia.vbios.minimum", _LOOSER, _STRICTER, empty=True),
    "nvidia.vbios.minimum.*": version(vbios_numbers),
    "nvidia.vbios.no_minimum": _nothing,
    "nvidia.coverage": _minimum,
    "nvidia.devices": _allows,
    "nvidia.tolerate_stale.*": ordered(_LOOSER, timedelta()),
    **boot_diff.COMPARISONS,
    "boot.kernel_cmdline": _section("boot.kernel_cmdline", _STRICTER),
    "boot.events": _keyed("boot.events", _STRICTER),
    "boot.events.*.register": _other,
    "boot.events.*.at": _other,
    "boot.events.*.type": _other,
    "boot.events.*.name": _other,
    "boot.events.*.at_least": _minimum,
    "boot.reference_logs": _nothing,  # they explain
    "boot.dstack": _section("boot.dstack", _STRICTER),
    "boot.dstack.events": _keyed("boot.dstack.events", _STRICTER),
    "boot.coco": _section("boot.coco", _STRICTER),
    "boot.confidential_space": _section("boot.confidential_space", _STRICTER),
    "boot.ima": _section("boot.ima", _STRICTER),
    "boot.ima.allow": _keyed("boot.ima.allow", _LOOSER),
    # Without the section nobody is admitted by a vTPM of Google's.
    "google": _section("google", _LOOSER),
    "google.projects": _allows,
    "google.zones": _allows,
    "google.instances": _allows,
    "google.tolerate_stale_crl": _most,
    "relax": _keyed("relax", _exception),
    "relax.*": _nothing,
    "warn": _keyed("warn", _exception),
    "warn.*": until,
    "issue.profile": _other,
    "issue.lifetime": _most,
    "issue.san.dns": _other,
    "issue.san.uri": _other,
    "issue.shared_name": _nothing,
    "issue.withhold_chip_handle": _other,
}
PATTERNS: Final = frozenset(
    ".".join(pattern.split(".")[:depth])
    for pattern in COMPARISONS
    for depth in range(1, pattern.count(".") + 2)
)


def _keys_of(section: Mapping[str, object] | None) -> str:
    """What a section says, by its keys."""
    said = section or {}
    return text_of([key for key, value in said.items() if value not in ({}, None)])


def _set_text(value: object) -> str:
    """A reference set by the ids of its entries."""
    entries = value.entries if isinstance(value, _Unused) else value
    return text_of(list(entries)) if isinstance(entries, Mapping) else ""
