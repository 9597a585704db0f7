"""Looking a proof up: against a name server on this machine, and in the table of demo and tests."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from apps.accounts.domains import proofs
from apps.accounts.domains.proofs import Finding, look_up

pytestmark = pytest.mark.security
NAME = "_netra-challenge.acme.example"
TEXT = "netra-domain=abc"
Answer = Callable[[dns.message.Message], dns.message.Message | None]


class NameServer:
    """A real one, on UDP, that answers as the test says."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.answer: Answer = dns.message.make_response
        self.asked: list[str] = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def _serve(self) -> None:
        while True:
            wire, sender = self.socket.recvfrom(4096)
            if wire == b"stop":
                return
            query = dns.message.from_wire(wire)
            self.asked.append(query.question[0].name.to_text())
            answer = self.answer(query)
            if answer is not None:
                self.socket.sendto(answer.to_wire(), sender)

    def close(self) -> None:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
            other.sendto(b"stop", ("127.0.0.1", self.port))
        self.thread.join(timeout=10)
        self.socket.close()


@pytest.fixture
def server(settings) -> Iterator[NameServer]:
    made = NameServer()
    settings.NETRA_DNS, settings.NETRA_DNS_PORT = "127.0.0.1", made.port
    yield made
    made.close()


def records(*lines: tuple[str, str, str]) -> Answer:
    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        for name, kind, value in lines:
            row = dns.rrset.from_text(name + ".", 60, "IN", kind, value)
            response.answer.append(row)
        return response

    return answer


def failing(code: int) -> Answer:
    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.set_rcode(code)
        return response

    return answer


def test_a_record_that_holds_the_challenge_is_found(server):
    server.answer = records((NAME, "TXT", f'"{TEXT}"'))

    assert look_up(NAME, TEXT) is Finding.FOUND
    assert server.asked == [NAME + "."]


def test_one_of_several_records_is_enough(server):
    server.answer = records(
        (NAME, "TXT", '"v=spf1 -all"'), (NAME, "TXT", f'"{TEXT}"'), (NAME, "TXT", '""')
    )

    assert look_up(NAME, TEXT) is Finding.FOUND


def test_a_record_in_several_strings_is_one_text(server):
    server.answer = records((NAME, "TXT", '"netra-" "domain=abc"'))

    assert look_up(NAME, TEXT) is Finding.FOUND


@pytest.mark.parametrize(
    "text", ["netra-domain=abd", TEXT + "x", "x" + TEXT, TEXT.upper()]
)
def test_only_the_whole_text_proves(server, text):
    server.answer = records((NAME, "TXT", f'"{text}"'))

    assert look_up(NAME, TEXT) is Finding.OTHER


def test_an_alias_proves_nothing(server):
    """A wildcard alias to a hoster would let the hoster's other customers speak for the domain."""
    other = "elsewhere.example"
    server.answer = records((NAME, "CNAME", other + "."), (other, "TXT", f'"{TEXT}"'))

    assert look_up(NAME, TEXT) is Finding.ALIAS


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        (failing(dns.rcode.NXDOMAIN), Finding.ABSENT),
        (records(), Finding.ABSENT),
        (failing(dns.rcode.SERVFAIL), Finding.NO_ANSWER),
        (failing(dns.rcode.REFUSED), Finding.NO_ANSWER),
    ],
    ids=["no such name", "no such record", "server fails", "server refuses"],
)
def test_no_record_and_no_answer_are_told_apart(server, answer, finding):
    server.answer = answer

    assert look_up(NAME, TEXT) is finding


def test_a_silent_server_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(proofs, "ONE_TRY", 0.1)
    monkeypatch.setattr(proofs, "ALL_TRIES", 0.3)
    server.answer = lambda query: None

    assert look_up(NAME, TEXT) is Finding.NO_ANSWER


def test_an_endless_answer_is_cut(server):
    many = [(NAME, "TXT", f'"{n}"') for n in range(60)]
    server.answer = records(*many)

    assert look_up(NAME, TEXT) is Finding.OTHER


def test_a_name_that_is_too_long_is_absent_or_unanswered(server):
    assert look_up("_netra-challenge." + "a." * 130 + "example", TEXT) in {
        Finding.ABSENT,
        Finding.NO_ANSWER,
    }
    assert server.asked == []


def test_the_table_answers_for_its_names_only(settings):
    settings.NETRA_DNS_ZONE = {NAME: ["x", TEXT], "other": [], "bad": "text"}

    assert look_up(NAME, TEXT) is Finding.FOUND
    assert look_up(NAME, "y") is Finding.OTHER
    assert look_up("other", TEXT) is Finding.ABSENT
    assert look_up("unknown", TEXT) is Finding.NO_ANSWER
    assert look_up("bad", TEXT) is Finding.NO_ANSWER


@pytest.mark.parametrize("written", [None, "", "[]", "{", "\xff"])
def test_a_table_that_cannot_be_read_says_nothing(settings, tmp_path, written):
    settings.NETRA_DNS_ZONE = file = tmp_path / "dns.json"
    if written is not None:
        file.write_text(written, encoding="latin-1")

    assert look_up(NAME, TEXT) is Finding.NO_ANSWER


def test_the_table_of_the_demo_is_a_file(settings, tmp_path):
    settings.NETRA_DNS_ZONE = file = tmp_path / "dns.json"
    file.write_text(json.dumps({NAME: [TEXT]}), encoding="utf-8")

    assert look_up(NAME, TEXT) is Finding.FOUND
