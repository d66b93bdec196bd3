//! What `jupyter nbconvert` makes of a saved notebook with the project's templates, opened in a browser that has no network.

#[path = "support/require.rs"]
mod require;

use std::path::{Path, PathBuf};
use std::process::Command;
use wider_clip::error::Result;
use wider_clip::workbench::page_check::outside_addresses;
use wider_clip::workbench::{Workbench, browser, setup};

/// Goes to the first slide with a chart and tells what is there.
const TURN: &str = r#"(async () => {
  const pause = milliseconds => new Promise(done => setTimeout(done, milliseconds));
  const columns = Reveal.getHorizontalSlides(), at = [...document.querySelectorAll(".slides > section")];
  const plots = at.findIndex(column => column.querySelector(".js-plotly-plot"));
  Reveal.slide(plots, 0);
  await pause(600);
  const slide = Reveal.getCurrentSlide(), chart = document.querySelector(".slides > section.present .js-plotly-plot");
  return {
    columns: columns.length, pages: Reveal.getTotalSlides(), wide: chart.getBoundingClientRect().width,
    notes: Reveal.hasPlugin("notes"), heading: slide.closest(".slides > section").querySelector("h1, h2").textContent,
  };
})()"#;

#[test]
fn slides_and_pages_need_no_network() -> Result<()> {
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip"))?;
    setup::ensure_python(&workbench)?;
    let folder = tempfile::tempdir().expect("a folder");
    let notebook = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks/01_representations.ipynb");
    let export = |form: &str| -> PathBuf {
        let mut command = Command::new(workbench.python());
        command.args(["-m", "jupyter", "nbconvert", "--to", form, "--output-dir"]).arg(folder.path()).arg(&notebook);
        let output = command.envs(workbench.jupyter_environment()).output().expect("nbconvert runs");
        assert!(output.status.success(), "{form}: {}", String::from_utf8_lossy(&output.stderr));
        let ending = if form == "slides" { "slides.html" } else { "html" };
        folder.path().join(format!("01_representations.{ending}"))
    };
    let pages = ["html", "slides"].map(export);
    for page in &pages {
        let text = std::fs::read_to_string(page).expect("reads");
        // plotly.js names addresses that only maps of the world would fetch.
        let outside: Vec<String> =
            outside_addresses(&text).into_iter().filter(|at| !at.starts_with("script: ")).collect();
        assert!(outside.is_empty() && text.contains("application/json"), "{}: {outside:?}", page.display());
    }
    if !require::require("browser") {
        return Ok(());
    }
    let page = browser::ask(&workbench, &pages[..1], "1")?.remove(0);
    assert_eq!((page.requests, page.errors), (Vec::new(), Vec::new()));
    let slides = browser::ask(&workbench, &pages[1..], TURN)?.remove(0);
    assert_eq!((&slides.requests, &slides.errors), (&Vec::new(), &Vec::new()));
    let answer = &slides.answer;
    let number = |name: &str| answer[name].as_f64().unwrap_or_default();
    // A heading begins a slide; charts and tables stand below it.
    assert!(number("columns") >= 5.0 && number("pages") > 1.5 * number("columns"), "{answer}");
    assert!(
        answer["notes"] == true && answer["heading"].as_str().is_some_and(|text| text.contains("Results")),
        "{answer}"
    );
    assert!(number("wide") > 300.0, "a chart that has a size: {answer}");
    Ok(())
}
