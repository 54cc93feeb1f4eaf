"""What supervisord has discarded, told from the numbers of what it has delivered."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.supervisord.losses import Gap, LossDetector, Serials

RUN = "4711.123456"
OLD_RUN = "17.99"


def missing(detector: LossDetector, *numbers: tuple[int, int]) -> list[int]:
    """After each event, how many of its pool are known to be missing."""
    return [see(detector, *pair) for pair in numbers]


def see(detector: LossDetector, serial: int, poolserial: int) -> int:
    detector.see(Serials(RUN, serial, poolserial))
    return sum(gap.size for gap in detector.gaps)


def known(*numbers: tuple[int, int], run: str = RUN) -> list[Serials]:
    return [Serials(run, *pair) for pair in numbers]


def test_serials_are_read_back_from_their_text() -> None:
    serials = Serials(RUN, 12, 3)
    assert str(serials) == "4711.123456/12/3"
    assert Serials.read(str(serials)) == serials


def test_an_event_is_called_the_same_in_every_pool_and_otherwise_in_every_run() -> None:
    assert Serials(RUN, 12, 3).event == Serials(RUN, 12, -1).event == "4711.123456/12"
    assert Serials(OLD_RUN, 12, 3).event != Serials(RUN, 12, 3).event


def test_events_without_a_gap_are_all_there() -> None:
    assert missing(LossDetector(RUN, known((9, 4))), (10, 5), (11, 6), (12, 7)) == [0, 0, 0]


def test_other_pools_events_are_no_gap() -> None:
    assert missing(LossDetector(RUN, known((9, 4))), (20, 5), (500, 6)) == [0, 0]


def test_each_gap_is_kept_with_its_size_and_settled_once() -> None:
    detector = LossDetector(RUN, known((9, 4)))
    assert missing(detector, (11, 6), (12, 7), (400, 395)) == [1, 1, 388]
    gaps = [Gap(Serials(RUN, 11, 6), 1), Gap(Serials(RUN, 400, 395), 387)]
    assert detector.settle() == gaps
    assert detector.settle() == []


def test_what_is_delivered_again_is_no_gap_and_hides_none() -> None:
    numbers = [(10, 5), (10, 5), (13, 8), (10, 5), (13, 8), (15, 10)]
    assert missing(LossDetector(RUN, known((9, 4))), *numbers) == [0, 0, 2, 2, 2, 3]


def test_nothing_is_missing_before_the_first_event_when_nothing_is_known() -> None:
    assert missing(LossDetector(RUN, []), (700, 300), (701, 301), (704, 304)) == [0, 0, 2]


@pytest.mark.parametrize("late", list(itertools.permutations([(10, 5), (11, 6), (12, 7)])))
def test_what_comes_late_is_not_missing_in_whatever_order_it_comes(
    late: Sequence[tuple[int, int]],
) -> None:
    detector = LossDetector(RUN, known((9, 4)))
    assert missing(detector, (13, 8), *late, (14, 9)) == [3, 2, 1, 0, 0]


def test_what_comes_late_twice_fills_its_place_once() -> None:
    detector = LossDetector(RUN, known((9, 4)))
    assert missing(detector, (13, 8), (11, 6), (11, 6), (13, 8)) == [3, 2, 2, 2]


def test_it_says_whether_an_event_has_changed_the_gaps() -> None:
    detector = LossDetector(RUN, known((9, 4)))
    events = [(10, 5), (12, 7), (12, 7), (11, 6), (11, 6)]
    changed = [detector.see(Serials(RUN, *pair)) for pair in events]
    assert changed == [False, True, False, True, False]


def test_an_event_of_another_pool_or_run_does_not_fill_a_gap() -> None:
    old = Gap(Serials(OLD_RUN, 90, 7), 3)
    detector = LossDetector(RUN, known((9, 4)), str(old))
    assert missing(detector, (12, 7), (20, 0), (23, 3), (22, 2)) == [5, 5, 7, 6]
    assert missing(detector, (21, 1), (11, 6)) == [5, 4]
    assert old in detector.gaps


@pytest.mark.parametrize("newest", [(9, 4), (12, 7), (11, 6), (10, 5)])
def test_gaps_go_on_where_an_earlier_listener_ended(newest: tuple[int, int]) -> None:
    """The newest entry may be one that came late, or older than the last gap."""
    first = LossDetector(RUN, known((9, 4)))
    assert missing(first, (13, 8), (12, 7), (11, 6)) == [3, 2, 1]

    second = LossDetector(RUN, known(newest), str(first))

    assert missing(second, (13, 8), (14, 9), (10, 5)) == [1, 1, 0]
    third = LossDetector(RUN, known(newest), str(second))
    assert missing(third, (14, 9), (15, 10)) == [0, 0]


def test_gaps_are_read_as_they_were_written_and_anything_else_is_none() -> None:
    gap = Gap(Serials(RUN, 12, 3), 2)
    assert Gap.read(str(gap)) == gap
    for text in ("", "12.34/5/6", "12.34/5/6/x", "12.34/5/6/-1", "12.34/x/6/1"):
        assert Gap.read(text) is None


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
        of_both = [*known(*events), *known((90, 80), run=OLD_RUN)]
        assert missing(LossDetector(RUN, of_both), (12, 7), (15, 10)) == [0, 2]


def test_known_events_may_come_from_anywhere() -> None:
    detector = LossDetector(RUN, (event for event in known((9, 4))))
    assert missing(detector, (10, 5)) == [0]


@settings(derandomize=True, deadline=None)
@given(
    is_discarded=st.lists(st.booleans(), min_size=1, max_size=40),
    steps=st.lists(st.integers(1, 5), min_size=40, max_size=40),
    repeated=st.lists(st.integers(0, 3), min_size=40, max_size=40),
    restarts=st.sets(st.integers(0, 40)),
    ahead=st.lists(st.integers(0, 3), min_size=40, max_size=40),
    is_new_run=st.booleans(),
)
def test_all_that_was_discarded_before_the_last_event_is_missing_exactly_once(
    is_discarded: Sequence[bool],
    steps: Sequence[int],
    repeated: Sequence[int],
    restarts: set[int],
    ahead: Sequence[int],
    is_new_run: bool,
) -> None:
    """Other pools' events between, later ones ahead, earlier ones again, restarts of the listener."""
    serial = -1 if is_new_run else 500
    noted = known((10**6, 10**6), run=OLD_RUN) if is_new_run else known((500, -1))
    waiting = []
    for poolserial, discarded in enumerate(is_discarded):
        serial += steps[poolserial]
        if not discarded:
            waiting.append((serial, poolserial))
    detector = LossDetector(RUN, noted)
    delivered: list[tuple[int, int]] = []
    for place, pair in enumerate(waiting):
        if place in restarts:
            detector = LossDetector(RUN, [*noted, *known(*delivered[-1:])], str(detector))
        again = delivered[-repeated[place] or len(delivered) :]
        for each in (*waiting[place + 1 : place + 1 + ahead[place]], pair, *again):
            delivered.append(each)
            see(detector, *each)
    last = waiting[-1][1] if waiting else 0
    assert sum(gap.size for gap in detector.gaps) == sum(is_discarded[:last])


def test_serials_are_read_as_they_were_written_and_anything_else_is_none() -> None:
    serials = Serials("12.34", 5, 6)
    assert Serials.read(str(serials)) == serials
    for text in ("", "12.34", "12.34/5", "12.34/5/x", "12.34/5/-1", "xxxxxxx"):
        assert Serials.read(text) is None
