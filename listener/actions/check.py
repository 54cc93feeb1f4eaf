"""Checks the hooks of a table without running them.

Owns the question whether each hook can do its work, which every Action answers for itself, and puts
the answers at the lines of hooks.conf. The listener asks at its start, the `check` verb with more
patience.
"""

from __future__ import annotations

from listener.actions.registry import Actions
from listener.hooks.table import Hook, HookTable
from listener.hooks.yaml_lines import Mistake
from listener.interpreters.plugins import Plugin


def plugins_used(table: HookTable, actions: Actions) -> list[tuple[Hook, Plugin]]:
    """Every enabled hook that runs a managed plugin's task, with each plugin that it may run it in."""
    return [
        (hook, plugin) for hook in table.hooks if hook.enabled for plugin in actions.plugins_of(hook)
    ]


def described(hook: Hook, plugin: Plugin) -> str:
    """Such a pair as a person is told of it."""
    for_whom = f" for tenant {plugin.tenant}" if plugin.tenant else ""
    return f"hook {hook.name!r} runs in the managed plugin {plugin.name} {plugin.version}{for_whom}"


def check_hooks(table: HookTable, actions: Actions, *, may_import: bool) -> list[Mistake]:
    """What will make a hook of this table fail, by line. With `may_import`, modules' code is run."""
    return [
        Mistake(
            hook.input_lines.get(fault.input or "", hook.line),
            f"hook {hook.name!r}: {fault.reason}",
            not fault.is_certain,
        )
        for hook in table.hooks
        if hook.enabled
        for fault in actions.of(hook).check(hook, may_import=may_import)
    ]
