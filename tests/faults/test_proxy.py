"""The fault proxy does what it is told, or the faults that use it show nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import FaultProxy
from tests.live.installation import free_port

pytestmark = [pytest.mark.faults, pytest.mark.live]
SHORT, LONG = 0.3, 5.0


class Echo:
    """A server that sends back what it gets, and remembers what became of its connections."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.ends: list[str] = []
        self.heard: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    self.heard.append(data)
                    connection.sendall(data)
                self.ends.append("closed")
            except OSError:
                self.ends.append("reset")


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listening.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    with FaultProxy(echo.port) as running:
        yield running


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=LONG) as opened:
        opened.sendall(b"hello")
        assert opened.recv(100) == b"hello"
        yield opened


def until(what) -> None:
    give_up = time.monotonic() + LONG
    while not what():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def silent(client: socket.socket) -> bool:
    client.settimeout(SHORT)
    try:
        client.recv(100)
    except TimeoutError:
        return True
    finally:
        client.settimeout(LONG)
    return False


def test_it_passes_everything_on_in_order(client) -> None:
    sent = bytes(range(256)) * 4000
    threading.Thread(target=client.sendall, args=[sent], daemon=True).start()
    got = b""
    while len(got) < len(sent):
        got += client.recv(65_536)

    assert got == sent


def test_the_end_of_one_side_reaches_the_other(client, echo) -> None:
    client.shutdown(socket.SHUT_WR)

    assert client.recv(100) == b""
    until(lambda: echo.ends == ["closed"])


def test_delayed_words_come_late_and_all_at_once(client, proxy) -> None:
    proxy.delay(SHORT / 2)
    began = time.monotonic()
    for _ in range(20):
        client.sendall(b"x")
        time.sleep(0.002)
    got = b""
    while len(got) < 20:
        got += client.recv(100)

    assert SHORT <= time.monotonic() - began < 10 * SHORT


def test_a_throttled_wire_is_slow(client, proxy) -> None:
    proxy.throttle(1000)
    began = time.monotonic()
    client.sendall(b"x" * 200)
    got = b""
    while len(got) < 200:
        got += client.recv(1000)

    assert time.monotonic() - began >= 0.35  # both ways


def test_a_frozen_wire_keeps_what_was_said(client, proxy, echo) -> None:
    proxy.freeze()
    client.sendall(b"later")

    assert silent(client)
    assert echo.heard == [b"hello"]
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=LONG) as other:
        other.sendall(b"me too")
        assert silent(other)
        proxy.mend()
        assert (client.recv(100), other.recv(100)) == (b"later", b"me too")


def test_a_reset_breaks_both_sides(client, proxy, echo) -> None:
    assert proxy.reset() == 1

    with pytest.raises(ConnectionResetError):
        client.recv(100)
    until(lambda: echo.ends == ["reset"])
    until(lambda: not proxy.links)


def test_refusing_leaves_those_who_are_in(client, proxy) -> None:
    proxy.refuse()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=LONG)
    client.sendall(b"still here")
    assert client.recv(100) == b"still here"
    proxy.mend()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=LONG) as other:
        other.sendall(b"again")
        assert other.recv(100) == b"again"


def test_a_half_open_connection_is_gone_for_one_side_only(client, proxy, echo) -> None:
    assert proxy.leave_half_open() == 1

    with pytest.raises(ConnectionResetError):
        client.recv(100)
    time.sleep(SHORT)
    assert echo.ends == []


def test_cut_off_means_nobody_gets_in_or_stays(client, proxy) -> None:
    proxy.cut()

    with pytest.raises(ConnectionResetError):
        client.recv(100)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=LONG)


def test_a_target_that_is_not_there_is_a_reset() -> None:
    # The reset may come while the client still connects.
    with (
        FaultProxy(free_port()) as proxy,
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", proxy.port), timeout=LONG) as late,
    ):
        late.recv(100)
