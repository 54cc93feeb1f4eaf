"""The inputs of a trap hook: which destinations they name, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from listener.actions.snmp_trap.inputs import read_targets
from listener.actions.snmp_trap.values import MAX_ADDRESS, MAX_KEY
from listener.snmp.target import Target, User, address_name

HOST = {"destination_address": "10.0.0.1", "destination_port": 162}
V2C = HOST | {"community_string": "public"}
SIGNED = {"user": "ops", "auth_protocol": "SHA-256", "auth_key": "correct horse"}
SEALED = SIGNED | {"priv_protocol": "AES", "priv_key": "battery staple"}
V2C_LIST: dict[str, Any] = {"destination_port": 162, "community_string": "public"}
V3 = HOST | SEALED | {"version": 3}
INFORM = V2C | {"notify": "inform"}

KNOWN = (
    "destination_address", "destination_port", "community_string", "version", "notify", "layout",
    "timeout", "retries", "user", "auth_protocol", "auth_key", "priv_protocol", "priv_key",
    "context_name", "engine_id",
)  # fmt: skip
SECRET = ("community_string", "auth_key", "priv_key")
QUOTED = "write it in quotes, or take it from a !file, which always gives text"


def targets_of(inputs: dict[str, Any], timeout_s: float = 60.0) -> tuple[Target, ...]:
    """The destinations of inputs that are without fault."""
    targets, faults = read_targets(inputs, timeout_s)
    assert faults == ()
    return targets


def faults_of(inputs: dict[str, Any], timeout_s: float = 60.0) -> list[tuple[str | None, str]]:
    """The place and the reason of everything that is wrong; each of it is certain."""
    faults = read_targets(inputs, timeout_s)[1]
    assert all(fault.is_certain for fault in faults)
    return [(fault.input, fault.reason) for fault in faults]


def at(host: str, port: int = 162, **more: Any) -> Target:
    """A destination with these settings, and the defaults for all others."""
    return Target(name=address_name(host, port), host=host, port=port, **more)


def without(inputs: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name not in names}


# What is right


def test_a_destination_has_what_the_inputs_say_and_defaults_for_the_rest() -> None:
    more = {"layout": "mib", "context_name": "blue", "engine_id": "0x8000cc5805aabb"}
    user = User("ops", "SHA-256", "correct horse", "AES", "battery staple")
    for inputs, target in (
        (V2C, at("10.0.0.1", community=b"public")),
        (INFORM, at("10.0.0.1", community=b"public", is_inform=True, timeout_s=1.0, retries=5)),
        (HOST | {"version": 3, "user": "ops"}, at("10.0.0.1", version="3", user=User("ops"))),
        (HOST | SIGNED | {"version": 3}, at("10.0.0.1", version="3", user=User(*user[:3]))),
        (
            V3 | more,
            at(
                "10.0.0.1", version="3", user=user, layout="mib", context_name="blue",
                engine_id=bytes.fromhex("8000cc5805aabb"),
            ),
        ),
    ):  # fmt: skip
        assert targets_of(inputs) == (target,)


@pytest.mark.parametrize(
    ("base", "name", "value", "field", "expected"),
    [
        (V2C, "destination_address", "x" * MAX_ADDRESS, "host", "x" * MAX_ADDRESS),
        (V2C, "destination_address", "::1", "host", "::1"),
        (V2C, "destination_port", 1, "port", 1),
        (V2C, "destination_port", "65535", "port", 65535),
        (V2C, "community_string", "", "community", b""),
        (V2C, "community_string", "caf\udce9", "community", b"caf\xe9"),
        (V3, "version", "3", "version", "3"),
        (V2C, "notify", "trap", "is_inform", False),
        (V2C, "layout", "conductor", "layout", "conductor"),
        (INFORM, "timeout", 0.01, "timeout_s", 0.01),
        (INFORM, "timeout", 3600, "timeout_s", 3600.0),
        (INFORM, "retries", 0, "retries", 0),
        (INFORM, "retries", 100, "retries", 100),
        (V3, "user", "n" * 32, "user", User("n" * 32, *list(SEALED.values())[1:])),
        (V3, "auth_key", "pässwört", "user", User(*(SEALED | {"auth_key": "pässwört"}).values())),
        (V3, "context_name", "é" * 16, "context_name", "é" * 16),
        (V3, "engine_id", "AB" * 32, "engine_id", b"\xab" * 32),
        (V3, "engine_id", "0x80 00 cc 58 05", "engine_id", bytes.fromhex("8000cc5805")),
    ],
)
def test_a_right_value_is_taken(
    base: dict[str, Any], name: str, value: Any, field: str, expected: object
) -> None:
    [target] = targets_of(base | {name: value}, timeout_s=400_000)
    assert getattr(target, field) == expected


def test_destinations_are_addresses_or_mappings_that_override_the_inputs_they_can_have() -> None:
    inputs = SEALED | {
        "destination_port": 162,
        "community_string": "public",
        "timeout": 2,
        "retries": 1,
        "engine_id": "0x8000cc5805",
        "layout": "mib",
        "destinations": [
            "old",
            {"destination_address": "old", "destination_port": 1162, "community_string": "other"},
            {"destination_address": "old-inform", "notify": "inform", "layout": "conductor"},
            {"destination_address": "new", "version": 3},
            {"destination_address": "new-inform", "version": 3, "notify": "inform", "user": "night"},
        ],
    }
    user = User(*SEALED.values())
    waits: dict[str, Any] = {"is_inform": True, "timeout_s": 2.0, "retries": 1}
    assert targets_of(inputs) == (
        at("old", community=b"public", layout="mib"),
        at("old", 1162, community=b"other", layout="mib"),
        at("old-inform", community=b"public", **waits),
        at("new", version="3", user=user, engine_id=bytes.fromhex("8000cc5805"), layout="mib"),
        at("new-inform", version="3", user=user._replace(name="night"), layout="mib", **waits),
    )


# What is wrong


@pytest.mark.parametrize(
    ("base", "name", "wanted", "values"),
    [
        (V2C, "destination_address", "a name or an address, without a port, brackets or spaces",
         ("", 5, None, ["a"], "a\0b", "caf\udce9", "x" * (MAX_ADDRESS + 1), "10.0.0.1:1162",
          "nms.example.com:162", "[::1]:162", "[::1]", " 10.0.0.1", "nms 1", "10.0.0.1\n")),
        (V2C, "destination_port", "from 1 to 65535",
         (0, 65536, -1, "", "+1", "http", "1" * 6, "１６２", 162.0, True, None, [1])),
        (V2C, "version", "2c or 3", ("v3", "2", 1, 2, "", None, True, ["3"])),
        (V2C, "notify", "trap or inform", ("informs", "Trap", 1, None, True)),
        (V2C, "layout", "conductor or mib", ("MIB", "", 0, None)),
        (INFORM, "timeout", "seconds, from 0.01 to 3600",
         (0, 0.009, 3600.1, "1", None, True, float("nan"), float("inf"))),
        (INFORM, "retries", "from 0 to 100", (-1, 101, 1.0, "5", None, True)),
        (V3, "user", "a text of 1 to 32 bytes", ("", "é" * 17, "caf\udce9", 5, None)),
        (V3, "context_name", "a text of 1 to 32 bytes", ("", "n" * 33, 5, None)),
        (V3, "auth_protocol", "one of MD5, SHA, SHA-224, ", ("sha", "SHA256", 256, None, "")),
        (V3, "priv_protocol", "one of DES, AES, AES-192, AES-256", ("aes", "AES-128", None)),
        (V3, "engine_id", "5 to 32 bytes in hexadecimal, in quotes",
         ("", "0x", "80001f", "ab" * 33, "80001f888", "hello", 0x8000CC5805, None)),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_it_may_be_and_what_was_found(
    base: dict[str, Any], name: str, wanted: str, values: tuple[Any, ...]
) -> None:
    for value in values:
        [(place, reason)] = faults_of(base | {name: value})
        assert place == name
        assert reason.startswith(f"{name!r} must be {wanted}")
        found = "a list" if isinstance(value, list) else f"{value!r:.60}"
        assert reason.endswith(f", found {found}")


@pytest.mark.parametrize("name", SECRET)
@pytest.mark.parametrize("value", [4711, None, ["hush-hush"], {"hush-hush": 1}, b"hush-hush", True])
def test_a_wrong_secret_is_named_and_never_shown(name: str, value: Any) -> None:
    [(place, reason)] = faults_of((V2C if name == "community_string" else V3) | {name: value})
    assert place == name
    assert reason.startswith(f"{name!r} must be a text")
    assert not any(word in reason for word in ("found", "hush", "4711"))


@pytest.mark.parametrize("name", ["auth_key", "priv_key"])
@pytest.mark.parametrize("value", ["hush-hu", "hush" * MAX_KEY])
def test_a_pass_phrase_has_eight_characters_or_more(name: str, value: str) -> None:
    [(place, reason)] = faults_of(V3 | {name: value})
    assert (place, reason) == (name, f"{name!r} must be a text of 8 characters or more; {QUOTED}")


ONLY_3 = "has no meaning here: only version 3 has it; add 'version: 3'"
ONLY_INFORM = "has no meaning here: only an inform is waited for; add 'notify: inform'"
UNAUTHENTICATED = "needs 'auth_protocol': nothing is encrypted unauthenticated"


@pytest.mark.parametrize(
    ("inputs", "faults"),
    [
        (without(V2C, "destination_port"), {"": "the input 'destination_port' is missing; add it"}),
        (HOST, {"": "the input 'community_string' is missing; add it"}),
        (HOST | {"version": 3}, {"": "the input 'user' is missing; add it"}),
        (
            V2C | {"port": 1, "comunity_string": "x", "destination": []},
            {
                "port": "unknown input 'port'; did you mean 'destination_port'?",
                "comunity_string": "unknown input 'comunity_string'; did you mean 'community_string'?",
                "destination": "unknown input 'destination'; did you mean 'destinations'?",
            },
        ),
        *[(V2C | {name: value}, {name: ONLY_3}) for name, value in SEALED.items()],
        (V2C | {"context_name": "blue"}, {"context_name": ONLY_3}),
        (V2C | {"engine_id": "0x8000cc5805"}, {"engine_id": ONLY_3}),
        (V2C | {"timeout": 1, "retries": 2}, {"timeout": ONLY_INFORM, "retries": ONLY_INFORM}),
        (V3 | {"timeout": 1}, {"timeout": ONLY_INFORM}),
        (
            V3 | {"community_string": "hush-hush"},
            {
                "community_string": "has no meaning here: only version 2c has a community; a 'user' is"
                " version 3's"
            },
        ),
        (
            V3 | {"notify": "inform", "engine_id": "0x8000cc5805"},
            {
                "engine_id": "has no meaning here: only a trap goes out under it; an inform, the"
                " receiver's"
            },
        ),
        (without(V3, "priv_key"), {"priv_protocol": "needs 'priv_key'"}),
        (without(V3, "priv_protocol"), {"priv_key": "needs 'priv_protocol'"}),
        (without(V3, "auth_protocol", "auth_key"), {"priv_protocol": UNAUTHENTICATED}),
        (
            without(V3, "auth_protocol"),
            {"auth_key": "needs 'auth_protocol'", "priv_protocol": UNAUTHENTICATED},
        ),
        (
            V2C | {"destinations": [{}, "10.0.0.2"]},
            {"destination_address": "goes into the list of 'destinations'"},
        ),
    ],
)
def test_what_is_missing_unknown_or_does_not_fit_is_told_all_at_once(
    inputs: dict[str, Any], faults: dict[str, str]
) -> None:
    found = dict(faults_of(inputs))
    assert {
        place or "": reason.removeprefix(f"{place!r} ") for place, reason in found.items()
    } == faults


@pytest.mark.parametrize(
    ("own", "timeout_s", "fault"),
    [
        ({}, 6.0, None),
        ({}, 5.9, (None, "6 tries of 1 s", "5.9")),
        ({"timeout": 10}, 60.0, None),
        ({"timeout": 10.5}, 60.0, ("timeout", "6 tries of 10.5 s", "60")),
        ({"retries": 60}, 60.0, ("retries", "61 tries of 1 s", "60")),
        ({"timeout": 61, "retries": 0}, 60.0, ("timeout", "1 try of 61 s", "60")),
        ({"timeout": 1.1, "retries": 2}, 3.3, None),
        ({"notify": "trap"}, 0.001, None),
    ],
)
def test_all_tries_of_an_inform_fit_into_the_hooks_timeout(
    own: dict[str, Any], timeout_s: float, fault: tuple[str | None, str, str] | None
) -> None:
    expected = []
    if fault is not None:
        name, tries, most = fault
        reason = (
            f"an inform with {tries} can take longer than the hook's 'timeout' of {most} s; raise that,"
            " or lower the input 'timeout' or 'retries'"
        )
        expected = [(name, reason)]
    assert faults_of(INFORM | own, timeout_s) == expected


@pytest.mark.parametrize(
    ("inputs", "wrong"),
    [
        (V3 | {"version": "v3"}, ["version"]),
        (HOST | {"version": "2"}, ["version"]),
        (INFORM | {"notify": "informs", "timeout": 1}, ["notify"]),
        (INFORM | {"timeout": 0, "retries": 1.5}, ["timeout", "retries"]),
    ],
)
def test_one_wrong_word_does_not_make_everything_else_wrong(
    inputs: dict[str, Any], wrong: list[str]
) -> None:
    assert [place for place, _ in faults_of(inputs)] == wrong


@pytest.mark.parametrize(
    ("found", "described"),
    [
        (None, "None"),
        ("10.0.0.1", "'10.0.0.1'"),
        ({}, "an empty mapping"),
        ({"destination_address": "a"}, "a mapping"),
        ([], "an empty list"),
    ],
)
def test_destinations_that_are_no_list_are_refused(found: Any, described: str) -> None:
    reason = (
        "'destinations' must be a list of addresses, or of mappings with a 'destination_address' each,"
        f" found {described}"
    )
    assert faults_of(V2C | {"destinations": found}) == [("destinations", reason)]


@pytest.mark.parametrize(
    ("item", "place", "reason"),
    [
        (5, "", "destination 2 must be an address, or a mapping of inputs"),
        ([{}], "", "destination 2 must be an address, or a mapping of inputs"),
        ({}, "", "destination 2: the input 'destination_address' is missing; add it"),
        ("a", "", "the destination a:162 stands here twice"),
        ({"destination_address": "a", "notify": "inform"}, "", "the destination a:162 stands here"),
        ({"destination_address": "b", "key": 1}, ".key", "destination 2: unknown input 'key'; did"),
        ({"destination_address": "b", True: 1}, ".True", "destination 2: unknown input 'True'; known"),
        ({"destination_address": ""}, ".destination_address", "destination 2: 'destination_address' m"),
        ({"destination_address": "b", "user": "ops"}, ".user", f"destination 2: 'user' {ONLY_3}"),
        ({"destination_address": "b", "timeout": 1}, ".timeout", "destination 2: 'timeout' has no"),
        (
            {"destination_address": "b", "notify": "inform", "timeout": 61, "retries": 0},
            ".timeout",
            "destination 2: an inform with 1 try of 61 s can take longer than",
        ),
        (
            {"destination_address": "b", "version": 3, **SEALED, "priv_key": "hush-hu"},
            ".priv_key",
            "destination 2: 'priv_key' must be a text of 8 characters or more",
        ),
    ],
)
def test_what_is_wrong_with_a_destination_is_told_by_its_number(
    item: Any, place: str, reason: str
) -> None:
    [(found, text)] = faults_of(V2C_LIST | {"destinations": ["a", item]})
    assert found == f"destinations.1{place}"
    assert text.startswith(reason)
    assert "hush" not in text


def test_a_wrong_default_is_told_once_and_a_wrong_override_by_its_number() -> None:
    inputs = {
        "destination_port": 0,
        "community_string": ["hush-hush"],
        "timeout": "soon",
        "destinations": ["a", {"destination_address": "b", "destination_port": "http"}, "c"],
    }
    assert faults_of(inputs) == [
        ("destination_port", "'destination_port' must be from 1 to 65535, found 0"),
        ("community_string", f"'community_string' must be a text; {QUOTED}"),
        ("timeout", "'timeout' must be seconds, from 0.01 to 3600, found 'soon'"),
        ("destinations.1.destination_port",
         "destination 2: 'destination_port' must be from 1 to 65535, found 'http'"),
    ]  # fmt: skip


# Anything at all


def test_an_unknown_input_is_shown_shortened() -> None:
    for inputs in (V2C, V2C_LIST | {"destinations": ["a", {"x" * 5000: 1}]}):
        assert all(len(reason) < 500 for _, reason in faults_of(inputs | {"x" * 5000: 1}))


def test_a_secret_that_was_indented_too_far_is_not_shown() -> None:
    inputs = V2C | {"destination_address": {"host": "a", "community_string": "hush-hush"}}
    assert "hush" not in repr(faults_of(inputs))


NAMES = st.sampled_from([*KNOWN, "destinations", "port", ""])
ITEM_NAMES = NAMES | st.none() | st.integers() | st.text(max_size=5)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
    | st.sampled_from(["2c", "3", 3, "trap", "inform", "mib", "SHA", "AES", "0x8000cc5805", "10.0.0.1"])
)  # fmt: skip
HUSH = "hush-hush-"
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=4)


def marked(item: Any) -> Any:
    """The item with a text that is known again for each secret that is one."""
    if not isinstance(item, dict):
        return item
    return {
        name: HUSH + value if name in SECRET and isinstance(value, str) else value
        for name, value in item.items()
    }


ITEMS = st.one_of(VALUES, st.dictionaries(ITEM_NAMES, VALUES, max_size=8).map(marked))
INPUTS = st.builds(
    lambda base, more, destinations: marked({**base, **more, **destinations}),
    st.sampled_from([{}, V2C, V3, INFORM, V2C_LIST, V3 | {"notify": "inform"}]),
    st.dictionaries(NAMES, VALUES, max_size=6),
    st.just({}) | st.fixed_dictionaries({"destinations": VALUES | st.lists(ITEMS, max_size=4)}),
)


@settings(deadline=None, max_examples=500)
@given(INPUTS, st.floats(0.001, 86_400))
@example({}, 60.0)
@example({"destinations": [{}]}, 60.0)
@example(V2C_LIST | {"destinations": ["\n", "\n"]}, 60.0)
@example({"destinations": [{"auth_key": "hush-hush-", "version": 3}]}, 60.0)
@example(V3 | {"community_string": "hush-hush-"}, 60.0)
def test_whatever_stands_there_becomes_targets_or_faults_that_show_no_secret(
    inputs: dict[str, Any], timeout_s: float
) -> None:
    targets, faults = read_targets(inputs, timeout_s)
    assert targets or faults
    assert len({(target.host, target.port) for target in targets}) == len(targets) or faults
    assert len(set(faults)) == len(faults)
    assert all(fault.reason and "\n" not in fault.reason for fault in faults)
    assert HUSH not in repr(faults)
