"""The records of Python's logging, handed to the listener's log.

Owns their form in a call's output. It decides no level of the listener's log. server.py sets it up for
every module's logger; ctx.py for `ctx.logger`.
"""

import json
import logging
import os


class Lines(logging.Handler):
    """Writes each record as JSON on one line behind a record separator, as in RFC 7464.

    output.py reads it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = json.dumps([record.levelno, self.format(record)])
            os.write(2, b"\x1e" + line.encode() + b"\n")  # at once, and wherever sys.stderr leads
        except Exception:
            self.handleError(record)


def log_everything() -> None:
    """Hand over what any logger logs from INFO on."""
    root = logging.getLogger()
    root.addHandler(Lines())
    root.setLevel(logging.INFO)
