"""What a plugin's virtualenv is like: whether it works, what is missing in it, how large it is.

Owns the one question that is put to a plugin's interpreter, which says what it sees; what that means is
judged here. It changes nothing. `plugins list` and the end of an upload ask it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from listener.errors import ActionFailed, ProgramFailed
from listener.interpreters.plugins import Plugin
from listener.interpreters.plugins.installer import environment, told
from listener.interpreters.plugins.programs import run
from listener.interpreters.plugins.source import COMMON

_LOOK_S = 30.0

# For any Python from 3.6; one below 3.8 cannot tell what is installed.
_QUESTION = """
import json, sys
try:
    import cloudify
    error = ""
except Exception as caught:
    error = "%s: %s" % (type(caught).__name__, caught)
try:
    from importlib.metadata import distributions
    named = [each for each in distributions() if each.metadata["Name"]]
    found = [(each.metadata["Name"], each.version, each.requires or []) for each in named]
except ImportError:
    found = []
print("\\n" + json.dumps(["%d.%d.%d" % sys.version_info[:3], error, found]))
"""


class Health(NamedTuple):
    """What is wrong, if anything; and which cloudify-common the plugin's tasks see."""

    problems: tuple[str, ...] = ()
    common_version: str | None = None


def look(plugin: Plugin) -> Health:
    """Start the plugin's interpreter and ask it; that takes about a tenth of a second."""
    try:
        plugin.refuse_to_root()
        answer = run([plugin.python, "-I", "-B", "-c", _QUESTION], env=environment(), limit_s=_LOOK_S)
        version, error, found = json.loads(answer.strip().rpartition("\n")[2])
    except ProgramFailed as failure:
        said = told(failure.output)
        return Health((f"its interpreter does not work: {failure}{': ' if said else ''}{said}",))
    except ActionFailed as refusal:
        return Health((str(refusal),))
    except ValueError:
        return Health(("its interpreter answers with nonsense: look at the .pth files in it",))
    problems = [f"cloudify cannot be imported: {error}"] if error else []
    versions, missing = _missing(found, {"python_version": version.rpartition(".")[0],
                                         "python_full_version": version})  # fmt: skip
    if found and _canonical(plugin.name) not in versions:
        problems.append(f"{plugin.name} is not installed in it")
    return Health((*problems, *missing), versions.get(COMMON))


def size_bytes(folder: str) -> int:
    """What the files of a folder take up on disk."""
    size = 0
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # it is being removed
                size += os.lstat(os.path.join(above, name)).st_blocks * 512
    return size


def _missing(found: Any, python: Mapping[str, str]) -> tuple[Mapping[str, str], list[str]]:
    """The versions of what is installed, and what that requires in vain, as `pip check` has it."""
    from packaging.requirements import InvalidRequirement, Requirement  # slow to import

    versions: dict[str, str] = {}
    wanted: list[tuple[str, Requirement]] = []
    for name, version, requirements in found:
        if _canonical(name) in versions:
            continue  # another one of that name comes first
        versions[_canonical(name)] = version
        for text in requirements:
            try:
                wanted.append((f"{name} {version}", Requirement(text)))
            except InvalidRequirement:
                continue
    problems = []
    for who, needed in wanted:
        if needed.marker is not None and not needed.marker.evaluate({**python, "extra": ""}):
            continue
        there = versions.get(_canonical(needed.name))
        if there is None or not needed.specifier.contains(there, prereleases=True):
            problems.append(f"{who} needs {needed.name}{needed.specifier}, and has {there or 'none'}")
    return versions, problems


def _canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
