"""The tests of a hooks.conf: its section `tests:`, tried by the verb check.

Owns the words about a test that fails. Its event is made up as `fire` makes it up. It runs no hook, and
judges none: the conditions of each do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone

from listener.cli.notifications import unknown
from listener.errors import HooksError
from listener.hooks.cases import Case
from listener.hooks.explanation import reasons, refusal
from listener.hooks.table import Hook, HookTable
from listener.hooks.values import nearest
from listener.hooks.yaml_lines import Mistake
from listener.model.notification import OWN_EVENT_TYPES
from listener.model.payload import from_mapping
from listener.model.sample import sample
from listener.model.secrets import mask, secrets_in


def failing(table: HookTable) -> Iterator[Mistake]:
    """What is wrong with each test, at its line."""
    for number, case in enumerate(table.tests or (), 1):
        secrets = secrets_in({}, case.taken)
        for line, reason in (*_unknown(case, table), *_wrong(case, table)):
            yield Mistake(line, f"test {number}: {mask(reason, secrets)}")
        known = {each for hook in table.hooks for each in hook.event_types}.union(OWN_EVENT_TYPES)
        if case.event_type not in known and (doubt := unknown(case.event_type)):
            yield Mistake(case.line, f"test {number}: {doubt}", is_warning=True)


def _unknown(case: Case, table: HookTable) -> Iterator[tuple[int, str]]:
    known = [hook.name for hook in table.hooks]
    for name, line in (*(case.runs or ()), *case.runs_not):
        if name not in known:
            hint = nearest(name, known) if known else "the file has none"
            yield line, f"there is no hook {name!r}; {hint}"


def _wrong(case: Case, table: HookTable) -> Iterator[tuple[int, str]]:
    """The hooks that run and are not to, or do not and are to."""
    at = time.time() if case.at is None else case.at
    try:
        made = sample(case.event_type, case.fields, datetime.fromtimestamp(at, timezone.utc))
    except HooksError as error:
        yield case.line, str(error)
        return
    event = case.event_type, from_mapping(made).hook_context(), at
    for hook in table.hooks:
        unmet = refusal(hook, *event)
        line = _line_for(case, hook, runs=unmet is None)
        if line and unmet:
            yield line, f"hook {hook.name!r} does not run: {unmet}"
        elif line:
            yield line, f"hook {hook.name!r} runs: {'; '.join(reasons(hook, *event))}"


def _line_for(case: Case, hook: Hook, *, runs: bool) -> int:
    """The line of what the test says against this; 0 if it says nothing against it."""
    wanted, unwanted = dict(case.runs or ()), dict(case.runs_not)
    if not runs:
        return wanted.get(hook.name, 0)
    is_left_out = case.runs is not None and hook.name not in wanted
    return unwanted.get(hook.name, case.line if is_left_out else 0)
