//! What evcxr_jupyter 0.22.0 really says (recorded), and what becomes of it.

use serde_json::{Value, json};
use wider_clip::proxy::errors::{CellError, ended, ending, interrupted, panic, plain, refused, returned};

fn error(value: &str, traceback: &[&str]) -> Value {
    json!({"ename": "Error", "evalue": value, "traceback": traceback})
}

fn told(error: &CellError) -> (&str, &str) {
    (&error.name, &error.value)
}

const TYPE: [&str; 4] = [
    "\u{1b}[31m[E0308] Error:\u{1b}[0m mismatched types",
    "   \u{1b}[38;5;246m╭\u{1b}[0m\u{1b}[38;5;246m─\u{1b}[0m\u{1b}[38;5;246m[\u{1b}[0m command_3:1:1 \u{1b}[38;5;246m]\u{1b}[0m",
    " \u{1b}[38;5;246m1 │\u{1b}[0m \u{1b}[38;5;249ml\u{1b}[0m\u{1b}[38;5;249me\u{1b}[0m\u{1b}[38;5;249mt\u{1b}[0m",
    "\u{1b}[38;5;246m───╯\u{1b}[0m",
];

#[test]
fn a_compile_error_has_the_name_of_its_code() {
    let found = refused(&[error("mismatched types", &TYPE)], "command_3", "cell_2");
    assert_eq!(told(&found), ("E0308", "mismatched types"));
    assert_eq!(found.traceback, ["[E0308] Error: mismatched types", "   ╭─[ cell_2:1:1 ]", " 1 │ let", "───╯"]);
}

#[test]
fn several_compile_errors_are_one() {
    let borrow = ["\u{1b}[31m[E0382] Error:\u{1b}[0m borrow of moved value: `s`"];
    let found = refused(&[error("mismatched types", &TYPE), error("borrow", &borrow)], "\0", "");
    assert_eq!(told(&found), ("E0308", "mismatched types (and 1 more error)"));
    assert_eq!(found.traceback[4..], ["", "[E0382] Error: borrow of moved value: `s`"]);
    let many = vec![error("mismatched types", &TYPE); 200];
    let found = refused(&many, "\0", "");
    assert_eq!(found.traceback.len(), 401);
    assert_eq!(found.traceback[200], "... 599 lines ...");
}

#[test]
fn a_compile_error_without_a_code() {
    let lines = ["\u{1b}[31mError:\u{1b}[0m expected expression, found `;`", "   ╭─[ command_5:1:1 ]"];
    let found = refused(&[error("expected expression, found `;`", &lines)], "command_5", "cell_4");
    assert_eq!(told(&found), ("CompileError", "expected expression, found `;`"));
    // Text of several lines becomes one.
    let text = "The variable `r` contains a reference with a non-static lifetime so\ncan't be persisted.";
    let value = "The variable `r` contains a reference with a non-static lifetime so can't be persisted.";
    assert_eq!(told(&refused(&[error(text, &[text])], "\0", "")), ("CompileError", value));
    assert_eq!(refused(&[], "\0", "").name, "Error");
}

/// In a cell with letters beyond ASCII the child leaves the code out.
#[test]
fn a_code_that_is_left_out_is_known_by_its_message() {
    let lines = [
        "let ä: i32 = \"ü\";",
        "\u{1b}[91m             ^^^\u{1b}[0m \u{1b}[94mexpected `i32`\u{1b}[0m",
        "mismatched types",
    ];
    assert_eq!(refused(&[error("mismatched types", &lines)], "\0", "").name, "E0308");
    for (message, name) in [
        ("borrow of moved value: `ä`", "E0382"),
        ("cannot find value `ü` in this scope", "E0425"),
        ("cannot borrow `ö` as mutable, as it is not declared as mutable", "E0596"),
        ("something new", "CompileError"),
    ] {
        assert_eq!(refused(&[error(message, &[message])], "\0", "").name, name, "{message}");
    }
}

#[test]
fn a_command_that_failed() {
    for text in ["Unrecognised command :nosuch", "Shell command failed with exit code 1: "] {
        assert_eq!(told(&refused(&[error(text, &[text])], "\0", "")), ("CommandError", text.trim()));
    }
}

const BOUNDS: &str = "
thread '<unnamed>' (29806) panicked at target/cell/lib.rs:2:39:
index out of bounds: the len is 3 but the index is 7
stack backtrace:
   0: __rustc::rust_begin_unwind
             at /rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/std/src/panicking.rs:689:5
   1: core::panicking::panic_fmt
             at /rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/core/src/panicking.rs:80:14
   2: core::panicking::panic_bounds_check
             at /rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/core/src/panicking.rs:271:5
   3: ctx::deep
   4: run_user_code_3
   5: evcxr::runtime::Runtime::load_and_run
  10: evcxr_jupyter::main
  11: core::ops::function::FnOnce::call_once
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
";

const CANNOT_UNWIND: &str = "
thread '<unnamed>' (29806) panicked at /rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/core/src/panicking.rs:225:5:
panic in a function that cannot unwind
stack backtrace:
   0:     0x7f552e5f6daa - std[e28293b1aa0f68bd]::backtrace_rs::backtrace::libunwind::trace
                               at /rustc/59807616e1fa/library/std/src/../../backtrace/src/backtrace/libunwind.rs:117:9
  19:     0x7f4fcc5d08dd - run_user_code_4
  35:                0x0 - <unknown>
thread caused non-unwinding panic. aborting.
";

#[test]
fn a_panic_that_was_caught() {
    let found = panic(BOUNDS, false);
    assert_eq!(told(&found), ("Panic", "index out of bounds: the len is 3 but the index is 7"));
    assert_eq!(
        found.traceback,
        [
            "thread '<unnamed>' (29806) panicked at target/cell/lib.rs:2:39:",
            "index out of bounds: the len is 3 but the index is 7",
            "stack backtrace:",
            "   3: ctx::deep",
        ]
    );
}

#[test]
fn a_panic_that_ended_the_process() {
    let found = ended("signal: 6 (SIGABRT)", &format!("{BOUNDS}{CANNOT_UNWIND}"));
    assert_eq!(told(&found), ("Panic", "index out of bounds: the len is 3 but the index is 7"));
    assert_eq!(found.traceback.len(), 5);
    assert_eq!(found.traceback[4], "The panic ended the process that runs the cells; all variables are lost.");
}

#[test]
fn a_failed_assertion_on_one_line() {
    let text =
        "\nthread 'main' panicked at src/lib.rs:5:1:\nassertion `left == right` failed: sums\n  left: 2\n right: 3\n";
    assert_eq!(told(&panic(text, false)), ("Panic", "assertion `left == right` failed: sums, left: 2, right: 3"));
    let text =
        "thread 'main' panicked at src/lib.rs:1:1:\nattempt to add with overflow\nnote: run with `RUST_BACKTRACE=1`\n";
    assert_eq!(told(&panic(text, false)), ("Panic", "attempt to add with overflow"));
}

#[test]
fn a_panic_of_a_thread_that_was_joined() {
    let join = "\nthread '<unnamed>' (2) panicked at target/cell/lib.rs:106:57:\n\
                called `Result::unwrap()` on an `Err` value: Any { .. }\n";
    let found = panic(&format!("{BOUNDS}{join}"), false);
    assert_eq!(found.value, "index out of bounds: the len is 3 but the index is 7");
    assert_eq!(panic(join, false).value, "called `Result::unwrap()` on an `Err` value: Any { .. }");
    assert_eq!(told(&panic("", false)), ("Panic", "the cell panicked"));
}

#[test]
fn a_failed_question_mark() {
    assert_eq!(told(&returned("invalid digit found in string\n")), ("Error", "invalid digit found in string"));
    let found = returned("reading a.csv\n  because: no such file\n");
    assert_eq!(told(&found), ("Error", "reading a.csv because: no such file"));
    assert_eq!(found.traceback, ["reading a.csv", "  because: no such file"]);
    assert_eq!(told(&returned("\n")), ("Error", "the cell returned an error"));
}

#[test]
fn the_end_of_the_process() {
    let said = "Subprocess terminated with status: exit status: 3";
    assert_eq!(ending(&[error(said, &[said])]).as_deref(), Some("exit status: 3"));
    assert_eq!(ending(&[error("mismatched types", &TYPE)]), None);
    let value = "the process that runs the cells ended (exit status: 3); all variables are lost";
    assert_eq!(told(&ended("exit status: 3", "")), ("ProcessEnded", value));
    let crash = "Segmentation fault.\n   0: evcxr::runtime::Runtime::install_crash_handlers::segfault_handler\n   \
                 1: <unknown>\n   2: ctx::mine\n             at ./src/lib.rs:3:1\n  16: __libc_start_call_main\n             \
                 at ./csu/../sysdeps/nptl/libc_start_call_main.h:58:16\n\n";
    assert_eq!(
        ended("signal: 6 (SIGABRT)", crash).traceback,
        [
            "Segmentation fault.",
            "   2: ctx::mine",
            "             at ./src/lib.rs:3:1",
            "The process that runs the cells ended (signal: 6 (SIGABRT)); all variables are lost.",
        ]
    );
    assert!(ended("signal: 11 (SIGSEGV)", "").value.contains("as when the stack overflows"));
    assert_eq!(interrupted(true).name, "Interrupted");
    assert!(interrupted(true).value.contains("all variables are lost"));
}

#[test]
fn colours_are_taken_out_and_values_cut() {
    assert_eq!(plain("a\u{1b}[38;5;246mb\u{1b}[0mc\u{1b}[1;31m"), "abc");
    assert_eq!(plain("\u{1b}"), "");
    assert_eq!(plain("\u{1b}[1"), "");
    assert_eq!(returned(&"é".repeat(1000)).value.chars().count(), 401);
}
