"""The start of the listener, up to READY.

Owns the order of the start. It stays bare: whatever READY does not need is imported after it, by
serving.py, while supervisord looks for the first event.
"""

from __future__ import annotations

import os

from listener.errors import HooksError, SettingsError
from listener.hooks_file import Version, load
from listener.processes import run_of
from listener.sources.supervisor import ProtocolDescriptors, SupervisorSource, is_supervised
from listener.state_dir import Claim, claim, path_of


def listen(config: str, state_dir: str | None = None) -> int:
    """Serve supervisord until SIGTERM or the end of stdin; return the exit status.

    0 after SIGTERM or the end of stdin, 1 when supervisord has to start the listener again, 2 for a
    hooks.conf with mistakes and for a state directory that another listener works in.
    """
    try:
        descriptors = ProtocolDescriptors()
        first = load(config, os.environ)
        setting = first.table.listener.state_dir if first.table else None
        parent = os.getppid()
        run = run_of(parent) if is_supervised(os.environ, parent) else None
        state = claim(path_of(state_dir, os.environ, lambda: setting))
        _refuse_without_journal(config, first, state)
    except HooksError as error:
        from listener.serving import refuse

        return refuse(config, error)
    source = SupervisorSource(descriptors, is_supervised=run is not None)
    source.say_ready()
    from listener.serving import serve

    return serve(source, config, first, state, run)


def _refuse_without_journal(config: str, first: Version, state: Claim) -> None:
    """Without a journal nothing comes back later, and a hook that counts on that is not taken."""
    hooks = first.table.hooks if first.table and state.problem else ()
    wrong = [
        f"{config}, line {hook.line}: hook {hook.name!r} needs a journal, for {hook.needs_journal_for}"
        for hook in hooks
        if hook.needs_journal_for
    ]
    if wrong:
        raise SettingsError("\n".join((*wrong, state.problem)))
