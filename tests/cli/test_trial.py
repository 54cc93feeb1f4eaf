"""The tests that hooks.conf has of its own hooks: what `check` says of one that fails."""

from __future__ import annotations

import pytest

from listener.cli.trial import failing
from listener.hooks.cases import CASES
from listener.hooks.conf import read
from tests.cli.commands import TRIED


def wrong_in(text: str) -> list[str]:
    """What is wrong or doubtful, at its line."""
    table, mistakes = read(text, env={}, folder="/", tests=CASES)
    assert table is not None
    return [mistake.as_text("") for mistake in (*mistakes, *failing(table))]


def test_tests_that_hold_say_nothing() -> None:
    assert wrong_in(TRIED) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("tenant_name: acme, execution_parameters: {x: 1}", "tenant_name: beta", 'line 10: test 1: hook'
         """ 'page' does not run: when.tenant_name: wants "acme", found "beta\""""),
        ("runs: page", "runs_not: [page]", "line 10: test 1: hook 'page' runs: event_type:"
         ' workflow_failed; when.tenant_name: "acme"; when.execution_parameters.x: 1'),
        ("31 23:00", "31 23:00+09:00", "line 11: test 2: hook 'night' does not run: when.during: wants"
         ' "22:00-06:00", found Sat 2026-01-31 14:00 UTC'),
        ("12:00+01:00", "23:00+01:00", "line 12: test 3: hook 'night' runs: event_type:"
         " workflow_queued; when.during: Sat 2026-01-31 22:00 UTC"),
        ("runs: [night]", "runs: [nigth]", "line 11: test 2: there is no hook 'nigth'; did you mean"),
        ("acme, execution_parameters: {", "acme, x: {", "line 8: test 1: a notification has no"),
        ("runs: []", "run: []", "line 12: test 3 has the unknown key 'run'; did you mean 'runs'?"),
        (", runs: []", "", "line 12: test 3 names no hook; add 'runs' or 'runs_not'"),
        ("event: workflow_queued, ", "", "line 12: test 3 has no 'event'; add it"),
        ("event: workflow_queued", "event: [a]", "line 12: test 3: 'event' must be an event type, or"),
        ("event: workflow_queued", "event: {a: 1}", "line 12: test 3: 'event' must be an event type"),
        ("2026-01-31 23:00", "noon", "line 11: test 2: 'at' must be a time, as in 2026-01-31T23:59"),
        ("event: workflow_queued", "event: !env GONE", "line 12: the environment variable"),
        ("2026-01-31 23:00", "5", "line 11: test 2: 'at' must be a time, as in 2026-01-31T23:59"),
        ("tests:", "tests: {}\nx:", "line 7: 'tests' must be a list of tests, found a mapping"),
        ("runs: [night]", "runs: [5]", "line 11: test 2: 'runs' must be a text, found 5"),
        ("event: workflow_queued", "event: workflow_qeued", "line 12: test 3: Conductor"),
    ],
)  # fmt: skip
def test_a_test_that_fails_says_why_at_its_line(old: str, new: str, found: str) -> None:
    assert old in TRIED
    assert any(wrong.startswith(f", {found}") for wrong in wrong_in(TRIED.replace(old, new, 1)))
