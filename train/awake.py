"""The machine kept awake while a run computes, where the system allows it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def awake(is_wanted: bool, note: Callable[[str], None]) -> Iterator[None]:
    """Ask the system not to sleep until the block ends (the screen may). note is told when it can not be asked."""
    if not is_wanted:
        yield
        return
    from wakepy import keep
    with keep.running(on_fail="pass") as mode:
        if not mode.active:
            note("This system can not be asked to stay awake: see to it that the machine does not sleep before the "
                 "run is done. A run that was interrupted goes on with --resume.")
        yield
