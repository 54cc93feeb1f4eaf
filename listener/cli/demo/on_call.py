"""The function that a hook of the demo calls.

Owns a pager that does not answer at first. It knows nothing of the demo: it is called as an operator's
own function is, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def page(context: Mapping[str, Any], calls: str) -> str:
    """Fail at the first call, as the file `calls` shows; then return what was paged about."""
    if not Path(calls).exists():
        Path(calls).touch()
        raise ConnectionError("the pager does not answer")
    return f"paged about {context['workflow_id']} of {context['deployment_id']}"
