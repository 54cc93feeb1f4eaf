"""Which broker is meant: by hooks.conf, by the manager's broker_config.json, or by both together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from listener.errors import HooksError
from listener.hooks.forward import ForwardSettings, Host
from listener.rabbitmq import broker
from listener.rabbitmq.broker import Broker, read_broker
from tests.users import folder_of_nobody, unprivileged

OF_A_MANAGER = {
    "broker_cert_path": "/etc/cloudify/ssl/rabbitmq-ca.pem",
    "broker_hostname": ["10.0.0.1", "10.0.0.2"],
    "broker_password": "s3cret-of-the-broker",
    "broker_ssl_enabled": True,
    "broker_username": "cloudify",
    "broker_vhost": "/",
}
AS_IT_SAYS = Broker(
    (Host("10.0.0.1"), Host("10.0.0.2")), "cloudify", "s3cret-of-the-broker", "/", True,
    "/etc/cloudify/ssl/rabbitmq-ca.pem", None, None, True,
)  # fmt: skip


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine, as a manager, would have its broker_config.json."""
    path = tmp_path / "broker_config.json"
    monkeypatch.setattr(broker, "OF_THE_MANAGER", str(path))
    return path


def write(config: Path, **changes: Any) -> None:
    config.write_text(json.dumps({**OF_A_MANAGER, **changes}))


def refused(**settings: Any) -> str:
    with pytest.raises(HooksError) as refusal:
        read_broker(ForwardSettings(**settings))
    return str(refusal.value)


def known(**settings: Any) -> Broker:
    """What a connection needs."""
    return read_broker(ForwardSettings(**settings))._replace(place=AS_IT_SAYS.place)


def test_a_manager_s_own_file_says_everything(config: Path) -> None:
    write(config)
    assert known() == AS_IT_SAYS


def test_the_file_that_says_it_is_a_place_to_correct_it_in(config: Path) -> None:
    write(config)
    assert read_broker(ForwardSettings()).place == f"the section 'forward', or {config}"
    elsewhere = read_broker(ForwardSettings(hosts=(Host("other"),)))
    assert elsewhere.place == "the section 'forward'"


def test_the_section_counts_before_the_file(config: Path) -> None:
    write(config)
    section: dict[str, Any] = {
        "username": "me", "password": "mine", "vhost": "/acme", "tls": False, "ca": "/ca",
        "cert": "/cert", "key": "/key", "verify_host": False,
    }  # fmt: skip
    assert known(**section) == Broker(hosts=AS_IT_SAYS.hosts, **section)


def test_another_file_is_read_where_it_is_named(config: Path, tmp_path: Path) -> None:
    write(config, broker_username="of the manager")
    named = tmp_path / "named.json"
    write(named)
    assert known(broker_config=str(named)) == AS_IT_SAYS
    other = (Host("other", 1),)
    assert known(broker_config=str(named), hosts=other) == AS_IT_SAYS._replace(hosts=other)


def test_hosts_alone_are_another_broker_of_which_the_manager_s_file_knows_nothing(config: Path) -> None:
    write(config)
    hosts = (Host("other"),)
    expected = Broker(hosts, "guest", "guest", "/", True, None, None, None, True)
    assert known(hosts=hosts) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"broker_hostname": "localhost"}, {"hosts": (Host("localhost"),)}),
        ({"broker_hostname": ["a", "", None, 5, "::1"]}, {"hosts": (Host("a"), Host("::1"))}),
        ({"broker_ssl_enabled": False}, {"tls": False}),
        ({"broker_cert_path": ""}, {"ca": None}),
        ({"broker_vhost": None}, {"vhost": "/"}),
        ({"broker_username": None, "broker_password": None},
         {"username": "guest", "password": "guest"}),
        ({"more": "is left alone"}, {}),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_file_may_say_in_another_way(
    config: Path, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    write(config, **changes)
    assert known() == AS_IT_SAYS._replace(**expected)


def test_what_the_file_does_not_say_has_its_default(config: Path) -> None:
    config.write_text('{"broker_hostname": "a"}')
    assert known() == Broker((Host("a"),), "guest", "guest", "/", True, None, None, None, True)


@pytest.mark.parametrize("text", [None, "{}", "[]", '{"broker_hostname": []}'])
def test_where_no_host_is_known_it_is_said_where_one_can_be_named(
    config: Path, text: str | None
) -> None:
    if text is not None:
        config.write_text(text)
    assert refused() == (
        "no broker is known: name its 'hosts' in the section 'forward' of hooks.conf; on a manager,"
        f" {config} has them"
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is no JSON"),
        (b"{'broker_hostname': 's3cret'}", "it is no JSON"),
        (b'{"broker_hostname": "\xff"}', "it is no JSON"),
        (b" " * 1_000_001, "it is larger than 1 MB"),
    ],
    ids=range(4),
)
def test_a_file_that_is_there_and_no_use_is_named_and_not_shown(
    config: Path, data: bytes, reason: str
) -> None:
    config.write_bytes(data)
    assert refused() == (
        f"{config}, which names the broker, cannot be read: {reason}; run the forwarder as the user"
        " that may read it, or name 'hosts', 'username' and 'password' in the section 'forward'"
    )


@pytest.mark.parametrize("hosts", [(), (Host("other"),)], ids=["alone", "beside hosts"])
def test_a_file_that_hooks_conf_names_has_to_be_there(tmp_path: Path, hosts: tuple[Host, ...]) -> None:
    named = str(tmp_path / "named.json")
    assert refused(broker_config=named, hosts=hosts).startswith(
        f"{named}, which names the broker, cannot be read: No such file or directory; "
    )


def test_a_file_that_is_for_another_user_is_named() -> None:
    with folder_of_nobody() as folder, unprivileged():
        write(folder / "closed.json")
        (folder / "closed.json").chmod(0)
        reason = refused(broker_config=str(folder / "closed.json"))
    assert "closed.json, which names the broker, cannot be read: Permission denied; run the" in reason
