"""The inputs of a webhook hook: what is a mistake, and that no message has a secret in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from listener.actions import Fault, Surroundings
from listener.actions.webhook.action import WebhookAction
from listener.actions.webhook.inputs import read_webhook
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook

SECRET = "whsec_c2VjcmV0LW9mLXRoZS1ob29r"
URL = "https://example.com/services/T0KEN"


def faults(folder: Path, **inputs: Any) -> list[Fault]:
    hook = Hook("h", ("*",), "webhook", inputs, 1, {})
    action = WebhookAction(Surroundings(ListenerSettings(), config_folder=str(folder)))
    found = action.check(hook, may_import=False)
    action.close()
    assert "T0KEN" not in repr(found) and "c2Vj" not in repr(found)
    return found


@pytest.mark.parametrize(
    "inputs",
    [
        {"url": "example.com/T0KEN"},
        {"url": "ftp://example.com/T0KEN"},
        {"url": "https://user:T0KEN@example.com"},
        {"url": "https:///T0KEN"},
        {"url": "https://example.com:x/T0KEN"},
        {"url": "https://example.com:0/T0KEN"},
        {"url": "https://[::1/T0KEN"},
        {"url": "https://example.com/T0KEN\r\nX: y"},
        {"url": "https://exämple.com/T0KEN"},
        {"url": ["T0KEN"]},
        {"method": "SEND"},
        {"headers": {"X-Key": "T0KEN\r\nX: y"}},
        {"headers": {"X Key": "T0KEN"}},
        {"headers": {"X-Key": 1}},
        {"headers": {"content-LENGTH": "1"}},
        {"headers": ["T0KEN"]},
        {"body": float("nan")},
        {"secret": SECRET + "*"},
        {"secret": "whsec_"},
        {"secret": ""},
        {"ca": ""},
        {"proxy": "socks5://user:T0KEN@proxy"},
        {"proxy": "http://proxy/T0KEN"},
    ],
    ids=repr,
)
def test_a_wrong_input_is_a_mistake_at_its_place(tmp_path: Path, inputs: dict[str, Any]) -> None:
    [(place, reason, is_certain)] = faults(tmp_path, **{"url": URL, **inputs})
    [name] = inputs
    assert (place, is_certain) == (name, True)
    assert reason.startswith(f"{name!r} must be ")


def test_what_is_missing_unknown_or_alone_is_named(tmp_path: Path) -> None:
    assert faults(tmp_path, ur1=URL) == [
        ("ur1", "unknown input 'ur1'; did you mean 'url'?", True),
        (None, "the input 'url' is missing; add it", True),
    ]
    [(place, reason, _)] = faults(tmp_path, url=URL, key="client.key")
    assert (place, reason.split(",")[0]) == ("key", "'key' needs 'cert'")


def test_files_are_read_where_hooks_conf_stands(tmp_path: Path) -> None:
    [missing] = faults(tmp_path, url=URL, ca="ca.pem")
    reason = f"'ca': {tmp_path}/ca.pem cannot be read: No such file or directory"
    assert missing == ("ca", reason, True)
    (tmp_path / "ca.pem").write_text("no certificate")
    [(place, reason, _)] = faults(tmp_path, url=URL, ca="ca.pem")
    assert place is None and f"{tmp_path}/ca.pem" in reason and "correct 'ca'" in reason


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "https://example.com"),
        ("http://EXAMPLE.com:80/x?key=y", "http://example.com"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_a_destination_is_named_without_what_may_be_secret(url: str, name: str) -> None:
    webhook, _ = read_webhook({"url": url}, "")
    assert webhook is not None and webhook.name == name
