"""Prompts that are answered together: each as it comes to its end, all of them told when the last one has."""

from models.errors import UserError
from runtime.messages import Completed, Failed
from runtime.scheduler import Request


class Group:
    """Requests of one message and what has become of them. For one thread, but for cancel()."""

    def __init__(self, number: int, requests: list[Request]):
        self.number, self.requests = number, requests
        self._reasons: dict[int, str] = {}      # by the place in requests
        self._error = ""

    def ended(self, request: Request, reason: str | UserError) -> Completed | Failed | None:
        """Note how one ended; the answer to the message, once it was the last. A failure ends the others."""
        if isinstance(reason, UserError):
            self._error = self._error or str(reason)
            for other in self.requests:
                other.is_cancelled = True
        self._reasons[self.requests.index(request)] = str(reason)
        if len(self._reasons) < len(self.requests):
            return None
        if self._error:
            return Failed(self.number, self._error, True)
        return Completed(self.number, [(one.whole, len(one.made), self._reasons[k])
                                       for k, one in enumerate(self.requests)])
