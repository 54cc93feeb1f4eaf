"""The inputs of a hook with a built-in action: which there are, and what each may be.

Owns the words about an input that is unknown, wrong or missing, and how often a hook's inputs are read.
It knows no action: each has a table of kinds, and asks it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Generic, TypeVar

from listener.actions import Fault
from listener.hooks.table import Hook
from listener.hooks.values import INVALID, Kind, in_words, nearest

_T = TypeVar("_T")


class OncePerHook(Generic[_T]):
    """What `read` makes of a hook. It is called once for each hook of each hooks.conf."""

    def __init__(self, read: Callable[[Hook], _T]) -> None:
        self._read = read
        self._known: dict[int, tuple[Hook, _T]] = {}  # by the hook's line

    def __call__(self, hook: Hook) -> _T:
        known = self._known.get(hook.line)
        if known is None or known[0] is not hook:
            known = self._known[hook.line] = hook, self._read(hook)
        return known[1]


def read_inputs(
    inputs: Mapping[str, Any],
    kinds: Mapping[str, Kind],
    *,
    required: Iterable[str] = (),
    others: Collection[str] = (),
) -> tuple[dict[str, Any], list[Fault]]:
    """Each known input as its kind reads it, INVALID where it is wrong; and all that is wrong.

    `others` are names that are right elsewhere, and are offered in place of an unknown one.
    """
    values: dict[str, Any] = {}
    faults = []
    for name, value in inputs.items():
        if name not in kinds:
            hint = nearest(str(name), (*kinds, *others))
            faults.append(Fault(name, f"unknown input {name!r:.60}; {hint}"))
            continue
        values[name] = kinds[name].read(value)
        if values[name] is INVALID:
            faults.append(Fault(name, f"{name!r} {kinds[name].refusal(in_words(value))}"))
    missing = [name for name in required if name not in values]
    faults += [Fault(None, f"the input {name!r} is missing; add it") for name in missing]
    return values, faults
