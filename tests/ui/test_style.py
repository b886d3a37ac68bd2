import re
from itertools import product

import pytest

from models import runs

STYLE = (runs.ROOT / "ui" / "style.css").read_text(encoding="utf-8")
SHEETS = {path.name: path.read_text(encoding="utf-8") for path in
          [runs.ROOT / "ui" / "style.css", *sorted((runs.ROOT / "ui" / "pages").glob("*.css"))]}


def palette(selector: str) -> dict[str, str]:
    block = re.search(re.escape(selector) + r" \{(.*?)\}", STYLE, re.DOTALL)
    assert block
    return dict(re.findall(r"--([a-z-]+): (#[0-9A-F]{6})", block.group(1)))


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[k:k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("selector", [":root", ".dark"])
def test_text_can_be_read_on_every_ground(selector: str):
    colours = palette(selector)
    pairs = [*product(("ink", "muted"), ("ground", "surface", "tint", "accent-soft")),
             *product(("accent", "caution", "danger"), ("ground", "surface")), ("on-accent", "accent"),
             ("on-accent", "accent-strong")]
    poor = [(text, ground) for text, ground in pairs if contrast(colours[text], colours[ground]) < 4.5]
    assert not poor


def test_both_schemes_know_the_same_colours():
    assert set(palette(":root")) == set(palette(".dark"))


@pytest.mark.parametrize("name", SHEETS)
def test_nothing_is_loaded_from_elsewhere(name: str):
    assert not re.search(r"@import|url\(|http", SHEETS[name])


@pytest.mark.parametrize("name", [name for name in SHEETS if name != "style.css"])
def test_pages_take_their_colours_from_the_palette(name: str):
    assert not re.search(r"#[0-9A-Fa-f]{3,8}\b(?=[^{]*[;}])", SHEETS[name])


@pytest.mark.parametrize("name", SHEETS)
def test_rules_within_media_survive_gradio(name: str):
    """Gradio puts its container before each selector in @media, so :root and body never match there."""
    for media in re.findall(r"@media[^{]*\{(.*?)\n\}", SHEETS[name], re.DOTALL):
        assert not re.search(r":root|(?<![\w-])body|\.dark|\.gradio-container|:is\(", media)
