"""The pages, each in one file with its style and script beside it: built in the order of the rail."""

from pathlib import Path

import gradio as gr

from ui.pages.chat import build_chat_page
from ui.pages.classify import build_classify_page
from ui.pages.evaluate import build_evaluate_page
from ui.pages.export import build_export_page
from ui.pages.models import build_models_page
from ui.pages.settings import build_settings_page
from ui.pages.summarise import build_summarise_page
from ui.pages.train import build_train_page
from ui.workbench import Workbench

HERE = Path(__file__).parent
BUILDERS = {"Summarise": build_summarise_page, "Classify": build_classify_page, "Train": build_train_page,
            "Evaluate": build_evaluate_page, "Export": build_export_page, "Models": build_models_page,
            "Settings": build_settings_page}


def build_pages(demo: gr.Blocks, bench: Workbench) -> None:
    """Lay every page inside demo: Chat at "/", the others at their names."""
    with demo:      # once: each leaving of it makes a server anew, and demo.route() asks for one a page (1.5 s in all)
        build_chat_page(demo, bench)
        for name, build in BUILDERS.items():
            demo.pages.append((name.lower(), name, False))
            demo.current_page = name.lower()
            build(demo, bench)


def styles() -> list[Path]:
    """The style of all pages first, then those of single pages."""
    return [HERE.parent / "style.css", *sorted(HERE.glob("*.css"))]


def scripts() -> list[Path]:
    """The script of all pages first, then those of single pages."""
    return [HERE.parent / "page.js", *sorted(HERE.glob("*.js"))]
