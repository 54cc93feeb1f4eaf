"""The command `conductor-hooks`, also `python -m listener`.

Owns one decision: what supervisord starts, plain `conductor-hooks listen`, goes straight to the
listener, because the command line's libraries would take longer to import than everything else.
"""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the verb that the command line names, and exit with its status."""
    gc.disable()  # until all is imported, or READY: what the start makes stays
    if sys.argv[1:] == ["listen"]:
        import os

        from listener.app import listen
        from listener.hooks.file import config_path

        sys.exit(listen(config_path(None, os.environ)))
    from listener.cli import command

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it may be closed
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    command(prog_name="conductor-hooks")


if __name__ == "__main__":
    main()
