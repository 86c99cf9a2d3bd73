"""A headless Chromium whose microphone is a file, driven by its debugging protocol."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_SEC = 60


def until(look, what):
    """The first true value of `look()`."""
    end = time.monotonic() + PATIENCE_SEC
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            if found := look():
                return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come about in {PATIENCE_SEC} s")


class Tab:
    """A page of the browser."""

    def __init__(self, socket):
        self._socket, self._numbers = socket, itertools.count(1)

    def call(self, method, **params):
        """Call the debugging protocol."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (message := json.loads(self._socket.recv(timeout=PATIENCE_SEC))).get("id") != number:
            pass
        assert "error" not in message, message
        return message["result"]

    def value(self, expression):
        """What an expression of JavaScript is in the page."""
        found = self.call("Runtime.evaluate", expression=expression, userGesture=True, returnByValue=True)
        return found["result"].get("value")

    def text_of(self, name):
        """The text that a person sees of the element called `name`."""
        return self.value(f"document.getElementById('{name}')?.innerText")


@contextlib.contextmanager
def browsing(address, audio_file, folder):
    """Yield the tab that shows `address`; the microphone plays the WAV file once. Skips the test without a browser."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"there is no browser ({', '.join(PROGRAMS)})")
    flags = (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={folder}"),
        *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
        *(f"--use-file-for-fake-audio-capture={audio_file}%noloop", "--autoplay-policy=no-user-gesture-required"),
    )
    with open(os.devnull, "w") as nothing, subprocess.Popen([program, *flags, address], stderr=nothing) as browser:
        try:
            yield from _tab(folder, address)
        finally:
            browser.terminate()


def _tab(folder, address):
    from websockets.sync.client import connect

    port = until(lambda: (folder / "DevToolsActivePort").read_text().split()[0], "the browser")

    def page():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
            found = [one for one in json.load(answer) if one["type"] == "page" and one["url"].startswith(address)]
        return found and found[0]["webSocketDebuggerUrl"]

    with connect(until(page, "the page"), max_size=None) as socket:
        yield Tab(socket)
