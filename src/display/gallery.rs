//! Pictures in rows, as thumbnails inside the page.

use super::{emit, escape, shorten};
use crate::datasets::ImageSet;
use crate::error::Result;
use crate::experiments::{Encoded, Parts};
use crate::images;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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
const LABEL: usize = 28;
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

impl Gallery {
    /// The first `per_class` images of the first `n_classes` classes, one row a class, spread over the class.
    ///
    /// # Errors
    /// An image that cannot be read or decoded.
    pub fn of_classes(set: &ImageSet, n_classes: usize, per_class: usize) -> Result<Gallery> {
        let mut rows = Vec::new();
        for class in 0..set.classes.len().min(n_classes) {
            let members: Vec<usize> = (0..set.len()).filter(|&row| set.labels[row] as usize == class).collect();
            let step = (members.len() / per_class.max(1)).max(1);
            let chosen = members.iter().step_by(step).take(per_class);
            let pictures = chosen.map(|&row| Picture::of(set, row)).collect::<Result<Vec<_>>>()?;
            rows.push((format!("{} ({} images)", set.classes[class], members.len()), pictures));
        }
        let caption = format!("{}: {} of {} classes", set.id, rows.len(), set.classes.len());
        Ok(Gallery { caption, rows })
    }

    /// For each query its `k` nearest training images under each model, one row per query and model: what kNN votes on.
    /// A neighbour of the query's class is framed as right. `queries` are positions in the feature table.
    ///
    /// # Errors
    /// An image that cannot be read, or more neighbours than training images.
    pub fn of_neighbours(models: &[&Encoded], parts: &Parts, queries: &[usize], k: usize) -> Result<Gallery> {
        let found = models.iter().map(|encoded| encoded.nearest(parts, queries, k)).collect::<Result<Vec<_>>>()?;
        let mut rows = Vec::new();
        for (i, &query) in queries.iter().enumerate() {
            for (encoded, neighbours) in models.iter().zip(&found) {
                let row_of = |position: usize| encoded.features.rows[position];
                let class = encoded.set.labels[row_of(query)];
                let mut pictures = vec![Picture::of(&encoded.set, row_of(query))?];
                for &neighbour in &neighbours[i] {
                    let row = row_of(neighbour);
                    let picture = Picture::of(&encoded.set, row)?;
                    let label = encoded.set.classes[encoded.set.labels[row] as usize].clone();
                    pictures.push(Picture { label, ..picture }.marked(encoded.set.labels[row] == class));
                }
                rows.push((format!("{}: {}", encoded.features.model, encoded.set.classes[class as usize]), pictures));
            }
        }
        let caption =
            format!("A test image, then its {k} nearest training images; a solid green frame has the same label");
        Ok(Gallery { caption, rows })
    }

    /// The gallery as HTML with the pictures inside.
    pub fn to_html(&self) -> String {
        let mut html = format!("<figure style=\"margin:0\"><figcaption>{}</figcaption>", escape(&self.caption));
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
                    escape(&shorten(&picture.label, LABEL))
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
            format!("{sign}{}", shorten(&picture.label, LABEL))
        };
        let lines = self
            .rows
            .iter()
            .map(|(title, pictures)| format!("{title}: {}", pictures.iter().map(mark).collect::<Vec<_>>().join(" | ")));
        std::iter::once(self.caption.clone()).chain(lines).collect::<Vec<_>>().join("\n")
    }

    /// Called by the notebook kernel.
    pub fn evcxr_display(&self) {
        emit("text/html", &self.to_html());
        emit("text/plain", &self.to_text());
    }
}
