"""A relay on a loopback port that forwards to a real service; it can speak TLS and drop its connections."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Relay:
    """Forward all bytes in both directions; `connections` counts the connections of clients.

    Args:
        port: The port of the service on this machine.
        context: The relay's TLS certificate; `None` expects plain text.
    """

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self._target, self._context = port, context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.connections = 0

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return int(self._listening.getsockname()[1])

    def hang_up(self) -> None:
        """Shut down and close all connections."""
        while self._open:
            connection = self._open.pop()
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def close(self) -> None:
        """Stop listening and close all connections."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that blocks in `accept`
        self._listening.close()
        self.hang_up()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        try:
            client = self._context.wrap_socket(client, server_side=True) if self._context else client
        except OSError:  # the client does not trust the certificate
            client.close()
            return
        service = socket.create_connection(("127.0.0.1", self._target))
        self._open += [client, service]
        self._start(_pump, client, service)
        _pump(service, client)

    def _start(self, function: object, *args: socket.socket) -> None:
        self._threads.append(threading.Thread(target=function, args=args))
        self._threads[-1].start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError), source.makefile("rb", buffering=0) as received, target.makefile("wb", buffering=0) as sent:
        shutil.copyfileobj(received, sent, 1 << 16)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def open_relay(port: int, context: ssl.SSLContext | None = None) -> Iterator[Relay]:
    """Yield a relay that forwards to the port, and close it after the block."""
    relay = Relay(port, context)
    try:
        yield relay
    finally:
        relay.close()
