"""The action behind an importable function and behind a task of a managed plugin.

Owns the request that a child interpreter gets, and what its answer means for the hook. It runs no code
of a hook itself: both are called `func(hook_context, **inputs)` in a child. registry.py has it stand
behind every implementation that is no built-in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from listener.actions import Action, Call, Fault, Surroundings
from listener.errors import ActionFailed, ActionTimedOut
from listener.hooks.table import Hook
from listener.interpreters.choice import Interpreters
from listener.interpreters.plugins import Plugin
from listener.model.outcome import NEVER

CHECK_TIMEOUT_S = 10.0


class FunctionAction(Action):
    """Calls functions and tasks in child processes."""

    runs_programs = True

    def __init__(self, surroundings: Surroundings) -> None:
        settings, state_dir, config_folder = surroundings
        self._interpreters = Interpreters(settings, state_dir)
        self._folder = None if settings.manager else config_folder
        self._silent: set[Plugin | None] = set()  # whose interpreters are not asked twice

    def run(self, call: Call) -> str:
        hook = call.hook
        tenant = call.hook_context.get("tenant_name")
        plugin = self._interpreters.plugin(hook.implementation, tenant)
        path = _path(hook, plugin)
        request = {
            "op": "call",
            "path": path,
            "context": call.hook_context,
            "inputs": hook.inputs,
            "secrets": call.secrets,
            "plugin": _as_context(plugin),
            "folder": self._folder,
        }
        worker = (self._interpreters.new if hook.fresh else self._interpreters.worker)(plugin)
        try:
            answer = worker.request(request, timeout_s=hook.timeout_s, label=call.label, stop=call.stop)
        finally:
            if hook.fresh:
                worker.close()
            else:
                worker.make_ahead(path.rpartition(".")[0])
        if "error" in answer:
            after_s = NEVER if answer.get("is_final") else answer.get("retry_after_s")
            details = str(answer.get("details", ""))
            reason = self._reason(answer, hook, plugin, tenant)
            raise ActionFailed(reason, details, retry_after_s=after_s)
        return " ".join(filter(None, (_name(plugin), str(answer["text"]))))

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        """Faults about what is not found are not certain: the listener may find it."""
        plugins: Sequence[Plugin | None]
        try:
            plugins = self._interpreters.plugins(hook.implementation)
            plugins = plugins or [self._interpreters.plugin(hook.implementation, None)]
        except ActionFailed as error:
            return [Fault(None, str(error), is_certain=False)]
        faults = [_only_for_some(hook, plugins)]
        faults += [self._check(hook, plugin, may_import) for plugin in plugins]
        return [fault for fault in faults if fault is not None]

    def _check(self, hook: Hook, plugin: Plugin | None, may_import: bool) -> Fault | None:
        if plugin in self._silent:
            return None
        try:
            path = _path(hook, plugin)
            request = {"op": "import" if may_import else "find", "path": path, "inputs": hook.inputs}
            worker = self._interpreters.worker(plugin)
            answer = worker.request(request, timeout_s=CHECK_TIMEOUT_S, label=f"hook {hook.name}")
        except ActionTimedOut:
            if not may_import:
                self._silent.add(plugin)
            what = "importing" if may_import else "looking for"
            reason = f"{what} {path}: {worker.python} did not answer in {CHECK_TIMEOUT_S:g} s"
            return Fault(None, reason, is_certain=False)
        except ActionFailed as error:
            return Fault(None, str(error), is_certain=False)
        if "error" not in answer:
            return None
        reason = self._reason(answer, hook, plugin, None)
        return Fault(None, reason, is_certain=answer.get("cause") == "inputs")

    def _reason(
        self, answer: Mapping[str, Any], hook: Hook, plugin: Plugin | None, tenant: object
    ) -> str:
        """Why the hook has failed: the child's error, and what to do when the module is not there."""
        error = str(answer["error"])
        if plugin is not None:
            of_tenant = f" of tenant {plugin.tenant}" if plugin.tenant else ""
            return f"{_name(plugin)}{of_tenant}: {error}"
        if answer.get("cause") != "module":
            return error
        no_plugin = self._interpreters.no_plugin(hook.implementation.partition(".")[0], tenant)
        return (
            f"{error}, and {no_plugin}; name the module's folder in 'listener: python_path', or upload"
            " the plugin"
        )

    def plugins(self, hook: Hook) -> Sequence[Plugin]:
        """As in Action; () when they cannot be read, and `check` says why."""
        try:
            return self._interpreters.plugins(hook.implementation)
        except ActionFailed:
            return ()

    def drain(self) -> None:
        self._interpreters.drain()

    def close(self) -> None:
        self._interpreters.close()


def _only_for_some(hook: Hook, plugins: Sequence[Plugin | None]) -> Fault | None:
    """A fault when only some tenants have the hook's plugin, and the hook does not name its tenants."""
    tenants = [plugin.tenant for plugin in plugins if plugin is not None and plugin.tenant]
    if len(tenants) < len(plugins) or any(each.name == "tenant_name" for each in hook.when):
        return None
    names = ", ".join(tenants)
    reason = (
        f"its managed plugin serves only {names}, and it fails for any other tenant; upload the plugin"
        f" without --tenant, or add 'when: {{tenant_name: [{names}]}}'"
    )
    return Fault(None, reason, is_certain=False)


def _path(hook: Hook, plugin: Plugin | None) -> str:
    """The path to import in the child. Raises ActionFailed when it names no module."""
    if plugin is None:
        return hook.implementation
    path = hook.implementation.partition(".")[2]
    if "." not in path:
        raise ActionFailed(
            f"{hook.implementation} names the plugin {_name(plugin)} and no module in it; correct"
            f" 'implementation' to {plugin.name}.module.{path}"
        )
    return path


def _as_context(plugin: Plugin | None) -> dict[str, str]:
    """The plugin as a manager puts it into cloudify's ctx; {} for a function."""
    if plugin is None:
        return {}
    return {
        "name": plugin.name,
        "package_name": plugin.name,
        "package_version": plugin.version,
        "visibility": "tenant" if plugin.tenant else "global",
    }


def _name(plugin: Plugin | None) -> str:
    return f"{plugin.name} {plugin.version}" if plugin else ""
