//! Where a panic happened: lines of compiled cells, found again in what the reader wrote.

use std::path::PathBuf;
use wider_clip::proxy::errors::{CellError, panic, returned};
use wider_clip::proxy::places::Places;

/// The folder of a child that has compiled cells, from the number that it gave them and the lines it wrote.
fn compiled(name: &str, cells: &[(u32, &[&str])]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("proxy_places").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    for (number, lines) in cells {
        let place = folder.join("target/cell").join(number.to_string());
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("lib.rs"), lines.join("\n")).unwrap();
    }
    folder
}

fn traceback(places: &Places, lines: &[&str]) -> Vec<String> {
    let lines = lines.iter().map(|line| (*line).to_string()).collect();
    places.name(CellError { name: "Panic".into(), value: "out of bounds".into(), traceback: lines }).traceback
}

const TOP: [&str; 5] = ["#![allow(unused)]", "fn run_user_code_4() {", "let v = vec![1, 2, 3];", "    v[7]", "}"];

#[test]
fn the_line_of_the_cell_that_runs() {
    let mut places = Places::new(Some(compiled("runs", &[(4, &TOP)])));
    places.remember(2, "v[7]");
    places.remember(3, "\nlet v = vec![1, 2, 3];\n  v[7]");
    let found = traceback(&places, &["thread '<unnamed>' (1) panicked at target/cell/4/lib.rs:4:5:", "out of bounds"]);
    // The column is that of the cell, which is indented less.
    assert_eq!(found, ["thread '<unnamed>' (1) panicked at cell_3:3:3:", "3 |   v[7]", "out of bounds"]);
}

#[test]
fn a_function_of_an_earlier_cell() {
    let mut places =
        Places::new(Some(compiled("earlier", &[(6, &["", "fn get(v: &[i32]) -> i32 {", "    v[7]", "}", "get(&v)"])])));
    places.remember(1, "fn get(v: &[i32]) -> i32 {\n    v[7]\n}");
    places.remember(2, "let v = vec![1];");
    places.remember(3, "get(&v)");
    let found = traceback(
        &places,
        &["thread 'a' panicked at target/cell/6/lib.rs:3:5:", "             at ./a folder/target/cell/6/lib.rs:5:1"],
    );
    assert_eq!(found, ["thread 'a' panicked at cell_1:2:5:", "2 |     v[7]", "             at cell_3:1:1"]);
}

#[test]
fn the_question_mark_that_met_an_error() {
    let mut places = Places::new(Some(compiled("error", &[(4, &TOP)])));
    places.remember(9, "let v = vec![1, 2, 3];\n    v[7]");
    let found = places.name(returned("no such file\nat all\nat target/cell/4/lib.rs:4:5\n"));
    assert_eq!(found.value, "no such file at all");
    assert_eq!(found.traceback, ["`?` met an error at cell_9:2:5:", "2 |     v[7]", "no such file", "at all"]);
    assert_eq!(returned("at home\n").traceback, ["at home"]);
    assert_eq!(returned("at target/cell/4/lib.rs:4:5").value, "the cell returned an error");
}

#[test]
fn a_line_that_stands_there_twice() {
    let lines = ["let a = 1;", "check(a);", "let b = 2;", "check(b);", "check(a);", "", "check(a);"];
    let mut places = Places::new(Some(compiled("twice", &[(1, &lines)])));
    places.remember(1, &lines.join("\n"));
    // What stands around it tells which.
    for (line, name) in [(2, "cell_1:2:3"), (5, "cell_1:5:3"), (7, "cell_1:7:3")] {
        let found = traceback(&places, &[&format!("thread 'a' panicked at target/cell/1/lib.rs:{line}:3:")]);
        assert_eq!(found, [format!("thread 'a' panicked at {name}:"), format!("{line} | check(a);")]);
    }
    // Nothing does.
    let mut places = Places::new(Some(compiled("alike", &[(1, &["begin", "x();", "end"])])));
    places.remember(1, "x();\nelse();\nx();");
    let found = traceback(&places, &["thread 'a' panicked at target/cell/1/lib.rs:2:1:"]);
    assert_eq!(found, ["thread 'a' panicked at cell_1:1 or 3:", "1 | x();"]);
}

#[test]
fn one_of_several_statements_on_a_line() {
    let lines = ["let v = vec![1]; ", "let i = 7; ", "show(&(", "v[i]", "))"];
    let mut places = Places::new(Some(compiled("several", &[(1, &lines)])));
    places.remember(4, "// said\nlet v = vec![1]; let i = 7; v[i]");
    let found = traceback(&places, &["thread 'a' panicked at target/cell/1/lib.rs:4:2:"]);
    assert_eq!(found, ["thread 'a' panicked at cell_4:2:30:", "2 | let v = vec![1]; let i = 7; v[i]"]);
}

#[test]
fn what_is_in_no_cell_stays() {
    let mut places = Places::new(Some(compiled("none", &[(2, &["fn generated() {}", "", "v[7]"])])));
    places.remember(1, "v[8]");
    for line in [
        "thread 'a' panicked at target/cell/2/lib.rs:1:1:",
        "thread 'a' panicked at target/cell/2/lib.rs:2:1:",
        "thread 'a' panicked at target/cell/2/lib.rs:3:1:",
        "thread 'a' panicked at target/cell/2/lib.rs:0:1:",
        "thread 'a' panicked at target/cell/2/lib.rs:99:1:",
        "thread 'a' panicked at target/cell/3/lib.rs:1:1:",
        "thread 'a' panicked at target/cell//lib.rs:1:1:",
        "thread 'a' panicked at target/cell/2/other.rs:1:1:",
        "thread 'a' panicked at target/cell/99999999999999999999999/lib.rs:1:1:",
        "thread 'a' panicked at src/numbers/probe.rs:3:1:",
        "v[8] is not there",
    ] {
        assert_eq!(traceback(&places, &[line]), [line]);
    }
    // Nobody said where cells are compiled.
    assert_eq!(traceback(&Places::new(None), &["at target/cell/2/lib.rs:3:1"]), ["at target/cell/2/lib.rs:3:1"]);
}

#[test]
fn a_backtrace_that_says_no_more_is_left_out() {
    let text = "
thread '<unnamed>' (1) panicked at target/cell/4/lib.rs:4:5:
index out of bounds
stack backtrace:
   2: run_user_code_4
             at ./target/cell/4/lib.rs:4:5
note: Some details are omitted
";
    let mut places = Places::new(Some(compiled("repeats", &[(4, &TOP)])));
    places.remember(3, "let v = vec![1, 2, 3];\n    v[7]");
    let lines = places.name(panic(text, true)).traceback;
    assert_eq!(lines[..3], ["thread '<unnamed>' (1) panicked at cell_3:2:5:", "2 |     v[7]", "index out of bounds"]);
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[test]
fn a_panic_inside_the_library_names_the_line_that_called_it() {
    let text = "
thread '<unnamed>' (1) panicked at src/numbers/splits/mod.rs:70:9:
no class left
stack backtrace:
   0: core::panicking::panic_fmt
             at /rustc/598/library/core/src/panicking.rs:80:14
   1: wider_clip_numbers::splits::draw
   2: index<i32, usize, alloc::alloc::Global>
             at /home/me/.rustup/lib/rustlib/src/rust/library/alloc/src/vec/mod.rs:3804:9
   2: run_user_code_4::{{closure}}
             at ./target/cell/4/lib.rs:4:5
   3: run_user_code_4
             at ./target/cell/4/lib.rs:2:1
   4: evcxr::runtime::Runtime::load_and_run
";
    let mut places = Places::new(Some(compiled("library", &[(4, &TOP)])));
    places.remember(3, "let v = vec![1, 2, 3];\n    v[7]");
    let found = places.name(panic(text, false));
    assert_eq!(found.value, "no class left");
    assert_eq!(
        found.traceback,
        [
            "thread '<unnamed>' (1) panicked at src/numbers/splits/mod.rs:70:9:",
            "no class left",
            "stack backtrace:",
            "   1: wider_clip_numbers::splits::draw",
            "   2: the cell",
            "             at cell_3:2:5",
        ]
    );
}
