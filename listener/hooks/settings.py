"""The settings of the listener: the section `listener:` of hooks.conf.

Owns their keys, their kinds and their defaults. It does not import YAML, which most verbs can do
without: conf.py hands it the node of the section.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from listener.hooks import schema
from listener.hooks.schema import Form
from listener.hooks.values import INVALID, PATH, PORT, TEXT, Kind, choice, number, whole_number

if TYPE_CHECKING:
    import yaml

    from listener.hooks.readers import Source


class RestService(NamedTuple):
    """Where the manager's REST service is, and the file of its certificate.

    `host` may name several, with commas between them.
    """

    host: str
    port: int = 53333
    protocol: str = "https"
    cert: str = "/etc/cloudify/ssl/cloudify_internal_ca_cert.pem"


class ListenerSettings(NamedTuple):
    """The `listener:` section. None means the default, which the part that needs the setting knows."""

    state_dir: str | None = None
    python: str | None = None
    python_path: tuple[str, ...] = ()
    durability: str = "process"
    keep_days: float = 30.0
    keep_entries: int = 1_000_000
    wait_for_retries: float = 900.0
    plugins: str | None = None
    manager: RestService | None = None
    child_memory: int | None = None
    metrics: str | None = None
    log_format: str = "text"
    log_level: str = "debug"


def read_settings(source: "Source", node: "yaml.Node", _: str) -> ListenerSettings:
    """The settings that the section names, and the defaults of all others."""
    return ListenerSettings(**source.mapping(node, "listener", KEYS))


def _textfile(source: "Source", node: "yaml.Node", label: str) -> Any:
    """A path that node_exporter would read; whether it can be written, the listener finds out."""
    value = _PATH.read(source, node, label)
    if value is not INVALID and not value.endswith(".prom"):
        source.refuse(node, f"{label} must end in .prom, or node_exporter does not read it")
        return INVALID
    return value


def _program(source: "Source", node: "yaml.Node", label: str) -> Any:
    """An executable file: a path, or a name that is looked up on the PATH."""
    import shutil  # slow, and only this key needs it

    value = source.read(node, PATH, label)
    if value is INVALID:
        return INVALID
    if "/" in value:
        value = source.path(value)
    found = shutil.which(value, path=source.env.get("PATH"))
    if found is None:
        source.warn(node, f"{label}: {value!r} is not there or not executable")
    return found or value


def _manager(source: "Source", node: "yaml.Node", label: str) -> Any:
    keys = source.mapping(node, label, _MANAGER_KEYS, required=("rest_host",))
    if "rest_host" not in keys:
        return INVALID
    service = RestService(**{key.removeprefix("rest_"): value for key, value in keys.items()})
    if not os.path.isfile(service.cert):
        source.warn(
            node,
            f"{label}: there is no certificate {service.cert!r}; cloudify needs one, also over http:"
            " name it with 'rest_cert'",
        )
    return service


_PATH = schema.path()
_FOLDER = schema.path(os.path.exists)  # a zip file is fine, too, for modules
_MANAGER_KEYS: Mapping[str, Kind | Form] = {
    "rest_host": TEXT,
    "rest_port": PORT,
    "rest_protocol": choice("https", "http"),
    "rest_cert": _PATH,
}

_MIN_MEMORY_MIB = 64
"""A child that has imported cloudify has taken a third of it."""

KEYS: Mapping[str, Kind | Form] = {
    "state_dir": _PATH,
    "python": Form(_program, _PATH.schema),
    "python_path": schema.several(_FOLDER, _PATH.schema),
    "plugins": _FOLDER,
    "manager": Form(_manager, schema.mapping(_MANAGER_KEYS, ("rest_host",))),
    "child_memory": whole_number(_MIN_MEMORY_MIB, 1 << 20),
    "metrics": Form(_textfile, _PATH.schema),
    "durability": choice("process", "power"),
    "keep_days": number("days", 36_500),
    "keep_entries": whole_number(1, 100_000_000),
    "wait_for_retries": number("seconds", 86_400),
    "log_format": choice("text", "json"),
    "log_level": choice("debug", "info", "warning", "error"),
}
