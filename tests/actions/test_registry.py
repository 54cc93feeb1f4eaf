"""The Action contract, shown by an action that somebody could have written in a dozen lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from listener.actions import Action, Call, Fault
from listener.actions.registry import BUILT_IN, Actions
from listener.hooks.file import load
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook, HookTable
from listener.model.notification import Notification


class Greeting(Action):
    """Greets whoever started the workflow."""

    name = "greet"

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        return [] if "whom" in hook.inputs else [Fault("whom", "'whom' is missing; add it")]

    def run(self, call: Call) -> str:
        return f"hello {call.hook.inputs['whom']}"


@pytest.fixture
def table(tmp_path: Path) -> HookTable:
    conf = tmp_path / "hooks.conf"
    conf.write_text(
        "hooks:\n"
        "- {event_type: '*', implementation: greet, inputs: {whom: you}}\n"
        "- {event_type: '*', implementation: greet, repeatable: true}\n"
        "- {event_type: '*', implementation: greet, enabled: false}\n"
    )
    found = load(conf, {}).table
    assert found is not None
    return found


def test_an_action_needs_a_name_and_run_and_the_rest_has_defaults(table: HookTable) -> None:
    first, second, _ = table.hooks
    with Actions(ListenerSettings(), built_in=(*BUILT_IN, Greeting)) as actions:
        action = actions.of(first)
        assert action.run(Call(first, Notification("workflow_failed", {}), {}, 0.0)) == "hello you"
        assert (action.check(first, may_import=True), len(action.check(second, may_import=True))) == (
            [],
            1,
        )
        assert actions.plugins_of(first) == ()
        actions.prepare(table.hooks)
        actions.drain()
        assert actions.take_tallies() == {}


def test_an_action_is_not_repeatable_unless_it_or_the_hook_says_so(table: HookTable) -> None:
    first, second, _ = table.hooks
    with Actions(ListenerSettings(), built_in=(Greeting,)) as actions:
        assert not actions.is_repeatable(first)
        assert actions.is_repeatable(second)
    assert [kind.name for kind in BUILT_IN if kind.repeatable] == [BUILT_IN[0].name]


def test_the_contract_itself_runs_nothing() -> None:
    action = Action.__new__(Action)
    hook = Hook("h", ("*",), "nothing", {}, 1, {})
    assert action.check(hook, may_import=True) == []
    with pytest.raises(NotImplementedError):
        action.run(Call(hook, Notification("workflow_failed", {}), {}, 0.0))
