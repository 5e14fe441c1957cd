"""A real browser for tests: Chromium without a window, spoken to over a pair of pipes."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
PATIENCE = 60.0


def chromium() -> str | None:
    """The browser of this machine."""
    return next(filter(None, map(shutil.which, CANDIDATES)), None)


class Browser:
    """One tab.

    Attributes:
        requested: The URLs of everything that was asked of the network or the disk.
        errors: What scripts threw, and what the browser refused to do for them.
    """

    def __init__(self, inbound: int, outbound: int) -> None:
        self._inbound, self._outbound = inbound, outbound
        self._buffer = b""
        self._number = 0
        self._tab = ""
        self.requested: list[str] = []
        self.errors: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._tab = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and wait for its result."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._tab:
            message["sessionId"] = self._tab
        text = json.dumps(message).encode() + b"\0"
        while text:
            text = text[os.write(self._outbound, text) :]
        while (heard := self._hear()).get("id") != number:
            self._note(heard)
        assert "error" not in heard, heard["error"]
        result: dict[str, Any] = heard["result"]
        return result

    def open(self, page: Path) -> None:
        """Open a file and wait until its script has finished, which it says by an attribute of the document."""
        self.ask("Page.navigate", url=page.as_uri())
        limit = time.monotonic() + PATIENCE
        while True:
            # Not awaited: a document that is being replaced would never answer.
            heard = self.ask("Runtime.evaluate", expression="document.documentElement?.dataset.ready")
            if heard["result"].get("value") == "true":
                return
            assert time.monotonic() < limit, f"the page's script has not finished; errors: {self.errors}"
            time.sleep(0.02)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, once a frame was drawn after it."""
        script = f"(async () => {{ const value = ({expression}); {_FRAME}; return value; }})()"
        heard = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in heard, heard["exceptionDetails"]
        return heard["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            for kind in ("keyDown", "keyUp"):
                self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key)
        self.evaluate("true")

    def view(self, width: int, height: int, scheme: str = "light") -> None:
        """Set the size of the window and the colour scheme that its user prefers."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.evaluate("true")

    def picture(self, file: Path, *, whole: bool = True) -> bytes:
        """Write what is seen as a PNG."""
        heard = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        data = base64.b64decode(heard["data"])
        file.write_bytes(data)
        return data

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._inbound], [], [], PATIENCE)
            assert ready, "the browser is silent"
            chunk = os.read(self._inbound, 1 << 20)
            assert chunk, "the browser is gone"
            self._buffer += chunk
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requested.append(told["request"]["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(str(told["exceptionDetails"]))
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                self.errors.append(told["entry"]["text"])
            case "Page.javascriptDialogOpening":
                self.errors.append(f"a dialog: {told['message']}")


_FRAME = "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@contextmanager
def browser(program: str, folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in a folder; ended with all its processes when it is left."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    # The protocol's pipes must be the descriptors 3 and 4.
    script = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$0" "$@"'
    command = ["bash", "-c", script, program, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={folder}"]
    process = subprocess.Popen(
        [*command, "about:blank"],
        pass_fds=(theirs_in, theirs_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        tab = Browser(ours_in, ours_out)
        yield tab
        tab.ask("Page.close")
    finally:
        os.close(ours_out)
        os.close(ours_in)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
