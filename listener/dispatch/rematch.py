"""A stored run finds its hook in the hooks.conf in force.

Owns the rule by which the hook of a run is recognised although hooks.conf has changed. It reads no file
and stores nothing; job.py calls it for a stored entry, the verb `replay` before it plans one again.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from listener.hooks.table import Hook
from listener.model.entry import UNSETTLED, Run


def rematch(
    runs: Sequence[Run], matching: Sequence[Hook], others: Sequence[Hook] = ()
) -> list[Hook | None]:
    """The hook of each run, each hook once; None for a run whose hook is gone.

    A hook is recognised by its name; one without a name by its inputs, or by its place if it had a
    mistake. If an implementation has as many unnamed runs left as unnamed hooks that match, their
    inputs were corrected, and the order decides. `matching` are the hooks that match the notification,
    `others` the rest of its event type: their `when` may have changed since the run was planned.
    """
    left = [*matching, *others]
    found: list[Hook | None] = [None] * len(runs)
    unsettled_first = sorted(range(len(runs)), key=lambda each: runs[each].state not in UNSETTLED)
    for position in unsettled_first:
        hook = next((hook for hook in left if _is_same(runs[position], hook)), None)
        if hook is not None:
            found[position] = hook
            left.remove(hook)
    lost = [
        position for position, run in enumerate(runs) if found[position] is None and run.fingerprint
    ]
    for implementation in {runs[position].implementation for position in lost}:
        positions = [each for each in lost if runs[each].implementation == implementation]
        corrected = [
            hook
            for hook in left
            if hook.fingerprint and hook.implementation == implementation and hook in matching
        ]
        if len(positions) == len(corrected):
            for position, hook in zip(positions, corrected, strict=True):
                found[position] = hook
    return found


def updated(run: Run, hook: Hook) -> Run:
    """The run with the name and the implementation that its hook has now."""
    return msgspec.structs.replace(
        run, hook=hook.name, implementation=hook.implementation, fingerprint=hook.fingerprint
    )


def _is_same(run: Run, hook: Hook) -> bool:
    if run.fingerprint:
        return run.fingerprint == hook.fingerprint and run.implementation == hook.implementation
    return run.hook == hook.name
