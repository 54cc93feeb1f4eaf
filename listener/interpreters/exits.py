"""How a process has ended, in words.

Owns the words for an exit status and for a signal. It looks at no process. What has waited for one asks
it.
"""

from __future__ import annotations

import signal


def in_words(status: int | None) -> str:
    """`exited with status 3`, `was ended by SIGKILL`; the status is as subprocess has it."""
    if status is None:
        return "closed its connection"
    if status >= 0:
        return f"exited with status {status}"
    known = [signum.name for signum in signal.Signals if signum == -status]
    return f"was ended by {known[0] if known else f'signal {-status}'}"
