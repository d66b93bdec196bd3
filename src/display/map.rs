//! Maps: images as points in two dimensions (UMAP), coloured by class or domain, with the image under the pointer.
//!
//! A legend of 60 classes is illegible, and so are 60 colours. At most 12 categories have a colour: all of them where
//! there are no more, else the largest or those that are asked for; the others are light grey. The colours are nine of
//! Paul Tol's "muted" scheme, which stay apart for the common kinds of colour blindness, and three more; as twelve
//! colours are many, neighbours in the legend differ in their symbol too.

use super::text::{self, label as shown, plain, shorten};
use super::{Chart, SpriteSheet};
use crate::datasets::ImageSet;
use crate::error::{Error, Result};
use crate::progress::thousands;
use crate::say::{cut, visible};
use plotly::common::{HoverInfo, Marker, MarkerSymbol, Mode, Title};
use plotly::layout::{Axis, HoverMode, ItemSizing, Legend, Margin, TraceOrder};
use plotly::{Layout, Plot, Scatter};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const COLOURS: [&str; MapChart::MOST_COLOURED] = [
    "#332288", "#cc6677", "#117733", "#0072b2", "#ddaa33", "#aa4499", "#44aa99", "#882255", "#999933", "#56a8dd",
    "#1a1a1a", "#d55e00",
];
const SYMBOLS: [MarkerSymbol; 4] =
    [MarkerSymbol::Circle, MarkerSymbol::Square, MarkerSymbol::Diamond, MarkerSymbol::TriangleUp];
const OTHERS: &str = "#cfcfcf";
/// Characters of one line of a label.
const LABEL: usize = 60;

/// A scatter chart of images in two dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct MapChart {
    title: String,
    /// What the categories are, in the plural: "classes", "domains".
    kind: String,
    /// Row in the data set of each point.
    rows: Vec<usize>,
    points: Vec<[f64; 2]>,
    categories: Vec<String>,
    /// Label of each point, one line each: what it shows, class, domain.
    labels: Vec<Vec<String>>,
    coloured: Vec<String>,
    sprites: Option<Sprites>,
}

/// The sheet's id and the number of each point's image in it.
#[derive(Debug, Clone, PartialEq)]
struct Sprites {
    id: String,
    indices: Vec<u32>,
}

impl MapChart {
    /// Most points of a map. A map of more is no clearer, and its static picture would be larger.
    pub const MOST_POINTS: usize = SpriteSheet::MOST;

    /// Most categories with a colour of their own.
    pub const MOST_COLOURED: usize = 12;

    /// A map coloured by class. `points` are the places of the images in `rows` of `set`, in that order.
    ///
    /// # Errors
    /// As [`MapChart::new`].
    pub fn by_class(title: &str, set: &ImageSet, rows: &[usize], points: &[[f64; 2]]) -> Result<MapChart> {
        check_rows(set, rows)?;
        let classes: Vec<String> = rows.iter().map(|&row| set.classes[set.labels[row] as usize].clone()).collect();
        MapChart::new(title, set, rows, points, "classes", &classes)
    }

    /// A map coloured by domain.
    ///
    /// # Errors
    /// [`Error::Argument`] where the data set has no domains; else as [`MapChart::new`].
    pub fn by_domain(title: &str, set: &ImageSet, rows: &[usize], points: &[[f64; 2]]) -> Result<MapChart> {
        check_rows(set, rows)?;
        let Some(domains) = &set.domains else {
            return Err(Error::argument("map by domain", "a data set with domains", format!("{} has none", set.id)));
        };
        let domains: Vec<String> = rows.iter().map(|&row| domains[row].clone()).collect();
        MapChart::new(title, set, rows, points, "domains", &domains)
    }

    /// A map coloured by anything: `categories` names that of each point, `kind` says in the plural what they are
    /// ("clusters").
    ///
    /// # Errors
    /// [`Error::Argument`] for no points or more than [`MapChart::MOST_POINTS`], rows, points and categories of
    /// different number, a row outside the set, or a point that is not finite.
    pub fn new(
        title: &str,
        set: &ImageSet,
        rows: &[usize],
        points: &[[f64; 2]],
        kind: &str,
        categories: &[String],
    ) -> Result<MapChart> {
        check_rows(set, rows)?;
        for (what, found) in [("points of a map", points.len()), ("categories of a map", categories.len())] {
            if found != rows.len() {
                return Err(Error::argument(what, format!("{}, one a row", rows.len()), found.to_string()));
            }
        }
        if let Some(point) = points.iter().flatten().find(|place| !place.is_finite()) {
            return Err(Error::argument("points of a map", "finite numbers", point.to_string()));
        }
        let mut map = MapChart {
            title: title.into(),
            kind: kind.into(),
            rows: rows.to_vec(),
            points: points.to_vec(),
            categories: categories.to_vec(),
            labels: rows.iter().zip(categories).map(|(&row, category)| label(set, row, category)).collect(),
            coloured: Vec::new(),
            sprites: None,
        };
        map.coloured = map.counts().into_iter().take(MapChart::MOST_COLOURED).map(|(name, _)| name.into()).collect();
        Ok(map)
    }

    /// The map with these categories in colour, in this order, and all others grey.
    ///
    /// # Errors
    /// [`Error::Argument`] for more than [`MapChart::MOST_COLOURED`], [`Error::Unknown`] for one that no point has.
    pub fn highlight(self, categories: &[&str]) -> Result<MapChart> {
        if categories.len() > MapChart::MOST_COLOURED {
            let expected = format!("at most {}, the number of colours", MapChart::MOST_COLOURED);
            return Err(Error::argument("highlighted categories", expected, categories.len().to_string()));
        }
        let has = |name: &str| self.categories.iter().any(|known| known == name);
        if let Some(name) = categories.iter().find(|name| !has(name)) {
            let known: BTreeSet<&str> = self.categories.iter().map(String::as_str).collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Error::Unknown { kind: "category of the map", name: (*name).into(), known });
        }
        let mut coloured: Vec<String> = Vec::new();
        for name in categories {
            if !coloured.iter().any(|known| known == name) {
                coloured.push((*name).into());
            }
        }
        Ok(MapChart { coloured, ..self })
    }

    /// The map with the images of `sheet` under the pointer. The sheet itself must be shown by a cell of its own.
    ///
    /// # Errors
    /// [`Error::Argument`] where the sheet lacks the image of a point.
    pub fn with_sprites(self, sheet: &SpriteSheet) -> Result<MapChart> {
        let places: HashMap<usize, u32> = sheet.rows().iter().zip(0..).map(|(&row, index)| (row, index)).collect();
        let index = |row: &usize| {
            let missing = || Error::argument("sprite sheet", "an image for every point", format!("none of row {row}"));
            places.get(row).copied().ok_or_else(missing)
        };
        let indices = self.rows.iter().map(index).collect::<Result<Vec<u32>>>()?;
        Ok(MapChart { sprites: Some(Sprites { id: sheet.id().into(), indices }), ..self })
    }

    /// Categories with their number of points, the largest first, names in order where numbers are equal.
    fn counts(&self) -> Vec<(&str, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for category in &self.categories {
            *counts.entry(category).or_default() += 1;
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        counts
    }

    /// The map as a chart.
    pub fn to_chart(&self) -> Chart {
        let grey: Vec<usize> =
            (0..self.rows.len()).filter(|&point| !self.coloured.contains(&self.categories[point])).collect();
        let mut plot = Plot::new();
        // What is drawn first lies below, so that the legend has to be read from the back.
        if !grey.is_empty() {
            let marker = Marker::new().color(OTHERS).symbol(MarkerSymbol::Circle);
            plot.add_trace(self.trace(&grey, &self.others(), marker));
        }
        for (number, category) in self.coloured.iter().enumerate().rev() {
            let points: Vec<usize> =
                (0..self.rows.len()).filter(|&point| self.categories[point] == *category).collect();
            let marker = Marker::new().color(COLOURS[number]).symbol(SYMBOLS[number % SYMBOLS.len()].clone());
            plot.add_trace(self.trace(&points, category, marker));
        }
        plot.set_layout(layout(&self.title));
        let chart = Chart::new(plot, self.to_text());
        match &self.sprites {
            Some(sprites) => chart.with_sprites(&sprites.id),
            None => chart,
        }
    }

    /// What the grey points are called.
    fn others(&self) -> String {
        match self.counts().len() - self.coloured.len() {
            1 => "one other".into(),
            n => format!("{n} other {}", self.kind),
        }
    }

    fn trace(&self, points: &[usize], name: &str, marker: Marker) -> Box<Scatter<f64, f64>> {
        // Three decimals: a map is 20 wide or so.
        let along =
            |axis: usize| -> Vec<f64> { points.iter().map(|&i| (self.points[i][axis] * 1e3).round() / 1e3).collect() };
        let label = |&i: &usize| self.labels[i].iter().map(|line| text::title(line)).collect::<Vec<_>>().join("<br>");
        let labels: Vec<String> = points.iter().map(label).collect();
        let trace = Scatter::new(along(0), along(1))
            .name(shown(&shorten(&visible(&cut(name, LABEL)), LABEL / 2)))
            .mode(Mode::Markers)
            .marker(marker.size(5).opacity(0.8))
            .hover_text_array(labels)
            .hover_info(HoverInfo::Text)
            .show_legend(true);
        match &self.sprites {
            Some(sprites) => trace.custom_data(points.iter().map(|&i| sprites.indices[i]).collect::<Vec<u32>>()),
            None => trace,
        }
    }

    /// The map in words: how many points, and of which category.
    pub fn to_text(&self) -> String {
        let counts = self.counts();
        let (named, others): (Vec<_>, Vec<_>) =
            counts.iter().partition(|(name, _)| self.coloured.iter().any(|coloured| coloured == name));
        let mut parts: Vec<String> = named.iter().map(|(name, count)| format!("{} {count}", plain(name))).collect();
        if !others.is_empty() {
            parts.push(format!("{} {}", plain(&self.others()), others.iter().map(|(_, count)| count).sum::<usize>()));
        }
        let n = thousands(self.rows.len());
        let (title, kind) = (plain(&self.title), plain(&self.kind));
        format!("{title}\n{n} points, {} {kind}: {}", counts.len(), parts.join(", "))
    }

    /// The map as plotly's JSON. Linked to a sheet, `layout.meta.sprites` is the sheet's id and the `customdata` of a
    /// point the number of its image there.
    pub fn to_json(&self) -> String {
        self.to_chart().to_json()
    }

    /// Called by the notebook kernel.
    pub fn evcxr_display(&self) {
        self.to_chart().evcxr_display();
    }
}

fn check_rows(set: &ImageSet, rows: &[usize]) -> Result<()> {
    if rows.is_empty() || rows.len() > MapChart::MOST_POINTS {
        let expected = format!("1 to {} (SpriteSheet::sample draws them)", thousands(MapChart::MOST_POINTS));
        return Err(Error::argument("points of a map", expected, thousands(rows.len())));
    }
    match rows.iter().find(|&&row| row >= set.len()) {
        Some(row) => {
            let expected = format!("rows below {}, the size of {}", set.len(), set.id);
            Err(Error::argument("rows of a map", expected, row.to_string()))
        }
        None => Ok(()),
    }
}

/// What a point shows, its class, its domain, and its category where that is none of them.
fn label(set: &ImageSet, row: usize, category: &str) -> Vec<String> {
    let name = set.names.as_ref().map(|names| names[row].as_str());
    let class = Some(set.classes[set.labels[row] as usize].as_str());
    let domain = set.domains.as_ref().map(|domains| domains[row].as_str());
    let mut lines: Vec<String> = Vec::new();
    for line in [name, class, domain, Some(category)].into_iter().flatten().filter(|line| !line.is_empty()) {
        let line = shorten(&visible(&cut(line, LABEL)), LABEL);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// UMAP's axes have no unit and no zero: no ticks, and the same scale on both.
fn layout(title: &str) -> Layout {
    let axis = |name: &str| {
        Axis::new()
            .title(Title::with_text(name))
            .show_tick_labels(false)
            .show_grid(false)
            .zero_line(false)
            .show_line(true)
            .line_color("#9a9a9a")
            .mirror(true)
    };
    Layout::new()
        .title(Title::with_text(text::title(title)))
        .x_axis(axis("UMAP 1"))
        .y_axis(axis("UMAP 2").scale_anchor("x").scale_ratio(1.0))
        .show_legend(true)
        .legend(Legend::new().trace_order(TraceOrder::Reversed).item_sizing(ItemSizing::Constant))
        .hover_mode(HoverMode::Closest)
        .plot_background_color("#ffffff")
        .margin(Margin::new().left(40).right(20).top(60).bottom(40))
        .height(560)
}
