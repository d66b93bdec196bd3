//! The report's pages, made from a small executed notebook without a kernel.

#[path = "support/require.rs"]
mod require;

use require::require;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use wider_clip::display::{MapChart, SpriteSheet};
use wider_clip::project::Project;
use wider_clip::results::{BoardLine, board};
use wider_clip::workbench::board::Anchors;
use wider_clip::workbench::page_check::{local_files, outside_addresses, outside_addresses_of_style};
use wider_clip::workbench::report::{Coming, State};
use wider_clip::workbench::{Workbench, browser, report, setup};

fn workbench() -> Workbench {
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip")).unwrap();
    setup::ensure_python(&workbench).unwrap();
    workbench
}

fn prose(text: &str) -> Value {
    json!({ "cell_type": "markdown", "id": format!("m{}", text.len()), "metadata": {}, "source": text })
}

fn code(source: &str, data: Value) -> Value {
    let output = json!({ "output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": data });
    json!({ "cell_type": "code", "id": format!("c{}", source.len()), "execution_count": 1, "metadata": {},
            "outputs": [output], "source": source })
}

/// An executed notebook with a formula, a chart, a table and a picture, and names that try to break the page.
fn executed(out: &Path, name: &str, html: &str) {
    let chart = json!({
        "data": [{ "type": "scatter", "x": [1, 2, 5], "y": [0.3, 0.5, 0.6], "name": "</script><img src=x onerror=alert(1)>" }],
        "layout": { "title": { "text": "Accuracy <b>\"&\"</b>" } },
    });
    let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"><circle r=\"4\"/></svg>";
    let cells = vec![
        prose("# A <small> \"test\"\n\n**Question.** Does it work?\n\n**Answer in one line.** It does."),
        prose("## Formula\n\nThe loss is $-\\log p_y$, see [a paper](https://example.org/paper)."),
        code("1 + 1", json!({ "text/plain": "2 <script>" })),
        code("chart()", json!({ "application/vnd.plotly.v1+json": chart, "text/plain": "a line that rises" })),
        code("table(&rows)", json!({ "text/html": html, "text/plain": "a table" })),
        code("picture(&image)?", json!({ "image/svg+xml": svg, "text/plain": "a disc" })),
    ];
    write_notebook(out, name, &cells);
}

fn write_notebook(out: &Path, name: &str, cells: &[Value]) {
    let metadata = json!({ "wider_clip": { "suite": "smoke", "seconds": 3.0, "date": "2026-01-01" } });
    let notebook = json!({ "cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5 });
    std::fs::create_dir_all(out.join("notebooks")).unwrap();
    std::fs::write(out.join("notebooks").join(name), notebook.to_string()).unwrap();
}

const TABLE: &str = "<table><caption>Rows</caption><tr><th>a</th><td>1</td></tr></table>";

#[test]
fn pages_need_no_network() {
    let workbench = workbench();
    let folder = tempfile::tempdir().unwrap();
    executed(folder.path(), "00_first.ipynb", TABLE);
    executed(folder.path(), "01_second.ipynb", TABLE);
    let pages = report::write_pages(&workbench, "smoke", folder.path()).unwrap();
    let names: Vec<String> =
        pages.iter().map(|page| page.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["00_first.html", "01_second.html", "index.html", "board.html"]);
    for page in &pages {
        let html = std::fs::read_to_string(page).unwrap();
        assert_eq!(outside_addresses(&html), Vec::<String>::new(), "{}", page.display());
        assert!(html.contains("<html lang=\"en\">") && html.contains("name=\"viewport\""));
        for file in local_files(&html) {
            assert!(folder.path().join(&file).exists(), "{} leads to {file}", page.display());
        }
    }
    let first = std::fs::read_to_string(&pages[0]).unwrap();
    assert!(first.contains("https://example.org/paper"), "links for readers stay");
    assert!(first.contains("aria-label=\"a line that rises\"") && first.contains("alt=\"a disc\""));
    assert!(!first.contains("</script><img"), "a name in a chart must not end its script");
    assert!(first.contains("2 &lt;script&gt;"), "text output is escaped");
    assert!(first.contains("rel=\"next\"") && !first.contains("rel=\"prev\""));
    let index = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    assert!(index.contains("It does.") && index.contains("Suite: smoke."), "{index}");
    let style = std::fs::read_to_string(folder.path().join("assets/style.css")).unwrap();
    assert!(outside_addresses_of_style(&style).is_empty() && style.contains(".highlight"));
    open_in_browser(&workbench, &pages);
}

/// Opens the pages where there is a browser.
#[track_caller]
fn open_in_browser(workbench: &Workbench, pages: &[PathBuf]) {
    if !require("browser") {
        return;
    }
    let visits = browser::visit(workbench, pages, None).unwrap();
    assert_eq!(visits.len(), pages.len());
    for visit in &visits {
        assert_eq!(visit.complaints(), Vec::<String>::new(), "{}", visit.page);
    }
    assert_eq!((visits[0].charts, visits[0].drawn), (1, 1));
}

const PLOTLY: &str = "application/vnd.plotly.v1+json";

/// An executed notebook with a sprite sheet, a map linked to it, and a chart that is no map.
fn executed_map(out: &Path, with_sheet: bool) {
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "default").unwrap();
    let set = project.images("icons").unwrap();
    let rows: Vec<usize> = (0..set.len()).step_by(60).collect();
    let points: Vec<[f64; 2]> = rows.iter().map(|&row| [(row % 7) as f64, (row % 11) as f64]).collect();
    let sheet = SpriteSheet::new(&set, &rows, 32).unwrap();
    let map = MapChart::by_class("A map", &set, &rows, &points).unwrap().with_sprites(&sheet).unwrap();
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let chart = json!({ "data": [{ "type": "scatter", "x": [1, 2], "y": [3, 4] }], "layout": {} });
    let mut cells = vec![
        prose("# Maps\n\n**Question.** Where?\n\n**Answer in one line.** There."),
        code("map", json!({ (PLOTLY): json(&map.to_json()), "text/plain": map.to_text() })),
        code("chart", json!({ (PLOTLY): chart, "text/plain": "a line" })),
    ];
    if with_sheet {
        let data = json!({ (SpriteSheet::MIME): json(&sheet.to_json()), "text/plain": sheet.to_text() });
        cells.insert(1, code("the sheet", data));
    }
    write_notebook(out, "05_maps.ipynb", &cells);
}

/// A folder of somebody else's is refused by its name before anything is made.
#[test]
fn a_report_goes_where_it_was_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let [state, here] = ["state", "here"].map(|name| place.path().canonicalize().unwrap().join(name));
    for folder in [&state, &here] {
        std::fs::create_dir_all(folder.join("report")).unwrap();
        std::fs::write(folder.join("report/mine"), "").unwrap();
    }
    let root = env!("CARGO_MANIFEST_DIR");
    for (words, expected) in [(&["report"][..], &state), (&["report", "--out", "report"], &here)] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wider-clip"));
        command.args(words).current_dir(&here).env("WIDER_CLIP_ROOT", root).env("WIDER_CLIP_STATE", &state);
        let ran = command.env("WIDER_CLIP_RESULTS", state.join("results")).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success(), "{words:?}");
        assert!(said.contains(&format!("{}", expected.join("report").display())), "{words:?}: {said}");
    }
}

#[test]
fn maps_show_the_image_under_the_pointer() {
    let workbench = workbench();
    let folder = tempfile::tempdir().unwrap();
    executed_map(folder.path(), true);
    let pages = report::write_pages(&workbench, "smoke", folder.path()).unwrap();
    let html = std::fs::read_to_string(&pages[0]).unwrap();
    assert_eq!(html.matches("data:image/png;base64,").count(), 1, "the sheet is there once");
    assert!(html.contains("class=\"sprites\""));
    if !require("browser") {
        return;
    }
    let visit = browser::visit(&workbench, &pages[..1], None).unwrap().remove(0);
    assert_eq!(visit.complaints(), Vec::<String>::new());
    assert_eq!((visit.charts, visit.maps, visit.pictured), (2, 1, 1));
    executed_map(folder.path(), false);
    let pages = report::write_pages(&workbench, "smoke", folder.path()).unwrap();
    let visit = browser::visit(&workbench, &pages[..1], None).unwrap().remove(0);
    assert_eq!(visit.complaints(), ["0 of 1 maps show the image under the pointer"]);
}

#[test]
fn saved_notebooks_have_no_sprite_sheet() {
    let workbench = workbench();
    if !require("browser") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    executed_map(folder.path(), true);
    report::write_pages(&workbench, "smoke", folder.path()).unwrap();
    let notebook = folder.path().join("notebooks").join("05_maps.ipynb");
    let saved = folder.path().join("saved");
    std::fs::create_dir(&saved).unwrap();
    let plotly = folder.path().join("assets").join("plotly.min.js");
    browser::with_static_images(&workbench, &plotly, &[notebook], &saved).unwrap();
    let text = std::fs::read_to_string(saved.join("05_maps.ipynb")).unwrap();
    let notebook: Value = serde_json::from_str(&text).unwrap();
    let data = |cell: usize| &notebook["cells"][cell]["outputs"][0]["data"];
    assert!(data(1)[SpriteSheet::MIME].is_null() && !data(1)["text/plain"].is_null(), "the text of the sheet stays");
    assert!(data(2)[PLOTLY].is_null(), "of a map only the picture stays");
    assert!(!data(2)["image/svg+xml"].is_null() || !data(2)["image/png"].is_null());
    assert!(!data(3)[PLOTLY].is_null() && !data(3)["image/svg+xml"].is_null(), "other charts stay as they were");
}

#[test]
fn a_browser_notices_requests_and_errors() {
    let workbench = workbench();
    if !require("browser") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("bad.html");
    let html = "<!DOCTYPE html><img src='https://example.org/a.png'><script>undefined.x</script>";
    std::fs::write(&page, html).unwrap();
    let visits = browser::visit(&workbench, &[page], None).unwrap();
    assert_eq!(visits[0].requests, ["https://example.org/a.png"]);
    assert!(visits[0].errors.iter().any(|error| error.contains("TypeError")), "{:?}", visits[0].errors);
}

#[test]
fn a_page_that_needs_the_network_is_refused_and_the_old_one_stays() {
    let workbench = workbench();
    let folder = tempfile::tempdir().unwrap();
    executed(folder.path(), "00_first.ipynb", TABLE);
    let pages = report::write_pages(&workbench, "smoke", folder.path()).unwrap();
    let before = std::fs::read_to_string(&pages[0]).unwrap();
    executed(folder.path(), "00_first.ipynb", "<img src=\"https://example.org/tracker.png\" alt=\"\">");
    let error = report::write_pages(&workbench, "smoke", folder.path()).unwrap_err().to_string();
    assert!(error.contains("00_first.html") && error.contains("https://example.org/tracker.png"), "{error}");
    assert_eq!(std::fs::read_to_string(&pages[0]).unwrap(), before);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".pages")), "{left:?}");
}

#[test]
fn the_first_page_says_what_is_still_coming() {
    let workbench = workbench();
    let folder = tempfile::tempdir().unwrap();
    let source = |name: &str| Coming { source: workbench.notebooks().join(name), state: State::Waiting };
    let running = |coming: Coming| Coming { state: State::Running, ..coming };
    let index = || std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    let (first, second) = (source("00_start_here.ipynb"), source("01_representations.ipynb"));
    std::fs::create_dir(folder.path().join("notebooks")).unwrap();

    // Before anything is done.
    report::write_pages_so_far(&workbench, "smoke", folder.path(), &[running(first.clone()), second.clone()]).unwrap();
    assert!(index().contains("0 of 2 notebooks are done") && index().contains("http-equiv=\"refresh\""));
    assert!(index().contains("Start here") && !index().contains("href=\"00_start_here.html\""), "{}", index());

    // One is done, the other runs.
    executed(folder.path(), "00_start_here.ipynb", TABLE);
    let pages = report::write_pages_so_far(&workbench, "smoke", folder.path(), &[running(second.clone())]).unwrap();
    let html = index();
    assert!(html.contains("1 of 2 notebooks are done") && html.contains("Running now."), "{html}");
    assert!(html.contains("href=\"00_start_here.html\"") && !html.contains("href=\"01_representations.html\""));
    assert!(html.contains("How good are frozen features"), "what it asks, as it has no answer yet");
    assert!(local_files(&html).iter().all(|file| folder.path().join(file).exists()));
    let page = std::fs::read_to_string(&pages[0]).unwrap();
    assert!(!page.contains("rel=\"next\""), "no way to a page that is not there");

    // It fails: said, with the message, and nothing reloads.
    let failed = Coming { state: State::Failed("cell 3: <three> is too many".into()), ..second };
    report::write_pages_so_far(&workbench, "smoke", folder.path(), &[failed]).unwrap();
    assert!(
        index().contains("Failed: cell 3: &lt;three&gt; is too many") && !index().contains("http-equiv=\"refresh\"")
    );

    // All done: no trace of it.
    executed(folder.path(), "01_representations.ipynb", TABLE);
    let pages = report::write_pages(&workbench, "smoke", folder.path()).unwrap();
    assert!(!index().contains("coming") && !index().contains("refresh"), "{}", index());
    assert!(std::fs::read_to_string(&pages[0]).unwrap().contains("rel=\"next\""));
}

#[test]
fn addresses_are_found_however_they_are_written() {
    let outside = [
        "<IMG SRC=https://a.org/x.png>",
        "<script async src='//a.org/x.js'></script>",
        "<link rel=stylesheet href=http://a.org/x.css>",
        "<img srcset='a.png 1x, https://a.org/b.png 2x'>",
        "<div style=\"background: URL('https://a.org/x.png')\"></div>",
        "<style>@import \"https://a.org/x.css\";</style>",
        "<svg><image xlink:href='https://a.org/x.png'/></svg>",
        "<script>fetch('https://a.org/data')</script>",
        "<script>import(\"https://a.org/m.js\")</script>",
        "<iframe src=https://a.org/></iframe>",
        "<meta http-equiv=refresh content='0; url=https://a.org'>",
    ];
    for html in outside {
        assert_eq!(outside_addresses(html).len(), 1, "{html}");
    }
    let local = [
        "<a href=https://a.org>read</a>",
        "<!-- <img src=https://a.org/x.png> -->",
        "<img src=data:image/png;base64,AAAA alt=>",
        "<script type=application/json>{\"url\": \"fetch('https://a.org')\"}</script>",
        "<p>1 < 2 and https://a.org</p>",
        "<meta http-equiv=refresh content='10'>",
        "<",
        "<img src=",
        "<img src='",
    ];
    for html in local {
        assert_eq!(outside_addresses(html), Vec::<String>::new(), "{html}");
    }
}

/// What tells one writing of a file from the next.
fn writing(path: &Path) -> (u64, std::time::SystemTime) {
    let metadata = std::fs::metadata(path).unwrap();
    (std::os::unix::fs::MetadataExt::ino(&metadata), metadata.modified().unwrap())
}

#[test]
fn what_did_not_change_is_not_made_again() {
    let workbench = workbench();
    let folder = tempfile::tempdir().unwrap();
    executed(folder.path(), "00_first.ipynb", TABLE);
    executed(folder.path(), "01_second.ipynb", TABLE);
    let pages = report::write_pages(&workbench, "smoke", folder.path()).unwrap();
    let writings = || [writing(&pages[0]), writing(&pages[1])];
    let before = writings();
    assert_eq!(
        report::write_pages(&workbench, "smoke", folder.path()).unwrap(),
        pages,
        "all are named, made again or not"
    );
    assert_eq!(writings(), before);

    // Another table, the same title: the neighbour stays.
    executed(folder.path(), "01_second.ipynb", "<table><tr><td>another</td></tr></table>");
    report::write_pages(&workbench, "smoke", folder.path()).unwrap();
    let after = writings();
    assert!(after[0] == before[0] && after[1] != before[1]);
    assert!(std::fs::read_to_string(&pages[1]).unwrap().contains("another"));

    // Another title: the neighbour leads to it by that.
    write_notebook(folder.path(), "01_second.ipynb", &[prose("# Renamed\n\n**Answer in one line.** Yes.")]);
    report::write_pages(&workbench, "smoke", folder.path()).unwrap();
    assert!(std::fs::read_to_string(&pages[0]).unwrap().contains("Renamed →"));

    // A page that is not as it was made.
    let whole = std::fs::read_to_string(&pages[0]).unwrap();
    for broken in [whole.replace("paper", "poster"), whole[..whole.len() - 100].to_string(), String::new()] {
        std::fs::write(&pages[0], &broken).unwrap();
        report::write_pages(&workbench, "smoke", folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&pages[0]).unwrap(), whole);
    }

    // The neighbour is gone, and with it the way there.
    std::fs::remove_file(folder.path().join("notebooks/01_second.ipynb")).unwrap();
    std::fs::remove_file(&pages[1]).unwrap();
    report::write_pages(&workbench, "smoke", folder.path()).unwrap();
    assert!(!std::fs::read_to_string(&pages[0]).unwrap().contains("rel=\"next\""));
}

#[test]
fn the_page_of_an_earlier_run_stays_and_says_so() {
    let workbench = workbench();
    let folder = tempfile::tempdir().unwrap();
    executed(folder.path(), "00_first.ipynb", TABLE);
    executed(folder.path(), "01_second.ipynb", TABLE);
    let pages = report::write_pages(&workbench, "smoke", folder.path()).unwrap();
    let whole = std::fs::read_to_string(&pages[1]).unwrap();
    let first = writing(&pages[0]);
    let source = folder.path().join("notebooks").join("01_second.ipynb");
    let read = |page: &Path| std::fs::read_to_string(page).unwrap();

    // While it runs once more, only the first page says so; that it loads itself again troubles no browser.
    let running = report::Coming { source: source.clone(), state: report::State::Running };
    report::write_pages_so_far(&workbench, "smoke", folder.path(), &[running]).unwrap();
    assert_eq!(read(&pages[1]), whole);
    let index = read(&pages[2]);
    assert!(index.contains("http-equiv=\"refresh\"") && index.contains("The page is of an earlier run."), "{index}");
    assert_eq!(outside_addresses(&index), Vec::<String>::new());
    open_in_browser(&workbench, &pages);

    // It failed.
    let message = "code cell 2: <no> such model".to_string();
    let failed = report::Coming { source, state: report::State::Failed(message) };
    report::write_pages_so_far(&workbench, "smoke", folder.path(), &[failed]).unwrap();
    for (page, name) in [(&pages[1], "the old page"), (&pages[2], "the first page")] {
        let html = read(page);
        assert!(html.contains("code cell 2: &lt;no&gt; such model") && html.contains("of an earlier run"), "{name}");
        assert!(local_files(&html).iter().all(|file| folder.path().join(file).exists()), "{name}");
        assert!(!html.contains("http-equiv=\"refresh\""), "{name}");
    }
    assert!(read(&pages[1]).contains("a disc"), "the old page is still whole");
    assert_eq!(writing(&pages[0]), first, "the page before it is left alone");

    // It ran.
    report::write_pages(&workbench, "smoke", folder.path()).unwrap();
    assert_eq!(read(&pages[1]), whole);
    assert!(!read(&pages[2]).contains("earlier run") && !read(&pages[2]).contains("Failed"));
}

#[test]
fn a_page_may_load_itself_again_and_nothing_else() {
    assert!(outside_addresses("<meta http-equiv=\"refresh\" content=\"10\">").is_empty());
    let others = ["10; url=other.html", "0;url=https://example.org", "0, https://example.org", ""];
    for content in others {
        let html = format!("<meta http-equiv=\"Refresh\" content=\"{content}\">");
        assert_eq!(outside_addresses(&html), ["meta: refresh"], "{content}");
    }
}

#[test]
fn a_number_of_the_board_leads_to_the_table_that_is_about_it() {
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "default").unwrap();
    let lines = board(&project, &[]).unwrap();
    let of = |dataset: &str, split: &str, method: &str| {
        let is = |line: &&BoardLine| {
            let key = &line.published.key;
            (key.dataset.as_str(), key.split.as_str(), key.method.as_str()) == (dataset, split, method)
        };
        lines.iter().find(is).unwrap().clone()
    };
    let page = r#"<h2 id="Results">x</h2><figure class="chart" id="figure-fmow-ood-lr-by-model"></figure>
        <table id="table-fmow-ood-accuracy-in-percent"></table><table id="table-fmow-id-accuracy"></table><table id="table-dtd-test-lr"></table>"#;
    let anchors = Anchors::of("03_drift.html", page);
    assert_eq!(anchors.of.len(), 4);
    assert_eq!(anchors.place(&of("fmow", "ood", "knn")), "03_drift.html#table-fmow-ood-accuracy-in-percent");
    assert_eq!(anchors.place(&of("fmow", "id", "lr")), "03_drift.html#table-fmow-id-accuracy");
    // The chart is about the method too, the table is not.
    assert_eq!(anchors.place(&of("fmow", "ood", "lr")), "03_drift.html#figure-fmow-ood-lr-by-model");
    assert_eq!(anchors.place(&of("iwildcam", "ood", "lr")), "03_drift.html#Results");
}

#[test]
fn a_notebook_that_was_edited_meanwhile_is_not_saved_over() {
    let (project, made) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let result = || json!({ "text/plain": "2" });
    let names = ["00_first.ipynb", "01_second.ipynb", "02_third.ipynb"];
    let read = |folder: &Path, name: &str| std::fs::read(folder.join("notebooks").join(name)).unwrap();
    for name in names {
        write_notebook(project.path(), name, &[prose("# Title"), code("1 +\n1", json!({}))]);
        // As nbformat writes: a line each.
        let mut executed = code("", result());
        executed["source"] = json!(["1 +\n", "1"]);
        write_notebook(made.path(), name, &[prose("# Title"), executed]);
    }
    write_notebook(project.path(), names[0], &[prose("# Title"), code("1 +\n2", json!({}))]);
    write_notebook(project.path(), names[1], &[code("# Title", json!({})), code("1 +\n1", json!({}))]);
    let before = [0, 1].map(|i| read(project.path(), names[i]));
    let sources = names.map(|name| project.path().join("notebooks").join(name));
    let error = report::put_back(&sources, &made.path().join("notebooks")).unwrap_err().to_string();
    assert!(error.contains(names[0]) && error.contains("01_second") && !error.contains("02_third"), "{error}");
    assert!(error.contains("edited meanwhile"), "{error}");
    assert_eq!([0, 1].map(|i| read(project.path(), names[i])), before);
    assert_eq!(read(project.path(), names[2]), read(made.path(), names[2]));
    report::put_back(&sources[2..], &made.path().join("notebooks")).unwrap();
}
