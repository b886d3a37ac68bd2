"""The models page as it is wired: what a part shows, and the version that the page believes it shows."""

import gradio as gr
import pytest

from ui.pages.models import build_models_page
from ui.workbench import Workbench


@pytest.mark.parametrize(("part", "seen"), [
    ("model-list", "seen list"), ("model-downloads", "seen downloads"), ("model-offers", "seen shelf"),
    ("model-online", "seen shelf")])
def test_who_draws_a_part_says_of_which_version(bench: Workbench, part: str, seen: str):
    """A click that draws and does not say so leaves the page as it is when all is again as it was before the click."""
    with gr.Blocks() as demo:
        build_models_page(demo, bench)
    named = [{one.elem_id or getattr(one, "label", "") for one in fn.outputs} for fn in demo.fns.values()]
    drawing = [names for names in named if part in names]
    assert len(drawing) > 2 and all(seen in names for names in drawing)
    assert all(part in names for names in named if seen in names)
