//! Two forms of a learning curve, each fitted by least squares: one that levels off soon, one that goes on for long.

use crate::error::{Error, Result};

/// The exponents that a power law may have, both ends included. At the lower one it is a straight line in `ln n` as far
/// as any data can tell.
const EXPONENTS: (f64, f64) = (0.01, 2.0);

/// Exponents tried before the best one is refined.
const TRIED: usize = 40;

/// A power law: accuracy = `ceiling - gap (n / reference)^-exponent`.
///
/// The usual form of a learning curve (Cortes et al. 1993; Hestness et al. 2017; Viering and Loog 2022).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerLaw {
    /// Accuracy with images without end, at most 1.
    pub ceiling: f64,
    /// What is lacking to it at the size `reference`, at least 0.
    pub gap: f64,
    /// How fast the gap closes, 0.01 to 2.
    pub exponent: f64,
    /// The largest size fitted to.
    pub reference: f64,
}

impl PowerLaw {
    /// Minimises the sum of `weights (accuracy - law)^2` with `ceiling` at most 1, `gap` at least 0, `exponent` 0.01
    /// to 2.
    ///
    /// For each exponent the best ceiling and gap are a line's; the exponent is found where the derivative of what is
    /// left changes its sign. Accuracies that do not rise give a gap of 0.
    ///
    /// # Errors
    /// [`Error::Argument`] for lists of different lengths, fewer than three sizes, equal sizes, a size or weight that
    /// is not above 0 and finite, an accuracy outside 0 to 1.
    ///
    /// ```
    /// use wider_clip::metrics::PowerLaw;
    ///
    /// // Four times the images halve what is lacking to 0.9.
    /// let law = PowerLaw::fit(&[25.0, 100.0, 400.0], &[0.5, 0.7, 0.8], &[1.0; 3])?;
    /// assert!((law.ceiling - 0.9).abs() < 1e-9 && (law.exponent - 0.5).abs() < 1e-9);
    /// assert!((law.at(1600.0) - 0.85).abs() < 1e-9);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn fit(sizes: &[f64], accuracies: &[f64], weights: &[f64]) -> Result<PowerLaw> {
        check(sizes, accuracies, weights, 3)?;
        Ok(PowerLaw::fitted(sizes, accuracies, weights))
    }

    /// The same of what was checked.
    pub(super) fn fitted(sizes: &[f64], accuracies: &[f64], weights: &[f64]) -> PowerLaw {
        let reference = sizes.iter().copied().fold(0.0, f64::max);
        let logs: Vec<f64> = sizes.iter().map(|size| (size / reference).ln()).collect();
        let problem = Problem { logs: &logs, accuracies, weights, reference };
        let step = (EXPONENTS.1 / EXPONENTS.0).powf(1.0 / (TRIED - 1) as f64);
        let exponent = |i: usize| (EXPONENTS.0 * step.powf(i as f64)).clamp(EXPONENTS.0, EXPONENTS.1);
        let left: Vec<f64> = (0..TRIED).map(|i| problem.left(&problem.law(exponent(i)))).collect();
        let best = (0..TRIED).fold(0, |best, i| if left[i] < left[best] { i } else { best });
        // The best one is above the best that was tried where less would be left with a little more, else below it.
        let above = problem.slope(&problem.law(exponent(best))) < 0.0;
        let (mut low, mut high) = match above {
            true => (exponent(best), exponent(best + 1)),
            false => (exponent(best.saturating_sub(1)), exponent(best)),
        };
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            let law = problem.law(middle);
            // A flat law has no slope, and is none of the best.
            match if law.gap == 0.0 { !above } else { problem.slope(&law) < 0.0 } {
                true => low = middle,
                false => high = middle,
            }
        }
        problem.law(0.5 * (low + high))
    }

    /// The accuracy at a size above 0; below 0 where the law is followed far down.
    pub fn at(&self, size: f64) -> f64 {
        self.ceiling - self.gap * (-self.exponent * (size / self.reference).ln()).exp()
    }
}

/// What a power law is fitted to; `logs` are of the sizes over the largest one.
struct Problem<'a> {
    logs: &'a [f64],
    accuracies: &'a [f64],
    weights: &'a [f64],
    reference: f64,
}

impl Problem<'_> {
    /// The best law of an exponent: a line in `x = n^-exponent`, held to its bounds.
    fn law(&self, exponent: f64) -> PowerLaw {
        let (mut w, mut wx, mut wy, mut wxx, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for ((log, y), weight) in self.logs.iter().zip(self.accuracies).zip(self.weights) {
            // Less 1, so that nothing cancels for a small exponent.
            let x = (-exponent * log).exp_m1();
            (w, wx, wy) = (w + weight, wx + weight * x, wy + weight * y);
            (wxx, wxy) = (wxx + weight * x * x, wxy + weight * x * y);
        }
        let (mean_x, mean_y) = (wx / w, wy / w);
        let mut gap = -(wxy - wx * mean_y) / (wxx - wx * mean_x);
        // Not above 0, or not a number.
        if gap.is_nan() || gap < 0.0 {
            gap = 0.0;
        }
        let mut ceiling = mean_y + gap * (mean_x + 1.0);
        if ceiling > 1.0 {
            ceiling = 1.0;
            // Least squares of 1 - y on x + 1.
            gap = ((w + wx) - (wy + wxy)) / (w + 2.0 * wx + wxx);
        }
        PowerLaw { ceiling, gap, exponent, reference: self.reference }
    }

    /// The sum of squares that a law leaves.
    fn left(&self, law: &PowerLaw) -> f64 {
        let of = |((log, y), weight): ((&f64, &f64), &f64)| {
            weight * (law.ceiling - law.gap * (-law.exponent * log).exp() - y).powi(2)
        };
        self.logs.iter().zip(self.accuracies).zip(self.weights).map(of).sum()
    }

    /// Half its derivative by the exponent: ceiling and gap are at their best, and do not enter.
    fn slope(&self, law: &PowerLaw) -> f64 {
        let of = |((log, y), weight): ((&f64, &f64), &f64)| {
            let lacking = law.gap * (-law.exponent * log).exp();
            weight * (law.ceiling - lacking - y) * lacking * log
        };
        self.logs.iter().zip(self.accuracies).zip(self.weights).map(of).sum()
    }
}

/// A straight line of `ln(accuracy / (1 - accuracy))` over `ln n`: each doubling multiplies the odds by the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogitLine {
    /// Rise of the log-odds with `ln n`; below 0 where accuracies fall.
    pub slope: f64,
    /// Log-odds where n is 1.
    pub intercept: f64,
}

impl LogitLine {
    /// Minimises the sum of `weights (logit of accuracy - line)^2`.
    ///
    /// # Errors
    /// As for [`PowerLaw::fit`], with two sizes enough, and for an accuracy of 0 or 1, which has no logit.
    ///
    /// ```
    /// use wider_clip::metrics::LogitLine;
    ///
    /// // Odds of 1, 2, 4.
    /// let line = LogitLine::fit(&[10.0, 20.0, 40.0], &[0.5, 2.0 / 3.0, 0.8], &[1.0; 3])?;
    /// assert!((line.slope - 1.0).abs() < 1e-12 && (line.at(80.0) - 8.0 / 9.0).abs() < 1e-12);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn fit(sizes: &[f64], accuracies: &[f64], weights: &[f64]) -> Result<LogitLine> {
        check(sizes, accuracies, weights, 2)?;
        if let Some(whole) = accuracies.iter().find(|&&accuracy| accuracy == 0.0 || accuracy == 1.0) {
            return Err(Error::argument("accuracy", "above 0 and below 1, to have a logit", whole.to_string()));
        }
        Ok(LogitLine::fitted(sizes, accuracies, weights))
    }

    /// The same of what was checked.
    pub(super) fn fitted(sizes: &[f64], accuracies: &[f64], weights: &[f64]) -> LogitLine {
        let points = || sizes.iter().zip(accuracies).zip(weights).map(|((n, p), w)| (n.ln(), (p / (1.0 - p)).ln(), *w));
        let total: f64 = weights.iter().sum();
        let (mut mean_x, mut mean_y) = (0.0, 0.0);
        for (x, y, w) in points() {
            (mean_x, mean_y) = (mean_x + w * x / total, mean_y + w * y / total);
        }
        let (mut xx, mut xy) = (0.0, 0.0);
        for (x, y, w) in points() {
            (xx, xy) = (xx + w * (x - mean_x).powi(2), xy + w * (x - mean_x) * (y - mean_y));
        }
        let slope = xy / xx;
        LogitLine { slope, intercept: mean_y - slope * mean_x }
    }

    /// The accuracy at a size above 0.
    pub fn at(&self, size: f64) -> f64 {
        1.0 / (1.0 + (-(self.intercept + self.slope * size.ln())).exp())
    }
}

/// Holds points against what both forms ask.
pub(super) fn check(sizes: &[f64], accuracies: &[f64], weights: &[f64], least: usize) -> Result<()> {
    for (what, found) in [("accuracies", accuracies.len()), ("weights", weights.len())] {
        if found != sizes.len() {
            return Err(Error::argument(what, format!("{}, one a size", sizes.len()), found.to_string()));
        }
    }
    for (what, numbers) in [("size", sizes), ("weight", weights)] {
        if let Some(number) = numbers.iter().find(|number| !(number.is_finite() && **number > 0.0)) {
            return Err(Error::argument(what, "a finite number above 0", number.to_string()));
        }
    }
    for (size, accuracy) in sizes.iter().zip(accuracies) {
        if !(0.0..=1.0).contains(accuracy) {
            return Err(Error::argument("accuracy", "0 to 1", format!("{accuracy} at size {size}")));
        }
    }
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::argument("sizes", "each once", format!("{} twice", pair[0])));
    }
    if sizes.len() < least {
        return Err(Error::argument("sizes", format!("at least {least}"), sizes.len().to_string()));
    }
    Ok(())
}
