import threading

import pytest

from models.errors import UserError
from tests.ui.fakes import wait_for
from ui.chore import Chore, Progress


def test_a_chore_tells_how_far_it_is_and_how_it_ended():
    chore, go_on = Chore(), threading.Event()

    def work(progress: Progress) -> str:
        progress.begin("Copying", 10)
        progress.add(4)
        assert go_on.wait(60)
        return "All is copied."

    assert chore.state.title == ""
    chore.start("The move", work)
    wait_for(lambda: chore.state.share == 0.4)
    assert chore.state.is_running and chore.state.words == "Copying"
    with pytest.raises(UserError, match="The move is not done yet"):
        chore.start("Another", work)
    go_on.set()
    wait_for(lambda: not chore.state.is_running)
    assert chore.state.outcome == "All is copied." and chore.state.problem == ""


def test_cancel_ends_it_at_the_next_piece():
    chore, seen = Chore(), []

    def work(progress: Progress) -> str:
        progress.begin("Copying", 1 << 30)
        while True:
            progress.add(1)
            seen.append(1)

    chore.start("The backup", work)
    wait_for(lambda: len(seen) > 3)
    chore.close()
    assert not chore.state.is_running and "Cancelled, as asked" in chore.state.problem
    chore.start("The next", lambda progress: "Done.")
    wait_for(lambda: chore.state.outcome == "Done.")


def test_what_the_user_can_fix_is_told():
    def work(progress: Progress) -> str:
        raise UserError("The disk is full.")

    chore = Chore()
    chore.start("The backup", work)
    wait_for(lambda: chore.state.problem == "The disk is full.")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_is_one_sentence():
    chore = Chore()
    chore.start("The backup", lambda progress: str(1 // 0))
    wait_for(lambda: "fault inside Galen" in chore.state.problem)
    chore.close()
