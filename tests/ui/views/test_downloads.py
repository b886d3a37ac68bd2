import json
from pathlib import Path

from ui.actions.downloads import Download
from ui.views.downloads import ACTS, line, progress, rows

RUNNING = Download(run="download-x", title="Gemma <3>", state="running", words="1.2 GB of 2.5 GB, 11.8 MB/s",
                   share=0.48, left_s=110.0, repo="a/b")


def of(state: str, words: str = "", path: Path | None = None, is_base: bool = False) -> Download:
    return Download(run="download-x", title="Gemma", state=state, words=words, path=path, is_base=is_base)


def test_one_that_runs_has_speed_time_left_pause_and_cancel():
    assert line(RUNNING) == "1.2 GB of 2.5 GB, 11.8 MB/s, about 1 min 50 s left"
    html = rows([RUNNING])
    assert "Gemma &lt;3&gt;" in html and '<progress max="1" value="0.4800" aria-label="Gemma &lt;3&gt;">' in html
    assert 'data-act="pause"' in html and 'data-act="cancel"' in html and 'data-run="download-x"' in html
    assert rows([]) == ""


def test_what_is_asked_for_every_second_is_small_and_of_running_ones_only():
    told = progress([RUNNING, of("paused", "1 MB of 2 MB")], "v1")
    assert json.loads(told) == {"version": "v1", "runs": {"download-x": [0.48, line(RUNNING)]}}


def test_each_state_has_its_words_and_its_next_step():
    paused = rows([of("paused", "1.2 GB of 2.5 GB")])
    assert "Paused: 1.2 GB of 2.5 GB" in paused and 'data-act="resume"' in paused and "<progress" not in paused
    failed = rows([of("failed", "No token; make one at https://huggingface.co/settings/tokens.")])
    assert 'role="alert"' in failed and 'href="https://huggingface.co/settings/tokens"' in failed
    assert "Try again" in failed
    offline = rows([of("paused", "1.2 GB of 2.5 GB")], is_offline=True)
    assert 'data-act="online-resume"' in offline and ">Go online, resume<" in offline and '"resume"' not in offline
    assert 'data-act="pause"' in rows([RUNNING], is_offline=True) and ">Discard<" in paused
    assert "<button" not in rows([of("cancelling")]) and set(ACTS) >= {"waiting", "running", "pausing", "cancelling"}


def test_what_has_arrived_can_be_used_in_one_click():
    html = rows([of("done", path=Path("/x/y.gguf"))])
    assert 'data-act="use-download"' in html and 'data-act="forget"' in html
    base = rows([of("done", path=Path("/x/y"), is_base=True)])
    assert "use-download" not in base and 'href="/train"' in base
    assert "Its files are gone" in rows([of("done")]) and "use-download" not in rows([of("done")])
