"""A program that emits durably, and notes each name once `emit` has returned.

durable_emitter.py FILE [COUNT]    without COUNT for ever
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path

from listener import emit
from tests.faults.hooks import append, notification

count = range(int(sys.argv[2])) if sys.argv[2:] else itertools.count()
for number in count:
    name = f"p{os.getpid()}-{number}"
    emit(notification(name), durable=True)
    append(Path(sys.argv[1]), f"{name}\n")
    time.sleep(0.002)  # a pace, as work would set it
