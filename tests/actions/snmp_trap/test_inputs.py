"""The inputs of a trap hook: which destinations they name, and what is said of wrong ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from listener.actions import Fault
from listener.actions.snmp_trap.inputs import read_targets
from listener.actions.snmp_trap.values import MAX_ADDRESS, MAX_KEY
from listener.snmp.target import AUTH_PROTOCOLS, PRIV_PROTOCOLS, Target, User, shown

HOST = {"destination_address": "10.0.0.1", "destination_port": 162}
V2C = HOST | {"community_string": "public"}
SIGNED = {"user": "ops", "auth_protocol": "SHA-256", "auth_key": "correct horse"}
SEALED = SIGNED | {"priv_protocol": "AES", "priv_key": "battery staple"}
V3 = HOST | SEALED | {"version": 3}
INFORM = V2C | {"notify": "inform"}

KNOWN = (
    "destination_address", "destination_port", "community_string", "version", "notify", "layout",
    "timeout", "retries", "user", "auth_protocol", "auth_key", "priv_protocol", "priv_key",
    "context_name", "engine_id",
)  # fmt: skip
SECRET = ("community_string", "auth_key", "priv_key")
ONLY_3 = "has no meaning here: only version 3 has it; add 'version: 3'"
ONLY_INFORM = "has no meaning here: only an inform is waited for; add 'notify: inform'"


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
    return Target(name=shown(host, port), host=host, port=port, **more)


def without(inputs: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name not in names}


# One destination


def test_the_documents_inputs_are_a_trap_of_version_2c() -> None:
    assert targets_of(V2C) == (at("10.0.0.1", community=b"public"),)


def test_a_user_may_sign_and_encrypt_or_do_neither() -> None:
    for inputs, user in (
        ({"user": "ops"}, User("ops")),
        (SIGNED, User("ops", "SHA-256", "correct horse")),
        (SEALED, User("ops", "SHA-256", "correct horse", "AES", "battery staple")),
    ):
        assert targets_of(HOST | {"version": 3} | inputs) == (at("10.0.0.1", version="3", user=user),)


def test_every_input_of_version_3_is_in_the_target() -> None:
    inputs = V3 | {"layout": "mib", "context_name": "blue", "engine_id": "0x8000cc5805aabb"}
    [target] = targets_of(inputs)
    assert (target.layout, target.context_name) == ("mib", "blue")
    assert target.engine_id.hex() == "8000cc5805aabb"


def test_an_inform_is_tried_six_times_a_second_each_unless_it_says_more() -> None:
    [target] = targets_of(INFORM)
    assert (target.is_inform, target.timeout_s, target.retries) == (True, 1.0, 5)
    [target] = targets_of(INFORM | {"timeout": 2, "retries": 0})
    assert (target.timeout_s, target.retries) == (2.0, 0)


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("destination_address", "x" * MAX_ADDRESS, "host", "x" * MAX_ADDRESS),
        ("destination_address", "::1", "host", "::1"),
        ("destination_port", 1, "port", 1),
        ("destination_port", "65535", "port", 65535),
        ("destination_port", "00162", "port", 162),
        ("community_string", "", "community", b""),
        ("community_string", "caf\udce9", "community", b"caf\xe9"),
        ("version", 3, "version", "3"),
        ("version", "3", "version", "3"),
        ("notify", "trap", "is_inform", False),
        ("notify", "inform", "is_inform", True),
        ("layout", "conductor", "layout", "conductor"),
        ("layout", "mib", "layout", "mib"),
        ("timeout", 0.01, "timeout_s", 0.01),
        ("timeout", 3600, "timeout_s", 3600.0),
        ("retries", 0, "retries", 0),
        ("retries", 100, "retries", 100),
        ("user", "n" * 32, "user", User("n" * 32, *list(SEALED.values())[1:])),
        ("context_name", "é" * 16, "context_name", "é" * 16),
        ("engine_id", "0" * 8 + "01", "engine_id", b"\0\0\0\0\1"),
        ("engine_id", "AB" * 32, "engine_id", b"\xab" * 32),
        ("engine_id", "0x80 00 cc 58 05", "engine_id", bytes.fromhex("8000cc5805")),
    ],
)
def test_a_right_value_is_taken(name: str, value: Any, field: str, expected: object) -> None:
    base = V3 if name in ("user", "context_name", "engine_id", "version") else V2C
    if name in ("timeout", "retries"):
        base = INFORM
    [target] = targets_of(base | {name: value}, timeout_s=86_400)
    assert getattr(target, field) == expected


@pytest.mark.parametrize("auth", AUTH_PROTOCOLS)
@pytest.mark.parametrize("priv", PRIV_PROTOCOLS)
def test_every_protocol_goes_with_every_other(auth: str, priv: str) -> None:
    [target] = targets_of(V3 | {"auth_protocol": auth, "priv_protocol": priv})
    assert (target.user.auth_protocol, target.user.priv_protocol) == (auth, priv)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        *[
            ("destination_address", v, "a name or an address")
            for v in ("", 5, None, ["a"], "a\0b", "x" * (MAX_ADDRESS + 1))
        ],
        *[
            ("destination_port", v, "from 1 to 65535")
            for v in (0, 65536, -1, "", "+1", "1" * 6, "１６２", 162.0, True, None, [1])
        ],
        *[("version", v, "2c or 3") for v in ("v3", "2", 1, 2, "", None, True, ["3"])],
        *[("notify", v, "trap or inform") for v in ("informs", "Trap", 1, None, True)],
        *[("layout", v, "conductor or mib") for v in ("MIB", "", 0, None)],
        *[
            ("timeout", v, "seconds, from 0.01 to 3600")
            for v in (0, 0.009, 3600.1, -1, "1", None, True, float("nan"), float("inf"))
        ],
        *[("retries", v, "from 0 to 100") for v in (-1, 101, 1.0, "5", None, True)],
        *[("user", v, "a text of 1 to 32 bytes") for v in ("", "é" * 17, "a\0b", 5, None)],
        *[("context_name", v, "a text of 1 to 32 bytes") for v in ("", "n" * 33, 5, None)],
        *[("auth_protocol", v, "one of MD5, SHA, SHA-224, ") for v in ("sha", "SHA256", 256, None, "")],
        *[("priv_protocol", v, "one of DES, AES, AES-192, AES-256") for v in ("aes", "AES-128", None)],
        *[
            ("engine_id", v, "5 to 32 bytes in hexadecimal, in quotes")
            for v in ("", "0x", "80001f", "00" * 5, "ab" * 33, "80001f888", "hello", 0x8000CC5805, None)
        ],
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_it_may_be_and_what_was_found(
    name: str, value: Any, wanted: str
) -> None:
    base = INFORM if name in ("timeout", "retries") else V3
    if name in ("destination_address", "destination_port", "version", "notify", "layout"):
        base = V2C
    [(place, reason)] = faults_of(base | {name: value})
    assert place == name
    assert reason.startswith(f"{name!r} must be {wanted}")
    shown = "a list" if isinstance(value, list) else f"{value!r:.60}"
    assert reason.endswith(f", found {shown}")


@pytest.mark.parametrize("name", SECRET)
@pytest.mark.parametrize("value", [4711, None, ["hush-hush"], {"hush-hush": 1}, b"hush-hush", True])
def test_a_wrong_secret_is_named_and_never_shown(name: str, value: Any) -> None:
    [(place, reason)] = faults_of((V2C if name == "community_string" else V3) | {name: value})
    assert place == name
    assert reason.startswith(f"{name!r} must be a text")
    assert "found" not in reason
    assert "hush" not in reason
    assert "4711" not in reason


@pytest.mark.parametrize("name", ["auth_key", "priv_key"])
def test_a_pass_phrase_has_eight_characters_or_more(name: str) -> None:
    for right in ("x" * 8, "x" * MAX_KEY, "pässwört"):
        assert targets_of(V3 | {name: right})
    assert faults_of(V3 | {name: "x" * (MAX_KEY + 1)})
    [(place, reason)] = faults_of(V3 | {name: "hush-hu"})
    assert place == name
    assert reason.startswith(f"{name!r} must be a text of 8 characters or more")
    assert "hush" not in reason


@pytest.mark.parametrize("name", HOST)
def test_what_every_destination_has_to_have_is_missed(name: str) -> None:
    for inputs in (V2C, V3):
        assert faults_of(without(inputs, name)) == [(None, f"the input {name!r} is missing; add it")]


def test_each_version_misses_what_is_its_own() -> None:
    assert faults_of(HOST) == [(None, "the input 'community_string' is missing; add it")]
    assert faults_of(HOST | {"version": 3}) == [(None, "the input 'user' is missing; add it")]


def test_an_unknown_input_is_named_with_the_nearest_right_one() -> None:
    assert faults_of(V2C | {"port": 1, "comunity_string": "x", "destination": []}) == [
        ("port", "unknown input 'port'; did you mean 'destination_port'?"),
        ("comunity_string", "unknown input 'comunity_string'; did you mean 'community_string'?"),
        ("destination", "unknown input 'destination'; did you mean 'destinations'?"),
    ]


# What does not belong together


@pytest.mark.parametrize("name", [*SEALED, "context_name", "engine_id"])
def test_an_input_of_version_3_without_it_is_refused(name: str) -> None:
    value = (SEALED | {"context_name": "blue", "engine_id": "0x8000cc5805"})[name]
    assert faults_of(V2C | {name: value}) == [(name, f"{name!r} {ONLY_3}")]


def test_version_3_has_no_community() -> None:
    [(place, reason)] = faults_of(V3 | {"community_string": "hush-hush"})
    assert place == "community_string"
    assert reason == (
        "'community_string' has no meaning here: only version 2c has a community; a 'user' is version"
        " 3's"
    )


@pytest.mark.parametrize("base", [V2C, V3], ids=["2c", "3"])
def test_a_trap_waits_for_nothing(base: dict[str, Any]) -> None:
    assert faults_of(base | {"timeout": 1, "retries": 2}) == [
        ("timeout", f"'timeout' {ONLY_INFORM}"),
        ("retries", f"'retries' {ONLY_INFORM}"),
    ]


def test_an_inform_goes_out_under_the_receivers_engine_id() -> None:
    assert faults_of(V3 | {"notify": "inform", "engine_id": "0x8000cc5805"}) == [
        ("engine_id", "'engine_id' has no meaning here: only a trap goes out under it; an inform, the"
         " receiver's"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("left_out", "faults"),
    [
        (("auth_key", "priv_protocol", "priv_key"), {"auth_protocol": "needs 'auth_key'"}),
        (("auth_protocol", "priv_protocol", "priv_key"), {"auth_key": "needs 'auth_protocol'"}),
        (("priv_key",), {"priv_protocol": "needs 'priv_key'"}),
        (("priv_protocol",), {"priv_key": "needs 'priv_protocol'"}),
        (
            ("auth_protocol", "auth_key"),
            {"priv_protocol": "needs 'auth_protocol': nothing is encrypted unauthenticated"},
        ),
        (
            ("auth_protocol",),
            {
                "auth_key": "needs 'auth_protocol'",
                "priv_protocol": "needs 'auth_protocol': nothing is encrypted unauthenticated",
            },
        ),
    ],
)
def test_keys_and_protocols_need_each_other(left_out: tuple[str, ...], faults: dict[str, str]) -> None:
    assert faults_of(without(V3, *left_out)) == [
        (name, f"{name!r} {reason}") for name, reason in faults.items()
    ]


@pytest.mark.parametrize(
    ("own", "timeout_s", "fault"),
    [
        ({}, 6.0, None),
        ({}, 5.9, (None, "6 tries of 1 s", "5.9")),
        ({"timeout": 10}, 60.0, None),
        ({"timeout": 10.5}, 60.0, ("timeout", "6 tries of 10.5 s", "60")),
        ({"retries": 59}, 60.0, None),
        ({"retries": 60}, 60.0, ("retries", "61 tries of 1 s", "60")),
        ({"timeout": 30, "retries": 2}, 60.0, ("timeout", "3 tries of 30 s", "60")),
        ({"timeout": 3600, "retries": 23}, 86_400.0, None),
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


def test_a_destination_that_takes_too_long_is_told_by_its_number() -> None:
    item = {"destination_address": "b", "notify": "inform", "timeout": 61, "retries": 0}
    [(place, reason)] = faults_of(V2C_LIST | {"destinations": ["a", item]})
    assert place == "destinations.1.timeout"
    assert reason.startswith("destination 2: an inform with 1 try of 61 s can take longer than")


def test_a_trap_is_not_measured_by_the_hooks_timeout() -> None:
    assert targets_of(V2C, 0.001)


@pytest.mark.parametrize("own", [{"timeout": "soon"}, {"retries": -1}, {"timeout": 0, "retries": 1.5}])
def test_a_wrong_time_is_not_multiplied(own: dict[str, Any]) -> None:
    assert [place for place, _ in faults_of(INFORM | own)] == list(own)


def test_tries_that_fill_the_hooks_timeout_to_the_tenth_fit() -> None:
    assert faults_of(INFORM | {"timeout": 1.1, "retries": 2}, 3.3) == []


@pytest.mark.parametrize(
    ("inputs", "wrong"),
    [
        (V3 | {"version": "v3"}, "version"),
        (without(V2C, "community_string") | {"version": "2"}, "version"),
        (INFORM | {"notify": "informs", "timeout": 1}, "notify"),
    ],
)
def test_one_wrong_word_does_not_make_everything_else_wrong(inputs: dict[str, Any], wrong: str) -> None:
    assert [place for place, _ in faults_of(inputs)] == [wrong]


# Several destinations


def test_destinations_are_addresses_or_mappings_that_override_the_hooks_inputs() -> None:
    inputs = without(V2C, "destination_address") | {
        "layout": "mib",
        "destinations": [
            "10.0.0.1",
            {"destination_address": "10.0.0.2"},
            {"destination_address": "10.0.0.3", "destination_port": 1162, "community_string": "other"},
            {
                "destination_address": "10.0.0.4",
                "layout": "conductor",
                "notify": "inform",
                "retries": 0,
            },
        ],
    }
    assert targets_of(inputs) == (
        at("10.0.0.1", layout="mib", community=b"public"),
        at("10.0.0.2", layout="mib", community=b"public"),
        at("10.0.0.3", 1162, layout="mib", community=b"other"),
        at("10.0.0.4", is_inform=True, layout="conductor", community=b"public", retries=0),
    )


def test_versions_and_kinds_may_be_mixed_and_take_only_the_defaults_that_they_have() -> None:
    inputs = SEALED | {
        "destination_port": 162,
        "community_string": "public",
        "timeout": 2,
        "retries": 1,
        "engine_id": "0x8000cc5805",
        "destinations": [
            "old",
            {"destination_address": "old-inform", "notify": "inform"},
            {"destination_address": "new", "version": 3},
            {"destination_address": "new-inform", "version": 3, "notify": "inform", "user": "night"},
        ],
    }
    user = User(*SEALED.values())
    assert targets_of(inputs) == (
        at("old", community=b"public"),
        at("old-inform", is_inform=True, community=b"public", timeout_s=2.0, retries=1),
        at("new", version="3", user=user, engine_id=bytes.fromhex("8000cc5805")),
        at(
            "new-inform",
            version="3",
            is_inform=True,
            timeout_s=2.0,
            retries=1,
            user=user._replace(name="night"),
        ),
    )


@pytest.mark.parametrize(
    ("found", "described"),
    [
        (None, "None"),
        ("10.0.0.1", "'10.0.0.1'"),
        ({}, "an empty mapping"),
        ({"destination_address": "a"}, "a mapping"),
        ([], "an empty list"),
        (5, "5"),
        (True, "True"),
    ],
)
def test_destinations_that_are_no_list_are_refused(found: Any, described: str) -> None:
    reason = (
        "'destinations' must be a list of addresses, or of mappings with a 'destination_address' each,"
        f" found {described}"
    )
    assert faults_of(V2C | {"destinations": found}) == [("destinations", reason)]


@pytest.mark.parametrize("item", [None, 5, 1.5, True, ["10.0.0.9"], [{}]])
def test_a_destination_that_is_neither_is_refused_by_its_number(item: Any) -> None:
    inputs = without(V2C, "destination_address") | {"destinations": ["10.0.0.1", item]}
    targets, [fault] = read_targets(inputs, 60.0)
    assert [target.host for target in targets] == ["10.0.0.1"]
    reason = "destination 2 must be an address, or a mapping of inputs"
    assert fault == Fault("destinations.1", reason)


def test_the_hooks_own_address_goes_into_the_list() -> None:
    assert faults_of(V2C | {"destinations": [{}, "10.0.0.2"]}) == [
        ("destination_address", "'destination_address' goes into the list of 'destinations'")
    ]


def test_a_destination_that_stands_twice_is_told_at_the_second() -> None:
    inputs = without(V2C, "destination_address") | {
        "destinations": [
            "10.0.0.1",
            {"destination_address": "10.0.0.1", "destination_port": 163},
            {"destination_address": "10.0.0.1", "destination_port": "162", "notify": "inform"},
            {"destination_address": "::1"},
            {"destination_address": "::1", "version": 3, "user": "ops"},
        ]
    }
    assert faults_of(inputs) == [
        ("destinations.2", "the destination 10.0.0.1:162 stands here twice"),
        ("destinations.4", "the destination [::1]:162 stands here twice"),
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("destination_prot", "destination_port"), ("address", "destination_address"), ("key", "auth_key")],
)
def test_an_unknown_input_of_a_destination_is_named_with_its_number(name: str, meant: str) -> None:
    item = {"destination_address": "b", name: 1}
    inputs = without(V2C, "destination_address") | {"destinations": ["a", item]}
    reason = f"destination 2: unknown input {name!r}; did you mean {meant!r}?"
    assert faults_of(inputs) == [(f"destinations.1.{name}", reason)]


@pytest.mark.parametrize("name", [5, None, True, 1.5])
def test_an_input_of_a_destination_has_a_text_for_a_name(name: Any) -> None:
    item = {"destination_address": "b", name: 1}
    inputs = without(V2C, "destination_address") | {"destinations": ["a", item]}
    reason = f"destination 2: the name of an input must be a text, found {name!r}"
    assert faults_of(inputs) == [("destinations.1", reason)]


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1:1162", "[::1]:162", "nms.example.com:162", "[::1]",
        " 10.0.0.1", "10.0.0.1 ", "nms 1", "\n", "10.0.0.1\r", "10.0.0.1\n", "nms\t1", "nms\u20281",
        "nms\u00a01", "nms\x7f",
    ],
)  # fmt: skip
def test_an_address_stands_alone(address: str) -> None:
    """A reason is one line of the log, whatever stands there."""
    item = {"destination_address": address}
    wrong = (
        "'destination_address' must be a name or an address, without a port, brackets or spaces,"
        f" found {address!r}"
    )
    assert faults_of(V2C | item) == [("destination_address", wrong)]
    assert faults_of(V2C_LIST | {"destinations": [address, "a", item]}) == [
        ("destinations.0.destination_address", f"destination 1: {wrong}"),
        ("destinations.2.destination_address", f"destination 3: {wrong}"),
    ]


def test_what_is_missing_is_named_for_each_destination_that_misses_it() -> None:
    inputs = {
        "destinations": [
            "a",
            {"destination_address": "b", "destination_port": 162, "version": 3},
            {"destination_port": 162, "community_string": "public"},
        ]
    }
    assert faults_of(inputs) == [
        ("destinations.0", "destination 1: the input 'destination_port' is missing; add it"),
        ("destinations.0", "destination 1: the input 'community_string' is missing; add it"),
        ("destinations.1", "destination 2: the input 'user' is missing; add it"),
        ("destinations.2", "destination 3: the input 'destination_address' is missing; add it"),
    ]


def test_a_wrong_default_is_told_once_and_a_wrong_override_by_its_number() -> None:
    inputs = {
        "destination_port": 0,
        "community_string": ["hush-hush"],
        "destinations": ["a", {"destination_address": "b", "destination_port": "http"}, "c"],
    }
    assert faults_of(inputs) == [
        ("destination_port", "'destination_port' must be from 1 to 65535, found 0"),
        ("community_string", "'community_string' must be a text; write it in quotes, or take it from a"
         " !file, which always gives text"),
        ("destinations.1.destination_port",
         "destination 2: 'destination_port' must be from 1 to 65535, found 'http'"),
    ]  # fmt: skip


def test_a_wrong_default_is_told_of_though_no_destination_uses_it() -> None:
    right = {"destinations": [{"destination_address": "a", "destination_port": 162}]}
    for wrong in ({"destination_port": 0}, {"destination_port": 1, "timeout": "soon"}):
        [(place, _)] = faults_of({"community_string": "public"} | wrong | right)
        assert place == list(wrong)[-1]


def test_a_wrong_override_covers_a_right_default() -> None:
    [(place, _)] = faults_of(V2C_LIST | {"destinations": [{"destination_address": ""}]})
    assert place == "destinations.0.destination_address"


V2C_LIST = without(V2C, "destination_address")


@pytest.mark.parametrize(
    ("item", "place", "reason"),
    [
        ({"user": "ops"}, "user", ONLY_3),
        ({"timeout": 1}, "timeout", ONLY_INFORM),
        (
            SEALED | {"version": 3, "priv_key": "hush-hu"},
            "priv_key",
            "must be a text of 8 characters or more; write it in quotes, or take it from a !file, which"
            " always gives text",
        ),
        (without(SIGNED, "auth_key") | {"version": 3}, "auth_protocol", "needs 'auth_key'"),
    ],
)
def test_a_contradiction_in_a_destination_is_told_by_its_number(
    item: dict[str, Any], place: str, reason: str
) -> None:
    item = {"destination_address": "b", **item}
    assert faults_of(V2C_LIST | {"destinations": ["a", item]}) == [
        (f"destinations.1.{place}", f"destination 2: {place!r} {reason}")
    ]


def test_what_is_wrong_with_one_destination_leaves_the_others_as_they_are() -> None:
    targets, faults = read_targets(V2C_LIST | {"destinations": ["a", {}, "c"]}, 60.0)
    assert [target.host for target in targets] == ["a", "c"]
    assert len(faults) == 1


# Anything at all


@pytest.mark.parametrize(
    "name", ["destination_port", "version", "layout", "retries", "user", "auth_key"]
)
def test_a_number_of_any_size_is_a_fault_like_any_other(name: str) -> None:
    """YAML reads 0xffff… without a limit."""
    reasons = [reason for place, reason in faults_of(INFORM | {name: 16**5000}) if place == name]
    assert reasons
    assert all(len(reason) < 200 for reason in reasons)


def test_a_number_of_any_size_is_an_unknown_input_like_any_other() -> None:
    assert faults_of(V2C_LIST | {"destinations": [{"destination_address": "a", 16**5000: 1}]})


def test_an_unknown_input_is_shown_shortened() -> None:
    for inputs in (V2C, V2C_LIST | {"destinations": ["a", {"x" * 5000: 1}]}):
        assert all(len(reason) < 500 for _, reason in faults_of(inputs | {"x" * 5000: 1}))


def test_a_secret_that_was_indented_too_far_is_not_shown() -> None:
    inputs = V2C | {"destination_address": {"host": "a", "community_string": "hush-hush"}}
    assert "hush" not in repr(faults_of(inputs))


def test_an_engine_id_of_all_ones_is_none() -> None:
    assert faults_of(V3 | {"engine_id": "ff" * 5})


@pytest.mark.parametrize("name", ["user", "context_name", "auth_key", "priv_key"])
def test_bytes_of_the_environment_that_are_no_utf_8_are_told_before_a_trap_is_due(name: str) -> None:
    assert faults_of(V3 | {name: "caf\udce9-au-lait"})


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


@settings(deadline=None, max_examples=200)
@given(INPUTS)
def test_what_is_without_fault_can_be_said_again_in_json(inputs: dict[str, Any]) -> None:
    """Nothing but what the file says is in a Target: read again, it is the same."""
    targets, faults = read_targets(inputs, 60.0)
    if not faults:
        assert read_targets(json.loads(json.dumps(inputs)), 60.0)[0] == targets
