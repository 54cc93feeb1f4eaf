"""The listener from READY to its end: opens what acting needs, serves every event, closes.

Owns the order of that, what the log says of the start and of the end, and the exit status. What is done
with an event stands in events.py. app.py calls it once.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack

from listener import log, pause
from listener.actions.registry import Actions
from listener.check import described, look_over, plugins_used
from listener.dispatch import Dispatcher
from listener.errors import HooksError, SettingsError, Unanswered
from listener.events import Events
from listener.hold import Hold
from listener.hooks import HookTable
from listener.hooks_file import Version
from listener.hooks_settings import ListenerSettings
from listener.hooks_watch import HooksFile
from listener.journal import DURABILITY
from listener.journal_file import NewerSchema
from listener.journal_owned import OwnedJournal
from listener.located import Mistake
from listener.recording import RECORDED_IN
from listener.sources.supervisor import SupervisorSource
from listener.state_dir import Claim, InUse, holds, lock
from listener.without_journal import WithoutJournal

_log = logging.getLogger(__name__)


def refuse(config: str, error: HooksError) -> int:
    """Say why the listener cannot start; return the exit status."""
    log.start()
    in_file = isinstance(error, SettingsError)
    hint = f", correct hooks.conf first (conductor-hooks check {config}):\n" if in_file else ": "
    _log.error("cannot start%s%s", hint, error)
    return 2


def serve(source: SupervisorSource, config: str, first: Version, state: Claim, run: str | None) -> int:
    """Serve until `source` ends; return the exit status.

    `first` is the file as the start read it, `run` the supervisord that sends events, if one does.
    """
    log.start()
    hooks_file = HooksFile(config, os.environ, first)
    settings = hooks_file.table.listener if hooks_file.table else ListenerSettings()
    try:
        state_dir = None if state.problem else state.folder
        with ExitStack() as held, Actions(settings, state_dir, os.path.dirname(config)) as actions:
            doubts = _Doubts(hooks_file, actions, state)
            _tell_start(source, hooks_file, actions, state)
            doubts.tell()
            ownership = _Ownership(state)
            hold = Hold(source.pause)
            journal = _opened(hold, state, settings, ownership)
            if journal is not None:
                held.enter_context(pause.at_pause(journal.let_go))
            dispatcher = WithoutJournal(hooks_file, actions) if journal is None else Dispatcher(
                hooks_file, actions, journal,
                wait_for_retries_s=settings.wait_for_retries, pause=source.pause,
                is_stopping=lambda: source.is_stopping,
            )  # fmt: skip
            events = Events(
                dispatcher, actions, journal, settings, run=run,
                keep_lock=lambda: hold(ownership.keep), look_over=doubts.tell,
            )  # fmt: skip
            events.begin()
            if hooks_file.table and not source.has_event():
                actions.prepare(hooks_file.table.hooks)
            source.serve(events.handle, events.settle, events.between)
            events.end()
    except Unanswered as error:
        _log.warning("%s", error)
    except (InUse, NewerSchema) as error:
        return refuse(config, error)
    except (HooksError, OSError) as error:
        _log.error("leaving, for supervisord to start the listener again: %s", error)
        return 1
    finally:
        log.flush()
    return 0


class _Ownership:
    """The lock of the state directory, taken anew when somebody has made the directory anew."""

    def __init__(self, state: Claim) -> None:
        self._state = state
        self._lock_fd = state.lock_fd

    def keep(self) -> None:
        """Raises InUse when another listener has it, StateError when it cannot be taken now."""
        folder = self._state.folder
        if self._state.problem or (self._lock_fd is not None and holds(folder, self._lock_fd)):
            return
        self._lock_fd = lock(folder)


def _opened(
    hold: Hold, state: Claim, settings: ListenerSettings, ownership: _Ownership
) -> OwnedJournal | None:
    """The journal, as soon as it can be opened; the first event waits in its pipe until then."""
    if state.problem:
        return None
    hold(ownership.keep)
    journal = OwnedJournal(state.folder, power_safe=settings.durability == "power")
    hold(journal.note, DURABILITY, settings.durability)
    return journal


def _tell_start(
    source: SupervisorSource, hooks_file: HooksFile, actions: Actions, state: Claim
) -> None:
    """What a person who reads the log after a start wants to know."""
    if not source.is_supervised and "SUPERVISOR_ENABLED" in os.environ:
        _log.warning(
            "the parent process is not supervisord: this listener would not notice that supervisord has"
            " become deaf to it, what supervisord records is not acted on, and what is in hand when the"
            " listener is killed is acted on twice; a script that starts the listener should use exec"
        )
    recorded_in = os.environ.get(RECORDED_IN)
    if recorded_in and os.path.realpath(recorded_in) != os.path.realpath(state.folder):
        _log.warning(
            "supervisord records into %s, but the state directory here is %s: what is recorded is not"
            " acted on; name the same state_dir in [rpcinterface:conductor_hooks] and here",
            recorded_in, state.folder,
        )  # fmt: skip
    if state.problem:
        _log.warning(
            "no journal is kept, an event can get lost or be acted on twice: %s", state.problem
        )
    table = hooks_file.table
    if table is None:
        _log.warning("there is no %s: no hook runs until there is one", hooks_file.path)
        return
    enabled = sum(hook.enabled for hook in table.hooks)
    counts = f"hooks: {len(table.hooks)}, of which enabled: {enabled}"
    where = "" if state.problem else f", state in {state.folder}"
    how = ", recorded by supervisord" if recorded_in else ""
    _log.info("listening with %s, %s%s%s", hooks_file.path, counts, where, how)
    if not enabled:
        _log.warning("%s has no hooks: nothing is handled", hooks_file.path)
    for hook, plugin in plugins_used(table, actions):
        _log.info("%s", described(hook, plugin))
    for warning in hooks_file.warnings:
        _log.warning("%s", warning.as_text(hooks_file.path))


class _Doubts:
    """What will make hooks fail, told once of each table that comes into force."""

    def __init__(self, hooks_file: HooksFile, actions: Actions, state: Claim) -> None:
        self._hooks_file = hooks_file
        self._actions = actions
        self._has_journal = not state.problem
        self._told: HookTable | None = None

    def tell(self) -> None:
        table, path = self._hooks_file.table, self._hooks_file.path
        if table is self._told or table is None:
            return
        self._told = table
        doubts = look_over(table, self._actions, may_import=False)
        for hook in () if self._has_journal else table.hooks:
            if why := hook.needs_journal_for:
                text = f"hook {hook.name!r} needs a journal, for {why}, and none is kept"
                doubts.append(Mistake(hook.line, text))
        for doubt in doubts:
            _log.warning("%s", doubt.as_text(path))
