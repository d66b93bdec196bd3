//! What is in the folder.

use crate::display::{Cell, Table};
use crate::own::{Look, Own};
use crate::progress::thousands;
use std::collections::BTreeSet;

/// What the images are: how many, of which classes, in which parts, and what was asked for.
pub fn own_table(own: &Own) -> Table {
    let set = &own.set;
    let counts = set.class_counts();
    let at = |best: fn(&usize, &usize) -> bool| {
        let place = (0..counts.len()).reduce(|a, b| if best(&counts[b], &counts[a]) { b } else { a });
        place.map_or_else(String::new, |place| format!("{} ({})", set.classes[place], thousands(counts[place])))
    };
    let parts = distinct(&set.parts).map(|names| {
        let of = |name: &&String| set.parts.iter().flatten().filter(|part| part == name).count();
        names.iter().map(|name| format!("{name} ({})", thousands(of(name)))).collect::<Vec<_>>().join(", ")
    });
    let mut rows = vec![("images with a label".to_string(), thousands(set.len()))];
    if let Some(unlabelled) = &own.unlabelled {
        rows.push(("images without one".into(), thousands(unlabelled.len())));
    }
    rows.push(("classes".into(), thousands(set.classes.len())));
    rows.push(("largest class".into(), at(|a, b| a > b)));
    rows.push(("smallest class".into(), at(|a, b| a < b)));
    rows.extend(parts.map(|parts| ("parts".into(), parts)));
    rows.extend(distinct(&set.groups).map(|names| ("groups that stay together".into(), thousands(names.len()))));
    rows.extend(distinct(&set.domains).map(|names| ("domains".into(), thousands(names.len()))));
    rows.extend(own.request.said.iter().map(|said| ("taken for".into(), said.clone())));
    rows.extend(set.warnings.iter().map(|warning| ("mind".into(), warning.clone())));
    Table {
        caption: format!("{}: what is there", set.id),
        header: vec!["what".into(), "found".into()],
        rows: rows.into_iter().map(|(what, found)| vec![Cell::from(what), Cell::from(found)]).collect(),
    }
}

/// What was left out, by reason, pictures that could not be read among them.
pub fn left_out_table(own: &Own, look: &Look) -> Table {
    let mut rows: Vec<Vec<Cell>> = own
        .set
        .ignored
        .iter()
        .map(|ignored| {
            vec![ignored.reason.clone().into(), thousands(ignored.count).into(), ignored.names.join(", ").into()]
        })
        .collect();
    if !look.broken.is_empty() {
        let first: Vec<String> = look.broken.iter().take(3).map(|(_, reason)| reason.clone()).collect();
        let cells = ["pictures that cannot be read".into(), thousands(look.broken.len()), first.join("; ")];
        rows.push(cells.map(Cell::from).to_vec());
    }
    let caption = match rows.is_empty() {
        true => "Nothing was left out".into(),
        false => format!("{}: what was left out", own.set.id),
    };
    Table { caption, header: ["reason", "how many", "the first"].map(String::from).to_vec(), rows }
}

/// Width, height and brightness over the images: the smallest, the quarters and the largest.
pub fn sizes_table(look: &Look) -> Table {
    let row = |(name, mut values): (&str, Vec<f64>)| {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        let numbers = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| match at(share) {
            value if value >= 10.0 => format!("{value:.0}"),
            value => format!("{value:.2}"),
        });
        std::iter::once(name.to_string()).chain(numbers).map(Cell::from).collect()
    };
    let measured: Vec<(&str, Vec<f64>)> = look.measures();
    Table {
        caption: "Size and light of the images".into(),
        header: ["", "smallest", "a quarter below", "half below", "three quarters below", "largest"]
            .map(String::from)
            .to_vec(),
        rows: measured.into_iter().filter(|(_, values)| !values.is_empty()).map(row).collect(),
    }
}

/// The values of a column, each once.
fn distinct(column: &Option<Vec<String>>) -> Option<Vec<&String>> {
    column.as_ref().map(|values| values.iter().collect::<BTreeSet<_>>().into_iter().collect())
}
