//! Is the folder sound?

use super::{class, picture, short};
use crate::display::{Cell, Gallery, Table};
use crate::own::{Cues, Look, Own, Suspect};
use crate::progress::thousands;

/// Groups that a gallery shows.
const GROUPS: usize = 12;
/// Pictures of a group that a gallery shows.
const OF_GROUP: usize = 8;
/// Pictures of a list that a gallery shows.
const OF_LIST: usize = 24;

/// How many images have a twin, and where that does harm.
pub fn twins_table(own: &Own, look: &Look) -> Table {
    let row = |name: &str, twins: Vec<&crate::own::Twins>| {
        let images: usize = twins.iter().map(|twins| twins.rows.len()).sum();
        vec![Cell::from(name), thousands(twins.len()).into(), thousands(images).into()]
    };
    let all = || look.twins.iter();
    let parts = own.set.parts.is_some();
    let mut rows = vec![
        row("the same pixels", all().filter(|twins| twins.exact).collect()),
        row("nearly the same", all().filter(|twins| !twins.exact).collect()),
        row("of these, as mirror images", all().filter(|twins| twins.mirrored).collect()),
        row("of these, under two labels", all().filter(|twins| twins.labels > 1).collect()),
    ];
    if parts {
        rows.push(row("of these, in two parts of the split", all().filter(|twins| twins.parts > 1).collect()));
    }
    Table {
        caption: "Duplicates: groups of images that show the same picture".into(),
        header: ["", "groups", "images"].map(String::from).to_vec(),
        rows,
    }
}

/// Groups of duplicates, those that do harm first.
pub fn twins_gallery(own: &Own, look: &Look) -> Gallery {
    let mut twins: Vec<_> = look.twins.iter().collect();
    twins.sort_by_key(|twins| (twins.labels < 2, twins.parts < 2, twins.mirrored, twins.rows[0]));
    let row = |twins: &&crate::own::Twins| {
        let kind = match (twins.exact, twins.mirrored) {
            (true, _) => "the same pixels",
            (_, true) => "mirror images",
            _ => "nearly the same",
        };
        let harm = match (twins.labels > 1, twins.parts > 1) {
            (true, _) => ", under two labels",
            (_, true) => ", in two parts",
            _ => "",
        };
        let label = |&row: &usize| match &own.set.parts {
            Some(parts) => format!("{} ({})", short(class(&own.set, row)), short(&parts[row])),
            None => class(&own.set, row).to_string(),
        };
        let pictures = twins.rows.iter().take(OF_GROUP).filter_map(|row| picture(&own.set, *row, label(row)));
        (format!("{} images, {kind}{harm}: {}", twins.rows.len(), own.set.ids[twins.rows[0]]), pictures.collect())
    };
    let rows: Vec<_> = twins.iter().take(GROUPS).map(row).collect();
    let caption = match rows.len() {
        0 => "No duplicates found".into(),
        shown => format!("Duplicates: {shown} of {} groups, those that do harm first", thousands(twins.len())),
    };
    Gallery { caption, rows }
}

/// Labels that probe and neighbours both doubt, the most suspect first, with both opinions.
pub fn suspects_gallery(own: &Own, suspects: &[Suspect]) -> Gallery {
    let label = |one: &Suspect| {
        let (given, said) = (short(class(&own.set, one.row)), short(&one.probe.0));
        format!("{given} → {said} {:.0}%", 100.0 * one.probe.1)
    };
    let shown = suspects.iter().take(OF_LIST);
    let pictures: Vec<_> = shown.filter_map(|one| picture(&own.set, one.row, label(one))).collect();
    let caption = match suspects.len() {
        0 => "No label that both the classifier and the neighbours doubt".into(),
        n => format!(
            "Labels to look at: {} of {} images that the classifier and most neighbours take for another class, the most \
             suspect first; under each the label, and what the classifier says",
            pictures.len(),
            thousands(n)
        ),
    };
    Gallery { caption, rows: if pictures.is_empty() { Vec::new() } else { vec![(String::new(), pictures)] } }
}

/// Images far from all others.
pub fn outliers_gallery(own: &Own, outliers: &[usize]) -> Gallery {
    let shown = outliers.iter().take(OF_LIST);
    let pictures: Vec<_> = shown.filter_map(|&row| picture(&own.set, row, class(&own.set, row).into())).collect();
    let caption = match outliers.len() {
        0 => "No image is far from all others".into(),
        n => format!("Images unlike the others: {} of {n}, the farthest first", pictures.len()),
    };
    Gallery { caption, rows: if pictures.is_empty() { Vec::new() } else { vec![(String::new(), pictures)] } }
}

/// How many images are dark, light, blurred and so on.
pub fn look_table(look: &Look) -> Table {
    let row = |(name, rows): &(&'static str, Vec<usize>)| {
        let said = if look.is_their_kind(rows) { "most of them: that is their kind" } else { "" };
        [name.to_string(), thousands(rows.len()), said.into()].map(Cell::from).to_vec()
    };
    Table {
        caption: "How the images look, by the limits of CleanVision".into(),
        header: ["", "images", ""].map(String::from).to_vec(),
        rows: look.oddities.iter().map(row).collect(),
    }
}

/// Pictures of each oddity.
pub fn look_gallery(own: &Own, look: &Look) -> Gallery {
    let row = |(name, rows): &(&'static str, Vec<usize>)| {
        let pictures: Vec<_> =
            rows.iter().take(OF_GROUP).filter_map(|&row| picture(&own.set, row, class(&own.set, row).into())).collect();
        (format!("{name}: {} of {}", pictures.len(), thousands(rows.len())), pictures)
    };
    let rows: Vec<_> =
        look.oddities.iter().filter(|(_, rows)| !rows.is_empty() && !look.is_their_kind(rows)).map(row).collect();
    let caption = if rows.is_empty() { "Nothing odd in light, sharpness or size" } else { "Images to look at" };
    Gallery { caption: caption.into(), rows }
}

/// What a classifier reaches that sees no picture, only such facts of it.
pub fn cues_table(cues: &Cues) -> Table {
    let percent = |value: f64| format!("{:.1}", 100.0 * value);
    let row = |(name, accuracy): &(&'static str, f64)| vec![Cell::from(*name), percent(*accuracy).into()];
    let mut rows = vec![vec![Cell::from("nothing: the largest class"), percent(cues.chance).into()]];
    rows.extend(cues.found.iter().map(row));
    Table {
        caption: "Accuracy in percent of a classifier that sees only".into(),
        header: ["what it sees", "accuracy"].map(String::from).to_vec(),
        rows,
    }
}
