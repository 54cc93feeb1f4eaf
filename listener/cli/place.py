"""Where a verb works: the hooks.conf and the state directory that its options name.

Owns --config and --state-dir, which every verb accepts, and what is said where nothing is there. It
changes nothing there. Every verb gets a Place.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from listener.errors import HooksError
from listener.log import printable
from listener.state.directory import path_of
from listener.state.journal import FILE, Journal

if TYPE_CHECKING:
    from listener.hooks.table import HookTable

A_FILE = click.Path(readable=False)
A_FOLDER = click.Path(file_okay=False, readable=False)
"""A shell completes them; whoever opens one says what is wrong with it."""


class Place(NamedTuple):
    """`given_config` and `given_state_dir` are what the options say, None where they say nothing."""

    given_config: str | None = None
    given_state_dir: str | None = None

    @property
    def config(self) -> str:
        """The path of hooks.conf."""
        from listener.hooks.file import config_path  # YAML is slow to import

        return config_path(self.given_config, os.environ)

    def table(self) -> HookTable:
        """What hooks.conf says. Raises HooksError when it is not there, or cannot be used."""
        from listener.hooks.file import load

        table = load(self.config, os.environ).table
        if table is None:
            raise HooksError(f"{self.config} does not exist; name a hooks.conf with --config")
        return table

    @property
    def state_dir(self) -> str:
        """The path of the state directory. Raises HooksError when hooks.conf cannot be asked for it."""

        def setting() -> str | None:
            from listener.hooks.file import state_dir_in

            return state_dir_in(self.given_config, os.environ)

        return path_of(self.given_state_dir, os.environ, setting)

    def open_journal(self) -> tuple[Journal, str]:
        """The journal that is there, and its directory; the verb's end closes it.

        A hooks.conf that cannot be used names no directory: the listener works on with the last good
        one. Raises HooksError when there is no journal.
        """
        try:
            folder = self.state_dir
        except HooksError as error:
            click.echo(f"{error}\nso it names no state directory; --state-dir does", err=True)
            folder = path_of(self.given_state_dir, os.environ, lambda: None)
        return journal_in(folder), folder


def journal_in(folder: str) -> Journal:
    """The journal that is in a state directory; the verb's end closes it. Raises HooksError."""
    try:
        os.stat(os.path.join(folder, FILE))
    except PermissionError as error:
        raise HooksError(
            f"{folder} cannot be read: {error.strerror}; do this as the listener's user, or as root"
        ) from error
    except OSError as error:
        raise HooksError(
            f"there is no journal in {folder}: no listener has run with this state directory; name"
            " the right one, which the listener's log says at its start, with --state-dir or"
            " $CONDUCTOR_HOOKS_STATE_DIR"
        ) from error
    journal = Journal(folder)
    click.get_current_context().call_on_close(journal.close)
    return journal


def place_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """--config and --state-dir, which the verb gets as its `place`."""

    @click.option(
        "--config",
        cls=_PathOption,
        default_path=lambda: Place().config,
        type=A_FILE,
        metavar="FILE",
        help="hooks.conf, or $CONDUCTOR_HOOKS_CONFIG.",
    )
    @click.option(
        "--state-dir",
        cls=_PathOption,
        default_path=_default_state_dir,
        type=A_FOLDER,
        metavar="FOLDER",
        envvar="CONDUCTOR_HOOKS_STATE_DIR",
        help="The listener's, or $CONDUCTOR_HOOKS_STATE_DIR.",
    )
    @functools.wraps(verb)
    def at_place(config: str | None, state_dir: str | None, **options: Any) -> Any:
        return verb(place=Place(config, state_dir), **options)

    return at_place


class _PathOption(click.Option):
    """Its help ends with the path that is taken without it, here and now."""

    def __init__(self, *args: Any, default_path: Callable[[], str], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._default_path = default_path

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        unfolded = "\b"  # as click wants it said
        text = f"{unfolded}\n{self.help}\n[default: {printable(self._default_path())}]"
        return f"{self.opts[0]} {self.metavar}", text


def _default_state_dir() -> str:
    try:
        return Place().state_dir
    except HooksError:
        return "in hooks.conf, which has a mistake"
