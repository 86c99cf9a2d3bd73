"""The page that a browser gets: a few files, read once, and nothing else of this machine."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple

PAGE_DIR = Path(__file__).with_name("page")
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json"}
_INDEX = "/index.html"
# Scripts, styles and connections of this server only.
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'"


class Answer(NamedTuple):
    """What a request for a file gets."""

    status: HTTPStatus
    content_type: str
    body: bytes

    @property
    def headers(self) -> Dict[str, str]:
        """HTTP headers."""
        return {
            "Content-Type": f"{self.content_type}; charset=utf-8",
            "Content-Length": str(len(self.body)),
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            "Connection": "close",
        }


def plain(status: HTTPStatus, text: str) -> Answer:
    """A sentence."""
    return Answer(status, "text/plain", (text + "\n").encode())


class Page:
    """The files, by the path of their address. Args: facts: what /model.json says."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._files = {f"/{path.name}": (path.suffix, path.read_bytes()) for path in PAGE_DIR.iterdir()}
        self._files["/"] = self._files[_INDEX]
        self._files["/model.json"] = (".json", json.dumps(facts, ensure_ascii=False).encode())

    def answer(self, path: str) -> Answer:
        """The file at `path`, as the request spells it; whatever is no file of the page is not found."""
        if path not in self._files:
            return plain(HTTPStatus.NOT_FOUND, "There is nothing at this address; the page is at /.")
        suffix, body = self._files[path]
        return Answer(HTTPStatus.OK, _TYPES[suffix], body)
