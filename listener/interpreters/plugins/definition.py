"""plugin.yaml, as far as it tells whether a plugin's tasks can be hooks.

Owns what is read of it: the block `plugins`, in any version of Cloudify's language, with every value
as the text that stands there. It knows none of the rest. source.py has it found, upload.py
has it checked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from listener.errors import HooksError

EXECUTOR = "central_deployment_agent"
"""The executor of tasks that run on the manager; the others' run on a host that a hook has not."""

_FILES = re.compile(r"(v2_)?plugin(_\d+_\d+)?\.ya?ml")


class _TextLoader(yaml.SafeLoader):
    """Leaves every scalar a text, so that version 2.10 is not 2.1, and takes any tag."""


_TextLoader.yaml_implicit_resolvers = {"<": yaml.SafeLoader.yaml_implicit_resolvers["<"]}  # merges
_TextLoader.add_multi_constructor("", lambda _loader, _suffix, _node: None)


class PluginYaml(NamedTuple):
    """The text of a file; `where` is what a person knows it by."""

    where: str
    text: bytes

    @classmethod
    def in_folder(cls, folder: str, upload: str) -> PluginYaml | None:
        """The one in a folder of what is uploaded: plugin.yaml, else plugin_1_5.yaml or the like."""
        names = os.listdir(folder) if os.path.isdir(folder) else []
        for name in sorted(filter(_FILES.fullmatch, names), key=lambda name: (len(name), name)):
            with open(os.path.join(folder, name), "rb") as file:
                return cls(f"{name} in {upload}", file.read())
        return None

    def check(self, package_name: str, package_version: str) -> None:
        """Raise HooksError unless it is this package's, and its tasks can be hooks."""
        plugins = self._plugins()
        its_own = [name for name, plugin in plugins.items() if _is_of(plugin, package_name)]
        if not its_own:
            others = sorted({str(plugin.get("package_name")) for plugin in plugins.values()})
            raise HooksError(
                f"{self.where} is of {', '.join(others)}, not of {package_name}; name the right file"
                " with --plugin-yaml"
            )
        for name in its_own:
            version = plugins[name].get("package_version", package_version)
            if not _is_same_version(version, package_version):
                raise HooksError(
                    f"{self.where} is of version {version}, and the package is {package_version};"
                    " name the right file with --plugin-yaml"
                )
        executors = {name: plugins[name].get("executor") for name in its_own}
        if EXECUTOR not in executors.values():
            name, executor = next(iter(executors.items()))
            has = f"the executor {executor}" if executor else "no executor"
            raise HooksError(
                f"{self.where}: plugin {name!r} has {has}, and hooks run only tasks of"
                f" {EXECUTOR}; correct the file, or name another with --plugin-yaml"
            )

    def _plugins(self) -> Mapping[str, Mapping[str, Any]]:
        try:
            content = _TextLoader(self.text).get_single_data()
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            why = getattr(error, "problem", None) or str(error).partition("\n")[0]
            raise HooksError(f"{self.where}{line}: this is no YAML: {why}; correct the file") from error
        plugins = content.get("plugins") if isinstance(content, dict) else None
        found = {
            str(name): plugin
            for name, plugin in (plugins.items() if isinstance(plugins, dict) else ())
            if isinstance(plugin, dict)
        }
        if not found:
            raise HooksError(
                f"{self.where} has no block 'plugins' with a plugin; name the right file with"
                " --plugin-yaml"
            )
        return found


def _is_of(plugin: Mapping[str, Any], package_name: str) -> bool:
    from packaging.utils import canonicalize_name  # slow to import

    own = plugin.get("package_name", package_name)
    return isinstance(own, str) and canonicalize_name(own) == canonicalize_name(package_name)


def _is_same_version(one: object, other: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(str(one)) == Version(other)
    except InvalidVersion:
        return one == other
