//! Confused pairs, domains, pictures to label next, and how the report was made.

use super::{picture, short};
use crate::display::{Cell, Gallery, Table};
use crate::metrics::Interval;
use crate::own::{Compared, HeldOut, Kept, OfDomain, Own, Said};
use crate::progress::thousands;
use std::collections::BTreeMap;

/// Pairs of classes that a gallery shows, and pictures of each.
const PAIRS: (usize, usize) = (8, 6);
/// Pictures to label next that a gallery shows.
const NEXT: usize = 24;

/// The pairs of classes that are taken for each other most often, as pictures: the label, and what was said.
pub fn confused_gallery(own: &Own, compared: &Compared, held_out: &HeldOut) -> Gallery {
    let mut pairs: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for (at, (&label, &said)) in compared.labels.iter().zip(&held_out.said).enumerate() {
        if label != said && compared.measured[at] {
            pairs.entry((label, said)).or_default().push(at);
        }
    }
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_by_key(|(pair, images)| (std::cmp::Reverse(images.len()), *pair));
    let name = |class: u32| &own.set.classes[class as usize];
    let row = |((label, said), images): &((u32, u32), Vec<usize>)| {
        let probability = |at: usize| held_out.probabilities[[at, *said as usize]];
        let mut images = images.clone();
        images.sort_by(|&a, &b| probability(b).total_cmp(&probability(a)));
        let shown = images.iter().take(PAIRS.1);
        let pictures = shown
            .filter_map(|&at| picture(&own.set, compared.rows[at], format!("{:.0}%", 100.0 * probability(at))))
            .map(|picture| picture.marked(false));
        (format!("{} taken for {}: {} images", name(*label), name(*said), thousands(images.len())), pictures.collect())
    };
    let wrong: usize = pairs.iter().map(|(_, images)| images.len()).sum();
    let rows: Vec<_> = pairs.iter().take(PAIRS.0).map(row).collect();
    let caption = match rows.is_empty() {
        true => "No image is taken for another class".into(),
        false => {
            format!("{} of {} images are taken for another class", thousands(wrong), thousands(compared.n_measured()))
        }
    };
    Gallery { caption, rows }
}

/// Accuracy on each domain by a classifier that saw none of it, against one that saw others of it.
pub fn domains_table(domains: &[OfDomain]) -> Table {
    let interval = |interval: &Interval| match (interval.low, interval.high) {
        (Some(low), Some(high)) => format!("{:.1} [{:.1}, {:.1}]", 100.0 * interval.mean, 100.0 * low, 100.0 * high),
        _ => format!("{:.1}", 100.0 * interval.mean),
    };
    let row = |of: &OfDomain| {
        let lost = format!("{:+.1}", 100.0 * (of.known - of.unseen.mean));
        let cells =
            [of.domain.clone(), thousands(of.images), format!("{:.1}", 100.0 * of.known), interval(&of.unseen), lost];
        cells.map(Cell::from).to_vec()
    };
    let caption = match domains.is_empty() {
        true => "The data name no domains, so nothing can be said of images from elsewhere",
        false => "Accuracy in percent on each domain [95% interval over groups]",
    };
    let header = ["domain", "images", "others of it seen", "none of it seen", "points lost"];
    Table {
        caption: caption.into(),
        header: header.map(String::from).to_vec(),
        rows: domains.iter().map(row).collect(),
    }
}

/// Pictures without a label that the classifier is least sure of: to be labelled next.
pub fn next_gallery(own: &Own, said: &[Said]) -> Gallery {
    let Some(set) = own.unlabelled.as_ref().filter(|_| !said.is_empty()) else {
        let caption = "There are no pictures without a label: put some into a folder `unlabelled` beside the classes";
        return Gallery { caption: caption.into(), rows: Vec::new() };
    };
    let text = |said: &Said| match &said.second {
        Some((second, _)) => {
            format!("{} {:.0}%, or {}", short(&said.class), 100.0 * said.probability, short(second))
        }
        None => said.class.clone(),
    };
    let pictures: Vec<_> = said.iter().take(NEXT).filter_map(|said| picture(set, said.row, text(said))).collect();
    let caption = format!(
        "Label these next: {} of {} pictures without a label, those that the classifier is least sure of",
        pictures.len(),
        thousands(said.len())
    );
    Gallery { caption, rows: vec![(String::new(), pictures)] }
}

/// How the report and the classifier were made.
pub fn card_table(own: &Own, compared: &Compared, kept: &Kept) -> Table {
    let facts = &kept.facts;
    let accuracy = match facts.accuracy {
        (value, Some((low, high))) => format!("{:.1}% [{:.1}, {:.1}]", 100.0 * value, 100.0 * low, 100.0 * high),
        (value, None) => format!("{:.1}%", 100.0 * value),
    };
    let alone = compared.measured.iter().filter(|measured| !**measured).count();
    let mut rows = vec![
        (
            "data",
            format!("{}, {} images, SHA-256 {}", facts.dataset, thousands(own.set.len()), &facts.data_sha256[..16]),
        ),
        ("model", format!("{} ({})", facts.model, facts.feature)),
        ("licence of its weights", facts.licence.clone()),
        ("method", facts.method.clone()),
        ("fitted on", format!("{} images", thousands(facts.images))),
        ("accuracy of the same on images it did not see", accuracy),
        ("temperature of its probabilities", format!("{:.3}", facts.temperature)),
        ("seed", own.request.seed.to_string()),
        ("made with", format!("Wider CLIP {}", facts.version)),
    ];
    if let Some((value, n)) = facts.test {
        rows.insert(6, ("accuracy on the published test", format!("{:.1}% of {} images", 100.0 * value, thousands(n))));
    }
    if alone > 0 {
        rows.push(("not measured", format!("{} images of classes with one image or one group", thousands(alone))));
    }
    Table {
        caption: "How this was made".into(),
        header: vec!["what".into(), "".into()],
        rows: rows.into_iter().map(|(what, value)| vec![what.into(), value.into()]).collect(),
    }
}
