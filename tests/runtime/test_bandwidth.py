"""The bandwidth test: what it measures, what it is kept for, and that it gives way."""

import json
import time
from dataclasses import asdict, replace

import psutil
import pytest

from models import runs
from models.errors import UserError
from runtime import bandwidth
from runtime.bandwidth import MEASURED, Bandwidth, Busy
from runtime.matvec import COLUMNS, LEAST_ROUNDS, MOST_ROUNDS, Processor
from runtime.threads import BusyCores
from tests.processes import command

IDLE = Bandwidth(gb_s=20.0, by_type=dict.fromkeys(MEASURED, 15.0), step_us=1.0, one_gb_s=10.0,
                 one_step_us=0.3, threads=2, machine=bandwidth.machine_now(), measured_at=1.0)


def cores(others_busy: float) -> BusyCores:
    """Four cores of which other processes keep so many busy; nothing of ours runs."""
    seconds = iter(range(1000))

    def counters():
        now = float(next(seconds))
        return 4 * now, others_busy * now, 0.0

    return BusyCores(4, counters)


def kept(home, **changes):
    folder = home / "cache"
    folder.mkdir(exist_ok=True)
    values = asdict(replace(IDLE, **changes))
    (folder / bandwidth.FILE).write_text(json.dumps(values))


def test_every_type_is_measured_in_gigabytes_a_second():
    found = bandwidth.figures(cores(0.0), threads=1)
    assert set(found["by_type"]) == set(MEASURED) and all(rate > 0 for rate in found["by_type"].values())
    assert found["gb_s"] == max(found["by_type"].values()) and found["step_us"] > 0 and found["threads"] == 1
    json.dumps(found)


def test_nothing_is_measured_while_other_programs_have_the_cores():
    with pytest.raises(Busy, match=r"other programs keep 1\.0 of its cores busy"):
        bandwidth.figures(cores(1.0), threads=1)


def test_the_fastest_of_several_rounds_counts():
    times = iter([0.0, 0.0, 1.0, 10.0, 14.0, *[99.0] * 100])     # the first round takes 1 s, the second 4 s
    processor = Processor(clock=lambda: next(times))
    try:
        size = 64 * COLUMNS * 2
        assert processor.bytes_per_s("F16", size, [1], longest_s=0.0) == size
    finally:
        processor.close()


def test_a_slow_machine_is_measured_in_few_rounds_and_a_fast_one_in_some():
    for tick, rounds in ((1.0, LEAST_ROUNDS), (0.0, MOST_ROUNDS)):
        asked = [0]

        def clock(tick: float = tick, asked: list[int] = asked) -> float:
            asked[0] += 1
            return asked[0] * tick + asked[0] * 1e-9

        processor = Processor(clock=clock)
        processor.step_s(1, longest_s=0.5)
        processor.close()
        assert asked[0] - 1 in (rounds * 2 + 1, rounds * 3 - LEAST_ROUNDS + 1), (tick, asked)


def test_what_was_measured_is_kept_for_this_machine_only(galen_home):
    assert bandwidth.known() is None
    kept(galen_home)
    assert bandwidth.known() == IDLE and bandwidth.bandwidth() == IDLE
    processor, threads, *library = bandwidth.machine_now()
    for other in (("another", threads, *library), (processor, "99", *library), (processor, threads, "0.1", "1")):
        kept(galen_home, machine=other)
        assert bandwidth.known() is None, other


@pytest.mark.parametrize("text", ["", "{", "[]", '{"gb_s": 3}', '{"machine": 3}', '{"machine": [], "new": 1}'])
def test_a_damaged_note_is_measured_anew(galen_home, text):
    kept(galen_home)
    (galen_home / "cache" / bandwidth.FILE).write_text(text)
    assert bandwidth.known() is None


def test_measuring_ends_at_once_when_a_model_is_wanted(galen_home):
    began = time.time()
    with pytest.raises(Busy, match="measured: it is busy"):
        bandwidth.measure(lambda: True)
    left = [one for one in psutil.Process().children() if one.create_time() >= began - 1
            and "runtime.bandwidth" in " ".join(command(one))]
    assert not left and not (galen_home / "cache" / bandwidth.FILE).exists()


def test_a_real_measurement_is_kept_or_says_why_there_is_none(galen_home):
    try:
        found = bandwidth.measure()
    except Busy as error:                       # the tests run beside each other
        assert isinstance(error, UserError) and "could not be measured" in str(error)
    else:
        assert bandwidth.known() == found and found.gb_s > 0
        assert runs.read_json(galen_home / "cache" / bandwidth.FILE)["threads"] == found.threads
