"""The golden path against a running installation, through its own doors only: no database, no models.

What it proves and in which order stands in `STEPS`. Uses what the product brings along.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

PATIENCE = 15.0  # seconds for a page or a frame
TURN_SECONDS = 60.0  # for a whole answer, by an analyst with a real model too
GOLDEN, ANALYST, SLOW = "golden-turn", "analyst", "slow-turn"
QUESTION = "What did we spend on AI last month?"
UNEXPECTED = (KeyError, TypeError, ValueError, WebSocketException, OSError)
TERMINAL = {"agent_completed", "agent_error", "agent_cancelled"}
FIVE = (
    "agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed",
)  # fmt: skip
Frame = dict[str, Any]


class SmokeError(Exception):
    """A step that did not do what it should; the message says what came instead."""


def expect(claim: object, otherwise: str) -> None:
    if not claim:
        raise SmokeError(otherwise)


@dataclass
class Talk:
    """One socket, and every frame that came over it."""

    socket: ClientConnection
    frames: list[Frame] = field(default_factory=list)

    def send(self, kind: str, **data: object) -> str:
        frame_id = str(uuid.uuid4())
        self.socket.send(json.dumps({"type": kind, "id": frame_id, "data": data}))
        return frame_id

    def until(
        self, wanted: Callable[[Frame], bool], seconds: float = PATIENCE
    ) -> Frame:
        """The next frame that is wanted. Raises SmokeError after `seconds`, or when the socket ends."""
        give_up = time.monotonic() + seconds
        while True:
            try:
                raw = self.socket.recv(timeout=max(0.01, give_up - time.monotonic()))
            except TimeoutError:
                raise SmokeError(
                    f"nothing of that kind within {seconds:.0f} s; {self.heard}"
                ) from None
            except ConnectionClosed as error:
                code = error.rcvd.code if error.rcvd else "none"
                raise SmokeError(
                    f"the socket was closed, code {code}; {self.heard}"
                ) from None
            self.frames.append(json.loads(raw))
            if wanted(self.frames[-1]):
                return self.frames[-1]

    def answer(self, frame_id: str) -> Frame:
        frame = self.until(lambda f: f.get("id") == frame_id)
        data = frame["data"]
        expect(
            frame["type"] != "error",
            f"refused: {data.get('code')}, {data.get('message')}",
        )
        return cast("Frame", data)

    def end_of(self, execution_id: str) -> Frame:
        return self.until(
            lambda f: (
                f.get("execution_id") == execution_id
                and f["type"] in TERMINAL
                and f["data"]["final"]
            ),
            TURN_SECONDS,
        )

    @property
    def heard(self) -> str:
        kinds = [frame["type"] for frame in self.frames[-8:]]
        return f"heard last: {', '.join(kinds) or 'nothing'}"


@dataclass
class Walk:
    """One walk with one token; each step leaves what the next one needs."""

    url: str
    token: str
    agent: str = GOLDEN
    talk: Talk | None = None
    held: ExitStack = field(default_factory=ExitStack)  # the socket, until the end

    @property
    def here(self) -> Talk:
        assert self.talk is not None
        return self.talk

    # -- the steps, each returns what is to be told ----------------------------------------

    def alive(self) -> str:
        status, _ = self.get("/healthz")
        expect(status == 200, f"/healthz answers {status}")
        return "the server answers"

    def ready(self) -> str:
        status, told = self.get("/readyz")
        expect(status == 200, f"/readyz answers {status}: {json.dumps(told)[:300]}")
        return str(told.get("status", "ready"))

    def connected(self) -> str:
        parts = urlsplit(self.url)
        scheme = {"http": "ws", "https": "wss"}[parts.scheme]
        try:
            opening = connect(
                f"{scheme}://{parts.netloc}/ws/chat/",
                additional_headers={"Authorization": f"Bearer {self.token}"},
                proxy=None, compression=None, open_timeout=PATIENCE, close_timeout=2, max_size=4 * 1024 * 1024,
            )  # fmt: skip
            socket = self.held.enter_context(opening)
        except (OSError, WebSocketException) as error:
            raise SmokeError(f"no WebSocket at /ws/chat/: {error}") from error
        self.talk = Talk(socket)
        first = self.talk.until(lambda _: True)
        data = first["data"]
        expect(
            first["type"] == "connection_established",
            f"{data.get('code')}: {data.get('message')}",
        )
        return f"as {data['user']['email']} of {data['organisation']['slug']}"

    def turned(self) -> str:
        """A question and its answer: five kinds of events in order, no gap, deltas that join."""
        try:
            asked = self.ask(GOLDEN)
        except SmokeError as error:
            if "not_found" not in str(error) and "not_allowed" not in str(error):
                raise
            self.agent = ANALYST
            asked = self.ask(ANALYST)
        end = self.here.end_of(asked["execution_id"])
        events = [
            f
            for f in self.here.frames
            if f.get("thread_id") == asked["thread_id"] and "event_id" in f
        ]
        check_events(events)
        text = end["data"]["text"]
        joined = joined_text(self.here.frames, asked["execution_id"])
        expect(
            joined == text,
            f"the deltas join to {joined[:80]!r}, the answer is {text[:80]!r}",
        )
        return f"{self.agent}: {len(events)} events, {len(text)} characters"

    def waited(self) -> str:
        """The same over HTTP."""
        status, thread = self.post("/api/v1/threads/", {})
        expect(
            status == 201, f"POST threads/ answers {status}: {json.dumps(thread)[:200]}"
        )
        path = f"/api/v1/threads/{thread['id']}/messages/?wait={TURN_SECONDS:.0f}"
        status, told = self.post(path, {"text": QUESTION, "agent": self.agent})
        expect(status == 200, f"?wait= answers {status}: {json.dumps(told)[:200]}")
        expect(
            told["state"] == "completed" and told["text"],
            f"it ended {told['state']}: {told.get('error')}",
        )
        _, log = self.get(f"/api/v1/threads/{thread['id']}/events/?after=0")
        check_events(log["results"])
        return f"{len(log['results'])} events"

    def cancelled(self) -> str:
        if self.agent != GOLDEN:
            return "left out: diagnostic agents are not for this token"
        asked = self.ask(SLOW)
        self.here.until(
            lambda f: f["type"] == "message_delta" or f["type"] == "agent_started",
            TURN_SECONDS,
        )
        began = time.monotonic()
        self.here.answer(self.here.send("cancel", execution_id=asked["execution_id"]))
        end = self.here.end_of(asked["execution_id"])
        expect(end["type"] == "agent_cancelled", f"it ended with {end['type']}")
        return f"after {time.monotonic() - began:.1f} s"

    # -- doors ---------------------------------------------------------------------------

    def ask(self, agent: str) -> Frame:
        return self.here.answer(
            self.here.send("user_message", text=QUESTION, agent=agent)
        )

    def get(self, path: str) -> tuple[int, Any]:
        return self._call(Request(self.url + path))  # noqa: S310 - http or https, see the command

    def post(self, path: str, body: object) -> tuple[int, Any]:
        request = Request(self.url + path, json.dumps(body).encode(), method="POST")  # noqa: S310 - see get
        request.add_header("Content-Type", "application/json")
        return self._call(request)

    def _call(self, request: Request) -> tuple[int, Any]:
        request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with build_opener(ProxyHandler({})).open(
                request, timeout=TURN_SECONDS + PATIENCE
            ) as response:
                return response.status, _json(response.read())
        except HTTPError as error:
            with error:
                return error.code, _json(error.read())
        except (URLError, TimeoutError, OSError) as error:
            raise SmokeError(
                f"no answer from {request.full_url}: {getattr(error, 'reason', error)}"
            ) from error


STEPS: tuple[tuple[str, Callable[[Walk], str]], ...] = (
    ("alive", Walk.alive),
    ("ready", Walk.ready),
    ("WebSocket", Walk.connected),
    ("a turn", Walk.turned),
    ("HTTP with ?wait=", Walk.waited),
    ("cancel", Walk.cancelled),
)


def check_events(events: list[Frame]) -> None:
    """Gapless from 1, each once, and the five kinds in their order. Raises SmokeError."""
    seqs = [event["seq"] for event in events]
    expect(seqs == list(range(1, len(seqs) + 1)), f"the seqs are {seqs[:30]}")
    expect(
        len({event["event_id"] for event in events}) == len(events),
        "an event came twice",
    )
    kinds = [event["type"] for event in events]
    remaining = iter(kinds)
    expect(
        all(kind in remaining for kind in FIVE), f"the events are {', '.join(kinds)}"
    )
    expect(
        kinds[-1] == "agent_completed",
        f"the last event is {kinds[-1] if kinds else 'missing'}",
    )


def joined_text(frames: list[Frame], execution_id: str) -> str:
    """The answer as a client joins it from deltas and snapshots, newest attempt only."""
    text, attempt = "", 1
    for frame in frames:
        data = frame["data"]
        if (
            frame.get("execution_id") != execution_id
            or data.get("attempt", 0) < attempt
        ):
            continue
        if data["attempt"] > attempt:
            text, attempt = "", data["attempt"]
        if frame["type"] == "message_snapshot":
            text = data["text"]
        elif frame["type"] == "message_delta" and data["offset"] <= len(text):
            text += data["text"][len(text) - data["offset"] :]
    return text


def walk(url: str, token: str) -> Iterator[tuple[str, bool, str]]:
    """Each step's name, whether it held, and why; ends after the first that did not."""
    going = Walk(url.rstrip("/"), token)
    with going.held:
        for name, step in STEPS:
            try:
                told = step(going)
            except SmokeError as error:
                yield name, False, str(error)
                return
            except UNEXPECTED as error:
                told = f"{type(error).__name__} {error}"
                yield name, False, f"an answer that Netra never gives: {told}"
                return
            yield name, True, told


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return {"body": body[:200].decode(errors="replace")}
