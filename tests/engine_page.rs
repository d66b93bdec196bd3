//! The page of a run, opened in a browser that has no network.

#[path = "support/require.rs"]
mod require;
#[path = "support/small_job.rs"]
mod small_job;

use small_job::{EPOCHS, job, place};
use std::path::Path;
use std::process::Command;
use wider_clip::error::Result;
use wider_clip::training::{EarlyStopping, Place, Plan, Schedule, train};
use wider_clip::workbench::browser;

/// What the page is once its scripts have run, and what the browser had to say.
#[track_caller]
fn opened(page: &Path, width: u32) -> Option<(String, String)> {
    if !require::require("browser") {
        return None;
    }
    let program = browser::find().expect("it is here");
    let profile = tempfile::tempdir().expect("a folder");
    // No name resolves and no proxy answers. Root has no sandbox.
    let output = Command::new(program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args([
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--proxy-server=http://127.0.0.1:9",
            "--proxy-bypass-list=<-loopback>",
        ])
        .args(["--allow-file-access-from-files", "--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},900"))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("a browser that starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((text(&output.stdout), text(&output.stderr)))
}

#[test]
fn the_page_of_a_run_draws_its_charts_without_a_network() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut job = job(true);
    let plan = Plan::by_epochs(40, &EPOCHS, Schedule::Constant(3e-3));
    let plan = Plan { stopping: Some(EarlyStopping::new("val_loss", 3)), ..plan };
    let page = folder.path().join("live.html");
    let read = || std::fs::read_to_string(&page).expect("a page");

    train(&mut job, &plan, &Place { stop_after: Some(9), ..place(folder.path()) })?;
    let html = read();
    assert!(html.contains("66 of 880 images; this page reloads every 10 seconds"), "{html}");
    assert!(html.contains("http-equiv=\"refresh\" content=\"10\"") && html.contains("name=\"viewport\""));
    assert_eq!(html.matches("src=").count(), 1, "one file beside it");
    assert!(!html.contains("http://") && !html.contains("https://") && html.len() < 50_000);
    assert!(html.contains("cross-entropy (nats)") && html.contains("right (%)") && html.contains("images drawn"));
    let script = std::fs::read_to_string(folder.path().join("plotly.min.js")).expect("a script");
    assert!(script.len() > 1_000_000 && !script.contains("<script type"));

    train(&mut job, &plan, &place(folder.path()))?;
    let html = read();
    assert!(html.contains("stopped early: no better val_loss in 3 measures") && !html.contains("http-equiv"), "{html}");
    let Some((drawn, said)) = opened(&page, 1000) else { return Ok(()) };
    assert_eq!(drawn.matches("<figure class=\"chart\"").count(), 2);
    // Each chart has a layer of its own for each of three lines' names and points; here the first of its drawings counts.
    assert_eq!(drawn.matches("class=\"plot-container plotly\"").count(), 2, "{said}");
    assert_eq!(drawn.matches("class=\"trace scatter").count(), 3, "two lines and one");
    assert!(!said.contains("CONSOLE"), "{said}");

    // On a phone nothing must be pushed sideways: the page says how wide it is, in a frame as wide as a phone.
    let frame = folder.path().join("phone.html");
    let measure = "<iframe src=\"live.html\" style=\"border:0;width:390px;height:844px\"></iframe>\
                   <script>addEventListener('load', () => setTimeout(() => { document.title = 'width ' + \
                   document.querySelector('iframe').contentDocument.documentElement.scrollWidth; }, 500));</script>";
    std::fs::write(&frame, measure).expect("a file");
    let Some((drawn, said)) = opened(&frame, 500) else { return Ok(()) };
    assert!(drawn.contains("<title>width 390</title>"), "{drawn}\n{said}");
    Ok(())
}
