# SPDX-License-Identifier: Apache-2.0
"""The section `boot` for `policies.diff`: what it means as mappings, and how its own kinds of values compare.

A document without the section means what one with an empty section means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from policies.boot_document import BootRules
from policies.difference import Comparison, Difference, Effect, Found, members, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from policies.boot_application_document import AaelRule, ImaRule, KeyProvider

_ANY: Final = "any"  # content of a file; what is not said stands for no line at all
_allows = members(Effect.LOOSER)
_forbids = members(Effect.STRICTER)


def meaning(rules: BootRules | None, plain: Callable[[Any], Any]) -> dict[str, Any]:
    """The section as nested mappings, in which equal values mean the same. `plain`: models and mappings as mappings."""
    said = BootRules() if rules is None else rules
    found: dict[str, Any] = plain(said)
    found["events"] = {rule.id: _event(plain(rule)) for rule in said.events}
    if said.dstack is not None and said.dstack.key_provider is not None:
        found["dstack"]["key_provider"] = frozenset(map(_provider, said.dstack.key_provider))
    if said.ima is not None:
        found["ima"]["allow"] = _files(said.ima.allow)
    return found


def _event(rule: dict[str, Any]) -> dict[str, Any]:
    return {name.rstrip("_"): value for name, value in rule.items() if name != "id"}


def _provider(one: KeyProvider) -> str:
    return one.name if one.id is None else f"{one.name} {one.id}"


def _files(lines: Sequence[ImaRule]) -> dict[str, frozenset[bytes] | str]:
    """By path. Lines of one path are one line; where any content will do, no digest says more."""
    found: dict[str, frozenset[bytes] | str] = {}
    for line in lines:
        before = found.get(line.path, frozenset())
        if isinstance(before, str) or not line.digests:
            found[line.path] = _ANY
        else:
            found[line.path] = before | line.digests
    return found


def replay(path: str, old: frozenset[str] | None, new: frozenset[str] | None) -> Found:
    """Registers that must be explained. What the default is, depends on the evidence; it is more than none."""
    if old is None or new is None:
        effect = Effect.OTHER
        if not (old or new):
            effect = Effect.LOOSER if old is None else Effect.STRICTER
        yield Difference(path, effect, _registers(old), _registers(new))
        return
    yield from _forbids(path, old, new)


def _registers(said: frozenset[str] | None) -> str:
    return "the default" if said is None else text_of(said) or "none"


def alternatives(
    path: str, old: Sequence[object] | frozenset[object], new: Sequence[object] | frozenset[object]
) -> Found:
    """What an event may have. The first of a kind may be one more way to pass, or one more thing to have."""
    if old and new:
        yield from _allows(path, old, new)
    else:
        yield Difference(path, Effect.OTHER, text_of(old), text_of(new))


def contents(path: str, old: frozenset[bytes] | str, new: frozenset[bytes] | str) -> Found:
    """Digests that files of a path may have."""
    before, after = (None if isinstance(one, str) else one for one in (old, new))
    yield from _allows(path, before, after)


def entries(path: str, old: Sequence[AaelRule] | None, new: Sequence[AaelRule] | None) -> Found:
    """Entries of an agent. One more kind allows more, unless one of that kind must be there."""
    before, after = (None if one is None else frozenset(map(_entry, one)) for one in (old, new))
    changed = {*(old or ()), *(new or ())} - ({*(old or ())} & {*(new or ())})
    if old is None or new is None or not any(one.required for one in changed):
        yield from _allows(path, before, after)
    else:
        yield Difference(path, Effect.OTHER, text_of(before), text_of(after))


def _entry(rule: AaelRule) -> str:
    said = f"{rule.domain} {rule.operation}"
    said += "" if rule.contents is None else f" ({' | '.join(rule.contents)})"
    return f"{said}, required" if rule.required else said


COMPARISONS: Final[Mapping[str, Comparison]] = {
    "boot.require_replay": replay,
    "boot.secure_boot": _allows,
    "boot.db_certificates": _allows,
    "boot.db_hashes": _allows,
    "boot.images": _allows,
    "boot.kernel_cmdline.patterns": _allows,
    "boot.kernel_cmdline.files": _allows,
    "boot.cmdline_digest": _allows,
    "boot.initrd_digest": _allows,
    "boot.events.*.digests": alternatives,
    "boot.events.*.data": alternatives,
    "boot.events.*.patterns": alternatives,
    "boot.dstack.app_id": _allows,
    "boot.dstack.compose_hash": _allows,
    "boot.dstack.launch_compose_hash": _allows,
    "boot.dstack.instance_id": _allows,
    "boot.dstack.os_image_hash": _allows,
    "boot.dstack.key_provider": _allows,
    "boot.dstack.events.*": _allows,
    "boot.coco.init_data": _allows,
    "boot.coco.aael": entries,
    "boot.confidential_space.image_digest": _allows,
    "boot.confidential_space.image_id": _allows,
    "boot.confidential_space.image_reference": _allows,
    "boot.confidential_space.restart_policy": _allows,
    "boot.confidential_space.gpu_cc_mode": _allows,
    "boot.confidential_space.args": _allows,
    "boot.confidential_space.env": _allows,
    "boot.confidential_space.override_args": _allows,
    "boot.confidential_space.override_env": _allows,
    "boot.ima.allow.*": contents,
    "boot.ima.files": _allows,
}
