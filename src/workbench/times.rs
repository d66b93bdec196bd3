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
        row("all of this run", Some(self.begun.elapsed()));
        table
    }

    /// Writes the parts in seconds, with what they were measured on, as JSON.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] where the file cannot be written.
    pub fn write(&self, path: &Path, suite: &str) -> Result<()> {
        let seconds = |took: &Option<Duration>| took.map(|took| (10.0 * took.as_secs_f64()).round() / 10.0);
        let parts = self.parts.iter().map(|(name, took)| serde_json::json!({ "part": name, "seconds": seconds(took) }));
        let text = serde_json::json!({
            "suite": suite,
            "version": env!("CARGO_PKG_VERSION"),
            "processor": processor(),
            "threads": std::thread::available_parallelism().map_or(1, usize::from),
            "parts": parts.collect::<Vec<_>>(),
            "first_page_seconds": seconds(&self.first_page),
            "seconds": seconds(&Some(self.begun.elapsed())),
        });
        write_atomic(path, format!("{text:#}\n").as_bytes())
    }
}

/// From the making of the build folder to that of the program, where both belong to one build: `None` where the program
/// was built again since.
fn first_build(program: &Path) -> Option<Duration> {
    /// Longer than any one build.
    const ONE_BUILD: Duration = Duration::from_secs(2 * 3600);
    let made = |path: &Path| -> Option<SystemTime> { std::fs::metadata(path).ok()?.modified().ok() };
    let tag = program.ancestors().map(|folder| folder.join("CACHEDIR.TAG")).find(|tag| tag.exists())?;
    let took = made(program)?.duration_since(made(&tag)?).ok()?;
    (took < ONE_BUILD).then_some(took)
}

/// The processor's name, where the system tells it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_string())
}
