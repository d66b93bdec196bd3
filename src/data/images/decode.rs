//! From the bytes of an image file to 8-bit RGB, as Pillow's
//! `ImageOps.exif_transpose(Image.open(file)).convert("RGB")`.
//!
//! - The format is told from the bytes, never from a file's name: JPEG, PNG, WebP, TIFF, GIF (first frame).
//! - Alpha is dropped and the colour under it kept, as Pillow's conversion does; palettes and grey are spread out.
//! - CMYK is taken for Adobe's (inverted in JPEG) and converted without a colour profile.
//! - The orientation (1 to 8) comes from EXIF or, where EXIF is silent, from XMP.
//! - Colour with 16 bits a channel keeps the high byte. On purpose different: 16-bit GREY keeps the high byte too,
//!   where Pillow clips everything above 255 to white, which turns nearly every such image into a white square.
//! - A file cut off at any byte gives an error or, where only trailing bytes are gone, all of its pixels; never a
//!   picture with a grey part. (Damage inside a whole JPEG is passed over as libjpeg does.) A PNG whose checksums fail is refused, where Pillow lets some pass.
//!
//! Measured against Pillow 13.0.0: no difference at all, neither on the 85 small files of the tests (all formats,
//! sampled, progressive, CMYK, 16 bits, every orientation) nor on 237 JPEG files made from two photographs and
//! synthetic pictures (4:4:4, 4:2:2, 4:2:0, baseline and progressive, grey, CMYK, RGB, quality 30 to 95).
//!
//! Nothing is allocated for pixels before the header's size is checked against [`MAX_PIXELS`] and [`MAX_SIDE`].

use std::io::Cursor;

use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, Limits, RgbImage};

use super::{gif, jpeg, tiff};
use crate::error::{Error, Result};

/// Most pixels an image may have: Pillow's limit for what it calls a decompression bomb.
pub const MAX_PIXELS: u64 = 178_956_970;

/// Longest side an image may have: JPEG's and GIF's own limit, held for every format.
pub const MAX_SIDE: u32 = 65_535;

/// Memory that a decoder may use beside the pixels: text chunks, colour profiles, strips.
pub(super) const SCRATCH_BYTES: u64 = 64 << 20;

/// What an image should have been and what it was; [`decode`] adds the name.
pub(super) struct Refusal {
    pub expected: String,
    pub found: String,
}

impl Refusal {
    pub(super) fn new(expected: impl Into<String>, found: impl Into<String>) -> Refusal {
        Refusal { expected: expected.into(), found: found.into() }
    }

    /// A decoder's complaint about the file.
    pub(super) fn broken(format: &str, problem: impl std::fmt::Display) -> Refusal {
        Refusal::new(format!("a complete, readable {format}"), problem.to_string())
    }
}

/// Decodes an image; `name` is its id in the data set, or its path, and only serves messages.
///
/// # Errors
/// [`Error::Image`] where the bytes are empty, are of no known format, end early or are damaged, use a variant of
/// their format that is not supported, or claim more than [`MAX_PIXELS`] pixels or a side above [`MAX_SIDE`].
///
/// ```
/// use wider_clip::images::{decode, encode_png};
/// let red = image::RgbImage::from_pixel(2, 1, image::Rgb([255, 0, 0]));
/// assert_eq!(decode("red", &encode_png(&red)?)?, red);
/// assert!(decode("nothing", b"").is_err());
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn decode(name: &str, bytes: &[u8]) -> Result<RgbImage> {
    let named = |Refusal { expected, found }| Error::Image { name: name.into(), expected, found };
    decode_bytes(bytes).map_err(named)
}

fn decode_bytes(bytes: &[u8]) -> Result<RgbImage, Refusal> {
    const EXPECTED: &str = "a JPEG, PNG, WebP, TIFF or GIF image";
    if bytes.is_empty() {
        return Err(Refusal::new(EXPECTED, "no bytes at all"));
    }
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => jpeg::decode(bytes),
        Ok(ImageFormat::Tiff) => tiff::decode(bytes),
        Ok(ImageFormat::Gif) => gif::decode(bytes),
        Ok(ImageFormat::Png) => {
            let limits = limits(SCRATCH_BYTES);
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits);
            read("PNG", decoder.map_err(|problem| Refusal::broken("PNG", problem))?)
        }
        Ok(ImageFormat::WebP) => {
            let decoder = WebPDecoder::new(Cursor::new(bytes));
            read("WebP", decoder.map_err(|problem| Refusal::broken("WebP", problem))?)
        }
        Ok(other) => Err(Refusal::new(EXPECTED, format!("the format {other:?}"))),
        Err(_) if bytes.starts_with(b"II\x2b\0") || bytes.starts_with(b"MM\0\x2b") => tiff::decode(bytes), // BigTIFF
        Err(_) => Err(Refusal::new(EXPECTED, format!("{} bytes that are none of these", bytes.len()))),
    }
}

/// Refuses images too large to be anything but a mistake or an attack, and images without pixels.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), Refusal> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAX_PIXELS || width.max(height) > MAX_SIDE {
        let expected = format!("1 to {MAX_PIXELS} pixels and no side above {MAX_SIDE}");
        return Err(Refusal::new(expected, format!("{width} x {height} pixels")));
    }
    Ok(())
}

fn limits(max_alloc: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(max_alloc);
    limits
}

/// Reads the pixels with one of the `image` crate's decoders.
pub(super) fn read(format: &str, mut decoder: impl ImageDecoder) -> Result<RgbImage, Refusal> {
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    let broken = |problem| Refusal::broken(format, problem);
    decoder.set_limits(limits(decoder.total_bytes() + SCRATCH_BYTES)).map_err(broken)?;
    let exif = decoder.exif_metadata().map_err(broken)?;
    let xmp = decoder.xmp_metadata().map_err(broken)?;
    let image = to_rgb(DynamicImage::from_decoder(decoder).map_err(broken)?)?;
    Ok(oriented(image, orientation(exif.as_deref(), xmp.as_deref())))
}

/// Turns and mirrors the image upright.
pub(super) fn oriented(image: RgbImage, orientation: Orientation) -> RgbImage {
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    image.into_rgb8()
}

/// The orientation that EXIF states or else XMP; upright where neither does.
pub(super) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let from_exif = exif.and_then(|exif| {
        // Some writers keep JPEG's prefix where the format asks for bare EXIF.
        Orientation::from_exif_chunk(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif))
    });
    from_exif.or_else(|| xmp.and_then(xmp_orientation)).unwrap_or(Orientation::NoTransforms)
}

/// `tiff:Orientation="6"` or `<tiff:Orientation>6<`, the two ways that XMP writes it.
fn xmp_orientation(xmp: &[u8]) -> Option<Orientation> {
    let text = String::from_utf8_lossy(xmp);
    let mut values = text.split("tiff:Orientation").skip(1);
    values.find_map(|rest| {
        let value = rest.strip_prefix("=\"").or_else(|| rest.strip_prefix('>'))?;
        Orientation::from_exif(value.bytes().next()?.wrapping_sub(b'0'))
    })
}

/// Drops alpha, spreads grey, and keeps the high byte of 16 bits.
fn to_rgb(image: DynamicImage) -> Result<RgbImage, Refusal> {
    let (width, height) = (image.width(), image.height());
    let pixels = match image {
        DynamicImage::ImageRgb8(image) => return Ok(image),
        DynamicImage::ImageLuma8(grey) => pick(grey.as_raw(), 1, [0; 3], |value| value),
        DynamicImage::ImageLumaA8(grey) => pick(grey.as_raw(), 2, [0; 3], |value| value),
        DynamicImage::ImageRgba8(colour) => pick(colour.as_raw(), 4, [0, 1, 2], |value| value),
        DynamicImage::ImageLuma16(grey) => pick(grey.as_raw(), 1, [0; 3], high_byte),
        DynamicImage::ImageLumaA16(grey) => pick(grey.as_raw(), 2, [0; 3], high_byte),
        DynamicImage::ImageRgb16(colour) => pick(colour.as_raw(), 3, [0, 1, 2], high_byte),
        DynamicImage::ImageRgba16(colour) => pick(colour.as_raw(), 4, [0, 1, 2], high_byte),
        other => return Err(Refusal::new("8 or 16 bits a channel", format!("{:?}", other.color()))),
    };
    Ok(from_pixels(width, height, pixels))
}

/// The upper eight of sixteen bits.
pub(super) fn high_byte(value: u16) -> u8 {
    (value >> 8) as u8
}

/// From pixels of `n_channels` samples, the three at `places` as bytes.
pub(super) fn pick<T: Copy>(samples: &[T], n_channels: usize, places: [usize; 3], byte: fn(T) -> u8) -> Vec<u8> {
    samples.chunks_exact(n_channels).flat_map(|pixel| places.map(|place| byte(pixel[place]))).collect()
}

/// An image from bytes whose number was made to fit.
pub(super) fn from_pixels(width: u32, height: u32, pixels: Vec<u8>) -> RgbImage {
    RgbImage::from_raw(width, height, pixels).expect("callers give three bytes for each pixel")
}

/// One pixel of naive CMYK, 0 no ink and 255 full ink, with Pillow's rounding.
pub(super) fn cmyk_to_rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = 255 - black;
    // The nearest whole number to ink * light / 255; halves cannot happen, 255 being odd.
    let taken = |ink: u8| ((u32::from(ink) * u32::from(light) + 127) / 255) as u8;
    [cyan, magenta, yellow].map(|ink| light - taken(ink))
}
