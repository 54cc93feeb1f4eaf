"""The program that the demo has supervisord run: it emits notifications as a workflow engine would.

Started as `python -m listener.cli.demo.workflow FILE`. Each line of the file is one notification; at an
empty one it waits until there is a file FILE.go. It ends with supervisord.
"""

from __future__ import annotations

import json
import select
import sys
import time
from pathlib import Path

from listener import emit

_PAUSE_S = 0.4  # so that a person can watch
_LOOK_S = 0.02


def main() -> None:
    """Emit every notification of the file, then stay, as a real workflow program does."""
    for line in Path(sys.argv[1]).read_text("utf-8").splitlines():
        if line:
            emit(json.loads(line))
            time.sleep(_PAUSE_S)
        else:
            _wait_for(Path(f"{sys.argv[1]}.go"))
    sys.stdin.read()


def _wait_for(file: Path) -> None:
    while not file.exists():
        if select.select([sys.stdin], [], [], _LOOK_S)[0]:
            sys.exit()  # supervisord has ended


if __name__ == "__main__":
    main()
