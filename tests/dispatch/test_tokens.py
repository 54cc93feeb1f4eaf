"""Deletes rest_tokens at a manager, with and without TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from listener.dispatch import tokens as module
from listener.dispatch.tokens import Tokens
from listener.hooks.settings import RestService
from tests.certificates import Authority
from tests.dispatch.support import TOKEN, House, Log, delivery, hook
from tests.manager import Manager, running
from tests.support import wait_for

PATH = "/api/v3.1/tokens/AbCdEfGhIj"


@pytest.fixture
def manager() -> Iterator[Manager]:
    with running() as manager:
        yield manager


@contextmanager
def closing_all(tokens: Tokens) -> Iterator[Tokens]:
    """The tokens; at the end all are deleted, whatever that takes."""
    yield tokens
    tokens.close()
    if tokens._thread is not None:
        tokens._thread.join()


def delete(service: RestService, *tokens: str) -> None:
    """Delete these, and wait for it."""
    with closing_all(Tokens(service)) as all_of_them:
        for token in tokens or (TOKEN,):
            all_of_them.delete(token, "acme")


def test_a_manager_is_asked_as_the_original_asks_it(house: House, manager: Manager, log: Log) -> None:
    delete(manager.service())
    assert manager.asked == [(PATH, TOKEN, "acme")]
    assert log("WARNING") == []


@pytest.mark.parametrize(
    ("token", "tenant"),
    [("WyIwIiwiMTIzNDU2Nzg5MDEyMzQ1Il0", "acme"), (TOKEN + "\n", "acme"), (TOKEN, None), (TOKEN, "é")],
)
def test_what_is_no_token_of_a_manager_is_left_alone(
    manager: Manager, token: str, tenant: str | None
) -> None:
    with closing_all(Tokens(manager.service())) as tokens:
        tokens.delete(token, tenant)
    assert manager.asked == []


# TLS


@pytest.mark.parametrize(
    ("address", "is_known", "problem"),
    [
        ("127.0.0.1", True, ""),
        ("127.0.0.1", False, "certificate verify failed"),
        ("127.0.0.2", True, "certificate is not valid for '127.0.0.1'"),
    ],
)
def test_with_tls_the_certificate_and_its_name_are_checked(
    house: House, manager: Manager, tmp_path: Path, log: Log,
    address: str, is_known: bool, problem: str,
) -> None:  # fmt: skip
    authority, other = Authority(tmp_path, "ours"), Authority(tmp_path, "another")
    own = authority.issue("manager", address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    manager.socket = context.wrap_socket(manager.socket, server_side=True)

    trusted = str((authority if is_known else other).certificate)
    delete(manager.service("127.0.0.1", "https", trusted))

    assert manager.asked == [] if problem else [(PATH, TOKEN, "acme")]
    assert [problem in line for line in log("WARNING")] == ([True] if problem else [])


# Trouble


REFUSED, FAILED = "the manager answers 401 to", "a rest_token cannot be del"


@pytest.mark.parametrize(
    ("statuses", "warnings"),
    [
        ([404, 204], []),
        ([401, 204, 401], [REFUSED]),
        ([500, 500, 403], [FAILED, FAILED]),
        ([500, 204, 500], [FAILED, FAILED]),
    ],
)
def test_a_trouble_is_one_warning_until_it_is_over(
    house: House, manager: Manager, log: Log, statuses: list[int], warnings: list[str]
) -> None:
    manager.statuses = list(statuses)
    delete(manager.service(), *[TOKEN] * len(statuses))
    assert len(manager.asked) == len(statuses)
    lines = log("WARNING")
    assert [
        line for line, start in zip(lines, warnings, strict=True) if line.startswith(start)
    ] == lines


def test_the_hosts_are_asked_in_turn_until_one_answers(
    house: House, manager: Manager, log: Log
) -> None:
    delete(manager.service("127.0.0.2,, 127.0.0.1,127.0.0.3"))
    assert manager.asked == [(PATH, TOKEN, "acme")]
    assert log("WARNING") == []


def test_a_manager_that_cannot_be_reached_is_one_warning(house: House, log: Log) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))  # and nothing listens
        port = taken.getsockname()[1]
        delete(RestService("127.0.0.1,127.0.0.2", port, "http"), TOKEN, TOKEN)
    [line] = log("WARNING")
    for host in ("127.0.0.1", "127.0.0.2"):
        assert f"{host}:{port}: [Errno 111] Connection refused" in line


def test_no_event_and_no_end_waits_for_a_manager_that_hangs(
    house: House, manager: Manager, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "END_S", 0.0)
    manager.answers.clear()
    house.hooks(hook("a"))
    with closing_all(Tokens(manager.service())) as tokens:
        house.delete_token = tokens.delete
        dispatcher = house.start()

        dispatcher.act(delivery("x1"))
        dispatcher.act(delivery("x2"))
        tokens.close()

        assert house.states == ["done", "done"]
        assert log("WARNING") == []  # as after its time
        manager.answers.set()
    assert manager.asked == [(PATH, TOKEN, "acme")] * 2


def test_what_does_not_fit_into_the_queue_is_left_to_expire_with_one_warning(
    house: House, manager: Manager, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 1)
    manager.answers.clear()
    with closing_all(Tokens(manager.service())) as tokens:
        tokens.delete("ctok-1-x", "acme")
        wait_for("the first request", lambda: manager.asked)
        for number in range(2, 5):
            tokens.delete(f"ctok-{number}-x", "acme")
        manager.answers.set()
    assert [path[-1] for path, *_ in manager.asked] == ["1", "2"]
    [line] = log("WARNING")
    assert "further ones are left to expire" in line
