"""What the fork server has imported, and whether a file of it has changed since.

Owns the imports before a fork and the list of watched files. It calls nothing in a module. server.py
imports with it; call.py asks it whether what was imported is still what the files say.
"""

import contextlib
import gc
import importlib
import os
import signal
import sys
import time

from .call import ctx_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Tuple

_STANDARD = os.path.dirname(os.__file__)
_IMPORT_S = 300
"""An import that hangs would not notice that the listener has gone."""
_TICK_S = 0.01
"""The time of a file is that of the kernel's last tick, up to so much behind the clock."""
_INSTALLED = ("site-packages", "dist-packages")


class Modules:
    def __init__(self) -> None:
        self._bare = set(sys.modules)
        self._tried = {""}
        self._stamps: "Dict[str, Any]" = {}

    def load(self, name: str) -> "Dict[str, str]":
        """Import the module unless it was tried before; `{"threads": NAME}` if it starts threads.

        One whose import fails is left to its calls, which say why.
        """
        if name in self._tried:
            return {}
        self._tried.add(name)
        began_ns = (time.time() - _TICK_S) * 1e9
        signal.alarm(_IMPORT_S)
        with _Silence(), contextlib.suppress(BaseException):
            ctx_module()
            importlib.import_module(name)
        signal.alarm(0)
        if _has_threads():
            return {"threads": name}
        for file in {*self._watched()} - self._stamps.keys():
            stamp = _stamp(file)
            # One that was written meanwhile may not be what was imported.
            self._stamps[file] = stamp if stamp is None or stamp[0] < began_ns else ()
        gc.collect()
        if hasattr(gc, "freeze"):  # Python 3.7; then forked processes share more memory
            gc.freeze()
        return {}

    def have_changed(self) -> bool:
        """Whether a watched file is not what it was when it was imported."""
        return any(_stamp(file) != known for file, known in self._stamps.items())

    def _watched(self) -> "Iterable[str]":
        """The files of imported modules; for an installed package its folder, which pip writes to."""
        own = {name.partition(".")[0] for name in self._tried}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if name in self._bare or not isinstance(file, str):
                continue
            above, folder = _installed_in(file)
            if folder:
                yield above + folder
            if name.partition(".")[0] in own or not (folder or file.startswith(_STANDARD)):
                yield _existing(file)


class _Silence:
    """Nothing that is printed meanwhile is seen: the first call has printed it already."""

    def __enter__(self) -> None:
        self._saved = [os.dup(1), os.dup(2)]
        null = os.open(os.devnull, os.O_WRONLY)
        for fd in (1, 2):
            os.dup2(null, fd)
        os.close(null)

    def __exit__(self, *_: object) -> None:
        for fd in (2, 1):
            saved = self._saved.pop()
            os.dup2(saved, fd)
            os.close(saved)


def _has_threads() -> bool:
    return len(os.listdir("/proc/self/task")) > 1


def _installed_in(file: str) -> "Tuple[str, str]":
    """The folder of installed packages that a file is in, in two parts; ("", "") when in none."""
    for name in _INSTALLED:
        above, found, _ = file.partition(os.sep + name + os.sep)
        if found:
            return above, os.sep + name
    return "", ""


def _existing(file: str) -> str:
    """The file, or the archive that it is in."""
    while not os.path.exists(file) and os.path.dirname(file) != file:
        file = os.path.dirname(file)
    return file


def _stamp(file: str) -> "Any":
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
