//! How learning rate, teacher momentum and temperatures move during a run.

/// A value that rises in a line over the first `warm_up` steps to `start` and falls along half a cosine to `end` at step
/// `total` (Loshchilov and Hutter 2017, <https://arxiv.org/abs/1608.03983>). Steps count from 0; the first one has
/// `start / warm_up`. From `total` on it is `end`.
///
/// ```
/// use wider_clip::training::schedule::cosine;
///
/// assert_eq!(cosine(1.0, 0.0, 4, 12, 0), 0.25);
/// assert_eq!(cosine(1.0, 0.0, 4, 12, 4), 1.0);
/// assert!((cosine(1.0, 0.0, 4, 12, 8) - 0.5).abs() < 1e-12);
/// assert_eq!(cosine(1.0, 0.0, 4, 12, 12), 0.0);
/// ```
pub fn cosine(start: f64, end: f64, warm_up: u64, total: u64, step: u64) -> f64 {
    if step < warm_up {
        return start * (step + 1) as f64 / warm_up as f64;
    }
    if step >= total {
        return end;
    }
    let way = (step - warm_up) as f64 / (total - warm_up) as f64;
    end + (start - end) * 0.5 * (1.0 + (std::f64::consts::PI * way).cos())
}

/// A value that goes from `start` to `end` in a line over `steps` steps and stays there.
///
/// ```
/// use wider_clip::training::schedule::line;
///
/// assert_eq!(line(0.0, 1.0, 4, 1), 0.25);
/// assert_eq!(line(0.0, 1.0, 4, 9), 1.0);
/// ```
pub fn line(start: f64, end: f64, steps: u64, step: u64) -> f64 {
    if step >= steps { end } else { start + (end - start) * step as f64 / steps as f64 }
}

/// A learning rate by step.
///
/// ```
/// use wider_clip::training::Schedule;
///
/// let rate = Schedule::Cosine { highest: 1.0, last: 0.0, warm_up: 4, steps: 12 };
/// assert_eq!((rate.at(0), rate.at(4), rate.at(12)), (0.25, 1.0, 0.0));
/// assert_eq!(Schedule::Constant(0.1).at(7), 0.1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// The same at every step.
    Constant(f64),
    /// [`cosine`] from `highest` to `last`.
    Cosine {
        /// After the warm-up.
        highest: f64,
        /// At the end.
        last: f64,
        /// Steps of the rise.
        warm_up: u64,
        /// Steps to the end, the rise included.
        steps: u64,
    },
    /// [`line`] from `start` to `end`.
    Line {
        /// At the first step.
        start: f64,
        /// After `steps`.
        end: f64,
        /// Steps to the end.
        steps: u64,
    },
}

impl Schedule {
    /// The rate of a step, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        match *self {
            Schedule::Constant(rate) => rate,
            Schedule::Cosine { highest, last, warm_up, steps } => cosine(highest, last, warm_up, steps, step),
            Schedule::Line { start, end, steps } => line(start, end, steps, step),
        }
    }

    /// Every field with its name.
    pub fn fingerprint(&self) -> String {
        match self {
            Schedule::Constant(rate) => format!("constant {rate}"),
            Schedule::Cosine { highest, last, warm_up, steps } => {
                format!("cosine from {highest} to {last}, warm-up {warm_up}, steps {steps}")
            }
            Schedule::Line { start, end, steps } => format!("line from {start} to {end}, steps {steps}"),
        }
    }
}
