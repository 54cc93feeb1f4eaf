"""A listener beside ours that answers FAIL to each event, some times over, before it takes it."""

from __future__ import annotations

import re
import sys
from collections import Counter

refused: Counter[str] = Counter()
while True:
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    header = re.search(r" serial:(\d+) .* len:(\d+)$", sys.stdin.readline())
    if header is None:
        break  # the end of stdin
    sys.stdin.read(int(header[2]))
    refused[header[1]] += 1
    sys.stdout.write("RESULT 2\nOK" if refused[header[1]] > 3 else "RESULT 4\nFAIL")
    sys.stdout.flush()
