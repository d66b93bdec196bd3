//! The one place through which text leaves for people and for the notebook kernel.
//!
//! Ids, names, classes, paths and what was found in a file come from strangers. Shown raw they could start a new line, colour
//! or turn round what a terminal shows, or speak to the notebook kernel, which takes commands from the lines that a cell
//! prints: text with `EVCXR_BEGIN_CONTENT` in it makes it wait for an end that never comes, or show HTML of the stranger's.
//!
//! | function | for | what stays as it is |
//! |---|---|---|
//! | [`visible`] | a name inside a page, a chart or a table | everything that can be seen |
//! | [`plain`] | a name inside a printed line or an error | the same, but for words that the kernel or the runner obeys |
//! | [`lines`] | several printed lines | the same, and newlines and tabs |
//! | [`csv_field`] | a name in a CSV that may be opened as a spreadsheet | the same; what would be a formula gets a `'` in front |
//! | [`path`] | a path | the same; bytes that are no UTF-8 are shown as `\xff` |
//!
//! What cannot be seen is written as Rust would write it: `\n`, `\0`, `\u{1b}`, `\u{202e}`. A backslash that is part of a name
//! stays single: the form is for reading. [`say!`](crate::say!) prints as `println!` does, through [`lines`]; in the cells of
//! the notebooks `println!` and `print!` do so as well.

use std::borrow::Cow;
use std::fmt::{Arguments, Write as _};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// In front of a line that the runner shows and does not keep.
pub(crate) const STATUS: &str = "[status] ";
/// What all words begin with that the kernel obeys.
const KERNEL: &str = "EVCXR_";
/// What is obeyed wherever in a line it stands: words of the kernel, and the notices of a cell on itself (cargo_for_cells.sh),
/// which follow whatever the cell printed without a newline.
const ANYWHERE: [&str; 3] = [KERNEL, "[cell failed: ", "[cell ended]"];
/// Characters of one part of an error that are shown.
const MOST: usize = 4_000;

/// Whether a character cannot be seen for itself: controls, separators of lines, marks of direction, and what takes no place.
/// The joiners that emoji and some scripts need count as seen.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

fn push_escaped(out: &mut String, character: char) {
    match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0' => out.push_str("\\0"),
        // A string takes whatever is written into it.
        other => out.extend(other.escape_unicode()),
    }
}

fn escaped(text: &str, keep: &[char]) -> Cow<'static, str> {
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_hidden(character) && !keep.contains(&character) {
            true => push_escaped(&mut out, character),
            false => out.push(character),
        }
    }
    Cow::Owned(out)
}

fn has_hidden(text: &str, keep: &[char]) -> bool {
    text.chars().any(|character| is_hidden(character) && !keep.contains(&character))
}

/// What a spreadsheet takes for the beginning of a formula.
pub const FORMULA: [char; 4] = ['=', '+', '-', '@'];

/// A name as a field of a CSV: in one line, everything can be seen, and no spreadsheet takes it for a formula.
///
/// ```
/// use wider_clip::say::csv_field;
/// assert_eq!(csv_field("=HYPERLINK(\"a\")"), "'=HYPERLINK(\"a\")");
/// assert_eq!(csv_field("cat, \u{1b}[31mred"), "cat, \\u{1b}[31mred");
/// ```
pub fn csv_field(text: &str) -> String {
    let text = visible(text);
    if text.starts_with(FORMULA) { format!("'{text}") } else { text.into_owned() }
}

/// Text in one line of which everything can be seen.
///
/// ```
/// use wider_clip::say::visible;
/// assert_eq!(visible("two\nlines, \u{202e}turned\u{0}"), r"two\nlines, \u{202e}turned\0");
/// assert_eq!(visible("ñ 猫 👩\u{200d}🚀 <b>"), "ñ 猫 👩\u{200d}🚀 <b>");
/// ```
pub fn visible(text: &str) -> Cow<'_, str> {
    match has_hidden(text, &[]) {
        true => escaped(text, &[]),
        false => Cow::Borrowed(text),
    }
}

/// Text for one printed line: visible, and without words that the kernel or the runner would obey, of which the first
/// letter is escaped.
///
/// ```
/// use wider_clip::say::plain;
/// assert_eq!(plain("EVCXR_END_CONTENT\r"), r"\u{45}VCXR_END_CONTENT\r");
/// assert_eq!(plain("a cat [cell ended]"), r"a cat \u{5b}cell ended]");
/// assert_eq!(plain("a cat"), "a cat");
/// ```
pub fn plain(text: &str) -> Cow<'_, str> {
    match visible(text) {
        Cow::Borrowed(text) => without_commands(text),
        Cow::Owned(text) => Cow::Owned(without_commands(&text).into_owned()),
    }
}

/// The same for text whose newlines and tabs are the program's own.
///
/// ```
/// use wider_clip::say::lines;
/// assert_eq!(lines("one\n\ttwo\u{1b}[0m"), "one\n\ttwo\\u{1b}[0m");
/// assert_eq!(lines("one\n[status] two"), "one\n\\u{5b}status] two");
/// ```
pub fn lines(text: &str) -> Cow<'_, str> {
    const KEEP: &[char] = &['\n', '\t'];
    match has_hidden(text, KEEP) {
        true => Cow::Owned(without_commands(&escaped(text, KEEP)).into_owned()),
        false => without_commands(text),
    }
}

fn without_commands(text: &str) -> Cow<'_, str> {
    let is_status = |line: &str| line.starts_with(STATUS);
    if !ANYWHERE.iter().any(|word| text.contains(word)) && !text.split('\n').any(is_status) {
        return Cow::Borrowed(text);
    }
    let text = ANYWHERE.iter().fold(text.to_string(), |text, word| text.replace(word, &disobeyed(word)));
    let line = |line: &str| if is_status(line) { disobeyed(line) } else { line.to_string() };
    Cow::Owned(text.split('\n').map(line).collect::<Vec<_>>().join("\n"))
}

/// What would be obeyed, with its first letter, of ASCII, escaped.
fn disobeyed(word: &str) -> String {
    format!("{}{}", word[..1].escape_unicode(), &word[1..])
}

/// A path for one printed line. Bytes that are no UTF-8 are shown one by one.
///
/// ```
/// use std::os::unix::ffi::OsStrExt;
/// use std::path::Path;
/// let name = std::ffi::OsStr::from_bytes(b"pictures/M\xf1oz\n");
/// assert_eq!(wider_clip::say::path(Path::new(name)), r"pictures/M\xf1oz\n");
/// ```
pub fn path(path: &Path) -> String {
    let mut out = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        out.push_str(&visible(chunk.valid()));
        for byte in chunk.invalid() {
            // A string takes whatever is written into it.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    plain(&cut(&out, MOST)).into_owned()
}

/// The first `most` characters of a longer text, and how many there are.
///
/// ```
/// use wider_clip::say::cut;
/// assert_eq!(cut("abcdef", 3), "abc… (6 characters)");
/// assert_eq!(cut("abc", 3), "abc");
/// ```
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}… ({} characters)", &text[..end], text.chars().count())),
        None => Cow::Borrowed(text),
    }
}

/// One part of an error: [`plain`], and cut where it is longer than 4,000 characters.
pub fn part(text: &str) -> String {
    plain(&cut(text, MOST)).into_owned()
}

/// Prints a text to standard error, made fit as [`mod@crate::say`] says, where standard output holds what programs read. Where nobody
/// can be told, nobody is.
pub fn aside(text: &str) {
    // In one piece, so that lines of several threads do not mix.
    let _ = std::io::stderr().lock().write_all(format!("{}\n", lines(text)).as_bytes());
}

/// Whether standard output could not be written to, for another reason than that its reader went away.
static OUTPUT_FAILED: AtomicBool = AtomicBool::new(false);

/// Whether something that was to be printed could not be, as on a full disk. A reader that went away, as `head` does, is no failure.
pub fn output_failed() -> bool {
    OUTPUT_FAILED.load(Ordering::Relaxed)
}

/// Writes to standard output as it is, what [`lines`] or the like has made fit. A reader that went away is none: what runs for long
/// goes on. Any other failure is told once on standard error, and known to [`output_failed`].
pub fn put(text: Arguments<'_>) {
    let Err(error) = std::io::stdout().lock().write_fmt(text) else { return };
    if error.kind() != ErrorKind::BrokenPipe && !OUTPUT_FAILED.swap(true, Ordering::Relaxed) {
        aside(&format!("error: standard output cannot be written to: {error}"));
    }
}

/// Whether standard output is for data.
static FOR_DATA: AtomicBool = AtomicBool::new(false);

/// From here on what [`say!`](crate::say!) says goes to standard error: standard output holds what programs read.
pub fn keep_output_for_data() {
    FOR_DATA.store(true, Ordering::Relaxed);
}

/// Prints what [`say!`](crate::say!) was given.
pub fn line(text: Arguments<'_>) {
    match FOR_DATA.load(Ordering::Relaxed) {
        true => aside(&text.to_string()),
        false => put(format_args!("{}\n", lines(&text.to_string()))),
    }
}

/// What `println!` and `print!` in a cell of a notebook become. `written` is how the cell has it: where that names a command
/// of the kernel itself, as a display of the author's own would, it is the author's.
#[doc(hidden)]
pub fn from_cell(written: &str, text: Arguments<'_>, newline: bool) {
    let text = text.to_string();
    let text = if written.contains(KERNEL) { Cow::Borrowed(text.as_str()) } else { lines(&text) };
    let end = if newline { "\n" } else { "" };
    put(format_args!("{text}{end}"));
}

/// Prints a line as `println!` does, with everything in it fit for a terminal and for the notebook kernel.
///
/// ```
/// let class = "cat\nEVCXR_EXECUTION_COMPLETE";
/// wider_clip::say!("the class is {}", wider_clip::say::plain(class));
/// ```
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::say::line(::std::format_args!($($text)*)) };
}
