"""A headless Chromium, spoken to over a pipe by the DevTools protocol: what a page says, and how it looks."""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
TOLD = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
ADVICE = "no Chromium was found; scripts/_chromium fetches one, or name yours: SGMCMC_MX_CHROMIUM=/path/to/chromium"


def find():
    """The command of a Chromium, or None: the one that is named, an installed one, or what scripts/_chromium left."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for name in (os.environ.get("SGMCMC_MX_CHROMIUM"), *NAMES, str(cache / "sgmcmc_mx" / "chromium" / "chromium")):
        found = shutil.which(name) if name else None
        if found:
            return found
    return None


class Browser:
    """One page at a time, of a width and a colour scheme."""

    def __init__(self, command, seconds=120):
        self._until = time.monotonic() + seconds
        self._folder = tempfile.mkdtemp()
        its_in, self._out = os.pipe()
        self._in, its_out = os.pipe()
        # Chromium reads from 3 and writes to 4.
        arguments = [command, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--remote-debugging-pipe", f"--user-data-dir={self._folder}", "--no-first-run",
                     "--disable-extensions", "about:blank"]
        line = 'exec 3<&"$0" 4>&"$1"; shift; exec "$@"'
        self._process = subprocess.Popen(["bash", "-c", line, str(its_in), str(its_out), *arguments],
                                         pass_fds=(its_in, its_out), stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(its_in)
        os.close(its_out)
        self._number, self._rest, self._session = 0, b"", None
        self.told, self.asked_for = [], []      # console and errors; addresses
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """Have something done; what came of it."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _next(self):
        while b"\0" not in self._rest:
            assert time.monotonic() < self._until, "the browser does not answer"
            piece = os.read(self._in, 1 << 16)
            assert piece, f"the browser is gone, with status {self._process.poll()}"
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        if message.get("method") in TOLD:
            self.told.append(message["params"])
        elif message.get("method") == "Network.requestWillBeSent":
            self.asked_for.append(message["params"]["request"]["url"])
        elif message.get("method") == "Page.loadEventFired":
            self._loaded = True
        return message

    def open(self, path, width=1200, dark=False):
        """Show a file."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                  mobile=width < 600)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self._loaded = False
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        while not self._loaded:
            self._next()

    def value(self, script):
        """What an expression of JavaScript is, on the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key, text=""):
        """A key, as a hand would press it."""
        code = {"Enter": 13, " ": 32, "Tab": 9}[key]
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key.strip() or "Space", text=text,
                      windowsVirtualKeyCode=code)

    def picture(self, path):
        """The whole page as PNG."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def close(self):
        os.close(self._out)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        shutil.rmtree(self._folder, ignore_errors=True)
