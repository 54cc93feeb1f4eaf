"""Every action there is: made when a hook first needs it, and closed together.

Owns the answer to which action stands behind a hook's `implementation`: a built-in by its name, one of
an installed package by a name without a dot, else the one for managed plugins' tasks and importable
functions. It knows no action by what it does, and imports none that no hook names: a listener pays for
what it uses. app.py and the verbs make one; the runner and check.py ask it.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from listener.actions import Action, Call, Fault, MistakenAction, Surroundings
from listener.actions.inputs import OncePerHook
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook
from listener.hooks.values import Kind
from listener.model.outcome import Tallies, Tally
from listener.model.secrets import mask, mask_values, secrets_in

TRAP = "cloudify.snmp.snmp_trap.send_snmp_trap"
"""As in the document; the only built-in whose name has a dot."""

BUILT_IN: Mapping[str, str] = {
    TRAP: "listener.actions.snmp_trap.action.SnmpTrapAction",
    "command": "listener.actions.command.CommandAction",
    "webhook": "listener.actions.webhook.action.WebhookAction",
    "notify": "listener.actions.notify.action.NotifyAction",
}
"""The class behind each implementation that has a name of ours."""

_FUNCTION = "listener.actions.function.FunctionAction"
_CHANGED = "conductor-hooks lacks a part of itself, as after an upgrade under the running listener"


def kind_of(place: str) -> type[Action]:
    """The class that stands at this place, a dotted name."""
    module, _, name = place.rpartition(".")
    kind: type[Action] = getattr(importlib.import_module(module), name)
    return kind


class Actions:
    """A context manager; leaving it closes every action. The arguments are those of Surroundings."""

    def __init__(
        self,
        settings: ListenerSettings,
        state_dir: str | None = None,
        config_folder: str = "",
        *,
        built_in: Mapping[str, str] = BUILT_IN,
    ) -> None:
        self._surroundings = Surroundings(settings, state_dir, config_folder)
        self._built_in = built_in
        self._made: dict[str, Action] = {}
        self._tallies = Tallies()
        self.secrets_of = OncePerHook(lambda hook: secrets_in(hook.inputs, hook.taken))
        """The secrets of a hook, for `mask`."""

    @property
    def state_dir(self) -> str | None:
        """Where what must outlive the process is kept, if anywhere."""
        return self._surroundings.state_dir

    def of(self, hook: Hook) -> Action:
        """The action that does this hook's work."""
        if hook.problem:
            return MistakenAction(hook.problem)
        name = hook.implementation
        if "." in name and name not in self._built_in:
            name = ""  # all functions and tasks have one action
        return self._made.get(name) or self._make(name)

    def _make(self, name: str) -> Action:
        place = self._built_in.get(name) if name else _FUNCTION
        if place:
            try:
                action = kind_of(place)(self._surroundings)
            except ImportError as error:  # pip has changed or removed the package since the start
                return MistakenAction(f"{_CHANGED}: {error}; restart the listener")
        else:
            from listener.actions.installed import installed  # a hook with such a name is rare

            action = installed(name, self._surroundings, self._built_in)
        self._made[name] = action
        return action

    def shown_inputs(self, call: Call) -> dict[str, Any]:
        """The inputs of a call's hook as a person may see them."""
        kinds = self.of(call.hook._replace(problem="")).inputs()
        shown: dict[str, Any] = mask_values(dict(call.hook.inputs), call.secrets)
        if not kinds:
            return shown
        return {name: shown[name] if _is_open(kinds.get(name)) else "…" for name in shown}

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        """What would make the hook fail, as Action.check; without its secrets."""
        secrets = self.secrets_of(hook)
        hook, open_places = _as_written(hook)
        faults = [
            fault
            for fault in self.of(hook).check(hook, may_import=may_import)
            if not f"{fault.input}.".startswith(open_places)
        ]
        return [fault._replace(reason=mask(fault.reason, secrets)) for fault in faults]

    def is_repeatable(self, hook: Hook) -> bool:
        """Whether running the hook twice is harmless: as it says itself, else as its action says."""
        return self.of(hook).repeatable if hook.repeatable is None else hook.repeatable

    def is_instant(self, hook: Hook) -> bool:
        """Whether the hook is over in a moment, and harmless to run twice."""
        if hook.templates:
            return False
        return self.of(hook).is_instant(hook) and self.is_repeatable(hook)

    def hosts_of(self, hook: Hook) -> Collection[str]:
        """The names and addresses that the hook sends to; of one with templates they are not known."""
        return () if hook.templates or hook.problem else self.of(hook).hosts(hook)

    def prepare(self, hooks: Iterable[Hook]) -> None:
        """Do what the first attempt at each hook would have to do first: for when nothing waits."""
        for hook in hooks:
            if hook.enabled and not hook.templates:
                self.of(hook).prepare(hook)

    def drain(self) -> None:
        """Log what programs left behind have printed since."""
        for action in self._made.values():
            action.drain()

    def count(self, hook: Hook, *, is_done: bool) -> None:
        """Count an attempt at the hook, unless its action counts for each destination itself."""
        if not self.of(hook).has_destinations:
            self._tallies.count(hook.implementation, is_sent=is_done)

    def take_tallies(self) -> dict[str, Tally]:
        """What was counted for each destination since this was last called."""
        tallies = self._tallies.take()
        for action in self._made.values():
            tallies |= action.take_tallies()
        return tallies

    def __enter__(self) -> Actions:
        return self

    def __exit__(self, *_: object) -> None:
        for action in self._made.values():
            action.close()


def _is_open(kind: Kind | None) -> bool:
    return kind is not None and not kind.is_secret


def _as_written(hook: Hook) -> tuple[Hook, tuple[str, ...]]:
    """The hook with its templates as they are written, and their places, each with a dot at its end.

    What a template will give is not known before an attempt, so nothing in its place is a fault.
    """
    if not hook.templates:
        return hook, ()
    from listener.hooks.template import as_written, places  # slow to import, and seldom needed

    known = hook._replace(inputs=as_written(hook.inputs), templates=())
    return known, tuple(f"{place}." for place in places(hook.inputs))
