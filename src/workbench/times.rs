//! How long the parts of a report took, told at its end and kept beside its rows.

use super::Workbench;
use super::setup::SetupTimes;
use crate::display::Table;
use crate::error::Result;
use crate::progress::duration;
use crate::storage::write_atomic;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// The parts of a run, as they come.
#[derive(Debug)]
pub struct Times {
    begun: Instant,
    /// Name and duration; `None` for what was there already.
    parts: Vec<(String, Option<Duration>)>,
    /// From the beginning to the first page.
    first_page: Option<Duration>,
}

impl Times {
    /// A run that begins now.
    pub fn begin() -> Times {
        Times { begun: Instant::now(), parts: Vec::new(), first_page: None }
    }

    /// Notes the set-up; where it made the kernel, the build before it counts too.
    pub fn set_up(&mut self, workbench: &Workbench, times: SetupTimes) {
        if times.kernel.is_some()
            && let Some(build) = first_build(workbench.program())
        {
            self.note("first build", Some(build));
        }
        self.note("Python environment", times.python);
        self.note("notebook kernel", times.kernel);
    }

    /// Notes a part.
    pub fn note(&mut self, name: impl Into<String>, took: Option<Duration>) {
        self.parts.push((name.into(), took));
    }

    /// The first page can be read.
    pub fn first_page(&mut self) {
        self.first_page.get_or_insert(self.begun.elapsed());
    }

    /// How long the run has gone on.
    pub fn so_far(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The parts as a table.
    pub fn table(&self) -> Table {
        let mut table = Table { caption: "How long it took".into(), ..Table::default() };
        table.header = ["part", "time"].map(String::from).to_vec();
        let mut row = |name: &str, took: Option<Duration>| {
            let took = took.map_or_else(|| "there already".into(), |took| duration(took.as_secs_f64()));
            table.rows.push(vec![name.into(), took.into()]);
        };
        self.parts.iter().for_each(|(name, took)| row(name, *took));
        if let Some(took) = self.first_page {
            row("first page after", Some(took));
        }
        row("all of this run", Some(self.so_far()));
        table
    }

    /// Writes the parts in seconds, with what they were measured on, as JSON.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] where the file cannot be written.
    pub fn write(&self, path: &Path, suite: &str) -> Result<()> {
        let seconds = |took: &Option<Duration>| took.map(|took| (10.0 * took.as_secs_f64()).round() / 10.0);
        let parts = self.parts.iter().map(|(name, took)| serde_json::json!({ "part": name, "seconds": seconds(took) }));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let text = serde_json::json!({
            "date": utc(now.as_secs()),
            "suite": suite,
            "version": env!("CARGO_PKG_VERSION"),
            "processor": processor(),
            "threads": std::thread::available_parallelism().map_or(1, usize::from),
            "parts": parts.collect::<Vec<_>>(),
            "first_page_seconds": seconds(&self.first_page),
            "seconds": seconds(&Some(self.so_far())),
        });
        write_atomic(path, format!("{text:#}\n").as_bytes())
    }
}

/// From the making of the build folder to that of the program, where both belong to one build: `None` where the program
/// was built again since.
fn first_build(program: &Path) -> Option<Duration> {
    /// Longer than any one build.
    const ONE_BUILD: Duration = Duration::from_secs(2 * 3600);
    /// Shorter than any build: what a copied folder looks like.
    const NO_BUILD: Duration = Duration::from_secs(30);
    let made = |path: &Path| -> Option<SystemTime> { std::fs::metadata(path).ok()?.modified().ok() };
    let tag = program.ancestors().map(|folder| folder.join("CACHEDIR.TAG")).find(|tag| tag.exists())?;
    let took = made(program)?.duration_since(made(&tag)?).ok()?;
    (NO_BUILD..ONE_BUILD).contains(&took).then_some(took)
}

/// Seconds since 1970 as date and time of day in UTC.
///
/// ```
/// use wider_clip::workbench::times::utc;
/// assert_eq!([utc(0), utc(951_782_399)], ["1970-01-01T00:00:00Z", "2000-02-28T23:59:59Z"]);
/// assert_eq!([utc(951_782_400), utc(951_868_800)], ["2000-02-29T00:00:00Z", "2000-03-01T00:00:00Z"]);
/// ```
pub fn utc(seconds: u64) -> String {
    // Years that begin on the first of March have their leap day at the end; 400 of them have 146,097 days.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", 400 * era + year + later)
}

/// The processor's name, where the system tells it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_string())
}
