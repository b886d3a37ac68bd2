import time

import numpy as np

from convert.peak import Peak


def test_memory_of_our_own_is_seen_after_it_is_gone():
    with Peak() as before:
        time.sleep(0.01)
    with Peak() as peak:
        block = np.ones(25_000_000)
        time.sleep(0.3)
        del block
    assert peak.mb > before.mb + 150 and peak.seconds >= 0.3
