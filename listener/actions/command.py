"""The action `command`: a program gets the notification, and its exit status says how it went.

Owns the inputs, what the program gets, and what its exit status means for the hook. It starts nothing
itself: interpreters/programs.py does. The registry makes it.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from listener.actions import Action, Call, Fault, Surroundings
from listener.actions.inputs import read_inputs
from listener.errors import ActionFailed
from listener.hooks.table import Hook
from listener.hooks.values import INVALID, PATH, Kind, in_words, text, whole_number
from listener.interpreters import exits
from listener.interpreters.plugins import refuse_to_root
from listener.log import printable
from listener.model.notification import CONTEXT_FIELDS, storable
from listener.model.outcome import NEVER
from listener.model.secrets import mask, secrets_in

if TYPE_CHECKING:
    from listener.interpreters.programs import Programs

_MOST_IN_VARIABLE = 4096
"""Characters of a field in the environment: with 128 KiB in one variable no program can be started."""

_MOST_SHOWN = 200
_FINAL = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC)
"""Why a program cannot be started now, nor later."""


class _Command(NamedTuple):
    """What the inputs of a hook say."""

    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    cwd: str | None = None
    retry_on: tuple[int, ...] = ()

    def program(self) -> str:
        """The file that argv names. Raises ActionFailed when there is none, or root must not run it."""
        from shutil import which  # slow to import

        name, where = self.argv[0], ""
        if "/" in name:
            found = which(os.path.join(self.cwd or os.getcwd(), name))
        else:
            path = self.env.get("PATH", os.environ.get("PATH", os.defpath))
            found, where = which(name, path=path), f" in PATH, which is {path}"
        if found is None:
            reason = f"there is no executable file {name}{where}; correct 'argv', or install it"
            raise ActionFailed(reason, retry_after_s=NEVER)
        refuse_to_root([found])
        return found


class CommandAction(Action):
    """Runs programs; none is run twice unless its hook says so."""

    runs_programs = True

    def __init__(self, surroundings: Surroundings) -> None:
        self._memory_mib = surroundings.settings.child_memory
        self._folder = surroundings.config_folder
        self._programs: Programs | None = None

    def run(self, call: Call) -> str:
        command, faults = self._read(call.hook)
        if faults:
            raise ActionFailed("; ".join(fault.reason for fault in faults), retry_after_s=NEVER)
        request = _request(command, call)
        programs = self._started_by()
        answer = programs.request(
            request, timeout_s=call.hook.timeout_s, label=call.label, stop=call.stop
        )
        if failure := _failure(command, answer):
            raise failure
        return ""

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        """Faults about what is not found are not certain: the listener may find it."""
        command, faults = self._read(hook)
        return faults or [
            Fault(place, reason, is_certain=False)
            for place, reason in (
                ("argv.0", _why_not_run(command)),
                ("cwd", _why_no_folder(command)),
                ("argv", _what_shows(command, hook)),
            )
            if reason
        ]

    @classmethod
    def inputs(cls) -> Mapping[str, Kind]:
        return _INPUTS

    def drain(self) -> None:
        if self._programs is not None:
            self._programs.drain()

    def close(self) -> None:
        if self._programs is not None:
            self._programs.close()

    def _started_by(self) -> Programs:
        if self._programs is None:
            from listener.interpreters.programs import Programs  # who only sends traps needs none

            self._programs = Programs(self._memory_mib)
        return self._programs

    def _read(self, hook: Hook) -> tuple[_Command, list[Fault]]:
        """What to run, or all that is wrong with the inputs; a relative `cwd` is below hooks.conf."""
        values, faults = read_inputs(hook.inputs, _INPUTS, required=("argv",))
        argv = values.get("argv", INVALID)
        if argv == [] or (argv is not INVALID and argv[0] == ""):
            found = in_words(argv and argv[0])
            faults.append(Fault("argv", f"'argv' must begin with the program, found {found}"))
        faults += _wrong_items("argv", argv, _ITEM)
        faults += _wrong_items("retry_on", values.get("retry_on", INVALID), _STATUS)
        faults += _wrong_variables(values.get("env", INVALID))
        if faults:
            return _Command(), faults
        cwd = values.get("cwd")
        statuses = [_STATUS.read(each) for each in values.get("retry_on", ())]
        return _Command(
            tuple(values["argv"]),
            values.get("env", {}),
            cwd and os.path.abspath(os.path.join(self._folder, cwd)),
            tuple(statuses),
        ), []


def _shape(kind: type, wanted: str) -> Kind:
    schema = {"type": "array" if kind is list else "object"}
    return Kind(lambda value: value if isinstance(value, kind) else INVALID, wanted, schema=schema)


_INPUTS: Mapping[str, Kind] = {
    "argv": _shape(list, "a list: the program and its arguments, as in [logger, -t, hooks]"),
    "env": _shape(dict, "a mapping of names and texts"),
    "cwd": PATH,
    "retry_on": _shape(list, "a list of exit statuses, as in [1, 69]"),
}
_ITEM = text("a text; write it in quotes", least=0)
_NAME = text("a text without '='")
_STATUS = whole_number(1, 255)


def _wrong_items(name: str, items: Any, kind: Kind) -> list[Fault]:
    return [
        Fault(f"{name}.{position}", f"item {position + 1} of {name!r} {kind.refusal(in_words(item))}")
        for position, item in enumerate(items if items is not INVALID else ())
        if kind.read(item) is INVALID
    ]


def _wrong_variables(env: Any) -> list[Fault]:
    faults = []
    for name, value in env.items() if env is not INVALID else ():
        if _NAME.read(name) is INVALID or "=" in name:
            faults.append(Fault("env", f"a name in 'env' {_NAME.refusal(in_words(name))}"))
        elif _ITEM.read(value) is INVALID:
            faults.append(Fault("env", f"{name!r} in 'env' {_ITEM.refusal(in_words(value))}"))
    return faults


def _request(command: _Command, call: Call) -> dict[str, Any]:
    """As child/program.py reads it: texts are bytes."""
    env = {**_variables(call), **command.env}
    return {
        "argv": [item.encode() for item in command.argv],
        "executable": os.fsencode(command.program()),
        "env": {name.encode(): value.encode() for name, value in env.items()},
        "cwd": command.cwd and command.cwd.encode(),
        "stdin": json.dumps(call.hook_context).encode() + b"\n",
        "secrets": call.secrets,
    }


def _variables(call: Call) -> dict[str, str]:
    """The fields that hold one value each, so no rest_token; '' for one that is absent."""
    found = {field: _as_variable(call.hook_context.get(field)) for field in CONTEXT_FIELDS}
    found["entry_id"] = str(call.entry_id or "")
    return {f"CONDUCTOR_{field.upper()}": value for field, value in found.items()}


def _as_variable(value: Any) -> str:
    """A text as any environment can hold it."""
    if value is None:
        return ""
    found = value if isinstance(value, str) else json.dumps(value)
    return storable(found[:_MOST_IN_VARIABLE].replace("\0", ""))


def _failure(command: _Command, answer: Mapping[str, Any]) -> ActionFailed | None:
    """Why the hook has failed, and whether that is final; None when it is done."""
    if "error" in answer:
        is_final = answer.get("is_final") or answer.get("errno") in _FINAL
        return ActionFailed(_why_not(command, answer), retry_after_s=NEVER if is_final else None)
    status = os.waitstatus_to_exitcode(answer["status"])
    if not status:
        return None
    is_final = status > 0 and status not in (os.EX_TEMPFAIL, *command.retry_on)
    last = printable(answer["last_line"].strip())[:_MOST_SHOWN]
    reason = f"{command.argv[0]} {exits.in_words(status)}" + (last and f": {last}")
    return ActionFailed(reason, retry_after_s=NEVER if is_final else None)


def _why_not(command: _Command, answer: Mapping[str, Any]) -> str:
    """Why the program was not started, or what is wrong although it has ended well."""
    if "errno" not in answer:
        return f"{command.argv[0]}: {answer['error']}"
    place = f" in {command.cwd}" if answer["is_of_cwd"] else ""
    return f"{command.argv[0]} cannot be started{place}: {answer['error']}"


def _why_not_run(command: _Command) -> str:
    try:
        command.program()
    except ActionFailed as error:
        return str(error)
    return ""


def _why_no_folder(command: _Command) -> str:
    if command.cwd is None or os.path.isdir(command.cwd):
        return ""
    return f"there is no folder {command.cwd}; correct 'cwd', or make it"


def _what_shows(command: _Command, hook: Hook) -> str:
    secrets = secrets_in(hook.inputs, hook.taken)
    if all(mask(item, secrets) == item for item in command.argv):
        return ""
    return "every user of this host can see a secret in 'argv'; hand it over in 'env'"
