//! How text is put into what leaves for the kernel: escaped for its medium, and in lines of which none is a command.
//!
//! Names come from strangers ([`mod@crate::say`]). Tables, charts, maps, galleries and sprite sheets put them together with
//! [`escape`] (HTML), [`label`] or [`hover`] (plotly) or [`plain`] (text), and hand the whole to [`emit`]: the one way out.

use crate::say::{self, visible};
use std::borrow::Cow;
use std::fmt::Arguments;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Characters of a title in a chart, and of a name beside one: longer ones would leave no room for the chart.
const MOST_OF_TITLE: usize = 200;
pub(super) const MOST_OF_NAME: usize = 60;
/// Characters of a text in a table, a caption or a line of a text.
const MOST: usize = 4_000;
/// The class of HTML in which no MathJax looks for formulas; versions differ in the name.
pub(super) const NO_FORMULAS: &str = "mathjax_ignore tex2jax_ignore";

/// Prints one block of rich output in the form that evcxr picks up from standard output.
///
/// evcxr takes everything between the two markers. What looks like a marker inside is written differently and means the
/// same: as an entity in HTML, as an escape in JSON; in text it is shown escaped.
pub(super) fn emit(mime: &str, content: &str) {
    let content: Cow<str> = match mime {
        mime if mime.contains("json") => json_for_pages(content).into(),
        "text/html" => content.replace("EVCXR_", "&#69;VCXR_").replace('\r', "&#13;").into(),
        _ => say::lines(content),
    };
    if line_is_open() {
        say::put(format_args!("\n"));
    }
    say::put(format_args!("EVCXR_BEGIN_CONTENT {mime}\n{content}\nEVCXR_END_CONTENT\n"));
}

/// Whether the last `print!` of a cell left its line open.
static LINE_IS_OPEN: AtomicBool = AtomicBool::new(false);

/// What `println!` and `print!` in a cell become: [`say::from_cell`].
#[doc(hidden)]
pub fn from_cell(written: &str, text: Arguments<'_>, newline: bool) {
    LINE_IS_OPEN.store(!newline, Relaxed);
    say::from_cell(written, text, newline);
}

/// Whether a cell has begun a line with `print!` and not ended it; asked again, no. A value needs a line of its own: what
/// stands before it, the kernel drops.
#[doc(hidden)]
pub fn line_is_open() -> bool {
    LINE_IS_OPEN.swap(false, Relaxed)
}

/// JSON in one line that means the same and can stand in a script element, in a script, and between evcxr's markers.
pub(crate) fn json_for_pages(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            '\n' | '\r' => out.push(' '),
            other => out.push(other),
        }
    }
    out.replace("EVCXR_", "\\u0045VCXR_")
}

/// Text made safe inside HTML elements and quoted attributes, in one line of which everything can be seen
/// ([`crate::say::visible`]), cut where it is longer than 4,000 characters.
///
/// ```
/// assert_eq!(wider_clip::display::escape("<b> & \"c\""), "&lt;b&gt; &amp; &quot;c&quot;");
/// assert_eq!(wider_clip::display::escape("a\nb\u{202e}"), r"a\nb\u{202e}");
/// ```
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in visible(&say::cut(text, MOST)).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A title for plotly: see [`label`].
pub(super) fn title(text: &str) -> String {
    for_plotly(text, MOST_OF_TITLE)
}

/// A name for plotly's legends, axes and labels, cut to 60 characters, that is shown as it is: no tags, no entities, no formulas (`$...$`), no templates (`%{...}`).
///
/// plotly knows few entities by name (no `&quot;`) and all by number.
pub(super) fn label(text: &str) -> String {
    for_plotly(text, MOST_OF_NAME)
}

/// What a pointer gets, as [`label`] but whole: numbers stand at its end, and one that is cut reads as another.
pub(super) fn hover(text: &str) -> String {
    for_plotly(text, MOST)
}

fn for_plotly(text: &str, most: usize) -> String {
    let text = shorten(&visible(&say::cut(text, MOST)), most);
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '$' => out.push_str("&#36;"),
            // The sign alone is common in titles; before a brace it begins a template.
            '{' if out.ends_with('%') => {
                out.pop();
                out.push_str("&#37;{");
            }
            other => out.push(other),
        }
    }
    out
}

/// A name in a line of text, cut where it is longer than 4,000 characters.
pub(super) fn plain(text: &str) -> String {
    say::plain(&say::cut(text, MOST)).into_owned()
}

/// Text cut to `most` characters with an ellipsis, for places where a label of any length must fit.
///
/// ```
/// assert_eq!(wider_clip::display::shorten("abcdef", 4), "abc…");
/// assert_eq!(wider_clip::display::shorten("abcd", 4), "abcd");
/// ```
pub fn shorten(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        false => text.into(),
        true => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Places that text takes in a terminal: two for wide characters, none for those that join the one before.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Text cut to `most` places with an ellipsis.
pub(super) fn shorten_to_width(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.into();
    }
    let mut out = String::new();
    let mut taken = 0;
    for character in text.chars() {
        taken += character.width().unwrap_or(0);
        if taken >= most {
            break;
        }
        out.push(character);
    }
    out + "…"
}
