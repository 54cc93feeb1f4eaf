"""The guide of the README, on a real broker, under a real supervisord with the shipped section.

What takes the messages at first, and again in the end, is a stand-in for the manager's own worker.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from listener.state.filters import Filters
from listener.state.journal import Journal
from tests import manager
from tests.end_to_end.real_supervisord import NOTE, RealSupervisord, ids, running
from tests.rabbitmq.section import section_with_forwarder
from tests.rabbitmq.vhost import Vhost
from tests.support import wait_for


def forward(vhost: Vhost) -> str:
    there = {"hosts": [f"{vhost.host}:{vhost.port}"], "tls": False, "vhost": vhost.name}
    return f"forward: {json.dumps(there)}\n"


def body(execution_id: str) -> str:
    """With a token whose id is the same without the hyphen."""
    token = f"ctok-{execution_id.replace('-', '')}-{'s' * 36}"
    context = {"execution_id": execution_id, "deployment_id": "d", "tenant_name": "acme"}
    return json.dumps({"event_type": "workflow_failed", "context": {**context, "rest_token": token}})


def start_forwarder(supervisord: RealSupervisord) -> None:
    """Uncomment it in the section file, as the README says, and update supervisord."""
    section = supervisord.folder / "conf.d" / "conductor-hooks.conf"
    section.write_text(section_with_forwarder(supervisord.hooks_conf))
    supervisord.supervisorctl("update")
    wait_for("the forwarder", lambda: "consuming the queue" in forwarder_log(supervisord))


def forwarder_log(supervisord: RealSupervisord) -> str:
    files = supervisord.folder.glob("conductor-forwarder-stderr*.log")
    return "".join(file.read_text() for file in files)


def command(supervisord: RealSupervisord, *arguments: str) -> str:
    """What a verb prints."""
    return subprocess.run(
        [sys.executable, "-m", "listener", *arguments],
        env=supervisord.env, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def history(supervisord: RealSupervisord, *arguments: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(
        command(supervisord, "history", "--output", "json", *arguments)
    )
    return entries


def test_what_a_manager_and_emit_publish_is_acted_on_once_and_is_in_the_history(vhost: Vhost) -> None:
    with running(NOTE + forward(vhost)) as supervisord:
        start_forwarder(supervisord)
        vhost.publish(*map(body, ids(20)))
        command(supervisord, "emit", "workflow_failed", "--amqp", "--set", "execution_id=by-hand")
        wait_for("the notes", lambda: "by-hand" in supervisord.notes())
        supervisord.emit("workflow_failed", "the-last")  # after the frames of all others
        wait_for("the last note", lambda: "the-last" in supervisord.notes())
        assert supervisord.notes() == [*ids(20), "by-hand", "the-last"]
        entries = history(supervisord)[::-1]
    assert [entry["execution_id"] for entry in entries] == [*ids(20), "by-hand", "the-last"]
    assert [entry["source"] for entry in entries] == [*["rabbitmq"] * 21, "supervisord"]
    assert {entry["state"] for entry in entries} == {"done"}
    assert vhost.counts() == (0, 0, 0)


class Publisher:
    """Publishes one notification after another, but for the time of a `pause`."""

    def __init__(self, vhost: Vhost) -> None:
        self._vhost = vhost
        self._is_over = threading.Event()
        self._may_publish = threading.Lock()
        self._thread = threading.Thread(target=self._run)
        self.published: list[str] = []

    def _run(self) -> None:
        while not self._is_over.wait(0.05):
            with self._may_publish:
                name = f"e-{len(self.published)}"
                self._vhost.publish(body(name))
                self.published.append(name)

    @contextmanager
    def publishing(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            self._thread.join()

    @contextmanager
    def paused(self) -> Iterator[None]:
        with self._may_publish:
            yield


class Site:
    """A manager's supervisord, with its worker, the listener and the forwarder."""

    def __init__(self, vhost: Vhost, supervisord: RealSupervisord, rest: manager.Manager) -> None:
        self.supervisord = supervisord
        self.publisher = Publisher(vhost)
        self._rest = rest
        program = [sys.executable, "-m", "tests.rabbitmq.takeover"]
        self._worker = shlex.join([*program, str(vhost.port), vhost.name, str(rest.server_port)])

    def update_worker(self, option: str) -> None:
        """Write its section, and have supervisord restart it."""
        section = self.supervisord.folder / "conf.d" / "cloudify-mgmtworker.conf"
        section.write_text(f"[program:cloudify-mgmtworker]\ncommand={self._worker} {option}\n")
        self.supervisord.supervisorctl("update", "cloudify-mgmtworker")

    def start_worker(self) -> None:
        self.update_worker('--hooks-queue "cloudify-hooks"')

    def stop_worker(self) -> None:
        """When no workflow runs."""
        with self.publisher.paused():
            wait_for("all actions", self.is_idle)
            self.update_worker("")

    def is_idle(self) -> bool:
        """Whether all was acted on; the deletion of its token is the end of that."""
        return len(self._rest.asked) >= len(self.publisher.published)

    def start_forwarder(self) -> None:
        start_forwarder(self.supervisord)

    def stop_forwarder(self) -> None:
        """Until the listener has nothing left to do."""
        self.supervisord.supervisorctl("stop", "conductor-forwarder")
        wait_for("all entries", self.has_nothing_left)

    def has_nothing_left(self) -> bool:
        """Whether the listener has an end for each notification in its journal."""
        state_dir = self.supervisord.env["CONDUCTOR_HOOKS_STATE_DIR"]
        with closing(Journal(state_dir)) as journal:
            return not journal.newest(Filters(states=("pending",)), 1)

    def wait_for_more(self, what: str) -> None:
        """Until some more have been acted on by the worker, or done by the listener."""
        before = len(self.supervisord.notes(what))
        wait_for(f"more of {what}", lambda: len(self.supervisord.notes(what)) > before + 5)


_Step = Callable[[Site], None]


@pytest.mark.parametrize(
    ("over", "back"),
    [
        ((Site.stop_worker, Site.start_forwarder), (Site.stop_forwarder, Site.start_worker)),
        ((Site.start_forwarder, Site.stop_worker), (Site.start_worker, Site.stop_forwarder)),
    ],
    ids=["one after the other", "both for a while"],
)
def test_the_forwarder_takes_over_from_the_worker_and_gives_back_while_notifications_come(
    vhost: Vhost, over: tuple[_Step, _Step], back: tuple[_Step, _Step]
) -> None:
    with manager.running() as rest:
        service = {"rest_host": "127.0.0.1", "rest_port": rest.server_port, "rest_protocol": "http"}
        hooks = f"{NOTE}listener: {{manager: {json.dumps(service)}}}\n{forward(vhost)}"
        with running(hooks) as supervisord:
            site = Site(vhost, supervisord, rest)
            vhost.declare()
            with site.publisher.publishing():
                site.start_worker()
                site.wait_for_more("worker")
                for step in over:
                    step(site)
                site.wait_for_more("done")
                for step in back:
                    step(site)
                site.wait_for_more("worker")
            published = site.publisher.published
            wait_for("all actions", site.is_idle)
            acted_on = Counter(supervisord.notes() + supervisord.notes("worker"))
    assert acted_on == Counter(published)
    deleted = Counter(path.rpartition("/")[2] for path, *_ in rest.asked)
    assert deleted == Counter(name.replace("-", "") for name in published)
