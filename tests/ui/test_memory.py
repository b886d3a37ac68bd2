"""Peak memory of a process tree, seen from outside."""

import subprocess
import sys

from models import runs
from ui.memory import PeakMemory

MEASURED = """
import subprocess, sys, time
from ui.memory import PeakMemory
for held_s in (1.5, 6, 24):             # a busy machine may not have looked in so short a time
    memory = PeakMemory()
    memory.start()
    time.sleep(1.0)
    script = f"x = b'1' * 300_000_000; import time; time.sleep({held_s})"
    subprocess.run([sys.executable, "-c", script], check=True)
    peak = memory.stop()
    if peak > 300:
        break
print(peak)
"""


def test_a_childs_memory_counts():
    """In a process of its own: this one holds whatever the tests before left in it."""
    done = subprocess.run([sys.executable, "-c", MEASURED], cwd=runs.ROOT, capture_output=True, text=True, check=True)
    assert 300 < float(done.stdout) < 600


def test_a_sampler_that_is_gone_hides_no_other_error():
    memory = PeakMemory()
    memory.start()
    memory._sampler.kill()
    assert memory.stop() == 0.0
