//! Headless Chromium: the pages opened with the network refused, and static images of charts.
//!
//! A browser is optional. Without one the pages are still searched for outside addresses
//! ([`super::page_check`]); only saving notebooks needs one, for the picture of each chart.

use super::Workbench;
use super::process::{self, failed};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program that speaks to the browser.
const BROWSER: &str = include_str!("browser.py");

/// What to install where no browser is found.
pub const ADVICE: &str = "Install Chromium: `apt install chromium` (Debian), `snap install chromium` (Ubuntu), \
                          `dnf install chromium` (Fedora), `brew install --cask chromium` (macOS)";

/// What one page did when it was opened.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Visit {
    /// The file.
    pub page: String,
    /// Addresses that it asked the network for; none is right.
    pub requests: Vec<String>,
    /// What the console called an error; none is right.
    pub errors: Vec<String>,
    /// How many charts the page has.
    pub charts: usize,
    /// How many of them were drawn.
    pub drawn: usize,
    /// How many of them name a sprite sheet.
    pub maps: usize,
    /// How many of those show an image, inside the window, when the pointer is on a point.
    pub pictured: usize,
    /// How wide the page is on a screen of 390 pixels; more means that it must be pushed sideways.
    pub phone_width: u32,
    /// What [`ask`] asked for.
    #[serde(default)]
    pub answer: serde_json::Value,
}

impl Visit {
    /// What is wrong with the page, one line each.
    pub fn complaints(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.requests.iter().map(|url| format!("asked the network for {url}")).collect();
        lines.extend(self.errors.iter().map(|error| format!("console error: {error}")));
        if self.drawn < self.charts {
            lines.push(format!("{} of {} charts were drawn", self.drawn, self.charts));
        }
        if self.pictured < self.maps {
            lines.push(format!("{} of {} maps show the image under the pointer", self.pictured, self.maps));
        }
        if self.phone_width > 390 {
            lines.push(format!("{} pixels wide on a screen of 390", self.phone_width));
        }
        lines
    }
}

/// The first Chromium-like browser: the one that `CHROMIUM` in the environment names, else a known name on the PATH.
pub fn find() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let known = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge"];
    let applications = [
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = |name: &str| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    named
        .filter(|file| file.is_file())
        .or_else(|| known.iter().find_map(|name| on_path(name)))
        .or_else(|| applications.iter().map(PathBuf::from).find(|file| file.is_file()))
}

/// Opens every page from disk with the network refused; pictures of them go to `screenshots` where that is given.
///
/// # Errors
/// [`Error::Program`] where no browser is found or it breaks off.
pub fn visit(workbench: &Workbench, pages: &[PathBuf], screenshots: Option<&Path>) -> Result<Vec<Visit>> {
    check(workbench, pages, screenshots, None)
}

/// Opens pages as [`visit`] does, and asks each for the value of a JavaScript expression once its charts are drawn.
///
/// # Errors
/// As [`visit`]; [`Error::Program`] with the message where the expression fails.
pub fn ask(workbench: &Workbench, pages: &[PathBuf], expression: &str) -> Result<Vec<Visit>> {
    check(workbench, pages, None, Some(expression))
}

fn check(
    workbench: &Workbench,
    pages: &[PathBuf],
    screenshots: Option<&Path>,
    expression: Option<&str>,
) -> Result<Vec<Visit>> {
    let result = workbench.file_between()?;
    let mut command = command(workbench)?;
    command.arg("check").arg("--result").arg(result.path());
    if let Some(folder) = screenshots {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
        command.arg("--screenshots").arg(folder);
    }
    let asked = workbench.file_between()?;
    if let Some(expression) = expression {
        std::fs::write(asked.path(), expression).map_err(Error::io(asked.path(), "writing"))?;
        command.arg("--ask").arg(asked.path());
    }
    process::output("browser.py check", command.args(pages), "Try another browser with CHROMIUM=/path/to/it")?;
    let text = std::fs::read_to_string(result.path()).map_err(Error::io(result.path(), "reading"))?;
    serde_json::from_str(&text).map_err(|error| Error::data(result.path(), "a list of visits", error.to_string()))
}

/// Copies `notebooks` to `out`, with a static picture beside every chart (SVG, or PNG where that is large) and without
/// their sprite sheets, of which the text stays. `plotly` is the local plotly.js.
///
/// # Errors
/// [`Error::Program`] where no browser is found or it breaks off.
pub fn with_static_images(workbench: &Workbench, plotly: &Path, notebooks: &[PathBuf], out: &Path) -> Result<()> {
    let mut command = command(workbench)?;
    command.args(["images", "--plotly"]).arg(plotly).arg("--out").arg(out).args(notebooks);
    process::output("browser.py images", &mut command, "Try another browser with CHROMIUM=/path/to/it").map(drop)
}

fn command(workbench: &Workbench) -> Result<Command> {
    let browser = find().ok_or_else(|| failed("chromium", "no browser found", ADVICE))?;
    let mut command = workbench.python_script("browser.py", BROWSER)?;
    command.arg("--browser").arg(browser);
    Ok(command)
}
