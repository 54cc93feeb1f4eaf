"""What a forwarder could be at its simplest: `consumer.py each|multiple|frames URL`.

`each` acknowledges every message by itself, `multiple` what came at one time, `frames` does so after it
has printed a frame for each: nothing is kept.
"""

from __future__ import annotations

import os
import sys

import pika

PREFETCH = 200
QUEUE = "cloudify-hooks"


def main(mode: str, url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=PREFETCH)
    came: list[tuple[int, bytes]] = []

    def take(channel: object, method: object, properties: object, body: bytes) -> None:
        came.append((method.delivery_tag, body))  # type: ignore[attr-defined]
        if mode == "each":
            channel.basic_ack(method.delivery_tag)  # type: ignore[attr-defined]

    channel.basic_consume(QUEUE, take)
    while True:
        connection.process_data_events(1.0)
        if came and mode == "frames":
            frames = [b"<!--XSUPERVISOR:BEGIN-->%b<!--XSUPERVISOR:END-->\n" % body for _, body in came]
            data = b"".join(frames)
            while data:
                data = data[os.write(1, data) :]
        if came and mode != "each":
            channel.basic_ack(came[-1][0], multiple=True)
        came.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
