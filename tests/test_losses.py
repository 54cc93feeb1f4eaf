"""What supervisord has discarded, told from the numbers of what it has delivered."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.losses import LossDetector, Serials

RUN = "4711.123456"
OLD_RUN = "17.99"


def missing(detector: LossDetector, *numbers: tuple[int, int]) -> list[int]:
    return [detector.missing_before(*pair) for pair in numbers]


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


def test_each_gap_is_told_once_and_with_its_size() -> None:
    assert missing(LossDetector(RUN, known((9, 4))), (11, 6), (12, 7), (400, 395)) == [1, 0, 387]


def test_what_is_delivered_again_is_no_gap_and_hides_none() -> None:
    numbers = [(10, 5), (10, 5), (13, 8), (10, 5), (13, 8), (12, 7), (15, 10)]
    assert missing(LossDetector(RUN, known((9, 4))), *numbers) == [0, 0, 2, 0, 0, 0, 1]


def test_nothing_is_missing_before_the_first_event_when_nothing_is_known() -> None:
    assert missing(LossDetector(RUN, []), (700, 300), (701, 301), (704, 304)) == [0, 0, 2]


@pytest.mark.parametrize(("first", "lost"), [((0, 0), 0), ((30, 0), 0), ((8, 5), 5)])
def test_a_new_supervisord_numbers_from_0(first: tuple[int, int], lost: int) -> None:
    detector = LossDetector(RUN, known((9000, 5000), run=OLD_RUN))
    assert missing(detector, first, (first[0] + 1, first[1] + 1)) == [lost, 0]


@pytest.mark.parametrize(("first", "lost"), [((21, 0), 0), ((25, 3), 3), ((25, 5), 0), ((29, 9), 4)])
def test_a_new_pool_numbers_from_0_and_a_loss_in_it_shows_unless_it_has_caught_up(
    first: tuple[int, int], lost: int
) -> None:
    detector = LossDetector(RUN, known((20, 4)))
    assert missing(detector, first, (first[0] + 2, first[1] + 1)) == [lost, 0]


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
    is_new_run=st.booleans(),
)
def test_all_that_was_discarded_before_the_last_event_is_missing_exactly_once(
    is_discarded: Sequence[bool],
    steps: Sequence[int],
    repeated: Sequence[int],
    restarts: set[int],
    is_new_run: bool,
) -> None:
    """Other pools' events between, any of the last events delivered again, restarts of the listener."""
    serial = -1 if is_new_run else 500
    noted = known((10**6, 10**6), run=OLD_RUN) if is_new_run else known((500, -1))
    detector = LossDetector(RUN, noted)
    delivered: list[tuple[int, int]] = []
    told = 0
    for poolserial, discarded in enumerate(is_discarded):
        serial += steps[poolserial]
        if discarded:
            continue
        if poolserial in restarts:
            detector = LossDetector(RUN, [*noted, *known(*delivered[-1:])])
        delivered.append((serial, poolserial))
        for pair in (delivered[-1], *delivered[-repeated[poolserial] or len(delivered) :]):
            told += detector.missing_before(*pair)
    last = delivered[-1][1] if delivered else 0
    assert told == sum(is_discarded[:last])


def test_serials_are_read_as_they_were_written_and_anything_else_is_none() -> None:
    serials = Serials("12.34", 5, 6)
    assert Serials.read(str(serials)) == serials
    for text in ("", "12.34", "12.34/5", "12.34/5/x", "12.34/5/-1", "xxxxxxx"):
        assert Serials.read(text) is None
