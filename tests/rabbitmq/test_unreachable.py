"""What keeps a connection from being tried at all: a host's name, a certificate, a key."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from listener.errors import HooksError
from listener.hooks.forward import ForwardSettings, Host
from listener.rabbitmq.broker import Broker
from listener.rabbitmq.connection import BrokerError, Connection
from listener.rabbitmq.parameters import parameters

PLAIN = Broker((), "me", "s3cret", "/", False, None, None, None, True)


@pytest.mark.parametrize("name", ["broker..example.com", "x" * 64, "xn--\u00fc"])
def test_a_name_that_no_host_can_have_is_said_to_be_one(name: str) -> None:
    with pytest.raises(BrokerError) as refusal:
        Connection(PLAIN, Host(name), ForwardSettings())
    reason = "there is no host of this name: correct 'hosts' in the section 'forward'"
    assert str(refusal.value) == f"{name}:5672: {reason}"


def test_the_port_is_that_of_amqp_with_tls_or_without_where_none_is_named() -> None:
    tls = PLAIN._replace(tls=True)
    ports = [parameters(broker, Host("a", port)).port for broker in (PLAIN, tls) for port in (None, 1)]
    assert ports == [5672, 1, 5671, 1]


@pytest.mark.parametrize("verify_host", [True, False])
def test_a_certificate_has_to_be_of_the_ca_and_of_the_host_unless_that_is_not_wanted(
    verify_host: bool,
) -> None:
    options = parameters(PLAIN._replace(tls=True, verify_host=verify_host), Host("a")).ssl_options
    assert (options.context.verify_mode, options.server_hostname) == (ssl.CERT_REQUIRED, "a")
    assert options.context.check_hostname == verify_host


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "no certificate"])
@pytest.mark.parametrize("is_ca", [True, False], ids=["ca", "cert and key"])
def test_a_file_of_tls_that_cannot_be_used_is_named(
    tmp_path: Path, is_ca: bool, is_there: bool
) -> None:
    file = str(tmp_path / "file.pem")
    if is_there:
        Path(file).write_text("no certificate")
    tls = PLAIN._replace(tls=True)
    broker = tls._replace(ca=file) if is_ca else tls._replace(cert=file, key=file)
    with pytest.raises(HooksError) as refusal:
        parameters(broker, Host("a"))
    named = file if is_ca else f"{file}, {file}"
    assert str(refusal.value).startswith(
        f"a certificate or key for the broker cannot be used ({named}): "
    )
    assert str(refusal.value).endswith("; correct 'ca', 'cert' and 'key' in the section 'forward'")
