"""The inputs of a trap hook: which destinations they name, and what is said of wrong ones."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from listener.actions.snmp_trap.inputs import read_targets, read_users
from listener.actions.snmp_trap.values import INPUTS
from listener.snmp.target import AUTH_PROTOCOLS, PRIV_PROTOCOLS, Target, User, address_name

HOST = {"destination_address": "10.0.0.1", "destination_port": 162}
V2C = HOST | {"community_string": "public"}
V2C_LIST = {"destination_port": 162, "community_string": "public"}
SIGNED = {"user": "ops", "auth_protocol": "SHA-256", "auth_key": "correct horse"}
SEALED = SIGNED | {"priv_protocol": "AES", "priv_key": "battery staple"}
V3 = HOST | SEALED | {"version": 3}
INFORM = V2C | {"notify": "inform"}
BASE_OF = {
    "timeout": INFORM, "retries": INFORM, "user": V3, "context_name": V3, "engine_id": V3,
    "auth_protocol": V3, "auth_key": V3, "priv_protocol": V3, "priv_key": V3,
}  # fmt: skip
SECRET = ("community_string", "auth_key", "priv_key")
ADDRESS = "a name or an address, without a port, brackets or spaces"
NO_ZONE = "needs a zone, the interface of the link, as in fe80::1%eth0"
ONLY_3 = "has no meaning here: only version 3 has it; add 'version: 3'"
TOO_LONG = (
    "an inform with {} can take longer than the hook's 'timeout' of {} s; raise that, or lower the"
    " input 'timeout' or 'retries'"
)
ONLY_INFORM = "has no meaning here: only an inform has it; add 'notify: inform'"


def targets_of(inputs: dict[str, Any], timeout_s: float = 60.0) -> tuple[Target, ...]:
    """The destinations of inputs that are without fault."""
    targets, faults = read_targets(inputs, timeout_s)
    assert faults == ()
    return targets


def faults_of(inputs: dict[str, Any], timeout_s: float = 60.0) -> list[tuple[str | None, str]]:
    """The place and the reason of everything that is wrong; each of it is certain."""
    targets, faults = read_targets(inputs, timeout_s)
    assert not (targets and faults)
    assert all(fault.is_certain for fault in faults)
    return [(fault.input, fault.reason) for fault in faults]


def listed(*items: Any) -> dict[str, Any]:
    """Inputs with these destinations, and what they need besides an address."""
    return V2C_LIST | {"destinations": list(items)}


def at(host: str, port: int = 162, **more: Any) -> Target:
    """A destination with these settings, and the defaults for all others."""
    return Target(name=address_name(host, port), host=host, port=port, **more)


def without(inputs: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name not in names}


# One destination


def test_the_documents_inputs_are_a_trap_of_version_2c() -> None:
    assert targets_of(V2C) == (at("10.0.0.1", community=b"public"),)


@pytest.mark.parametrize("auth", AUTH_PROTOCOLS)
@pytest.mark.parametrize("priv", PRIV_PROTOCOLS)
def test_every_protocol_goes_with_every_other(auth: str, priv: str) -> None:
    [target] = targets_of(V3 | {"auth_protocol": auth, "priv_protocol": priv})
    assert (target.user.auth_protocol, target.user.priv_protocol) == (auth, priv)


def test_an_inform_is_tried_six_times_a_second_each_unless_it_says_more() -> None:
    [target] = targets_of(INFORM)
    assert (target.is_inform, target.timeout_s, target.retries) == (True, 1.0, 5)


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("destination_address", "::1", "host", "::1"),
        ("destination_address", "fe80::1%eth0", "host", "fe80::1%eth0"),
        ("source_address", "10.0.0.2", "source", "10.0.0.2"),
        ("destination_port", "00162", "port", 162),
        ("community_string", "", "community", b""),
        ("community_string", "caf\udce9", "community", b"caf\xe9"),
        ("version", "2c", "version", "2c"),
        ("notify", "trap", "is_inform", False),
        ("layout", "mib", "layout", "mib"),
        ("timeout", 3600, "timeout_s", 3600.0),
        ("retries", 0, "retries", 0),
        ("retries", 100, "retries", 100),
        ("user", "n" * 32, "user", User("n" * 32, *list(SEALED.values())[1:])),
        ("auth_key", "x" * 8, "user", User("ops", "SHA-256", "x" * 8, "AES", "battery staple")),
        ("context_name", "é" * 16, "context_name", "é" * 16),
        ("engine_id", "0" * 8 + "01", "engine_id", b"\0\0\0\0\1"),
        ("engine_id", "0x80 00 cc 58 05", "engine_id", bytes.fromhex("8000cc5805")),
        ("engine_id", "AB" * 32, "engine_id", b"\xab" * 32),
    ],
)
def test_a_right_value_is_taken(name: str, value: Any, field: str, expected: object) -> None:
    [target] = targets_of(BASE_OF.get(name, V2C) | {name: value}, timeout_s=1_000_000)
    assert getattr(target, field) == expected


@pytest.mark.parametrize("version", [3, "3"])
def test_version_3_may_be_a_text_or_a_number_and_a_user_do_without_keys(version: Any) -> None:
    for keys, user in (({"user": "ops"}, User("ops")), (SIGNED, User(*SIGNED.values()))):
        [target] = targets_of(HOST | {"version": version} | keys)
        assert target == at("10.0.0.1", version="3", user=user)


@pytest.mark.parametrize(
    ("name", "wrong", "wanted"),
    [
        (
            "destination_address",
            ["", 5, None, ["a"], "a\0b", "10.0.0.1:1162", "[::1]:162", "nms.example.com:162", "[::1]",
             " 10.0.0.1", "10.0.0.1 ", "nms 1", "\n", "10.0.0.1\r", "nms\t1", "nms\u20281", "nms\xa01"],
            ADDRESS,
        ),
        ("destination_port", [0, "http", None], "a port from 1 to 65535"),
        (
            "source_address",
            ["", 5, None, "nms1", "162", "10.0.0.1:162", "0.0.0.0", "224.0.0.1", "::", "fe80::1%\0"],
            "one address of this host, not a name",
        ),
        ("version", ["v3", "2", 1, 3.0, True, None, ["3"]], "2c or 3"),
        ("notify", ["informs", None], "trap or inform"),
        ("layout", ["MIB", 0], "conductor or mib"),
        ("timeout", [0, 3600.1, "1 s"], "a number of seconds from 0.01 to 3600"),
        ("retries", [-1, 101, 1.0], "a whole number from 0 to 100"),
        ("user", ["", "é" * 17, "caf\udce9"], "a text of 1 to 32 bytes"),
        ("context_name", ["", "n" * 33], "a text of 1 to 32 bytes"),
        ("auth_protocol", ["sha", "SHA256"], f"one of {', '.join(AUTH_PROTOCOLS)}"),
        ("priv_protocol", ["aes", "AES-128"], f"one of {', '.join(PRIV_PROTOCOLS)}"),
        (
            "engine_id",
            ["", "0x", "80001f", "00" * 5, "ff" * 5, "ab" * 33, "80001f888", "hello", 0x8000CC5805],
            "5 to 32 bytes in hexadecimal, in quotes",
        ),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_it_may_be_and_what_was_found(
    name: str, wrong: list[Any], wanted: str
) -> None:
    for value in wrong:
        [(place, reason)] = faults_of(BASE_OF.get(name, V2C) | {name: value})
        assert place == name
        assert reason.startswith(f"{name!r} must be {wanted}, found ")
        assert reason.isprintable()


@pytest.mark.parametrize("name", SECRET)
@pytest.mark.parametrize("value", [4711, None, ["hush-hush"], {"hush-hush": 1}])
def test_a_wrong_secret_is_named_and_never_shown(name: str, value: Any) -> None:
    wanted = "a text" if name == "community_string" else "a text of 8 characters or more"
    remedy = "write it in quotes, or take it from a !file, which always gives text"
    reason = f"{name!r} must be {wanted}; {remedy}"
    assert faults_of(BASE_OF.get(name, V2C) | {name: value}) == [(name, reason)]


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (V2C, "destination_address"),
        (V3, "destination_port"),
        (V2C, "community_string"),
        (HOST | {"version": 3, "user": "ops"}, "user"),
    ],
)
def test_what_is_missing_is_named(base: dict[str, Any], name: str) -> None:
    assert faults_of(without(base, name)) == [(None, f"the input {name!r} is missing; add it")]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("port", "did you mean 'destination_port'?"),
        ("comunity_string", "did you mean 'community_string'?"),
        ("destination", "did you mean 'destinations'?"),
        ("x", f"known are: {', '.join((*INPUTS, 'destinations'))}"),
    ],
)
def test_an_unknown_input_is_named_with_the_nearest_right_one(name: str, hint: str) -> None:
    reason = f"unknown input {name!r}; {hint}"
    assert faults_of(V2C | {name: 1}) == [(name, reason)]
    assert faults_of(listed("a", {"destination_address": "b", name: 1})) == [
        (f"destinations.1.{name}", f"destination 2: {reason}")
    ]


def test_an_unknown_input_is_shown_shortened() -> None:
    [(_, reason)] = faults_of(V2C | {"x" * 5000: 1})
    assert len(reason) < 500


# What does not belong together


@pytest.mark.parametrize(
    ("inputs", "faults"),
    [
        *[(V2C | {name: value}, {name: ONLY_3}) for name, value in SEALED.items()],
        (V2C | {"context_name": "blue"}, {"context_name": ONLY_3}),
        (V2C | {"source_address": "::1"},
         {"source_address": "and 10.0.0.1 must both be IPv4, or both IPv6"}),
        (V2C | {"destination_address": "fe80::1", "source_address": "fe80::2"},
         {"destination_address": NO_ZONE, "source_address": NO_ZONE}),
        (V2C | {"engine_id": "0x8000cc5805"}, {"engine_id": ONLY_3}),
        (
            V3 | {"community_string": "hush-hush"},
            {"community_string": "has no meaning here: only version 2c has it; version 3 has a 'user'"},
        ),
        (V2C | {"timeout": 1, "retries": 2}, {"timeout": ONLY_INFORM, "retries": ONLY_INFORM}),
        (V3 | {"timeout": 1}, {"timeout": ONLY_INFORM}),
        (
            V3 | {"notify": "inform", "engine_id": "0x8000cc5805"},
            {"engine_id": "has no meaning here: only a trap has it; an inform uses the receiver's"},
        ),
        (without(V3, "auth_key", "priv_protocol", "priv_key"), {"auth_protocol": "needs 'auth_key'"}),
        (without(V3, "auth_protocol", "priv_protocol", "priv_key"),
         {"auth_key": "needs 'auth_protocol'"}),
        (without(V3, "priv_key"), {"priv_protocol": "needs 'priv_key'"}),
        (without(V3, "priv_protocol"), {"priv_key": "needs 'priv_protocol'"}),
        (without(V3, "auth_protocol", "auth_key"),
         {"priv_protocol": "needs 'auth_protocol': version 3 encrypts only what it authenticates"}),
    ],
)  # fmt: skip
def test_inputs_that_do_not_belong_together_are_told(
    inputs: dict[str, Any], faults: dict[str, str]
) -> None:
    assert faults_of(inputs) == [(name, f"{name!r} {reason}") for name, reason in faults.items()]


@pytest.mark.parametrize(
    ("own", "timeout_s", "fault"),
    [
        ({}, 6.0, None),
        ({}, 5.9, (None, "6 tries of 1 s", "5.9")),
        ({"timeout": 10}, 60.0, None),
        ({"timeout": 10.5}, 60.0, ("timeout", "6 tries of 10.5 s", "60")),
        ({"timeout": 61, "retries": 0}, 60.0, ("timeout", "1 try of 61 s", "60")),
        ({"retries": 59}, 60.0, None),
        ({"retries": 60}, 60.0, ("retries", "61 tries of 1 s", "60")),
        ({"timeout": 1.1, "retries": 2}, 3.3, None),  # in floats, three times 1.1 is more than 3.3
    ],
)
def test_all_tries_of_an_inform_fit_into_the_hooks_timeout(
    own: dict[str, Any], timeout_s: float, fault: tuple[str | None, str, str] | None
) -> None:
    assert targets_of(V2C, 0.001)  # a trap waits for nothing
    faults = faults_of(INFORM | own, timeout_s)
    if fault is None:
        assert faults == []
    else:
        name, tries, most = fault
        assert faults == [(name, TOO_LONG.format(tries, most))]


@pytest.mark.parametrize(
    ("inputs", "wrong"),
    [
        (V3 | {"version": "v3"}, ["version"]),
        (without(V2C, "community_string") | {"version": "2"}, ["version"]),
        (INFORM | {"notify": "informs", "timeout": 1}, ["notify"]),
        (INFORM | {"timeout": "soon"}, ["timeout"]),
        (INFORM | {"timeout": 3600, "retries": 1.5}, ["retries"]),
        (without(V2C, "destination_address") | {"destination_port": 0}, ["destination_port", None]),
    ],
)
def test_one_wrong_word_does_not_make_everything_else_wrong(
    inputs: dict[str, Any], wrong: list[str | None]
) -> None:
    assert [place for place, _ in faults_of(inputs)] == wrong


# Several destinations


def test_destinations_are_addresses_or_mappings_and_take_the_defaults_that_they_have() -> None:
    inputs = SEALED | listed(
        "old",
        {"destination_address": "old-inform", "notify": "inform"},
        {"destination_address": "new", "version": 3},
        {"destination_address": "new-inform", "version": 3, "notify": "inform", "user": "night"},
        {"destination_address": "own", "destination_port": 1, "community_string": "c", "layout": "mib"},
        {"destination_address": "::1", "source_address": "2001:db8::1"},
    )
    inputs |= {"timeout": 2, "retries": 1, "engine_id": "0x8000cc5805", "source_address": "10.0.0.2"}
    user = User(*SEALED.values())
    waits: dict[str, Any] = {"is_inform": True, "timeout_s": 2.0, "retries": 1}
    assert targets_of(inputs) == (
        at("old", community=b"public", source="10.0.0.2"),
        at("old-inform", community=b"public", source="10.0.0.2", **waits),
        at("new", version="3", user=user, engine_id=bytes.fromhex("8000cc5805"), source="10.0.0.2"),
        at("new-inform", version="3", user=user._replace(name="night"), source="10.0.0.2", **waits),
        at("own", 1, community=b"c", layout="mib", source="10.0.0.2"),
        at("::1", community=b"public", source="2001:db8::1"),
    )
    families = [target.lookup.family for target in targets_of(inputs)]
    assert families == [*[socket.AF_INET] * 5, socket.AF_INET6]


@pytest.mark.parametrize(
    ("found", "words"),
    [(None, "nothing"), ("a", "the text 'a'"), ({0: 1}, "a mapping"), ([], "an empty list")]
)  # fmt: skip
def test_destinations_that_are_no_list_are_refused(found: Any, words: str) -> None:
    shape = "a list of addresses, or of mappings with a 'destination_address' each"
    reason = f"'destinations' must be {shape}, found {words}"
    assert faults_of(V2C | {"destinations": found}) == [("destinations", reason)]


def test_the_hooks_own_address_goes_into_the_list() -> None:
    reason = "'destination_address' must stand in the list 'destinations'"
    assert faults_of(V2C | {"destinations": [{}, "10.0.0.2"]}) == [("destination_address", reason)]


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (5, ("destination_address", f"'destination_address' must be {ADDRESS}, found 5")),
        ("b:162", ("destination_address",
                   f"'destination_address' must be {ADDRESS}, found the text 'b:162'")),
        ({}, (None, "the input 'destination_address' is missing; add it")),
        ({"destination_address": "a", "destination_port": "162"}, (None, "a:162 is listed twice")),
        ({"destination_address": "b", "destination_port": 0},
         ("destination_port", "'destination_port' must be a port from 1 to 65535, found 0")),
        ({"destination_address": "b", "user": "ops"}, ("user", f"'user' {ONLY_3}")),
        ({"destination_address": "b", "version": 3}, (None, "the input 'user' is missing; add it")),
        (without(SIGNED, "auth_key") | {"destination_address": "b", "version": 3},
         ("auth_protocol", "'auth_protocol' needs 'auth_key'")),
        ({"destination_address": "b", "notify": "inform", "retries": 60},
         ("retries", TOO_LONG.format("61 tries of 1 s", "60"))),
        ({"destination_address": "b", 5: 1},
         ("5", f"unknown input 5; known are: {', '.join((*INPUTS, 'destinations'))}")),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_destination_is_told_by_its_number(
    item: Any, fault: tuple[str | None, str]
) -> None:
    name, reason = fault
    place = f"destinations.1.{name}" if name else "destinations.1"
    assert faults_of(listed("a", item)) == [(place, f"destination 2: {reason}")]


@pytest.mark.parametrize(
    ("default", "item", "name"),
    [
        ({"destination_port": 0}, "a", "destination_port"),
        ({"community_string": ["hush"]}, {"destination_address": "a", "version": 3, "user": "ops"},
         "community_string"),
        ({"timeout": "soon"}, "a", "timeout"),
        ({"auth_key": "correct horse"}, {"destination_address": "a", "version": 3, "user": "ops"},
         "auth_key"),
    ],
)  # fmt: skip
def test_a_wrong_default_is_told_once_whether_it_is_used_or_not(
    default: dict[str, Any], item: Any, name: str
) -> None:
    again = item | {"destination_address": "b"} if isinstance(item, dict) else "b"
    assert [place for place, _ in faults_of(listed(item, again) | default)] == [name]


# Anything at all


NAMES = st.sampled_from([*INPUTS, "destinations", "port", ""])
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
GIVEN = st.builds(
    lambda base, more, destinations: marked({**base, **more, **destinations}),
    st.sampled_from([{}, V2C, V3, INFORM, V2C_LIST, V3 | {"notify": "inform"}]),
    st.dictionaries(NAMES, VALUES, max_size=6),
    st.just({}) | st.fixed_dictionaries({"destinations": VALUES | st.lists(ITEMS, max_size=4)}),
)


@settings(max_examples=200)
@given(GIVEN, st.floats(0.001, 86_400))
@example({}, 60.0)
@example({"destinations": [{}]}, 60.0)
@example({"destinations": [{"auth_key": "hush-hush-", "version": 3}]}, 60.0)
@example(V3 | {"community_string": "hush-hush-"}, 60.0)
def test_whatever_stands_there_becomes_targets_or_faults_that_show_no_secret(
    inputs: dict[str, Any], timeout_s: float
) -> None:
    """Nothing but what the file says is in a Target: read again from JSON, it is the same."""
    targets, faults = read_targets(inputs, timeout_s)
    assert bool(targets) != bool(faults)
    assert len({(target.host, target.port) for target in targets}) == len(targets)
    assert len(set(faults)) == len(faults)
    assert all(fault.reason and "\n" not in fault.reason for fault in faults)
    assert HUSH not in repr(faults)
    if not faults:
        assert read_targets(json.loads(json.dumps(inputs)), timeout_s)[0] == targets


@pytest.mark.parametrize(
    ("inputs", "users"),
    [
        (V2C, []),
        (V3, ["ops"]),
        ({name: value for name, value in V3.items() if name != "destination_address"}, ["ops"]),
        (V3 | {"auth_protocol": "SHA-1000"}, []),
        (V3 | {"priv_key": 7}, []),
    ],
)
def test_the_user_of_version_3_is_known_whatever_else_is_wrong(
    inputs: dict[str, Any], users: list[str]
) -> None:
    assert [user.name for user in read_users(inputs)] == users
