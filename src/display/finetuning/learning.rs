//! Losses by epoch.

use crate::display::chart::{Chart, symbol};
use crate::display::text::{label, plain, title};
use crate::experiments::finetuning::Tuned;
use plotly::common::{DashType, Line, Marker, Mode, Title};
use plotly::layout::{Axis, Legend, Margin};
use plotly::{Layout, Plot, Scatter};
use std::fmt::Write;

/// Training loss (dashed) and validation loss (solid) of some runs by epoch. A filled mark stands at the lowest validation loss,
/// an open one at the last epoch: where early stopping ended the run, they are as far apart as its patience.
pub fn learning_chart(about: &str, runs: &[(&str, &Tuned)]) -> Chart {
    let mut plot = Plot::new();
    let mut text = format!("{}\ncross-entropy (nats) against epochs", plain(about));
    for (name, tuned) in runs {
        let look = super::method_look(&tuned.run.method);
        let steps = tuned.job.epochs().steps().max(1) as f64;
        let by_epoch = |metric: &str| -> (Vec<f64>, Vec<f64>) {
            let of_metric = tuned.curve.rows().iter().filter(|row| row.metric == metric);
            of_metric.map(|row| (row.step as f64 / steps, row.value)).unzip()
        };
        let line = |dash: DashType| Line::new().color(look.colour.clone()).dash(dash).width(2.0);
        let (x, y) = by_epoch("loss");
        let trained = Scatter::new(x, y).name(label(&format!("{name}: training"))).mode(Mode::Lines);
        plot.add_trace(trained.line(line(DashType::Dash)));
        let (x, y) = by_epoch("val_loss");
        let last = x.last().copied().zip(y.last().copied());
        let validated =
            Scatter::new(x.clone(), y.clone()).name(label(&format!("{name}: validation"))).mode(Mode::Lines);
        plot.add_trace(validated.line(line(DashType::Solid)));
        let best = tuned.run.best_epoch.and_then(|best| {
            let at = x.iter().position(|epoch| *epoch >= best as f64)?;
            Some((x[at], y[at]))
        });
        let _ = write!(text, "\n{}:", plain(name));
        for (what, point, open) in [("lowest validation loss", best, false), ("last epoch", last, true)] {
            let Some((epoch, loss)) = point else { continue };
            let mark = Marker::new().color(look.colour.clone()).symbol(symbol(&look, open)).size(12);
            let point = Scatter::new(vec![epoch], vec![loss]).name(label(&format!("{name}: {what}")));
            plot.add_trace(point.mode(Mode::Markers).marker(mark));
            let _ = write!(text, " {what} {loss:.3} at epoch {epoch:.0};");
        }
        let _ = write!(text, " {}", plain(&tuned.run.ended));
    }
    let axis = |name: &str| Axis::new().title(Title::with_text(name)).grid_color("#e3e3e3").zero_line(false);
    plot.set_layout(
        Layout::new()
            .title(Title::with_text(title(about)))
            .x_axis(axis("epoch"))
            .y_axis(axis("cross-entropy (nats)"))
            .legend(Legend::new())
            .plot_background_color("#ffffff")
            .margin(Margin::new().left(70).right(20).top(60).bottom(60))
            .height(440),
    );
    Chart::new(plot, text)
}
