"""The load client: N chats in a closed loop against one running server.

    python bench/turns.py --adapter agui --url http://127.0.0.1:8101/ --pid PID

A level is one number of concurrent chats. Per level it reports, in milliseconds
from sending: `ttfe` first frame, `ttev` first event, `ttft` first token, `turn`
final answer; turns per second (new chats included); CPU of the server's process
tree per turn; resident memory. A turn that is not correct is an error.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
import psutil
from chats import AgUiChat, Chat, NullChat, Target, Turn, TurnError, require_loopback
from netrachat import NetraChat

ADAPTERS: dict[str, type[Chat]] = {
    "netra": NetraChat,
    "agui": AgUiChat,
    "ws": NullChat,
}
TURNS_PER_CHAT_OF_A_LEVEL = 8  # least turns each chat makes in a level
SETTLE_SECONDS = 0.25  # work done just after the last answer is the turns' work too
CLOSE_SECONDS = 5.0
COLUMNS = (
    "level",
    "turns",
    "errors",
    "tps",
    "ttfe_p50",
    "ttfe_p99",
    "ttev_p50",
    "ttft_p50",
    "turn_p50",
    "turn_p95",
    "turn_p99",
    "frames",
    "strangers",
    "cpu_ms",
    "client_cpu_ms",
    "rss0",
    "rss1",
)


@dataclass(kw_only=True)
class Level:
    """What one closed-loop run found; figures are per turn, in milliseconds."""

    concurrency: int
    turns: int
    errors: list[str]
    figures: dict[str, float]
    first_frames: list[float] = field(default_factory=list)
    first_events: list[float] = field(default_factory=list)

    def record(self) -> dict[str, object]:
        """Return what a JSON file keeps: everything but the samples."""
        return {
            "concurrency": self.concurrency,
            "turns": self.turns,
            "errors": self.errors,
            "figures": self.figures,
        }

    def row(self) -> dict[str, str]:
        counts = {
            "level": str(self.concurrency),
            "turns": str(self.turns),
            "errors": str(len(self.errors)),
        }
        return counts | {key: f"{value:g}" for key, value in self.figures.items()}


@dataclass(kw_only=True)
class Load:
    """The turns that are still to be made, shared by all chats of a level."""

    target: Target
    left: int
    deadline: float
    done: list[Turn] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def next(self) -> bool:
        """Take one turn from the pile, unless the level is over or in ruins."""
        if self.left <= 0 or len(self.errors) > self.target.max_errors:
            return False
        if time.monotonic() > self.deadline:
            self.errors.append(f"{self.left} turns not made in time")
            self.left = 0
            return False
        self.left -= 1
        return True

    def accept(self, turn: Turn) -> None:
        if turn.tokens < self.target.tokens:
            message = f"{turn.tokens} tokens of {self.target.tokens}"
            raise TurnError(message)
        self.done.append(turn)

    def fail(self, error: Exception) -> None:
        reason = str(error) or "no answer in time"
        self.errors.append(f"{type(error).__name__}: {reason}"[:200])


async def leave(chat: Chat | None) -> None:
    """Close a chat; a server that won't say goodbye costs at most a few seconds."""
    if chat is None:
        return
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await chat.close()
    except (OSError, aiohttp.ClientError):
        return


async def visit(load: Load, http: aiohttp.ClientSession, number: int) -> None:
    """One visitor: turns without a pause, and a new chat after every few."""
    target = load.target
    chat: Chat | None = None
    used = 0
    while load.next():
        try:
            async with asyncio.timeout(target.turn_seconds):
                if chat is None:
                    chat, used = ADAPTERS[target.adapter](http, target, number), 0
                    await chat.open()
                load.accept(await chat.turn())
        except Exception as error:  # noqa: BLE001 - a failed turn is a counted result
            load.fail(error)
            used = target.turns_per_chat
        used += 1
        if used >= target.turns_per_chat:
            await leave(chat)
            chat = None
    await leave(chat)


async def visit_all(load: Load, concurrency: int) -> None:
    """Let all visitors loose; each has its own session, as a browser would."""
    connector = aiohttp.TCPConnector(limit=0)
    sessions = [
        aiohttp.ClientSession(
            connector=connector,
            connector_owner=False,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.CookieJar(unsafe=True),
        )
        for _ in range(concurrency)
    ]
    try:
        await asyncio.gather(*(visit(load, s, n) for n, s in enumerate(sessions)))
    finally:
        for session in sessions:
            await session.close()
        await connector.close()


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds and resident MiB of a process and all that it started."""
    if not pid:
        return 0.0, 0.0
    cpu = memory = 0.0
    root = running_process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
            memory += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        cpu += times.user + times.system
        cpu += times.children_user + times.children_system
    return cpu, memory / 2**20


def running_process(pid: int) -> psutil.Process:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        message = f"the server with pid {pid} is gone; its log may say why"
        raise SystemExit(message) from None


def percentile(values: Sequence[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q / 100 * len(ordered)))]


def milliseconds(values: Sequence[float], name: str) -> dict[str, float]:
    if not values:
        return {}
    wanted = (50, 95, 99)
    return {f"{name}_p{q}": round(percentile(values, q) * 1e3, 2) for q in wanted}


def reached(turns: Sequence[Turn], milestone: str) -> list[float]:
    times = (getattr(turn, milestone) for turn in turns)
    return [seconds for seconds in times if seconds is not None]


def run_level(target: Target, concurrency: int, turns: int) -> Level:
    """Make `turns` turns in `concurrency` chats; every one of them is counted."""
    require_loopback(target.url)
    deadline = time.monotonic() + target.level_seconds
    load = Load(target=target, left=turns, deadline=deadline)
    cpu0, rss0 = usage(target.pid)
    client0, start = time.process_time(), time.perf_counter()
    asyncio.run(visit_all(load, concurrency))
    wall = time.perf_counter() - start
    client = time.process_time() - client0
    time.sleep(SETTLE_SECONDS)
    cpu1, rss1 = usage(target.pid)
    figures = timings(load.done, wall)
    if load.done:
        per_turn = 1e3 / len(load.done)
        figures["client_cpu_ms"] = round(client * per_turn, 3)
        if target.pid:
            figures["cpu_ms"] = round((cpu1 - cpu0) * per_turn, 3)
            figures |= {"rss0": round(rss0, 1), "rss1": round(rss1, 1)}
    return Level(
        concurrency=concurrency,
        turns=len(load.done),
        errors=load.errors,
        figures=figures,
        first_frames=reached(load.done, "first"),
        first_events=reached(load.done, "event"),
    )


def timings(done: Sequence[Turn], wall: float) -> dict[str, float]:
    if not done:
        return {}
    figures = {
        "tps": round(len(done) / wall, 1),
        "frames": round(statistics.fmean(t.frames for t in done), 1),
        "strangers": round(statistics.fmean(t.strangers for t in done), 1),
    }
    milestones = {"ttfe": "first", "ttev": "event", "ttft": "token", "turn": "final"}
    for name, milestone in milestones.items():
        figures |= milliseconds(reached(done, milestone), name)
    return figures


def level_turns(turns: int, concurrency: int) -> int:
    return max(turns, TURNS_PER_CHAT_OF_A_LEVEL * concurrency)


def table(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> str:
    """Render a markdown table of the columns that any row has."""
    head = [column for column in columns if any(row.get(column) for row in rows)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row.get(c, "") for c in head) + " |" for row in rows]
    return "\n".join(lines)


def numbers(text: str) -> tuple[int, ...]:
    """Read `1,8,32` from a command line."""
    values = tuple(int(part) for part in text.split(","))
    if min(values) < 1:
        message = f"not a positive number in {text!r}"
        raise argparse.ArgumentTypeError(message)
    return values


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--adapter", choices=sorted(ADAPTERS), default="netra")
    parser.add_argument("--url", type=require_loopback, required=True)
    parser.add_argument("--pid", type=int, default=0, help="server, for CPU and memory")
    parser.add_argument("--levels", type=numbers, default=(1, 8, 32))
    parser.add_argument("--turns", type=int, default=200, help="at least 8 a chat")
    parser.add_argument("--turns-per-chat", type=int, default=10)
    parser.add_argument("--agent", default="golden-turn")
    parser.add_argument("--tokens", type=int, default=20, help="a correct turn has")
    parser.add_argument("--seconds", type=float, default=30.0, help="limit of a turn")
    return parser.parse_args()


def main() -> int:
    """Measure one server; bearer tokens come from NETRA_BENCH_TOKENS, by commas."""
    options = parsed()
    secret = os.environ.get("NETRA_BENCH_TOKENS", "")
    target = Target(
        name="server",
        adapter=options.adapter,
        url=options.url,
        pid=options.pid,
        agent=options.agent,
        credentials=tuple(filter(None, secret.split(","))),
        tokens=options.tokens,
        turns_per_chat=options.turns_per_chat,
        turn_seconds=options.seconds,
    )
    if target.adapter == "netra" and not target.credentials:
        message = "set NETRA_BENCH_TOKENS to a token of `manage.py token EMAIL`"
        raise SystemExit(message)
    levels = []
    for concurrency in options.levels:
        run_level(target, concurrency, concurrency)  # warm-up
        turns = level_turns(options.turns, concurrency)
        levels.append(run_level(target, concurrency, turns))
    print(table([level.row() for level in levels], COLUMNS))
    for level in levels:
        for error in level.errors[:2]:
            print(f"! {level.concurrency} chats: {error}")
    return 1 if any(level.errors for level in levels) else 0


if __name__ == "__main__":
    raise SystemExit(main())
