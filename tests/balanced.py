"""A page of HTML taken apart: its tags, attributes and texts, and that every element is closed."""

from html.parser import HTMLParser

VOID = {"meta", "br"}


class Balanced(HTMLParser):
    """Knows every tag and attribute, and that each element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def parsed(html: str) -> Balanced:
    """The page's parts. Fails where an element is not closed."""
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert not parser.open
    return parser
