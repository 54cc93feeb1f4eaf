"""The Action contract, shown by actions that somebody could have written in a dozen lines.

Some stand here, and some in a package that is installed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from listener.actions import Action, Call, Fault
from listener.actions.registry import BUILT_IN, TRAP, Actions, kind_of
from listener.errors import ActionFailed
from listener.hooks.file import load
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook, HookTable
from listener.model.notification import Notification
from listener.model.outcome import NEVER
from tests.support import uncounted_env

TOP = Path(__file__).parents[2]


class Greeting(Action):
    """Greets whoever started the workflow."""

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        return [] if "whom" in hook.inputs else [Fault("whom", "'whom' is missing; add it")]

    def run(self, call: Call) -> str:
        return f"hello {call.hook.inputs['whom']}"


GREET = {"greet": f"{Greeting.__module__}.{Greeting.__qualname__}"}


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
    with Actions(ListenerSettings(), built_in={**BUILT_IN, **GREET}) as actions:
        action = actions.of(first)
        assert action.run(Call(first, Notification("workflow_failed", {}), {}, 0.0)) == "hello you"
        assert (action.check(first, may_import=True), len(action.check(second, may_import=True))) == (
            [],
            1,
        )
        assert action.plugins(first) == ()
        assert actions.hosts_of(first) == ()
        actions.prepare(table.hooks)
        actions.drain()
        assert actions.take_tallies() == {}


@pytest.mark.parametrize(
    ("implementation", "inputs", "hosts"),
    [
        (TRAP, "destinations: [nms1, {destination_address: nms2}]", ["nms1", "nms2"]),
        (TRAP, "nonsense: 1", []),
        ("webhook", "url: 'http://w.example:8080/x'", ["w.example"]),
        (
            "webhook",
            "url: 'http://w.example/', proxy: 'http://u:p@proxy.example:3128'",
            ["proxy.example"],
        ),
        ("webhook", "nonsense: 1", []),
        ("webhook", "url: !template 'http://{{ deployment_id }}/'", []),
    ],
)
def test_the_hosts_of_a_hook_are_known_before_it_runs(
    tmp_path: Path, implementation: str, inputs: str, hosts: list[str]
) -> None:
    more = "destination_port: 162, community_string: public, " if "destinations" in inputs else ""
    conf = tmp_path / "hooks.conf"
    conf.write_text(
        f"hooks: [{{event_type: '*', implementation: {implementation}, inputs: {{{more}{inputs}}}}}]"
    )
    found = load(conf, {}).table
    assert found is not None
    with Actions(ListenerSettings()) as actions:
        assert list(actions.hosts_of(found.hooks[0])) == hosts


def test_an_action_is_not_repeatable_unless_it_or_the_hook_says_so(table: HookTable) -> None:
    first, second, _ = table.hooks
    with Actions(ListenerSettings(), built_in=GREET) as actions:
        assert not actions.is_repeatable(first)
        assert actions.is_repeatable(second)
    assert [name for name, place in BUILT_IN.items() if kind_of(place).repeatable] == [TRAP]


@pytest.mark.parametrize(
    ("implementation", "inputs", "shown"),
    [
        (TRAP, {"destination_address": "nms", "community_string": "public", "x": 1}, ["nms", "…", "…"]),
        ("my.page", {"team": "core", "api_key": "k3y", "to": "S3CRET 1"}, ["core", "…", "… 1"]),
        ("greet", {"whom": "you"}, ["you"]),
    ],
)
def test_of_inputs_a_person_sees_what_is_no_secret(
    implementation: str, inputs: dict[str, Any], shown: list[Any]
) -> None:
    hook = Hook("h", ("*",), implementation, inputs, 1, {})
    with Actions(ListenerSettings(), built_in={**BUILT_IN, **GREET}) as actions:
        call = Call(hook, Notification("workflow_failed", {}), {}, 0.0, secrets=("S3CRET",))
        assert list(actions.shown_inputs(call).values()) == shown


def test_what_no_hook_names_is_not_imported(tmp_path: Path) -> None:
    conf = tmp_path / "hooks.conf"
    conf.write_text(f"hooks: [{{event_type: '*', implementation: {TRAP}, inputs: {{nonsense: 1}}}}]")
    code = (
        "import sys\n"
        "from listener.actions.registry import Actions\n"
        "from listener.hooks.file import load\n"
        "table = load(sys.argv[1], {}).table\n"
        "with Actions(table.listener) as actions:\n"
        "    actions.prepare(table.hooks)\n"
        "    actions.drain()\n"
        "print(*sorted(name for name in sys.modules if name.startswith('listener.')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, conf],
        env=uncounted_env(),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = done.stdout.split()
    assert "listener.actions.snmp_trap.action" in imported
    kinds = {place.rpartition(".")[0] for place in BUILT_IN.values()}
    unused = kinds - {"listener.actions.snmp_trap.action"} | {"listener.interpreters.plugins"}
    assert unused.isdisjoint(imported)


def test_the_contract_itself_runs_nothing() -> None:
    action = Action.__new__(Action)
    hook = Hook("h", ("*",), "nothing", {}, 1, {})
    assert action.check(hook, may_import=True) == []
    with pytest.raises(NotImplementedError):
        action.run(Call(hook, Notification("workflow_failed", {}), {}, 0.0))


PACKAGE = """
from listener.actions import Action, Fault

class Shouting(Action):
    repeatable = True

    def __init__(self, surroundings):
        self._folder = surroundings.config_folder

    def check(self, hook, *, may_import):
        return [Fault("what", "'what' is missing; add it")] if not hook.inputs else []

    def run(self, call):
        return call.hook.inputs["what"].upper() + " from " + self._folder

class Faulty(Action):
    def broken(self, *args, **named):
        raise LookupError("on purpose")

    check = hosts = prepare = drain = take_tallies = close = broken

class Ending(Action):
    def run(self, call):
        if call.hook.inputs["how"] == "exit":
            raise SystemExit(3)
        return {"none": None, "number": 5}[call.hook.inputs["how"]]

class Stillborn(Action):
    def __init__(self, surroundings):
        raise LookupError("on purpose")

nothing = None
"""

ENTRY_POINTS = """
[conductor_hooks.actions]
shout = shouting_hooks:Shouting
faulty = shouting_hooks:Faulty
ending = shouting_hooks:Ending
stillborn = shouting_hooks:Stillborn
no-class = shouting_hooks:nothing
not-there = shouting_hooks:Whisper
no-module = not_installed_hooks:Action
greet = shouting_hooks:Shouting
twice = shouting_hooks:Shouting
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two packages as pip leaves them on sys.path; both have an action `twice`."""
    for name, entry_points in (
        ("shouting_hooks", ENTRY_POINTS),
        ("other_hooks", "[conductor_hooks.actions]\ntwice = other_hooks:Other\n"),
    ):
        metadata = tmp_path / "site" / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(entry_points)
    (tmp_path / "site" / "shouting_hooks.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield
    sys.modules.pop("shouting_hooks", None)


def hook_with(implementation: str, **inputs: str) -> Hook:
    return Hook("h", ("*",), implementation, inputs, 1, {}, retries=1)


def result(actions: Actions, hook: Hook) -> str:
    return actions.of(hook).run(Call(hook, Notification("workflow_failed", {}), {}, 0.0))


def test_an_action_of_an_installed_package_is_found_by_its_name(installed: None) -> None:
    hook = hook_with("shout", what="hello")
    with Actions(ListenerSettings(), None, "/etc") as actions:
        assert result(actions, hook) == "HELLO from /etc"
        assert actions.is_repeatable(hook)
        assert actions.check(hook, may_import=False) == []
        [fault] = actions.check(hook_with("shout"), may_import=False)
        assert fault == Fault("what", "'what' is missing; add it")
    with Actions(ListenerSettings(), built_in=GREET) as actions:
        assert result(actions, hook_with("greet", whom="you")) == "hello you"


UNUSABLE = {
    "comand": "there is no action 'comand', and a function needs its module, as in module.comand; did"
    " you mean 'command'?",
    "stillborn": "the action 'stillborn' of shouting_hooks:Stillborn cannot be used: LookupError: on"
    " purpose",
    "no-class": "the action 'no-class' of shouting_hooks:nothing cannot be used: TypeError: it is no"
    " class that inherits from listener.actions.Action",
    "not-there": "the action 'not-there' of shouting_hooks:Whisper cannot be used: AttributeError:"
    " module 'shouting_hooks' has no attribute 'Whisper'",
    "no-module": "the action 'no-module' of not_installed_hooks:Action cannot be used:"
    " ModuleNotFoundError: No module named 'not_installed_hooks'",
    "twice": "several packages have an action 'twice': other_hooks:Other, shouting_hooks:Shouting",
}


@pytest.mark.parametrize(("name", "reason"), UNUSABLE.items())
def test_an_action_that_cannot_be_used_fails_its_own_hooks_for_good(
    installed: None, name: str, reason: str
) -> None:
    with Actions(ListenerSettings()) as actions:
        assert actions.check(hook_with(name), may_import=False) == [Fault(None, reason)]
        with pytest.raises(ActionFailed) as failed:
            result(actions, hook_with(name))
        assert (str(failed.value), failed.value.retry_after_s) == (reason, NEVER)
        assert result(actions, hook_with("shout", what="on")).startswith("ON")


def test_an_action_of_another_version_fails_its_hooks_until_the_listener_is_restarted() -> None:
    hook = hook_with("page")
    with Actions(ListenerSettings(), built_in={"page": "listener.actions.page.PageAction"}) as actions:
        reason = (
            "conductor-hooks lacks a part of itself, as after an upgrade under the running listener: No"
            " module named 'listener.actions.page'; restart the listener"
        )
        assert actions.check(hook, may_import=False) == [Fault(None, reason)]
        with pytest.raises(ActionFailed, match="restart the listener"):
            result(actions, hook)


def test_what_an_installed_action_raises_harms_nobody_else(
    installed: None, caplog: pytest.LogCaptureFixture
) -> None:
    hook = hook_with("faulty")
    with Actions(ListenerSettings()) as actions:
        assert actions.check(hook, may_import=False) == []
        assert actions.hosts_of(hook) == ()
        actions.prepare([hook])
        actions.drain()
        assert actions.take_tallies() == {}
    verbs = ("check", "name its hosts", "prepare", "drain", "take_tallies", "close")
    assert caplog.messages == [
        f"the action faulty failed to {verb}: LookupError: on purpose" for verb in verbs
    ]


@pytest.mark.parametrize(("how", "text"), [("none", ""), ("number", "5")])
def test_what_an_installed_action_returns_is_taken_for_a_text(
    installed: None, how: str, text: str
) -> None:
    with Actions(ListenerSettings()) as actions:
        assert result(actions, hook_with("ending", how=how)) == text


def test_an_installed_action_that_calls_exit_fails_and_does_not_end_the_listener(
    installed: None,
) -> None:
    with (
        Actions(ListenerSettings()) as actions,
        pytest.raises(ActionFailed, match=r"^it called sys\.exit\(3\)$"),
    ):
        result(actions, hook_with("ending", how="exit"))


def test_packages_are_looked_for_only_when_a_hook_has_a_name_that_is_no_path() -> None:
    program = (
        "import sys\n"
        "from listener.actions.registry import Actions\n"
        "from listener.hooks.settings import ListenerSettings\n"
        "from listener.hooks.table import Hook\n"
        "actions = Actions(ListenerSettings())\n"
        "for path in ('command', 'my_hooks.page', 'notfy'):\n"
        "    actions.of(Hook('h', ('*',), path, {}, 1, {}))\n"
        "    print('importlib.metadata' in sys.modules)\n"
    )
    command = [sys.executable, "-c", program]
    shown = subprocess.check_output(command, cwd=TOP, env=uncounted_env(), text=True)
    assert shown.split() == ["False", "False", "True"]
