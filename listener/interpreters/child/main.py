"""The script of a child interpreter: `main.py CONTROL_FD MEMORY_MIB [PATH…]`.

Owns how the files beside it are found, by a name that no user's module has. Runs under any Python from
3.6, with the standard library alone, as they all do; nothing of the listener's package may be imported.
fork_server.py starts it.
"""

import importlib
import os
import sys
import types

_PACKAGE = "conductor_hooks_child"


def main() -> None:
    """Take the arguments, then serve until the listener lets go."""
    control_fd, memory_mib, *python_path = sys.argv[1:]
    del sys.argv[1:]  # they are not the functions' business, nor is our folder
    folder = os.path.dirname(os.path.abspath(__file__))
    if sys.path and sys.path[0] == folder:
        del sys.path[0]
    sys.path[:0] = python_path
    package = sys.modules[_PACKAGE] = types.ModuleType(_PACKAGE)
    package.__path__ = [folder]
    importlib.import_module(_PACKAGE + ".server").serve(int(control_fd), int(memory_mib))


if __name__ == "__main__":
    main()
