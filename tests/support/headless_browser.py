"""A headless Chromium, driven through chromedriver by plain HTTP (the WebDriver protocol)."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OPTIONS = [
    "--headless",
    "--no-sandbox",  # root in a container has none
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]
START_SECONDS = 120  # a loaded machine takes its time


class Browser:
    """One window."""

    def __init__(self, address: str, session: str) -> None:
        """address: of chromedriver; session: as it named it."""
        self.address = f"{address}/session/{session}"

    def open(self, page: Path) -> None:
        """Load a page from the disk."""
        call(f"{self.address}/url", {"url": page.resolve().as_uri()})

    def run(self, script: str) -> Any:
        """Value of the body of a JavaScript function run in the page."""
        return call(f"{self.address}/execute/sync", {"script": script, "args": []})

    def complaints(self) -> list[str]:
        """What the console has shown since this was last called."""
        entries = call(f"{self.address}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries]

    def requests(self) -> list[str]:
        """Addresses that the page asked for since this was last called, its own among them."""
        own = self.run("return document.URL")
        entries = call(f"{self.address}/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
            and event["params"]["documentURL"] == own
        ]

    def emulate(self, width: int, height: int) -> None:
        """Give the page the screen of a phone of this size in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
        self.command("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """Ask for the "light" or the "dark" look."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", {"features": features})

    def command(self, name: str, parameters: dict[str, Any]) -> Any:
        """Run a command of the DevTools protocol."""
        body = {"cmd": name, "params": parameters}
        return call(f"{self.address}/goog/cdp/execute", body)


@contextmanager
def browser(driver: str, chromium: str, profile: Path) -> Iterator[Browser]:
    """Start and end a browser.

    driver, chromium: their programs. profile: an empty folder.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(f"{address}/status")
        options = {"binary": chromium, "args": [*OPTIONS, f"--user-data-dir={profile}"]}
        logged = {"browser": "ALL", "performance": "ALL"}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": logged}
        started = call(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})
        window = Browser(address, started["sessionId"])
        try:
            yield window
        finally:
            call(window.address, method="DELETE")
    finally:
        process.terminate()
        process.wait()


def wait_for(address: str) -> None:
    """Until chromedriver answers."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            if call(address)["ready"]:
                return
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
        time.sleep(0.1)


def call(address: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    """Value of chromedriver's answer; an error it reports is raised with its message."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, method=method)
    # No proxy of the environment: the driver is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=START_SECONDS) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(error.read().decode()) from error
