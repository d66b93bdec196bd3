//! What a reader can rely on in every page: contrast, alternatives in words, headings in order, the keyboard, targets that a finger
//! meets, a page that stands still while it loads; and that its switches do what they say.

#[path = "support/require.rs"]
mod require;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use wider_clip::workbench::{Workbench, browser, report, setup};

fn workbench() -> Workbench {
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip")).unwrap();
    setup::ensure_python(&workbench).unwrap();
    workbench
}

/// A notebook with what notebooks have: prose, a formula, code, lines, a table with a model's name, a chart, a picture.
fn notebook(tags: bool) -> Value {
    let prose = |text: &str| json!({ "cell_type": "markdown", "id": format!("p{}", text.len()), "metadata": {}, "source": text });
    let code = |id: &str, output: Value, tags: bool| {
        let metadata = if tags { json!({ "tags": ["front"] }) } else { json!({}) };
        let data = json!({ "output_type": "display_data", "metadata": {}, "data": output });
        json!({ "cell_type": "code", "id": id, "metadata": metadata, "execution_count": 1, "source": "let x: u32 = 1; // one",
                "outputs": [data] })
    };
    let table = "<div style=\"overflow-x:auto\"><table><caption>Accuracy by model</caption><thead><tr><th scope=\"col\">model</th>\
                 <th scope=\"col\">%</th></tr></thead><tbody><tr><th scope=\"row\">Raw pixels</th><td>12.5</td></tr></tbody></table></div>";
    let chart = json!({ "data": [{ "type": "scatter", "x": [1, 2], "y": [1, 2] }],
                        "layout": { "height": 300, "title": { "text": "A line" }, "xaxis": { "title": { "text": "x ".repeat(80) } } } });
    let pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    json!({
        "cells": [
            prose("# Pages\n\n**Question.** What can a reader rely on?\n\n**Answer in one line.** On this."),
            prose("## One\n\nText with `pixels.raw` in it, [a link](https://example.org) and $x^2$."),
            code("c1", json!({ "text/html": table, "text/plain": "a table" }), tags),
            prose("## Two\n\n### Below two\n\nMore text."),
            code("c2", json!({ "application/vnd.plotly.v1+json": chart, "text/plain": "A line that rises\n1 -> 1" }), tags),
            code("c3", json!({ "image/png": pixel, "text/plain": "a dot" }), false),
        ],
        "metadata": {}, "nbformat": 4, "nbformat_minor": 5
    })
}

fn pages(folder: &Path) -> Vec<PathBuf> {
    let notebooks = folder.join("notebooks");
    std::fs::create_dir(&notebooks).unwrap();
    std::fs::write(notebooks.join("00_start_here.ipynb"), notebook(true).to_string()).unwrap();
    std::fs::write(notebooks.join("01_second.ipynb"), notebook(false).to_string()).unwrap();
    report::write_pages(&workbench(), "smoke", folder).unwrap()
}

/// What is wrong with a page, line by line.
const WRONG: &str = r#"(async () => {
  const wrong = [];
  const say = (what, node) => wrong.push(`${what}: ${(node?.outerHTML ?? "").slice(0, 120)}`);
  const shown = node => node.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && node.getClientRects().length > 0;
  // Contrast of every piece of text with the nearest background.
  const numbers = colour => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const light = colour => {
    const part = value => (value /= 255, value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = numbers(colour);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = node => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor, parts = numbers(colour);
      if (parts.length === 3 || parts[3] > 0.5) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || node.closest("script, style, noscript, svg, mjx-container") || !shown(node)) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) say(`contrast ${ratio.toFixed(2)}`, node);
  }
  for (const image of document.images) if (!image.alt) say("no words for a picture", image);
  for (const plot of document.querySelectorAll("figure.chart .plot")) {
    if (plot.getAttribute("role") !== "img" || !plot.getAttribute("aria-label")) say("no words for a chart", plot);
  }
  const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map(heading => Number(heading.tagName[1]));
  if (levels.filter(level => level === 1).length !== 1) say(`headings of the first level: ${levels}`);
  levels.forEach((level, i) => { if (i > 0 && level > levels[i - 1] + 1) say(`a heading skips a level: ${levels}`); });
  if (document.querySelectorAll("main").length !== 1) say("not one main part");
  if (!document.documentElement.lang || !document.title) say("no language or title");
  if (!document.querySelector("meta[name=description]")?.content) say("no description");
  const ids = [...document.querySelectorAll("[id]")].map(node => node.id);
  if (new Set(ids).size !== ids.length) say(`an id twice: ${ids.filter((id, i) => ids.indexOf(id) !== i)}`);
  for (const link of document.querySelectorAll("a[href^='#']")) {
    if (link.hash && !document.getElementById(decodeURIComponent(link.hash.slice(1)))) say("a link to nowhere", link);
  }
  // The keyboard: all that can be used is reached in order, and shows that it is.
  const usable = [...document.querySelectorAll("a[href], button, summary, input, select, [tabindex]")]
    .filter(node => shown(node) && !node.closest("svg, mjx-container, .MathJax, mjx-assistive-mml"));
  for (const node of usable) {
    if (node.tabIndex !== 0) say(`tabindex ${node.tabIndex}`, node);
    node.focus();
    const style = getComputedStyle(node);
    if (document.activeElement !== node) say("cannot be focused", node);
    else if (style.outlineStyle === "none" && !node.closest(".skip")) say("no sign of focus", node);
    node.blur();
    if (node.matches("button, summary, select, input")) {
      const box = node.getBoundingClientRect();
      if (Math.min(box.width, box.height) < 23.5) say(`a target of ${box.width.toFixed(0)} x ${box.height.toFixed(0)}`, node);
    }
  }
  window.scrollTo(0, 0);
  const shifts = await new Promise(done => {
    const all = [];
    const observer = new PerformanceObserver(list => all.push(...list.getEntries().filter(entry => !entry.hadRecentInput)));
    observer.observe({ type: "layout-shift", buffered: true });
    setTimeout(() => done(all), 400);
  });
  const moved = shifts.reduce((sum, entry) => sum + entry.value, 0);
  const sources = shifts.flatMap(entry => entry.sources).map(source => (source.node?.outerHTML ?? source.node?.data ?? "").slice(0, 60));
  if (moved > 0.05) say(`the page moved by ${moved.toFixed(3)} while it loaded: ${sources.join(" | ")}`);
  return wrong;
})()"#;

#[test]
fn every_page_keeps_what_readers_rely_on() {
    if !require::require("browser") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = pages(folder.path());
    assert_eq!(pages.len(), 4, "two notebooks, the first page, the board");
    for visit in browser::ask(&workbench(), &pages, WRONG).unwrap() {
        let wrong: Vec<&str> = visit.answer.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(wrong.is_empty(), "{}:\n{}", visit.page, wrong.join("\n"));
        assert_eq!(visit.complaints(), Vec::<String>::new(), "{}", visit.page);
    }
}

/// What the switches of a notebook's page do.
const USED: &str = r#"(async () => {
  const open = () => [...document.querySelectorAll("details.code")].map(cell => cell.open);
  const button = document.querySelector("button.switch");
  const before = open();
  button.click();
  const after = open();
  button.click();
  const model = document.querySelector("th button.model");
  model.focus();
  const record = document.querySelector(".record")?.textContent ?? "";
  document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
  return {
    before, after, again: open(), pressed: button.getAttribute("aria-pressed"), record, hidden: !document.querySelector(".record"),
    inProse: document.querySelector(".prose code button.model")?.textContent ?? "",
    captions: [...document.querySelectorAll("figcaption, caption")].map(caption => caption.textContent.trim()),
    anchors: [...document.querySelectorAll("a.fig-number")].map(link => link.getAttribute("href")),
    lines: document.querySelector(".xtitle")?.querySelectorAll("tspan").length ?? 0,
    title: document.querySelector(".gtitle")?.textContent ?? "",
  };
})()"#;

#[test]
fn code_folds_and_names_show_their_records() {
    if !require::require("browser") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = pages(folder.path());
    let found = browser::ask(&workbench(), &pages[1..2], USED).unwrap().remove(0).answer;
    assert_eq!(found["before"], json!([true, true, true]), "{found}");
    assert_eq!(found["after"], json!([false, false, false]), "{found}");
    assert_eq!((&found["again"], &found["pressed"]), (&json!([true, true, true]), &json!("true")), "{found}");
    let record = found["record"].as_str().unwrap();
    assert!(record.contains("pixels.raw") && record.contains("licence") && found["hidden"] == true, "{found}");
    assert_eq!(found["inProse"], "pixels.raw", "{found}");
    assert_eq!(found["captions"], json!(["Table 1 Accuracy by model", "Figure 1 A line that rises"]), "{found}");
    assert_eq!(found["anchors"], json!(["#table-accuracy-by-model", "#figure-a-line-that-rises"]), "{found}");
    assert!(found["lines"].as_u64() > Some(1) && found["title"] == "", "a long axis title breaks: {found}");
    // What notebook 00 marks stands on the first page.
    let first = std::fs::read_to_string(&pages[2]).unwrap();
    assert!(first.contains("Accuracy by model") && first.contains("A line that rises") && first.contains("board.html"));
}

/// Filters and sorts the board.
const BOARD: &str = r#"(() => {
  const table = document.querySelector("table.board"), form = document.querySelector("form.filters");
  const seen = () => [...table.tBodies[0].rows].filter(row => !row.hidden);
  const all = seen().length;
  const select = [...form.querySelectorAll("select")].find(select => select.parentElement.textContent.trim().startsWith("model"));
  select.value = "DINO";
  form.dispatchEvent(new Event("input"));
  const dino = seen();
  const named = dino.every(row => row.cells[3].textContent === "DINO");
  const head = [...table.tHead.rows[0].cells].find(cell => cell.textContent === "published");
  const values = () => seen().map(row => Number(row.cells[6].dataset.value));
  head.querySelector("button").click();
  const up = values().every((value, i, list) => i === 0 || list[i - 1] <= value);
  head.querySelector("button").click();
  const down = values().every((value, i, list) => i === 0 || list[i - 1] >= value);
  form.elements.text.value = "flowers102";
  form.dispatchEvent(new Event("input"));
  return { all, dino: dino.length, named, up, down, flowers: seen().length, shown: document.getElementById("shown").textContent };
})()"#;

#[test]
fn the_board_is_sorted_and_filtered_without_a_network() {
    if !require::require("browser") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = pages(folder.path());
    let found = browser::ask(&workbench(), &pages[3..], BOARD).unwrap().remove(0).answer;
    assert_eq!(
        (&found["all"], &found["named"], &found["up"], &found["down"]),
        (&json!(1013), &json!(true), &json!(true), &json!(true))
    );
    let flowers = found["flowers"].as_u64().unwrap();
    assert!(flowers > 0 && flowers < found["dino"].as_u64().unwrap(), "{found}");
    assert_eq!(found["shown"], format!("{flowers} of 1013 numbers"), "{found}");
    let table = std::fs::read_to_string(folder.path().join("data/board.csv")).unwrap();
    assert_eq!(table.lines().count(), 1014);
    assert!(table.lines().nth(1).unwrap().contains("has to be downloaded"), "the reason why there is none");
    assert!(folder.path().join("data/board.parquet").exists());
}

/// Contrast by WCAG 2: relative luminance.
fn contrast(a: &str, b: &str) -> f64 {
    let light = |colour: &str| {
        let hex = colour.trim_start_matches('#');
        let hex = if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.to_string() };
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
    };
    let (a, b) = (light(a), light(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn both_sets_of_colours_can_be_read() {
    let style = include_str!("../src/workbench/template/style.css");
    let mut blocks = style.match_indices(":root {").map(|(at, _)| &style[at..at + style[at..].find('}').unwrap()]);
    let (light, dark) = (blocks.next().unwrap(), blocks.next().unwrap());
    for block in [light, dark] {
        let colour = |name: &str| {
            let at = block.find(&format!("--{name}:")).unwrap_or_else(|| panic!("no {name}"));
            block[at..].split([':', ';']).nth(1).unwrap().trim()
        };
        for text in ["ink", "soft", "accent"] {
            for paper in ["paper", "tint"] {
                let found = contrast(colour(text), colour(paper));
                assert!(found >= 4.5, "{text} on {paper}: {found:.2}");
            }
        }
    }
}
