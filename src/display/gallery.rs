//! Pictures in rows, as thumbnails inside the page.

use super::text::{NO_FORMULAS, emit, escape, plain, shorten};
use crate::datasets::ImageSet;
use crate::error::Result;
use crate::experiments::{Encoded, Parts};
use crate::images;
use crate::say::{cut, visible};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

/// A picture with a label under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// PNG bytes.
    pub png: Vec<u8>,
    /// Text under the picture.
    pub label: String,
    /// Framed in solid green (`true`) or dashed red (`false`) where right and wrong make sense.
    pub right: Option<bool>,
}

/// Rows of pictures, each with a title.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gallery {
    /// What is shown.
    pub caption: String,
    /// Title and pictures of each row.
    pub rows: Vec<(String, Vec<Picture>)>,
}

/// Longest side of a thumbnail in pixels.
const SIDE: u32 = 64;
/// Characters of a label under a picture.
const LABEL: usize = 48;
/// Pictures side by side, wrapping on a narrow screen. Styles are inline: a saved notebook has no style sheet.
const ROW: &str = "display:flex;flex-wrap:wrap;gap:4px 8px";
/// A picture with its label in small print below.
const PICTURE: &str = "width:84px;text-align:center;font:11px/1.25 sans-serif;overflow-wrap:anywhere";

impl Picture {
    /// A thumbnail of image `row` of `set`, labelled with its name where it has one, else its class.
    ///
    /// # Errors
    /// An image that cannot be read or decoded.
    pub fn of(set: &ImageSet, row: usize) -> Result<Picture> {
        let bytes = set.read(row..row + 1)?.pop().expect("a range of one row gives one image")?;
        let thumbnail = images::thumbnail(&set.decode_alone(row, &bytes)?, SIDE);
        let label = match &set.names {
            Some(names) if !names[row].is_empty() => names[row].clone(),
            _ => set.classes[set.labels[row] as usize].clone(),
        };
        Ok(Picture { png: images::encode_png(&thumbnail)?, label, right: None })
    }

    /// The picture framed as right or wrong.
    pub fn marked(self, right: bool) -> Picture {
        Picture { right: Some(right), ..self }
    }
}

/// Pictures of a gallery that could not be read.
#[derive(Default)]
struct Broken {
    /// Reasons by id, so that a picture that stands in several rows counts once.
    reasons: BTreeMap<String, String>,
}

impl Broken {
    /// The picture in `row` of `set`; `None` for one that cannot be read, which is noted.
    fn of(&mut self, set: &ImageSet, row: usize) -> Option<Picture> {
        match Picture::of(set, row) {
            Ok(picture) => Some(picture),
            Err(error) => {
                self.reasons.insert(set.ids[row].clone(), error.to_string());
                None
            }
        }
    }

    /// What is left out, for the caption's end; nothing where nothing is.
    fn words(&self) -> String {
        match self.reasons.values().next() {
            None => String::new(),
            Some(first) => {
                format!("; left out: {} picture(s) that cannot be read, the first: {first}", self.reasons.len())
            }
        }
    }
}

impl Gallery {
    /// The first `per_class` images of the first `n_classes` classes, one row per class, spread over the class. An image that
    /// cannot be read or decoded is left out, and the caption says so.
    ///
    /// # Errors
    /// None today.
    pub fn of_classes(set: &ImageSet, n_classes: usize, per_class: usize) -> Result<Gallery> {
        let (mut rows, mut broken) = (Vec::new(), Broken::default());
        for class in 0..set.classes.len().min(n_classes) {
            let members: Vec<usize> = (0..set.len()).filter(|&row| set.labels[row] as usize == class).collect();
            let step = (members.len() / per_class.max(1)).max(1);
            let chosen = members.iter().step_by(step).take(per_class);
            let pictures = chosen.filter_map(|&row| broken.of(set, row)).collect();
            rows.push((format!("{} ({} images)", set.classes[class], members.len()), pictures));
        }
        let caption = format!("{}: {} of {} classes{}", set.id, rows.len(), set.classes.len(), broken.words());
        Ok(Gallery { caption, rows })
    }

    /// For each query its `k` nearest training images under each model, one row per query and model: what kNN votes on.
    /// A neighbour of the query's class is framed as right. `queries` are positions in the feature table. An image that cannot
    /// be read is left out, and the caption says so.
    ///
    /// # Errors
    /// More neighbours than training images.
    pub fn of_neighbours(models: &[&Encoded], parts: &Parts, queries: &[usize], k: usize) -> Result<Gallery> {
        let found = models.iter().map(|encoded| encoded.nearest(parts, queries, k)).collect::<Result<Vec<_>>>()?;
        let (mut rows, mut broken) = (Vec::new(), Broken::default());
        for (i, &query) in queries.iter().enumerate() {
            for (encoded, neighbours) in models.iter().zip(&found) {
                let row_of = |position: usize| encoded.features.rows[position];
                let class = encoded.set.labels[row_of(query)];
                let mut pictures: Vec<Picture> = broken.of(&encoded.set, row_of(query)).into_iter().collect();
                for &neighbour in &neighbours[i] {
                    let row = row_of(neighbour);
                    let Some(picture) = broken.of(&encoded.set, row) else { continue };
                    let label = encoded.set.classes[encoded.set.labels[row] as usize].clone();
                    pictures.push(Picture { label, ..picture }.marked(encoded.set.labels[row] == class));
                }
                rows.push((format!("{}: {}", encoded.features.model, encoded.set.classes[class as usize]), pictures));
            }
        }
        let caption = format!(
            "A test image, then its {k} nearest training images; a solid green frame has the same label{}",
            broken.words()
        );
        Ok(Gallery { caption, rows })
    }

    /// The gallery as HTML with the pictures inside.
    pub fn to_html(&self) -> String {
        let caption = escape(&self.caption);
        let mut html = format!("<figure class=\"{NO_FORMULAS}\" style=\"margin:0\"><figcaption>{caption}</figcaption>");
        for (title, pictures) in &self.rows {
            html.push_str(&format!("<div style=\"margin-top:0.8em\">{}</div><div style=\"{ROW}\">", escape(title)));
            for picture in pictures {
                let frame = match picture.right {
                    None => "border:2px solid transparent",
                    Some(true) => "border:2px solid #1b7f4b",
                    Some(false) => "border:2px dashed #b3261e",
                };
                html.push_str(&format!(
                    "<div style=\"{PICTURE}\"><img style=\"{frame};padding:2px\" width=\"64\" alt=\"{}\" \
                     src=\"data:image/png;base64,{}\"><br>{}</div>",
                    escape(&picture.label),
                    STANDARD.encode(&picture.png),
                    escape(&shorten(&visible(&cut(&picture.label, LABEL)), LABEL))
                ));
            }
            html.push_str("</div>");
        }
        html.push_str("</figure>");
        html
    }

    /// The gallery as text: titles and labels.
    pub fn to_text(&self) -> String {
        let mark = |picture: &Picture| {
            let sign = match picture.right {
                None => "",
                Some(true) => "+",
                Some(false) => "-",
            };
            format!("{sign}{}", plain(&shorten(&visible(&cut(&picture.label, LABEL)), LABEL)))
        };
        let lines = self.rows.iter().map(|(title, pictures)| {
            format!("{}: {}", plain(title), pictures.iter().map(mark).collect::<Vec<_>>().join(" | "))
        });
        std::iter::once(plain(&self.caption)).chain(lines).collect::<Vec<_>>().join("\n")
    }

    /// Called by the notebook kernel.
    pub fn evcxr_display(&self) {
        emit("text/html", &self.to_html());
        emit("text/plain", &self.to_text());
    }
}
