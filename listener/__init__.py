"""conductor-hooks: Studio Conductor's actionable events, run by a supervisord event listener.

For programs under supervisord: `from listener import emit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from listener.supervisord.emit import emit

__all__ = ["emit"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `emit` when it is asked for: the listener itself starts without it."""
    if name == "emit":
        from listener.supervisord.emit import emit

        return emit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
