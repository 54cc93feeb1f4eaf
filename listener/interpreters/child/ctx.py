"""Cloudify's `ctx` for the function that is called, as the original's runner makes it.

Owns what is in it, where its resources come from, where its log goes, and what cloudify's errors mean
for a hook's retries. Runs inside the child, as call.py does and under the same rules but for one: it
imports the cloudify-common that the interpreter has, of whichever version. call.py loads it.
"""

import errno
import logging
import os
import shutil
import tempfile

from cloudify import constants, context, exceptions, manager, state, utils
from cloudify_rest_client.exceptions import CloudifyClientError

from .lines import Lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional

_MOST_S = 86400  # as for every other time in hooks.conf
_NO_MANAGER = "no manager to ask: name its REST service in 'listener: manager' in hooks.conf"


def call(function: "Callable[..., Any]", request: "Dict[str, Any]") -> "Any":
    """The function's result; while it runs, `ctx` is set for this thread.

    Raises OperationRetry when it has asked for that by `ctx.operation.retry`.
    """
    inputs, files = request["inputs"], None
    about = cloudify_context(request)
    if request["folder"] is not None:
        files = about["storage"] = Files(request["folder"])
        about["local"] = True
    ctx = context.CloudifyContext(about)
    ctx._endpoint.get_logging_handler = Lines
    first = HookContext(request["context"], ctx) if request["plugin"] else request["context"]
    try:
        with state.current_ctx.push(ctx, inputs):
            result = function(first, **inputs)
    finally:
        if files is not None:
            files.remove_copies()
    if ctx.operation._operation_retry:
        raise ctx.operation._operation_retry
    return result


def cloudify_context(request: "Dict[str, Any]") -> "Dict[str, Any]":
    """What the original gives its runner for a hook."""
    hook_context = request["context"]
    return {
        "type": "hook",
        "tenant": {"name": hook_context.get("tenant_name")},
        "no_ctx_kwarg": True,
        "task_target": "cloudify-hooks",
        "tenant_name": hook_context.get("tenant_name"),
        "rest_token": hook_context.get("rest_token"),
        "plugin": request["plugin"],
        "execution_id": hook_context.get("execution_id"),
        "task_name": request["path"],
    }


def retry_advice(error: BaseException) -> "Dict[str, Any]":
    """`is_final` when the error says that no retry helps, `retry_after_s` when it says when one may."""
    if isinstance(error, exceptions.NonRecoverableError):
        return {"is_final": True}
    if isinstance(error, exceptions.RecoverableError):
        after_s = getattr(error, "retry_after", None)
        if isinstance(after_s, (int, float)) and after_s >= 0:
            return {"retry_after_s": min(after_s, _MOST_S)}
    return {}


class HookContext(dict):  # type: ignore[type-arg]
    """The hook context as a plugin's task gets it, which also answers as an operation's `ctx`.

    A task that is written for operations takes its first argument for that. A copy is a plain dict.
    """

    __slots__ = ("_ctx",)

    def __init__(self, hook_context: "Dict[str, Any]", ctx: "Any") -> None:
        super().__init__(hook_context)
        object.__setattr__(self, "_ctx", ctx)

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._ctx, name)

    def __setattr__(self, name: str, value: "Any") -> None:
        setattr(self._ctx, name, value)

    def __reduce_ex__(self, protocol: "Any") -> "Any":
        return dict, (dict(self),)


class Files:
    """Resources for a ctx without a manager: files, where a relative path starts at `folder`.

    cloudify's local endpoint asks for them by these names.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._copies = None  # type: Optional[str]

    def get_resource(self, resource_path: str) -> bytes:
        with open(self._path(resource_path), "rb") as file:
            return file.read()

    def download_resource(self, resource_path: str, target_path: "Optional[str]" = None) -> str:
        """The path of a copy, which may be changed; without `target_path` it lasts for this call."""
        if target_path is None:
            folder = tempfile.mkdtemp(dir=self.get_workdir())
            target_path = os.path.join(folder, os.path.basename(resource_path))
        shutil.copyfile(self._path(resource_path), target_path)
        return target_path

    def _path(self, resource_path: str) -> str:
        path = os.path.join(self._folder, resource_path)
        if not os.path.exists(path):
            reason = "there is no such file, and " + _NO_MANAGER
            raise FileNotFoundError(errno.ENOENT, reason, path)
        return path

    def get_workdir(self) -> str:
        """A folder that lasts for this call."""
        if self._copies is None:
            self._copies = tempfile.mkdtemp(prefix="conductor-hooks-")
        return self._copies

    def get_provider_context(self) -> "Dict[str, Any]":
        return {}

    def remove_copies(self) -> None:
        if self._copies is not None:
            shutil.rmtree(self._copies, ignore_errors=True)


_known_hosts = utils.get_manager_rest_service_host


def rest_hosts() -> "Any":
    """What cloudify wants to know first of a manager. Raises NonRecoverableError when there is none."""
    if not os.environ.get("REST_HOST"):
        raise exceptions.NonRecoverableError("there is " + _NO_MANAGER)
    return _known_hosts()


_resource_of_manager = manager.get_resource


def get_resource(blueprint_id: str, deployment_id: str, tenant_name: str, resource_path: str) -> "Any":
    """What the manager has there; else the file, if the path is absolute."""
    try:
        return _resource_of_manager(blueprint_id, deployment_id, tenant_name, resource_path)
    except (exceptions.HttpException, CloudifyClientError) as error:
        is_missing = 404 in (getattr(error, "code", None), getattr(error, "status_code", None))
        if not is_missing or not os.path.isabs(resource_path) or not os.path.exists(resource_path):
            raise
    state.ctx.logger.info("the manager does not have %s: reading the local file", resource_path)
    return Files(os.sep).get_resource(resource_path)


utils.get_manager_rest_service_host = rest_hosts  # or it were a KeyError about something else
manager.get_resource = get_resource
if not hasattr(utils, "get_manager_rest_service_protocol"):  # cloudify-common 6 asks nobody
    constants.SECURED_PROTOCOL = os.environ.get("REST_PROTOCOL", constants.SECURED_PROTOCOL)
logging.getLogger("ctx").propagate = False  # or what sets up a root logger has every line twice
