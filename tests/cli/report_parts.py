"""A report as its parts."""

import json
import re
from html.parser import HTMLParser


class Parts(HTMLParser):
    """Titles of sections, text, attributes that name another file, and elements that are not closed."""

    EMPTY = ("meta", "link", "input", "br", "img")

    def __init__(self, text):
        super().__init__()
        self.titles, self.references, self.open, self.text = [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href", "data", "action")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)
        if not {"script", "style"} & {*self.open}:
            self.text += data


def data_of(text):
    return json.loads(re.search(r'id="page-data">(.*?)</script>', text)[1])
