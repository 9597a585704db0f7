"""The HTTP API of a running server: waiting for an answer, following a thread, being sent away."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.live.installation import Installation

pytestmark = [pytest.mark.live, pytest.mark.golden_path, pytest.mark.integration]
ANSWER = "".join(f"tok{n} " for n in range(20))
PATIENCE = 30


class Person:
    """Somebody with a token, and a thread of their own."""

    def __init__(self, installation: Installation, email: str | None = None) -> None:
        secret = installation.people[email or installation.someone()]["token"]
        self.api = f"http://127.0.0.1:{installation.port}/api/v1/"
        self.headers = {"Authorization": f"Bearer {secret}"}
        self.thread = self.post("threads/", {})["id"]

    def post(self, path: str, body: object, status: tuple[int, ...] = (200, 201, 202)):
        answer = requests.post(
            self.api + path, json=body, headers=self.headers, timeout=PATIENCE
        )
        assert answer.status_code in status, answer.text
        return answer.json()

    def get(self, path: str):
        answer = requests.get(self.api + path, headers=self.headers, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, agent: str, query: str = ""):
        path = f"threads/{self.thread}/messages/{query}"
        return self.post(path, {"text": "hello", "agent": agent})

    def follow(self, last_id: int = 0) -> requests.Response:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last_id)}
        return requests.get(
            f"{self.api}threads/{self.thread}/events/",
            headers=self.headers | headers,
            stream=True,
            timeout=PATIENCE,
        )


def events(stream: requests.Response) -> Iterator[tuple[str | None, dict]]:
    """(id, envelope) of each event of a stream."""
    number, data = None, ""
    for line in stream.iter_lines(chunk_size=1, decode_unicode=True):
        if line.startswith("id: "):
            number = line.removeprefix("id: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
        elif not line and data:
            yield number, json.loads(data)
            number, data = None, ""


@pytest.fixture
def person(netra_server: Installation) -> Person:
    return Person(netra_server)


def test_a_question_that_is_waited_for_is_answered_at_once(person):
    told = person.ask("golden-turn", f"?wait={PATIENCE}")

    assert (told["state"], told["text"], told["error"]) == ("completed", ANSWER, None)
    assert told["answer"]["execution_id"] == told["execution_id"]
    messages = person.get(f"threads/{person.thread}/messages/")["results"]
    assert [m["role"] for m in messages] == ["user", "assistant"]
    assert messages[1] == told["answer"]


@pytest.mark.parametrize("agent", ["failing-turn", "crashing-turn"])
def test_a_failure_that_is_waited_for_is_explained(person, agent):
    told = person.ask(agent, f"?wait={PATIENCE}")

    assert told["state"] == "failed"
    assert told["error"]["message"]
    assert told["error"]["fix"]
    assert uuid.UUID(told["error"]["receipt_id"])


def test_a_wait_that_is_too_short_ends_with_the_ids(person):
    told = person.ask("slow-turn", "?wait=0.2")

    assert "state" not in told
    execution = person.get(f"executions/{told['execution_id']}/")
    assert execution["state"] in {"starting", "running"}
    person.post(f"executions/{told['execution_id']}/cancel/", None)


def test_those_who_wait_hold_up_nobody(netra_server):
    crowd = [Person(netra_server) for _ in range(12)]
    with ThreadPoolExecutor(len(crowd)) as threads:
        waiting = [threads.submit(p.ask, "hanging-turn", "?wait=20") for p in crowd]
        other = Person(netra_server)
        assert other.ask("golden-turn", "?wait=10")["text"] == ANSWER
        assert not any(each.done() for each in waiting)
        for p in crowd:
            (row,) = p.get("executions/")["results"]
            p.post(f"executions/{row['id']}/cancel/", None)

        assert {each.result()["state"] for each in waiting} == {"cancelled"}


def test_a_thread_is_followed_live_from_the_last_id_that_was_seen(person):
    person.ask("golden-turn", f"?wait={PATIENCE}")
    with person.follow(2) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        coming = events(stream)
        replayed = []
        for number, event in coming:
            if event["type"] == "replayed":
                break
            replayed.append((int(number), event["seq"]))
        asked = person.ask("slow-turn")
        live, text = [], ""
        for number, event in coming:
            if number is not None:
                live.append(event)
            elif event["type"] == "message_delta":
                text = text[: event["data"]["offset"]] + event["data"]["text"]
                if text.startswith("tok0 tok1 tok2 tok3"):
                    person.post(f"executions/{asked['execution_id']}/cancel/", None)
            if event["type"] == "agent_cancelled":
                break

    assert replayed == [(n, n) for n in range(3, 7)]
    assert [event["seq"] for event in live] == list(range(7, 7 + len(live)))
    assert live[-1]["data"]["text"].startswith(text)
    assert text.startswith("tok0 tok1 tok2 tok3")


@pytest.mark.security
def test_a_revoked_token_ends_its_stream(netra_server):
    owner = Person(netra_server)
    made = owner.post("tokens/", {"name": "to be revoked"})
    headers, owner.headers = owner.headers, {"Authorization": f"Bearer {made['token']}"}
    with owner.follow() as stream:
        coming = events(stream)
        assert next(coming)[1]["type"] == "replayed"
        gone = requests.delete(
            f"{owner.api}tokens/{made['id']}/", headers=headers, timeout=PATIENCE
        )
        *_, (_, last) = coming

    assert gone.status_code == 204
    assert (last["type"], last["data"]["code"]) == ("error", "not_authenticated")


@pytest.mark.security
def test_a_stranger_gets_no_stream(netra_server, person):
    mallory = Person(netra_server, "mallory@globex.example")
    mallory.thread = person.thread

    answer = mallory.follow()

    assert answer.status_code == 404
    assert answer.json()["receipt_id"]


def test_streams_count_as_connections_and_are_given_back(person):
    limit = person.get("me/")["limits"]["connections"]
    streams = [person.follow() for _ in range(limit)]
    coming = [events(stream) for stream in streams]
    assert {next(each)[1]["type"] for each in coming} == {"replayed"}

    refused = person.follow()
    for stream in streams:
        stream.close()

    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert _soon(lambda: person.follow().status_code == 200)


def _soon(holds: Callable[[], bool]) -> bool:
    """The server notices within moments that a client went."""
    give_up = time.monotonic() + PATIENCE
    while not (found := holds()) and time.monotonic() < give_up:
        time.sleep(0.1)
    return found


def test_the_server_says_that_it_is_ready_and_how_it_does(netra_server):
    here = f"http://127.0.0.1:{netra_server.port}"

    assert requests.get(f"{here}/healthz", timeout=5).json() == {"status": "ok"}
    assert requests.get(f"{here}/readyz", timeout=5).status_code == 200
    figures = requests.get(f"{here}/metrics", timeout=5).text
    assert 'netra_executions{state="completed"}' in figures
