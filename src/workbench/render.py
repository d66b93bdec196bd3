"""Turns executed notebooks into pages, with nbconvert and the template beside this program.

Nothing in a page points at a network: styles and scripts are files of the report, images are embedded. The pages go
to a folder of their own; the caller moves them into place when all of them are there.
"""

import argparse
import html
import json
import re
import time
from pathlib import Path

import jinja2
import nbformat
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

# What is shown where an output comes in several forms, the best first.
FORMS = [
    "application/vnd.plotly.v1+json",
    # The images behind a map's points: data for charts.js and a line of text.
    "application/vnd.wider-clip.sprites+json",
    "text/html",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/markdown",
    "text/latex",
    "text/plain",
]


def json_for_script(value):
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/").replace("<!--", "<\\!--")


def plain(markdown):
    """Markdown without its marks, for titles and one-line answers."""
    text = re.sub(r"!\[([^\]]*)\]\([^)]*\)|\[([^\]]+)\]\([^)]*\)", lambda m: m.group(1) or m.group(2) or "", markdown)
    return re.sub(r"\s+", " ", re.sub(r"[*`]", "", text)).strip()


def first_prose(notebook):
    return next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")


def title(notebook, stem):
    heading = re.search(r"^#\s+(.+)$", first_prose(notebook), re.MULTILINE)
    return plain(heading.group(1)) if heading else stem


def answer(notebook):
    """The one-line answer: the paragraph that says so, else the first one."""
    given = notebook.metadata.get("wider_clip", {}).get("answer")
    if given:
        return given
    paragraphs = [p for p in re.split(r"\n\s*\n", first_prose(notebook)) if p.strip() and not p.lstrip().startswith("#")]
    named = [p for p in paragraphs if re.match(r"\W*answer\b", p.strip(), re.IGNORECASE)]
    chosen = plain((named or paragraphs or [""])[0])
    return re.sub(r"^Answer( in one line)?\s*[:.]\s*", "", chosen, flags=re.IGNORECASE)


def headings(body):
    found = re.findall(r'<h2 id="([^"]*)"[^>]*>(.*?)</h2>', body, re.DOTALL)
    text = lambda inner: html.unescape(re.sub(r"<[^>]+>", "", re.sub(r'<a class="anchor-link".*?</a>', "", inner)))
    return [{"id": html.unescape(anchor), "text": text(inner).strip()} for anchor, inner in found]


def question(notebook):
    """What a notebook asks, for the time when it has no answer yet."""
    found = re.search(r"^\*\*Question\.?\*\*\s*(.+)$", first_prose(notebook), re.MULTILINE)
    return plain(found.group(1)) if found else ""


def entries(pages, coming):
    """What the first page lists: every page, and every notebook that is still to come, in reading order."""
    known = {page["stem"]: {**page, "state": "done"} for page in pages}
    for item in coming:
        notebook = nbformat.read(item["source"], as_version=4)
        fresh = {"title": title(notebook, item["stem"]), "question": question(notebook)}
        known[item["stem"]] = {**known.get(item["stem"], {}), **fresh, "state": item["state"], "message": item["message"]}
    return [known[stem] for stem in sorted(known)]


def has_math(notebook):
    return any(c.cell_type == "markdown" and re.search(r"\$[^$]+\$|\\\(|\\\[", c.source) for c in notebook.cells)


def has_charts(notebook):
    return any(FORMS[0] in out.get("data", {}) for c in notebook.cells for out in c.get("outputs", []))


def facts(record, versions):
    parts = [f"Suite: {record['suite']}."] if "suite" in record else []
    if "date" in record:
        parts.append(f"Run on {record['date']} in {record.get('seconds', 0):.0f} s.")
    return " ".join(parts + [versions])


def exporter(template):
    config = Config()
    config.NbConvertBase.display_data_priority = FORMS
    made = HTMLExporter(config=config, template_name="page", extra_template_basedirs=[str(template)])
    made.register_filter("json_for_script", json_for_script)
    return made


def describe(path, versions):
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["language_info"] = {"name": "rust", "pygments_lexer": "rust"}
    record = notebook.metadata.get("wider_clip", {})
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return {
        "notebook": notebook,
        "stem": path.stem,
        "file": f"{path.stem}.html",
        "title": title(notebook, path.stem),
        "answer": answer(notebook),
        "facts": facts(record, versions),
        "math": has_math(notebook),
        "charts": has_charts(notebook),
        "numbers": {cell.get("id"): number for number, cell in enumerate(code, start=1)},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--template", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--information", required=True, help="JSON: versions, rows, what is coming")
    parser.add_argument("notebooks", type=Path, nargs="*")
    args = parser.parse_args()
    information = json.loads(args.information)

    pages = [describe(path, information["versions"]) for path in args.notebooks]
    for page, before, after in zip(pages, [None, *pages], [*pages[1:], None]):
        page["previous"], page["next"] = before, after
    export = exporter(args.template)
    for page in pages:
        markdown = [c.source for c in page["notebook"].cells if c.cell_type == "markdown"]
        page["headings"] = headings("\n".join(export.markdown2html({"cell": {}, "resources": {}}, text) for text in markdown))
        body, _ = export.from_notebook_node(page["notebook"], resources={"page": page})
        (args.out / page["file"]).write_text(body, encoding="utf-8")

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(args.template), autoescape=True)
    index = environment.get_template("index.html.j2")
    made = f"Made on {time.strftime('%Y-%m-%d')}. {information['versions']}"
    coming = information.get("coming", [])
    text = index.render(
        entries=entries(pages, coming),
        coming=[item for item in coming if item["state"] != "failed"],
        failed=any(item["state"] == "failed" for item in coming),
        rows=information["rows"],
        facts=made,
    )
    (args.out / "index.html").write_text(text, encoding="utf-8")
    assets = args.out / "assets"
    assets.mkdir(exist_ok=True)
    colours = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    colours += "\n.highlight .err { border: 0; color: inherit; }\n.highlight { background: var(--tint); }\n"
    style = (args.template / "style.css").read_text(encoding="utf-8")
    (assets / "style.css").write_text(f"{style}\n/* Code, from Pygments. */\n{colours}", encoding="utf-8")


if __name__ == "__main__":
    main()
