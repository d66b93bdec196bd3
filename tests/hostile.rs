//! Names of strangers, shown by everything that shows names: what the kernel makes of it, what a page in a browser does.

#[path = "support/hostile.rs"]
mod hostile;

use hostile::{Answer, Kind, kernel, names, notebook, path_of, show};
use serde_json::Value;
use std::process::Command;
use std::sync::OnceLock;
use wider_clip::display::SpriteSheet;
use wider_clip::say::{cut, visible};
use wider_clip::workbench::{Workbench, browser, report, setup};

const PLOTLY: &str = "application/vnd.plotly.v1+json";
const MARK: &str = "the kinds: ";

/// Not a test by itself: the process behind the kernel.
#[test]
#[ignore = "the child of the tests below"]
fn shows_one_name() {
    let number: usize = std::env::var("HOSTILE_NAME").expect("set").parse().expect("a number");
    println!("\nEVCXR_EXECUTION_COMPLETE");
    let kinds = show(&names()[number]);
    println!("{MARK}{kinds:?}\nEVCXR_EXECUTION_COMPLETE");
}

/// The cells that show each name, with what each is.
fn shown() -> &'static Vec<Vec<(Kind, Answer)>> {
    static SHOWN: OnceLock<Vec<Vec<(Kind, Answer)>>> = OnceLock::new();
    let of_name = |number: usize| {
        let output = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "shows_one_name", "--ignored", "--nocapture"])
            .env("HOSTILE_NAME", number.to_string())
            .env_remove(wider_clip::progress::STATUS_VARIABLE)
            .output()
            .expect("runs");
        let name = visible(&cut(&names()[number], 40)).into_owned();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let mut cells = kernel(&output.stdout);
        cells.remove(0);
        let last = cells.pop().expect("a last cell");
        let kinds = last.stdout.iter().find_map(|line| line.strip_prefix(MARK)).expect("kinds");
        let kinds: Vec<Kind> = kinds
            .trim_matches(['[', ']'])
            .split(", ")
            .map(|kind| match kind {
                "Html" => Kind::Html,
                "Chart" => Kind::Chart,
                "Map" => Kind::Map,
                "Sprites" => Kind::Sprites,
                "Lines" => Kind::Lines,
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(kinds.len(), cells.len(), "{name}: the kernel sees as many cells as there were");
        kinds.into_iter().zip(cells).collect()
    };
    SHOWN.get_or_init(|| (0..names().len()).map(of_name).collect())
}

#[test]
fn the_kernel_takes_no_name_for_a_command() {
    for (name, cells) in names().iter().zip(shown()) {
        let short = visible(&cut(name, 40)).into_owned();
        for (number, (kind, answer)) in cells.iter().enumerate() {
            let mimes: Vec<&str> = answer.content.keys().map(String::as_str).collect();
            let expected: &[&str] = match kind {
                Kind::Html => &["text/html", "text/plain"],
                Kind::Chart | Kind::Map => &[PLOTLY, "text/plain"],
                Kind::Sprites => &[SpriteSheet::MIME, "text/plain"],
                Kind::Lines => &[],
            };
            assert_eq!(mimes, expected, "{short}, cell {number}");
            assert_eq!(*kind != Kind::Lines, answer.stdout.is_empty(), "{short}, {number}: {:?}", answer.stdout);
            for text in answer.stdout.iter().chain(answer.content.get("text/plain")) {
                let hidden = text.chars().any(|c| c.is_control() && !['\n', '\t'].contains(&c));
                assert!(!hidden && !text.contains(['\u{202e}', '\u{2028}', '\u{200b}']), "{short}, {number}: {text}");
                assert!(!text.contains("EVCXR_") && !text.lines().any(|line| line.starts_with("[status] ")));
                assert!(text.len() < 40_000, "{short}, {number}: {} bytes", text.len());
            }
            for text in answer.content.values() {
                assert!(!text.contains("EVCXR_") && text.len() < 400_000, "{short}, {number}");
            }
            for mime in [PLOTLY, SpriteSheet::MIME] {
                let Some(json) = answer.content.get(mime) else { continue };
                assert!(!json.contains(['<', '>', '&', '\n', '\u{2028}']), "{short}, {number}");
                serde_json::from_str::<Value>(json).expect("JSON");
            }
        }
        let lines = &cells.last().expect("a cell").1.stdout;
        assert!(name.contains('\n') || lines.len() == 17, "{short}: one line an error, {}: {lines:?}", lines.len());
    }
}

/// Asks a page what every cell shows, and whether anything of a name ran or became an element.
const SEEN: &str = r#"(async () => {
  const texts = node => node ? [...node.querySelectorAll("text")].map(text => text.textContent) : [];
  const pause = milliseconds => new Promise(done => setTimeout(done, milliseconds));
  const cells = [];
  for (const cell of document.querySelectorAll("section.cell")) {
    const output = cell.querySelector(".output");
    const plot = output.querySelector(".js-plotly-plot");
    const seen = { texts: [], hover: [], picture: "" };
    seen.label = output.querySelector("figure.chart")?.getAttribute("aria-label") ?? "";
    for (const node of output.querySelectorAll("th, td, caption, figcaption, figure div, pre, .facts")) {
      if (!node.closest(".plot")) seen.texts.push(node.textContent);
    }
    for (const image of output.querySelectorAll("img")) seen.texts.push(image.alt);
    if (plot) {
      seen.texts.push(...texts(plot));
      const point = plot.data[0].type === "heatmap" ? [0, 1] : 0;
      const where = plot.data[0].type === "heatmap" ? [{ xval: 1, yval: 0 }] : [{ curveNumber: 0, pointNumber: point }];
      Plotly.Fx.hover(plot, where[0].xval === undefined ? where : where[0]);
      await pause(60);
      seen.hover = texts(plot.querySelector(".hoverlayer"));
      seen.picture = document.querySelector(".under-pointer:not([hidden]) span")?.textContent ?? "";
      Plotly.Fx.unhover(plot);
    }
    cells.push(seen);
  }
  const count = selector => document.querySelectorAll(selector).length;
  return {
    pwned: window.__pwned ?? null, cells,
    links: [...document.querySelectorAll("a")].filter(a => /script/i.test(a.href + a.getAttribute("xlink:href"))).length,
    handlers: count("[onerror], [onload], [onmouseover]"), formulas: count("mjx-container, .MathJax, .text-math"),
    failed: [...document.querySelectorAll("p.facts")].filter(p => p.textContent.startsWith("This could not")).length,
  };
})()"#;

fn workbench() -> Workbench {
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip")).expect("a project");
    setup::ensure_python(&workbench).expect("Python");
    workbench
}

#[test]
fn pages_show_every_name_and_run_none() {
    if browser::find().is_none() {
        assert!(std::env::var_os("WIDER_CLIP_REQUIRE_BROWSER").is_none(), "no browser found. {}", browser::ADVICE);
        println!("skipped: no browser. {}", browser::ADVICE);
        return;
    }
    let workbench = workbench();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("notebooks")).expect("creates");
    let names = names();
    for (number, (name, cells)) in names.iter().zip(shown()).enumerate() {
        let cells: Vec<Answer> = cells.iter().map(|(_, answer)| answer.clone()).collect();
        // The names of files too, as far as a file can have them.
        let stem: String = visible(name).chars().filter(|c| *c != '/').take(40).collect();
        let path = path_of(folder.path(), &format!("{number:02}_{stem}.ipynb"));
        let mut text = notebook(&cells, &visible(&cut(name, 100)));
        // A page that loads MathJax as well.
        text["cells"][0]["source"] = "# Names\n\nThe loss is $x^2$.".into();
        std::fs::write(path, text.to_string()).expect("writes");
    }
    let pages = report::write_pages(&workbench, "smoke", folder.path()).expect("pages");
    let index = pages.len() - 1;
    let answers = browser::ask(&workbench, &pages[..index], SEEN).expect("answers");
    for ((name, cells), visit) in names.iter().zip(shown()).zip(&answers) {
        let short = visible(&cut(name, 40)).into_owned();
        assert_eq!(visit.complaints(), Vec::<String>::new(), "{short}");
        let charts = cells.iter().filter(|(kind, _)| matches!(kind, Kind::Chart | Kind::Map)).count();
        assert_eq!((visit.charts, visit.drawn, visit.maps, visit.pictured), (charts, charts, 1, 1), "{short}");
        let found = &visit.answer;
        assert_eq!(found["pwned"], Value::Null, "{short}: a script ran");
        for what in ["links", "handlers", "failed"] {
            assert_eq!(found[what], 0, "{short}: {what}");
        }
        assert_eq!(found["formulas"], 1, "{short}: the page's own formula alone");
        shows(name, &short, cells, found);
    }
    for visit in browser::visit(&workbench, &pages[index..], None).expect("the first page") {
        assert_eq!(visit.complaints(), Vec::<String>::new());
    }
}

/// Every cell shows the name, as [`visible`] writes it and no otherwise, as far as there is room.
fn shows(name: &str, short: &str, cells: &[(Kind, Answer)], found: &Value) {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().expect("a list").iter().map(|text| text.as_str().expect("text").to_string()).collect()
    };
    let full = visible(name);
    let begins = |most: usize| -> String { full.chars().take(most).collect() };
    let name_in = |all: &[String], most: usize| all.iter().any(|text| text.contains(begins(most).trim()));
    for (number, (kind, _)) in cells.iter().enumerate() {
        let cell = &found["cells"][number];
        let all = texts(&cell["texts"]);
        match kind {
            // As in the lines, words that are commands are escaped as well.
            Kind::Lines | Kind::Sprites => {
                let plain = wider_clip::say::plain(&full);
                let wanted: String = plain.chars().take(100).collect();
                assert!(all.iter().any(|text| text.contains(wanted.trim())), "{short}, cell {number}: {all:?}");
            }
            Kind::Html => assert!(name_in(&all, 100), "{short}, cell {number}: {all:?}"),
            Kind::Chart | Kind::Map => {
                assert!(name_in(&all, 25), "{short}, cell {number}: {all:?}");
                let hover = [texts(&cell["hover"]), vec![cell["picture"].as_str().expect("text").to_string()]].concat();
                assert!(name_in(&hover, 10), "{short}, cell {number}, under the pointer: {hover:?}");
            }
        }
    }
}
