//! Sprite sheets: the images behind the points of maps, all of them in one picture.
//!
//! A sheet is shown once on a page, by its own cell; every [`super::MapChart`] that is linked to it finds its images
//! there. The report shows the image under the pointer. JupyterLab knows nothing of the sheet's kind of output: it
//! shows the sheet's text, and plotly's own labels at the points, without images. Notebooks saved into the project
//! keep the text and lose the sheet, which would be the larger part of their 1 MB.
//!
//! The encoding follows the pixels. A sheet without colour (icons) is a PNG of 16 greys: flat areas and few values
//! compress to some 150 bytes for 32 pixels square, and edges stay clean. Everything else is a JPEG of quality 60: at
//! about 3 bits a pixel at most, 1,000 photographs of 32 pixels square take up to 400 kB, where a PNG would take 2 MB.
//! The sides of a picture are multiples of 8, the size of JPEG's blocks, so that neighbours do not bleed into each
//! other.

use super::text::{emit, json_for_pages, plain};
use crate::datasets::ImageSet;
use crate::error::{Error, Result};
use crate::images;
use crate::progress::thousands;
use crate::random::Random;
use crate::storage::sha256_hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageResult, Rgb, RgbImage, imageops};
use rayon::prelude::*;

/// Rows that lie no further apart are read together: going on costs less than opening a Parquet file again.
const NEAR: usize = 8;
/// Rows of one reading at most: full-size photographs lie in memory meanwhile.
const BLOCK: usize = 64;
/// JPEG quality, 1 to 100.
const QUALITY: u8 = 60;
/// Distance between the greys of a sheet without colour: 255 / 15, so that 16 are left.
const GREY_STEP: u8 = 17;

/// Thumbnails of images of a data set in one picture, line by line, with white around those that are not square.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpriteSheet {
    id: String,
    set: String,
    rows: Vec<usize>,
    side: u32,
    n_columns: u32,
    kind: &'static str,
    bytes: Vec<u8>,
}

impl SpriteSheet {
    /// Most images of a sheet.
    pub const MOST: usize = 2_000;

    /// The kind of output: known to the report alone, so that everything else shows the text.
    pub const MIME: &'static str = "application/vnd.wider-clip.sprites+json";

    /// A sheet of the images in `rows` of `set`, each shrunk to fit `side` pixels square. 32 is a good side.
    ///
    /// # Errors
    /// [`Error::Argument`] for no rows, for more than [`SpriteSheet::MOST`], a row outside the set, or a `side` that is
    /// not a multiple of 8 from 8 to 64; [`Error::Image`] for an image that cannot be read or decoded.
    pub fn new(set: &ImageSet, rows: &[usize], side: u32) -> Result<SpriteSheet> {
        if rows.is_empty() || rows.len() > SpriteSheet::MOST {
            let expected = format!("1 to {} (SpriteSheet::sample draws them)", thousands(SpriteSheet::MOST));
            return Err(Error::argument("images of a sprite sheet", expected, thousands(rows.len())));
        }
        if let Some(row) = rows.iter().find(|&&row| row >= set.len()) {
            let expected = format!("rows below {}, the size of {}", set.len(), set.id);
            return Err(Error::argument("rows of a sprite sheet", expected, row.to_string()));
        }
        if !(8..=64).contains(&side) || !side.is_multiple_of(8) {
            let expected = "a multiple of 8 from 8 to 64 pixels";
            return Err(Error::argument("side of a sprite", expected, side.to_string()));
        }
        let n_columns = (rows.len() as f64).sqrt().ceil() as u32;
        let sheet = arranged(&thumbnails(set, rows, side)?, side, n_columns);
        let (kind, bytes) = encoded(&sheet).map_err(|problem| {
            Error::argument("sprite sheet", "a picture that PNG or JPEG can hold", problem.to_string())
        })?;
        let id = sha256_hex(&bytes)[..12].to_string();
        Ok(SpriteSheet { id, set: set.id.clone(), rows: rows.to_vec(), side, n_columns, kind, bytes })
    }

    /// Positions of at most [`SpriteSheet::MOST`] of `n` images, drawn by `seed`, ascending: all where they are few
    /// enough. For pictures only; numbers are taken over all images.
    ///
    /// ```
    /// use wider_clip::display::SpriteSheet;
    /// assert_eq!(SpriteSheet::sample(3, 0), [0, 1, 2]);
    /// assert_eq!(SpriteSheet::sample(5_000, 0).len(), 2_000);
    /// ```
    pub fn sample(n: usize, seed: u64) -> Vec<usize> {
        let mut positions: Vec<usize> = (0..n).collect();
        if n > SpriteSheet::MOST {
            Random::new("sprite sheet", seed, 0).shuffle(&mut positions);
            positions.truncate(SpriteSheet::MOST);
            positions.sort_unstable();
        }
        positions
    }

    /// The name under which charts refer to the sheet: the start of a hash of its pixels.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The row in the data set of each image, in the order of the sheet.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// The encoded picture, PNG or JPEG.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Left and upper edge of image `index` in the picture, in pixels.
    pub fn place(&self, index: usize) -> (u32, u32) {
        place(index, self.side, self.n_columns)
    }

    /// The sheet as the report reads it: id, side of an image, images a line, number of images, and the picture as a
    /// data address.
    pub fn to_json(&self) -> String {
        let sheet = serde_json::json!({
            "id": self.id,
            "side": self.side,
            "columns": self.n_columns,
            "count": self.rows.len(),
            "image": format!("data:{};base64,{}", self.kind, STANDARD.encode(&self.bytes)),
        });
        json_for_pages(&sheet.to_string())
    }

    /// The sheet in words.
    pub fn to_text(&self) -> String {
        let count = thousands(self.rows.len());
        format!("{}: {count} images, shown in the report under the pointer on a map's points", plain(&self.set))
    }

    /// Called by the notebook kernel. A cell can show one sheet, as its last expression.
    pub fn evcxr_display(&self) {
        emit(SpriteSheet::MIME, &self.to_json());
        emit("text/plain", &self.to_text());
    }
}

/// Left and upper edge of image `index`.
fn place(index: usize, side: u32, n_columns: u32) -> (u32, u32) {
    let index = index as u32;
    (index % n_columns * side, index / n_columns * side)
}

/// The thumbnails of `rows`, in their order.
fn thumbnails(set: &ImageSet, rows: &[usize], side: u32) -> Result<Vec<RgbImage>> {
    let mut ascending: Vec<usize> = rows.to_vec();
    ascending.sort_unstable();
    ascending.dedup();
    let mut found = Vec::with_capacity(ascending.len());
    for near in ascending.chunk_by(|a, b| b - a <= NEAR) {
        let mut rest = near;
        while let Some(&first) = rest.first() {
            let (block, after) = rest.split_at(rest.partition_point(|row| row - first < BLOCK));
            let read = set.read(first..block[block.len() - 1] + 1)?;
            let shrunk: Result<Vec<RgbImage>> =
                block.par_iter().map(|&row| thumbnail(set, row, &read[row - first], side)).collect();
            found.extend(shrunk?);
            rest = after;
        }
    }
    let at = |row: &usize| ascending.partition_point(|other| other < row);
    Ok(rows.iter().map(|row| found[at(row)].clone()).collect())
}

fn thumbnail(set: &ImageSet, row: usize, encoded: &Result<Vec<u8>>, side: u32) -> Result<RgbImage> {
    match encoded {
        Ok(bytes) => Ok(images::thumbnail(&set.decode_alone(row, bytes)?, side)),
        Err(error) => Err(Error::Image {
            name: set.ids[row].clone(),
            expected: "bytes to decode".into(),
            found: error.to_string(),
        }),
    }
}

/// All thumbnails on one white sheet, each in the middle of its square.
fn arranged(thumbnails: &[RgbImage], side: u32, n_columns: u32) -> RgbImage {
    let n_lines = (thumbnails.len() as u32).div_ceil(n_columns);
    let mut sheet = RgbImage::from_pixel(n_columns * side, n_lines * side, Rgb([255; 3]));
    for (index, thumbnail) in thumbnails.iter().enumerate() {
        let (left, top) = place(index, side, n_columns);
        let margin = |length: u32| (side - length.min(side)) / 2;
        let (x, y) = (left + margin(thumbnail.width()), top + margin(thumbnail.height()));
        imageops::replace(&mut sheet, thumbnail, i64::from(x), i64::from(y));
    }
    sheet
}

/// The sheet's mime type and bytes.
fn encoded(sheet: &RgbImage) -> ImageResult<(&'static str, Vec<u8>)> {
    let (width, height) = sheet.dimensions();
    let mut bytes = Vec::new();
    if sheet.pixels().all(|Rgb([red, green, blue])| red == green && green == blue) {
        let grey: Vec<u8> =
            sheet.pixels().map(|pixel| (pixel[0].saturating_add(GREY_STEP / 2) / GREY_STEP) * GREY_STEP).collect();
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::NoFilter).write_image(
            &grey,
            width,
            height,
            ExtendedColorType::L8,
        )?;
        return Ok(("image/png", bytes));
    }
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    encoder.write_image(sheet.as_raw(), width, height, ExtendedColorType::Rgb8)?;
    Ok(("image/jpeg", bytes))
}
