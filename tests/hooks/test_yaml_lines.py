"""YAML that knows its lines: plain values, the tags !env and !file, and what is said of mistakes.

The keys of hooks.conf are tested in test_conf.py. A mistake has its line and shows no secret.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from listener.hooks.values import INVALID
from listener.hooks.yaml_lines import Values
from listener.hooks.yaml_nodes import in_words_of

NO_YAML = "invalid YAML"
TOKEN = "while scanning for the next token, found character that cannot start any token"
NODE = "while parsing a flow node, did not find expected node content"
UNKNOWN = "is not known here; known are: !env, !file, !template, !regex"
TWICE = "the key 'a' stands here twice; the last one counts"
DOTS = "invalid YAML: the line '...' of Conductor's example stands for more hooks; delete it"
NOT_REGULAR = "cannot be read: it is a pipe or a device, not a regular file"
ENV_TAKES = "!env takes a name, or a list of a name and a default"


def read(
    text: str, folder: Path | str = "/nowhere", env: Mapping[str, str] | None = None
) -> tuple[Any, list[tuple[int, str]]]:
    """The value in a YAML text, and the mistakes with their lines."""
    values = Values(env or {}, folder)
    root = values.parse(text)
    value = None if root is None else values.value(root)
    return value, [(mistake.line, mistake.text) for mistake in values.mistakes]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("---\n...\n", None),
        ("[text, 'a: b', -5, .5, True, null, ~]", ["text", "a: b", -5, 0.5, True, None, None]),
        ("{a: {b: [c]}, 1: one, null: none}", {"a": {"b": ["c"]}, 1: "one", None: "none"}),
        ("[2024-08-12, 2024-08-12 13:16:13]", ["2024-08-12", "2024-08-12T13:16:13"]),
        ("{2024-08-12: 2024-08-12T13:16:13.5Z}", {"2024-08-12": "2024-08-12T13:16:13.500000+00:00"}),
        ("[!!str 5, !!int '5', !!binary aGk=]", ["5", 5, b"hi"]),
        ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
        ("{<<: {one: 1, two: 2}, two: 3}", {"one": 1, "two": 3}),
        ("{two: 3, <<: {one: 1, two: 2}}", {"one": 1, "two": 3}),
        ("{<<: [{one: 1}, {one: 2, two: 2}], c: 3}", {"one": 1, "two": 2, "c": 3}),
        (
            "{base: &b {x: 1, y: 1}, mid: &m {<<: *b, x: 2}, top: {<<: *m, z: 3}}",
            {"base": {"x": 1, "y": 1}, "mid": {"x": 2, "y": 1}, "top": {"x": 2, "y": 1, "z": 3}},
        ),
    ],
)  # fmt: skip
def test_yaml_becomes_plain_values(text: str, value: object) -> None:
    assert read(text) == (value, [])


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("a:\n- b: x\n  ...\n", [(3, DOTS)]),
        ("a:\n- b: x\n ...\n# more\n- c\n", [(3, DOTS)]),
        ("a: 1\n...\nb: 2\n", [(2, DOTS)]),
        ("a: 1\nb: [\n", [(3, f"{NO_YAML}: {NODE}")]),
        ("a: 1\nb: %\n", [(2, f"{NO_YAML}: {TOKEN}")]),
        ("a:\n\tb: 2\n", [(2, f"{NO_YAML}: a tab indents this line; write blanks")]),
        ("a:\n- b: 1\n \tc: 2\n", [(3, f"{NO_YAML}: a tab indents this line; write blanks")]),
        ("a:\n  b: 2\n\tc: 2\n", [(3, f"{NO_YAML}: a tab indents this line; write blanks")]),
        ("a: |\n  b\n  \tb\nc: %\n", [(4, f"{NO_YAML}: {TOKEN}")]),
        (
            "a: 1\n---\nb: 2\n",
            [(2, f"{NO_YAML}: expected a single document in the stream, but found another document")],
        ),
        ("a: 1\nb: *a\n", [(2, f"{NO_YAML}: found undefined alias")]),
        ("# für\na: x\0\n", [(2, f"{NO_YAML}: control characters are not allowed")]),
        ("x:\n  a: 1\n  a: 2\n  b: 2\n  a: 3\n", [(3, TWICE), (5, TWICE)]),
        ("a: 1\nb:\n  <<: 5\n", [(3, "<< can merge only mappings, found 5")]),
        ("a: 1\nb:\n  <<: [{c: 1},\n   d]\n", [(4, "<< can merge only mappings, found the text 'd'")]),
        ("a: 1\n? [b]\n: 2\n", [(2, "a key must be a text or a number, found a list")]),
        (
            "a:\n- !secret [x]\n- !!python/name:os.system x\n",
            [
                (2, f"the tag '!secret' {UNKNOWN}"),
                (3, f"the tag 'tag:yaml.org,2002:python/name:os.system' {UNKNOWN}"),
            ],
        ),
        ("a: 2024-13-45\n", [(1, "2024-13-45 cannot be read as timestamp; put it in quotes")]),
        ("a: !!int x\n", [(1, "x cannot be read as int; put it in quotes")]),
    ],
)  # fmt: skip
def test_each_mistake_of_yaml_is_told_with_its_line(text: str, mistakes: list[tuple[int, str]]) -> None:
    assert read(text)[1] == mistakes


@pytest.mark.parametrize(
    "scalar", ["!!timestamp soon", "!!bool maybe", "!!int ''", "!!float ''", "!!binary é"]
)
def test_a_scalar_that_is_not_what_its_tag_says_is_a_mistake_and_no_crash(scalar: str) -> None:
    value, [(line, _)] = read(f"a: 1\nb: {scalar}\n")

    assert value == {"a": 1, "b": INVALID}
    assert line == 2


@pytest.mark.parametrize(
    ("tag", "env", "value"),
    [
        ("!env NAME", {"NAME": "text"}, "text"),
        ("!env [NAME]", {"NAME": "text"}, "text"),
        ("!env [NAME, default]", {"NAME": "text"}, "text"),
        ("!env [NAME, default]", {}, "default"),
        ("!env [NAME, !env OTHER]", {"OTHER": "2"}, "2"),
        ("!env NAME", {"NAME": "12345"}, "12345"),
        ("!env [NAME, 0162]", {}, "0162"),
        ("!env [NAME, null]", {}, None),
        ("!env NAME", {"NAME": "[a, b]"}, "[a, b]"),
        ("!env NAME", {"NAME": "'5'"}, "'5'"),
        ("!env NAME", {"NAME": "a: b # c\n!env X"}, "a: b # c\n!env X"),
    ],
)
def test_env_gives_a_variable_or_its_default_as_a_text(
    tag: str, env: dict[str, str], value: object
) -> None:
    assert read(f"- {tag}\n", env=env) == ([value], [])


@pytest.mark.parametrize(
    "tag", ["!env []", "!env [A, b, c]", "!env {A: b}", "!env [[A]]", "!env [A, [b]]"]
)
def test_env_takes_one_name_and_one_scalar_default(tag: str) -> None:
    assert read(f"\n- {tag}\n", env={"A": "x"}) == ([INVALID], [(2, ENV_TAKES)])


def test_an_unset_variable_is_a_mistake_that_says_where_to_set_it() -> None:
    mistake = (
        "the environment variable 'PAGER_KEY' is not set; set it (environment= in supervisord's"
        " section), or give a default, as in !env [NAME, default]"
    )
    assert read("a: 1\nb: !env PAGER_KEY\n") == ({"a": 1, "b": INVALID}, [(2, mistake)])


@pytest.mark.parametrize(
    ("text", "value", "doubt"),
    [
        ("\ufeffpublic", "public", None),
        ("", "", "is empty"),
        ("\ufeff", "", "is empty"),
        (" pub\tlic", " pub\tlic", "begins or ends with a blank or an empty line"),
        ("public\u00a0", "public\u00a0", "begins or ends with a blank or an empty line"),
        ("pub\u200blic", "pub\u200blic", "has the invisible character U+200B"),
        ("pub\rlic", "pub\rlic", "has the invisible character U+000D"),
        ("two\nlines", "two\nlines", None),
    ],
)
def test_what_nobody_sees_in_a_text_from_elsewhere_is_dropped_or_warned_of(
    text: str, value: str, doubt: str | None, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(text.encode() + b"\r\n")
    for tag in ("!env KEY", "!file key"):
        mistakes = [(1, f"what {tag} gave {doubt}")] if doubt else []
        assert read(f"- {tag}", tmp_path, {"KEY": text}) == ([value], mistakes)


@pytest.mark.parametrize(
    ("written", "is_read_as"),
    [
        ("0162", "114"), ("0x1F", "31"), ("0b11", "3"), ("1:30", "90"), ("1_000", "1000"),
        ("1:30.5", "90.5"), ("on", "true"), ("No", "false"),
    ],
)  # fmt: skip
def test_what_yaml_reads_otherwise_than_it_looks_is_a_warning_that_keeps_secrets(
    written: str, is_read_as: str
) -> None:
    text = f"a: [x,\n {written}]\npasswords:\n- {{x: {written}}}\n"
    secret = "what stands here as another number or as true or false"
    assert read(text)[1] == [
        (line, f"YAML reads {what}; put it in quotes to keep it as it is written")
        for line, what in ((2, f"{written} as {is_read_as}"), (4, secret))
    ]


def test_keys_of_one_value_are_the_same_key_however_they_are_written() -> None:
    value, [(_, look), (_, same)] = read("{16: a, 0x10: b, <<: {16: c}}")

    assert value == {16: "b"}
    assert same == (
        "the key '0x10' stands here twice, as '16', which is the same value; the last one counts"
    )
    assert look.startswith("YAML reads 0x10 as 16; ")


def test_file_gives_the_text_of_a_file_without_its_last_newline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative one is beside hooks.conf, and not where the process is."""
    elsewhere = tmp_path / "sub"
    elsewhere.mkdir()
    (tmp_path / "a.secret").write_text("ä: 5\n", "utf-8")
    (elsewhere / "a.secret").write_text("162", "utf-8")
    monkeypatch.chdir(elsewhere)

    found = read(f"[!file a.secret, !file sub/a.secret, !file {elsewhere}/a.secret]", tmp_path)

    assert found == (["ä: 5", "162", "162"], [])


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("!file missing", "!file {}/missing cannot be read: No such file or directory"),
        ("!file folder", "!file {}/folder cannot be read: Is a directory"),
        ("!file fifo", f"!file {{}}/fifo {NOT_REGULAR}"),
        ("!file /dev/zero", f"!file /dev/zero {NOT_REGULAR}"),
        ("!file large", "!file {}/large cannot be read: it is larger than 1 MB"),
        ("!file latin-1", "!file {}/latin-1 cannot be read: not UTF-8: invalid start byte"),
        ("!file", "!file takes the path of a file"),
        ("!file [a]", "!file takes the path of a file"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_mistake_at_its_line(
    tag: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(bytes(10**6 + 1))
    (tmp_path / "latin-1").write_bytes(b"gr\xfc\xdfe")

    found = read(f"a: 1\nb: {tag}\n", tmp_path)

    assert found == ({"a": 1, "b": INVALID}, [(2, text.format(tmp_path))])


@pytest.mark.parametrize(
    "text", ['!env "A\\nB"', '!file "A\\nB"', '!!int "A\\nB"', '{"A\\nB": 1, "A\\nB": 2}']
)
def test_a_mistake_is_one_line_whatever_stands_in_the_file(text: str) -> None:
    _, [(_, mistake)] = read(text)

    assert len(mistake.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{a: 1}", "a mapping"),
        ("[]", "a list"),
        ("null", "nothing"),
        ("word", "the text 'word'"),
        ("'5'", "the text '5'"),
        ("0x1F", "0x1F"),
        ("true", "true"),
        ("2024-08-12", "2024-08-12"),
        ("!env NAME", "what !env NAME gave"),
        ("!env [NAME, default]", "what !env gave"),
        ("!file secret.txt", "what !file secret.txt gave"),
        ("!env " + "N" * 50, "what !env " + "N" * 39 + "… gave"),
    ],
)
def test_what_was_found_is_put_into_words_and_shortened(text: str, words: str) -> None:
    root = Values({}, Path()).parse(text)

    assert root is not None
    assert in_words_of(root) == words
