"""A supervised program that emits notifications when it is told to, and notes when it did.

Arguments: a named pipe with one order a line, `COUNT INTERVAL_NS` (0: as fast as the pipe takes them);
the file for the moments (CLOCK_MONOTONIC, ns, int64 each); the file with the frame to write.
"""

import os
import sys
import time
from array import array


def main() -> None:
    with open(sys.argv[3], "rb") as file:
        frame = file.read()
    with open(sys.argv[1]) as orders:
        for order in orders:
            count, interval_ns = map(int, order.split())
            moments = emit(frame, count, interval_ns)
            with open(sys.argv[2], "ab") as file:
                moments.tofile(file)


def emit(frame: bytes, count: int, interval_ns: int) -> "array[int]":
    moments = array("q")
    due = time.monotonic_ns()
    for _ in range(count):
        if interval_ns:
            due += interval_ns
            time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
        moments.append(time.monotonic_ns())
        rest = frame
        while rest:
            rest = rest[os.write(1, rest) :]
    return moments


main()
