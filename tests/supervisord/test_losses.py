"""What supervisord has discarded, found in the numbers of what it has delivered."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.model.serials import Serials
from listener.supervisord.losses import LossDetector

RUN = "4711.123456"
OLD_RUN = "17.99"


def missing(detector: LossDetector, *numbers: tuple[int, int]) -> list[int]:
    """How many events are missing after each of these, which come as serial and poolserial."""
    found = []
    for pair in numbers:
        before = detector.missing
        is_changed = detector.see(Serials(RUN, *pair))
        assert is_changed == (detector.missing != before)
        found.append(detector.missing)
    return found


def known(*numbers: tuple[int, int], run: str = RUN) -> list[Serials]:
    return [Serials(run, *pair) for pair in numbers]


def test_without_a_gap_nothing_is_missing_whatever_other_pools_get() -> None:
    assert missing(LossDetector(RUN, known((9, 4))), (10, 5), (11, 6), (500, 7)) == [0, 0, 0]


def test_what_is_missing_is_taken_once() -> None:
    detector = LossDetector(RUN, known((9, 4)))
    assert missing(detector, (11, 6), (12, 7), (400, 395)) == [1, 1, 388]
    assert [detector.take(), detector.take()] == [388, 0]


def test_the_last_event_is_no_gap_when_it_comes_again() -> None:
    numbers = [(10, 5), (10, 5), (13, 8), (13, 8), (15, 10)]
    assert missing(LossDetector(RUN, known((9, 4))), *numbers) == [0, 0, 2, 2, 3]


def test_nothing_is_missing_before_the_first_event_when_nothing_is_known() -> None:
    assert missing(LossDetector(RUN, []), (700, 300), (701, 301), (704, 304)) == [0, 0, 2]


@pytest.mark.parametrize("late", list(itertools.permutations([(10, 5), (11, 6), (12, 7)])))
def test_what_comes_late_is_not_missing_in_whatever_order_it_comes(
    late: Sequence[tuple[int, int]],
) -> None:
    detector = LossDetector(RUN, known((9, 4)))
    assert missing(detector, (13, 8), *late, (14, 9)) == [3, 2, 1, 0, 0]


def test_more_late_events_than_were_missing_hide_no_later_loss() -> None:
    detector = LossDetector(RUN, known((9, 4)))
    assert missing(detector, (11, 6), (10, 5), (10, 5), (13, 8)) == [1, 0, 0, 1]


@pytest.mark.parametrize("newest", [(9, 4), (12, 7), (11, 6), (10, 5)])
def test_the_next_listener_goes_on_where_the_last_one_ended(newest: tuple[int, int]) -> None:
    """The newest entry of the journal may be one that came late."""
    first = LossDetector(RUN, known((9, 4)))
    assert missing(first, (13, 8), (12, 7), (11, 6)) == [3, 2, 1]
    second = LossDetector(RUN, known(newest), str(first))
    assert missing(second, (13, 8), (14, 9), (10, 5)) == [1, 1, 0]


@pytest.mark.parametrize("noted", ["", "x", "12.34/5/x 3x", " ", "12.34/5/6"])
def test_a_note_that_is_none_is_no_loss(noted: str) -> None:
    assert missing(LossDetector(RUN, known((9, 4)), noted), (10, 5)) == [0]


@pytest.mark.parametrize(("first", "lost"), [((0, 0), 0), ((30, 0), 0), ((8, 5), 5)])
def test_a_new_supervisord_numbers_from_0(first: tuple[int, int], lost: int) -> None:
    detector = LossDetector(RUN, known((9000, 5000), run=OLD_RUN))
    assert missing(detector, first, (first[0] + 1, first[1] + 1)) == [lost, lost]


@pytest.mark.parametrize(("first", "lost"), [((21, 0), 0), ((25, 3), 3), ((25, 5), 0), ((29, 9), 4)])
def test_a_new_pool_numbers_from_0_and_a_loss_in_it_shows_unless_it_has_caught_up(
    first: tuple[int, int], lost: int
) -> None:
    detector = LossDetector(RUN, known((20, 4)))
    assert missing(detector, first, (first[0] + 2, first[1] + 1)) == [lost, lost]


def test_the_newest_known_event_of_this_run_counts_whatever_the_order() -> None:
    for events in ([(9, 4), (12, 7)], [(12, 7), (9, 4)]):
        of_both = (*known(*events), *known((90, 80), run=OLD_RUN))
        assert missing(LossDetector(RUN, iter(of_both)), (12, 7), (15, 10)) == [0, 2]


@settings(derandomize=True)
@given(
    is_discarded=st.lists(st.booleans(), min_size=1, max_size=40),
    steps=st.lists(st.integers(1, 5), min_size=40, max_size=40),
    ahead=st.lists(st.integers(0, 3), min_size=40, max_size=40),
    repeated=st.lists(st.integers(1, 3), min_size=40, max_size=40),
    restarts=st.sets(st.integers(0, 40)),
    is_new_run=st.booleans(),
)
def test_all_that_was_discarded_before_the_last_event_is_missing_exactly_once(
    is_discarded: Sequence[bool],
    steps: Sequence[int],
    ahead: Sequence[int],
    repeated: Sequence[int],
    restarts: set[int],
    is_new_run: bool,
) -> None:
    """Other pools' events between, later ones ahead, the last one again, restarts of the listener."""
    serials = itertools.accumulate(steps, initial=-1 if is_new_run else 500)
    next(serials)
    numbered = zip(serials, range(len(is_discarded)), is_discarded, strict=False)
    waiting = [(serial, place) for serial, place, discarded in numbered if not discarded]
    noted = known((10**6, 10**6), run=OLD_RUN) if is_new_run else known((500, -1))
    detector = LossDetector(RUN, noted)
    delivered: list[tuple[int, int]] = []
    newest = -1
    while waiting:
        place = len(delivered)
        if place in restarts:
            detector = LossDetector(RUN, [*noted, *known(*delivered[-1:])], str(detector))
        event = waiting.pop(min(ahead[place], len(waiting) - 1))
        is_last = event[1] > newest
        missing(detector, *[event] * (repeated[place] if is_last else 1))
        newest = max(newest, event[1])
        delivered.append(event)
    assert detector.missing == sum(is_discarded[: newest + 1])
