"""A page as a browser reads it."""

import re
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """What a browser would fetch from a page, what stays open in it, and its text."""

    VOID = frozenset({"meta", "img", "br", "path", "use"})

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page.read_text())
        self.text = re.sub(r"\s+", " ", " ".join(self.words)).replace("\N{NO-BREAK SPACE}", " ")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)
