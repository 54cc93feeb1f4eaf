"""The bound of a child's memory.

Owns how it is set, and what an error says of it. It frees nothing. Runs inside the child, as child.py
does and under the same rules, which loads it when hooks.conf sets a bound.
"""

import resource


def bound(mib: int) -> None:
    """Let this process, and each that it starts, have so much memory of its own and no more."""
    # Not RLIMIT_AS, which counts what is only reserved: 64 MiB for each thread that allocates.
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    size = mib << 20 if most == resource.RLIM_INFINITY else min(mib << 20, most)
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def exceeded() -> str:
    """What a MemoryError means then."""
    mib = resource.getrlimit(resource.RLIMIT_DATA)[0] >> 20
    return "it takes more than the %d MiB of 'listener: child_memory' in hooks.conf; raise that" % mib
