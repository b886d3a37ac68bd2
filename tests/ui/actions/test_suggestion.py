"""The suggested model: the largest medical one that runs well, and honest words where none does."""

from dataclasses import replace

import pytest

from models.catalog import catalog, find
from ui.actions.suggestion import PLEASANT_S, READABLE_S, Outlook, suggested

GB = 10**9
WELL = Outlook(memory_bytes=4 * GB, room_bytes=8 * GB, ctx_tokens=8192, tokens_s=7.0, is_measured=True)
SMALL, MEDICAL, LARGE, GENERAL = "gemma-3-270m-it", "medgemma-1.5-4b-it", "medgemma-27b-text-it", "gemma-3-12b-it"


class Judge:
    """Everything runs well, but for what the test says otherwise of an entry, or of one of its types."""

    def __init__(self, **others):
        self._others = {name.replace("_", "-"): outlook for name, outlook in others.items()}

    def outlook(self, size, entry, type):
        return self._others.get(f"{entry.id}/{type}") or self._others.get(entry.id) or self._others.get("all") or WELL


def judged(others, **rest):
    """The suggestion where entries (by id, or "ID/TYPE") have these outlooks, and all others another."""
    judge = Judge()
    judge._others = {**others, **rest}
    return suggested(catalog(), judge)


def test_the_largest_medical_model_that_runs_well_and_no_larger_general_one():
    entry, type, reason = judged({})
    assert entry.id == LARGE and "largest medical model" in reason and "4.0 GB of the 8.0 GB" in reason
    entry, type, reason = judged({LARGE: replace(WELL, tokens_s=READABLE_S - 0.1)})
    assert entry.id == MEDICAL and "about 7 tokens a second" in reason and "reads pictures too" in reason
    assert "8,192 tokens" in reason


@pytest.mark.parametrize("otherwise", [
    dict(ctx_tokens=3072), dict(memory_bytes=7 * GB), dict(tokens_s=2.0), dict(ctx_tokens=0), dict(has_disk=False),
])
def test_what_does_not_run_well_is_not_suggested(otherwise):
    assert judged({LARGE: replace(WELL, **otherwise)})[0].id == MEDICAL


def test_the_most_exact_type_that_is_pleasant_to_read_else_the_fastest():
    slow = replace(WELL, ctx_tokens=0)
    fast = replace(WELL, tokens_s=PLEASANT_S)
    types = [file.type for file in find(MEDICAL).ggufs[0].files]
    assert types[0] == "Q4_K_M" and types[-1] == "Q8_0"
    assert judged({LARGE: slow})[1] == "Q4_K_M"
    assert judged({LARGE: slow, MEDICAL: fast})[1] == "Q8_0"
    assert judged({LARGE: slow, f"{MEDICAL}/Q4_K_M": fast, f"{MEDICAL}/Q5_K_M": fast})[1] == "Q5_K_M"
    assert judged({LARGE: slow, f"{MEDICAL}/Q4_K_M": slow})[1] == "Q5_K_M"


@pytest.mark.parametrize(("otherwise", "words"), [
    (dict(tokens_s=3.3), "MedGemma 1.5 4B Q4_K_M would fit, and write about 3.3 tokens a second."),
    (dict(tokens_s=3.3, is_measured=False), "would fit, and write slowly."),
    (dict(memory_bytes=7 * GB), "would only just fit."),
    (dict(ctx_tokens=0, memory_bytes=9 * GB), "takes 9.0 GB, more than is free."),
    (dict(has_disk=False), "There is no room on the disk for MedGemma 1.5 4B Q4_K_M."),
])
def test_without_a_medical_one_the_largest_other_is_suggested_and_why(otherwise, words):
    medical = {entry.id: replace(WELL, **otherwise) for entry in catalog() if entry.is_medical}
    entry, _, reason = judged(medical)
    assert entry.id == GENERAL and "largest model" in reason and reason.endswith(words)


def test_where_nothing_runs_well_it_is_the_smallest_and_that_is_said():
    for otherwise, words in ((dict(ctx_tokens=0), "more than is free"), (dict(tokens_s=0.5), "for want of memory or"),
                             (dict(has_disk=False), "the disk has too little room")):
        entry, type, reason = judged({}, all=replace(WELL, **otherwise))
        assert entry.id == SMALL and type == "Q4_K_M" and "none runs well" in reason and words in reason


def test_a_gpu_that_holds_it_needs_no_figure():
    on_gpu = replace(WELL, tokens_s=0.1, gpu="a GeForce")
    entry, type, reason = judged({}, all=on_gpu)
    assert entry.id == LARGE and "is computed by a GeForce" in reason and "tokens a second" not in reason


def test_an_assumed_speed_is_never_said():
    reason = judged({}, all=replace(WELL, is_measured=False))[2]
    assert "not measured yet" in reason and "tokens a second" not in reason


def test_a_catalog_without_files_suggests_nothing():
    assert suggested([replace(find(SMALL), ggufs=())], Judge()) is None
