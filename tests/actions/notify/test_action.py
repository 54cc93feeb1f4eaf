"""Mail, syslog and HTTP receivers get notifications; one that fails stops none and shows no secret."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from listener.actions import Call, Surroundings
from listener.actions.notify.action import NotifyAction
from listener.errors import ActionFailed
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook
from listener.interpreters.worker import Worker
from listener.model.notification import HOOK_FAILED, Notification
from listener.state.stop import Stop
from tests.actions.notify import receivers
from tests.actions.notify.receivers import PASSWORD, TOKEN, Mail, Syslog, Web
from tests.listening import frame, site_in
from tests.support import wait_for

CONTEXT = {
    "workflow_id": "install",
    "deployment_id": "nodecellar",
    "tenant_name": "acme",
    "execution_id": "e-1",
    "rest_token": "t",
}
FAILED = Notification("workflow_failed", {}, arguments={"error": "out of disk"})


@pytest.fixture
def web() -> Iterator[Web]:
    with receivers.web_server() as web:
        yield web


@pytest.fixture
def mail() -> Iterator[Mail]:
    with receivers.mail_server() as mail:
        yield mail


@pytest.fixture
def syslog() -> Iterator[Syslog]:
    with receivers.syslog_server() as syslog:
        yield syslog


@pytest.fixture(scope="module")
def action() -> Iterator[NotifyAction]:
    """With another interpreter for functions, which has no Apprise: there is none at all."""
    action = NotifyAction(Surroundings(ListenerSettings(python="/no/python")))
    yield action
    action.drain()
    action.close()


def a_hook(urls: Any, timeout_s: float = 60.0, **inputs: Any) -> Hook:
    return Hook("h1", ("*",), "notify", {"urls": urls, **inputs}, 1, {}, timeout_s=timeout_s)


def a_call(hook: Hook, notification: Notification = FAILED, /, **more: Any) -> Call:
    return Call(hook, notification, CONTEXT | more, 0.0)


def test_every_url_gets_title_and_body_made_from_the_notification(
    action: NotifyAction, web: Web, mail: Mail, syslog: Syslog
) -> None:
    result = action.run(a_call(a_hook([mail.url, syslog.url, web.url])))
    assert result == "sent to #1 mailto, #2 rsyslog, #3 json"
    [posted] = web.posted
    assert posted["type"] == "failure"
    assert posted["title"] == "workflow_failed: install, nodecellar, acme"
    body = (
        "event: workflow_failed\ndeployment: nodecellar\ntenant: acme\nworkflow: install\n"
        "execution: e-1\nerror: out of disk"
    )
    assert posted["message"] == body
    assert "error: out of disk" in mail.mails[0]
    assert "execution: e-1" in syslog.received()


def test_title_and_body_of_the_hook_are_sent_instead(action: NotifyAction, web: Web) -> None:
    action.run(a_call(a_hook(web.url, title="the title", body="the body")))
    assert (web.posted[0]["title"], web.posted[0]["message"]) == ("the title", "the body")


def test_of_a_failed_hook_the_message_says_which_and_the_end_of_its_error(
    action: NotifyAction, web: Web
) -> None:
    error = "Traceback:\n" + "  File\n" * 1000 + "KeyError: 'disk'"
    action.run(a_call(a_hook(web.url), Notification(HOOK_FAILED, {}), hook="page", error=error))
    lines = web.posted[0]["message"].splitlines()
    assert "hook: page" in lines
    assert lines[-1] == "KeyError: 'disk'"
    assert len(web.posted[0]["message"]) < 1200


def test_one_that_fails_stops_no_other_and_a_retry_reaches_it_alone(
    action: NotifyAction, web: Web, mail: Mail
) -> None:
    web.is_in_repair = True
    hook = a_hook([web.url, mail.url])
    with pytest.raises(ActionFailed, match=r"^#1 json: .*503.*; sent to #2 mailto$") as failed:
        action.run(a_call(hook))
    web.is_in_repair = False
    swapped = a_hook([mail.url, web.url])
    retry = msgspec.structs.replace(a_call(swapped), reached=failed.value.reached)
    assert action.run(retry) == "sent to #2 json"
    assert (len(web.posted), len(mail.mails)) == (2, 1)
    done = msgspec.structs.replace(retry, reached=(*retry.reached, *_keys(action, web)))
    assert action.run(done) == "every destination has got it before"


def _keys(action: NotifyAction, web: Web) -> tuple[str, ...]:
    """What a web server that was reached is remembered by."""
    with pytest.raises(ActionFailed) as failed:
        action.run(a_call(a_hook([web.url, "json://127.0.0.1:1/"])))
    return failed.value.reached


def test_a_failure_has_the_reason_and_no_part_of_the_url(action: NotifyAction) -> None:
    url = f"json://bot:{PASSWORD}@127.0.0.1:1/a%2F{TOKEN}?+x={TOKEN}"
    with pytest.raises(ActionFailed, match="Connection refused") as failed:
        action.run(a_call(a_hook(url)))
    assert "S3CRET" not in str(failed.value) + failed.value.details
    assert failed.value.reached == ()


def test_without_a_process_for_it_the_url_has_failed(
    action: NotifyAction, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_process(*_: object, **__: object) -> None:
        raise ActionFailed("no process can be forked")

    monkeypatch.setattr(Worker, "request", no_process)
    with pytest.raises(ActionFailed, match="#1 json: no process can be forked") as failed:
        action.run(a_call(a_hook(web.url)))
    assert (failed.value.reached, web.posted) == ((), [])


def test_a_server_that_hangs_leaves_the_others_their_share_of_the_time(
    action: NotifyAction, web: Web, mail: Mail
) -> None:
    action.run(a_call(a_hook(mail.url)))  # from now on no import takes time
    web.answers.clear()
    hook = a_hook([f"{web.url}?rto=600", mail.url], timeout_s=6.0)
    with pytest.raises(ActionFailed, match=r"#1 json: no end within .*; sent to #2 mailto"):
        action.run(a_call(hook))
    assert len(mail.mails) == 2


def test_check_names_each_url_that_is_not_understood(action: NotifyAction, web: Web) -> None:
    hook = a_hook([web.url, f"slakc://{TOKEN}", f"mailto://bot:{PASSWORD}@127.0.0.1", "zzzzzzz://x"])
    said = [(fault.input, fault.reason) for fault in action.check(hook, may_import=True)]
    assert said[0] == ("urls", "#2 slakc: Apprise has no service 'slakc'; did you mean 'slack'?")
    assert said[1][1].startswith("#3 mailto: Apprise does not understand the URL: ")
    assert "://" not in said[1][1]  # Apprise shows the ends of the password
    assert said[2][1].endswith("its documentation lists them")
    assert web.posted == []
    assert action.check(hook, may_import=False) == []
    with pytest.raises(ActionFailed, match=r"#1 slakc: Apprise has no service 'slakc'"):
        action.run(a_call(a_hook(f"slakc://{TOKEN}")))


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "the input 'urls' is missing; add it"),
        ({"url": "json://x"}, "unknown input 'url'; did you mean 'urls'?"),
        ({"urls": []}, "'urls' must be an Apprise URL, as in mailto://…, or a list of them"),
        ({"urls": ["x://x", 5]}, "'urls' must be an Apprise URL, as in mailto://…, or a list of them"),
        ({"urls": "json://x\n\npathS3CRET\n"}, "#2 has no scheme, such as mailto://"),
        ({"urls": "json://x", "body": ""}, "'body' must be a text, found an empty text"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit(action: NotifyAction, inputs: dict[str, Any], reason: str) -> None:
    hook = Hook("h1", ("*",), "notify", inputs, 1, {})
    assert reason in [fault.reason for fault in action.check(hook, may_import=True)]
    with pytest.raises(ActionFailed) as failed:
        action.run(a_call(hook))
    assert reason in str(failed.value)


def test_without_apprise_check_and_run_say_how_to_install_it(
    action: NotifyAction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    [fault] = action.check(a_hook("json://x"), may_import=True)
    assert fault.reason.endswith(
        "Apprise is not installed, which notify needs; in the checkout, run "
        f"{sys.executable} -m pip install '.[notify]'"
    )
    assert not fault.is_certain
    with pytest.raises(ActionFailed, match="Apprise is not installed"):
        action.run(a_call(a_hook("json://x")))


def test_a_listener_that_is_killed_meanwhile_never_sends_again(tmp_path: Path, web: Web) -> None:
    hook = f"{{event_type: workflow_started, implementation: notify, inputs: {{urls: '{web.url}'}}}}"
    event = frame("e-1", id="n-1")
    with site_in(tmp_path) as site:
        web.answers.clear()
        first = site.start(hook)
        first.send(event)
        wait_for("the message", lambda: web.posted)
        first.close()
        web.answers.set()
        second = site.start(hook)
        second.send(event)
        second.wait_for_answers(1)
        site.wait_for_states("interrupted")
        assert second.end() == 0
        assert TOKEN not in first.log + second.log
    assert len(web.posted) == 1


class Asked(Stop):
    """A person stops the attempt once this is looked at a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def is_asked(self) -> bool:
        self.looks += 1
        return self.looks > 1


def test_a_hook_that_is_stopped_sends_to_no_further_url(action: NotifyAction, web: Web) -> None:
    call = msgspec.structs.replace(a_call(a_hook([web.url, web.url + "/two"])), stop=Asked())
    with pytest.raises(ActionFailed) as failed:
        action.run(call)
    assert "not sent" in str(failed.value)
    assert len(web.posted) <= 1
