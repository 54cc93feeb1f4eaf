"""The README's cookbook: each fragment is read out of it, and works as it stands but for its hosts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

import pytest

from listener.actions.check import check_hooks
from listener.actions.registry import Actions
from listener.hooks.settings import ListenerSettings
from listener.hooks.watch import HooksFile
from listener.state.journal import Journal
from tests.actions.notify.receivers import mail_server
from tests.actions.webhook.web import Handler, Received, serving
from tests.dispatch.support import delivery
from tests.support import Finishing

_README = (Path(__file__).parents[1] / "README.rst").read_text()
_COOKBOOK = _README.partition("\nCookbook\n")[2].partition("\nFrom a stock manager\n")[0]
RECIPES: Mapping[str, str] = dict(re.findall(r"^ {4}# (.+)\n((?: {4}.+\n)+)", _COOKBOOK, re.M))
"""Each fragment by its lead: the comment above it."""


class Kitchen:
    """A listener's dispatcher and actions on one recipe; two servers stand for all of its hosts."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.web = stack.enter_context(serving())
        self.mail = stack.enter_context(mail_server())
        self.clock("12:00")

    def clock(self, time: str) -> None:
        """It is this time of a Monday in Berlin."""
        self.now = datetime.fromisoformat(f"2026-06-15T{time}+02:00").timestamp()

    def cook(self, lead: str) -> None:
        """Put the recipe in force, in which `check` finds nothing."""
        actions = self._stack.enter_context(Actions(ListenerSettings()))
        hooks_file = HooksFile(self._hooks_conf(lead), {})
        assert hooks_file.table is not None
        assert hooks_file.mistakes + check_hooks(hooks_file.table, actions, may_import=True) == []
        journal = self._stack.enter_context(closing(Journal(None)))
        self._dispatcher = Finishing(
            hooks_file, actions, journal, 900.0, now=lambda: self.now, monotonic=lambda: self.now
        )
        self.later(0)

    def _hooks_conf(self, lead: str) -> Path:
        """The recipe with local addresses, beside the files that it names."""
        chats = self.web.url.replace("http://", "json://")
        files = {
            "chat.url": f"{chats}/chat",
            "pager.url": f"{chats}/pager",
            "webhook.url": f"{self.web.url}/services",
            "cmdb.key": "a key",
            "tickets.token": "Bearer t0ken",
        }
        text = "hooks:\n" + RECIPES[lead].replace("/etc/conductor-hooks", str(self._folder))
        text = re.sub(r"https://(tickets|cmdb)\.example\.com", self.web.url, text)
        text = text.replace("relay.example.com", re.findall("@([^?]*)", self.mail.url)[0])
        for name, content in {**files, "hooks.conf": text}.items():
            (self._folder / name).write_text(content)
        return self._folder / "hooks.conf"

    def act(
        self, execution_id: str = "x1", event_type: str = "workflow_failed", **context: str
    ) -> None:
        """An event comes."""
        of = {"execution_id": execution_id, "workflow_id": "install", "deployment_id": "shop"}
        error = {"text": "out of disk"}
        self._dispatcher.act(delivery(event_type=event_type, context=of | context, message=error))
        self.later(0)

    def later(self, seconds: float) -> None:
        """So much later; all has been done that was due until then."""
        until = self.now + seconds
        self._dispatcher.accept_due()
        while (wait_s := self._dispatcher.work()) is not None and self.now + wait_s <= until:
            self.now += wait_s
        self.now = until
        self._dispatcher.accept_due()
        self._dispatcher.work()

    @property
    def asked(self) -> Sequence[Received]:
        return self.web.received

    @property
    def messages(self) -> list[tuple[str, str]]:
        """What chat and pager got: which of them, and the title."""
        return [(each.path.strip("/"), json.loads(each.body)["title"]) for each in self.asked]


@pytest.fixture
def kitchen(tmp_path: Path) -> Iterator[Kitchen]:
    with ExitStack() as stack:
        yield Kitchen(tmp_path, stack)


FAILED = "workflow_failed: install, shop"


def test_chat_and_mail_get_a_message_when_a_workflow_fails(kitchen: Kitchen) -> None:
    kitchen.cook("Chat and mail when a workflow fails")
    kitchen.act(event_type="workflow_succeeded")
    assert (kitchen.asked, kitchen.mail.mails) == ([], [])
    kitchen.act()
    assert kitchen.messages == [("chat", FAILED)]
    [mail] = kitchen.mail.mails
    assert "To: ops@example.com" in mail
    assert "error: out of disk" in mail


def test_a_chat_gets_it_by_its_own_webhook(kitchen: Kitchen) -> None:
    kitchen.cook("The same by a chat's own webhook, without Apprise")
    kitchen.act()
    [posted] = kitchen.asked
    assert posted.path == "/services"
    assert json.loads(posted.body) == {"text": "install of shop failed: out of disk"}


def test_the_pager_gets_a_message_after_the_last_retry_of_another_hook(kitchen: Kitchen) -> None:
    kitchen.cook("Page when another hook has failed, with all of its retries")
    kitchen.web.reply = _broken_at("/events", times=3)
    kitchen.act("x1", "workflow_succeeded")
    kitchen.later(3600)
    assert [each.path for each in kitchen.asked] == ["/events"] * 4

    kitchen.web.reply = _broken_at("/events", times=4)
    kitchen.act("x2", "workflow_succeeded")
    kitchen.later(3600)
    assert [each.path for each in kitchen.asked[4:]] == ["/events"] * 4 + ["/pager"]
    assert "503" in json.loads(kitchen.asked[-1].body)["message"]


def _broken_at(path: str, times: int) -> Callable[[Handler], None]:
    """Refuses as often at this path."""
    statuses = [503] * times

    def reply(handler: Handler) -> None:
        handler.answer(statuses.pop() if statuses and handler.path == path else 200)

    return reply


def test_a_ticket_has_the_same_key_in_a_retry(kitchen: Kitchen) -> None:
    kitchen.cook(
        "Open a ticket; a retry makes no second one where the server heeds the header Idempotency-Key"
    )
    kitchen.web.reply = _broken_at("/api/issues", times=1)
    kitchen.act("x1")
    kitchen.later(60)
    kitchen.act("x2")
    assert {each.headers["Authorization"] for each in kitchen.asked} == {"Bearer t0ken"}
    assert json.loads(kitchen.asked[0].body) == {
        "title": "install of shop failed",
        "text": "out of disk",
    }
    first, again, other = [each.headers["Idempotency-Key"] for each in kitchen.asked]
    assert first == again != other


def test_at_night_the_pager_gets_it_and_the_chat_by_day(kitchen: Kitchen) -> None:
    kitchen.cook("At night, page; by day, write to the chat")
    for number, time in enumerate(("07:59", "08:00", "17:59", "18:00")):
        kitchen.clock(time)
        kitchen.act(f"x{number}")
    assert [where for where, _ in kitchen.messages] == ["pager", "chat", "chat", "pager"]


def test_nobody_is_paged_for_a_test_deployment(kitchen: Kitchen) -> None:
    kitchen.cook("Not for test deployments")
    for number, deployment in enumerate(("test-1", "my-sandbox", "shop")):
        kitchen.act(f"x{number}", deployment_id=deployment)
    assert kitchen.messages == [("pager", FAILED)]


def test_the_pager_gets_a_workflow_that_has_no_end(kitchen: Kitchen) -> None:
    kitchen.cook("Page when a workflow hangs")
    for execution_id, workflow_id in (("x1", "install"), ("x2", "install"), ("x3", "heal")):
        kitchen.act(execution_id, "workflow_started", workflow_id=workflow_id)
    kitchen.later(7000)
    kitchen.act("x1", "workflow_succeeded")
    assert kitchen.messages == []
    kitchen.later(300)
    assert kitchen.messages == [("pager", "workflow_overdue: install, shop")]


def test_of_a_storm_five_are_paged_and_the_others_counted(kitchen: Kitchen) -> None:
    kitchen.cook("At most five pages in ten minutes, then one message with the number of the others")
    for number in range(7):
        kitchen.act(f"x{number}")
    assert kitchen.messages == [("pager", FAILED)] * 5
    kitchen.later(600)
    time = "2026-06-15T10:00:00.000Z"
    assert kitchen.messages[5:] == [("chat", f"2 more failed from {time} to {time}")]


def test_no_recipe_is_without_a_test() -> None:
    tests = Path(__file__).read_text()
    assert [lead for lead in RECIPES if f'"{lead}"' not in tests] == []
    assert len(RECIPES) == _COOKBOOK.count("\n\n    ")
