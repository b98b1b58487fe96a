"""Reads a page as an auditor does: what may not be in it, and what must."""

from html.parser import HTMLParser

VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
LABELLED = frozenset({"input", "select", "textarea"})


class PageReader(HTMLParser):
    """Collects what is wrong with a page in ``problems``."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.titles: list[str] = []
        self._open: list[str] = []
        self._labels: set[str] = set()
        self._fields: list[tuple[str, dict[str, str | None], bool]] = []
        self._tables: list[bool] = []
        self._names: list[list[str]] = []
        self.feed(text)
        self.close()
        self._finish()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.problems.append(f"<{tag}> has an attribute twice")
        self.problems += [
            f"<{tag}> has {name}, which the policy forbids" for name in names if name == "style" or name.startswith(("on", "hx-on"))
        ]
        if "id" in found:
            self.ids.append(found["id"] or "")
        if tag == "a":
            self.links.append(found.get("href") or "")
        if tag == "script" and not (found.get("src") or "").startswith("/static/"):
            self.problems.append("a script that is not a file of ours")
        if tag == "link" and not (found.get("href") or "").startswith("/static/"):
            self.problems.append("a style that is not a file of ours")
        if tag == "img" and "alt" not in found:
            self.problems.append(f"an image without alt: {found.get('src')}")
        if tag == "img":
            for heard in self._names:
                heard.append(found.get("alt") or "")
        if tag == "label" and found.get("for"):
            self._labels.add(found["for"] or "")
        if tag in LABELLED and found.get("type") != "hidden":
            self._fields.append((tag, found, "label" in self._open))
        if tag == "table":
            self._tables.append(False)
        if tag == "caption" and self._tables:
            self._tables[-1] = True
        if tag in ("progress", "meter") and "aria-label" not in found:
            self.problems.append(f"<{tag}> has no name")
        if tag in ("a", "button"):
            self._names.append([found.get("aria-label") or ""])
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self._open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self._open[-1:] or 'nothing'}")
            return
        self._open.pop()
        if tag == "table" and not self._tables.pop():
            self.problems.append("a table without a caption")
        if tag in ("a", "button") and not "".join(self._names.pop()).strip():
            self.problems.append(f"a <{tag}> without a name")

    def handle_data(self, data: str) -> None:
        for names in self._names:
            names.append(data)
        if self._open[-1:] == ["title"] and "svg" not in self._open:
            self.titles.append(data)

    def _finish(self) -> None:
        if self._open:
            self.problems.append(f"never closed: {self._open}")
        self.problems += [
            f"the id {each} stands {self.ids.count(each)} times" for each in sorted(set(self.ids)) if self.ids.count(each) > 1
        ]
        for tag, found, inside in self._fields:
            if not inside and found.get("id") not in self._labels and "aria-label" not in found:
                self.problems.append(f"<{tag} name={found.get('name')}> has no label")
