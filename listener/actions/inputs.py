"""The inputs of a hook with a built-in action: which there are, and what each may be.

Owns the words about an input that is unknown, wrong or missing. It knows no action: each has a table of
kinds, and asks it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from listener.actions import Fault
from listener.hooks.values import INVALID, Kind, in_words, nearest


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
