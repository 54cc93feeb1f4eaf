"""Checks the hooks of a table without running them.

Owns the line of hooks.conf that each answer stands at. It judges no hook itself: the actions do. The
listener calls it at its start and when hooks.conf has changed; so do the verbs `check`, `doctor` and
`plugins remove`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from listener.actions.registry import Actions
from listener.hooks.table import Hook, HookTable
from listener.hooks.yaml_lines import Mistake

if TYPE_CHECKING:
    from listener.interpreters.plugins import Plugin


def plugins_used(table: HookTable, actions: Actions) -> list[tuple[Hook, Plugin]]:
    """Every enabled hook with a task of a managed plugin, once for each plugin that may run it."""
    return [
        (hook, plugin)
        for hook in table.hooks
        if hook.enabled
        for plugin in actions.of(hook).plugins(hook)
    ]


def plugin_line(hook: Hook, plugin: Plugin) -> str:
    """Such a pair as a line for a person."""
    for_whom = f" for tenant {plugin.tenant}" if plugin.tenant else ""
    return f"hook {hook.name!r} runs in the managed plugin {plugin.name} {plugin.version}{for_whom}"


def check_hooks(table: HookTable, actions: Actions, *, may_import: bool) -> list[Mistake]:
    """What will make a hook of this table fail, each with its line in hooks.conf.

    `may_import` allows running the code of modules that hooks name. A hook with a problem is left out:
    that stands among the mistakes of the file.
    """
    return [
        Mistake(
            hook.line_of(fault.input),
            f"hook {hook.name!r}: {fault.reason}",
            not fault.is_certain,
        )
        for hook in table.hooks
        if hook.enabled and not hook.problem
        for fault in actions.check(hook, may_import=may_import)
    ]
