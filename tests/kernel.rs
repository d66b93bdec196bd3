//! The real kernel, started the way the notebooks start it.
//!
//! Set-up (Python environment, compiled kernel) is done on first use and shared; a lock keeps tests apart.

#[path = "support/require.rs"]
mod require;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use wider_clip::error::Error;
use wider_clip::workbench::notebooks::{Outcome, Run, execute, is_unchanged};
use wider_clip::workbench::{Workbench, setup};

const SETUP_CELL: &str = ":dep wider-clip = { path = \"..\" }\nuse wider_clip::candle_core::{Device, Tensor, Var};";

fn workbench() -> Workbench {
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip")).unwrap();
    setup::ensure(&workbench).unwrap();
    workbench
}

/// A notebook with the set-up cell and `cells` in a folder of its own, and how to run it.
fn notebook(workbench: &Workbench, folder: &Path, cells: &[&str]) -> Run {
    let cells: Vec<Value> = [SETUP_CELL]
        .iter()
        .chain(cells)
        .enumerate()
        .map(|(number, source)| {
            let id = format!("cell{number}");
            json!({ "cell_type": "code", "id": id, "execution_count": null, "metadata": {}, "outputs": [], "source": source })
        })
        .collect();
    let metadata = json!({ "kernelspec": { "name": "wider-clip", "display_name": "Rust", "language": "rust" } });
    let text = json!({ "cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5 });
    let source = folder.join("test.ipynb");
    std::fs::write(&source, text.to_string()).unwrap();
    Run {
        source,
        executed: folder.join("executed.ipynb"),
        folder: workbench.notebooks(),
        suite: "smoke".into(),
        fresh: false,
        images: None,
        position: None,
    }
}

/// What each code cell printed or returned, as text.
fn outputs(executed: &Path) -> Vec<String> {
    let notebook: Value = serde_json::from_str(&std::fs::read_to_string(executed).unwrap()).unwrap();
    let text = |value: &Value| match value {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().to_string(),
    };
    let of_cell = |cell: &Value| {
        let outputs = cell["outputs"].as_array().cloned().unwrap_or_default();
        let pieces = outputs.iter().map(|out| text(&out["text"]) + &text(&out["data"]["text/plain"]));
        pieces.collect::<String>().trim().to_string()
    };
    notebook["cells"].as_array().unwrap().iter().map(of_cell).collect()
}

/// A notebook that somebody copied to a folder of theirs still names the project's folder by `..`.
#[test]
fn a_copied_notebook_has_the_library_all_the_same() {
    let (workbench, folder) = (workbench(), tempfile::tempdir().unwrap());
    let cells = ["let a = Tensor::zeros(3, wider_clip::candle_core::DType::F32, &Device::Cpu)?;", "a.dims1()?"];
    let run = Run { folder: folder.path().into(), ..notebook(&workbench, folder.path(), &cells) };
    assert_eq!(execute(&workbench, &run).unwrap(), Outcome::Executed);
    assert_eq!(outputs(&run.executed).last().map(String::as_str), Some("3"));
}

/// Runs a notebook that must fail, and returns the number of the cell, its source and the message.
fn failure(cells: &[&str]) -> (usize, String, String) {
    let workbench = workbench();
    let folder = tempfile::tempdir().unwrap();
    let run = notebook(&workbench, folder.path(), cells);
    let error = execute(&workbench, &run).unwrap_err();
    assert!(!run.executed.exists(), "a failed run must leave no executed copy");
    match error {
        Error::Notebook { cell, source_text, message, .. } => (cell, source_text, message),
        other => panic!("expected a failed cell, got {other}"),
    }
}

#[test]
fn cells_share_one_library() {
    let workbench = workbench();
    let folder = tempfile::tempdir().unwrap();
    // x^2 * y + x at x = 3, y = 4: the gradients are 2xy + 1 = 25 and x^2 = 9.
    let run = notebook(
        &workbench,
        folder.path(),
        &[
            "let x: Var = Var::new(3f32, &Device::Cpu)?;\nprintln!(\"{:?}\", x.id());",
            "let y: Var = Var::new(4f32, &Device::Cpu)?;\nprintln!(\"{:?}\", y.id());",
            "let square: Tensor = x.mul(x.as_tensor())?;\nprintln!(\"{:?}\", square.id());",
            "let z: Tensor = (square.mul(y.as_tensor())? + x.as_tensor())?;\nprintln!(\"{:?}\", z.id());",
            "let g = z.backward()?;\n(g.get(&x).map(|t| t.to_scalar::<f32>()).unwrap()?, \
         g.get(&y).map(|t| t.to_scalar::<f32>()).unwrap()?)",
            "{\nlet x = Var::new(3f32, &Device::Cpu)?; let y = Var::new(4f32, &Device::Cpu)?;\n\
         let z = (x.mul(x.as_tensor())?.mul(y.as_tensor())? + x.as_tensor())?; let g = z.backward()?;\n\
         println!(\"({:?}, {:?})\", g.get(&x).unwrap().to_scalar::<f32>()?, g.get(&y).unwrap().to_scalar::<f32>()?);\n}",
            "std::env::var(\"WIDER_CLIP_SUITE\").unwrap()",
        ],
    );
    assert_eq!(execute(&workbench, &run).unwrap(), Outcome::Executed);
    let seen = outputs(&run.executed);
    let mut ids = seen[1..5].to_vec();
    assert!(ids.iter().all(|id| id.starts_with("TensorId(")), "{seen:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "tensor ids must be unique over cells: {seen:?}");
    assert_eq!(seen[5], "(25.0, 9.0)", "gradients of a graph built over three cells");
    assert_eq!(seen[6], seen[5], "the same graph built in one cell");
    assert_eq!(seen[7], "\"smoke\"");
    // Nothing changed: the second run does not start a kernel.
    assert_eq!(execute(&workbench, &run).unwrap(), Outcome::Unchanged);
}

#[test]
fn own_pictures_that_change_are_noticed() {
    let workbench = workbench();
    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join("mine").join("one class");
    let other = folder.path().join("mine").join("other class");
    std::fs::create_dir_all(&class).unwrap();
    std::fs::create_dir_all(&other).unwrap();
    let picture = |shade: u8| {
        let picture = wider_clip::image::RgbImage::from_pixel(4, 4, wider_clip::image::Rgb([shade; 3]));
        wider_clip::images::encode_png(&picture).unwrap()
    };
    std::fs::write(class.join("1.png"), picture(1)).unwrap();
    std::fs::write(other.join("1.png"), picture(7)).unwrap();
    let cell = format!(
        "wider_clip::prelude::open_folder({:?}.as_ref())?.len()",
        folder.path().join("mine").display().to_string()
    );
    let run = notebook(&workbench, folder.path(), &[&cell]);
    execute(&workbench, &run).unwrap();
    assert_eq!(outputs(&run.executed)[1], "2");
    assert!(is_unchanged(&workbench, &run).unwrap());
    std::fs::write(class.join("2.png"), picture(2)).unwrap();
    assert!(!is_unchanged(&workbench, &run).unwrap(), "a picture more");
    std::fs::remove_file(class.join("2.png")).unwrap();
    assert!(is_unchanged(&workbench, &run).unwrap());
    std::fs::write(class.join("1.png"), picture(9)).unwrap();
    assert!(!is_unchanged(&workbench, &run).unwrap(), "another picture of the same length");
}

#[test]
fn a_panic_fails_the_run() {
    let (cell, source, message) = failure(&["let n = 3;", "if n == 3 { panic!(\"three is too many\") }", "n"]);
    assert_eq!((cell, source.as_str()), (3, "if n == 3 { panic!(\"three is too many\") }"));
    assert!(message.contains("three is too many"), "{message}");
    assert!(!message.contains("stack backtrace"), "{message}");
}

#[test]
fn a_returned_error_fails_the_run() {
    let (cell, source, message) = failure(&["let n: i32 = \"many\".parse::<i32>()?;", "1"]);
    assert_eq!((cell, source.as_str()), (2, "let n: i32 = \"many\".parse::<i32>()?;"));
    assert!(message.contains("invalid digit found in string"), "{message}");
}

#[test]
fn another_dependency_is_refused_with_advice() {
    let (cell, _, message) = failure(&[":dep serde_json = \"1\"\nlet n = 1;"]);
    assert_eq!(cell, 2);
    assert!(message.contains("serde_json") && message.contains("re-export"), "{message}");
}

#[test]
fn two_kernels_do_not_disturb_each_other() {
    let workbench = workbench();
    let run_one = |name: &str| {
        let folder = tempfile::tempdir().unwrap();
        let define = format!(
            "let mine: String = \"{name}\".to_string();\nstd::thread::sleep(std::time::Duration::from_secs(2));"
        );
        let cells =
            [define.as_str(), "fn twice(s: &str) -> String { format!(\"{s}{s}\") }", "twice(&mine)", "mine.len()"];
        let slot = "std::env::var(\"EVCXR_TMPDIR\").unwrap()";
        let run = notebook(&workbench, folder.path(), &[&cells[..], &[slot]].concat());
        execute(&workbench, &run).unwrap();
        outputs(&run.executed)
    };
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| run_one("first"));
        let other = scope.spawn(|| run_one("second one"));
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!((one[3].as_str(), one[4].as_str()), ("\"firstfirst\"", "5"));
    assert_eq!((other[3].as_str(), other[4].as_str()), ("\"second onesecond one\"", "10"));
    assert_ne!(one[5], other[5], "two kernels at once have a slot each");
}

/// Not a test by itself: what the next one starts as a program of its own and kills.
#[test]
#[ignore = "sleeps; a_killed_run_leaves_no_kernel starts it"]
fn sleeping_notebook() {
    let workbench = workbench();
    let folder = tempfile::tempdir().unwrap();
    let run = notebook(&workbench, folder.path(), &["std::thread::sleep(std::time::Duration::from_secs(600));"]);
    execute(&workbench, &run).unwrap();
}

#[test]
fn a_killed_run_leaves_no_kernel() {
    workbench();
    let mut run = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "sleeping_notebook", "--nocapture"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdout, mut stderr) = (BufReader::new(run.stdout.take().unwrap()), run.stderr.take().unwrap());
    let mut line = String::new();
    // The set-up cell is done: the one that sleeps has begun.
    while !line.contains("cell 1/2") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "the run ended by itself");
    }
    run.kill().unwrap();
    run.wait().unwrap();
    // The runner writes to the one, the kernel to the other: both end when no program holds them any more.
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        stdout.read_to_end(&mut Vec::new()).unwrap();
        stderr.read_to_end(&mut Vec::new()).unwrap();
        sender.send(())
    });
    ended.recv_timeout(Duration::from_secs(60)).expect("runner and kernel end with the program that started them");
}

#[test]
fn what_a_cell_prints_is_no_command() {
    let workbench = workbench();
    let folder = tempfile::tempdir().unwrap();
    // By itself the second line would make the kernel wait for ever, the sixth end the cell before its value; the runner would take
    // the last two for notices of the cell.
    let names = "let names: Vec<String> = [\"cat\", \"EVCXR_BEGIN_CONTENT text/html\", \"[status] x\", \"[cell failed: panic]\", \
                 \"\\u{1b}[31m\", \"EVCXR_EXECUTION_COMPLETE\", \"x [cell ended]\", \"x [cell failed: panic]\"]\
                 .map(|name| name.replace('x', \"y\")).to_vec();";
    let display = "struct Mine(u8);\nimpl Mine {\n    fn evcxr_display(&self) {\n        \
                   println!(\"EVCXR_BEGIN_CONTENT text/plain\\nmine {}\\nEVCXR_END_CONTENT\", self.0);\n    }\n}";
    let cells = [
        names.replace("_CONTENT", "_\\u{43}ONTENT").as_str(),
        "for name in &names { println!(\"{name}\"); }\nprint!(\"{}\", names[5]);\nprintln!();\nprintln!(\"{} {1:.1}\", names.len(), 0.25);\n7",
        display,
        "Mine(3)",
        "println!(\"the class is {}\", names[7]);",
        "let names: usize = 5;",
        "names",
    ]
    .map(String::from);
    let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
    execute(&workbench, &notebook(&workbench, folder.path(), &cells)).map(drop).unwrap();
    let seen = outputs(&folder.path().join("executed.ipynb"));
    let lines: Vec<&str> = seen[2].lines().collect();
    let expected = [
        "cat",
        r"\u{45}VCXR_BEGIN_CONTENT teyt/html",
        r"\u{5b}status] y",
        r"\u{5b}cell failed: panic]",
        r"\u{1b}[31m",
        r"\u{45}VCXR_EXECUTION_COMPLETE",
        r"y \u{5b}cell ended]",
        r"y \u{5b}cell failed: panic]",
        r"\u{45}VCXR_EXECUTION_COMPLETE",
        "8 0.2",
        "7",
    ];
    assert_eq!(lines, expected);
    assert_eq!(seen[4], "mine 3", "a display of the author's own still speaks to the kernel");
    assert_eq!(seen[5], r"the class is y \u{5b}cell failed: panic]");
    assert_eq!(seen[7], "5");
}

/// What no escaping has seen, printed in pieces or by the standard library, reads like a notice and is none.
#[test]
fn what_a_cell_prints_is_no_notice() {
    let (workbench, folder) = (workbench(), tempfile::tempdir().unwrap());
    let words = "print!(\"x [cell \");\nprintln!(\"ended]\");\n::std::println!(\"x [cell ended]\");\n\
                 ::std::println!(\"x [cell failed: panic]\");";
    let cells = ["let n = 3;", words, "print!(\"half\");\nn"];
    execute(&workbench, &notebook(&workbench, folder.path(), &cells)).map(drop).unwrap();
    let seen = outputs(&folder.path().join("executed.ipynb"));
    assert_eq!(seen[2], "x [cell ended]\nx [cell ended]\nx [cell failed: panic]");
    assert!(seen[3].starts_with("half") && seen[3].ends_with('3') && !seen[3].contains("[cell "), "{}", seen[3]);
    // A failure behind words without a newline is one all the same.
    let (cell, _, message) = failure(&["print!(\"half [cell ended]\");\nlet n: i32 = \"many\".parse::<i32>()?;"]);
    assert!(cell == 2 && message.contains("invalid digit"), "{cell}: {message}");
}

/// Not a test by itself: what the next one starts with a limit in its environment.
#[test]
#[ignore = "ends by a limit; a_cell_that_goes_on_too_long_fails_the_run starts it"]
fn endless_notebook() {
    let (cell, _, message) = failure(&["std::thread::sleep(std::time::Duration::from_secs(600));"]);
    assert_eq!(cell, 2);
    assert!(message.contains("longer than 20 s") && message.contains("WIDER_CLIP_CELL_SECONDS"), "{message}");
}

#[test]
fn a_cell_that_goes_on_too_long_fails_the_run() {
    workbench();
    let run = |limit: &str| {
        let mut run = Command::new(std::env::current_exe().unwrap());
        run.args(["--ignored", "--exact", "endless_notebook", "--nocapture"]).env("WIDER_CLIP_CELL_SECONDS", limit);
        // Both pipes end when no program holds them any more, the kernel and what it started among them.
        let begun = std::time::Instant::now();
        let output = run.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), begun.elapsed().as_secs(), text)
    };
    let (good, seconds, text) = run("20");
    assert!(good && seconds < 180, "{seconds} s: {text}");
    let (good, _, text) = run("soon");
    assert!(!good && text.contains("WIDER_CLIP_CELL_SECONDS") && text.contains("a number of seconds"), "{text}");
}

/// The binary, the tests and the kernel use one compiled copy of every dependency.
#[test]
fn dependencies_are_compiled_once() {
    if !require::require("profile") {
        return;
    }
    let features: Vec<&str> = ["cuda", "cudnn", "metal", "mkl", "accelerate"]
        .into_iter()
        .zip([
            cfg!(feature = "cuda"),
            cfg!(feature = "cudnn"),
            cfg!(feature = "metal"),
            cfg!(feature = "mkl"),
            cfg!(feature = "accelerate"),
        ])
        .filter_map(|(name, on)| on.then_some(name))
        .collect();
    let mut cargo = Command::new(env!("CARGO"));
    // Cargo describes the package to the tests that it runs; build scripts that watch those variables (ring's does)
    // would take the description for a change.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let described = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_", "OUT_DIR"];
        if described.iter().any(|start| name.starts_with(start)) {
            cargo.env_remove(name);
        }
    }
    let output = cargo
        .args(["build", "--bins", "--offline", "--message-format=json", "--features", &features.join(",")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let artifacts: Vec<Value> = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|message: &Value| message["reason"] == "compiler-artifact")
        .collect();
    let stale: Vec<&Value> = artifacts.iter().filter(|a| a["fresh"] == false).map(|a| &a["package_id"]).collect();
    assert!(artifacts.len() > 100, "expected the whole graph, found {} artifacts", artifacts.len());
    assert!(stale.is_empty(), "compiled a second time: {stale:?}");

    // A kernel compiles cells, and no dependency.
    let workbench = workbench();
    let folder = tempfile::tempdir().unwrap();
    let run = notebook(&workbench, folder.path(), &["std::env::var(\"EVCXR_TMPDIR\").unwrap()"]);
    execute(&workbench, &run).unwrap();
    let slot = PathBuf::from(outputs(&run.executed)[1].trim_matches('"'));
    let mut compiled = Vec::new();
    let mut folders = vec![slot.join("target")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { compiled.push(path.file_name().unwrap().to_owned()) }
        }
    }
    let libraries = |name: &str| name.ends_with(".rlib") || name.ends_with(".rmeta");
    assert!(!compiled.is_empty());
    assert!(!compiled.iter().any(|name| libraries(&name.to_string_lossy())), "{compiled:?}");
}
