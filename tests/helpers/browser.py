"""A headless Chromium for tests of pages, told what to do over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-port=0"
).split()
SECONDS = 180


class Page:
    """One tab. `log` holds what it wrote to the console, its errors and what it asked a network for."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._sent = 0
        self.log: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network", "Performance"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        number = self._sent
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=SECONDS))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        kind, told = event.get("method"), event.get("params", {})
        if kind == "Runtime.exceptionThrown":
            self.log.append(f"exception: {told['exceptionDetails']}")
        elif kind == "Runtime.consoleAPICalled":
            self.log.append(f"console: {told['args']}")
        elif kind == "Log.entryAdded":
            self.log.append(f"log: {told['entry']['text']}")
        elif kind == "Page.javascriptDialogOpening":
            self.log.append(f"dialog: {told['message']}")
            answer = {"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            self._socket.send(json.dumps(answer))
        elif kind == "Network.requestWillBeSent" and not told["request"]["url"].startswith(
            ("file:", "data:", "blob:")
        ):
            self.log.append(f"request: {told['request']['url']}")

    def open(self, file: Path, width: int = 1280, height: int = 900) -> None:
        """Open a file and wait until the report in it is shown; charts are drawn as they are seen."""
        self.resize(width, height)
        self.call("Page.navigate", url=file.absolute().as_uri())
        self.wait("document.documentElement && document.documentElement.dataset.ready")

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def draw_charts(self, width: int = 1280) -> int:
        """Make the window high enough for all charts until they are drawn; return their number."""
        self.resize(width, 12_000)
        every = "[...document.querySelectorAll('.chart')]"
        self.wait(f"{every}.every((each) => each.querySelector('.main-svg text'))")
        self.resize(width, 900)
        return int(self.value(f"{every}.length"))

    def wait(self, expression: str) -> Any:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            if value := self.value(f"{expression} || null"):
                return value
            time.sleep(0.05)
        raise TimeoutError(f"{expression} after {SECONDS} s; log: {self.log}")

    def value(self, expression: str) -> Any:
        """Return what a JavaScript expression gives, as JSON has it."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, selector: str) -> None:
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()"
        self.value(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        place = self.value(box)
        x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def screenshot(self, file: Path, top: int = 0, height: int | None = None) -> None:
        width, whole = self.value("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": top, "width": width, "height": height or whole - top, "scale": 1}
        made = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(made["data"]))


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Start Chromium with a profile of its own; yield its tab."""
    from websockets.sync.client import connect

    assert CHROMIUM is not None
    process = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port = profile / "DevToolsActivePort"
        until = time.monotonic() + SECONDS
        while not (port.exists() and port.read_text().count("\n")):
            assert process.poll() is None, "chromium ended"
            assert time.monotonic() < until, "chromium does not answer"
            time.sleep(0.05)
        address = f"http://127.0.0.1:{port.read_text().split()[0]}/json"
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:
            tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
        with connect(tabs[0]["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)
