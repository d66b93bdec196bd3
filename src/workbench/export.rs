//! What JupyterLab and nbconvert export: pages with their charts, that open without a network.
//!
//! nbconvert leaves plotly's form of a chart out and points at MathJax and RequireJS in the network. Here a template of our own,
//! beside nbconvert's in the project's environment, is the default: `File > Save and Export Notebook As > HTML` uses it, and
//! `jupyter nbconvert --to html` and `--to webpdf` do. Slides have charts too; reveal.js, which turns them, is what nbconvert says.

use super::{Workbench, report};
use crate::error::Result;
use crate::storage::write_atomic;
use serde_json::json;
use std::fs;

const CONF: &str = include_str!("template/export/conf.json");
const PAGE: &str = include_str!("template/export/index.html.j2");
const SLIDES: &str = include_str!("template/export/slides.html.j2");
const CHART: &str = include_str!("template/export/chart.html.j2");
const MATHJAX_SETTINGS: &str = include_str!("template/export/mathjax-settings.js");

/// Writes the templates and the settings that make them the default into the project's environment.
///
/// # Errors
/// [`crate::error::Error::Io`] where they cannot be written.
pub fn install(workbench: &Workbench) -> Result<()> {
    let shared = workbench.folder().join("venv/share/jupyter/nbconvert/templates");
    let settings = workbench.folder().join("venv/etc/jupyter");
    // What ends a script element can stand only in a string, where this means the same.
    let [plotly, mathjax] = report::libraries().map(|text| text.replace("</script", "<\\/script"));
    let slides = CONF.replace("\"lab\"", "\"reveal\"");
    let told = serde_json::to_string_pretty(&defaults()).unwrap_or_default();
    let files = [
        (shared.join("wider-clip/conf.json"), CONF.to_string()),
        (shared.join("wider-clip/index.html.j2"), PAGE.to_string()),
        (shared.join("wider-clip/chart.html.j2"), CHART.to_string()),
        (shared.join("wider-clip/static/plotly.min.js"), plotly.clone()),
        (shared.join("wider-clip/static/mathjax.js"), mathjax),
        (shared.join("wider-clip/static/mathjax-settings.js"), MATHJAX_SETTINGS.to_string()),
        (shared.join("wider-clip-slides/conf.json"), slides),
        (shared.join("wider-clip-slides/index.html.j2"), SLIDES.to_string()),
        (shared.join("wider-clip-slides/chart.html.j2"), CHART.to_string()),
        (shared.join("wider-clip-slides/static/plotly.min.js"), plotly),
        // JupyterLab exports with the server's settings, the command with nbconvert's.
        (settings.join("jupyter_nbconvert_config.json"), told.clone()),
        (settings.join("jupyter_server_config.json"), told),
    ];
    for (path, text) in files {
        if fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            write_atomic(&path, text.as_bytes())?;
        }
    }
    Ok(())
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
        "SlidesExporter": { "template_name": "wider-clip-slides" },
        "WebPDFExporter": { "template_name": "wider-clip" },
    })
}
