"""Headless Chromium over its DevTools protocol, with the network refused.

`check` opens pages from disk and reports what each asked the network for, what its console called an error, and
whether all charts were drawn, show the images behind their points where they have some, and the page fits a phone.
`images` copies executed notebooks and gives every chart in them a static picture, drawn by plotly.js itself: what a
reader sees where no script runs. What only the report's pages can use does not go into the copies: sprite sheets, and
the thousands of labelled points of the maps linked to them, of which the static picture stays.
"""

import argparse
import base64
import contextlib
import hashlib
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
SPRITES = "application/vnd.wider-clip.sprites+json"
# A chart of thousands of points is smaller as PNG.
LARGEST_SVG = 100_000
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

MAPS = """[...document.querySelectorAll("figure.chart .js-plotly-plot")]
  .filter(plot => plot.layout.meta && plot.layout.meta.sprites)"""
# Where the first point of a map is drawn, after the map was moved into the window.
POINT = """(async () => {
  const plot = %s[%d];
  plot.scrollIntoView({ block: "center", behavior: "instant" });
  await new Promise(done => setTimeout(done, 200));
  const box = plot.querySelector(".scatterlayer .points path").getBoundingClientRect();
  return JSON.stringify({ x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2 });
})()"""
# Whether an image stands under the pointer, inside the window.
PICTURE = """(async () => {
  for (let i = 0; i < 40; i++) {
    await new Promise(done => setTimeout(done, 50));
    const picture = document.querySelector(".under-pointer:not([hidden])");
    if (!picture || !picture.firstElementChild.style.backgroundImage.includes("data:image/")) continue;
    const box = picture.getBoundingClientRect();
    return box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight;
  }
  return false;
})()"""


class Browser:
    """One Chromium and one tab."""

    def __init__(self, program, profile):
        flags = FLAGS + (["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])
        command = [program, *flags, f"--user-data-dir={profile}", "about:blank"]
        self.events, self.last_id, self.session, self.socket = [], 0, None, None
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.socket = websocket.create_connection(self.address(Path(profile)), timeout=60)
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            # Nobody has it yet who could close it.
            self.process.kill()
            self.process.wait()
            raise

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
        wanted = self.last_id
        while True:
            message = self.receive()
            if message.get("id") == wanted:
                if "error" in message:
                    raise SystemExit(f"the browser refused {method}: {message['error'].get('message')}")
                return message["result"]
            self.events.append(message)

    def receive(self):
        """The next message. A dialog would stop the page: it is sent away, and counts as an error."""
        message = json.loads(self.socket.recv())
        if message.get("method") == "Page.javascriptDialogOpening":
            self.last_id += 1
            away = {"id": self.last_id, "method": "Page.handleJavaScriptDialog", "params": {"accept": False}}
            self.socket.send(json.dumps({**away, "sessionId": self.session}))
        return message

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
            self.events.append(self.receive())

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
        elif event.get("method") == "Page.javascriptDialogOpening":
            errors.append(f"opened a dialog: {parameters.get('message', '')}")
        elif event.get("method") == "Log.entryAdded" and parameters["entry"].get("level") == "error":
            errors.append(parameters["entry"].get("text", "") + " " + parameters["entry"].get("url", ""))
    return errors


def address(path):
    return "file://" + urllib.parse.quote(str(path.resolve()))


def pictured(tab):
    """How many maps have images behind their points, and how many show one when the pointer is on a point."""
    count, shown = tab.value(MAPS + ".length"), 0
    for number in range(count):
        place = json.loads(tab.value(POINT % (MAPS, number)))
        tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=place["x"], y=place["y"])
        shown += tab.value(PICTURE)
        tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    return count, shown


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
            maps, shown = pictured(tab)
            answer = tab.value(args.ask.read_text(encoding="utf-8")) if args.ask else None
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
                "maps": maps,
                "pictured": shown,
                "phone_width": narrow,
                "answer": answer,
            })
    args.result.write_text(json.dumps(visits), encoding="utf-8")


DRAW = """(async () => {
  const chart = %s;
  const layout = Object.assign({ width: 760, height: 460 }, chart.layout);
  const size = { width: layout.width, height: layout.height };
  const url = await Plotly.toImage({ data: chart.data, layout }, { format: "%s", ...size });
  return url.slice(url.indexOf(",") + 1);
})()"""


def draw(tab, chart):
    """A static picture of a chart: its mime type and what a notebook holds for it."""
    svg = its_own(compact(stable(urllib.parse.unquote(tab.value(DRAW % (chart, "svg"))))))
    if len(svg) <= LARGEST_SVG:
        return "image/svg+xml", svg
    return "image/png", tab.value(DRAW % (chart, "png"))


def has_sprites(chart):
    return "sprites" in (chart.get("layout", {}).get("meta") or {})


NAMES = re.compile(r"((?:top)?defs-|clip|legend|trace|\bg)([0-9a-f]{6})(?![0-9a-f])")


def stable(svg):
    """plotly.js names its parts at random; a saved notebook must not change where its chart does not."""
    names = {}
    return NAMES.sub(lambda found: found.group(1) + names.setdefault(found.group(2), f"{len(names):06x}"), svg)


def its_own(svg):
    """Names that no other chart has: VS Code shows all pictures in one document, where a name of another would cut this one."""
    first = int(hashlib.sha256(svg.encode()).hexdigest()[:6], 16)
    return NAMES.sub(lambda found: found.group(1) + f"{(first + int(found.group(2), 16)) % 2**24:06x}", svg)


# What plotly.js writes into every style and what is so anyway.
DEFAULTS = re.compile(r"(?<=[\"; ])(?:stroke-opacity: 1|fill-opacity: 1|opacity: 1|vector-effect: none)(?![0-9.e]);? ?")
COLOUR = re.compile(r"rgb\((\d+), (\d+), (\d+)\)")
EMPTY = re.compile(r"<g(?: [^<>]*)?/>|<g(?: [^<>]*)?></g>")


def compact(svg):
    """The same picture in fewer bytes: a notebook holds dozens."""
    svg = DEFAULTS.sub("", svg)
    svg = COLOUR.sub(lambda found: "#" + "".join(f"{int(part):02x}" for part in found.groups()), svg)
    while (less := EMPTY.sub("", svg)) != svg:
        svg = less
    return svg.replace(' style=""', "")


def images(args):
    with browser(args.browser) as tab, tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "plotly.html"
        page.write_text(f'<!DOCTYPE html><meta charset="utf-8"><script src="{address(args.plotly)}"></script>')
        tab.open(address(page))
        for path in args.notebooks:
            notebook = nbformat.read(path, as_version=4)
            for cell in notebook.cells:
                for out in cell.get("outputs", []):
                    data = out.get("data", {})
                    data.pop(SPRITES, None)
                    if PLOTLY in data:
                        kind, picture = draw(tab, json.dumps(data[PLOTLY]))
                        data[kind] = picture
                        if has_sprites(data[PLOTLY]):
                            del data[PLOTLY]
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
    one.add_argument("--ask", type=Path, help="a file with an expression whose value each page is asked for")
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
