//! Tables, charts, maps and galleries for notebooks: the only part of the crate that knows the notebook kernel.
//!
//! evcxr calls `evcxr_display` on the last expression of a cell. Every type here answers with plain text, which a
//! terminal or a code-hosting page can always show, and a rich form beside it.

mod accuracy;
mod catalogue;
mod chart;
mod clusterings;
mod colours;
mod gallery;
mod map;
mod same_data;
mod selection;
mod sprites;
mod table;

pub use accuracy::{accuracy_chart, accuracy_table, leakage_table, metric_table, published_table};
pub use catalogue::{datasets_table, models_table, suite_table};
pub use chart::{Chart, Series, Style};
pub use clusterings::{ari_chart, ari_table, published_ranking_table};
pub use colours::{Look, look};
pub use gallery::{Gallery, Picture};
pub use map::MapChart;
pub use same_data::{against_table, alignment_chart, pooling_table, relatives_table, survival_table};
pub use sprites::SpriteSheet;
pub use table::{Cell, Table};

/// Prints one block of rich output in the form that evcxr picks up from standard output.
fn emit(mime: &str, content: &str) {
    println!("EVCXR_BEGIN_CONTENT {mime}\n{content}\nEVCXR_END_CONTENT");
}

/// Text made safe inside HTML elements and quoted attributes.
///
/// ```
/// assert_eq!(wider_clip::display::escape("<b> & \"c\""), "&lt;b&gt; &amp; &quot;c&quot;");
/// ```
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
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
