"""Entries that the broker has, too, until their hooks have ended: `acknowledge: acted`.

Owns what becomes of them when the connection that brought them is gone: the broker then gives them
again, to any host, so nothing is begun here any more. The forwarder calls it for its earlier
connections, the listener at its start for a forwarder that has ended.
"""

from __future__ import annotations

import logging

from listener.inbox.runs import is_alive
from listener.model.delivery import SHARED_WITH_BROKER
from listener.state.journal import Journal

_log = logging.getLogger(__name__)

_FORWARDER = "forwarder"


def hand_over(journal: Journal, run: str) -> None:
    """Withdraw what earlier connections have brought; what comes now is of the forwarder's `run`."""
    _withdraw(journal)
    journal.note(_FORWARDER, run)


def withdraw_of_dead(journal: Journal) -> None:
    """Withdraw what a forwarder has brought that does not run any more."""
    run = journal.noted(_FORWARDER)
    if run is not None and not is_alive(run):
        _withdraw(journal)


def _withdraw(journal: Journal) -> None:
    count, begun = journal.withdraw(SHARED_WITH_BROKER, "given back to the queue before a hook began")
    if count or begun:
        ids = ", ".join(map(str, begun))
        twice = f"; begun already, and may run on another host, too: entries {ids}" if begun else ""
        _log.warning("given back to the queue before a hook began: %d%s", count, twice)
