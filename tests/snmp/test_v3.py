"""Version 3: what is sent, and what is made of whatever a receiver may answer.

snmptrapd never says most of it. So a double answers, with datagrams that pysnmp makes.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder
from pyasn1.type import univ
from pysnmp.proto.api import v2c
from pysnmp.proto.mpmod.rfc3412 import SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters
from pysnmp.proto.secmod.rfc3826.priv import aes

from listener.errors import ActionFailed
from listener.snmp import mib
from listener.snmp.identity import EngineIdentity
from listener.snmp.target import Target, User
from listener.snmp.v3 import V3Inform, V3Messages

ENGINE_ID = bytes.fromhex("8000cc58051122334455667788")
RECEIVER = bytes.fromhex("80001f8801aabbccdd")
CONTENT = mib.Content("workflow_queued", 0, 0, {})
COUNTERS = {"time": 2, "engine": 4, "decryption": 6}
"""usmStats, each with what a report of it says is wrong (RFC 3414, section 5)."""


class Conversing:
    """An inform to a receiver of which every datagram is the test's."""

    def __init__(self, **user: str) -> None:
        self.messages = V3Messages(EngineIdentity(ENGINE_ID, 1))
        self.target = Target(
            name="receiver:162", host="receiver", port=162, version="3", is_inform=True,
            user=User("plain", **user),
        )  # fmt: skip
        self.inform = self.begun()

    def begun(self) -> V3Inform:
        return self.messages.inform(self.target, 7, CONTENT)

    def trap(self, **changes: Any) -> bytes:
        return self.messages.trap(self.target._replace(**changes), 7, CONTENT)

    def answer(self, pdu: Any, datagram: bytes | None = None, engine_id: bytes = RECEIVER) -> bytes:
        """What that receiver answers, without a digest, to that message, or to the next."""
        message, _ = decoder.decode(datagram or self.inform.message(), asn1Spec=SNMPv3Message())
        message["msgGlobalData"]["msgFlags"] = b"\0"
        security, _ = decoder.decode(message["msgSecurityParameters"], asn1Spec=UsmSecurityParameters())
        for position, value in enumerate((engine_id, 1, 1)):
            security[position] = value
        message["msgSecurityParameters"] = encoder.encode(security)
        scoped = message["msgData"]["plaintext"]
        scoped["contextEngineId"] = engine_id
        scoped["contextName"] = b""
        scoped["data"].setComponentByType(
            pdu.tagSet, pdu, verifyConstraints=False, matchTags=False, matchConstraints=False
        )
        return bytes(encoder.encode(message))

    def report(self, problem: str) -> bytes:
        return self.answer(report((1, 3, 6, 1, 6, 3, 15, 1, 1, COUNTERS[problem], 0)))

    def engine_asked(self) -> bytes:
        """The engine that the next message is for."""
        engine_id, *_ = security_of(self.inform.message())
        return engine_id


def security_of(datagram: bytes) -> tuple[bytes, int, int]:
    """The engine ID, the boots and the time in a message."""
    message, _ = decoder.decode(datagram, asn1Spec=SNMPv3Message())
    security, _ = decoder.decode(message["msgSecurityParameters"], asn1Spec=UsmSecurityParameters())
    return bytes(security[0]), int(security[1]), int(security[2])


def report(oid: tuple[int, ...]) -> Any:
    pdu = v2c.ReportPDU()
    v2c.apiPDU.set_defaults(pdu)
    v2c.apiPDU.set_varbinds(pdu, [(oid, v2c.Counter32(1))])
    return pdu


def response(error_status: int = 0) -> Any:
    pdu = v2c.ResponsePDU()
    v2c.apiPDU.set_defaults(pdu)
    v2c.apiPDU.set_request_id(pdu, 7)
    # as `set_error_status`, without its limits
    pdu.setComponentByPosition(
        1, univ.Integer(error_status), verifyConstraints=False, matchTags=False, matchConstraints=False
    )
    return pdu


def known() -> Conversing:
    """A conversation that knows its receiver's engine ID."""
    made = Conversing()
    assert made.inform.is_answered(made.report("engine")) is None
    return made


# Traps


def test_a_trap_carries_the_boots_and_the_time_of_its_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver silently drops what is 150 s behind the time that it has heard of (RFC 3414, 3.2)."""
    talk = Conversing()
    for age_s in (0, 17, 151, 3_000_000):
        monkeypatch.setattr("listener.snmp.v3.engine_time", lambda age_s=age_s: age_s)
        assert security_of(talk.trap()) == (ENGINE_ID, 1, age_s)
        assert security_of(talk.trap(engine_id=RECEIVER)) == (RECEIVER, 1, age_s)


def test_without_the_cryptography_package_nothing_can_be_encrypted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = {"auth_protocol": "SHA", "auth_key": "correct horse"}
    talk = Conversing(**keys, priv_protocol="AES", priv_key="battery staple")
    assert talk.trap()
    monkeypatch.setattr(aes, "PysnmpCryptoError", True)
    with pytest.raises(ActionFailed, match=r"^no message for receiver:162 could be made: "):
        talk.trap()


# Informs


def test_a_receiver_tells_its_engine_id_once_and_then_acknowledges() -> None:
    """It is asked by a request without varbinds, engine ID or user (RFC 3414, section 4)."""
    talk = Conversing(auth_protocol="SHA", auth_key="correct horse")
    message, _ = decoder.decode(talk.inform.message(), asn1Spec=SNMPv3Message())
    security, _ = decoder.decode(message["msgSecurityParameters"], asn1Spec=UsmSecurityParameters())
    pdu = message["msgData"]["plaintext"]["data"].getComponent()
    assert isinstance(pdu, v2c.GetRequestPDU)
    assert v2c.apiPDU.get_varbinds(pdu) == []
    assert (bytes(security[0]), bytes(security[3])) == (b"", b"")
    talk = Conversing()
    assert talk.engine_asked() == b""
    assert talk.inform.is_answered(talk.report("engine")) is None
    for _ in range(2):
        assert talk.engine_asked() == RECEIVER
        assert talk.inform.is_answered(talk.answer(response())) is True
        talk.inform = talk.begun()


@pytest.mark.parametrize(
    ("status", "name"),
    [(5, "genErr"), (2**24_000, "an error-status that SNMP does not have")],
    ids=["usual", "huge"],
)
def test_a_response_with_an_error_status_is_a_refusal(status: int, name: str) -> None:
    talk = known()
    with pytest.raises(ActionFailed, match=f"^receiver:162 refused the inform with {name}$"):
        talk.inform.is_answered(talk.answer(response(status)))


def test_a_report_is_said_in_the_words_of_the_inputs() -> None:
    """snmptrapd says most of the others: test_wire.py."""
    talk = known()
    meaning = "the priv_protocol or the priv_key of user 'plain' is not the one there"
    with pytest.raises(ActionFailed, match=f"^receiver:162 refused the inform: {meaning} "):
        talk.inform.is_answered(talk.report("decryption"))


def test_a_report_of_a_kind_that_nobody_knows_is_a_refusal_in_few_words() -> None:
    talk = known()
    strange = report((1, 3, 6, 1, 6, 3, 11, 2, 1, *[3] * 5000, 0))
    with pytest.raises(ActionFailed, match=r"^receiver:162 refused the inform: [0-9.]{,80}$"):
        talk.inform.is_answered(talk.answer(strange))


@pytest.mark.parametrize("problem", ["engine", "time"])
def test_a_receiver_that_goes_on_asking_is_given_up(problem: str) -> None:
    talk = known()
    for _ in range(3):
        assert talk.inform.is_answered(talk.report(problem)) is None
    with pytest.raises(ActionFailed, match=r"^receiver:162 refused the inform: "):
        talk.inform.is_answered(talk.report(problem))


def test_an_answer_of_another_engine_makes_us_ask_for_its_id_and_noise_does_so_a_few_times() -> None:
    talk = known()
    for _ in range(3):
        assert talk.inform.is_answered(b"noise") is None
        assert talk.engine_asked() == b""
    assert talk.inform.is_answered(b"noise") is False
    assert talk.inform.is_answered(talk.report("engine")) is False
    assert talk.engine_asked() == RECEIVER, "the next try has learned of it"


def test_an_acknowledgement_of_an_earlier_try_counts_but_not_twice() -> None:
    talk = known()
    first, second = talk.inform.message(), talk.inform.message()
    assert first != second
    answer = talk.answer(response(), first)
    assert talk.inform.is_answered(answer) is True
    talk.inform = talk.begun()
    talk.inform.message()
    assert talk.inform.is_answered(answer) is None


def test_what_was_not_answered_in_time_is_forgotten_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000
    monkeypatch.setattr("listener.snmp.v3.engine_time", lambda: now)
    talk = known()
    first = talk.inform.message()
    for _ in range(20):
        now += 1
        talk.inform.message()
    assert talk.inform.is_answered(talk.answer(response(), first)) is None
    assert talk.inform.is_answered(talk.report("engine")) is None
    assert talk.inform.is_answered(talk.answer(response())) is True


def test_an_answer_with_broken_bytes_is_never_another_exception() -> None:
    talk = Conversing()

    @given(st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=4))
    @example([(0, 0xC8)])
    def check(flips: list[tuple[int, int]]) -> None:
        talk.inform = talk.begun()
        answer = bytearray(talk.report("engine"))
        for position, bits in flips:
            answer[position % len(answer)] ^= bits
        with suppress(ActionFailed):
            assert talk.inform.is_answered(bytes(answer)) in (None, False, True)

    check()


@pytest.mark.parametrize("datagram", [b"", b"\x30\x80", b"\xff" * 9, b"\xf8\x05\x02\x01\x03\x30\x00"])
def test_broken_bytes_are_no_answer(datagram: bytes) -> None:
    talk = Conversing()
    talk.inform.message()
    assert talk.inform.is_answered(datagram) is None
