"""The verbs for managed plugins: plugins upload, list, remove, renew-common.

Owns their options, and what they print. They change the state directory's own plugins alone, and do so
as its owner: what a plugin holds is run to look at it, and root lends nobody his rights.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from listener.cli.answers import ask, common_options, output_option, print_json, print_table
from listener.cli.rights import (
    existing_place,
    go_on_as_owner,
    place,
    readable,
    readable_folder,
    refuse_unreadable,
)
from listener.hooks.table import HookTable
from listener.interpreters.plugins import Plugin, Plugins, Root
from listener.state.directory import make

_TENANT = re.compile("[A-Za-z][A-Za-z0-9._-]{0,254}")  # as a manager demands; it names a folder here
_COLUMNS = ("name", "version", "runs", "tenant", "size", "cloudify-common", "health")


def _tell(line: str) -> None:
    click.echo(line, err=True)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A way to tell each step; at a terminal the last one shows how long it has been going on."""
    if not sys.stderr.isatty():
        yield _tell
        return
    from rich.console import Console  # slow to import
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    text = TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold"))
    console = Console(stderr=True)
    with Progress(SpinnerColumn(), TimeElapsedColumn(), text, console=console) as progress:

        def end_last() -> None:
            for task in progress.tasks[-1:]:
                progress.update(task.id, total=1, completed=1)

        def tell(line: str) -> None:
            end_last()
            progress.add_task(line, total=None)

        yield tell
        end_last()


def _tenant(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _TENANT.fullmatch(value):
        raise click.BadParameter(
            f"{value!r} is no tenant's name, which is a letter, then letters, digits, '.', '_' and '-';"
            " leave --tenant out for all tenants"
        )
    return value


_tenant_option = click.option(
    "--tenant", metavar="NAME", callback=_tenant, help="For this tenant alone.  [default: for all]"
)
_wheels_option = click.option(
    "--wheels",
    metavar="FOLDER",
    help="Wheels that take the network's place, for cloudify-common and for what is no wagon.",
)


@click.group(short_help="Managed plugins, whose tasks hooks can run.")
def plugins() -> None:
    """Managed plugins, whose tasks hooks can run; each is in a virtualenv of its own."""


@plugins.command(short_help="Make a plugin of a wagon.")
@click.argument("path", metavar="FILE")
@click.option("--plugin-yaml", metavar="FILE", help="Its plugin.yaml.  [default: the one in it]")
@_tenant_option
@_wheels_option
@output_option
@common_options("config", "state_dir")
def upload(
    path: str,
    plugin_yaml: str | None,
    tenant: str | None,
    wheels: str | None,
    output: str,
    config: str | None,
    state_dir: str | None,
) -> None:
    """Install a wagon (.wgn), a wheel, an sdist or a source folder as a plugin.

    A wagon brings all that it needs but cloudify-common, which is got once, by pip's own configuration.
    What a wheel, an sdist or a source folder needs is got in the same way. Another version of a plugin
    is kept beside those that are there, and the newest runs.
    """
    from listener.interpreters.plugins.definition import PluginYaml
    from listener.interpreters.plugins.source import Given
    from listener.interpreters.plugins.upload import upload, working

    table, folder = place(config, state_dir)
    settings = table.listener
    path = os.path.abspath(path)
    named_yaml = None
    if plugin_yaml is not None:
        with readable(plugin_yaml) as file:
            named_yaml = PluginYaml(plugin_yaml, file.read())
    with contextlib.nullcontext() if os.path.isdir(path) else readable(path) as file:
        if not os.path.isdir(folder):
            make(folder)
            _tell(f"made the state directory {folder}, for the user who must also run the listener")
        go_on_as_owner(folder)
        if file is None:
            refuse_unreadable(path)
        wheels = readable_folder(wheels)
        given = Given(path, file, named_yaml)
        _end_by_interrupt()
        with _progress() as tell, working(folder, tell) as workshop:
            made = upload(workshop, given, tenant, settings.python or sys.executable, wheels, tell)
    _print([made], Plugins.below(folder, settings.plugins), output)


@plugins.command("list", short_help="Which plugins there are, and whether they work.")
@output_option
@common_options("config", "state_dir")
def list_(output: str, config: str | None, state_dir: str | None) -> None:
    """The plugins, those that run marked: each tenant's newest version, else the newest for all."""
    table, folder = place(config, state_dir)
    settings = table.listener
    if os.path.isdir(folder):
        go_on_as_owner(folder)
        refuse_unreadable(folder)
    known = Plugins.below(folder, settings.plugins)
    _print(known.all(), known, output)
    if not known.all():
        _tell(f"no plugin in {' or '.join(root.path for root in known.roots)}")


@plugins.command(short_help="Take a plugin away.")
@click.argument("name")
@click.argument("version", required=False)
@_tenant_option
@click.option("--yes", is_flag=True, help="Do not ask, even for several versions.")
@common_options("config", "state_dir")
def remove(
    name: str,
    version: str | None,
    tenant: str | None,
    yes: bool,
    config: str | None,
    state_dir: str | None,
) -> None:
    """Remove one version of a plugin, or all. Exits with 1 when there is none."""
    from listener.interpreters.plugins.upload import remove, working

    table, folder = existing_place(config, state_dir)
    _end_by_interrupt()
    with working(folder, _tell):
        there = Plugins([Root.own(folder)]).all()
        doomed = [
            plugin
            for plugin in there
            if (plugin.name, plugin.tenant) == (name, tenant) and version in (None, plugin.version)
        ]
        if not doomed:
            _tell(_unknown(name, version, tenant, there))
            sys.exit(1)
        versions = ", ".join(plugin.version for plugin in doomed)
        _warn_of_hooks(table, folder, doomed)
        if len(doomed) > 1 and not yes:
            ask(f"remove {len(doomed)} versions of {name}, {versions}?")
        for plugin in reversed(doomed):  # the newest last: as long as it is there, hooks run it
            remove(plugin)
    _tell(f"removed {name} {versions}{f' of tenant {tenant}' if tenant else ''}")


@plugins.command("renew-common", short_help="Get cloudify-common anew.")
@_wheels_option
@output_option
@common_options("config", "state_dir")
def renew_common_(wheels: str | None, output: str, config: str | None, state_dir: str | None) -> None:
    """Get cloudify-common anew, and list the plugins, which all share it. A failure changes nothing."""
    from listener.interpreters.plugins.upload import renew_common, working

    table, folder = existing_place(config, state_dir)
    settings = table.listener
    wheels = readable_folder(wheels)
    _end_by_interrupt()
    with _progress() as tell, working(folder, tell) as workshop:
        renew_common(workshop, settings.python or sys.executable, wheels, tell)
    known = Plugins.below(folder, settings.plugins)
    _print(known.all(), known, output)


def _warn_of_hooks(table: HookTable, state_dir: str, doomed: list[Plugin]) -> None:
    from listener.actions.check import plugins_used
    from listener.actions.registry import Actions

    with Actions(table.listener, state_dir) as actions:
        used = plugins_used(table, actions)
    hooks = dict.fromkeys(repr(hook.name) for hook, plugin in used if plugin in doomed)
    if hooks:
        _tell(f"warning: hooks of hooks.conf run in what is removed: {', '.join(hooks)}")


def _end_by_interrupt() -> None:
    """Let SIGTERM and a closed terminal end the programs that were started, too, as Ctrl-C does."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)


def _unknown(name: str, version: str | None, tenant: str | None, there: list[Plugin]) -> str:
    """What is said when there is no such plugin: where it is, or which there are."""
    from listener.hooks.yaml_lines import nearest

    what = f"there is no plugin {name if version is None else f'{name} {version}'}"
    same = [plugin for plugin in there if plugin.name == name]
    if same:
        found = ", ".join(f"{each.version} for {_whose(each.tenant)}" for each in same)
        return f"{what} for {_whose(tenant)}; of {name} there is {found}"
    if not there:
        return f"{what}; no plugin was uploaded"
    return f"{what}; {nearest(name, sorted({plugin.name for plugin in there}))}"


def _whose(tenant: str | None) -> str:
    return f"tenant {tenant}" if tenant else "all tenants"


def _print(shown: Iterable[Plugin], known: Plugins, output: str) -> None:
    rows = [_described(plugin, known) for plugin in shown]
    if output == "json":
        print_json(rows)
        return
    for row in rows:
        row["runs"] = "yes" if row["runs"] else ""
        row["tenant"] = row["tenant"] or "(all)"
        row["size"] = f"{row['size_bytes'] / 1e6:.1f} MB"
        row["cloudify-common"] = row["cloudify_common"]
        row["health"] = "; ".join(row["problems"]) or "ok"
    print_table(_COLUMNS, rows, whole=_COLUMNS[:-1])


def _described(plugin: Plugin, known: Plugins) -> dict[str, Any]:
    """A plugin as every verb prints it."""
    from listener.interpreters.plugins.health import look, size_bytes

    health = look(plugin)
    return {
        "name": plugin.name,
        "version": plugin.version,
        "runs": known.newest(plugin.name, plugin.tenant) == plugin,
        "tenant": plugin.tenant,
        "size_bytes": size_bytes(plugin.folder),
        "cloudify_common": health.common_version,
        "problems": list(health.problems),
        "folder": plugin.folder,
    }
