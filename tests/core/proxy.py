"""A wire to PostgreSQL that is cut at a COMMIT: before the server heard it, or before its answer came."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum

TAG = b"COMMIT"  # in the question, and in the answer


class Cut(StrEnum):
    """Where the next COMMIT is cut off."""

    BEFORE = "before the server heard it"
    AFTER = "after the server did it"


class CuttingProxy:
    """Passes everything on, until it is told to cut once."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cut: Cut | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with closing(client), socket.create_connection(self._server) as server:
            other = {client: server, server: client}
            while True:
                for side in select.select([client, server], [], [], 20)[0]:
                    data = side.recv(65536)
                    if not data:
                        return
                    if side is client and TAG in data and self._cuts(server, data):
                        return
                    other[side].sendall(data)

    def _cuts(self, server: socket.socket, data: bytes) -> bool:
        cut, self.cut = self.cut, None
        if cut is Cut.AFTER:
            server.sendall(data)
            while TAG not in server.recv(65536):
                continue
        return cut is not None


@contextmanager
def cutting(host: str, port: int) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy((host, port))
    try:
        yield proxy
    finally:
        proxy.close()
