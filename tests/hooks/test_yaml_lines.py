"""YAML that knows its lines: plain values, the tags !env and !file, and what is said of mistakes.

hooks.conf's own keys are tested in test_hooks_conf.py. Every mistake must carry the line it was made
in, be told once, and never tell a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from listener.hooks.yaml_lines import UNREADABLE, Source, describe, nearest

NOWHERE = Path("/nowhere")
NOTHING_SET: Mapping[str, str] = {}
NO_YAML = "no valid YAML"
TOKEN = "while scanning for the next token"
ONE_DOCUMENT = "expected a single document in the stream, but found another document"
HOLDS_ITSELF = "this value holds itself; an alias may not point to what it stands in"
UNKNOWN = "is not known here; only !env and !file are"


def read(
    text: str, folder: Path = NOWHERE, env: Mapping[str, str] = NOTHING_SET
) -> tuple[Any, list[tuple[int, str]]]:
    """The value in a YAML text, and the mistakes with their lines."""
    source = Source(env, folder)
    root = source.parse(text)
    value = None if root is None else source.value(root)
    return value, [(mistake.line, mistake.text) for mistake in source.mistakes]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[text, 'a: b', 5, 0x1F, 1.5, true, null, ~]", ["text", "a: b", 5, 31, 1.5, True, None, None]),
        ("{a: {b: [c]}, 1: one, null: none}", {"a": {"b": ["c"]}, 1: "one", None: "none"}),
        ("[2024-08-12, 2024-08-12 13:16:13]", ["2024-08-12", "2024-08-12T13:16:13"]),
        ("2024-08-12T13:16:13.5Z", "2024-08-12T13:16:13.500000+00:00"),
        ("{2024-08-12: day}", {"2024-08-12": "day"}),
        ("[!!str 5, !!int '5', !!binary aGk=]", ["5", 5, b"hi"]),
        ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
        ("{<<: {a: 1, b: 2}, b: 3}", {"a": 1, "b": 3}),
        ("{b: 3, <<: {a: 1, b: 2}}", {"a": 1, "b": 3}),
        ("{<<: [{a: 1}, {a: 2, b: 2}], c: 3}", {"a": 1, "b": 2, "c": 3}),
        (
            "{base: &b {x: 1, y: 1}, mid: &m {<<: *b, x: 2}, top: {<<: *m, z: 3}}",
            {"base": {"x": 1, "y": 1}, "mid": {"x": 2, "y": 1}, "top": {"x": 2, "y": 1, "z": 3}},
        ),
        ("{1: number, '1': text}", {1: "number", "1": "text"}),
        ("{a: [&x {n: 1}, *x], b: *x}", {"a": [{"n": 1}, {"n": 1}], "b": {"n": 1}}),
        ("[" + "[x], " * 60 + "]", [["x"]] * 60),
        ("[" * 50 + "]" * 50, json.loads("[" * 50 + "]" * 50)),
    ],
)  # fmt: skip
def test_yaml_becomes_plain_values(text: str, value: object) -> None:
    assert read(text) == (value, [])


@pytest.mark.parametrize("text", ["", "# a comment\n", "---\n...\n"])
def test_a_text_without_a_value_is_read_as_nothing(text: str) -> None:
    assert read(text) == (None, [])


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        (
            "a: 1\nb: [\n",
            [(3, f"{NO_YAML}: while parsing a flow node, did not find expected node content")],
        ),
        ("a: 1\nb: %\n", [(2, f"{NO_YAML}: {TOKEN}, found character that cannot start any token")]),
        ("a:\n\tb: 2\n", [(2, f"{NO_YAML}: {TOKEN}, found character that cannot start any token")]),
        ("a: 1\n---\nb: 2\n", [(2, f"{NO_YAML}: {ONE_DOCUMENT}")]),
        ("a: 1\nb: *a\n", [(2, f"{NO_YAML}: found undefined alias")]),
        ("a: 1\nb: 2\na: 3\n", [(3, "the key 'a' stands here for the second time")]),
        (
            "x:\n  a: 1\n  a: 2\n  a: 3\n",
            [(n, "the key 'a' stands here for the second time") for n in (3, 4)],
        ),
        ("b: 1\na: &a\n  - *a\n", [(2, HOLDS_ITSELF)]),
        ("a: &a {b: [{c: *a}]}", [(1, HOLDS_ITSELF)]),
        ("[" * 51 + "]" * 51, [(1, "this value is nested deeper than 50 levels")]),
        ("a: 1\n? [b]\n: 2\n", [(2, "this mapping: a key must be a text or a number, found a list")]),
        ("a: !secret x\n", [(1, f"the tag '!secret' {UNKNOWN}")]),
        (
            "a:\n- !secret [x]\n- !!set {x}\n- !!python/name:os.system x\n",
            [
                (2, f"the tag '!secret' {UNKNOWN}"),
                (3, f"the tag 'tag:yaml.org,2002:set' {UNKNOWN}"),
                (4, f"the tag 'tag:yaml.org,2002:python/name:os.system' {UNKNOWN}"),
            ],
        ),
        ("a: 2024-13-45\n", [(1, "2024-13-45 is no timestamp; put it in quotes")]),
        ("a: !!int x\n", [(1, "x is no int; put it in quotes")]),
    ],
)
def test_each_mistake_of_yaml_is_told_with_its_line(text: str, mistakes: list[tuple[int, str]]) -> None:
    assert read(text)[1] == mistakes


@pytest.mark.parametrize(
    "scalar", ["!!timestamp soon", "!!bool maybe", "!!int ''", "!!float ''", "!!binary é"]
)
def test_a_scalar_that_is_not_what_its_tag_says_is_a_mistake_and_no_crash(scalar: str) -> None:
    value, mistakes = read(f"a: 1\nb: {scalar}\n")

    assert value == {"a": 1, "b": UNREADABLE}
    assert [line for line, _ in mistakes] == [2]


@pytest.mark.parametrize("merged", ["5", "text", "null", "[{b: 1}, 5]", "[[{b: 1}]]"])
def test_only_mappings_can_be_merged(merged: str) -> None:
    _, [(line, text)] = read(f"a: 1\nb:\n  <<: {merged}\n")

    assert line == 3
    assert "merg" in text


def test_merges_in_merges_that_lead_too_deep_are_a_mistake_and_no_crash() -> None:
    text = "".join(" " * level + "<<:\n" for level in range(997)) + " " * 997 + "a: 1\n"

    _, mistakes = read(text)

    assert mistakes
    assert all("merge" in told for _, told in mistakes)


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\ufffe"])
def test_a_control_character_is_told_with_its_line(character: str) -> None:
    _, mistakes = read(f"# für\na: 1\nb: x{character}\n")

    [(line, text)] = mistakes
    assert line == 3
    assert text.startswith("no valid YAML: ")


def test_a_mistake_behind_an_anchor_is_told_once() -> None:
    _, mistakes = read("a: &x {password: !env GONE}\nb: *x\nc: *x\n")

    assert [line for line, _ in mistakes] == [1]


@pytest.mark.parametrize(
    ("tag", "env", "value"),
    [
        ("!env NAME", {"NAME": "text"}, "text"),
        ("!env [NAME]", {"NAME": "text"}, "text"),
        ("!env [NAME, default]", {"NAME": "text"}, "text"),
        ("!env [NAME, default]", {}, "default"),
        ("!env [NAME, 162]", {}, 162),
        ("!env [NAME, '162']", {}, "162"),
        ("!env [NAME, null]", {}, None),
        ("!env [NAME, !env [OTHER, 1]]", {}, UNREADABLE),
        ("!env [NAME, !env OTHER]", {"OTHER": "2"}, 2),
        ("!env NAME", {"NAME": "162"}, 162),
        ("!env NAME", {"NAME": "1.5"}, 1.5),
        ("!env NAME", {"NAME": "yes"}, True),
        ("!env NAME", {"NAME": "2024-08-12"}, "2024-08-12"),
        ("!env NAME", {"NAME": ""}, None),
        ("!env NAME", {"NAME": "[a, b]"}, "[a, b]"),
        ("!env NAME", {"NAME": "'5'"}, "'5'"),
        ("!env NAME", {"NAME": "a: b # c\n!env X"}, "a: b # c\n!env X"),
    ],
)
def test_env_gives_a_variable_as_a_plain_scalar_or_its_default(
    tag: str, env: dict[str, str], value: object
) -> None:
    found, mistakes = read(f"- {tag}\n", env=env)

    if "!env [OTHER, 1]" in tag:  # a list is no default, whatever its tag
        assert mistakes == [(1, "!env takes a name, or a list of a name and a default")]
    else:
        assert mistakes == []
    assert found == [value]


@pytest.mark.parametrize(
    "tag", ["!env []", "!env [A, b, c]", "!env {A: b}", "!env [[A]]", "!env [A, [b]]"]
)
def test_env_takes_one_name_and_one_scalar_default(tag: str) -> None:
    assert read(f"\n- {tag}\n", env={"A": "x"})[1] == [
        (2, "!env takes a name, or a list of a name and a default")
    ]


def test_an_unset_variable_is_a_mistake_that_says_where_to_set_it() -> None:
    assert read("a: 1\nb: !env PAGER_KEY\n") == (
        {"a": 1, "b": UNREADABLE},
        [
            (
                2,
                "the environment variable 'PAGER_KEY' is not set; set it (environment= in supervisord's"
                " section), or give a default, as in !env [NAME, default]",
            )
        ],
    )


@pytest.mark.parametrize("secret", ["2024-13-45", "0b_", "1" + "0" * 4400])
def test_a_variable_that_cannot_be_read_is_named_and_never_shown(secret: str) -> None:
    value, [(line, text)] = read("a: 1\nb: !env PAGER_KEY\n", env={"PAGER_KEY": secret})

    assert value == {"a": 1, "b": UNREADABLE}
    assert line == 2
    assert "PAGER_KEY" in text
    assert secret[:40] not in text


def test_file_gives_the_text_of_a_file_without_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "beside.secret").write_text("ä: 5\n\n", "utf-8")
    elsewhere = tmp_path / "sub" / "elsewhere.secret"
    elsewhere.parent.mkdir()
    elsewhere.write_text("162", "utf-8")

    found = read(f"[!file beside.secret, !file sub/elsewhere.secret, !file {elsewhere}]", tmp_path)

    assert found == (["ä: 5\n", "162", "162"], [])


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("!file missing", "!file {}/missing cannot be read: No such file or directory"),
        ("!file folder", "!file {}/folder cannot be read: Is a directory"),
        ("!file latin-1", "!file {}/latin-1 cannot be read: it is not UTF-8 text"),
        ("!file", "!file takes the path of a file"),
        ("!file [a]", "!file takes the path of a file"),
        ("!file {a: b}", "!file takes the path of a file"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_mistake_at_its_line(
    tag: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin-1").write_bytes(b"gr\xfc\xdfe")

    assert read(f"a: 1\nb: {tag}\n", tmp_path) == (
        {"a": 1, "b": UNREADABLE},
        [(2, text.format(tmp_path))],
    )


def test_a_path_that_no_file_can_have_is_not_called_undecodable(tmp_path: Path) -> None:
    value, [(line, text)] = read('a: 1\nb: !file "x\\0y"\n', tmp_path)

    assert value == {"a": 1, "b": UNREADABLE}
    assert line == 2
    assert "UTF-8" not in text


@pytest.mark.parametrize(
    "text",
    ['!env "A\\nB"', '!file "A\\nB"', '!!int "A\\nB"', '!!float "A\\nB"', '{"A\\nB": 1, "A\\nB": 2}'],
)
def test_a_mistake_is_one_line_whatever_stands_in_the_file(text: str, tmp_path: Path) -> None:
    _, [(_, told)] = read(text, tmp_path)

    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{a: 1}", "a mapping"),
        ("[a]", "a list"),
        ("null", "nothing"),
        ("word", "the text 'word'"),
        ("'5'", "the text '5'"),
        ("5", "5"),
        ("true", "true"),
        ("2024-08-12", "2024-08-12"),
        ("!env NAME", "what !env NAME gave"),
        ("!file secret.txt", "what !file secret.txt gave"),
        ("!env " + "N" * 50, "what !env " + "N" * 39 + "… gave"),
        ("x" * 40, "the text '" + "x" * 40 + "'"),
        ("x" * 41, "the text '" + "x" * 39 + "…'"),
        ("1" * 41, "1" * 39 + "…"),
    ],
)
def test_what_was_found_is_described_and_shortened(text: str, shown: str) -> None:
    root = Source({}, Path()).parse(text)

    assert root is not None
    assert describe(root) == shown


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("time_out", "did you mean 'timeout'?"),
        ("retry", "did you mean 'retries'?"),
        ("TIME-OUT", "did you mean 'timeout'?"),
        ("", "known are: timeout, retries"),
    ],
)
def test_an_unknown_word_is_answered_with_the_nearest_or_all_known(word: str, told: str) -> None:
    assert nearest(word, iter(("timeout", "retries"))) == told


def test_a_relative_file_is_looked_up_beside_the_file_and_not_where_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "name").write_text("wrong")
    (tmp_path / "name").write_text("right")
    monkeypatch.chdir(here)

    assert read("!file name", tmp_path) == ("right", [])
