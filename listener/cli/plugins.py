"""The verbs for managed plugins: plugins upload, list, remove, renew-common.

Owns their options and what they print. They change only the plugins of the state directory, and as its
owner: root runs no code that another user can change. The command's group in cli/__init__.py has them.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterable
from typing import Any, BinaryIO

import click

from listener.cli.answers import (
    ask,
    output_option,
    print_json,
    print_table,
)
from listener.cli.place import A_FILE, A_FOLDER, Place, place_options
from listener.errors import HooksError
from listener.hooks.table import HookTable
from listener.interpreters.plugins import Plugin, Plugins, Root
from listener.log import printable_lines
from listener.state.directory import become_owner, make

_TENANT = re.compile("[A-Za-z][A-Za-z0-9._-]{0,254}")  # as on a manager; it names a folder here
_COLUMNS = ("name", "version", "runs", "tenant", "size", "cloudify-common", "health")


def _report(text: str) -> None:
    click.echo(printable_lines(text), err=True)


def _tenant(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _TENANT.fullmatch(value):
        raise click.BadParameter(
            f"{value!r} is no tenant's name: that is a letter, then letters, digits, '.', '_' and '-';"
            " leave --tenant out for all tenants"
        )
    return value


_tenant_option = click.option(
    "--tenant", metavar="NAME", callback=_tenant, help="For this tenant alone.  [default: for all]"
)
_wheels_option = click.option(
    "--wheels", metavar="FOLDER", type=A_FOLDER,
    help="Wheels to take instead of the network's, for cloudify-common and for all but wagons.",
)  # fmt: skip


@click.group(short_help="Managed plugins, whose tasks hooks can run.")
def plugins() -> None:
    """Managed plugins, whose tasks hooks can run; each is in a virtualenv of its own."""


@plugins.command(short_help="Install a wagon, wheel, sdist or folder.")
@click.argument("path", metavar="FILE", type=A_FILE)
@click.option("--plugin-yaml", metavar="FILE", type=A_FILE,
              help="Its plugin.yaml.  [default: the one in it]")  # fmt: skip
@_tenant_option
@_wheels_option
@output_option
@place_options
def upload(
    path: str,
    plugin_yaml: str | None,
    tenant: str | None,
    wheels: str | None,
    output: str,
    place: Place,
) -> None:
    """Install a wagon (.wgn), a wheel, an sdist or a source folder as a plugin.

    Each version gets a virtualenv of its own, made with the 'python' of hooks.conf, which must stay
    where it is. The newest version runs. A plugin for a tenant comes before those for all.

    A wagon is installed without the network. Other requirements come from where pip's configuration
    says. cloudify-common is downloaded once, with the first plugin. Without a network, name a folder
    with --wheels, made by the same Python: pip wheel -w wheels pip 'cloudify-common[dispatcher]'; from
    3.13 on also with legacy-cgi.

    plugin.yaml must have the executor central_deployment_agent. It stands beside setup.py, or in a
    wagon's files (wagon create . --add-file ./plugin.yaml), or --plugin-yaml names it.

    From a manager, take its tenants' wagons (cfy plugins download), those that all tenants see without
    --tenant. Root continues as the owner of the state directory, who must be able to read a
    folder. Repeat an interrupted upload.
    """
    from listener.interpreters.plugins.definition import PluginYaml
    from listener.interpreters.plugins.source import Given
    from listener.interpreters.plugins.upload import locked, upload

    folder, settings = place.state_dir, _table(place).listener
    path = os.path.abspath(path)
    named_yaml = None
    if plugin_yaml is not None:
        with _opened(plugin_yaml) as file:
            named_yaml = PluginYaml(plugin_yaml, file.read())
    with contextlib.nullcontext() if os.path.isdir(path) else _opened(path) as file:
        if not os.path.isdir(folder):
            make(folder)
            _report(f"made the state directory {folder}; its owner must also run the listener")
        become_owner(folder)
        wheels = _folder_of_wheels(wheels)
        given = Given(path, file, named_yaml)
        _end_by_interrupt()
        with locked(folder, _report) as workshop:
            made = upload(workshop, given, tenant, settings.python or sys.executable, wheels, _report)
    _print(_rows([made], Plugins.below(folder, settings.plugins)), output)


@plugins.command("list", short_help="Which plugins there are, and whether they work.")
@output_option
@place_options
def list_(output: str, place: Place) -> None:
    """The plugins, and which of them run: a tenant's newest version, else the newest for all."""
    folder, settings = place.state_dir, _table(place).listener
    if os.path.isdir(folder):
        become_owner(folder)
    known = Plugins.below(folder, settings.plugins)
    _print(_rows(known.all(), known), output)
    if not known.all():
        _report(f"no plugin in {' or '.join(root.path for root in known.roots)}")


@plugins.command(short_help="Remove a plugin.")
@click.argument("name")
@click.argument("version", required=False)
@_tenant_option
@click.option("--yes", is_flag=True, help="Do not ask, even for several versions.")
@output_option
@place_options
def remove(
    name: str,
    version: str | None,
    tenant: str | None,
    yes: bool,
    output: str,
    place: Place,
) -> None:
    """Remove one version of a plugin, or all. Exits with 1 when there is none."""
    from listener.interpreters.plugins.upload import locked, remove

    table, folder = _table(place), _owned(place)
    _end_by_interrupt()
    with locked(folder, _report):
        doomed = [
            plugin
            for plugin in Plugins([Root.own(folder)]).all()
            if (plugin.name, plugin.tenant) == (name, tenant) and version in (None, plugin.version)
        ]
        if not doomed:
            what = f"{name} {version}" if version else name
            served = f"tenant {tenant}" if tenant else "all tenants"
            _report(
                f"no plugin {what} was uploaded for {served}; conductor-hooks plugins list names all"
            )
            sys.exit(1)
        versions = ", ".join(plugin.version for plugin in doomed)
        _warn_of_hooks(table, folder, doomed)
        if len(doomed) > 1 and not yes:
            ask(f"remove {len(doomed)} versions of {name}, {versions}?")
        rows = _rows(doomed, Plugins.below(folder, table.listener.plugins))
        for plugin in reversed(doomed):  # the newest last: until then hooks run in it
            remove(plugin)
    _report(f"removed {name} {versions}{f' of tenant {tenant}' if tenant else ''}")
    if output == "json":
        print_json(rows)


@plugins.command("renew-common", short_help="Download cloudify-common again.")
@_wheels_option
@output_option
@place_options
def renew_common_(wheels: str | None, output: str, place: Place) -> None:
    """Download cloudify-common again for all plugins, and list them. A failure changes nothing."""
    from listener.interpreters.plugins.upload import locked, renew_common

    settings, folder = _table(place).listener, _owned(place)
    wheels = _folder_of_wheels(wheels)
    _end_by_interrupt()
    with locked(folder, _report) as workshop:
        renew_common(workshop, settings.python or sys.executable, wheels, _report)
    known = Plugins.below(folder, settings.plugins)
    _print(_rows(known.all(), known), output)


def _table(place: Place) -> HookTable:
    """What hooks.conf says; it may be missing if it was not named."""
    is_there = os.path.exists(place.config)
    return place.table() if is_there or place.given_config else HookTable()


def _owned(place: Place) -> str:
    """The state directory, which exists; from now on we have its owner's rights."""
    folder = place.state_dir
    if not os.path.isdir(folder):
        raise HooksError(f"there is no state directory {folder}; name the right one with --state-dir")
    become_owner(folder)
    return folder


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise HooksError(f"{path} cannot be read: {error.strerror}; name another file") from error


def _folder_of_wheels(path: str | None) -> str | None:
    """Its absolute path. Raises HooksError unless we can read it now: pip would only find no wheel."""
    if path is None:
        return None
    try:
        os.listdir(path)
    except OSError as error:
        raise HooksError(
            f"{path} cannot be read: {error.strerror}; name a folder with wheels that the owner of the"
            " state directory can read"
        ) from error
    return os.path.abspath(path)


def _warn_of_hooks(table: HookTable, state_dir: str, doomed: list[Plugin]) -> None:
    from listener.actions.check import plugins_used
    from listener.actions.registry import Actions

    with Actions(table.listener, state_dir) as actions:
        used = plugins_used(table, actions)
    hooks = dict.fromkeys(repr(hook.name) for hook, plugin in used if plugin in doomed)
    if hooks:
        _report(f"warning: hooks of hooks.conf run in what is removed: {', '.join(hooks)}")


def _end_by_interrupt() -> None:
    """Let SIGTERM and a closed terminal end the programs we have started, as Ctrl-C does."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)


def _rows(shown: Iterable[Plugin], known: Plugins) -> list[dict[str, Any]]:
    return [_as_json(plugin, known) for plugin in shown]


def _print(rows: list[dict[str, Any]], output: str) -> None:
    if output == "json":
        print_json(rows)
        return
    for row in rows:
        row["runs"] = "yes" if row["runs"] else ""
        row["tenant"] = row["tenant"] or "(all)"
        row["size"] = f"{row['size_bytes'] / 1e6:.1f} MB"
        row["cloudify-common"] = row["cloudify_common"]
        row["health"] = "; ".join(row["problems"]) or "ok"
    print_table(_COLUMNS, rows)


def _as_json(plugin: Plugin, known: Plugins) -> dict[str, Any]:
    """A plugin as every verb prints it."""
    from listener.interpreters.plugins.health import health_of, size_bytes

    health = health_of(plugin)
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
