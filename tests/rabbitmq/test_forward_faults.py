"""Whatever is wrong with the broker or the way to it, the forwarder says it once, and recovers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from listener.rabbitmq import forwarder as module
from listener.rabbitmq import parameters
from listener.rabbitmq.forwarder import Forwarder, Stop
from listener.rabbitmq.presence import read_presence
from listener.rabbitmq.writer import Writer
from listener.state.directory import lock
from tests.certificates import Authority
from tests.rabbitmq.forwarding import (
    CONSUMING,
    Site,
    Threaded,
    are_said,
    body,
    forwarding,
    section,
    threaded,
)
from tests.rabbitmq.proxy import Proxy
from tests.rabbitmq.vhost import Vhost
from tests.support import wait_for

PASSWORD = "wr0ng-s3cret"


@pytest.fixture
def forwarder(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Threaded]:
    """It consumes."""
    with threaded(site, monkeypatch) as forwarder:
        forwarder.wait_until_it_says(CONSUMING)
        yield forwarder


def no_rights(vhost: Vhost, folder: Path) -> dict[str, Any]:
    vhost.broker.add_user("stranger", PASSWORD)
    return {"username": "stranger", "password": PASSWORD}


def no_right_to_read(vhost: Vhost, folder: Path) -> dict[str, Any]:
    vhost.broker.add_user("writer", PASSWORD)
    vhost.broker.permit("writer", vhost.name, configure=".*", write=".*", read="")
    return {"username": "writer", "password": PASSWORD}


def other_exchange(vhost: Vhost, folder: Path) -> dict[str, Any]:
    with vhost.channel() as channel:
        channel.exchange_declare("direct", "direct")
    return {"exchange": "direct", "queue": "other"}


def dead_lock(site: Site) -> Callable[[], object]:
    """What takes away again what no lock can be."""
    lock = site.state / "forwarder.lock"
    lock.mkdir()
    return lock.rmdir


def tls(vhost: Vhost, port: int, **changes: Any) -> dict[str, Any]:
    ca = str(vhost.broker.authority.certificate)
    return {"tls": True, "hosts": [f"{vhost.host}:{port}"], "ca": ca, **changes}


def foreign_ca(vhost: Vhost, folder: Path) -> dict[str, Any]:
    return tls(vhost, vhost.tls_port, ca=str(Authority(folder, "foreign").certificate))


def other_name(vhost: Vhost, folder: Path) -> dict[str, Any]:
    return tls(vhost, vhost.broker.listen_tls(vhost.broker.authority.issue("named", "localhost")))


def no_certificate(vhost: Vhost, folder: Path) -> dict[str, Any]:
    return tls(vhost, vhost.mutual_tls_port)


def no_certificate_in_tls_1_2(vhost: Vhost, folder: Path) -> dict[str, Any]:
    identity = vhost.broker.authority.issue("manager", vhost.host)
    return tls(vhost, vhost.broker.listen_tls(identity, demands_certificate=True))


def foreign_certificate(vhost: Vhost, folder: Path) -> dict[str, Any]:
    certificate, key = map(str, Authority(folder, "foreign").issue("stranger"))
    return tls(vhost, vhost.mutual_tls_port, cert=certificate, key=key)


def closed_port(vhost: Vhost, *_: Path) -> dict[str, Any]:
    with Proxy(vhost.port) as closed:
        pass
    return {"hosts": [f"127.0.0.1:{closed.port}"]}


LOST = (
    "the connection was lost; if it is lost at once: a port with TLS needs 'tls: true', one that asks"
)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda *_: {"password": PASSWORD}, "it refuses the user 'guest' or the password: correct"),
        (lambda *_: {"username": "nobody"}, "it refuses the user 'nobody' or the password: correct"),
        (lambda *_: {"vhost": "nope"}, "it has no vhost 'nope' that the user 'guest' may enter"),
        (no_rights, " that the user 'stranger' may enter: correct 'vhost' in the section"),
        (no_right_to_read, "'writer' has no rights for the queue 'cloudify-hooks': give them"),
        (other_exchange, "declared in another way (inequivalent arg 'type'): delete it, or name"),
        (foreign_ca, "its certificate was not issued by the CA in /"),
        (other_name, "its certificate is for another name: correct 'hosts', or set 'verify_host"),
        (no_certificate, LOST),
        (no_certificate_in_tls_1_2, LOST),
        (foreign_certificate, LOST),
        (lambda vhost, _: tls(vhost, vhost.port), "correct the port, or set 'tls: false'"),
        (lambda vhost, _: tls(vhost, vhost.tls_port, tls=False), LOST),
        (closed_port, "connection refused: start the broker, or correct the port"),
        (lambda *_: {"hosts": ["nowhere.invalid"]}, "there is no host of this name: correct 'hosts'"),
        (lambda *_: {"prefetch": 0}, "'prefetch' must be a whole number from 1 to 10000, found 0"),
    ],
    ids=[
        "password", "user", "vhost", "no rights", "no right to read", "exchange", "ca", "name",
        "no certificate", "no certificate in TLS 1.2", "foreign certificate", "tls to plain",
        "plain to tls", "port", "host", "mistake",
    ],
)  # fmt: skip
def test_a_mistake_is_said_once_in_words_until_hooks_conf_is_corrected(
    mistake: Callable[[Vhost, Path], dict[str, Any]],
    words: str,
    site: Site,
    vhost: Vhost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vhost.declare()
    site.write(section(vhost, **mistake(vhost, tmp_path)))
    with threaded(site, monkeypatch) as forwarder:
        forwarder.wait_until_it_says(words)
        forwarder.wait_for_tries(3)
        [line] = forwarder.lines
        assert line.startswith("ERROR ") and line.endswith("; trying again")
        site.write(section(vhost))
        forwarder.wait_until_it_says(words, CONSUMING)
    assert PASSWORD not in line


@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (Vhost.delete_queue, "queue 'cloudify-hooks' was deleted, or the broker closed the channel"),
        (Vhost.close_connections, "it was stopped, or has closed the connection"),
    ],
)
def test_after_what_an_operator_does_at_the_broker_it_consumes_again(
    lose: Callable[[Vhost], None], words: str, vhost: Vhost, site: Site, forwarder: Threaded
) -> None:
    lose(vhost)
    forwarder.wait_until_it_says(CONSUMING, words, CONSUMING)
    vhost.publish(body("1"))
    site.wait_for_kept("1")


def test_a_broker_that_is_stopped_or_killed_has_lost_nothing_when_it_is_back(
    vhost: Vhost, site: Site, forwarder: Threaded
) -> None:
    stopped = ["it was stopped, or has closed the connection", "connection refused: start the broker"]
    with vhost.broker.stopped():
        forwarder.wait_until_it_says(CONSUMING, *stopped)
    forwarder.wait_until_it_says(CONSUMING, *stopped, CONSUMING)
    vhost.publish(body("1"))
    site.wait_for_kept("1")
    (site.state / "inbox").rename(site.state / "inbox of 1")
    (site.state / "inbox").touch()  # it stays at the broker
    vhost.publish(body("2"))
    forwarder.wait_for_tries(2)
    with vhost.broker.killed():
        (site.state / "inbox").unlink()
        forwarder.wait_for_tries(2)
    wait_for("the message", lambda: "2" in site.kept)
    assert set(site.kept) <= {"1", "2"}  # a killed broker may give again what is acknowledged


def test_a_network_that_resets_connections_is_said_to(
    vhost: Vhost, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(vhost.port) as network:
        site.write(section(vhost, hosts=[f"{vhost.host}:{network.port}"]))
        with threaded(site, monkeypatch) as forwarder:
            forwarder.wait_until_it_says(CONSUMING)
            network.cut()
            forwarder.wait_for_tries(3)
            network.mend()
            forwarder.wait_until_it_says(CONSUMING, LOST, CONSUMING)


def test_a_network_that_is_silent_is_said_to_be_and_a_dead_connection_is_noticed(
    vhost: Vhost, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameters, "HEARTBEAT_S", 1)
    monkeypatch.setattr(parameters, "CONNECT_S", 0.2)
    vhost.declare()
    vhost.publish(body("1"))
    with Proxy(vhost.port) as network:
        site.write(section(vhost, hosts=[f"{vhost.host}:{network.port}"]))
        with threaded(site, monkeypatch) as forwarder:
            site.wait_for_kept("1")
            wait_for("its acknowledgement", lambda: vhost.counts() == (0, 0, 1))
            network.stall()
            silent = ["it has not answered for two heartbeats", "no answer: check the address"]
            forwarder.wait_until_it_says(CONSUMING, *silent)  # pika adds 10 to two heartbeats
            vhost.publish(body("2"))
            network.mend()
            site.wait_for_kept("1", "2")
            assert are_said(forwarder.lines, (CONSUMING, *silent, CONSUMING))


def test_of_two_hosts_the_one_that_is_down_does_not_matter(
    vhost: Vhost, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [closed_port(vhost)["hosts"][0], f"{vhost.host}:{vhost.port}"]
    for hosts in (both, both[::-1]):
        site.write(section(vhost, hosts=hosts))
        with threaded(site, monkeypatch) as forwarder:
            forwarder.wait_until_it_says(CONSUMING)
            vhost.close_connections()
            forwarder.wait_until_it_says(CONSUMING, "it was stopped, or has closed", CONSUMING)
    site.write(section(vhost, hosts=both[:1] * 2))
    with threaded(site, monkeypatch) as forwarder:
        forwarder.wait_for_tries(3)
        assert are_said(forwarder.lines, ("connection refused: start the broker, or correct",))


def test_who_does_not_act_on_messages_soon_enough_loses_them(
    vhost: Vhost, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write(section(vhost, acknowledge="acted"))
    vhost.declare()
    vhost.publish(body("1"))
    listener = lock(str(site.state))
    with open(listener), vhost.broker.impatient(), threaded(site, monkeypatch) as forwarder:
        forwarder.wait_until_it_says(
            CONSUMING,
            "was deleted, or the broker closed the channel: its log says why; trying again",
            CONSUMING,
        )
    assert vhost.counts() == (1, 0, 0)


def take_away(place: Path) -> Callable[[], object]:
    """What puts it back."""
    away = place.with_name("away")
    place.rename(away)
    return lambda: away.rename(place)


def put_file(place: Path) -> Callable[[], object]:
    """What takes it away again."""
    place.touch()
    return place.unlink


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda site: take_away(site.state), "there is no state directory"),
        (
            lambda site: put_file(site.state / "inbox"),
            "/inbox cannot be written (Not a directory), so messages stay at the broker: run this",
        ),
        (dead_lock, "/inbox cannot be written (Is a directory), so messages stay at the broker"),
    ],
    ids=["no state directory", "inbox", "lock"],
)
def test_what_cannot_be_kept_here_stays_at_the_broker(
    spoil: Callable[[Site], Callable[[], object]],
    words: str,
    vhost: Vhost,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mend = spoil(site)
    vhost.declare()
    with threaded(site, monkeypatch) as forwarder:
        forwarder.wait_until_it_says(words)
        vhost.publish(body("1"))
        forwarder.wait_for_tries(3)
        assert vhost.counts() == (1, 0, 0)
        mend()
        forwarder.wait_until_it_says(words, CONSUMING)
        site.wait_for_kept("1")


def test_a_second_forwarder_waits_until_the_first_has_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "another forwarder writes into"
    with forwarding(site) as first:
        first.wait_until_it_says(CONSUMING)
        with threaded(site, monkeypatch) as second:
            second.wait_until_it_says(words)
            second.wait_for_tries(3)
            of_first = read_presence(str(site.state))
            assert of_first and of_first.pid == first.process.pid and not of_first.is_trouble
            assert first.terminate() == 0
            second.wait_until_it_says(words, CONSUMING)


class Impatient(Stop):
    """Waits no time, and tells the forwarder to end after the last of these pauses."""

    def __init__(self, number: int) -> None:
        self.pauses: list[float] = []
        self._number = number

    def wait(self, seconds: float) -> bool:
        if seconds:
            self.pauses.append(seconds)
        return len(self.pauses) == self._number


def test_the_pauses_between_tries_grow_to_half_a_minute_and_begin_anew_after_a_long_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seven_failures, a_connection = [0] * 14, [0, 31]
    now = itertools.chain(seven_failures, a_connection, itertools.repeat(31))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(now)))
    stop = Impatient(9)
    writer = Writer(-1)
    assert Forwarder(str(tmp_path), str(tmp_path), stop, writer, jitter=lambda: 1.0).run()
    writer.close(30)
    assert stop.pauses == [1, 2, 4, 8, 16, 30, 30, 1, 2]


def test_a_forwarder_that_cannot_write_any_more_ends_for_supervisord_to_start_it_again(
    tmp_path: Path,
) -> None:
    writer = Writer(-1)
    writer.close(30)
    assert not Forwarder(str(tmp_path), None, Impatient(1), writer).run()
