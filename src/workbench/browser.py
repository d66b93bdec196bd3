"""Headless Chromium over its DevTools protocol, with the network refused.

`check` opens pages from disk and reports what each asked the network for, what its console called an error, and
whether all charts were drawn and the page fits a phone. `images` copies executed notebooks and gives every chart in
them a static SVG, drawn by plotly.js itself: what a reader sees where no script runs.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

import nbformat
import websocket

PLOTLY = "application/vnd.plotly.v1+json"
FLAGS = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--hide-scrollbars",
    "--allow-file-access-from-files",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
    # No name resolves and no proxy answers: whatever a page asks the network for fails.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
]
LOCAL = ("file:", "data:", "blob:", "about:", "devtools:", "chrome:", "chrome-extension:")
READY = """(async () => {
  const charts = document.querySelectorAll("figure.chart");
  for (let i = 0; i < 200; i++) {
    if (document.querySelectorAll("figure.chart .js-plotly-plot .main-svg").length >= charts.length) break;
    await new Promise(done => setTimeout(done, 50));
  }
  if (window.MathJax && MathJax.startup && MathJax.startup.promise) await MathJax.startup.promise;
  const drawn = [...charts].filter(chart => chart.querySelector(".js-plotly-plot .main-svg")).length;
  return JSON.stringify({ charts: charts.length, drawn, width: document.documentElement.scrollWidth });
})()"""


class Browser:
    """One Chromium and one tab."""

    def __init__(self, program, profile):
        flags = FLAGS + (["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])
        command = [program, *flags, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.socket = websocket.create_connection(self.address(Path(profile)), timeout=60)
        self.events, self.last_id, self.session = [], 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def address(self, profile):
        file = profile / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if file.exists() and len(lines := file.read_text().splitlines()) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"the browser did not start (status {self.process.poll()})")

    def call(self, method, **parameters):
        self.last_id += 1
        request = {"id": self.last_id, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        self.socket.send(json.dumps(request))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.last_id:
                if "error" in message:
                    raise SystemExit(f"the browser refused {method}: {message['error'].get('message')}")
                return message["result"]
            self.events.append(message)

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise SystemExit(f"script failed: {result['exceptionDetails'].get('exception', {}).get('description')}")
        return result["result"].get("value")

    def open(self, address):
        self.events = []
        self.call("Page.navigate", url=address)
        deadline = time.monotonic() + 60
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            if time.monotonic() > deadline:
                raise SystemExit(f"{address} did not load within 60 s")
            self.events.append(json.loads(self.socket.recv()))

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def close(self):
        with contextlib.suppress(Exception):
            self.session = None
            self.call("Browser.close")
        with contextlib.suppress(Exception):
            self.socket.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def browser(program):
    # Chromium's helpers may still write while the profile is removed.
    profile = tempfile.mkdtemp(prefix="wider-clip-browser-")
    tab = None
    try:
        tab = Browser(program, profile)
        yield tab
    finally:
        if tab:
            tab.close()
        shutil.rmtree(profile, ignore_errors=True)


def outside_requests(events):
    urls = [e["params"]["request"]["url"] for e in events if e.get("method") == "Network.requestWillBeSent"]
    return sorted({url for url in urls if not url.startswith(LOCAL)})


def console_errors(events):
    errors = []
    for event in events:
        parameters = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            errors.append(details.get("exception", {}).get("description") or details.get("text", ""))
        elif event.get("method") == "Runtime.consoleAPICalled" and parameters.get("type") in ("error", "assert"):
            errors.append(" ".join(str(a.get("value", a.get("description", ""))) for a in parameters.get("args", [])))
        elif event.get("method") == "Log.entryAdded" and parameters["entry"].get("level") == "error":
            errors.append(parameters["entry"].get("text", "") + " " + parameters["entry"].get("url", ""))
    return errors


def address(path):
    return "file://" + urllib.parse.quote(str(path.resolve()))


def check(args):
    visits = []
    with browser(args.browser) as tab:
        for path in args.pages:
            tab.size(1280, 900)
            tab.open(address(path))
            state = json.loads(tab.value(READY))
            if args.screenshots:
                picture = tab.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
                (args.screenshots / f"{path.stem}.png").write_bytes(base64.b64decode(picture["data"]))
            tab.size(390, 800)
            narrow = tab.value("new Promise(d => setTimeout(() => d(document.documentElement.scrollWidth), 300))")
            if args.screenshots:
                picture = tab.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
                (args.screenshots / f"{path.stem}_phone.png").write_bytes(base64.b64decode(picture["data"]))
            visits.append({
                "page": str(path),
                "requests": outside_requests(tab.events),
                "errors": console_errors(tab.events),
                "charts": state["charts"],
                "drawn": state["drawn"],
                "phone_width": narrow,
            })
    args.result.write_text(json.dumps(visits), encoding="utf-8")


DRAW = """(async () => {
  const chart = %s;
  const layout = Object.assign({ width: 760, height: 460 }, chart.layout);
  const url = await Plotly.toImage({ data: chart.data, layout }, { format: "svg", width: layout.width, height: layout.height });
  return decodeURIComponent(url.slice(url.indexOf(",") + 1));
})()"""


def stable(svg):
    """plotly.js names its parts at random; a saved notebook must not change where its chart does not."""
    names = {}
    renamed = lambda found: found.group(1) + names.setdefault(found.group(2), f"{len(names):06x}")
    return re.sub(r"((?:top)?defs-|clip|legend|trace|\bg)([0-9a-f]{6})(?![0-9a-f])", renamed, svg)


def images(args):
    with browser(args.browser) as tab, tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "plotly.html"
        page.write_text(f'<!DOCTYPE html><meta charset="utf-8"><script src="{address(args.plotly)}"></script>')
        tab.open(address(page))
        for path in args.notebooks:
            notebook = nbformat.read(path, as_version=4)
            for cell in notebook.cells:
                for out in cell.get("outputs", []):
                    if PLOTLY in out.get("data", {}):
                        chart = json.dumps(out["data"][PLOTLY])
                        out["data"]["image/svg+xml"] = stable(tab.value(DRAW % chart))
            for name in ("key", "seconds", "date"):
                notebook.metadata.get("wider_clip", {}).pop(name, None)
            nbformat.write(notebook, args.out / path.name)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", required=True)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("check")
    one.add_argument("--result", type=Path, required=True)
    one.add_argument("--screenshots", type=Path)
    one.add_argument("pages", type=Path, nargs="+")
    one.set_defaults(run=check)
    two = commands.add_parser("images")
    two.add_argument("--plotly", type=Path, required=True)
    two.add_argument("--out", type=Path, required=True)
    two.add_argument("notebooks", type=Path, nargs="+")
    two.set_defaults(run=images)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    sys.exit(main())
