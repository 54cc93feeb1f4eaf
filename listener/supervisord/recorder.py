"""Records every communication event inside supervisord, before any buffer can lose it.

Owns the subscription to supervisord's events, when a file of records begins and ends, and what is
said in supervisord's log. It never raises, waits or syncs while supervisord handles an event, since all
programs would suffer. supervisord calls `make_recorder`, at every start and reload, for this section::

    [rpcinterface:conductor_hooks]
    supervisor.rpcinterface_factory = listener.supervisord.recorder:make_recorder
    state_dir = /var/lib/conductor-hooks

A listener beside this one has a section of another name, with its own state directory. The Python that
runs supervisord must be able to import this package, or supervisord does not start: "Error:
listener.supervisord.recorder:make_recorder cannot be resolved within [rpcinterface:conductor_hooks]".
It calls no factory, and nothing is recorded, when it has neither a [unix_http_server] nor an
[inet_http_server].
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import Any

from supervisor import events
from supervisor.process import GlobalSerial, new_serial
from supervisor.xmlrpc import capped_int

from listener.inbox.folder import FOLDER, RECORDED_IN
from listener.inbox.growing_file import GrowingFile, Syncer, create
from listener.inbox.record import encode
from listener.inbox.runs import run_of

MAX_BYTES = 1_000_000
"""A file that has become so large is followed by another: then the listener can remove it."""


def make_recorder(supervisord: Any, **config: str) -> _Namespace:
    """Begin to record, or continue after a reload; what is returned answers RPCs.

    Raises ValueError when the section has no absolute `state_dir`, or more than that. supervisord then
    ends with status 2 and "Error: Could not make conductor_hooks rpc interface" on its stderr; its log
    (without -n or a logfile that is all an operator gets to see) ends with the error's text. A reload
    ends supervisord so, too, as any mistake in its configuration does. That the directory is not there,
    or cannot be written, is no mistake: the log says so, and each event is another attempt.
    """
    state_dir = config.pop("state_dir", "")
    if config or not os.path.isabs(state_dir):
        raise ValueError(
            "the section of a recorder takes state_dir, an absolute path, and nothing else beside"
            f" supervisor.rpcinterface_factory; found state_dir = {state_dir!r}"
            f"{''.join(f', {name}' for name in config)}; correct the section"
        )
    recorder = _recorders.setdefault(os.path.normpath(state_dir), Recorder(state_dir))
    recorder.attach(supervisord.options.logger)
    for other in _recorders.values():
        if not other.is_attached:  # a reload may have left it behind; if not, it opens again by itself
            other.close()
    folders = (each.state_dir for each in _recorders.values() if each.is_attached)
    os.environ[RECORDED_IN] = "\n".join(folders)  # for a listener, to see whether its own is there
    return _Namespace(recorder)


class _Namespace:
    """What clients of supervisord's RPC can call: its public methods, as `conductor_hooks.status`."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def status(self) -> dict[str, Any]:
        """Return how many events were recorded, and how many could not be, since supervisord started.

        @return struct result  state_dir, recorded, failed, file ('' while there is none), trouble (why
                               nothing can be recorded now, or '')
        """
        return self._recorder.status()


class Recorder:
    """Records what happens in this supervisord into one state directory, from the first event on."""

    def __init__(self, state_dir: str) -> None:
        self.state_dir = state_dir
        self._folder = os.path.join(state_dir, FOLDER)
        self._subscription = (events.ProcessCommunicationEvent, self.take)
        self._syncer = Syncer()
        self._logger: Any = None
        self._recorded = 0
        self._failed = 0
        self._failed_before = 0  # when recording worked last
        self._trouble = ""
        self._sync_trouble = ""
        self._run = ""
        self._last_number = 0
        self._file: GrowingFile | None = None
        self._retired: list[GrowingFile] = []

    @property
    def is_attached(self) -> bool:
        return self._subscription in events.callbacks

    def attach(self, logger: Any) -> None:
        """See every event before the pools do. Safe to call again: each HTTP server has that done."""
        self._logger = logger
        if self._file is not None and not self._file.is_open():
            self._file = None
        if self.is_attached:
            events.callbacks.remove(self._subscription)
        events.callbacks.insert(0, self._subscription)
        if not os.path.isdir(self.state_dir):
            self._report(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))

    def close(self) -> None:
        """Give back descriptors and the thread. The next event would get new ones."""
        for file in (*self._retired, self._file):
            if file is not None:
                file.close()
        self._retired, self._file = [], None
        self._syncer.stop()

    def status(self) -> dict[str, Any]:
        is_mended = self._failed == self._failed_before and os.path.isdir(self.state_dir)
        return {
            "state_dir": os.path.normpath(self.state_dir),
            "recorded": capped_int(self._recorded),
            "failed": capped_int(self._failed),
            "file": self._file.path if self._file else "",
            "trouble": "" if is_mended else self._trouble,
        }

    def take(self, event: Any) -> None:
        """Record one event. An exception would close the channel of the program that it came from."""
        try:
            file = self._file
            if file is None or not file.is_dirty:  # once per sync, that is
                file = self._usable(file)
            if not hasattr(event, "serial"):  # as the pools do, which keep one that is there
                event.serial = new_serial(GlobalSerial)
            data = encode(event.serial, event.payload())
            if os.write(file.fd, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            file.size += len(data)
            self._recorded += 1
            if file.size >= MAX_BYTES:
                self._retire(file)
            elif not file.is_dirty:
                self._syncer.ask(file)
            if self._trouble or self._failed > self._failed_before:
                self._log_end_of_trouble()
        except Exception as error:
            try:
                self._fail(event, error)
            except Exception:  # a RecursionError, for one, comes again there
                self._failed += 1

    def _fail(self, event: Any, error: Exception) -> None:
        if isinstance(error, OSError) and self._file is not None:
            if self._file.size:  # a new one may take what this one did not
                self._retire(self._file)
                self.take(event)
                return
            file, self._file = self._file, None
            file.remove()
        self._report(error)
        self._failed += 1

    def _usable(self, file: GrowingFile | None) -> GrowingFile:
        """The file to write to now: this one, if it still is what its path leads to, or a new one."""
        if file is not None:
            if file.sync_error != self._sync_trouble:
                self._log_sync_error(file)
            if file.is_in_place():
                return file
            self._retire(file)
        for retired in [retired for retired in self._retired if retired.is_synced]:
            self._retired.remove(retired)
            retired.close()
        if not self._run:  # not before the first event: supervisord forks after it has called us
            self._run = run_of(os.getpid())
        self._file = create(self.state_dir, self._run, self._last_number)
        self._last_number = self._file.number
        return self._file

    def _retire(self, file: GrowingFile) -> None:
        """Write no more to it; it is closed after its last sync."""
        self._file = None
        self._retired.append(file)
        file.is_retired = True
        if not file.is_dirty:
            self._syncer.ask(file)

    def _report(self, error: Exception) -> None:
        """Say what the trouble is, once for as long as it lasts."""
        trouble = (isinstance(error, OSError) and error.strerror) or repr(error)
        if trouble == self._trouble:
            return
        self._trouble = trouble
        self._log(
            "warn",
            f"events are not recorded in {self._folder}: {trouble}; until that is mended they wait in"
            " the listener's buffer alone",
        )

    def _log_end_of_trouble(self) -> None:
        missed, self._failed_before = self._failed - self._failed_before, self._failed
        self._trouble = ""
        self._log("info", f"events are recorded in {self._folder}, {missed} were not")

    def _log_sync_error(self, file: GrowingFile) -> None:
        self._sync_trouble = file.sync_error
        if file.sync_error:
            self._log(
                "warn",
                f"syncing {file.path}: {file.sync_error}; a loss of power can take what is recorded,"
                " check the disk",
            )

    def _log(self, level: str, text: str) -> None:
        with suppress(Exception):
            getattr(self._logger, level)(f"conductor_hooks: {text}")


_recorders: dict[str, Recorder] = {}
"""By state directory: supervisord forgets at a reload what it has got from a factory, we do not."""
