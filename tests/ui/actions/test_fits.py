"""What fits: the words for a model on computers of many sizes, and that no figure is said which nobody measured."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from models.catalog import catalog, find, find_any
from models.errors import UserError
from runtime.bandwidth import MEASURED, Bandwidth
from runtime.device import Device
from ui.actions import fits
from ui.actions.fits import Machine, speed_in_words
from ui.actions.suggestion import in_words
from ui.settings import SettingsFile

GB = 10**9
MEDGEMMA = "medgemma-1.5-4b-it"
FOUND = Bandwidth(gb_s=30.0, by_type=dict.fromkeys(MEASURED, 25.0), step_us=1.0, one_gb_s=20.0, one_step_us=0.3,
                  threads=4, machine=(), measured_at=1.0)
CARD = Device(name="CUDA0", description="a GeForce", kind="gpu", backend="CUDA", free_mb=100, total_mb=8512)
SHARED = Device(name="MTL0", description="Apple M4", kind="gpu", backend="Metal", free_mb=8000, total_mb=8000)


class Known:
    """A Measuring that has ended: with this bandwidth and these GPUs."""

    def __init__(self, bandwidth=FOUND, gpus=(), problem=""):
        self.values = bandwidth, gpus, problem

    def bandwidth(self):
        return self.values[0]

    def gpus(self):
        return self.values[1]

    def problem(self):
        return self.values[2]

    def close(self):
        pass


@pytest.fixture
def computer(galen_home, tmp_path, monkeypatch):
    """computer(free_gb, total_gb, known): a Machine with so much memory."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))

    def make(free_gb, total_gb=None, known=None, pid=None, **settings):
        file = SettingsFile(galen_home)
        file.change(**settings)
        model = SimpleNamespace(pid=pid, is_busy=False)
        memory = [free_gb * 1000, (total_gb or free_gb) * 1000]
        made = Machine(model, file, known or Known(), lambda: (int(memory[0]), int(memory[1])))
        made.memory = memory
        return made

    return make


def said(machine, id=MEDGEMMA, type="Q4_K_M"):
    entry = find(id)
    file = next(file for source in entry.ggufs for file in source.files if file.type == type)
    return machine.for_file(file.bytes, entry, type)


def test_it_fits_with_its_speed(computer):
    found = said(computer(16))
    assert found.words == f"fits, about {found.tokens_s:.0f} tokens/s" and found.kind == fits.FITS
    assert 5 < found.tokens_s < 11 and found.ctx_tokens == 8192 and not found.missing_bytes
    assert "30 GB/s" in found.about and "was not run" in found.about and 4.5 * GB < found.memory_bytes < 5 * GB


def test_less_memory_is_less_context_and_then_too_little(computer):
    kinds = []
    for free in (5.2, 4.9, 4.5, 4.1, 3.0):
        found = said(computer(free, total_gb=16))
        kinds.append(found.kind)
        if found.kind == fits.LESS:
            assert found.words.startswith(f"fits with less context (about {found.ctx_tokens:,} tokens), about ")
            assert found.memory_bytes <= (free * 1000 - 256) * 10**6 and 512 <= found.ctx_tokens < 8192
    assert kinds == sorted(kinds, key=[fits.FITS, fits.LESS, fits.TOO_LARGE].index) and len(set(kinds)) == 3


def test_too_large_says_by_how_much_and_whether_for_good(computer):
    never, later = said(computer(3.0)), said(computer(3.0, total_gb=16))
    assert never.words == f"too large by {in_words(never.missing_bytes)}" and never.kind == fits.TOO_LARGE
    assert later.words == never.words + " now" and "closing other programs" in later.about
    assert "this computer has too little" in never.about and never.tokens_s == 0.0
    assert never.missing_bytes == never.memory_bytes - (3000 - 256) * 10**6
    assert said(computer(3.001 + never.missing_bytes / GB)).kind == fits.LESS


def test_no_speed_is_said_that_was_not_measured(computer):
    for known in (Known(None), Known(None, None), Known(None, (), "other programs keep 2.0 of its cores busy.")):
        found = said(computer(16, known=known))
        assert found.words == "fits" and found.tokens_s == 0.0 and "About" not in found.about
    assert "keep 2.0" in found.about


def test_what_the_speeds_rest_on_or_why_there_are_none(computer):
    words = computer(16).speed_words()
    assert "30 GB/s" in words and "from 5 tokens/s on" in words
    assert "being measured" in computer(16, known=Known(None)).speed_words()
    assert computer(16, known=Known(None, (), "it is busy.")).speed_words() == "it is busy."
    assert "a GeForce shows when it runs" in computer(16, known=Known(gpus=(CARD,))).speed_words()


def test_one_would_wait_for_each_word_of_a_slow_one(computer):
    assert said(computer(64), "medgemma-27b-text-it").is_slow and not said(computer(64)).is_slow
    assert not said(computer(64, known=Known(None)), "medgemma-27b-text-it").is_slow      # nobody knows


def test_a_model_that_the_catalog_does_not_know_is_reckoned_by_its_size(computer):
    known, unknown = find(MEDGEMMA), find_any("hub:someone:thing-GGUF")
    size = known.ggufs[0].files[0].bytes
    one, other = (computer(16).for_file(size, entry, "Q4_K_M", 850_000_000) for entry in (known, unknown))
    assert other.kind == fits.FITS and abs(other.memory_bytes / one.memory_bytes - 1) < 0.1
    assert abs(other.tokens_s / one.tokens_s - 1) < 0.1
    assert computer(16).for_file(14 * GB, unknown, "").kind == fits.LESS


def test_nothing_is_claimed_for_a_gpu_from_the_processor(computer):
    for gpus, words in (((CARD,), "fits on the GPU"), ((SHARED,), "fits on the GPU")):
        found = said(computer(16, known=Known(gpus=gpus)))
        assert found.words == words and found.tokens_s == 0.0 and gpus[0].description in found.about
    partly = said(computer(16, known=Known(gpus=(CARD,))), "gemma-3-12b-it")
    assert partly.words == "fits, partly on the GPU" and partly.tokens_s == 0.0
    assert "tokens/s" in said(computer(16, known=Known(gpus=(CARD,)), device="cpu")).words
    assert "tokens/s" in said(computer(16, known=Known(gpus=(CARD,)), gpu_layers=0)).words


def test_a_gpu_adds_its_own_memory_but_not_what_it_shares(computer):
    assert said(computer(3.0, known=Known(gpus=(CARD,)))).kind == fits.FITS
    assert said(computer(3.0, known=Known(gpus=(SHARED,)))).kind == fits.TOO_LARGE


def test_a_context_that_was_set_is_what_is_wanted(computer):
    assert said(computer(16, ctx_tokens=32_768)).ctx_tokens == 32_768
    assert said(computer(6, ctx_tokens=32_768)).kind == fits.LESS


def test_the_disk_is_asked_too(computer):
    entry = find(MEDGEMMA)
    found = computer(10**7).for_file(10**15, entry, "Q8_0")
    assert found.kind == fits.NO_DISK and found.missing_bytes > 9 * 10**14
    assert found.words == f"the disk has {in_words(found.missing_bytes)} too little for it"


def test_what_the_model_in_use_holds_counts_as_free(computer):
    child = subprocess.Popen([sys.executable, "-c", "kept = bytearray(b'x') * 300_000_000; print(flush=True); "
                              "__import__('time').sleep(60)"], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        more = computer(4, pid=child.pid).room().host - computer(4).room().host
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert more > 250 * 10**6 if sys.platform == "linux" else more >= 0
    assert computer(4, pid=child.pid).room().host == computer(4).room().host     # it is gone


def test_a_file_that_is_here(computer, demo_gguf):
    found = computer(4).for_local(demo_gguf)
    assert found.kind == fits.FITS and found.ctx_tokens == 2048 and found.tokens_s > 100
    with pytest.raises(UserError, match="no GGUF"):
        computer(4).for_local(Path(__file__))


def test_the_version_changes_with_the_answers_and_not_with_every_megabyte(computer):
    one = computer(8, total_gb=16)
    first = one.version()
    one.memory[0] += 400
    assert one.version() == first
    one.memory[0] -= 800
    assert one.version() == first
    one.memory[0] -= 400
    assert one.version() != first
    known = Known(None, None)
    other = computer(8, known=known)
    before = other.version()
    known.values = FOUND, (), ""
    assert other.version() != before


def test_the_recommended_one_waits_for_the_first_measurement(computer):
    assert computer(16, known=Known(None, None)).recommended() is None
    assert computer(16, known=Known(None)).recommended() is None
    entry, type, reason = computer(16).recommended()
    assert entry.id == MEDGEMMA and type == "Q4_K_M" and "tokens a second" in reason
    entry, type, reason = computer(16, known=Known(None, (), "it is busy")).recommended()
    assert entry.id == MEDGEMMA and "not measured yet" in reason and "tokens a second" not in reason


@pytest.mark.parametrize("free", [1.0, 2.5, 4.0, 8.0, 16.0, 64.0])
def test_what_is_recommended_fits(computer, free):
    one = computer(free)
    entry, type, reason = one.recommended()
    found = said(one, entry.id, type)
    assert found.kind in (fits.FITS, fits.LESS) or "more than is free" in reason
    assert entry.is_medical == (free >= 8), (free, entry.id)


def test_every_model_of_the_catalog_has_words(computer):
    one = computer(8)
    for entry in catalog():
        for source in entry.ggufs:
            for file in source.files:
                found = one.for_file(file.bytes, entry, file.type)
                assert found.words and found.about and (found.kind == fits.TOO_LARGE) == (found.missing_bytes > 0)


@pytest.mark.parametrize(("count", "words"), [(2_100_000_000, "2.1 GB"), (300_000_000, "300 MB"), (1, "10 MB"),
                                              (949_000_000, "950 MB"), (999_000_000, "1.0 GB")])
def test_missing_memory_in_words(count, words):
    assert in_words(count) == words


@pytest.mark.parametrize(("speed", "words"), [(0.84, "about 0.8"), (2.96, "about 3.0"), (9.4, "about 9"),
                                              (31.2, "about 31"), (147.0, "about 150"), (1234.0, "about 1,200")])
def test_a_speed_in_words_is_no_finer_than_it_is_known(speed, words):
    assert speed_in_words(speed) == f"{words} tokens/s"

