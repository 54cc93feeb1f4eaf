"""What is wrong with a hooks.conf and with all that it names.

Owns the list that `check` prints and that doctor has, too. It judges nothing itself: hooks/, actions/
and rabbitmq/ find the mistakes. No hook is run.
"""

from __future__ import annotations

from listener.actions.check import check_hooks
from listener.actions.registry import Actions
from listener.errors import HooksError
from listener.hooks.table import HookTable
from listener.hooks.yaml_lines import Mistake
from listener.overview.textfile import lacking
from listener.rabbitmq.broker import read_broker

_BLANK = "nothing stands here, and a listener keeps the hooks that it has; for none, write hooks: []"


def all_mistakes(
    table: HookTable, mistakes: list[Mistake], actions: Actions, *, may_import: bool
) -> list[Mistake]:
    """Those of the file and its hooks, of the broker that `forward` means, and of `metrics`."""
    of_hooks = check_hooks(table, actions, may_import=may_import)
    blank = [Mistake(0, _BLANK, is_warning=True)] if table.is_blank else []
    lacks = lacking() if table.listener.metrics else ""
    of_metrics = [Mistake(0, lacks)] if lacks else []
    return [*sorted(mistakes + of_hooks), *_broker_faults(table), *of_metrics, *blank]


def _broker_faults(table: HookTable) -> list[Mistake]:
    if table.forward is None or table.forward.problem:
        return []
    try:
        read_broker(table.forward)
    except HooksError as error:
        return [Mistake(0, f"forward: {error}")]
    return []
