"""How much the API takes on at once: so many requests at work, a bounded queue behind them, a time limit for each."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from models.errors import UserError
from runtime.config import LoadConfig
from runtime.session import Session

MAX_WAITING = 32                # requests behind those at work
QUEUE_S, WORK_S = 300.0, 1800.0         # the longest wait in the queue, and the longest work
MODEL_S = 120.0                 # how long a request waits for its model to be loaded, or for another one to be left
READ_S = 60.0                   # a client that takes nothing of its answer for so long has gone
SMOOTHING = 0.2
LONGEST_RETRY_S = 60


class Full(UserError):
    """Too many requests wait already; retry_s: when another try is worth its while."""

    def __init__(self, text: str, retry_s: int):
        super().__init__(text)
        self.retry_s = retry_s


class TooLong(UserError):
    """A request took longer than any may."""


class Admission:
    """Gives turns in the order in which they were asked for. Used on the event loop only."""

    def __init__(self, session: Session, max_waiting: int = MAX_WAITING, queue_s: float = QUEUE_S,
                 work_s: float = WORK_S, read_s: float = READ_S):
        self._session = session
        self._max_waiting, self._queue_s, self._work_s = max_waiting, queue_s, work_s
        self.read_s = read_s
        self._at_work = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._turn_s = 1.0                      # of one turn, about

    @property
    def slots(self) -> int:
        """How many requests may be at work at once: as many as the model answers together."""
        info = self._session.info
        return info.slots if info else LoadConfig().slots

    @property
    def retry_s(self) -> int:
        """Whole seconds after which a place in the queue is likely to be free."""
        return max(1, min(LONGEST_RETRY_S, math.ceil(self._turn_s * (len(self._waiting) + 1) / self.slots)))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Be at work for as long as the block runs. Raises Full, or TooLong when the block took too long."""
        await self._enter()
        began = time.monotonic()
        limit = asyncio.timeout(self._work_s)
        try:
            async with limit:
                yield
        except TimeoutError as error:
            if limit.expired():
                raise TooLong(f"The request took more than {self._work_s:,.0f} seconds and was ended; ask for a "
                              "shorter answer.") from error
            raise
        finally:
            self._turn_s += SMOOTHING * (time.monotonic() - began - self._turn_s)
            self._at_work -= 1
            self._let_in()

    async def _enter(self) -> None:
        if self._at_work < self.slots and not self._waiting:
            self._at_work += 1
            return
        if len(self._waiting) >= self._max_waiting:
            raise Full(f"{self._at_work} requests are at work and {len(self._waiting)} wait; try again in "
                       f"{self.retry_s} s.", self.retry_s)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._queue_s):
                await place
        except (TimeoutError, asyncio.CancelledError) as error:
            if place.done() and not place.cancelled():          # it was let in at the same moment
                self._at_work -= 1
                self._let_in()
            elif place in self._waiting:
                self._waiting.remove(place)
            if isinstance(error, TimeoutError):
                raise Full(f"No place became free in {self._queue_s:,.0f} seconds; try again later.",
                           self.retry_s) from error
            raise

    def _let_in(self) -> None:
        while self._waiting and self._at_work < self.slots:
            place = self._waiting.popleft()
            if not place.done():                # else its client has just gone
                self._at_work += 1
                place.set_result(None)
