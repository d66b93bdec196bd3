//! What JupyterLab and nbconvert export: pages with their charts, that open without a network.
//!
//! nbconvert leaves plotly's form of a chart out and points at MathJax and RequireJS in the network. Here a template of our own,
//! beside nbconvert's in the project's environment, is the default: `File > Save and Export Notebook As > HTML` uses it, and
//! `jupyter nbconvert --to html` and `--to slides` do; so does `--to webpdf` where Playwright was installed, which set-up does not.
//! The slides carry reveal.js with its themes, whose fonts are left to the system's.

use super::{Workbench, report};
use crate::error::{Error, Result};
use crate::storage::write_atomic;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

const CONF: &str = include_str!("template/export/conf.json");
const PAGE: &str = include_str!("template/export/index.html.j2");
const SLIDES: &str = include_str!("template/export/slides.html.j2");
const CHART: &str = include_str!("template/export/chart.html.j2");
const MATHJAX_SETTINGS: &str = include_str!("template/export/mathjax-settings.js");

/// Writes the templates and the settings that make them the default into the project's environment.
///
/// # Errors
/// [`Error::Io`] where they cannot be written, or reveal.js is not in the environment.
pub fn install(workbench: &Workbench) -> Result<()> {
    let shared = workbench.folder().join("venv/share/jupyter/nbconvert/templates");
    let settings = workbench.folder().join("venv/etc/jupyter");
    // What ends a script element can stand only in a string, where this means the same.
    let [plotly, mathjax] = report::libraries().map(|text| text.replace("</script", "<\\/script"));
    let slides = CONF.replace("\"lab\"", "\"reveal\"");
    let told = serde_json::to_string_pretty(&defaults()).unwrap_or_default();
    let mut files = vec![
        (shared.join("wider-clip/conf.json"), CONF.to_string()),
        (shared.join("wider-clip/index.html.j2"), PAGE.to_string()),
        (shared.join("wider-clip/chart.html.j2"), CHART.to_string()),
        (shared.join("wider-clip/static/plotly.min.js"), plotly.clone()),
        (shared.join("wider-clip/static/mathjax.js"), mathjax.clone()),
        (shared.join("wider-clip/static/mathjax-settings.js"), MATHJAX_SETTINGS.to_string()),
        (shared.join("wider-clip-slides/conf.json"), slides),
        (shared.join("wider-clip-slides/index.html.j2"), SLIDES.to_string()),
        (shared.join("wider-clip-slides/chart.html.j2"), CHART.to_string()),
        (shared.join("wider-clip-slides/static/plotly.min.js"), plotly),
        (shared.join("wider-clip-slides/static/mathjax.js"), mathjax.clone()),
        (
            shared.join("wider-clip-slides/static/mathjax-settings.js"),
            MATHJAX_SETTINGS.replace(".jp-RenderedMarkdown", ".slides"),
        ),
        // JupyterLab exports with the server's settings, the command with nbconvert's.
        (settings.join("jupyter_nbconvert_config.json"), told.clone()),
        (settings.join("jupyter_server_config.json"), told),
    ];
    for (name, text) in reveal(&workbench.folder().join("venv"))? {
        files.push((shared.join("wider-clip-slides/static").join(name), text));
    }
    for (path, text) in files {
        if fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            write_atomic(&path, text.as_bytes())?;
        }
    }
    Ok(())
}

/// The files of reveal.js that slides need, by name, from the package of the environment that carries them.
fn reveal(venv: &Path) -> Result<Vec<(PathBuf, String)>> {
    let lib = venv.join("lib");
    let read = |path: &Path| fs::read_to_string(path).map_err(Error::io(path, "reading reveal.js"));
    let entries = |folder: &Path| -> Result<Vec<PathBuf>> {
        let found = fs::read_dir(folder).map_err(Error::io(folder, "looking for reveal.js"))?;
        Ok(found.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect())
    };
    let inside = "site-packages/sphinx_revealjs/_static/revealjs";
    let place = entries(&lib)?.into_iter().map(|python| python.join(inside)).find(|place| place.exists());
    let place = place.unwrap_or_else(|| lib.join("python3").join(inside));
    let whole = |text: String| text.replace("</script", "<\\/script");
    let mut files = vec![
        (PathBuf::from("reveal.js"), whole(read(&place.join("dist/reveal.js"))?)),
        (PathBuf::from("notes.js"), whole(read(&place.join("plugin/notes/notes.js"))?)),
        (PathBuf::from("reveal.css"), read(&place.join("dist/reset.css"))? + &read(&place.join("dist/reveal.css"))?),
    ];
    for theme in entries(&place.join("dist/theme"))? {
        if theme.extension().is_some_and(|kind| kind == "css") {
            // Each fetches its fonts by a rule of this kind.
            let text = read(&theme)?
                .lines()
                .filter(|line| !line.trim_start().starts_with("@import"))
                .collect::<Vec<_>>()
                .join("\n");
            files.push((Path::new("theme").join(theme.file_name().unwrap_or_default()), text));
        }
    }
    Ok(files)
}

/// What is shown where an output comes in several forms, the best first; in exports and in the report.
pub(super) const FORMS: [&str; 8] = [
    "application/vnd.plotly.v1+json",
    "text/html",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/markdown",
    "text/latex",
    "text/plain",
];

fn defaults() -> serde_json::Value {
    // Slides and PDF are kinds of HTML to nbconvert, and would take its template.
    json!({
        "NbConvertBase": { "display_data_priority": FORMS },
        "HTMLExporter": { "template_name": "wider-clip" },
        // The template looks for this address and puts the files in its place.
        "SlidesExporter": { "template_name": "wider-clip-slides", "reveal_url_prefix": "reveal" },
        "WebPDFExporter": { "template_name": "wider-clip" },
    })
}
