"""What many people at once cost: the long figures of docs/reliability.md, one part at a time.

    python bench/load.py PART [--database sqlite|URL] [--redis URL] [--server uvicorn|daphne]

Parts: `slow` (commit → socket at 100 concurrent slow-turn), `cancel` (stop → end), `idle`
(a turn beside 1,000 idle sockets), `long` (turn 400 beside turn 15, memory a turn), `worker` (200
executions in one worker process). With --redis a worker runs the agents.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from chats import Target, Turn
from installation import (
    SERVERS,
    SQLITE,
    USERS,
    Installation,
    scratch_database,
)
from netrachat import NetraChat
from servers import Server, StartError, exit_on_sigterm, running
from turns import percentile, run_level

RAMP_SECONDS = 10.0
EARLY, LATE, WINDOW = 15, 400, 20


@dataclass(frozen=True, kw_only=True)
class Shape(Installation):
    """An installation that may have its agents run by workers."""

    redis_url: str = ""

    @property
    def env(self) -> dict[str, str]:
        added = {"NETRA_REDIS_URL": self.redis_url} if self.redis_url else {}
        return super().env | added

    def worker(self, concurrency: int) -> Worker:
        command = [sys.executable, "manage.py", "worker"]
        command += ["--concurrency", str(concurrency)]
        return Worker(name="netra-worker", command=command, port=0, env=self.env)


class Worker(Server):
    """A worker process: it listens nowhere, and says when it begins."""

    def answers(self) -> bool:
        return "Netra runs up to" in self.log.read_text(errors="replace")


@dataclass
class Seen:
    """What a listening chat noted, in seconds."""

    delays: list[float] = field(default_factory=list)
    cancels: list[float] = field(default_factory=list)


class ListeningChat(NetraChat):
    """A chat that compares each event's time with the moment it came in."""

    seen: Seen

    def number_event(self, frame: dict[str, Any]) -> None:
        super().number_event(frame)
        at = datetime.fromisoformat(frame["at"]).timestamp()
        self.seen.delays.append(time.time() - at)


@contextmanager
def installed(
    options: argparse.Namespace, concurrency: int
) -> Iterator[tuple[Target, Server, Worker | None]]:
    """Start a fresh Netra of the wanted shape."""
    with ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(
            prefix="netra-bench-", ignore_cleanup_errors=True
        )
        var = Path(stack.enter_context(folder))
        url = stack.enter_context(scratch_database(options.database, var))
        shape = Shape(
            kind=options.server, var=var, database_url=url, redis_url=options.redis
        )
        shape.prepare()
        server, target = shape.measured(USERS)
        worker = shape.worker(concurrency) if options.redis else None
        stack.enter_context(running([server, *([worker] if worker else [])]))
        yield replace(target, pid=server.pid), server, worker


@asynccontextmanager
async def chats(target: Target, number: int) -> AsyncIterator[list[ListeningChat]]:
    seen = Seen()
    opened: list[ListeningChat] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        try:
            for n in range(number):
                chat = ListeningChat(http, target, n)
                chat.seen = seen
                await chat.open()
                opened.append(chat)
            yield opened
        finally:
            leaving = (chat.close() for chat in opened)
            await asyncio.gather(*leaving, return_exceptions=True)


def told(name: str, seconds: list[float], bar_ms: float) -> bool:
    p50, p99 = percentile(seconds, 50) * 1e3, percentile(seconds, 99) * 1e3
    passed = p99 <= bar_ms
    print(
        f"{'PASS' if passed else 'FAIL'} {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
        f"longest {max(seconds) * 1e3:.1f} ms of {len(seconds)}; bar p99 <= {bar_ms:g} ms"
    )
    return passed


def ratio_told(name: str, value: float, bar: float) -> bool:
    print(
        f"{'PASS' if value <= bar else 'FAIL'} {name}: {value:.2f} x, bar <= {bar:g} x"
    )
    return value <= bar


# -- parts -----------------------------------------------------------------------------


async def slow(target: Target, options: argparse.Namespace) -> bool:
    """Commit → socket while many answers grow: from the unit's beginning, so an upper bound."""
    asked = replace(target, agent="slow-turn", tokens=100, turn_seconds=90.0)

    async def one(chat: ListeningChat) -> Turn:
        await asyncio.sleep(random.uniform(0, RAMP_SECONDS))
        async with asyncio.timeout(asked.turn_seconds):
            return await chat.turn()

    async with chats(asked, options.chats) as opened:
        await asyncio.gather(*(one(chat) for chat in opened))
        delays = opened[0].seen.delays
    return told(
        f"commit to socket, {options.chats} slow-turn",
        delays,
        300 if options.redis else 100,
    )


async def cancel(target: Target, options: argparse.Namespace) -> bool:
    """From the request to stop until the terminal event, while many others run."""
    asked = replace(target, agent="slow-turn", turn_seconds=90.0)

    async def one(chat: ListeningChat) -> float:
        await asyncio.sleep(random.uniform(0, RAMP_SECONDS))
        await chat.send(
            {
                "type": "user_message",
                "id": str(chat.number),
                "data": {"text": "x", "agent": "slow-turn"},
            }
        )
        while (frame := await chat.receive())["type"] != "message_delta":
            pass
        began = time.monotonic()
        await chat.send(
            {"type": "cancel", "data": {"execution_id": frame["execution_id"]}}
        )
        while (await chat.receive())["type"] != "agent_cancelled":
            pass
        return time.monotonic() - began

    async with chats(asked, options.chats) as opened:
        took = await asyncio.gather(*(one(chat) for chat in opened))
    return told("stop to end", list(took), 5000 if options.redis else 2000)


async def idle(target: Target, options: argparse.Namespace) -> bool:
    """The golden path with and without a thousand sockets that only listen."""
    results: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(options.rounds):
        for crowded in (False, True):
            number = options.idle if crowded else 0
            async with chats(target, number):
                await asyncio.sleep(2)
                level = await asyncio.to_thread(run_level, target, 8, options.turns)
            if level.errors:
                raise StartError(f"errors: {level.errors[:3]}")
            results[crowded].append(level.figures["cpu_ms"])
    plain, crowded_cpu = (statistics.median(results[k]) for k in (False, True))
    print(
        f"CPU a turn: {plain:.2f} ms alone, {crowded_cpu:.2f} ms beside {options.idle} idle sockets"
    )
    return ratio_told("turn beside idle sockets", crowded_cpu / plain, 1.5)


async def long(target: Target, _: argparse.Namespace) -> bool:
    """One thread of 420 turns: whether it slows down, and what a turn leaves in memory."""
    process = psutil.Process(target.pid)
    took: list[float] = []
    async with chats(replace(target, turns_per_chat=1000), 1) as opened:
        for n in range(LATE + WINDOW):
            began = time.perf_counter()
            await opened[0].turn()
            took.append(time.perf_counter() - began)
            if n == LATE // 2:
                half = process.memory_info().rss
        grown = (process.memory_info().rss - half) / (LATE + WINDOW - LATE // 2 - 1)
    flat: bool = grown <= 3072
    early = statistics.median(took[EARLY - 10 : EARLY + 10])
    late = statistics.median(took[LATE - 1 : LATE + WINDOW])
    print(
        f"turn {EARLY}: {early * 1e3:.1f} ms, turn {LATE}: {late * 1e3:.1f} ms (medians of 20 around)"
    )
    print(
        f"{'PASS' if flat else 'FAIL'} memory: {grown / 1024:.2f} KiB a turn, bar <= 3 KiB"
    )
    return ratio_told("turn 400", late / early, 1.15) and flat


async def grown(target: Target, options: argparse.Namespace) -> bool:
    """Memory a turn over many chats, after as many turns to warm up."""
    process = psutil.Process(target.pid)
    await asyncio.to_thread(run_level, target, 8, options.turns)
    await asyncio.sleep(2)
    before = process.memory_info().rss
    await asyncio.to_thread(
        run_level, replace(target, level_seconds=600), 8, options.turns
    )
    await asyncio.sleep(2)
    per_turn = (process.memory_info().rss - before) / options.turns
    passed: bool = per_turn <= 3072
    print(
        f"{'PASS' if passed else 'FAIL'} memory: {per_turn / 1024:.2f} KiB a turn over {options.turns} turns, bar <= 3 KiB"
    )
    return passed


PARTS: dict[str, Callable[[Target, argparse.Namespace], Coroutine[Any, Any, bool]]] = {
    "slow": slow,
    "cancel": cancel,
    "idle": idle,
    "long": long,
    "grown": grown,
}


async def worker_memory(
    target: Target, worker: Worker, options: argparse.Namespace
) -> bool:
    """How many executions one worker process holds at once, and in how much memory."""
    asked = replace(target, agent="slow-turn", tokens=100, turn_seconds=120.0)
    process = psutil.Process(worker.pid)
    most_memory = 0.0

    async def watch() -> None:
        nonlocal most_memory
        while True:
            await asyncio.sleep(0.5)
            found = [process, *process.children(recursive=True)]
            most_memory = max(
                most_memory, sum(p.memory_full_info().pss for p in found) / 2**20
            )

    async with chats(asked, options.chats) as opened:
        watching = asyncio.create_task(watch())
        turns = await asyncio.gather(*(chat.turn() for chat in opened))
        watching.cancel()
    first = max(turn.started for turn in turns)
    together = sum(turn.started + (turn.final or 0) > first for turn in turns)
    passed = together >= 200 and most_memory <= 150
    print(
        f"{'PASS' if passed else 'FAIL'} one worker: {together} executions at once, "
        f"{most_memory:.0f} MB (PSS); bar >= 200 in <= 150 MB"
    )
    return passed


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=[*PARTS, "worker"])
    parser.add_argument("--database", default=SQLITE)
    parser.add_argument("--redis", default="")
    parser.add_argument("--server", choices=SERVERS, default="uvicorn")
    parser.add_argument("--chats", type=int, default=100)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def main() -> int:
    options = parsed()
    exit_on_sigterm()
    if options.part == "worker" and not options.redis:
        print("the part `worker` needs --redis and a PostgreSQL --database")
        return 2
    try:
        with installed(options, max(options.chats, 50)) as (target, _, worker):
            if options.part == "worker":
                assert worker is not None
                return 0 if asyncio.run(worker_memory(target, worker, options)) else 1
            return 0 if asyncio.run(PARTS[options.part](target, options)) else 1
    except StartError as error:
        print(error)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
