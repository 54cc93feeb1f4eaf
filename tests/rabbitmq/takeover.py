"""A stand-in for a stock manager's worker: `python -m tests.rabbitmq.takeover PORT VHOST REST_PORT`.

Owns how that one consumes the queue of hooks while `--hooks-queue` names it: it acknowledges, runs the
hook in a thread, and deletes the rest_token at the manager. It ends at SIGTERM with whatever it has in
hand. The test of the README's guide has supervisord run it.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any

import pika
from pika.exceptions import AMQPError

from tests.rabbitmq.server import HOST
from tests.rabbitmq.vhost import EXCHANGE, KEY

_PREFETCH = 100
_PAUSE_S = 1.0


def main() -> None:
    """Consume until a signal, whatever becomes of the connection; without the option, only wait."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("vhost")
    parser.add_argument("rest_port", type=int)
    parser.add_argument("--hooks-queue")
    arguments = parser.parse_args()
    while arguments.hooks_queue:
        with suppress(AMQPError):
            _consume(arguments)
        time.sleep(_PAUSE_S)
    signal.pause()


def _consume(arguments: argparse.Namespace) -> None:
    there = pika.ConnectionParameters(HOST, arguments.port, arguments.vhost, heartbeat=30)
    channel = pika.BlockingConnection(there).channel()
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    channel.queue_declare(arguments.hooks_queue, durable=True)
    channel.queue_bind(arguments.hooks_queue, EXCHANGE, KEY)
    channel.basic_qos(prefetch_count=_PREFETCH)

    def on_message(_: Any, method: Any, __: Any, body: bytes) -> None:
        channel.basic_ack(method.delivery_tag)
        threading.Thread(target=_run_hook, args=(json.loads(body), arguments.rest_port)).start()

    channel.basic_consume(arguments.hooks_queue, on_message)
    channel.start_consuming()


def _run_hook(notification: dict[str, Any], rest_port: int) -> None:
    import test_functions  # type: ignore[import-not-found]  # beside the hooks.conf of the test

    context = notification["context"]
    token = context["rest_token"]
    test_functions.note_of_worker(context)
    manager = HTTPConnection(HOST, rest_port)
    manager.request("DELETE", f"/api/v3.1/tokens/{token.split('-')[1]}")
    manager.getresponse().read()


if __name__ == "__main__":
    main()
