//! Progress as whole lines, now and then.
//!
//! A notebook shows output line by line and a log file keeps it, so a bar that redraws itself would show nothing.
//! A line is printed at the start, at most every few seconds, and at the end, with count, rate and time to go.

use std::time::{Duration, Instant};

/// Counts steps of a job whose length is known and prints lines such as
/// `features of openemoji: 512 of 3,000 images, 41/s, 60 s to go`.
#[derive(Debug)]
pub struct Progress {
    label: String,
    unit: &'static str,
    total: usize,
    done: usize,
    skipped: usize,
    started: Instant,
    last_line: Instant,
    interval: Duration,
    quiet: bool,
}

impl Progress {
    /// A job called `label` of `total` steps, counted in `unit` ("images", "arms"). `done` steps were done before
    /// (a resumed job); they count as done and not towards the rate.
    pub fn new(label: impl Into<String>, unit: &'static str, total: usize, done: usize) -> Progress {
        let now = Instant::now();
        Progress {
            label: label.into(),
            unit,
            total,
            done,
            skipped: done,
            started: now,
            last_line: now,
            interval: Duration::from_secs(10),
            quiet: false,
        }
    }

    /// Prints nothing.
    pub fn silent(mut self) -> Progress {
        self.quiet = true;
        self
    }

    /// `n` more steps are done.
    pub fn advance(&mut self, n: usize) {
        self.done += n;
        if self.last_line.elapsed() >= self.interval && self.done < self.total {
            self.last_line = Instant::now();
            self.print(&self.line());
        }
    }

    /// The job is over; prints the closing line unless nothing was to do.
    pub fn finish(self) {
        let fresh = self.done - self.skipped;
        if fresh > 0 {
            let seconds = self.started.elapsed().as_secs_f64();
            self.print(&format!("{}: {} {} in {seconds:.1} s", self.label, thousands(fresh), self.unit));
        }
    }

    fn line(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = (self.done - self.skipped) as f64 / seconds.max(1e-9);
        let left = self.total.saturating_sub(self.done) as f64 / rate.max(1e-9);
        let pace = if rate >= 1.0 { format!("{rate:.0}/s") } else { format!("{:.0} s each", 1.0 / rate.max(1e-9)) };
        format!(
            "{}: {} of {} {}, {pace}, {left:.0} s to go",
            self.label,
            thousands(self.done),
            thousands(self.total),
            self.unit
        )
    }

    fn print(&self, line: &str) {
        if !self.quiet {
            println!("{line}");
        }
    }
}

/// A count with a comma between thousands.
///
/// ```
/// assert_eq!(wider_clip::progress::thousands(1234567), "1,234,567");
/// assert_eq!(wider_clip::progress::thousands(999), "999");
/// ```
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
