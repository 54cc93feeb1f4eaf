"""Which hook of the hooks.conf in force is that of a stored run: one table, and what always holds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.dispatch.rematch import rematch, updated
from listener.hooks.table import Hook
from listener.model.entry import Run, RunState

Place = int | None


def named(name: str, implementation: str = "h.f") -> Hook:
    return Hook(name, ("workflow_failed",), implementation, {}, 1, {})


def unnamed(number: int, fingerprint: int, implementation: str = "h.f") -> Hook:
    """A hook without a name, which is called after its place in the file."""
    return named(f"workflow_failed-{number}", implementation)._replace(fingerprint=fingerprint)


def planned(*hooks: Hook, states: Sequence[RunState] = ("pending",) * 9) -> list[Run]:
    """The runs that were planned for these hooks."""
    return [
        Run(hook.name, hook.implementation, state, fingerprint=hook.fingerprint)
        for hook, state in zip(hooks, states, strict=False)
    ]


CASES: dict[str, tuple[list[Run], list[Hook], list[Hook], list[Place]]] = {
    "none is there any more": (planned(named("a"), unnamed(1, 7)), [], [], [None, None]),
    "its name, wherever it stands": (
        planned(named("a"), named("b")), [named("new"), named("b"), named("a")], [], [2, 1]
    ),
    "its name, whatever it calls": (planned(named("a")), [named("a", "other.f")], [], [0]),
    "not what it calls": (planned(named("a")), [named("b"), unnamed(1, 7)], [], [None]),
    "its place, as it had a mistake": (
        planned(unnamed(1, 0, ""), unnamed(2, 0, "")),
        [unnamed(1, 7), named("a"), unnamed(3, 9)], [], [0, None]
    ),
    "its inputs, in another place": (
        planned(unnamed(1, 7), unnamed(2, 8)),
        [unnamed(1, 5), unnamed(2, 8), unnamed(3, 7)], [], [2, 1]
    ),
    "its inputs and what it calls": (planned(unnamed(1, 7)), [unnamed(1, 7, "g.f")], [], [None]),
    "equal inputs: its order": (
        planned(unnamed(1, 7), unnamed(2, 7)), [unnamed(1, 7), unnamed(2, 7)], [], [0, 1]
    ),
    "equal inputs: the hooks that match first": (
        planned(unnamed(2, 7), unnamed(3, 7)),
        [unnamed(3, 7), unnamed(4, 7)], [unnamed(2, 7)], [0, 1]
    ),
    "equal inputs: what is left is for what is left to do": (
        planned(unnamed(1, 7), unnamed(2, 7), states=["done", "pending"]),
        [unnamed(1, 7)], [], [None, 0]
    ),
    "corrected inputs: the only one": (planned(unnamed(1, 7)), [unnamed(4, 8)], [], [0]),
    "corrected inputs: as many as before": (
        planned(unnamed(1, 7), unnamed(2, 8), unnamed(3, 9)),
        [unnamed(1, 17), named("a"), unnamed(2, 8), unnamed(3, 19)], [], [0, 2, 3]
    ),
    "corrected inputs: of each function for itself": (
        planned(unnamed(1, 7), unnamed(2, 7, "g.f"), unnamed(3, 7, "i.f")),
        [unnamed(1, 8, "g.f"), unnamed(2, 8), unnamed(3, 8, "i.f"), unnamed(4, 9, "i.f")], [],
        [1, 0, None]
    ),
    "other inputs: fewer than before": (
        planned(unnamed(1, 7), unnamed(2, 8)), [unnamed(1, 9)], [], [None, None]
    ),
    "other inputs: not those of a hook that does not match": (
        planned(unnamed(1, 7)), [], [unnamed(1, 8)], [None]
    ),
    "one that no longer matches": (
        planned(named("a"), unnamed(1, 7)), [], [named("a"), unnamed(1, 7)], [0, 1]
    ),
}  # fmt: skip


@pytest.mark.parametrize(("runs", "matching", "others", "expected"), CASES.values(), ids=CASES)
def test_a_hook_is_recognised_by(
    runs: list[Run], matching: list[Hook], others: list[Hook], expected: list[Place]
) -> None:
    hooks = [*matching, *others]
    wanted = [None if place is None else hooks[place] for place in expected]
    assert rematch(runs, matching, others) == wanted


@st.composite
def files(draw: st.DrawFn) -> list[Hook]:
    """The hooks of a file, of which some have a name, and some of the others equal inputs."""
    fingerprints = draw(st.lists(st.integers(0, 2), max_size=6))
    functions = st.sampled_from(["h.f", "g.f"])
    return [
        unnamed(number, each, draw(functions)) if each else named(f"n{number}", draw(functions))
        for number, each in enumerate(fingerprints)
    ]


@settings(derandomize=True)
@given(files())
def test_in_the_same_file_each_run_finds_its_own_hook(file: list[Hook]) -> None:
    assert rematch(planned(*file), file) == file


@settings(derandomize=True)
@given(files(), files(), st.integers(0, 6))
def test_no_hook_is_found_twice_in_any_other_file(
    before: list[Hook], now: list[Hook], split: int
) -> None:
    found = rematch(planned(*before), now[:split], now[split:])
    names = [hook.name for hook in found if hook is not None]
    assert len(found) == len(before)
    assert len(set(names)) == len(names)
    assert set(names) <= {hook.name for hook in now}


def test_an_updated_run_is_called_as_its_hook_is_now_and_keeps_all_else() -> None:
    [run] = planned(unnamed(1, 7), states=["failed"])
    assert updated(run, unnamed(2, 8, "other.f")) == Run(
        "workflow_failed-2", "other.f", "failed", fingerprint=8
    )
