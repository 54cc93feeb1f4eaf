"""Where the plugins are, and with whose rights the verbs change them and look at them.

Owns the change to the owner of the state directory, and what is said of what he cannot read. It makes
and removes nothing. plugins.py begins each verb with it.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

from listener.errors import HooksError
from listener.hooks.table import HookTable
from listener.state.directory import become_owner, path_of


def place(config: str | None, state_dir: str | None) -> tuple[HookTable, str]:
    """What is in hooks.conf, and the state directory."""
    from listener.hooks.file import config_path, load  # YAML is slow to import

    path = config_path(config, os.environ)
    table = load(path, os.environ).table
    if table is None and config is not None:
        raise HooksError(f"{path} does not exist; name a hooks.conf with --config")
    found = table or HookTable()
    return found, path_of(state_dir, os.environ, lambda: found.listener.state_dir)


def existing_place(config: str | None, state_dir: str | None) -> tuple[HookTable, str]:
    """As `place`; the state directory is there, and we go on as its owner."""
    table, folder = place(config, state_dir)
    if not os.path.isdir(folder):
        raise HooksError(f"there is no state directory {folder}; name the right one with --state-dir")
    go_on_as_owner(folder)
    refuse_unreadable(folder)
    return table, folder


def go_on_as_owner(folder: str) -> None:
    """Become who the state directory belongs to, if that user can run us."""
    become_owner(folder)
    for path in (sys.executable, os.__file__, __file__):
        if not os.access(path, os.R_OK):
            raise HooksError(
                f"{path} cannot be read by the owner of the state directory, as whom this goes on:"
                " install conductor-hooks, and its Python, where that user can read them"
            )


def readable(path: str) -> BinaryIO:
    """The file, opened as who we are now."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise HooksError(f"{path} cannot be read: {error.strerror}; name another file") from error


def readable_folder(given: str | None) -> str | None:
    """The folder's path, if one was given; who we are now can read it."""
    if given is None:
        return None
    folder = os.path.abspath(given)
    refuse_unreadable(folder)
    return folder


def refuse_unreadable(folder: str) -> None:
    """Raise HooksError for a folder that who we are now cannot read."""
    try:
        os.listdir(folder)
    except FileNotFoundError as error:
        raise HooksError(f"there is no {folder}; name a folder that is there") from error
    except OSError as error:
        raise HooksError(
            f"{folder} cannot be read: {error.strerror}; it must be readable by the owner of the state"
            " directory, the listener's user, whose rights are taken here"
        ) from error
