"""plugin.yaml: which package it is for, and whether its plugin's tasks can be hooks.

Owns what is read of it: the block `plugins`, in any version of Cloudify's language, each value as the
text that stands there. It reads nothing else of it. source.py finds the file, upload.py checks it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from listener.errors import HooksError

EXECUTOR = "central_deployment_agent"
"""The executor of tasks that run on the manager; any other one needs a host, and a hook has none."""

_FILES = re.compile(r"(v2_)?plugin(_\d+_\d+)?\.ya?ml")


class _TextLoader(yaml.SafeLoader):
    """Keeps every scalar as text, so that version 2.10 is not 2.1, and accepts any tag."""


_TextLoader.yaml_implicit_resolvers = {"<": yaml.SafeLoader.yaml_implicit_resolvers["<"]}  # merges
_TextLoader.add_multi_constructor("", lambda _loader, _suffix, _node: None)


class PluginYaml(NamedTuple):
    """The text of a file; `where` names it in messages."""

    where: str
    text: bytes

    @classmethod
    def in_folder(cls, folder: str, upload: str) -> PluginYaml | None:
        """The one in a folder of the upload: plugin.yaml, else plugin_1_5.yaml or the like."""
        names = os.listdir(folder) if os.path.isdir(folder) else []
        for name in sorted(filter(_FILES.fullmatch, names), key=lambda name: (len(name), name)):
            with open(os.path.join(folder, name), "rb") as file:
                return cls(f"{name} in {upload}", file.read())
        return None

    def check(self, package_name: str, package_version: str) -> None:
        """Raise HooksError unless it is for this package and its tasks can be hooks."""
        plugins = self._plugins()
        own = [name for name, plugin in plugins.items() if _is_for(plugin, package_name)]
        if not own:
            others = sorted({str(plugin.get("package_name")) for plugin in plugins.values()})
            raise HooksError(
                f"{self.where} is for {', '.join(others)}, not for {package_name}; name the right file"
                " with --plugin-yaml"
            )
        for name in own:
            version = plugins[name].get("package_version", package_version)
            if not _is_same_version(version, package_version):
                raise HooksError(
                    f"{self.where} is for version {version}, the package is {package_version};"
                    " name the right file with --plugin-yaml"
                )
        executors = {name: plugins[name].get("executor") for name in own}
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
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            why = getattr(error, "problem", None) or str(error).partition("\n")[0]
            raise HooksError(f"{self.where}{line} is not YAML: {why}; correct the file") from error
        plugins = content.get("plugins") if isinstance(content, dict) else None
        entries = plugins.items() if isinstance(plugins, dict) else ()
        found = {str(name): plugin for name, plugin in entries if isinstance(plugin, dict)}
        if not found:
            raise HooksError(
                f"{self.where} has no block 'plugins' with a plugin; name the right file with"
                " --plugin-yaml"
            )
        return found


def _is_for(plugin: Mapping[str, Any], package_name: str) -> bool:
    from packaging.utils import canonicalize_name  # slow to import

    name = plugin.get("package_name", package_name)
    return isinstance(name, str) and canonicalize_name(name) == canonicalize_name(package_name)


def _is_same_version(one: object, other: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(str(one)) == Version(other)
    except InvalidVersion:
        return one == other
