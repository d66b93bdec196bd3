//! The study's pairs on a page from disk: the slider moves the bars, with no network.

#[path = "support/hostile.rs"]
#[allow(dead_code)]
mod hostile;
#[path = "support/require.rs"]
mod require;

use hostile::{Answer, notebook, path_of};
use std::path::Path;
use wider_clip::prelude::*;
use wider_clip::workbench::{Workbench, browser, report, setup};

/// Presses the slider's rail from its left end to its right end and says how long the first bars are then.
const SLIDE: &str = r#"(async () => {
  const pause = milliseconds => new Promise(done => setTimeout(done, milliseconds));
  const plot = document.querySelector(".js-plotly-plot");
  const traces = plot.data.map((trace, i) => [trace, i]).filter(([trace]) => trace.error_y).map(([, i]) => i);
  const bars = () => traces.map(i => plot._fullData[i].error_y.array[0] + plot._fullData[i].error_y.arrayminus[0]);
  const drawn = () => [...plot.querySelectorAll(".yerror")].reduce((sum, bar) => sum + bar.getBBox().height, 0);
  const said = () => plot.querySelector(".slider-labels, .slider-label")?.textContent ?? "";
  const rail = plot.querySelector(".slider-rail-touch-rect");
  const box = rail.getBoundingClientRect();
  const found = [];
  for (const part of [0.001, 0.5, 0.999]) {
    const at = { clientX: box.left + part * box.width, clientY: box.top + box.height / 2, bubbles: true, view: window };
    rail.dispatchEvent(new MouseEvent("mousedown", at));
    window.dispatchEvent(new MouseEvent("mouseup", at));
    document.dispatchEvent(new MouseEvent("mouseup", at));
    await pause(400);
    found.push({ bars: bars(), drawn: drawn(), text: plot.textContent });
  }
  return found;
})()"#;

#[test]
fn the_slider_widens_the_bars_without_a_network() -> Result<()> {
    if !require::require("browser") {
        return Ok(());
    }
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip"))?;
    setup::ensure_python(&workbench)?;
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "default")?;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("notebooks")).expect("creates");
    let chart = study_drift_chart(&project, "fmow")?;
    let content = [
        ("application/vnd.plotly.v1+json".to_string(), chart.to_json()),
        ("text/plain".to_string(), chart.to_text().to_string()),
    ];
    let cells = [Answer { stdout: Vec::new(), content: content.into_iter().collect() }];
    std::fs::write(path_of(folder.path(), "01_pairs.ipynb"), notebook(&cells, "x").to_string()).expect("writes");
    let pages = report::write_pages(&workbench, "smoke", folder.path())?;
    let visit = browser::ask(&workbench, &pages[..1], SLIDE)?.remove(0);
    assert_eq!(visit.complaints(), Vec::<String>::new());
    assert_eq!((visit.charts, visit.drawn), (1, 1));
    let at = |step: usize| &visit.answer[step];
    let bars = |step: usize| -> Vec<f64> {
        at(step)["bars"].as_array().into_iter().flatten().filter_map(|bar| bar.as_f64()).collect()
    };
    // Nine models, probes and fine-tuned ones apart.
    assert_eq!(bars(0).len(), 18, "{:?}", visit.answer);
    for step in [1, 2] {
        assert!(bars(step).iter().zip(bars(step - 1)).all(|(now, before)| *now > 1.5 * before), "{:?}", visit.answer);
        assert!(at(step)["drawn"].as_f64() > at(step - 1)["drawn"].as_f64(), "drawn longer: {:?}", visit.answer);
    }
    let says = |step: usize, effect: &str| {
        at(step)["text"].as_str().is_some_and(|text| text.contains(&format!("images that count as one: {effect}")))
    };
    assert!(says(0, "1") && says(1, "9") && says(2, "100"), "{:?}", visit.answer);
    Ok(())
}
