"""Threads: the measured number is the best one and is kept; fewer while other processes want the cores."""

import json
import subprocess
import sys
import time

import psutil
import pytest

from runtime.device import allowed_cpus
from runtime.threads import BusyCores, Watch, candidates, tune, tuned_threads


class Machine:
    """A clock that a step moves on by the time that its threads take, more so the first; others keep cores busy."""

    def __init__(self, step_s, busy=0.0):
        self.step_s, self.busy, self.now, self.steps = step_s, busy, 100.0, []

    def clock(self):
        return self.now

    def others(self):
        return self.busy

    def step(self, count):
        is_first = self.steps[-1:] != [count]
        self.steps.append(count)
        self.now += self.step_s[count] * (9.0 if is_first else 1.0)

    def tune(self, cores):
        return tune(self.step, "model", cores, Watch(cores, cores, self.others), self.clock)


def run(steps):
    """What a generator returns in the end."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


@pytest.mark.parametrize(("step_s", "expected"), [
    ({1: 0.4, 2: 0.2, 3: 0.14, 4: 0.11}, 4),
    ({1: 0.4, 2: 0.2, 3: 0.3, 4: 0.9}, 2),
    ({1: 0.100, 2: 0.099, 3: 0.098, 4: 0.098}, 1),          # a thread that gains next to nothing stays free
    ({1: 0.1, 2: 0.09, 3: 0.2, 4: 0.5}, 2),
], ids=["all", "two", "no gain", "memory bound"])
def test_the_fastest_number_is_found_and_kept(galen_home, step_s, expected):
    machine = Machine(step_s)
    assert tuned_threads("model") == 0
    assert run(machine.tune(4)) == expected == tuned_threads("model")
    assert tuned_threads("another") == 0
    kept = json.loads((galen_home / "cache/threads-model.json").read_text())
    assert kept["steps_per_s"] == {str(count): pytest.approx(1 / s, rel=0.01) for count, s in step_s.items()}


def test_a_measurement_of_another_machine_or_version_is_not_used(galen_home):
    run(Machine({1: 0.2, 2: 0.1}).tune(2))
    file = galen_home / "cache/threads-model.json"
    kept = json.loads(file.read_text())
    assert tuned_threads("model") == 2
    file.write_text(json.dumps({**kept, "machine": [*kept["machine"][:-1], "0.0.1"]}))
    assert tuned_threads("model") == 0
    file.write_text("{\"threads\": 7}")
    assert tuned_threads("model") == 0
    file.write_text("no JSON")
    assert tuned_threads("model") == 0


def test_each_step_can_be_interrupted_and_an_unfinished_measurement_leaves_nothing(galen_home):
    machine = Machine({1: 0.2, 2: 0.1})
    tuning = machine.tune(2)
    for made in range(1, 6):
        next(tuning)
        assert len(machine.steps) == made                   # one step between two chances to stop
    tuning.close()
    assert tuned_threads("model") == 0 and not (galen_home / "cache").exists()


def test_nothing_is_measured_while_others_want_the_cores(galen_home):
    machine = Machine({1: 0.2, 2: 0.1, 3: 5.0, 4: 9.0}, busy=1.0)
    assert run(machine.tune(4)) == 0 == tuned_threads("model")
    assert set(machine.steps) == {1}                        # before a step with too many threads


def test_candidates_reach_the_last_core_without_trying_all_of_many():
    assert candidates(1) == [1] and candidates(4) == [1, 2, 3, 4]
    assert candidates(16) == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 16]
    assert len(candidates(128)) < 24 and candidates(128)[-1] == 128


class Watched:
    """A Watch that sees other processes keep some cores busy, second by second."""

    def __init__(self, tuned, cores):
        self.busy, self.now, self.looks = 0.0, 0.0, 0
        self.watch = Watch(tuned, cores, self.others)
        self.watch.threads(self.now)

    def others(self):
        self.looks += 1
        return self.busy

    def after(self, seconds, busy, step=0.05):
        self.busy = busy
        for _ in range(round(seconds / step)):
            self.now += step
            found = self.watch.threads(self.now)
        return found


@pytest.mark.parametrize(("cores", "busy", "expected"), [
    (4, 0.0, 4), (4, 0.3, 4), (4, 0.8, 3), (4, 1.0, 3), (4, 1.7, 2), (4, 2.9, 1), (4, 4.0, 1), (2, 0.2, 2),
    (2, 0.67, 1), (2, 1.0, 1), (1, 0.5, 1),
])
def test_threads_leave_the_cores_that_others_take(cores, busy, expected):
    watched = Watched(cores, cores)
    assert watched.after(1.0, 0.0) == cores
    assert watched.after(1.0, busy) == expected
    assert watched.after(3.0, 0.0) == cores


def test_one_busy_core_is_seen_within_half_a_second_and_its_end_only_after_a_second():
    watched = Watched(4, 4)
    assert watched.after(0.5, 0.8) == 3
    watched.after(2.0, 1.0)
    assert watched.after(0.8, 0.0) == 3 and watched.after(1.2, 0.0) == 4


def test_the_number_does_not_swing_when_the_load_lies_between_two_choices():
    watched = Watched(2, 2)
    watched.after(1.0, 0.0)
    assert {watched.after(0.2, 0.3 + 0.1 * (k % 2)) for k in range(50)} == {2}
    watched.after(1.0, 1.0)
    assert {watched.after(0.2, 0.3 + 0.1 * (k % 2)) for k in range(50)} == {1}


def test_a_small_model_stays_at_one_thread_and_no_number_exceeds_the_tuned_one():
    assert Watched(1, 8).after(5.0, 0.0) == 1
    watched = Watched(3, 8)
    assert watched.after(1.0, 4.0) == 3 and watched.after(1.0, 6.0) == 2


def test_the_machine_is_looked_at_five_times_a_second_however_many_steps_there_are():
    watched = Watched(4, 4)
    watched.after(2.0, 0.0, step=0.0005)
    assert 9 <= watched.looks <= 12


def test_after_a_pause_the_first_look_counts_in_full():
    watched = Watched(2, 2)
    watched.after(1.0, 0.0)
    assert watched.after(60.0, 0.7, step=60.0) == 1


def test_our_own_threads_do_not_count_as_others():
    seconds = [(0.0, 0.0, 0.0)]
    busy = BusyCores(4, lambda: seconds[-1])
    seconds.append((4.0, 4.0, 4.0))                         # four cores for a second, all of it ours
    assert busy.others() == 0.0
    seconds.append((8.0, 7.0, 5.0))                         # three busy, one of them ours
    assert busy.others() == pytest.approx(2.0)
    assert busy.others() == 0.0                             # no time has passed
    seconds.append((12.0, 7.5, 6.0))                        # counters tick apart: never below nothing
    assert busy.others() == 0.0


def test_busy_processes_are_seen_and_so_is_their_end():
    cores = len(allowed_cpus())
    watch = Watch(cores + 1, cores + 1)
    loads = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        assert until(watch, lambda found: found == 1)
    finally:
        for load in loads:
            load.kill()
            load.wait()
    assert until(watch, lambda found: found > 1 or psutil.cpu_percent(0.5) > 75)      # others may keep it busy


def until(watch, is_seen):
    """True as soon as is_seen(threads); the machine may be busy with other things for two minutes."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if is_seen(watch.threads(time.monotonic())):
            return True
        time.sleep(0.05)
    return False
