"""Several servers and workers on one database: the same events everywhere, whoever is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import redis

from tests.live.chat import Chat, check_log
from tests.live.cluster import AbsentError, Cluster, Server, empty_redis
from tests.live.installation import free_port

pytestmark = [
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.xdist_group("live-distributed"),
]
GOLDEN = "".join(f"tok{n} " for n in range(20))
SLOW = "".join(f"tok{n} " for n in range(100))
TURN = [
    "message_created", "agent_started", "agent_thinking", "tool_executing", "tool_completed",
    "agent_completed",
]  # fmt: skip
RECOVERY = 60.0  # a lease of 30 s, a sweep, and a turn of ten seconds on a busy machine
Connect = Callable[..., Awaitable[Chat]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two servers and a worker with Redis between them."""
    try:
        url = empty_redis()
        made = Cluster(tmp_path_factory.mktemp("cluster"), url)
        made.create()
    except AbsentError as error:
        pytest.skip(str(error))
    try:
        made.servers(2)
        made.worker()
        yield made
    finally:
        made.close()
        with redis.Redis.from_url(url) as client:
            client.flushdb()


@pytest.fixture
def two(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[list[Server]]:
    yield [p for p in cluster.processes if isinstance(p, Server)]
    request.node.add_report_section("teardown", "logs", cluster.said())


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A database without Redis."""
    made = Cluster(tmp_path_factory.mktemp("alone"))
    try:
        made.create()
    except AbsentError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    opened: list[Chat] = []

    async def open_one(server: Server, person: str) -> Chat:
        chat = await Chat.open(server, person)  # type: ignore[arg-type]  # it has what is used
        opened.append(chat)
        assert (await chat.receive())["type"] == "connection_established"
        return chat

    yield open_one
    for chat in opened:
        await chat.close()


async def same_log(one: Chat, other: Chat, thread_id: str) -> None:
    """Both heard every event of the thread, once each and in order."""
    check_log(one.events(thread_id))
    assert one.events(thread_id) == other.events(thread_id)


@pytest.mark.golden_path
@pytest.mark.mission_critical
async def test_a_turn_is_seen_alike_through_both_servers(
    cluster: Cluster, two: list[Server], connect: Connect
):
    person = cluster.someone()
    here, there = await connect(two[0], person), await connect(two[1], person)
    first = await here.ask("golden-turn")
    await there.subscribe(first["thread_id"])
    await here.end_of(first["execution_id"])

    second = await here.ask("golden-turn", thread_id=first["thread_id"])
    for chat in (here, there):
        end = await chat.end_of(second["execution_id"])
        assert end["data"]["text"] == GOLDEN

    assert here.kinds() == TURN * 2
    await same_log(here, there, first["thread_id"])


async def test_the_text_grows_alike_through_both_servers(
    cluster: Cluster, two: list[Server], connect: Connect
):
    person = cluster.someone()
    here, there = await connect(two[0], person), await connect(two[1], person)
    asked = await here.ask("slow-turn")
    await here.until(
        lambda f: f["type"] == "message_delta" and f["data"]["offset"] > 60
    )

    await there.subscribe(asked["thread_id"])
    snapshot = await there.until(lambda f: f["type"] == "message_snapshot")
    await there.until(lambda f: f["type"] == "message_delta", patience=5)
    for chat in (here, there):
        await chat.end_of(asked["execution_id"])

    assert SLOW.startswith(snapshot["data"]["text"])
    assert here.text_of(asked["execution_id"]) == SLOW
    assert there.text_of(asked["execution_id"]) == SLOW
    await same_log(here, there, asked["thread_id"])


async def test_an_answer_is_stopped_through_the_other_server(
    cluster: Cluster, two: list[Server], connect: Connect
):
    person = cluster.someone()
    here, there = await connect(two[0], person), await connect(two[1], person)
    asked = await here.ask("slow-turn")
    await there.subscribe(asked["thread_id"])
    await here.until(lambda f: f["type"] == "message_delta")

    await there.send("cancel", id="stop", execution_id=asked["execution_id"])
    await there.answer("stop", "cancel_accepted")
    for chat in (here, there):
        end = await chat.end_of(asked["execution_id"], patience=5)
        assert end["type"] == "agent_cancelled"
        assert SLOW.startswith(end["data"]["text"])

    await same_log(here, there, asked["thread_id"])


async def test_a_persons_other_sockets_hear_of_a_thread_through_another_server(
    cluster: Cluster, two: list[Server], connect: Connect
):
    person, other = cluster.someone(), cluster.someone()
    here, there = await connect(two[0], person), await connect(two[1], person)
    stranger = await connect(two[1], other)

    asked = await here.ask("golden-turn")
    changed = await there.until(lambda f: f["type"] == "thread_changed")
    await stranger.settled()

    assert changed["data"]["thread_id"] == asked["thread_id"]
    assert [f["type"] for f in stranger.frames] == ["connection_established", "pong"]


@pytest.mark.faults
@pytest.mark.mission_critical
async def test_what_a_killed_worker_ran_is_run_again_by_another(
    cluster: Cluster, two: list[Server], connect: Connect
):
    person = cluster.someone()
    here, there = await connect(two[0], person), await connect(two[1], person)
    asked = await here.ask("slow-turn")
    await there.subscribe(asked["thread_id"])
    await here.until(lambda f: f["type"] == "message_delta")

    for process in [p for p in cluster.processes if not isinstance(p, Server)]:
        process.kill()
    cluster.worker()
    for chat in (here, there):
        await chat.until(lambda f: f["type"] == "attempt_started", RECOVERY)
        end = await chat.end_of(asked["execution_id"], RECOVERY)
        assert end["data"]["text"] == SLOW == chat.text_of(asked["execution_id"])

    await same_log(here, there, asked["thread_id"])


@pytest.mark.faults
async def test_a_worker_that_is_told_to_end_hands_back_what_it_cannot_finish(
    cluster: Cluster, two: list[Server], connect: Connect
):
    here = await connect(two[0], cluster.someone())
    asked = await here.ask("hanging-turn")
    await here.until(lambda f: f["type"] == "agent_started")
    (ending,) = [
        p
        for p in cluster.processes
        if not isinstance(p, Server) and p.popen.poll() is None
    ]
    cluster.worker()

    assert ending.terminate() == 0

    golden = await here.ask("golden-turn")  # the other one works
    await here.end_of(golden["execution_id"])
    await here.until_told(asked["thread_id"], "attempt_started")
    await here.send("cancel", execution_id=asked["execution_id"])
    end = await here.end_of(asked["execution_id"])
    assert end["type"] == "agent_cancelled"
    assert here.kinds(asked["thread_id"]).count("agent_started") == 1
    # What the next runner says begins anew, so clients must be told (decision 7).
    assert here.kinds(asked["thread_id"]).count("attempt_started") == 1


@pytest.mark.faults
async def test_without_redis_the_servers_and_workers_go_on_by_polling(
    alone: Cluster, connect: Connect
):
    alone.redis_url = f"redis://127.0.0.1:{free_port()}/0"
    (server,) = alone.servers(1)
    worker = alone.worker()
    here = await connect(server, alone.someone())

    asked = await here.ask("golden-turn")
    end = await here.end_of(asked["execution_id"])

    assert end["data"]["text"] == GOLDEN
    check_log(here.events())
    assert server.said().count("everything goes on by polling") == 1
    assert "Traceback" not in server.said()
    assert worker.terminate() == 0, worker.said()


async def test_on_postgresql_alone_two_servers_tell_the_same(
    alone: Cluster, connect: Connect
):
    one, other = alone.servers(2)
    person = alone.someone()
    here, there = await connect(one, person), await connect(other, person)
    asked = await here.ask("slow-turn")
    await there.subscribe(asked["thread_id"])
    await here.until(lambda f: f["type"] == "message_delta")

    await there.send("cancel", execution_id=asked["execution_id"])
    for chat in (here, there):
        end = await chat.end_of(asked["execution_id"], patience=5)
        assert end["type"] == "agent_cancelled"

    again = await there.ask("golden-turn", thread_id=asked["thread_id"])
    for chat in (here, there):
        end = await chat.end_of(again["execution_id"], patience=5)
        assert end["data"]["text"] == GOLDEN
    await same_log(here, there, asked["thread_id"])
