"""`manage.py smoke`: passes on what works, and names the step and the reason on what does not."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.management import CommandError, call_command

from apps.ops import smoke
from apps.ops.smoke import SmokeError, check_events, joined_text
from tests.live.installation import free_port


def run(url: str, token: str) -> tuple[int, list[str]]:
    """The exit code and the lines."""
    said = io.StringIO()
    try:
        call_command("smoke", url, token=token, stdout=said)
    except SystemExit as ended:
        return int(str(ended.code)), said.getvalue().splitlines()
    return 0, said.getvalue().splitlines()


def events(*kinds: str) -> list[smoke.Frame]:
    return [
        {"type": kind, "seq": n, "event_id": str(n)} for n, kind in enumerate(kinds, 1)
    ]


GOOD = events("message_created", *smoke.FIVE)


def test_nobody_there_fails_at_the_first_step() -> None:
    code, lines = run(f"http://127.0.0.1:{free_port()}", "t")

    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("✗ alive: no answer from http://127.0.0.1:")


class Page(BaseHTTPRequestHandler):
    """Alive, and not ready."""

    def do_GET(self) -> None:
        ready = self.path == "/healthz"
        body = json.dumps({"status": "ok" if ready else "not ready"}).encode()
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def unready() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_server_that_is_not_ready_is_told_with_what_it_says(unready: str) -> None:
    code, lines = run(unready, "t")

    assert code == 1
    assert lines == [
        "✓ alive: the server answers",
        '✗ ready: /readyz answers 503: {"status": "not ready"}',
    ]


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://"])
def test_what_is_no_address_is_a_fault_of_usage(url: str) -> None:
    with pytest.raises(CommandError, match="is no address") as raised:
        call_command("smoke", url, token="t")

    assert raised.value.returncode == 2


def test_without_a_token_it_says_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NETRA_TOKEN", raising=False)

    with pytest.raises(CommandError, match=r"manage\.py token EMAIL") as raised:
        call_command("smoke", "http://127.0.0.1:1")

    assert raised.value.returncode == 2


def test_a_whole_log_is_accepted() -> None:
    check_events(GOOD)


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ([], "the events are"),
        ([e for e in GOOD if e["seq"] != 3], "the seqs are"),
        (GOOD[::-1], "the seqs are"),
        ([*GOOD[:-1], {**GOOD[-1], "event_id": "1"}], "came twice"),
        (events("agent_started", "agent_completed"), "the events are"),
        (events(*smoke.FIVE[::-1]), "the events are"),
        (events(*smoke.FIVE, "agent_thinking"), "the last event is agent_thinking"),
        (events(*smoke.FIVE[:4], "agent_error"), "the events are"),
    ],
)
def test_a_log_with_a_fault_is_not(log: list[smoke.Frame], told: str) -> None:
    with pytest.raises(SmokeError, match=told):
        check_events(log)


def test_deltas_join_by_offset_and_only_the_newest_attempt_counts() -> None:
    def delta(attempt: int, offset: int, text: str, of: str = "x") -> smoke.Frame:
        data = {"attempt": attempt, "offset": offset, "text": text}
        return {"type": "message_delta", "execution_id": of, "data": data}

    frames = [
        delta(1, 0, "lost"), delta(2, 0, "ab"), delta(1, 4, "late"), delta(2, 1, "bc"),
        delta(2, 0, "other", of="y"), delta(2, 9, "gap"),
        {"type": "message_snapshot", "execution_id": "x", "data": {"attempt": 2, "text": "abcd"}},
        delta(2, 4, "e"), {"type": "agent_started", "execution_id": "x", "data": {"attempt": 2}},
    ]  # fmt: skip

    assert joined_text(frames, "x") == "abcde"
