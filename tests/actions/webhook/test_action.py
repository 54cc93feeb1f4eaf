"""The built-in that calls web servers: what it sends, what each answer means, how it is bounded."""

from __future__ import annotations

import base64
import gc
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks.webhooks import Webhook

from listener.actions import Call, Surroundings
from listener.actions.webhook.action import WebhookAction
from listener.actions.webhook.client import Exchange
from listener.errors import ActionFailed, ActionTimedOut
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook
from listener.interpreters.deadline import Deadline
from listener.model.notification import Notification
from listener.model.outcome import NEVER, Tally
from tests.actions.webhook.web import HOST, Handler, Received, WebServer, replying, serving
from tests.certificates import Authority, Identity
from tests.listening import frame, site_in
from tests.support import wait_for

TOKEN = "ctok-abcdefghijklmnopqrstuvwxyz012345"
NOW = 1_790_000_000.0


@pytest.fixture
def action(tmp_path: Path) -> Iterator[WebhookAction]:
    made = WebhookAction(Surroundings(ListenerSettings(), config_folder=str(tmp_path)))
    yield made
    made.close()
    for exchange in exchanges():  # also one that was given up ends
        exchange.join(30)
        assert not exchange.is_alive()
    gc.collect()  # a socket that is left open is a warning, and so an error, here


def exchanges() -> list[Exchange]:
    return [each for each in threading.enumerate() if isinstance(each, Exchange)]


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving() as made:
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "our-ca")


def notification(**changes: Any) -> Notification:
    context = {"execution_id": "e-1", "tenant": {"name": "a/b"}, "rest_token": TOKEN}
    made = Notification("workflow_failed", context, "2026-01-31T23:59:59.123Z", f"with {TOKEN}")
    return made._replace(**changes)


def call(url: str, about: Notification | None = None, timeout_s: float = 60.0, **inputs: Any) -> Call:
    about = about or notification()
    hook = Hook("tell", ("*",), "webhook", {"url": url, **inputs}, 1, {}, timeout_s=timeout_s)
    return Call(hook, about, about.hook_context(), NOW, entry_id=7)


def failure(action: WebhookAction, attempt: Call) -> ActionFailed:
    with pytest.raises(ActionFailed) as caught:
        action.run(attempt)
    return caught.value


def event_in(received: Received) -> Any:
    return from_http_event(HTTPMessage(dict(received.headers), received.body))


# What is sent


def test_an_event_is_sent_that_any_reader_of_cloudevents_reads(
    action: WebhookAction, server: WebServer
) -> None:
    assert action.run(call(f"{server.url}/hook?a=b")) == f"{server.url} answered 200"
    [received] = server.received
    assert (received.method, received.path) == ("POST", "/hook?a=b")
    event = event_in(received)
    assert event.get_source() == "/conductor/tenants/a%2Fb"
    assert event.get_type() == "com.cloudify.workflow_failed"
    assert event.get_subject() == "e-1"
    assert event.get_time() == datetime(2026, 1, 31, 23, 59, 59, tzinfo=timezone.utc)
    assert event.get_data()["tenant_name"] == "a/b"
    assert TOKEN not in repr(received.headers.items()) + received.body.decode()


@pytest.mark.parametrize("timestamp", [None, "soon", "0001-01-01T00:00:00+14:00"])
def test_without_a_time_that_can_be_said_the_time_of_receipt_is(
    action: WebhookAction, server: WebServer, timestamp: Any
) -> None:
    context = {"parameter": float("nan"), "rest_token": None}
    action.run(call(server.url, Notification("x", context, timestamp)))
    event = event_in(server.received[0])
    assert event.get_time().timestamp() == NOW
    assert (event.get_source(), event.get_subject()) == ("/conductor", None)
    assert b"NaN" not in server.received[0].body


def test_the_id_is_of_the_notification_and_the_hook(action: WebhookAction, server: WebServer) -> None:
    own = call(server.url)
    erased = notification(context={**notification().context, "rest_token": ""})  # as in a replay
    same = [own, call(server.url, erased), call(server.url, method="PUT", secret="any")]
    unnamed = notification(timestamp=None)
    others = [
        call(server.url, notification(timestamp="2026-01-31T23:59:59.124Z")),
        call(server.url, notification(id="1")),
        call(server.url, unnamed),
        Call(own.hook, unnamed, unnamed.hook_context(), NOW + 1),
        Call(own.hook._replace(name="other"), own.notification, own.hook_context, NOW),
    ]
    for attempt in (*same, *others):
        action.run(attempt)
    ids = [received.headers["Idempotency-Key"] for received in server.received]
    assert len(set(ids[: len(same)])) == 1
    assert len(set(ids)) == 1 + len(others)
    assert event_in(server.received[0]).get_id() == ids[0]


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_" + base64.b64encode(b"k" * 24).decode(), b"k" * 24),
        ("any text: ü", "any text: ü".encode()),
    ],
)
def test_a_signature_is_verified_by_standard_webhooks(
    action: WebhookAction, server: WebServer, secret: str, key: bytes
) -> None:
    action.run(call(server.url, secret=secret, headers={"Webhook-Id": "mine"}))
    [received] = server.received
    headers = {name.lower(): value for name, value in received.headers.items()}
    Webhook(base64.b64encode(key).decode()).verify(received.body, headers)
    assert headers["webhook-id"] == headers["idempotency-key"]


@pytest.mark.parametrize(
    ("inputs", "content_type", "body"),
    [
        ({"body": {"text": "ü"}}, "application/json", b'{"text": "\\u00fc"}'),
        ({"body": None}, "application/json", b"null"),
        ({"body": "it's ü"}, "text/plain; charset=utf-8", "it's ü".encode()),
        ({"body": "", "method": "PUT"}, "text/plain; charset=utf-8", b""),
        ({"body": "<a/>", "headers": {"Content-Type": "text/xml"}}, "text/xml", b"<a/>"),
        ({"method": "GET"}, None, b""),
    ],
)
def test_an_own_body_is_sent_as_it_stands(
    action: WebhookAction, server: WebServer, inputs: Any, content_type: str, body: bytes
) -> None:
    action.run(call(server.url, **inputs))
    [received] = server.received
    assert received.headers.get_all("Content-Type") == (content_type and [content_type])
    assert (received.method, received.body) == (inputs.get("method", "POST"), body)


# What an answer means


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_status_of_200_to_299_is_done(action: WebhookAction, server: WebServer, status: int) -> None:
    server.reply = replying(status)
    assert action.run(call(server.url)) == f"{server.url} answered {status}"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 599])
def test_what_may_pass_is_left_to_retries(
    action: WebhookAction, server: WebServer, status: int
) -> None:
    server.reply = replying(status, b"come  back\n")
    error = failure(action, call(server.url))
    assert (str(error), error.retry_after_s) == (f"{server.url} answered {status}: come back", None)


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_a_refusal_ends_the_hook(action: WebhookAction, server: WebServer, status: int) -> None:
    server.reply = replying(status, b"no", retry_after="1")
    error = failure(action, call(server.url))
    assert error.retry_after_s == NEVER
    assert str(error).startswith(f"{server.url} answered {status}: no; correct ")


@pytest.mark.parametrize(
    ("retry_after", "pause_s"),
    [
        ("120", 120),
        ("99999999999", 86_400),
        (format_datetime(datetime.fromtimestamp(NOW, timezone.utc) + timedelta(minutes=1)), 60),
        (format_datetime(datetime.fromtimestamp(NOW, timezone.utc) - timedelta(days=9)), 0),
        ("soon", None),
        ("-1", None),
    ],
)
def test_retry_after_is_obeyed_up_to_a_day(
    server: WebServer, retry_after: str, pause_s: float | None
) -> None:
    action = WebhookAction(Surroundings(ListenerSettings()), now=lambda: NOW)
    server.reply = replying(429, retry_after=retry_after)
    assert failure(action, call(server.url)).retry_after_s == pause_s
    action.close()


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("https://user:pw@other.example/login?token=1#x", "https://other.example/login"),
        ("/services/T0KEN/", "http://127.0.0.1:{port}…/"),
        ("http://[", "no URL"),
        ("", "nowhere"),
    ],
)
def test_a_redirect_is_told_and_not_followed(
    action: WebhookAction, server: WebServer, location: str, place: str
) -> None:
    server.reply = replying(307, location=location)
    error = failure(action, call(f"{server.url}/services/T0KEN"))
    assert f"307, which points to {place.format(port=server.server_port)};" in str(error)
    assert (error.retry_after_s, len(server.received)) == (NEVER, 1)


def test_an_answers_text_is_masked_before_it_is_cut(action: WebhookAction, server: WebServer) -> None:
    secret = "s" * 300
    server.reply = replying(500, f"POST /services/T0KEN?k=v \x1b[1m {secret} {'x' * 300}".encode())
    attempt = call(f"{server.url}/services/T0KEN?k=v")
    attempt = Call(*(attempt.hook, attempt.notification, attempt.hook_context, NOW), secrets=(secret,))
    text = str(failure(action, attempt)).partition(" answered 500: ")[2]
    assert text == ("POST … \\x1b[1m … " + "x" * 300)[:199] + "…"


def test_an_endless_answer_is_not_read(action: WebhookAction, server: WebServer) -> None:
    def reply(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.write_until_gone(b"x" * 65536)

    server.reply = reply
    assert action.run(call(server.url)).endswith("x…")
    assert server.gone.wait(30)


# Connections


def test_a_kept_connection_is_used_again_and_replaced_when_the_server_has_closed_it(
    action: WebhookAction, server: WebServer
) -> None:
    def last(handler: Handler) -> None:
        handler.answer()
        handler.close_connection = True

    action.run(call(server.url))
    server.reply = last
    action.run(call(f"{server.url}/other"))
    wait_for("the server's end of the connection", lambda: server.closed)
    server.reply = Handler.answer
    action.run(call(server.url))
    first, second, third = (received.peer for received in server.received)
    assert first == second != third


def test_a_connection_that_breaks_after_the_request_is_a_failure_and_nothing_is_sent_again(
    action: WebhookAction, server: WebServer
) -> None:
    def cut(handler: Handler) -> None:
        handler.close_connection = True

    action.run(call(server.url))
    server.reply = cut
    error = failure(action, call(server.url))
    assert str(error) == (
        f"{server.url}: the connection was lost before an answer came; the request may have arrived"
    )
    assert (error.retry_after_s, len(server.received)) == (None, 2)


@pytest.mark.parametrize("cut_off", [b"Content-Le", b"Content-Length: 9\r\n\r\n", b"\r\nok"])
def test_a_connection_that_breaks_after_the_status_does_not_undo_it(
    action: WebhookAction, server: WebServer, cut_off: bytes
) -> None:
    def cut(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + cut_off)
        handler.close_connection = True

    server.reply = cut
    assert action.run(call(server.url)).startswith(f"{server.url} answered 200")


def test_a_refused_connection_and_an_unknown_name_say_what_to_do(action: WebhookAction) -> None:
    with socket.create_server((HOST, 0)) as closed:
        url = f"http://{HOST}:{closed.getsockname()[1]}"
    assert str(failure(action, call(url))) == (
        f"{url}: connection refused: start it, or correct the port"
    )
    error = failure(action, call("http://no-such-host.invalid/x"))
    assert "http://no-such-host.invalid: there is no host of this name" in str(error)
    assert "there is no host of this name" in str(failure(action, call("http://a..b/x")))


def test_what_has_no_words_of_its_own_is_named_and_a_defect_is_raised(
    action: WebhookAction, server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    many: Any = {f"X_{number}": "x" for number in range(101)}
    server.reply = replying(200, **many)
    assert str(failure(action, call(server.url))) == f"{server.url}: ProtocolError"

    def defect(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("urllib3.PoolManager.urlopen", defect)
    with pytest.raises(ZeroDivisionError):
        action.run(call(server.url))


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b""], ids=["head", "first_line"])
def test_a_server_that_drips_bytes_is_left_at_the_timeout(
    action: WebhookAction, server: WebServer, head: bytes
) -> None:
    def drip(handler: Handler) -> None:
        handler.wfile.write(head)
        handler.write_until_gone(b"H", 0.01)

    server.reply = drip
    with pytest.raises(ActionTimedOut, match=r"no answer within 0.3 s"):
        action.run(call(server.url, timeout_s=0.3))
    assert server.gone.wait(30)  # the connection was ended, and the thread with it
    server.reply = Handler.answer
    assert action.run(call(server.url))


def test_a_body_that_is_late_does_not_undo_an_answer(
    action: WebhookAction, server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends_after_the_status(*_: Any) -> None:
        [exchange] = exchanges()
        wait_for("the status", lambda: exchange.answer)

    def drip(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 9999\r\n\r\n")
        handler.write_until_gone(b"x", 0.01)

    server.reply = drip
    monkeypatch.setattr(Deadline, "wait", ends_after_the_status)
    assert action.run(call(server.url)) == f"{server.url} answered 202"
    assert server.gone.wait(30)


def test_a_silent_server_is_left_at_the_timeout(action: WebhookAction, server: WebServer) -> None:
    server.reply = lambda handler: handler.write_until_gone(b"", 0.01)
    with pytest.raises(ActionTimedOut, match="the request may have arrived"):
        action.run(call(server.url, timeout_s=0.05))


def test_a_request_given_up_while_its_name_was_looked_up_is_never_sent(
    action: WebhookAction, server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, real = threading.Event(), socket.getaddrinfo

    def late(*arguments: Any) -> Any:
        answers.wait()
        return real(*arguments)

    monkeypatch.setattr(socket, "getaddrinfo", late)
    with pytest.raises(ActionTimedOut):
        action.run(call(server.url, timeout_s=0.05))
    [left] = exchanges()
    answers.set()
    left.join()
    assert server.received == []
    action.run(call(server.url))
    assert len(server.received) == 1


# TLS and proxies


def server_context(identity: Identity, clients: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context


def test_a_certificate_must_be_from_the_ca_and_for_the_host(
    action: WebhookAction, authority: Authority, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"  # named by a relative path below
    ca.write_bytes(Authority(tmp_path, "other").certificate.read_bytes())
    with serving(server_context(authority.issue("server", HOST))) as server:
        error = failure(action, call(server.url))
        assert "name the CA's file in 'ca'" in str(error) and error.retry_after_s is None
        assert "name the CA's file in 'ca'" in str(failure(action, call(server.url, ca="ca.pem")))
        ca.write_bytes(authority.certificate.read_bytes())  # a file that changes is read again
        assert action.run(call(server.url, ca="ca.pem")) == f"{server.url} answered 200"
        plain = call(server.url.replace("https", "http"))
        assert "no HTTP" in str(failure(action, plain)) or "lost" in str(failure(action, plain))
    with serving(server_context(authority.issue("wrong", "example.com"))) as server:
        assert "for another name" in str(failure(action, call(server.url, ca="ca.pem")))
    with serving() as server:
        url = server.url.replace("http", "https")
        assert "does not speak TLS" in str(failure(action, call(url, ca="ca.pem")))
    ca.unlink()
    assert "ca.pem): No such file or directory; correct" in str(failure(action, call(url, ca="ca.pem")))


def test_a_client_certificate_is_sent(action: WebhookAction, authority: Authority) -> None:
    ca, own = authority.certificate, authority.issue("client")
    with serving(server_context(authority.issue("server", HOST), ca)) as server:
        error = failure(action, call(server.url, ca=str(ca)))
        assert "accept our certificate" in str(error) or "lost before an answer" in str(error)
        inputs: dict[str, Any] = {"ca": str(ca), "cert": str(own.certificate), "key": str(own.key)}
        attempt = call(server.url, **inputs)
        assert action.check(attempt.hook, may_import=False) == []
        assert action.run(attempt) == f"{server.url} answered 200"


def test_a_proxy_passes_on_requests_and_tls(action: WebhookAction, authority: Authority) -> None:
    with serving() as proxy:
        url = proxy.url.replace("//", "//me:p%40ss@")
        action.run(call("http://example.com/x", proxy=url))
        with serving(server_context(authority.issue("server", HOST))) as server:
            action.run(call(server.url, proxy=url, ca=str(authority.certificate)))
            assert len(server.received) == 1
        assert [each.path for each in proxy.received] == ["http://example.com/x", server.url[8:]]
        basic = "Basic " + base64.b64encode(b"me:p@ss").decode()
        assert [each.headers["Proxy-Authorization"] for each in proxy.received] == [basic] * 2
    error = failure(action, call(server.url, proxy=url))
    assert f"{server.url}: the proxy: connection refused" in str(error)


def test_a_proxy_that_refuses_is_named(action: WebhookAction, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        monkeypatch.setattr(Handler, "do_CONNECT", replying(407))
        error = failure(action, call("https://example.com", proxy=proxy.url))
    assert str(error) == (
        "https://example.com: the proxy: it does not let us through (407): correct 'proxy'"
    )


# The rest


def test_destinations_are_counted_and_wrong_inputs_fail(
    action: WebhookAction, server: WebServer
) -> None:
    action.run(call(f"{server.url}/a"))
    action.run(call(f"{server.url}/b"))
    server.reply = replying(503)
    failure(action, call(server.url))
    assert action.take_tallies() == {server.url: Tally(2, 2, 1)}
    assert action.take_tallies() == {}
    assert str(failure(action, call(server.url, ur1="x"))).startswith("unknown input 'ur1'")


def test_urllib3_is_imported_with_the_first_webhook() -> None:
    program = (
        "import sys\n"
        "from listener.actions.registry import Actions\n"
        "from listener.hooks.settings import ListenerSettings\n"
        "from listener.hooks.table import Hook\n"
        "with Actions(ListenerSettings()) as actions:\n"
        "    for name in ('cloudify.snmp.snmp_trap.send_snmp_trap', 'webhook'):\n"
        "        actions.prepare([Hook('h', ('*',), name, {'url': 'https://h'}, 1, {})])\n"
        "        print('urllib3' in sys.modules, 'ssl' in sys.modules)\n"
    )
    output = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert output.split("\n") == ["False False", "True True", ""]


def test_a_webhook_that_the_listener_was_killed_in_is_interrupted_and_not_sent_again(
    server: WebServer, tmp_path: Path
) -> None:
    hook = json.dumps({"event_type": "*", "implementation": "webhook", "inputs": {"url": server.url}})
    server.reply = lambda handler: handler.write_until_gone(b"", 0.01)
    with site_in(tmp_path) as site:
        site.start(hook).send(frame("e-1"))
        wait_for("the request", lambda: server.received)
        site.close()  # with SIGKILL
        server.reply = Handler.answer
        again = site.start(hook)
        again.wait_for_log("not repeatable, and interrupted")
        again.send(frame("e-2", serial=2))
        site.wait_for_states("interrupted", "done")
    assert len(server.received) == 2
