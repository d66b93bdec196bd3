//! A sentence as an output of a cell.

use super::text::{NO_FORMULAS, emit, escape, plain};

/// A sentence or two, shown as prose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(pub String);

impl Words {
    /// As text.
    pub fn to_text(&self) -> String {
        plain(&self.0)
    }

    /// As a paragraph.
    pub fn to_html(&self) -> String {
        format!("<p class=\"{NO_FORMULAS}\"><strong>{}</strong></p>", escape(&self.0))
    }

    /// Called by the notebook kernel.
    pub fn evcxr_display(&self) {
        emit("text/html", &self.to_html());
        emit("text/plain", &self.to_text());
    }
}
