//! SVG to pixels to bytes: 64 x 64 RGB on white, encoded as lossless WebP.
//!
//! The committed files are packed as tightly as libwebp can; the corpus, which stays local, as fast as it can.

use anyhow::{Context, Result, ensure};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use sha2::{Digest, Sha256};
use webp::{Decoder, Encoder, WebPConfig};

/// Width and height of every image, in pixels.
pub const SIZE: u32 = 64;

/// Drawings are rendered this many times larger and averaged down. Some sets (Fluent) use filters that cut at full
/// coverage, which leaves saw-toothed edges when drawn at the final size.
const OVERSAMPLING: u32 = 4;

/// A finished image.
#[derive(Clone)]
pub struct Picture {
    /// The WebP file.
    pub bytes: Vec<u8>,
    /// SHA-256 of the decoded pixels: equal for equal pictures.
    pub digest: [u8; 32],
}

/// Draws an SVG and packs it tightly; `None` as in [`pixels`].
pub fn draw(svg: &str) -> Result<Option<Picture>> {
    let Some(rgb) = pixels(svg)? else {
        return Ok(None);
    };
    Ok(Some(Picture { bytes: encode(&rgb, Effort::Most)?, digest: Sha256::digest(&rgb).into() }))
}

/// Draws an SVG in the middle of a white square, as large as it fits, with its proportions kept: RGB, row by row.
/// `None` for a drawing that comes out in one colour only, which a person could not tell from an empty one.
pub fn pixels(svg: &str) -> Result<Option<Vec<u8>>> {
    ensure!(!svg.contains("<text") && !svg.contains("<image"), "the drawing holds text or a raster image");
    let tree = Tree::from_str(svg, &Options::default()).context("not a drawing that resvg reads")?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let side = (SIZE * OVERSAMPLING) as f32;
    let scale = side / width.max(height);
    let place =
        Transform::from_row(scale, 0.0, 0.0, scale, (side - width * scale) / 2.0, (side - height * scale) / 2.0);
    let mut pixmap = Pixmap::new(SIZE * OVERSAMPLING, SIZE * OVERSAMPLING).context("no memory for the canvas")?;
    resvg::render(&tree, place, &mut pixmap.as_mut());

    let rgb = reduce(&pixmap);
    let blank = rgb.chunks_exact(3).all(|p| p == &rgb[..3]);
    Ok((!blank).then_some(rgb))
}

/// Means of square blocks over white, rounded. Pixels are premultiplied, so colour + (255 - alpha) is exact.
fn reduce(pixmap: &Pixmap) -> Vec<u8> {
    let (n, width) = (OVERSAMPLING as usize, pixmap.width() as usize);
    let pixels = pixmap.pixels();
    let mut rgb = Vec::with_capacity((SIZE * SIZE * 3) as usize);
    for y in 0..SIZE as usize {
        for x in 0..SIZE as usize {
            let mut sum = [0u32; 3];
            for row in pixels.chunks_exact(width).skip(y * n).take(n) {
                for p in &row[x * n..(x + 1) * n] {
                    let ground = 255 - u32::from(p.alpha());
                    for (sum, c) in sum.iter_mut().zip([p.red(), p.green(), p.blue()]) {
                        *sum += u32::from(c) + ground;
                    }
                }
            }
            let count = OVERSAMPLING * OVERSAMPLING;
            rgb.extend(sum.map(|sum| ((sum + count / 2) / count) as u8));
        }
    }
    rgb
}

/// How hard the encoder tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Files as small as can be.
    Most,
    /// Files soon done.
    Least,
}

/// Lossless WebP, decoded again and compared.
pub fn encode(rgb: &[u8], effort: Effort) -> Result<Vec<u8>> {
    let mut config = WebPConfig::new().ok().context("libwebp does not match its header")?;
    config.lossless = 1;
    (config.quality, config.method) = match effort {
        Effort::Most => (100.0, 6),
        Effort::Least => (20.0, 0),
    };
    let encoded = Encoder::from_rgb(rgb, SIZE, SIZE)
        .encode_advanced(&config)
        .ok()
        .context("libwebp could not encode an image")?;
    let decoded = Decoder::new(&encoded).decode().context("libwebp could not read its own image")?;
    ensure!(
        !decoded.is_alpha() && decoded[..] == *rgb,
        "an encoded image does not decode to the pixels it was made of"
    );
    Ok(encoded.to_vec())
}

/// The pixels of a WebP file of ours: RGB, row by row.
pub fn decode(bytes: &[u8]) -> Result<Vec<u8>> {
    let image = Decoder::new(bytes).decode().context("libwebp could not read an image")?;
    ensure!(
        !image.is_alpha() && image.width() == SIZE && image.height() == SIZE,
        "an image is not {SIZE} x {SIZE} RGB"
    );
    Ok(image.to_vec())
}

/// Draws many, on all cores; results in the order of the drawings.
pub fn draw_all(svgs: &[&str]) -> Result<Vec<Option<Picture>>> {
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
    let share = svgs.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = svgs
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(|svg| draw(svg)).collect::<Result<Vec<_>>>()))
            .collect();
        let mut pictures = Vec::with_capacity(svgs.len());
        for part in parts {
            pictures.extend(part.join().map_err(|_| anyhow::anyhow!("a drawing thread stopped"))??);
        }
        Ok(pictures)
    })
}
