from dataclasses import replace
from pathlib import Path

from runtime.messages import Loaded
from ui import show
from ui.actions.model import ModelState
from ui.job_list import JobView

INFO = Loaded(path="m.gguf", name="Galen demo", fingerprint="7f3a9c21d0b1e2f3", ctx_tokens=2048,
              description="Q8_0 · 0.01 GB", can_chat=True)
MODEL = ModelState(chosen=Path("m.gguf"), info=INFO, notice="A demonstration, of no medical use.")


def test_demonstration_is_said_on_every_page():
    assert "no medical use" in show.notice(MODEL) and show.notice(ModelState(info=INFO)) == ""


def test_a_silent_model_is_told_beside_what_must_be_said_of_it():
    assert "not answer" not in show.notice(MODEL)
    shown = show.notice(replace(MODEL, is_silent=True))
    assert "Galen demo Q8_0 does not answer at the moment" in shown and "no medical use" in shown


def test_notice_says_loading_and_refusal():
    assert "Loading x &amp; y" in show.notice(ModelState(loading="x & y"))
    assert "cut &lt;short" in show.notice(ModelState(problem="cut <short"))
    assert show.model_facts(MODEL) == "2,048 tokens" and show.model_facts(ModelState(loading="x")) == ""


def test_the_rail_shows_what_runs_and_not_what_waits_for_it():
    running = JobView(folder=Path("a"), kind="train", title="First <run>", state="running", share=0.5, left_s=None,
                      words="", started=1.0)
    waiting = replace(running, title="Second", state="waiting", share=None, started=2.0)
    pages = (("Train", "/train", "M4", ("train",)), None, ("Export", "/export", "M4", ("export",)))
    text = show.rail(pages, "Train", [waiting, running])
    assert 'aria-label="First &lt;run&gt;"' in text and "--share: 0.500" in text and text.count("progressbar") == 1
    assert 'aria-label="Second"' in show.rail(pages, "Train", [waiting, replace(running, state="done")])
