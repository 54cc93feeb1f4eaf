"""The recorder inside supervisord: in the file, in the running supervisord, for this state directory.

Owns what is wrong when these differ. What the recorder says of its own trouble, `status` tells.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from listener.inbox.folder import is_recorded
from listener.overview.doctor.facts import Facts
from listener.overview.finding import Finding
from listener.state.journal import FILE


def judge_recorder(facts: Facts) -> Iterator[Finding]:
    configuration = facts.supervisord.configuration
    if configuration is None:
        return
    folder = os.path.normpath(facts.kept.folder)
    recorders = {place: os.path.normpath(path) for place, path in configuration.recorders.items()}
    for place, path in recorders.items():
        if path != folder and not os.path.exists(os.path.join(path, FILE)):
            yield Finding(
                place,
                f"it records into {path}, and the listener works in {folder}",
                f"state_dir={folder}; then supervisorctl reload",
            )
    if facts.supervisord.configured is not None and facts.kept.standing is not None:
        yield from _differing(facts, folder in recorders.values())


def _differing(facts: Facts, is_in_file: bool) -> Iterator[Finding]:
    standing, environment = facts.kept.standing, facts.supervisord.environment or {}
    is_running = standing is not None and standing.recorder is not None
    if is_in_file and not is_running:
        what = "it is in supervisord's configuration, but does not run"
        yield Finding("recorder", what, "supervisorctl reload, when no workflow runs")
    elif is_running and not is_in_file:
        what = "it runs, but is no longer in supervisord's configuration: the next start is without it"
        yield Finding("recorder", what, "write its [rpcinterface:…] again; or supervisorctl reload")
    elif not is_running and is_recorded(facts.kept.folder, environment):
        what = (
            "it is gone, but the listener takes events for recorded: supervisord's environment says so"
        )
        yield Finding("recorder", what, "restart supervisord, when no workflow runs")
