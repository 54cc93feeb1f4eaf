"""Kinds of values: what each takes, what it makes of it, and what is said of everything else."""

from __future__ import annotations

from typing import Any

import pytest

from listener.hooks.values import (
    BOOLEAN,
    DURATION,
    INVALID,
    PATH,
    PORT,
    TEXT,
    Kind,
    choice,
    in_words,
    nearest,
    number,
    text,
    whole_number,
)

SECONDS = number("seconds", 3600)
NAME = text("a name of 1 to 4 bytes", most=4)
WORD = choice("trap", "inform")


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (TEXT, "ä: 5\n", "ä: 5\n"),
        (PATH, "x" * 5000, "x" * 5000),
        (NAME, "éé", "éé"),
        (text("a text", least=0), "", ""),
        (BOOLEAN, False, False),
        (BOOLEAN, "Off", False),
        (BOOLEAN, "yes", True),
        (SECONDS, 1, 1.0),
        (SECONDS, 0.01, 0.01),
        (SECONDS, 3600, 3600.0),
        (SECONDS, "2.5", 2.5),
        (whole_number(-1, 5), -1, -1),
        (whole_number(-1, 5), 5, 5),
        (whole_number(-1, 5), "-01", -1),
        (WORD, "inform", "inform"),
        (PORT, 1, 1),
        (PORT, 65535, 65535),
        (PORT, "00162", 162),
        (DURATION, 90, 90.0),
        (DURATION, 0.5, 0.5),
        (DURATION, "90s", 90.0),
        (DURATION, "1.5m", 90.0),
        (DURATION, "2h", 7200.0),
        (DURATION, "30d", 2_592_000.0),
    ],
)
def test_a_right_value_is_read(kind: Kind, value: Any, read: object) -> None:
    assert (kind.read(value), type(kind.read(value))) == (read, type(read))


@pytest.mark.parametrize(
    ("kind", "wrong", "wanted"),
    [
        (TEXT, [None, 5, True, "", [], ["a"], {}, b"a", "a\0b", "caf\udce9"], "a text"),
        (PATH, [None, 5, "", ["a"], "a\0b"], "a path"),
        (NAME, ["", "x" * 5, "ééé", None], "a name of 1 to 4 bytes"),
        (BOOLEAN, [None, 0, 1, "1", "y", "", []], "true or false"),
        (
            SECONDS,
            [0, 0.009, 3600.1, -1, float("nan"), float("inf"), True, None, "5 ", "1e1", [5]],
            "a number of seconds from 0.01 to 3600",
        ),
        (whole_number(1, 9), [0, 10, 5.0, True, None, "5.0", "0x5", [5]], "a whole number from 1 to 9"),
        (WORD, ["Trap", "", None, 1, True, ["trap"]], "trap or inform"),
        (choice("a", "b", "c"), ["d"], "one of a, b, c"),
        (
            PORT,
            [0, 65536, -1, "0", "", "+1", "111111", "１６２", 162.0, True, None, [1]],
            "a port from 1 to 65535",
        ),
        (
            DURATION,
            [0, -1, "0s", "31d", 1e10, "5 m", "5w", "m", "", "１h", float("nan"), True, None, [5]],
            "a duration of at most 30d, such as 90s, 5m, 2h or 1d",
        ),
    ],
)
def test_a_wrong_value_is_invalid_and_told_with_what_is_wanted(
    kind: Kind, wrong: list[Any], wanted: str
) -> None:
    assert [value for value in wrong if kind.read(value) is not INVALID] == []
    assert kind.refusal("5") == f"must be {wanted}, found 5"
    assert kind._replace(is_secret=True).refusal("5") == f"must be {wanted}"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        (True, "true"),
        (5, "5"),
        (1.5, "1.5"),
        ("", "an empty text"),
        (" a\n'", '''the text " a\\n'"'''),
        ("x" * 40, f"the text '{'x' * 40}'"),
        ("x" * 41, f"the text '{'x' * 39}…'"),
        (10**40, f"1{'0' * 38}…"),
        ([], "an empty list"),
        (["hush"], "a list"),
        ({}, "an empty mapping"),
        ({"hush": 1}, "a mapping"),
    ],
)
def test_what_was_found_is_shown_shortened_and_on_one_line(value: object, words: str) -> None:
    assert in_words(value) == words


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("time_out", "did you mean 'timeout'?"),
        ("TIME-OUT", "did you mean 'timeout'?"),
        ("address", "did you mean 'destination_address'?"),
        ("", "known are: timeout, destination_address"),
    ],
)
def test_an_unknown_word_is_answered_with_the_nearest_or_all_known(word: str, hint: str) -> None:
    assert nearest(word, iter(("timeout", "destination_address"))) == hint
