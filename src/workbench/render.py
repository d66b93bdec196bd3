"""Turns executed notebooks into pages, with nbconvert and the template beside this program.

Nothing in a page points at a network: styles and scripts are files of the report, images are embedded. The pages go
to a folder of their own; the caller moves them into place when all of them are there. A page that is there already, made
from the same notebook and the same neighbours, is left alone.
"""

import argparse
import hashlib
import html
import json
import re
import time
import urllib.parse
from pathlib import Path

import jinja2
from pygments.formatters import HtmlFormatter

PLOTLY = "application/vnd.plotly.v1+json"
# The images behind a map's points: data for charts.js and a line of text.
SPRITES = "application/vnd.wider-clip.sprites+json"


def json_for_script(value):
    """JSON that cannot end the script element it stands in, nor begin a comment there: escapes that mean the same."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def address(name):
    """The address of a file of the report, whatever characters its name has."""
    return urllib.parse.quote(name)


def plain(markdown):
    """Markdown without its marks, for titles and one-line answers."""
    text = re.sub(r"!\[([^\]]*)\]\([^)]*\)|\[([^\]]+)\]\([^)]*\)", lambda m: m.group(1) or m.group(2) or "", markdown)
    return re.sub(r"\s+", " ", re.sub(r"[*`]", "", text)).strip()


def digest(*parts):
    """SHA-256 over parts, in hexadecimal."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read(path):
    """A notebook as plain JSON, and its digest: enough for everything but its page."""
    content = path.read_bytes()
    notebook = json.loads(content)
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook, hashlib.sha256(content).hexdigest()


def first_prose(notebook):
    return next((cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown"), "")


def title(notebook, stem):
    heading = re.search(r"^#\s+(.+)$", first_prose(notebook), re.MULTILINE)
    return plain(heading.group(1)) if heading else stem


def answer(notebook):
    """The one-line answer: the paragraph that says so, else the first one."""
    given = notebook["metadata"].get("wider_clip", {}).get("answer")
    if isinstance(given, str) and given:
        return given
    paragraphs = [p for p in re.split(r"\n\s*\n", first_prose(notebook)) if p.strip() and not p.lstrip().startswith("#")]
    named = [p for p in paragraphs if re.match(r"\W*answer\b", p.strip(), re.IGNORECASE)]
    chosen = plain((named or paragraphs or [""])[0])
    return re.sub(r"^Answer( in one line)?\s*[:.]\s*", "", chosen, flags=re.IGNORECASE)


def headings(body):
    found = re.findall(r'<h2 id="([^"]*)"[^>]*>(.*?)</h2>', body, re.DOTALL)
    text = lambda inner: html.unescape(re.sub(r"<[^>]+>", "", re.sub(r'<a class="anchor-link".*?</a>', "", inner)))
    return [{"id": html.unescape(anchor), "text": text(inner).strip()} for anchor, inner in found]


CAPTIONS = re.compile(
    r'<figure class="chart">(?P<gap>\s*)<figcaption>(?P<figure>.*?)</figcaption>'
    r'|<table(?P<attributes>[^>]*)><caption>(?P<table>.*?)</caption>',
    re.DOTALL,
)


def slug(caption):
    """A caption as an anchor: its first words, in letters that need no escape."""
    words = re.findall(r"[a-z0-9]+", html.unescape(re.sub(r"<[^>]+>", "", caption)).lower())
    return "-".join(words)[:48].strip("-") or "untitled"


def numbered(body):
    """The page with its charts and tables numbered, each with an anchor made of its caption."""
    counts, used = {"figure": 0, "table": 0}, {}

    def caption(match):
        kind = "figure" if match["figure"] is not None else "table"
        counts[kind] += 1
        anchor = f"{kind}-{slug(match[kind])}"
        used[anchor] = used.get(anchor, 0) + 1
        if used[anchor] > 1:
            anchor = f"{anchor}-{used[anchor]}"
        number = f'<a class="fig-number" href="#{anchor}">{kind.capitalize()} {counts[kind]}</a> '
        if kind == "figure":
            return f'<figure class="chart" id="{anchor}">{match["gap"]}<figcaption>{number}{match[kind]}</figcaption>'
        return f'<table id="{anchor}"{match["attributes"]}><caption>{number}{match[kind]}</caption>'

    return CAPTIONS.sub(caption, body)


def question(notebook):
    """What a notebook asks, for the time when it has no answer yet."""
    found = re.search(r"^\*\*Question\.?\*\*\s*(.+)$", first_prose(notebook), re.MULTILINE)
    return plain(found.group(1)) if found else ""


def entries(pages, coming):
    """What the first page lists: every page, and every notebook that is still to come, in reading order."""
    known = {page["stem"]: {**page, "state": "done"} for page in pages}
    for item in coming:
        notebook, _ = read(Path(item["source"]))
        fresh = {"title": title(notebook, item["stem"]), "question": question(notebook)}
        known[item["stem"]] = {**known.get(item["stem"], {}), **fresh, "state": item["state"], "message": item["message"]}
    return [known[stem] for stem in sorted(known)]


def has_math(notebook):
    prose = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    return any(re.search(r"\$[^$]+\$|\\\(|\\\[", text) for text in prose)


def has_charts(notebook):
    return any(PLOTLY in out.get("data", {}) for cell in notebook["cells"] for out in cell.get("outputs", []))


def facts(record, versions):
    parts = [f"Suite: {record['suite']}."] if "suite" in record else []
    if "date" in record:
        seconds = record.get("seconds", 0)
        took = f" in {seconds:.0f} s" if isinstance(seconds, (int, float)) else ""
        parts.append(f"Run on {record['date']}{took}.")
    return " ".join(parts + [versions])


class Renderer:
    """nbconvert with our template, loaded only where there is a page to make: that takes a second."""

    def __init__(self, template, forms):
        self.template, self.forms, self.export = template, forms, None

    def load(self):
        from nbconvert import HTMLExporter
        from traitlets.config import Config

        config = Config()
        config.NbConvertBase.display_data_priority = [SPRITES, *self.forms]
        self.export = HTMLExporter(config=config, template_name="page", extra_template_basedirs=[str(self.template)])
        self.export.register_filter("json_for_script", json_for_script)
        self.export.register_filter("first_line", first_line)
        self.export.register_filter("chart_height", chart_height)
        self.export.register_filter("base64_only", lambda text: re.sub(r"[^A-Za-z0-9+/=]", "", str(text)))

    def render(self, page):
        import nbformat

        if self.export is None:
            self.load()
        notebook = nbformat.read(page["path"], as_version=4)
        notebook.metadata["language_info"] = {"name": "rust", "pygments_lexer": "rust"}
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        markdown = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
        html_of = lambda text: self.export.markdown2html({"cell": {}, "resources": {}}, text)
        page = {
            **page,
            "numbers": {cell.get("id"): number for number, cell in enumerate(code, start=1)},
            "headings": headings("\n".join(map(html_of, markdown))),
        }
        body = self.export.from_notebook_node(notebook, resources={"page": page})[0]
        return numbered(body).rstrip("\n") + "\n"


def describe(path, versions, coming):
    notebook, content = read(path)
    failed = [item for item in coming if item["stem"] == path.stem and item["state"] == "failed"]
    return {
        "path": path,
        "content": content,
        "stem": path.stem,
        "file": f"{path.stem}.html",
        "href": address(f"{path.stem}.html"),
        "notebook": address(f"notebooks/{path.name}"),
        "title": title(notebook, path.stem),
        "answer": answer(notebook),
        "facts": facts(notebook["metadata"].get("wider_clip", {}), versions),
        "math": has_math(notebook),
        "charts": has_charts(notebook),
        "failed": failed[0]["message"] if failed else None,
    }


def made_from(page, information, programs):
    """The digest of everything that decides what a page shows."""
    neighbours = [other and [other["file"], other["title"]] for other in (page["previous"], page["next"])]
    return digest(page["content"], page["facts"], page["failed"], neighbours, programs, information["tools"], information["forms"])


def with_stamp(body, inputs):
    """The page with a last line that says what it was made from and what it holds."""
    return f"{body}<!-- made from {inputs}, holds {digest(body)} -->\n"


def is_made(path, inputs):
    """Whether the page at `path` was made from the same, and is as it was made."""
    try:
        page = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    body, _, _ = page.rpartition("<!-- made from ")
    return page == with_stamp(body, inputs)


def alone(page, assets):
    """The page with its styles and scripts inside, for one that has no files beside it."""

    def style(match):
        return f"<style>{(assets / match[1]).read_text(encoding='utf-8')}</style>"

    def script(match):
        text = (assets / match[1]).read_text(encoding="utf-8")
        # What would end the element can only stand in a string.
        return "<script data-library>" + re.sub("</(script)", r"<\\/\1", text, flags=re.IGNORECASE) + "</script>"

    head, end, body = page.partition("</head>")
    head = re.sub(r'<link\b[^>]*href="assets/([^"]+)"[^>]*>', style, head)
    head = re.sub(r'<script\b[^>]*src="assets/([^"]+)"[^>]*></script>', script, head)
    if re.search(r'(?:src|href)="assets/', head[: head.find("<style>")] + body):
        raise SystemExit("a page that stands alone still leads to assets/")
    return head + end + body


def first_line(words):
    """What a chart says that it shows, for its caption."""
    return str(words).split("\n")[0][:300]


def chart_height(chart):
    """The height in pixels that a chart asks for, so that its place is there before it is."""
    layout = chart.get("layout") if isinstance(chart, dict) else None
    height = layout.get("height") if isinstance(layout, dict) else None
    return int(height) if isinstance(height, (int, float)) and 0 < height < 10_000 else 440


def front(pages):
    """What the first notebook says on the first page: the outputs of its cells tagged `front`, as they are shown there."""
    first = next((page for page in pages if page["stem"] == "00_start_here"), None)
    if first is None:
        return []
    shown = []
    for cell in read(first["path"])[0]["cells"]:
        if "front" not in cell["metadata"].get("tags", []):
            continue
        for output in cell.get("outputs", []):
            data = {kind: "".join(value) if isinstance(value, list) else value for kind, value in output.get("data", {}).items()}
            words = data.get("text/plain", "")
            if PLOTLY in data:
                chart = data[PLOTLY]
                chart = json.loads(chart) if isinstance(chart, str) else chart
                chart_of = {"chart": json_for_script(chart), "words": words, "title": first_line(words)}
                shown.append({**chart_of, "height": chart_height(chart)})
            elif "text/html" in data:
                shown.append({"html": data["text/html"]})
    return shown


def index_page(args, information, pages):
    coming, ended = information["coming"], information["ended"]
    failed = any(item["state"] == "failed" for item in coming)
    going_on = bool(coming) and not ended and not failed
    made = f"Made on {time.strftime('%Y-%m-%d at %H:%M' if going_on else '%Y-%m-%d')}. {information['versions']}"
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(args.template), autoescape=True)
    page = environment.get_template("index.html.j2").render(
        front=front(pages),
        entries=entries(pages, coming),
        coming=[item for item in coming if item["state"] != "failed"],
        going_on=going_on,
        failed=failed,
        ended=ended,
        took=information["took"],
        rows=information["rows"],
        origin=information["origin"],
        disagreeing=information["disagreeing"],
        left_out=information["left_out"],
        facts=made,
    )
    return numbered(page)


def style(template):
    colours = HtmlFormatter(style="default").get_style_defs(".highlight")
    colours += "\n.highlight .err { border: 0; color: inherit; }\n.highlight { background: var(--tint); }\n"
    ours = (template / "style.css").read_text(encoding="utf-8")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    dark += "\n.highlight .err { border: 0; color: inherit; }\n.highlight { background: var(--tint); }\n"
    dark = f"@media screen and (prefers-color-scheme: dark) {{\n{dark}}}\n"
    return f"{ours}\n/* Code, from Pygments. */\n{colours}\n{dark}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--template", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True, help="the report as it is")
    parser.add_argument("--out", type=Path, required=True, help="where new pages go")
    parser.add_argument(
        "--information", type=Path, required=True, help="file with JSON: versions, tools, rows, coming, ended, took"
    )
    parser.add_argument("--only-index", action="store_true", help="make the first page alone, of the pages there are")
    parser.add_argument("notebooks", type=Path, nargs="*")
    args = parser.parse_args()
    information = json.loads(args.information.read_text(encoding="utf-8"))

    pages = [describe(path, information["versions"], information["coming"]) for path in args.notebooks]
    if args.only_index:
        pages = [page for page in pages if (args.report / page["file"]).exists()]
    else:
        programs = [Path(__file__), *sorted(path for path in (args.template / "page").iterdir() if path.is_file())]
        programs = digest(*(path.read_text(encoding="utf-8") for path in programs))
        renderer = Renderer(args.template, information["forms"])
        for page, before, after in zip(pages, [None, *pages], [*pages[1:], None]):
            page["previous"], page["next"] = before, after
            page["alone"], page["code"] = information["alone"], information["code"]
            inputs = made_from(page, information, programs)
            if not is_made(args.report / page["file"], inputs):
                text = with_stamp(renderer.render(page), inputs)
                (args.out / page["file"]).write_bytes(text.encode("utf-8"))

    assets = args.out / "assets"
    assets.mkdir(exist_ok=True)
    (assets / "style.css").write_text(style(args.template), encoding="utf-8")
    if information["alone"]:
        for page in pages:
            path = args.out / page["file"]
            path.write_text(alone(path.read_text(encoding="utf-8"), assets), encoding="utf-8")
        return
    (args.out / "index.html").write_text(index_page(args, information, pages), encoding="utf-8")


if __name__ == "__main__":
    main()
