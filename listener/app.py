"""The listener process: opens what it needs, wires it, serves every event, closes.

Owns the order of the start and of the end, and the exit status. The start stays bare: what READY does
not need is imported after it, while supervisord looks for the first event. The verb `listen` calls it.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

from listener.errors import HooksError, ListenerMustEnd, SettingsError
from listener.hooks.file import Version, load
from listener.hooks.settings import ListenerSettings
from listener.state.directory import Claim, claim, path_of
from listener.supervisord.pipe import ProtocolDescriptors, SupervisorSource, is_supervised

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.hooks.watch import HooksFile
    from listener.inbox.reader import InboxReader
    from listener.state.hold import Hold
    from listener.state.journal import Journal
    from listener.supervisord.presence import Presence


def listen(config: str, state_dir: str | None = None) -> int:
    """Serve supervisord until SIGTERM or the end of stdin; return the exit status.

    0 after SIGTERM or the end of stdin, 1 when supervisord has to start the listener again, 2 for a
    hooks.conf that cannot be used and for a state directory that another listener works in.
    """
    settings = ListenerSettings()
    try:
        descriptors = ProtocolDescriptors()
        first = load(config, os.environ)
        settings = first.settings
        parent = os.getppid()
        state = claim(path_of(state_dir, os.environ, lambda: settings.state_dir))
    except HooksError as error:
        return _refuse(config, error, settings)
    source = SupervisorSource(descriptors, is_supervised=is_supervised(os.environ, parent))
    source.say_ready()
    gc.enable()
    try:
        _serve(source, config, first, state, parent)
    except ListenerMustEnd as error:
        if error.exit_status == 2:
            return _refuse(config, error, settings)
        return _leave(error, error.exit_status)
    except (HooksError, OSError) as error:
        return _leave(error, 1)
    finally:
        from listener import log

        log.flush()
    return 0


def _serve(source: SupervisorSource, config: str, first: Version, state: Claim, parent: int) -> None:
    """Serve until `source` ends. Raises what ends the listener in another way.

    `first` is hooks.conf as the start read it, `parent` the process that sends events.
    """
    import time
    from contextlib import closing

    from listener import log
    from listener.actions.registry import Actions
    from listener.dispatch.dispatcher import Dispatcher
    from listener.dispatch.tokens import Tokens
    from listener.hooks.watch import HooksFile
    from listener.inbox.runs import run_of
    from listener.state.hold import Hold
    from listener.supervisord.events import Events
    from listener.supervisord.presence import presence_of
    from listener.supervisord.start import HookChecks, log_start

    settings = first.settings
    run = run_of(parent) if source.is_supervised else None
    log.start()
    log.set_form(settings.log_format, settings.log_level)
    hooks_file = HooksFile(config, os.environ, first)
    state_dir = None if state.problem else state.folder
    hold = Hold(source.pause, state.keep)
    presence = presence_of(config, run, os.environ, time.time())
    journal, write_metrics = _journal(state_dir, settings, hold, hooks_file, presence)
    actions = Actions(settings, state_dir, os.path.dirname(config))
    with actions, closing(journal), closing(Tokens(settings.manager)) as tokens:
        log_start(hooks_file, actions, state, is_supervised=source.is_supervised)
        checks = HookChecks(hooks_file, actions)
        checks.log_faults()
        hold(state.keep)
        dispatcher = Dispatcher(
            hooks_file, actions, journal, settings.wait_for_retries,
            is_stopping=source.is_left_alone, delete_token=tokens.delete,
        )  # fmt: skip
        events = Events(
            dispatcher, actions, journal, settings, run=run, inbox=_inbox(state, run),
            keep_lock=lambda: hold(state.keep), check_hooks=checks.log_faults,
            say_present=_saying(journal, hooks_file, presence, write_metrics),
        )  # fmt: skip
        events.begin()
        if hooks_file.table and not source.has_event():
            actions.prepare(hooks_file.table.hooks)
        source.serve(events.handle, events.finish, events.between, events.log_stopping)
        events.end()
        write_metrics(0.0)


def _journal(
    state_dir: str | None,
    settings: ListenerSettings,
    hold: Hold,
    hooks_file: HooksFile,
    presence: Presence,
) -> tuple[Journal, Callable[[float], None]]:
    """The journal, and what writes its metrics after a TICK_5: nothing, where nobody wants them."""
    from listener.state.journal import Journal

    power_safe = settings.durability == "power"
    if settings.metrics is None or _lacks_metrics():
        return Journal(state_dir, power_safe=power_safe, hold=hold), lambda _heard_at: None
    from listener.overview.counts import CountingJournal
    from listener.overview.metrics import Metrics
    from listener.overview.textfile import Textfile

    journal = CountingJournal(state_dir, power_safe=power_safe, hold=hold)
    metrics = Metrics(journal, hooks_file, presence)
    return journal, Textfile(settings.metrics, metrics.text).write


def _saying(
    journal: Journal,
    hooks_file: HooksFile,
    presence: Presence,
    write_metrics: Callable[[float], None],
) -> Callable[[float], None]:
    """What leaves a note, and writes the metrics, when the listener begins and a TICK_5 has come."""
    from listener.supervisord.presence import say_present

    def say(heard_at: float) -> None:
        say_present(journal, presence, heard_at, hooks_file.problem)
        write_metrics(heard_at)

    return say


def _lacks_metrics() -> bool:
    """Whether what metrics need is not installed, which is logged."""
    import logging

    from listener.overview.textfile import lacking

    lacks = lacking()
    if lacks:
        logging.getLogger(__name__).error("no metrics are written: %s", lacks)
    return bool(lacks)


def _inbox(state: Claim, run: str | None) -> InboxReader | None:
    """The inbox of the state directory, if there is one.

    Behind a script that is not supervisord, what is recorded would not be recognised when delivered.
    """
    from listener.inbox.reader import InboxReader

    if state.problem:
        return None
    is_behind_script = run is None and "SUPERVISOR_ENABLED" in os.environ
    return InboxReader(state.folder, with_events=not is_behind_script)


def _refuse(config: str, error: HooksError, settings: ListenerSettings) -> int:
    """Log why the listener cannot start or continue until a person does something: exit status 2."""
    import logging

    from listener import log

    log.start()
    log.set_form(settings.log_format, settings.log_level)
    is_in_file = isinstance(error, SettingsError)
    hint = f", correct hooks.conf first (conductor-hooks check {config}):\n" if is_in_file else ": "
    logging.getLogger(__name__).error("cannot start%s%s", hint, error)
    log.flush()
    return 2


def _leave(error: Exception, status: int) -> int:
    """Log why the listener ends, for supervisord to start it again."""
    import logging

    log = logging.getLogger(__name__)
    if status:
        log.error("leaving, for supervisord to start the listener again: %s", error)
    else:
        log.warning("%s", error)
    return status
