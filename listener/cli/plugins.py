"""The verbs for managed plugins: plugins upload, list, remove.

Owns their options, and what they print. They change the state directory's own plugins alone, and do so
as its owner: what a plugin holds is run to look at it, and root lends nobody his rights.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import click

from listener.cli.answers import ask, common_options, output_option, print_json, print_table
from listener.errors import HooksError
from listener.hooks import ListenerSettings
from listener.plugins import GLOBAL, Plugin, Plugins, Root, is_one_folder
from listener.state_dir import become_owner, make, path_of

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
    if value is not None and (not is_one_folder(value) or value == GLOBAL):
        raise click.BadParameter(f"{value!r} is no tenant's name; leave it out for all tenants")
    return value


_tenant_option = click.option(
    "--tenant", metavar="NAME", callback=_tenant, help="For this tenant alone.  [default: for all]"
)


@click.group(short_help="Managed plugins, whose tasks hooks can run.")
def plugins() -> None:
    """Managed plugins, whose tasks hooks can run; each is in a virtualenv of its own."""


@plugins.command(short_help="Make a plugin of a wagon.")
@click.argument("path", metavar="FILE")
@click.option("--plugin-yaml", metavar="FILE", help="Its plugin.yaml.  [default: the one in it]")
@_tenant_option
@click.option(
    "--wheels",
    metavar="FOLDER",
    help="Wheels that take the network's place, for cloudify-common and for what is no wagon.",
)
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
    from listener.plugins.plugin_yaml import PluginYaml
    from listener.plugins.source import Given
    from listener.plugins.upload import upload, working

    settings, folder = _place(config, state_dir)
    path = os.path.abspath(path)
    named_yaml = None
    if plugin_yaml is not None:
        with _readable(plugin_yaml) as file:
            named_yaml = PluginYaml(plugin_yaml, file.read())
    with contextlib.nullcontext() if os.path.isdir(path) else _readable(path) as file:
        if not os.path.isdir(folder):
            make(folder)
            _tell(f"made the state directory {folder}, for the user who must also run the listener")
        _go_on_as_owner(folder)
        if file is None:
            _refuse_unreadable(path)
        if wheels is not None:
            wheels = os.path.abspath(wheels)
            _refuse_unreadable(wheels)
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
    settings, folder = _place(config, state_dir)
    if os.path.isdir(folder):
        _go_on_as_owner(folder)
        _refuse_unreadable(folder)
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
    from listener.plugins.upload import remove, working

    _, folder = _place(config, state_dir)
    if not os.path.isdir(folder):
        raise HooksError(f"there is no state directory {folder}; name the right one with --state-dir")
    _go_on_as_owner(folder)
    _refuse_unreadable(folder)
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
        if len(doomed) > 1 and not yes:
            ask(f"remove {len(doomed)} versions of {name}, {versions}?")
        for plugin in reversed(doomed):  # the newest last: as long as it is there, hooks run it
            remove(plugin)
    _tell(f"removed {name} {versions}{f' of tenant {tenant}' if tenant else ''}")


def _place(config: str | None, state_dir: str | None) -> tuple[ListenerSettings, str]:
    """hooks.conf's settings, and the state directory."""
    from listener.hooks_file import config_path, load  # YAML is slow to import

    path = config_path(config, os.environ)
    table = load(path, os.environ).table
    if table is None and config is not None:
        raise HooksError(f"{path} does not exist; name a hooks.conf with --config")
    settings = table.listener if table else ListenerSettings()
    return settings, path_of(state_dir, os.environ, lambda: settings.state_dir)


def _go_on_as_owner(folder: str) -> None:
    """Become who the state directory belongs to, if that user can run us."""
    become_owner(folder)
    for place in (sys.executable, os.__file__, __file__):
        if not os.access(place, os.R_OK):
            raise HooksError(
                f"{place} cannot be read by the owner of the state directory, as whom this goes on:"
                " install conductor-hooks, and its Python, where that user can read them"
            )


def _end_by_interrupt() -> None:
    """Let SIGTERM and a closed terminal end the programs that were started, too, as Ctrl-C does."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)


def _readable(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise HooksError(f"{path} cannot be read: {error.strerror}; name another file") from error


def _refuse_unreadable(folder: str) -> None:
    try:
        os.listdir(folder)
    except FileNotFoundError as error:
        raise HooksError(f"there is no {folder}; name a folder that is there") from error
    except OSError as error:
        raise HooksError(
            f"{folder} cannot be read: {error.strerror}; it must be readable by the owner of the state"
            " directory, the listener's user, whose rights are taken here"
        ) from error


def _unknown(name: str, version: str | None, tenant: str | None, there: list[Plugin]) -> str:
    """What is said when there is no such plugin: where it is, or which there are."""
    from listener.located import nearest

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
    from listener.plugins.health import look, size_bytes

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
