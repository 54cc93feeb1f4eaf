"""The section `forward:` of hooks.conf: every setting, its default, and what a wrong one is told."""

from __future__ import annotations

from typing import Any

import pytest

from listener.hooks.conf import read
from listener.hooks.forward import ForwardSettings, Host
from listener.hooks.table import HookTable

HOST = "'hosts' must be a host, as in 'broker.example.com', 'broker.example.com:5671' or"
HOST += " '[2001:db8::1]:5671'"
HOOK = "{event_type: workflow_failed, implementation: a.b}"
PASSWORD = "s3cret-of-the-broker"


def table_of(text: str, **env: str) -> HookTable:
    table, _ = read(text, env=env, folder="/nowhere")
    assert table is not None
    return table


def settings_of(section: str, **env: str) -> ForwardSettings:
    settings = table_of(f"forward: {section}", **env).forward
    assert isinstance(settings, ForwardSettings)
    return settings


def findings(section: str, **env: str) -> list[tuple[int, str, bool]]:
    """Line, text and whether it is only a warning, of all that is wrong or doubtful."""
    _, mistakes = read(f"forward:\n{section}", env=env, folder="/nowhere")
    assert all(mistake.is_of_part for mistake in mistakes)
    return [(mistake.line, mistake.text, mistake.is_warning) for mistake in mistakes]


def test_every_setting_is_read() -> None:
    section = f"""
  hosts: [broker-1, "broker-2:5671"]
  broker_config: {__file__}
  username: me
  password: {PASSWORD}
  vhost: /acme
  tls: yes
  ca: {__file__}
  cert: {__file__}
  key: {__file__}
  verify_host: no
  queue: ours
  exchange: theirs
  routing_key: events.ours
  prefetch: 10000
  acknowledge: acted
  single_active: true
"""
    assert findings(section) == []
    assert settings_of(section) == ForwardSettings(
        hosts=(Host("broker-1"), Host("broker-2", 5671)),
        broker_config=__file__,
        username="me",
        password=PASSWORD,
        vhost="/acme",
        tls=True,
        ca=__file__,
        cert=__file__,
        key=__file__,
        verify_host=False,
        queue="ours",
        exchange="theirs",
        routing_key="events.ours",
        prefetch=10000,
        acknowledge="acted",
        single_active=True,
    )


@pytest.mark.parametrize("section", ["", "{}"])
def test_without_settings_it_is_the_queue_of_a_manager(section: str) -> None:
    assert settings_of(section) == ForwardSettings(
        (), None, None, None, None, None, None, None, None,
        True, "cloudify-hooks", "cloudify-events-topic", "events.hooks", None, "kept", False,
    )  # fmt: skip
    assert table_of("hooks: []").forward is None


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("broker", Host("broker")),
        ("broker.example.com:5671", Host("broker.example.com", 5671)),
        ("10.239.0.109:1", Host("10.239.0.109", 1)),
        ('"[::1]"', Host("::1")),
        ('"[2001:db8::1]:65535"', Host("2001:db8::1", 65535)),
        ("!env BROKER", Host("from-the-environment", 5672)),
    ],
)
def test_a_host_may_have_a_port(text: str, host: Host) -> None:
    assert settings_of(f"{{hosts: {text}}}", BROKER="from-the-environment:5672").hosts == (host,)


@pytest.mark.parametrize(
    "text",
    [
        "5", "[]", "''", "a b", "'broker:'", "broker:0", "broker:65536", "broker:amqp", "'::1'",
        "'2001:db8::1:5671'", "'[::1'", "'[broker]:5671'", "me@broker",
        f"'amqps://me:{PASSWORD}@broker/'", "{name: broker}",
    ],
)  # fmt: skip
def test_what_is_no_host_is_a_mistake_which_does_not_show_it(text: str) -> None:
    reason = f"forward: {HOST}"
    if text == "[]":
        reason = "forward: 'hosts' is an empty list; name at least one"
    assert findings(f"  hosts: {text}") == [(2, reason, False)]
    assert settings_of(f"{{hosts: {text}}}").problem == f"hooks.conf, line 1: {reason}"


@pytest.mark.parametrize(
    ("setting", "mistake"),
    [
        ("user_name: a", "forward has the unknown key 'user_name'; did you mean 'username'?"),
        ("broker_config:", "'broker_config' must be a path, found nothing"),
        ("username: 5", "'username' must be a text, found 5"),
        ("password: 12345678", "'password' must be a text"),
        ("password: ''", "'password' must be a text"),
        ("vhost: ''", "'vhost' must be a text of at most 255 bytes, found an empty text"),
        ("tls: 5671", "'tls' must be true or false, found 5671"),
        ("ca: [a]", "'ca' must be a path, found a list"),
        ("verify_host: never", "'verify_host' must be true or false, found the text 'never'"),
        ("exchange: 5", "'exchange' must be a text of at most 255 bytes, found 5"),
        ("routing_key: {}", "'routing_key' must be a text of at most 255 bytes, found a mapping"),
        (f"queue: {'é' * 128}",
         f"'queue' must be a text of at most 255 bytes, found the text '{'é' * 39}…'"),
        ("prefetch: 0", "'prefetch' must be a whole number from 1 to 10000, found 0"),
        ("prefetch: 10001", "'prefetch' must be a whole number from 1 to 10000, found 10001"),
        ("acknowledge: done", "'acknowledge' must be kept or acted, found the text 'done'"),
        ("single_active: 1", "'single_active' must be true or false, found 1"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_a_mistake_at_its_line(setting: str, mistake: str) -> None:
    expected = f"forward: {mistake}" if mistake.startswith("'") else mistake
    assert findings(f"  {setting}\n") == [(2, expected, False)]


@pytest.mark.parametrize(
    ("section", "mistake"),
    [
        ("  single_active: true", "forward: a manager makes its own queue 'cloudify-hooks', without"
         " 'single_active': name another 'queue'"),
        (f"  cert: {__file__}", "forward: 'cert' and 'key' belong together; name both or none"),
        (f"  key: {__file__}", "forward: 'cert' and 'key' belong together; name both or none"),
        ("  - hosts", "forward must be a mapping, found a list"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_each_other_are_a_mistake_of_the_section(
    section: str, mistake: str
) -> None:
    assert findings(section) == [(2, mistake, False)]


@pytest.mark.parametrize("setting", ["ca", "cert", "key"])
def test_a_file_that_is_not_there_is_a_warning_and_still_in_force(setting: str) -> None:
    section = "  cert: /bin/sh\n  key: /bin/sh\n" if setting in ("cert", "key") else ""
    section = f"{section}  {setting}: hooks"
    found = [each for each in findings(section) if "stands here twice" not in each[1]]
    there_is_none = f"forward: {setting!r}: there is no '/nowhere/hooks'"
    assert found == [(section.count("\n") + 2, there_is_none, True)]
    settings: Any = settings_of(f"\n{section}")
    assert (settings._asdict()[setting], settings.problem) == ("/nowhere/hooks", "")


def test_a_mistake_stops_the_forwarder_alone_which_is_told_all_of_them() -> None:
    text = f"forward:\n  tls: 2\n  hosts: [5, 5]\n  tsl: 1\nhooks: [{HOOK}]\n"
    table = table_of(text)
    assert [hook.problem for hook in table.hooks] == [""]
    assert not table.has_problem
    assert table.forward is not None
    assert table.forward.problem.splitlines() == [
        "hooks.conf, line 2: forward: 'tls' must be true or false, found 2",
        f"hooks.conf, line 3: forward: {HOST}",
        "hooks.conf, line 4: forward has the unknown key 'tsl'; did you mean 'tls'?",
    ]


def test_a_mistake_in_another_section_stops_the_listener_as_ever_and_not_the_forwarder() -> None:
    table, _ = read("forward: {}\nlistener: {keep_days: 0}", env={}, folder="/")
    assert table is None
    of_hook = table_of(f"hooks: [{HOOK[:-1]}, time_out: 5}}]\nforward:")
    assert of_hook.has_problem
    assert of_hook.forward == ForwardSettings()


@pytest.mark.parametrize("value", [PASSWORD, f"[{PASSWORD}]", "!env BROKER_PASSWORD"])
def test_the_password_is_never_shown(value: str) -> None:
    section = f"  password: {value}\n  vhost: !env [BROKER_PASSWORD]\n  queue: [!env BROKER_PASSWORD]\n"
    _, mistakes = read(f"forward:\n{section}", env={"BROKER_PASSWORD": PASSWORD}, folder="/nowhere")
    assert mistakes
    assert PASSWORD not in str(mistakes)
