//! What assignments show of the project's own data with functions that somebody wrote: nothing that these do ends the cell.

use super::sheet::{Outcome, Sheet};
use crate::display::Table;
use crate::error::Result as OurResult;
use crate::metrics::correct;
use crate::ndarray::Array2;
use crate::probe::knn::Knn;
use crate::probe::labelled;
use crate::project::Project;
use crate::splits::{Split, grouped_split};
use linfa::traits::Fit;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// What `work` gives, or in words why it gives nothing: it is not written yet, it panicked, it takes too long.
pub(super) fn attempt<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let kept = Arc::new(Mutex::new(None));
    let put = kept.clone();
    let test = move || {
        let made = work();
        *put.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        Ok(())
    };
    let marks = Sheet::new("shown", 1.0).visible("on the project's data", test).marks();
    let made = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (made, marks.cases.first().map(|case| &case.outcome)) {
        (Some(made), _) => Ok(made),
        (None, Some(Outcome::NotWritten)) => Err("not written yet".into()),
        (None, Some(Outcome::Panicked(message))) => Err(format!("it panicked: {message}")),
        (None, _) => Err("it takes too long".into()),
    }
}

/// What `work` gives, where it gives something.
pub(super) fn given<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    attempt(work).ok()
}

/// A table with a word for a cell that could not be made, and with the reason alone where the data could not be read.
pub(super) fn table_or(caption: &str, header: &[&str], rows: OurResult<Vec<Vec<String>>>) -> Table {
    let (header, rows) = match rows {
        Ok(rows) => (header.iter().map(|name| name.to_string()).collect(), rows),
        Err(error) => (vec!["no table".to_string()], vec![vec![error.to_string()]]),
    };
    let rows = rows.into_iter().map(|row| row.into_iter().map(Into::into).collect()).collect();
    Table { caption: caption.into(), header, rows }
}

/// The classes that assignments look at.
const CLASSES: [&str; 5] = ["animal-mammal", "transport-ground", "sky-weather", "clothing", "food-fruit"];

/// Pictures of some classes of OpenEmoji, each as a few numbers.
pub(super) struct Emoji {
    /// Class of each picture, from 0.
    pub labels: Vec<u32>,
    /// Its family: one emoji in all styles.
    pub families: Vec<u32>,
    /// Grey on a grid of 8 x 8, from 0 to 1.
    pub grey: Vec<Vec<f64>>,
    /// Red, green and blue on a grid of 4 x 4.
    pub colour: Vec<Vec<f64>>,
}

impl Emoji {
    /// Reads and decodes them.
    pub fn read() -> OurResult<Emoji> {
        let set = Project::find()?.images("openemoji")?;
        let place =
            |label: u32| CLASSES.iter().position(|name| set.classes.get(label as usize).is_some_and(|c| c == name));
        let mut read = Emoji { labels: vec![], families: vec![], grey: vec![], colour: vec![] };
        let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
        let groups = set.groups.as_deref().unwrap_or(&set.ids);
        for (row, encoded) in set.read(0..set.len())?.into_iter().enumerate() {
            let Some(class) = place(set.labels[row]) else { continue };
            let picture = set.decode_alone(row, &encoded?)?;
            let next = numbers.len() as u32;
            read.labels.push(class as u32);
            read.families.push(*numbers.entry(&groups[row]).or_insert(next));
            let colour = grid(&picture, 8);
            read.grey.push(colour.chunks_exact(3).map(|rgb| rounded(rgb.iter().sum::<f64>() / 3.0)).collect());
            read.colour.push(grid(&picture, 4).into_iter().map(rounded).collect());
        }
        Ok(read)
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        CLASSES.len()
    }

    /// Whether the nearest training picture by `features` has the class of each test picture.
    pub fn right(&self, features: &[Vec<f64>], split: &Split) -> OurResult<Vec<bool>> {
        let train = labelled(matrix(features, &split.train), of(&self.labels, &split.train))?;
        let said = Knn::params(1).fit(&train)?.try_predict(matrix(features, &split.test).view())?;
        correct(&said.to_vec(), &of(&self.labels, &split.test))
    }
}

/// The entries at some places.
pub(super) fn of<T: Clone>(list: &[T], places: &[usize]) -> Vec<T> {
    places.iter().map(|&place| list[place].clone()).collect()
}

/// Some rows as the library takes them.
pub(super) fn matrix(rows: &[Vec<f64>], places: &[usize]) -> Array2<f32> {
    let width = rows.first().map_or(0, Vec::len);
    Array2::from_shape_fn((places.len(), width), |(i, j)| rows[places[i]][j] as f32)
}

/// What f32 holds exactly: the library and an answer see the same numbers.
fn rounded(x: f64) -> f64 {
    f64::from(x as f32)
}

/// Mean red, green and blue, from 0 to 1, of `side` x `side` fields.
fn grid(picture: &image::RgbImage, side: usize) -> Vec<f64> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let (mut sums, mut counts) = (vec![0.0; 3 * side * side], vec![0.0; side * side]);
    for (x, y, pixel) in picture.enumerate_pixels() {
        let field = (y as usize * side / height) * side + x as usize * side / width;
        counts[field] += 1.0;
        for (channel, &value) in pixel.0.iter().enumerate() {
            sums[3 * field + channel] += f64::from(value) / 255.0;
        }
    }
    (0..sums.len()).map(|i| if counts[i / 3] > 0.0 { sums[i] / counts[i / 3] } else { 0.0 }).collect()
}

/// Pictures as rows of 8 x 8 colours from 0 to 1, with their classes.
pub(super) struct Pictures {
    pub train: (Vec<Vec<f64>>, Vec<u32>),
    pub test: (Vec<Vec<f64>>, Vec<u32>),
}

/// OpenEmoji in small: the library's split by families with a budget of 10, of the first classes, and of the test images one in
/// `every`.
pub(super) fn pictures(classes: usize, every: usize) -> OurResult<Pictures> {
    let project = Project::find()?;
    let set = project.images("openemoji")?;
    let split = grouped_split(&set.labels, set.groups.as_deref().unwrap_or(&[]), set.classes.len(), 10, 0)?;
    let own = |images: &[usize]| -> Vec<usize> {
        images.iter().copied().filter(|&image| (set.labels[image] as usize) < classes).collect()
    };
    let (train, test) = (own(&split.train), own(&split.test).into_iter().step_by(every).collect::<Vec<_>>());
    let wanted: BTreeSet<usize> = train.iter().chain(&test).copied().collect();
    let mut small = vec![Vec::new(); set.len()];
    for (image, bytes) in set.read(0..set.len())?.into_iter().enumerate().filter(|(image, _)| wanted.contains(image)) {
        let picture = image::imageops::thumbnail(&*set.decode(image, &bytes?)?, 8, 8);
        small[image] = picture.as_raw().iter().map(|&value| f64::from(value) / 255.0).collect();
    }
    let part = |images: &[usize]| {
        (
            images.iter().map(|&image| small[image].clone()).collect(),
            images.iter().map(|&image| set.labels[image]).collect(),
        )
    };
    Ok(Pictures { train: part(&train), test: part(&test) })
}

/// The part that is right, in words.
pub(super) fn percent_right(found: &[u32], truth: &[u32]) -> String {
    let right = found.iter().zip(truth).filter(|(a, b)| a == b).count();
    format!("{:.1}%", 100.0 * right as f64 / truth.len().max(1) as f64)
}
