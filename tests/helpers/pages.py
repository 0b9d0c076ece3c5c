"""A page of HTML, taken apart by Python's own parser."""
import base64
import re
from html.parser import HTMLParser

VOID = ("meta", "link", "img", "br")


class Parsed(HTMLParser):
    """Elements with their attributes, and the text within each of them."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.text, self._open = [], "", []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), len(self.text)))
        if tag not in VOID:
            self._open.append((tag, len(self.elements) - 1))

    def handle_endtag(self, tag):
        name, k = self._open.pop()
        assert name == tag, f"</{tag}> ends <{name}>"
        its = self.elements[k]
        self.elements[k] = (*its[:2], self.text[its[2]:])

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        """(attributes, text) of each element of a kind."""
        return [(attributes, text if isinstance(text, str) else "") for name, attributes, text in self.elements
                if name == tag]

    def with_class(self, name):
        """Texts of the elements of a class."""
        return [text.strip() for _, attributes, text in self.elements
                if name in (attributes.get("class") or "").split()]

    def table(self, caption):
        """A row a dictionary, by the heads of the columns, of the table of that caption."""
        names = [name for name, _, _ in self.elements]
        start = next(k for k, (name, _, text) in enumerate(self.elements) if name == "caption" and text == caption)
        end = next((k for k in range(start + 1, len(names)) if names[k] == "table"), len(names))
        its = self.elements[start:end]
        heads = [text for name, _, text in its if name == "th"]
        cells = [text for name, _, text in its if name == "td"]
        return [dict(zip(heads, cells[k:k + len(heads)])) for k in range(0, len(cells), len(heads))]

    def embedded(self):
        """What data URIs hold, by kind."""
        uris = [attributes["src"] for attributes, _ in self.all("img")]
        return [(re.match(r"data:([^;]+);base64,", uri).group(1), base64.b64decode(uri.split(",", 1)[1]))
                for uri in uris]
