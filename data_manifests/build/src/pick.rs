//! From drawings to rows: which drawings are kept, told the same way for both data sets.
//!
//! In this order: a drawing of one colour is set aside; of pictures equal pixel for pixel the first is kept; a split
//! group (`key`) has one label, that of most of its pictures; a label needs a minimum of pictures.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use crate::raster::{Picture, draw_all};
use crate::table::Row;

/// A drawing that may become a row.
pub struct Candidate {
    /// Value of the `style` column.
    pub style: String,
    /// What orders the drawings of one label: the emoji or icon that it shows.
    pub subject: String,
    /// What a split must keep together.
    pub key: String,
    /// Class name.
    pub label: String,
    /// SVG document.
    pub svg: String,
    /// Text columns.
    pub texts: Vec<String>,
}

/// What became of the candidates.
pub struct Picked {
    /// Kept, in file order.
    pub rows: Vec<Row>,
    /// Names of the labels kept.
    pub label_names: Vec<String>,
    /// For each row: its style and split group.
    pub tags: Vec<(String, String)>,
    /// For each style and reason, how many were left out.
    pub left_out: BTreeMap<(String, &'static str), usize>,
    /// Lines that name what was set aside one by one.
    pub set_aside: Vec<String>,
    /// Labels too small, with their pictures.
    pub too_small: BTreeMap<String, usize>,
}

/// Draws and picks. `label_order` lists all class names in the order that labels are numbered in.
pub fn pick(
    mut candidates: Vec<Candidate>,
    label_order: &[String],
    min_images: usize,
) -> Result<Picked> {
    let rank: BTreeMap<&str, usize> = label_order
        .iter()
        .enumerate()
        .map(|(i, name)| (name.as_str(), i))
        .collect();
    candidates.sort_by(|a, b| {
        let key = |c: &Candidate| {
            (
                rank.get(c.label.as_str()).copied(),
                c.subject.clone(),
                c.style.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    let svgs: Vec<&str> = candidates.iter().map(|c| c.svg.as_str()).collect();
    let pictures = draw_all(&svgs)?;
    let mut picked = Picked {
        rows: Vec::new(),
        label_names: Vec::new(),
        tags: Vec::new(),
        left_out: BTreeMap::new(),
        set_aside: Vec::new(),
        too_small: BTreeMap::new(),
    };
    let mut kept = distinct(candidates, pictures, &mut picked);
    one_label_a_key(&mut kept, &mut picked);

    let mut per_label: BTreeMap<&str, usize> = BTreeMap::new();
    for (candidate, _) in &kept {
        *per_label.entry(&candidate.label).or_default() += 1;
    }
    let large = |name: &&String| {
        per_label
            .get(name.as_str())
            .is_some_and(|&n| n >= min_images)
    };
    picked.label_names = label_order.iter().filter(large).cloned().collect();
    picked.too_small = per_label
        .iter()
        .filter(|(_, n)| **n < min_images)
        .map(|(name, n)| ((*name).to_owned(), *n))
        .collect();

    let mut paths = BTreeSet::new();
    for (candidate, picture) in kept {
        let Some(label) = picked
            .label_names
            .iter()
            .position(|name| *name == candidate.label)
        else {
            *picked
                .left_out
                .entry((candidate.style, "label too small"))
                .or_default() += 1;
            continue;
        };
        let path = format!("{}/{}.webp", candidate.style, candidate.subject);
        ensure!(paths.insert(path.clone()), "two images are called {path}");
        picked.rows.push(Row {
            image: picture.bytes,
            path,
            label,
            texts: candidate.texts,
        });
        picked.tags.push((candidate.style, candidate.key));
    }
    Ok(picked)
}

/// Sets aside what is blank or equal, pixel for pixel, to a picture before it.
fn distinct(
    candidates: Vec<Candidate>,
    pictures: Vec<Option<Picture>>,
    picked: &mut Picked,
) -> Vec<(Candidate, Picture)> {
    let mut seen: BTreeMap<[u8; 32], String> = BTreeMap::new();
    let mut kept = Vec::new();
    for (candidate, picture) in candidates.into_iter().zip(pictures) {
        let name = format!("{}/{}", candidate.style, candidate.subject);
        let reason = match &picture {
            None => {
                picked.set_aside.push(format!("{name}: one colour only"));
                "one colour only"
            }
            Some(p) => match seen.get(&p.digest) {
                Some(first) => {
                    picked
                        .set_aside
                        .push(format!("{name}: the same picture as {first}"));
                    "same picture as another"
                }
                None => {
                    seen.insert(p.digest, name);
                    kept.extend(picture.map(|p| (candidate, p)));
                    continue;
                }
            },
        };
        *picked
            .left_out
            .entry((candidate.style, reason))
            .or_default() += 1;
    }
    kept
}

/// Keeps, of every split group, the label with the most pictures; the earlier label where two have as many.
fn one_label_a_key(kept: &mut Vec<(Candidate, Picture)>, picked: &mut Picked) {
    let mut counts: BTreeMap<String, Vec<(String, usize)>> = BTreeMap::new();
    for (candidate, _) in kept.iter() {
        let labels = counts.entry(candidate.key.clone()).or_default();
        match labels
            .iter_mut()
            .find(|(label, _)| *label == candidate.label)
        {
            Some((_, n)) => *n += 1,
            None => labels.push((candidate.label.clone(), 1)),
        }
    }
    kept.retain(|(candidate, _)| {
        let labels = &counts[&candidate.key];
        let most = labels.iter().map(|(_, n)| *n).max();
        let winner = labels.iter().find(|(_, n)| Some(*n) == most);
        let keep = winner.is_some_and(|(label, _)| *label == candidate.label);
        if !keep {
            let name = format!("{}/{}", candidate.style, candidate.subject);
            picked.set_aside.push(format!(
                "{name}: its split group {} has another label",
                candidate.key
            ));
            *picked
                .left_out
                .entry((candidate.style.clone(), "split group of another label"))
                .or_default() += 1;
        }
        keep
    });
}
