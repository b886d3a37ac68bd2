"""The test of the computer's speed: in the background, never while a model answers, not before it is wanted."""

import threading

import pytest

from models.errors import UserError
from runtime.bandwidth import MEASURED, Bandwidth, Busy
from runtime.device import Device
from tests.ui.fakes import wait_for
from ui.actions.measuring import Measuring

FOUND = Bandwidth(gb_s=30.0, by_type=dict.fromkeys(MEASURED, 20.0), step_us=1.0, one_gb_s=10.0,
                  one_step_us=0.3, threads=2, machine=(), measured_at=1.0)
GPU = Device(name="CUDA0", description="a GPU", kind="gpu", backend="CUDA", free_mb=8000, total_mb=8000)


class Test:
    """What is measured, and when: the bandwidth test of a machine that may be busy."""
    __test__ = False

    def __init__(self, is_busy=False, known=None):
        self.is_busy, self._known, self.began, self.ended = is_busy, known, 0, 0
        self.waits = threading.Event()          # set: a measurement lasts until it is stopped

    def known(self):
        return self._known

    def measure(self, is_stopped):
        self.began += 1
        if self.waits.is_set():
            wait_for(is_stopped)
            self.ended += 1
            raise Busy("it was stopped")
        return FOUND


@pytest.fixture
def measuring(request):
    """measuring(test): closed at the end."""
    made = []

    def make(test, gpus=lambda: (), start_s=0.0, retry_s=0.01):
        made.append(Measuring(lambda: test.is_busy, test.known, test.measure, gpus, start_s, retry_s))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_it_begins_when_it_is_asked_and_not_before(measuring):
    test = Test()
    one = measuring(test)
    assert not one._thread and test.began == 0
    assert one.bandwidth() in (None, FOUND)
    wait_for(lambda: one.bandwidth() == FOUND)
    assert test.began == 1 and one.problem() == "" and one.gpus() == ()


def test_it_waits_for_the_first_page(measuring):
    test = Test()
    one = measuring(test, start_s=60.0)
    assert one.bandwidth() is None and one.gpus() is None
    one.close()
    assert test.began == 0 and one.bandwidth() is None


def test_what_is_known_is_not_measured_again(measuring):
    test = Test(known=FOUND)
    one = measuring(test, gpus=lambda: (GPU,))
    one.gpus()
    wait_for(lambda: one.bandwidth() == FOUND)
    assert test.began == 0 and one.gpus() == (GPU,)


def test_nothing_is_measured_while_a_model_answers(measuring):
    test = Test(is_busy=True)
    one = measuring(test)
    one.bandwidth()
    wait_for(lambda: "when no model is in use" in one.problem())
    assert test.began == 0 and one.bandwidth() is None
    test.is_busy = False
    wait_for(lambda: one.bandwidth() == FOUND)
    assert one.problem() == ""


def test_a_measurement_that_has_begun_is_ended_when_a_model_is_wanted(measuring):
    test = Test()
    test.waits.set()
    one = measuring(test)
    one.bandwidth()
    wait_for(lambda: test.began)
    assert test.ended == 0
    test.is_busy = True
    wait_for(lambda: test.ended)
    assert one.bandwidth() is None


def test_the_end_of_galen_ends_it(measuring):
    test = Test()
    test.waits.set()
    one = measuring(test)
    one.bandwidth()
    wait_for(lambda: test.began)
    one.close()
    assert test.ended == 1
    one.bandwidth()
    assert test.began == 1


def test_a_library_that_can_not_be_used_is_said_once(measuring):
    def gpus():
        raise UserError("llama.cpp's library can not be loaded.")

    one = measuring(Test(), gpus=gpus)
    one.bandwidth()
    wait_for(one.problem)
    assert one.problem() == "llama.cpp's library can not be loaded." and one.bandwidth() is None
