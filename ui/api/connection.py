"""One connection of the server: closed if the head of a request does not come in time.

uvicorn waits for ever for a head that was begun, or that never is; guard.py sees requests, and this is none yet.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """uvicorn's, and head_s: from the opening, or the first byte of a later request, to the last line of its head."""

    head_s = 30.0               # browsers open connections ahead, and lose nothing if those are closed
    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:    # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Begin to count while a head is awaited, however slowly it comes; stop once it is there."""
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._closing is None:
            self._closing = self.loop.call_later(self.head_s, self.transport.close)

    def _forget(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
