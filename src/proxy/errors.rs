//! Turns what the child kernel says of a failed cell into name, value and traceback, as Jupyter's `error` has them.
//!
//! | failure | how the child tells it | name |
//! |---|---|---|
//! | does not compile | one `error` message for each error of rustc | its code such as `E0382`, else `CompileError` |
//! | panic | text on standard error, then a notice or the end of the process of the cells | `Panic` |
//! | `?` on an error | text on standard error, then a notice | `Error` |
//! | exit, abort, crash | "Subprocess terminated with status" | `ProcessEnded` |
//! | interrupt | the same, with signal 9 | `Interrupted` |

use serde_json::{Value, json};

/// How the child says that the process in which cells run is gone.
const TERMINATED: &str = "Subprocess terminated with status: ";
/// Said where that is so.
pub const LOST: &str = "all variables are lost";
/// How the child begins what it says of a command (`:dep`, `!ls`) that failed.
const COMMANDS: [&str; 4] =
    ["Shell command failed", "Failed to execute shell command", "Unrecognised command", "Invalid "];
/// How the child begins when the process of the cells crashes.
const CRASHES: [&str; 4] = ["Segmentation fault.", "Illegal instruction.", "Bus error.", "Unexpected signal."];
/// In the name of the function that the child makes of a cell.
pub const CELL: &str = "run_user_code_";
/// The folder, in the child's own, with a folder for each compiled cell (cargo_for_cells.sh).
pub const COMPILED: &str = "target/cell/";
/// Characters of a one-line value.
const MOST: usize = 400;
/// Lines of a traceback; the middle of a longer one is left out.
const MOST_LINES: usize = 400;

/// One failure, as `error` and `execute_reply` tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellError {
    /// `ename`.
    pub name: String,
    /// `evalue`, one line.
    pub value: String,
    /// `traceback`, readable lines without colours.
    pub traceback: Vec<String>,
}

impl CellError {
    /// Lines are cleaned of colours, a long traceback of its middle.
    pub fn new(name: &str, value: &str, traceback: Vec<String>) -> CellError {
        let mut lines: Vec<String> =
            traceback.iter().flat_map(|text| text.split('\n')).map(|line| plain(line).trim_end().to_string()).collect();
        if lines.len() > MOST_LINES {
            let left_out = format!("... {} lines ...", lines.len() - MOST_LINES);
            lines.splice(MOST_LINES / 2..lines.len() - MOST_LINES / 2, [left_out]);
        }
        CellError { name: name.to_string(), value: one_line(value), traceback: lines }
    }

    /// The content of an `error` message.
    pub fn content(&self) -> Value {
        json!({"ename": self.name, "evalue": self.value, "traceback": self.traceback})
    }
}

/// The text without the escape sequences of terminals.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\u{1b}' {
            out.push(character);
        } else if rest.clone().next() == Some('[') {
            // Parameters, up to the letter that ends them.
            let _ = rest.by_ref().skip(1).find(|character| ('@'..='~').contains(character));
        }
    }
    out
}

fn one_line(text: &str) -> String {
    let text = plain(text);
    let mut joined = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // The two sides of a failed assertion.
        let is_side = line.starts_with("left: ") || line.starts_with("right: ");
        joined.push_str(if joined.is_empty() || !is_side { " " } else { ", " });
        joined.push_str(line);
    }
    let joined = joined.trim();
    match joined.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &joined[..end]),
        None => joined.to_string(),
    }
}

/// How the process of the cells ended, where the errors of the child say that it did.
pub fn ending(errors: &[Value]) -> Option<String> {
    let text = errors.iter().find_map(|error| error["evalue"].as_str().filter(|text| text.contains(TERMINATED)))?;
    text.split_once(TERMINATED).map(|(_, status)| status.trim().to_string())
}

/// The failure of a cell that did not compile, or of a command. `from` is the name of the cell in the child's text, `to` the
/// one that the reader knows.
pub fn refused(errors: &[Value], from: &str, to: &str) -> CellError {
    let value = |error: &Value| plain(error["evalue"].as_str().unwrap_or_default());
    let lines = |error: &Value| -> Vec<String> {
        let lines = error["traceback"].as_array().into_iter().flatten().filter_map(Value::as_str);
        lines.map(|line| plain(line).replace(from, to)).collect()
    };
    let Some(first) = errors.first() else {
        return CellError::new("Error", "the kernel gave no reason", vec!["The kernel gave no reason.".to_string()]);
    };
    let message = value(first);
    let name = match code(&lines(first)).or_else(|| code_of_message(&message).map(str::to_string)) {
        Some(code) => code,
        None if COMMANDS.iter().any(|begins| message.starts_with(begins)) => "CommandError".to_string(),
        None => "CompileError".to_string(),
    };
    let others = match errors.len() {
        1 => String::new(),
        2 => " (and 1 more error)".to_string(),
        many => format!(" (and {} more errors)", many - 1),
    };
    let traceback = errors.iter().map(|error| match lines(error) {
        none if none.is_empty() => vec![value(error)],
        lines => lines,
    });
    let traceback: Vec<Vec<String>> = traceback.collect();
    CellError::new(&name, &format!("{}{others}", one_line(&message)), traceback.join(&String::new()))
}

/// `E0382` of the line `[E0382] Error: borrow of moved value`.
fn code(lines: &[String]) -> Option<String> {
    let code = lines.iter().find_map(|line| line.trim_start().strip_prefix('[')?.split_once("] Error:"))?.0;
    let digits = code.strip_prefix('E')?;
    (digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| code.to_string())
}

/// The child leaves the code out where a cell has letters beyond ASCII. These are what beginners meet.
fn code_of_message(message: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str, &str); 16] = [
        ("mismatched types", "", "E0308"),
        ("cannot find value `", "", "E0425"),
        ("cannot find function `", "", "E0425"),
        ("cannot find type `", "", "E0412"),
        ("borrow of moved value", "", "E0382"),
        ("use of moved value", "", "E0382"),
        ("cannot assign twice to immutable variable", "", "E0384"),
        ("cannot borrow `", "as mutable, as it is not declared as mutable", "E0596"),
        ("cannot borrow `", "as mutable because it is also borrowed as immutable", "E0502"),
        ("cannot borrow `", "as mutable more than once at a time", "E0499"),
        ("no method named `", "", "E0599"),
        ("no field `", "", "E0609"),
        ("unresolved import `", "", "E0432"),
        ("cannot use the `?` operator", "", "E0277"),
        ("the trait bound `", "is not satisfied", "E0277"),
        ("type annotations needed", "", "E0282"),
    ];
    let known = KNOWN.iter().find(|(begins, has, _)| message.starts_with(begins) && message.contains(has));
    known.map(|known| known.2)
}

/// Whether a line of standard error is the first of the text of a panic or a crash.
pub fn begins_failure(line: &str) -> bool {
    begins_panic(line) || CRASHES.contains(&line)
}

fn begins_panic(line: &str) -> bool {
    line.starts_with("thread ") && (line.contains(" panicked at ") || line.contains(" has overflowed its stack"))
}

/// Whether a line of standard error is the last that the process of the cells writes when it aborts.
pub fn ends_abort(line: &str) -> bool {
    line.contains("thread caused non-unwinding panic. aborting.") || line.starts_with("fatal runtime error:")
}

/// The failure of a cell that panicked. `text` is what it wrote on standard error.
pub fn panic(text: &str, is_lost: bool) -> CellError {
    let told = Told::read(text);
    // What joins a thread that panicked has little to say.
    let last = told.panics.iter().rev().find(|panic| !panic.message.contains("Any { .. }")).or(told.panics.last());
    let value = last.map_or("the cell panicked", |panic| panic.message.as_str());
    CellError::new("Panic", value, told.lines(is_lost))
}

/// The failure of a cell whose `?` met an error, which `text` describes; its last line may say where.
pub fn returned(text: &str) -> CellError {
    let text = text.trim();
    let (text, place) = match text.rsplit_once('\n').unwrap_or(("", text)) {
        (before, last) if last.starts_with("at ") && last.contains(COMPILED) => (before.trim_end(), Some(last)),
        _ => (text, None),
    };
    let value = if text.is_empty() { "the cell returned an error" } else { text };
    let place = place.map(|place| format!("`?` met an error {place}:"));
    CellError::new("Error", value, place.into_iter().chain([value.to_string()]).collect())
}

/// The failure of a cell in which the process of the cells ended with `status`, having written `text` on standard error.
pub fn ended(status: &str, text: &str) -> CellError {
    let told = Told::read(text);
    if told.panics.is_empty() {
        let hint = if status.starts_with("signal: 11") { ", as when the stack overflows" } else { "" };
        let value = format!("the process that runs the cells ended ({status}{hint}); {LOST}");
        let mut lines = told.others;
        lines.push(format!("{}{}.", value[..1].to_uppercase(), &value[1..]));
        return CellError::new("ProcessEnded", &value, lines);
    }
    panic(text, true)
}

/// The failure of a cell that was interrupted.
pub fn interrupted(is_lost: bool) -> CellError {
    let value = match is_lost {
        true => format!("the cell was interrupted; {LOST}, run the cells that make them again"),
        false => "the cell was interrupted; the variables are as they were before it".to_string(),
    };
    CellError::new("Interrupted", &value, vec![format!("Interrupted: {value}.")])
}

/// The failure of a cell during which the kernel's own process ended.
pub fn died(status: &str) -> CellError {
    let value = format!("the kernel's process ended ({status}); {LOST}");
    CellError::new("KernelDied", &value, vec![format!("KernelDied: {value}.")])
}

/// Standard error, taken apart.
#[derive(Default)]
struct Told {
    panics: Vec<Panic>,
    others: Vec<String>,
}

#[derive(Default)]
struct Panic {
    header: String,
    message: String,
    frames: Vec<String>,
    /// The function of the frame that is read, and whether it is the cell itself.
    frame: Option<(String, bool)>,
}

impl Panic {
    /// A line of the backtrace that names a function.
    fn function(&mut self, line: &str, symbol: &str) {
        self.end_of_frame();
        let is_of_cell = symbol.contains(CELL);
        self.frame = (is_of_cell || !is_of_kernel(symbol)).then(|| (line.to_string(), is_of_cell));
    }

    /// The line below it that says where that is. A frame of the cell itself is kept for such a line alone, and one whose code
    /// comes with Rust is not kept at all.
    fn place(&mut self, line: &str) {
        let is_of_rust = line.contains("/rustlib/src/rust/library/") || line.contains(" /rustc/");
        let Some((function, is_of_cell)) = self.frame.take() else { return };
        if !is_of_rust && (!is_of_cell || line.contains(COMPILED)) {
            self.frames.extend([function, line.to_string()]);
        }
    }

    fn end_of_frame(&mut self) {
        self.frames.extend(self.frame.take().filter(|(_, is_of_cell)| !is_of_cell).map(|(function, _)| function));
    }
}

impl Told {
    fn read(text: &str) -> Told {
        enum At {
            Elsewhere,
            Message,
            Frames,
        }
        let (mut told, mut at, mut is_left_out) = (Told::default(), At::Elsewhere, false);
        for line in text.lines() {
            if begins_panic(line) {
                told.panics.push(Panic { header: line.trim().to_string(), ..Panic::default() });
                at = At::Message;
                continue;
            }
            match (&at, told.panics.last_mut()) {
                (At::Message, Some(_)) if line == "stack backtrace:" => at = At::Frames,
                _ if line.starts_with("note: ") || ends_abort(line) => at = At::Elsewhere,
                (At::Message, Some(panic)) => {
                    panic.message.push_str(if panic.message.is_empty() { "" } else { "\n" });
                    panic.message.push_str(line);
                }
                (At::Frames, Some(panic)) => match frame(line) {
                    Some(symbol) => panic.function(line, symbol),
                    None if line.trim_start().starts_with("at ") => panic.place(line),
                    None => {
                        at = At::Elsewhere;
                        told.others.extend((!line.trim().is_empty()).then(|| line.to_string()));
                    }
                },
                (At::Elsewhere, _) | (_, None) => {
                    // A crash is followed by its frames, without a heading.
                    is_left_out = match frame(line) {
                        Some(symbol) => is_of_kernel(symbol),
                        None => is_left_out && line.trim_start().starts_with("at "),
                    };
                    told.others.extend((!is_left_out && !line.trim().is_empty()).then(|| line.to_string()));
                }
            }
        }
        told.panics.iter_mut().for_each(Panic::end_of_frame);
        // What Rust adds when a panic may not leave a function.
        if told.panics.len() > 1 {
            told.panics.retain(|panic| !panic.message.starts_with("panic in a function that cannot unwind"));
        }
        told
    }

    fn lines(&self, is_lost: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for panic in &self.panics {
            lines.push(panic.header.clone());
            lines.extend(panic.message.trim_end().lines().map(str::to_string));
            if !panic.frames.is_empty() {
                lines.push("stack backtrace:".to_string());
                lines.extend(panic.frames.clone());
            }
        }
        if self.panics.is_empty() {
            lines.push("The cell panicked.".to_string());
        }
        lines.extend(self.others.clone());
        if is_lost {
            lines.push(format!("The panic ended the process that runs the cells; {LOST}."));
        }
        lines
    }
}

/// The symbol of a line such as `   3: ctx::sum`.
pub fn frame(line: &str) -> Option<&str> {
    let (number, symbol) = line.trim_start().split_once(": ")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| symbol.trim())
}

/// Whether a frame is one of the standard library, of the kernel, or of what the kernel wraps round a cell.
fn is_of_kernel(symbol: &str) -> bool {
    let path = symbol.trim_start_matches(['<', '&', '(']);
    let crates = ["std::", "core::", "alloc::", "evcxr", "__rust", "_rust", "rust_", "__libc", "__GI_", "mimalloc"];
    crates.iter().any(|name| path.starts_with(name))
        || matches!(
            path,
            "main" | "_start" | "_main" | "<unknown>" | "unknown>" | "start_thread" | "clone3" | "__clone3"
        )
        || path.contains(CELL)
        || path.contains("evcxr_jupyter::")
}
