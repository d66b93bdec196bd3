//! Whether a pool has what a split needs, told in the words of its data set.

use super::{Shortage, study_counts};
use crate::error::{Error, Result};

/// Holds the pool of `dataset` against what a split for the label `budget` needs, before anything is drawn: the labels of
/// the pool's images, and the class names that they index.
///
/// # Errors
/// [`Error::Argument`] for no image, for a single class, and with [`Shortage::Fail`] for a class with too few images. It
/// names data set, class and budget, and says what to do.
///
/// ```
/// use wider_clip::splits::{Shortage, enough};
///
/// let classes = ["cat", "dog"].map(String::from);
/// let labels = [vec![0; 20], vec![1; 2]].concat();
/// let error = enough("pets", &classes, &labels, 10, Shortage::Fail).unwrap_err().to_string();
/// assert!(error.contains("at least 3 in every class of pets") && error.contains("2 in `dog`"));
/// ```
pub fn enough(dataset: &str, classes: &[String], labels: &[u32], budget: usize, shortage: Shortage) -> Result<()> {
    let mut counts = vec![0usize; classes.len()];
    for &label in labels {
        if let Some(count) = counts.get_mut(label as usize) {
            *count += 1;
        }
    }
    let present: Vec<usize> = (0..classes.len()).filter(|&class| counts[class] > 0).collect();
    match present.as_slice() {
        [] => {
            let expected = format!("at least 2 in the images that {dataset} is split from");
            return Err(Error::argument("classes", expected, "no image"));
        }
        [only] => {
            let expected = format!(
                "at least 2 in the images that {dataset} is split from, for a label budget of {budget}; add images of \
                 another class"
            );
            return Err(Error::argument("classes", expected, format!("one, `{}`", classes[*only])));
        }
        _ => {}
    }
    if shortage == Shortage::Cap {
        return Ok(());
    }
    let smallest = (0..classes.len()).min_by_key(|&class| counts[class]).unwrap_or(0);
    if budget >= LEAST_BUDGET && study_counts(budget, counts[smallest]).is_err() {
        let expected = format!(
            "at least {LEAST_IMAGES} in every class of {dataset} for a label budget of {budget}; add images, or leave \
             the class out"
        );
        return Err(Error::argument(
            "images per class",
            expected,
            format!("{} in `{}`", counts[smallest], classes[smallest]),
        ));
    }
    if budget < LEAST_BUDGET {
        let expected = format!("at least {LEAST_BUDGET} for {dataset}, so that a class has a training image");
        return Err(Error::argument("label budget", expected, budget.to_string()));
    }
    Ok(())
}

/// The smallest budget, and the smallest class, that leave a training image per class.
const LEAST_BUDGET: usize = 2;
const LEAST_IMAGES: usize = 3;
