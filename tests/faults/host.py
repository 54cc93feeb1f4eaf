"""A host that consumes a queue: a supervisord with the shipped listener and forwarder, and its folder.

Owns how a whole host dies and comes back, and when it has nothing left to do. It never judges. The
faults of RabbitMQ call it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from tests.faults.hooks import Hooks, notification_body
from tests.faults.ledger import has_nothing_to_do, read_journal
from tests.faults.supervised import Supervised
from tests.rabbitmq.section import section_with_forwarder
from tests.rabbitmq.vhost import QUEUE, Vhost
from tests.support import wait_for

_LIMIT_S = 180.0
_BEGUN = re.compile(r"begun already, and may run on another host, too: entries ([0-9, ]+)")


class Host(Supervised):
    """Its hooks.conf has the section `forward`."""

    def shipped_section(self) -> str:
        return section_with_forwarder(self.hooks_conf)

    def wait_for_forwarder(self, other_than: Iterable[int] = ()) -> int:
        """The forwarder's process; one that is not among these."""
        return self.wait_for_program("conductor-forwarder", "forward", other_than)

    def forwarder_log(self) -> str:
        """All of it, also before restarts."""
        return (self.folder / "conductor-forwarder-stderr.log").read_text("utf-8", "replace")

    def connections(self) -> int:
        """How often the log says that the queue is consumed."""
        return self.forwarder_log().count("consuming the queue")

    def die(self) -> None:
        """All of its processes end at once, as at a loss of power. `start` brings it back."""
        self.close()

    def named(self) -> set[str]:
        """The notifications whose entries its logs name as begun, and given back to the queue."""
        lists = _BEGUN.findall(self.log() + self.forwarder_log())
        numbers = {int(number) for each in lists for number in each.split(", ")}
        return {entry.execution_id or "" for entry in read_journal(self.folder) if entry.id in numbers}


def forward(vhost: Vhost, **more: Any) -> Mapping[str, Any]:
    """The section `forward` for this broker."""
    return {"hosts": [f"{vhost.host}:{vhost.port}"], "tls": False, "vhost": vhost.name, **more}


@contextmanager
def hosts(folder: Path, *hooks: Hooks) -> Iterator[list[Host]]:
    """A host for each, with a folder of its own; they have begun to consume in their order."""
    with ExitStack() as stack:
        found = []
        for number, its_own in enumerate(hooks):
            own = folder / str(number)
            own.mkdir()
            found.append(stack.enter_context(closing(Host(own, its_own))))
            wait_until_consuming(found[-1:])
        yield found


def wait_until_consuming(some: Sequence[Host], more_than: int = 0) -> None:
    """Until each has begun to consume more often than that."""
    wait_for("consumers", lambda: all(host.connections() > more_than for host in some))


def publish(vhost: Vhost, names: Iterable[str]) -> None:
    """A notification for each name, as a manager does it."""
    vhost.publish(*map(notification_body, names))


def wait_until_over(vhost: Vhost, some: Sequence[Host], queue: str = QUEUE) -> None:
    """Until the broker has no message any more, and these hosts have acted on all that they have."""
    wait_for("the end of all work", lambda: _is_over(vhost, some, queue), _LIMIT_S)


def _is_over(vhost: Vhost, some: Sequence[Host], queue: str) -> bool:
    """In the order in which a message moves, so that none is missed on its way."""
    counts = vhost.counts(queue)
    is_empty = counts.ready == counts.unacknowledged == 0
    return is_empty and all(has_nothing_to_do(host.folder) for host in some)
