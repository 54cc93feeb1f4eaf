"""The program that the demo has supervisord run: it emits notifications as a workflow engine would.

Started as `python -m listener.cli.demo.workflow FILE`; each line of the file is one notification.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from listener import emit

_PAUSE_S = 0.4  # so that a person can watch


def main() -> None:
    """Emit every notification of the file, then stay, as a real workflow program does."""
    for line in Path(sys.argv[1]).read_text("utf-8").splitlines():
        emit(json.loads(line))
        time.sleep(_PAUSE_S)
    sys.stdin.read()


if __name__ == "__main__":
    main()
