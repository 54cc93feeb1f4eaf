"""The health of a plugin's virtualenv: whether it works, what is missing in it, how large it is.

Owns the one question put to a plugin's interpreter, which says what it sees; what that means is judged
here. It changes nothing. `plugins list` and the end of an upload ask for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from listener.errors import ActionFailed, ProgramFailed
from listener.interpreters.plugins import Plugin
from listener.interpreters.plugins.installer import environment, reason_in
from listener.interpreters.plugins.run import run
from listener.interpreters.plugins.source import COMMON
from listener.state.ownership import refuse_to_root

_LIMIT_S = 30.0

# For any Python from 3.6; one below 3.8 cannot say what is installed.
_QUESTION = """
import json, sys
try:
    import cloudify.context
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
    """What is wrong, if anything, and the version of cloudify-common that the plugin's tasks import."""

    problems: tuple[str, ...] = ()
    common_version: str | None = None


def health_of(plugin: Plugin) -> Health:
    """Start the plugin's interpreter and ask it; that takes about a tenth of a second."""
    try:
        refuse_to_root(plugin.run_paths)
        answer = run([plugin.python, "-I", "-B", "-c", _QUESTION], env=environment(), limit_s=_LIMIT_S)
        version, error, found = json.loads(answer.strip().rpartition("\n")[2])
    except ProgramFailed as failure:
        why = ": ".join(filter(None, (str(failure), reason_in(failure.output))))
        return Health((f"its interpreter does not work: {why}",))
    except ActionFailed as refusal:
        return Health((str(refusal),))
    except ValueError:
        return Health(("its interpreter answers with nonsense: look at the .pth files in it",))
    problems = [f"cloudify cannot be imported: {error}"] if error else []
    python = {"python_version": version.rpartition(".")[0], "python_full_version": version}
    versions, missing = _installed_and_missing(found, python)
    if found and _canonical(plugin.name) not in versions:
        problems.append(f"{plugin.name} is not installed in it")
    return Health((*problems, *missing), versions.get(COMMON))


def size_bytes(folder: str) -> int:
    """The disk space of the files in a folder."""
    files = (os.path.join(above, name) for above, _, names in os.walk(folder) for name in names)
    return sum(os.lstat(file).st_blocks * 512 for file in files)


def _installed_and_missing(
    found: Any, python: Mapping[str, str]
) -> tuple[Mapping[str, str], list[str]]:
    """The versions of the installed packages, and each unmet requirement, as `pip check` finds them."""
    from packaging.requirements import InvalidRequirement, Requirement  # slow to import

    versions: dict[str, str] = {}
    requirements: list[tuple[str, Requirement]] = []
    for name, version, texts in found:
        if _canonical(name) in versions:
            continue  # the first one of a name is the one that is imported
        versions[_canonical(name)] = version
        for text in texts:
            try:
                requirements.append((f"{name} {version}", Requirement(text)))
            except InvalidRequirement:
                continue
    problems = []
    for package, needed in requirements:
        if needed.marker is not None and not needed.marker.evaluate({**python, "extra": ""}):
            continue
        has = versions.get(_canonical(needed.name))
        if has is None or not needed.specifier.contains(has, prereleases=True):
            problems.append(f"{package} needs {needed.name}{needed.specifier}, and has {has or 'none'}")
    return versions, problems


def _canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
