//! Names of strangers, shown by everything that shows names: what the kernel makes of it, what a page in a browser does.

#[path = "support/hostile.rs"]
mod hostile;
#[path = "support/require.rs"]
mod require;

use hostile::{Answer, Kind, kernel, names, notebook, path_of, show};
use serde_json::Value;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;
use std::sync::OnceLock;
use wider_clip::display::{Cell, SpriteSheet, Table};
use wider_clip::error::Error;
use wider_clip::say::{cut, plain, visible};
use wider_clip::workbench::process::{Board, Counted};
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
            let told = |line: &&String| line.contains("[cell failed: ") || line.contains("[cell ended]");
            assert_eq!(answer.stdout.iter().find(told), None, "{short}, {number}: taken for a notice");
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
    seen.label = output.querySelector("figure.chart .plot")?.getAttribute("aria-label") ?? "";
    for (const node of output.querySelectorAll("th, td, caption, figcaption, figure div, pre, .facts")) {
      if (!node.closest(".plot")) seen.texts.push(node.textContent);
    }
    for (const image of output.querySelectorAll("img")) seen.texts.push(image.alt);
    if (plot) {
      seen.texts.push(...texts(plot));
      const point = plot.data[0].type === "heatmap" ? [0, 1] : 0;
      const where = plot.data[0].type === "heatmap" ? [{ xval: 1, yval: 0 }] : [{ curveNumber: 0, pointNumber: point }];
      // With a sheet the label is the page's own; plotly tells it of a real pointer only.
      if (plot.layout.meta?.sprites) {
        plot.emit("plotly_hover", { points: [{ customdata: 0, hovertext: plot.data[0].hovertext[0] }] });
      } else Plotly.Fx.hover(plot, where[0].xval === undefined ? where : where[0]);
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
    links: [...document.querySelectorAll("a")].filter(a =>
      ["href", "xlink:href"].some(name => /^\s*javascript:/i.test(a.getAttribute(name) ?? ""))).length,
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
    if !require::require("browser") {
        return;
    }
    let workbench = workbench();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("notebooks")).expect("creates");
    // Names that are commands of the kernel and no more are nothing to a page.
    let all: Vec<_> = names().into_iter().zip(shown()).collect();
    let chosen = all.iter().filter(|(name, _)| name.starts_with("cat") || !name.contains("EVCXR_"));
    let chosen: Vec<(&String, &Vec<(Kind, Answer)>)> = chosen.map(|(name, cells)| (name, *cells)).collect();
    for (number, (name, cells)) in chosen.iter().enumerate() {
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
    // The first page and the board come last.
    let index = pages.len() - 2;
    let answers = browser::ask(&workbench, &pages[..index], SEEN).expect("answers");
    let mut wrong = Vec::new();
    for ((name, cells), visit) in chosen.iter().zip(&answers) {
        let short = visible(&cut(name, 40)).into_owned();
        let found = &visit.answer;
        wrong.extend(visit.complaints());
        let charts = cells.iter().filter(|(kind, _)| matches!(kind, Kind::Chart | Kind::Map)).count();
        let drawn = (visit.charts, visit.drawn, visit.maps, visit.pictured);
        // The formula is the page's own.
        let seen = ["pwned", "links", "handlers", "failed", "formulas"].map(|what| found[what].clone());
        if drawn != (charts, charts, 1, 1) || seen != [Value::Null, 0.into(), 0.into(), 0.into(), 1.into()] {
            wrong.push(format!("{short}: {drawn:?}, {seen:?}"));
        }
        wrong.extend(missing(name, cells, found).into_iter().map(|line| format!("{short}, {line}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for visit in browser::visit(&workbench, &pages[index..], None).expect("the first page") {
        assert_eq!(visit.complaints(), Vec::<String>::new());
    }
}

/// The cells that do not show the name as [`visible`] writes it, as far as there is room.
fn missing(name: &str, cells: &[(Kind, Answer)], found: &Value) -> Vec<String> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(String::from).collect()
    };
    let (full, plain) = (visible(name), plain(name));
    let has = |all: &[String], full: &str, most: usize| {
        let wanted: String = full.chars().take(most).collect();
        all.iter().any(|text| text.contains(wanted.trim()))
    };
    let mut wrong = Vec::new();
    for (number, (kind, _)) in cells.iter().enumerate() {
        let cell = &found["cells"][number];
        let all = texts(&cell["texts"]);
        let pointed = [texts(&cell["hover"]), vec![cell["picture"].as_str().unwrap_or_default().into()]].concat();
        // A caption is the first line of the words, in which commands are escaped as well.
        let named = has(&all, &full, 25) || has(&all, &plain, 25);
        let (shown, under_pointer) = match kind {
            // As in the lines, words that are commands are escaped as well.
            Kind::Lines | Kind::Sprites => (has(&all, &plain, 100), true),
            Kind::Html => (has(&all, &full, 100), true),
            // Of one line alone the legend says what it is.
            Kind::Chart if pointed.iter().any(|text| text.starts_with("(4, 55")) => (named, true),
            Kind::Chart | Kind::Map => (named, has(&pointed, &full, 10)),
        };
        if !shown {
            wrong.push(format!("cell {number}: {:.600}", format!("{all:?}")));
        }
        if !under_pointer {
            wrong.push(format!("cell {number}, under the pointer: {:.300}", format!("{pointed:?}")));
        }
    }
    wrong
}

#[test]
fn a_chart_that_cannot_be_drawn_costs_no_other() {
    if !require::require("browser") {
        return;
    }
    let workbench = workbench();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("notebooks")).expect("creates");
    // No room for the bar of colours; no chart at all; a name that begins a comment in a script.
    let charts = [
        r#"{"data":[{"type":"heatmap","z":[[1,2],[3,4]]}],"layout":{"height":228,"margin":{"t":60,"b":195}}}"#,
        "null",
        r#"{"data":[{"x":[1,2],"y":[1,2],"name":"<!--<script>"}],"layout":{"showlegend":true}}"#,
        r#"{"data":[{"x":[1,2],"y":[1,2],"name":"the last"}],"layout":{"showlegend":true}}"#,
    ];
    let cells = charts.map(|chart| Answer {
        stdout: Vec::new(),
        content: [(PLOTLY.to_string(), chart.to_string())].into_iter().collect(),
    });
    std::fs::write(path_of(folder.path(), "01_charts.ipynb"), notebook(&cells, "x").to_string()).expect("writes");
    let pages = report::write_pages(&workbench, "smoke", folder.path()).expect("pages");
    let visit = browser::visit(&workbench, &pages[..1], None).expect("a visit").remove(0);
    let complaints = visit.complaints();
    let has = |part: &str| complaints.iter().any(|line| line.contains(part));
    assert!(visit.charts == 4 && has("axis scaling") && has("console error: TypeError"), "{complaints:?}");
    assert!(has("of 4 charts were drawn"), "{complaints:?}");
    let asked = "[...document.querySelectorAll('figure.chart')].map(figure => figure.textContent)";
    let visit = browser::ask(&workbench, &pages[..1], asked).expect("an answer").remove(0);
    let text = |number: usize| visit.answer[number].as_str().unwrap_or_default().to_string();
    assert!(text(0).contains("could not be drawn") && text(1).contains("could not be drawn"), "{:?}", visit.answer);
    assert!(text(2).contains("<!--<script>") || text(2).contains("trace"), "{:?}", visit.answer);
    assert!(visit.answer[3].as_str().is_some_and(|text| !text.contains("could not")), "{:?}", visit.answer);
}

#[test]
fn errors_show_what_cannot_be_seen() {
    let bad = "a\nb\r\u{1b}[2J\0\u{202e}\u{2028}\u{85}EVCXR_END_CONTENT";
    let shown = r"a\nb\r\u{1b}[2J\0\u{202e}\u{2028}\u{85}\u{45}VCXR_END_CONTENT";
    let text = || bad.to_string();
    let io = || std::io::Error::other("closed\u{7}");
    let path = std::path::PathBuf::from(std::ffi::OsString::from_vec(b"M\xf1oz\n\xff/EVCXR_x".to_vec()));
    let at = r"M\xf1oz\n\xff/\u{45}VCXR_x";
    let errors = [
        (
            Error::Io { path: path.clone(), doing: "reading", source: io() },
            format!("{at}: reading failed: closed\\u{{7}}"),
        ),
        (
            Error::Manifest { path: path.clone(), line: 3, expected: text(), found: text() },
            format!("{at}:3: expected {shown}, found {shown}"),
        ),
        (
            Error::Image { name: text(), expected: text(), found: text() },
            format!("image {shown}: expected {shown}, found {shown}"),
        ),
        (Error::data(&path, bad, bad), format!("{at}: expected {shown}, found {shown}")),
        (Error::argument("classes", bad, bad), format!("classes: expected {shown}, found {shown}")),
        (
            Error::Unknown { kind: "class", name: text(), known: text() },
            format!("no class is called `{shown}`; known: {shown}"),
        ),
        (Error::Download { from: text(), reason: text(), advice: text() }, format!("{shown}: {shown}. {shown}")),
        // Lines of a program's output stay lines.
        (
            Error::Program { program: text(), reason: "one\n[status] two\u{9b}".into(), advice: "three".into() },
            format!("{shown}: one\n\\u{{5b}}status] two\\u{{9b}}. three"),
        ),
        (
            Error::Notebook { path, cell: 2, source_text: "let a;\n\tb".into(), message: "no\u{1b}".into() },
            format!("{at}: code cell 2 failed\n--- source\nlet a;\n\tb\n--- message\nno\\u{{1b}}"),
        ),
    ];
    for (error, expected) in errors {
        assert_eq!(error.to_string(), expected);
        assert!(error.chain().starts_with(&expected), "{}", error.chain());
    }
    let known: Vec<String> = (0..10_000).map(|n| format!("class {n}")).collect();
    let error = Error::Unknown { kind: "class", name: "x".repeat(1 << 20), known: known.join(", ") }.to_string();
    assert!(error.len() < 10_000 && error.contains("(1048576 characters)"), "{} bytes", error.len());
}

#[test]
fn tables_of_text_stand_in_columns_whatever_the_script() {
    let cells = |name: &str| vec![Cell::from(name), Cell::from("1")];
    let table = Table {
        caption: String::new(),
        header: vec!["name".into(), "n".into()],
        rows: ["猫猫", "e\u{301}", "a\tb", &"猫".repeat(40)].map(cells).to_vec(),
    };
    let text = table.to_text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], format!("猫猫{}1", " ".repeat(37)), "two places a character: {text}");
    assert_eq!(lines[2], format!("e\u{301}{}1", " ".repeat(40)), "one place: {text}");
    assert!(lines[3].starts_with(r"a\tb "), "{text}");
    assert_eq!(lines[4], format!("{}…  1", "猫".repeat(19)), "40 places at most: {text}");
}

#[test]
fn a_program_may_print_any_bytes() {
    // Had its reader stopped at the first line, the second would end the program.
    let mut program = Command::new("sh");
    program.args(["-c", "printf '\\377\\n'; head -c 300000 /dev/zero | tr '\\0' x; echo; echo counted"]);
    let counted = Counted { program: "sh", advice: "", counts: |line| line == "counted", total: 1, unit: "lines" };
    Board::new().place().run_counted(&mut program, &counted).expect("runs to its end");
}

/// All that this program prints goes through `say!` or through `emit`; both know what must not be a line of its own.
#[test]
fn nothing_prints_past_the_one_way_out() {
    let ways_out = ["src/numbers/say.rs", "src/numbers/progress.rs", "src/display/text.rs"];
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut past = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("lists") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            let built_before = path.file_name().is_some_and(|name| name == "build.rs");
            if !is_source || built_before || ways_out.iter().any(|way| path.ends_with(way)) {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("reads");
            for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
                let prints = ["println!(", "print!(", "dbg!("].iter().any(|call| line.contains(call));
                // A line of fixed words, and the chain of an error, are fit as they are.
                if prints && !(line.contains('"') && !line.contains('{')) && !line.contains("error.chain()") {
                    past.push(format!("{}: {line}", path.display()));
                }
            }
        }
    }
    assert!(past.is_empty(), "print with `say!`:\n{}", past.join("\n"));
}

/// A reader that went away is no failure, and a full disk is told in a line; neither is a panic.
#[cfg(target_os = "linux")]
#[test]
fn output_that_nobody_takes_ends_nothing_with_a_panic() {
    let said = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_wider-clip")]).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = shell.output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        said
    };
    // `true` is gone before anything is printed.
    let gone = said("{ sleep 1; \"$0\" models; echo \"ended with $?\" >&2; } | true");
    assert!(gone.contains("ended with 0"), "{gone}");
    if std::path::Path::new("/dev/full").exists() {
        let full = said("\"$0\" models > /dev/full");
        assert_eq!(full.matches("standard output cannot be written to").count(), 1, "{full}");
    }
}
