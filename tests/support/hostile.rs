//! Names as strangers give them, everything that shows them, and a reader of lines as exact as the notebook kernel.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use wider_clip::display::Cell;
use wider_clip::experiments::same_data::{Against, Alignment};
use wider_clip::image::{Rgb, RgbImage};
use wider_clip::images::encode_png;
use wider_clip::prelude::*;
use wider_clip::results::{Cell as Work, Made, Score};
use wider_clip::say::plain;

/// Ends a cell, as the process behind the kernel says it.
const COMPLETE: &str = "EVCXR_EXECUTION_COMPLETE";

/// Names that try to be commands, markup, scripts, templates, formulas, keys of objects, or unreadable.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "cat\nEVCXR_END_CONTENT\nEVCXR_BEGIN_CONTENT text/html\n<script>window.__pwned = 1</script>\nEVCXR_END_CONTENT\n",
        "EVCXR_BEGIN_CONTENT text/html",
        "EVCXR_END_CONTENT\r",
        "\nEVCXR_EXECUTION_COMPLETE\nEVCXR_PANIC_NOTIFICATION\nEVCXR_ERROR_OCCURRED\nEVCXR_INPUT_REQUEST:x\n",
        "EVCXR_VARIABLE_CHANGED_TYPE:set",
        "[status] gone",
        "\n[cell failed: panic]\n[cell failed: error]",
        "x [cell ended], x [cell failed: panic]",
        "</script><script>window.__pwned = 1</script>",
        "<!-- <script> \" ' ` -->",
        "<img src=x onerror=\"window.__pwned = 1; alert(1)\">",
        "</figure></td></table><svg onload=window.__pwned=1>",
        "<a href=\"javascript:window.__pwned=1\">x</a> <b>b</b><br>c",
        "$\\href{javascript:window.__pwned=1}{x}$ and $$y$$ \\(z\\)",
        "%{x} %{meta.sprites} %{y:.3f} {{ 7 * 7 }} {% x %} ${__pwned}",
        "\"' onmouseover='window.__pwned=1' \" &quot; &amp;lt; &#60;b&#62;",
        "turned \u{202e}gnp.exe\u{2066} \u{200f}\u{200b}\u{feff}",
        "nul \0 bell \u{7} \u{1b}[31mred\u{1b}[0m \u{9b}2J \u{7f}\u{85}",
        "two\u{2028}lines\u{2029}and\ttabs\rover",
        "👩\u{200d}🚀 e\u{301}\u{328}\u{301} 猫猫猫 \u{fdfd}",
        "__proto__",
        "constructor",
        "7",
    ]
    .map(String::from)
    .to_vec();
    names.push("long <b>".repeat(1 << 17));
    names
}

/// A set of four images of two classes, all of whose names are `name`.
fn set_of(folder: &Path, name: &str) -> ImageSet {
    for (class, shade) in [("a", 10), ("b", 200)] {
        std::fs::create_dir_all(folder.join(class)).expect("creates");
        for number in 0..2u8 {
            let picture = RgbImage::from_pixel(8, 8, Rgb([shade, 40 * number, 90]));
            std::fs::write(folder.join(class).join(format!("{number}.png")), encode_png(&picture).expect("encodes"))
                .expect("writes");
        }
    }
    let mut set = open_folder(folder).expect("opens");
    set.id = name.into();
    set.ids = (0..4).map(|i| format!("{name}{i}")).collect();
    set.classes = vec![name.into(), format!("{name}2")];
    set.names = Some(vec![name.into(); 4]);
    set.domains = Some(vec![name.into(); 4]);
    set.groups = Some(vec![name.into(); 4]);
    set
}

/// A project whose first model and suite are called `name`.
fn project_of(folder: &Path, name: &str) -> Project {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests");
    let to = folder.join("data_manifests");
    let quoted = toml::Value::String(name.into()).to_string();
    for kind in ["datasets", "models", "suites"] {
        std::fs::create_dir_all(to.join(kind)).expect("creates");
        for entry in std::fs::read_dir(from.join(kind)).expect("lists") {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("reads");
            let renamed = |line: &str| match line.split(" = ").next() {
                Some("name" | "description" | "licence")
                    if text.contains("id = \"pixels.raw\"") || kind == "suites" =>
                {
                    let key = line.split(" = ").next().unwrap_or_default();
                    format!("{key} = {quoted}")
                }
                _ => line.to_string(),
            };
            let text: Vec<String> = text.lines().map(renamed).collect();
            std::fs::write(to.join(kind).join(path.file_name().expect("a name")), text.join("\n")).expect("writes");
        }
    }
    std::os::unix::fs::symlink(from.join("embedded"), to.join("embedded")).expect("links");
    std::os::unix::fs::symlink(from.join("published"), to.join("published")).expect("links");
    Project::open(folder, "smoke").expect("opens")
}

/// Rows of a table, one a seed, with `name` wherever a row holds text.
fn rows_of(table: &str, metric: &str, method: &str, name: &str, model: &str) -> Vec<ResultRow> {
    let row = |seed: u64| {
        let cell = Work {
            table: table.into(),
            dataset: name.into(),
            model: model.into(),
            method: method.into(),
            budget: Some(10),
            seed,
            pooling: name.into(),
            protocol: name.into(),
            subset: name.into(),
            device: name.into(),
            key: name.into(),
        };
        let value = Some(0.5 + 0.1 * seed as f64);
        let score = Score {
            split: name.into(),
            metric: metric.into(),
            value,
            n_train: 4,
            n_test: 4,
            warning: name.into(),
            weights: name.into(),
        };
        ResultRow::new(cell, score, Made::here())
    };
    (0..2).map(row).collect()
}

/// What a display shows of a name, for the page to be held against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Html,
    Chart,
    Map,
    Sprites,
    Lines,
}

/// Shows `name` through every type of the crate that shows anything, each as a cell of its own; says what each was.
pub fn show(name: &str) -> Vec<Kind> {
    let folder = tempfile::tempdir().expect("a folder");
    let project = project_of(&folder.path().join("project"), name);
    let set = set_of(&folder.path().join("pictures"), name);
    let mut shown = Vec::new();
    let mut cell = |kind: Kind, display: &dyn Fn()| {
        display();
        println!("{COMPLETE}");
        shown.push(kind);
    };

    let table = Table {
        caption: name.into(),
        header: vec![name.into(), "n".into()],
        rows: vec![vec![Cell::from(name), Cell::from("1")]],
    };
    cell(Kind::Html, &|| table.evcxr_display());
    let frame = df!("class" => [name], "n" => [1.5]).expect("a frame");
    cell(Kind::Html, &|| Table::from_frame(name, &frame).expect("a table").evcxr_display());
    cell(Kind::Html, &|| models_table(&project).evcxr_display());
    cell(Kind::Html, &|| suite_table(&project).expect("a table").evcxr_display());

    let knn = rows_of("general_probe", "accuracy", "knn", name, "pixels.raw");
    let clusterings = rows_of("clustering", "ari", "umap_kmeans", name, "pixels.raw");
    let features = rows_of("same_data", "accuracy", "knn_dino", name, "pixels.raw");
    cell(Kind::Html, &|| accuracy_table(&project, &knn, name, name).expect("a table").evcxr_display());
    cell(Kind::Html, &|| ari_table(&project, &clusterings).expect("a table").evcxr_display());
    cell(Kind::Html, &|| pooling_table(&project, &features, name, name).expect("a table").evcxr_display());
    let answers = [true, false, true, true];
    let against = Against {
        dataset: name.into(),
        split: name.into(),
        model: "pixels.raw".into(),
        control: name.into(),
        paired: paired_bootstrap(&answers, &answers, 50, 1).expect("a bootstrap"),
        holm: 0.01,
    };
    cell(Kind::Html, &|| against_table(&project, std::slice::from_ref(&against), name).evcxr_display());

    cell(Kind::Chart, &|| accuracy_chart(&project, &knn, name, name, Method::Knn).expect("a chart").evcxr_display());
    cell(Kind::Chart, &|| ari_chart(&project, &clusterings).expect("a chart").evcxr_display());
    let folds: Vec<ResultRow> = ["id", "ood"]
        .into_iter()
        .flat_map(|split| {
            rows_of("drift_folds", "accuracy", "knn", name, "pixels.raw").into_iter().map(move |row| {
                let cell = Work { protocol: format!("{}{name}", drift::HELD_OUT), ..row.cell.clone() };
                ResultRow { cell, split: split.into(), ..row }
            })
        })
        .collect();
    cell(Kind::Html, &|| folds_table(&project, &folds, name, "knn", 10).expect("a table").evcxr_display());
    cell(Kind::Chart, &|| folds_chart(&project, &folds, name, "knn", 10).expect("a chart").evcxr_display());
    let style = Style { title: name.into(), x: name.into(), y: name.into(), ..Style::default() };
    let look = look(&project, "pixels.raw");
    let line = Series { name: name.into(), look, x: vec![1.0, 2.0], y: vec![3.0, 4.0], interval: Vec::new() };
    let other = Series { name: format!("{name}2"), ..line.clone() };
    cell(Kind::Chart, &|| Chart::lines(&style, &[line.clone(), other.clone()]).evcxr_display());
    let interval = |mean: f64| mean_t_interval(&[mean, mean], 0.95).expect("an interval");
    let alignment = Alignment {
        dataset: name.into(),
        models: vec!["pixels.raw".into(), name.into()],
        pairs: vec![vec![interval(1.0), interval(0.4)], vec![interval(0.4), interval(1.0)]],
        n_images: 4,
    };
    cell(Kind::Chart, &|| alignment_chart(&project, &alignment).evcxr_display());

    let points = [[0.0, 1.0], [1.0, 0.5], [2.0, 2.0], [0.5, 3.0]];
    let rows = [0, 1, 2, 3];
    let sheet = SpriteSheet::new(&set, &rows, 8).expect("a sheet");
    cell(Kind::Sprites, &|| sheet.evcxr_display());
    let map = MapChart::by_class(name, &set, &rows, &points).expect("a map");
    cell(Kind::Map, &|| map.clone().with_sprites(&sheet).expect("a map").evcxr_display());
    cell(Kind::Chart, &|| MapChart::by_domain(name, &set, &rows, &points).expect("a map").evcxr_display());
    cell(Kind::Html, &|| Gallery::of_classes(&set, 2, 2).expect("a gallery").evcxr_display());

    let errors = [
        Error::Image { name: name.into(), expected: name.into(), found: name.into() },
        Error::Unknown { kind: "class", name: name.into(), known: name.into() },
        Error::data(name.replace('\0', ""), name, name),
        Error::argument("classes", name, name),
        Error::Download { from: name.into(), reason: name.into(), advice: name.into() },
        map.highlight(&["no such class"]).expect_err("unknown"),
        project.manifests.model(name).expect_err("unknown"),
    ];
    cell(Kind::Lines, &|| {
        for error in &errors {
            // By the standard library: an error may be printed by anyone.
            println!("{error}");
            println!("{}", error.chain());
        }
        let name = wider_clip::say::cut(name, 4_000);
        wider_clip::say!("{name}");
        println!("{}", plain(&name));
        let progress = wider_clip::progress::Progress::new(name.clone(), "images", 2, 0);
        progress.advance(2);
        progress.finish();
    });
    shown
}

/// What the kernel takes from the lines of one cell.
#[derive(Debug, Default, Clone)]
pub struct Answer {
    pub stdout: Vec<String>,
    pub content: BTreeMap<String, String>,
}

/// Reads what a process behind the kernel wrote, as evcxr 0.22 does (`run_and_capture_output`), cell by cell.
///
/// # Panics
/// Where the kernel would hang, lose variables, ask for input or take a cell for failed.
pub fn kernel(output: &[u8]) -> Vec<Answer> {
    let text = std::str::from_utf8(output).expect("the kernel reads UTF-8");
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let mut cells = Vec::new();
    let mut now = Answer::default();
    while let Some(line) = lines.next() {
        if line == COMPLETE {
            cells.push(std::mem::take(&mut now));
            continue;
        }
        let obeyed = ["EVCXR_PANIC_NOTIFICATION", "EVCXR_ERROR_OCCURRED"].contains(&line)
            || line.starts_with("EVCXR_INPUT_REQUEST")
            || line.starts_with("EVCXR_VARIABLE_CHANGED_TYPE:");
        assert!(!obeyed, "the kernel obeys {line:?}");
        let begins = line.split_once("EVCXR_BEGIN_CONTENT ").map(|(_, mime)| mime.split(' ').next().unwrap_or(""));
        let Some(mime) = begins.filter(|mime| !mime.is_empty()) else {
            now.stdout.push(line.into());
            continue;
        };
        let mut content: Vec<&str> = Vec::new();
        loop {
            let line = lines.next().expect("the kernel waits for the end of an output for ever");
            assert_ne!(line, "EVCXR_PANIC_NOTIFICATION", "the kernel takes the cell for failed");
            if line == "EVCXR_END_CONTENT" {
                break;
            }
            content.push(line);
        }
        now.content.insert(mime.into(), content.join("\n"));
    }
    cells
}

/// An executed notebook of such cells, as the runner keeps them.
pub fn notebook(cells: &[Answer], answer: &str) -> Value {
    let title = "# Names\n\n**Question.** What are they called?\n\n**Answer in one line.** Badly.";
    let mut all = vec![json!({ "cell_type": "markdown", "id": "title", "metadata": {}, "source": title })];
    for (number, cell) in cells.iter().enumerate() {
        let mut outputs = Vec::new();
        let lines: Vec<&String> = cell.stdout.iter().filter(|line| !line.is_empty()).collect();
        if !lines.is_empty() {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            outputs.push(json!({ "output_type": "stream", "name": "stdout", "text": text }));
        }
        if !cell.content.is_empty() {
            let value = |(mime, text): (&String, &String)| {
                let value = match mime.contains("json") {
                    true => serde_json::from_str(text).expect("JSON that the kernel can read"),
                    false => Value::from(text.as_str()),
                };
                (mime.clone(), value)
            };
            let data: serde_json::Map<String, Value> = cell.content.iter().map(value).collect();
            outputs
                .push(json!({ "output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": data }));
        }
        all.push(json!({ "cell_type": "code", "id": format!("c{number}"), "execution_count": 1, "metadata": {},
                         "outputs": outputs, "source": format!("cell {number}") }));
    }
    let about = json!({ "answer": answer, "suite": answer, "date": answer, "seconds": 1.5 });
    json!({ "cells": all, "nbformat": 4, "nbformat_minor": 5, "metadata": { "wider_clip": about,
            "kernelspec": { "name": "wider-clip", "display_name": "Rust", "language": "rust" } } })
}

/// The file of a notebook in a report.
pub fn path_of(out: &Path, file: &str) -> PathBuf {
    out.join("notebooks").join(file)
}
