//! The line that tells how far a cell is: one display that is replaced in place, ten times a second at most.

use crate::wire::Message;
use serde_json::json;
use std::time::{Duration, Instant};

/// In front of a line of standard output that is no output but the newest status.
pub const MARK: &str = "[status] ";

/// Between two updates.
const PAUSE: Duration = Duration::from_millis(100);

/// The status of one cell.
#[derive(Debug, Default)]
pub struct StatusLine {
    /// What is shown, once something is.
    shown: Option<String>,
    waiting: Option<String>,
    next: Option<Instant>,
}

impl StatusLine {
    /// The cell has a new status; shown at once where the last is old enough.
    pub fn set(&mut self, request: &Message, text: &str, now: Instant) -> Option<Message> {
        self.waiting = Some(text.to_string());
        self.tick(request, now)
    }

    /// Shows what waited, where it is time.
    pub fn tick(&mut self, request: &Message, now: Instant) -> Option<Message> {
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        let text = self.waiting.take().filter(|text| self.shown.as_ref() != Some(text))?;
        self.next = Some(now + PAUSE);
        Some(self.show(request, text))
    }

    /// When [`StatusLine::tick`] has something to show.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.as_ref().and(self.next)
    }

    /// The cell is over: what was shown is emptied. Clearing the output would take that of the cell as well.
    pub fn end(&mut self, request: &Message) -> Option<Message> {
        self.waiting = None;
        self.shown.as_ref().is_some_and(|text| !text.is_empty()).then(|| self.show(request, String::new()))
    }

    fn show(&mut self, request: &Message, text: String) -> Message {
        let kind = if self.shown.is_none() { "display_data" } else { "update_display_data" };
        let content = json!({
            "data": {"text/plain": text},
            "metadata": {},
            "transient": {"display_id": format!("status of {}", request.id)},
        });
        self.shown = Some(text);
        request.child(kind, &content)
    }
}
