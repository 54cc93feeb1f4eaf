"""A stored run finds the hook of now.

Owns the rule by which a run that was planned with an earlier hooks.conf is recognised in the one in
force. It reads no file and changes no run; the dispatcher calls it before it goes on with an entry, and
the verb `replay` before it plans one again.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from listener.hooks.table import Hook
from listener.model.entry import UNSETTLED, Run


def rematch(
    runs: Sequence[Run], matching: Sequence[Hook], others: Sequence[Hook] = ()
) -> list[Hook | None]:
    """For each run its hook, each hook once; None where there is none any more.

    A hook is recognised by its name; one without a name by its inputs, or, where as many runs as
    matching hooks of an implementation are left, by its place among them: then its inputs were
    corrected. `matching` are the hooks that match the notification now, `others` those that run for it
    all the same.
    """
    left = [*matching, *others]
    found: list[Hook | None] = [None] * len(runs)
    unsettled_first = sorted(range(len(runs)), key=lambda each: runs[each].state not in UNSETTLED)
    for position in unsettled_first:
        hook = next((hook for hook in left if _is_same(runs[position], hook)), None)
        if hook is not None:
            found[position] = hook
            left.remove(hook)
    lost = [position for position, run in enumerate(runs) if found[position] is None and run.mark]
    for implementation in {runs[position].implementation for position in lost}:
        positions = [each for each in lost if runs[each].implementation == implementation]
        corrected = [
            hook
            for hook in left
            if hook.mark and hook.implementation == implementation and hook in matching
        ]
        if len(positions) == len(corrected):
            for position, hook in zip(positions, corrected, strict=True):
                found[position] = hook
    return found


def updated(run: Run, hook: Hook) -> Run:
    """The run as the hook is called now, and with what that calls."""
    return msgspec.structs.replace(
        run, hook=hook.name, implementation=hook.implementation, mark=hook.mark
    )


def _is_same(run: Run, hook: Hook) -> bool:
    if run.mark or hook.mark:
        return run.mark == hook.mark and run.implementation == hook.implementation
    return run.hook == hook.name
