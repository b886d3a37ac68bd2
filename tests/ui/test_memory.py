"""Peak memory of a process tree, seen from outside."""

import subprocess
import sys
import time

from ui.memory import PeakMemory


def test_a_childs_memory_counts():
    memory = PeakMemory()
    memory.start()
    time.sleep(1.0)
    script = "x = bytearray(b'1' * 300_000_000); import time; time.sleep(1.5)"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert 300 < memory.stop() < 3000


def test_a_sampler_that_is_gone_hides_no_other_error():
    memory = PeakMemory()
    memory.start()
    memory._sampler.kill()
    assert memory.stop() == 0.0
