"""`python -m tests.benchmarks [--quick] [SECTION…]`: what the listener costs beside what it could cost.

Owns the command line and the order of the sections; each measures and prints its own table. Nothing
here is a test: a table says whether a wanted ratio was met, and the exit status is 0 all the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

from tests.benchmarks import (
    calls,
    commands,
    events,
    forwarder,
    informs,
    journal,
    machine,
    matching,
    memory,
    plugins,
    ready,
    traps,
    webhooks,
)
from tests.benchmarks.interpreter import clean_interpreter

SECTIONS: Mapping[str, Callable[[str, bool], None]] = {
    "ready": ready.run,
    "events": events.run,
    "hooks": matching.run,
    "traps": traps.run,
    "informs": informs.run,
    "webhooks": webhooks.run,
    "calls": calls.run,
    "commands": commands.run,
    "plugins": plugins.run,
    "journal": journal.run,
    "rabbitmq": forwarder.run,
    "memory": memory.run,
}
"""Each is given the interpreter for the listeners, and whether to be quick."""


def main() -> None:
    """Run the sections that the command line names, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Prints medians of interleaved repetitions, and ratios taken within a repetition.",
    )
    parser.add_argument("--quick", action="store_true", help="small counts: does it still run?")
    parser.add_argument("section", nargs="*", help=f"of {', '.join(SECTIONS)}; all by default")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.section if name not in SECTIONS]:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    print(f"Python {sys.version.split()[0]}, {machine.described()}")
    if arguments.quick:
        print("--quick: the figures show that the benchmarks run, and nothing else")
    with clean_interpreter() as python:
        for name in arguments.section or SECTIONS:
            SECTIONS[name](python, arguments.quick)


if __name__ == "__main__":
    main()
