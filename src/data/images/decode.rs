//! From the bytes of an image file to 8-bit RGB, as Pillow's
//! `ImageOps.exif_transpose(Image.open(file)).convert("RGB")`.
//!
//! - The format is told from the bytes, never from a file's name: JPEG, PNG, WebP, TIFF (first page), GIF (first frame),
//!   BMP (DIB too). Other formats are refused by their names.
//! - Alpha is dropped and the colour under it kept, as Pillow's conversion does; palettes and grey are spread out.
//! - CMYK is taken for Adobe's (inverted in JPEG) and converted without a colour profile.
//! - The orientation (1 to 8) comes from EXIF or, where EXIF is silent, from XMP: before the pixels and, in PNG, behind them.
//!   An orientation of 0 or 9 turns nothing and silences XMP, all as in Pillow. Other than there, XMP also counts beside EXIF
//!   whose header is damaged.
//! - Colour with 16 bits a channel keeps the high byte. On purpose different: 16-bit GREY keeps the high byte too,
//!   where Pillow clips everything above 255 to white, which turns nearly every such image into a white square.
//! - 16-bit samples of which hardly any reaches a quarter of the range (12-bit data, say) are refused, since they would come
//!   out nearly black: the data set's record names their `range`, or `[0, 65535]` where they are meant so ([`Reading`]).
//! - A file cut off at any byte gives an error or, where only trailing bytes are gone, all of its pixels; never a
//!   picture with a grey part. (Damage inside a whole JPEG is passed over, as libjpeg does, though not always to the same
//!   values.) A progressive JPEG whose last scans are missing is refused, where libjpeg smooths what there is. A PNG whose
//!   checksums fail is refused, where Pillow lets some pass.
//! - Read here and refused by Pillow: bands chosen by a record, grey with premultiplied alpha, planar TIFFs that Pillow mixes
//!   up, BMP bit fields of any place, JPEGs with odd sampling of all components. Read by Pillow and refused here, by name:
//!   lossless JPEG, CIELab, LZMA in TIFF, 32-bit grey without a `range`, PNG with a missing, second or odd palette or no end,
//!   PNM, TGA, AVIF, JPEG 2000.
//!
//! Measured against Pillow 13.0.0: no difference at all, neither on the 85 small files of the tests (all formats,
//! sampled, progressive, CMYK, 16 bits, every orientation) and 290 more (every layout of TIFF, BMP, EXIF, ...) nor on 237
//! JPEG files made from two photographs and synthetic pictures (4:4:4, 4:2:2, 4:2:0, baseline and progressive, grey, CMYK,
//! RGB, quality 30 to 95).
//!
//! # Limits
//!
//! Nothing is allocated for pixels before the header's size is checked.
//!
//! | what | most |
//! |---|---|
//! | pixels, a side | [`MAX_PIXELS`](super::MAX_PIXELS), [`MAX_SIDE`](super::MAX_SIDE) |
//! | memory beside the pixels: text, profiles, a row of a TIFF's tiles | 64 MB |
//! | samples a pixel of a TIFF; bytes that it unpacks to | 1024; 4 GB |
//! | a strip or tile of a TIFF that is unpacked as a whole (JPEG, fax, YCbCr) | 1 GB, or 24 bytes a pixel of the picture |
//! | bytes that the strips or tiles of a TIFF take, each as often as it is read | 8 times the file, or 128 MB |
//! | scans of a JPEG; blocks that all scans come to | 200; 16 times its blocks, or 8 million |
//! | memory of all pictures that need 64 MB or more, over all threads | 1 GB: threads wait for each other. One alone may need more |
//!
//! The largest lawful picture, a JPEG of [`MAX_PIXELS`](super::MAX_PIXELS) in three components of full size, takes 2.7 GB
//! while it is decoded. A panic in a decoder of another crate becomes an error with the file's name.

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, Limits, RgbImage};

use super::limits::{SCRATCH_BYTES, check_size, guarded, reserve};
use super::reading::Reading;
use super::{bmp, formats, gif, jpeg, png, tiff, webp};
use crate::error::{Error, Result};

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
/// their format that is not supported, or claim more than [`MAX_PIXELS`](super::MAX_PIXELS) pixels or a side above
/// [`MAX_SIDE`](super::MAX_SIDE); as [`decode_as`] without choices.
///
/// ```
/// use wider_clip::images::{decode, encode_png};
/// let red = image::RgbImage::from_pixel(2, 1, image::Rgb([255, 0, 0]));
/// assert_eq!(decode("red", &encode_png(&red)?)?, red);
/// assert!(decode("nothing", b"").is_err());
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn decode(name: &str, bytes: &[u8]) -> Result<RgbImage> {
    decode_as(name, bytes, &Reading::default())
}

/// As [`decode`], with the choices of a data set's record: which bands are shown, and which values are black and white.
///
/// # Errors
/// As [`decode`]; also where a TIFF lacks one of the bands, and where `reading` is senseless ([`Error::Argument`]).
pub fn decode_as(name: &str, bytes: &[u8], reading: &Reading) -> Result<RgbImage> {
    if let Some((what, expected, found)) = reading.problem() {
        return Err(Error::argument(what, expected, found));
    }
    let named = |Refusal { expected, found }| Error::Image { name: name.into(), expected, found };
    guarded(|| decode_bytes(bytes, reading)).map_err(named)
}

fn decode_bytes(bytes: &[u8], reading: &Reading) -> Result<RgbImage, Refusal> {
    const EXPECTED: &str = "a JPEG, PNG, WebP, TIFF, GIF or BMP image";
    if bytes.is_empty() {
        return Err(Refusal::new(EXPECTED, "no bytes at all"));
    }
    let picture = match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => return jpeg::decode(bytes),
        Ok(ImageFormat::Tiff) => return tiff::decode(bytes, reading),
        Ok(ImageFormat::Gif) => return gif::decode(bytes),
        Ok(ImageFormat::Bmp) => return bmp::decode(bytes),
        Ok(ImageFormat::Png) => png::decode(bytes)?,
        Ok(ImageFormat::WebP) => webp::decode(bytes)?,
        _ if bytes.starts_with(b"II\x2b\0") || bytes.starts_with(b"MM\0\x2b") => return tiff::decode(bytes, reading),
        _ if bmp::is_headless(bytes) => return bmp::decode_headless(bytes),
        _ => return Err(Refusal::new(EXPECTED, formats::name_of(bytes))),
    };
    Ok(oriented(to_rgb(picture.image, reading)?, picture.turn))
}

/// What a decoder of the `image` crate gave, and how to turn it.
pub(super) struct Picture {
    pub(super) image: DynamicImage,
    pub(super) turn: Orientation,
}

pub(super) fn limits(max_alloc: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(max_alloc);
    limits
}

/// Reads the pixels with one of the `image` crate's decoders.
pub(super) fn read(format: &str, mut decoder: impl ImageDecoder) -> Result<Picture, Refusal> {
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    let broken = |problem| Refusal::broken(format, problem);
    let _share = reserve(2 * decoder.total_bytes() + 3 * u64::from(width) * u64::from(height));
    decoder.set_limits(limits(decoder.total_bytes() + SCRATCH_BYTES)).map_err(broken)?;
    Ok(Picture { image: DynamicImage::from_decoder(decoder).map_err(broken)?, turn: Orientation::NoTransforms })
}

/// Turns and mirrors the image upright.
pub(super) fn oriented(image: RgbImage, orientation: Orientation) -> RgbImage {
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    image.into_rgb8()
}

/// Drops alpha, spreads grey, and brings 16 bits to eight.
fn to_rgb(image: DynamicImage, reading: &Reading) -> Result<RgbImage, Refusal> {
    let (width, height) = (image.width(), image.height());
    let sixteen = |samples: &[u16], n_channels: usize, places: [usize; 3]| {
        let mut scale = reading.of_sixteen();
        let pixels = samples.chunks_exact(n_channels).flat_map(|pixel| places.map(|place| scale.byte(pixel[place])));
        let pixels = pixels.collect();
        scale.check().map(|()| pixels)
    };
    let pixels = match image {
        DynamicImage::ImageRgb8(image) => return Ok(image),
        DynamicImage::ImageLuma8(grey) => pick(grey.as_raw(), 1, [0; 3]),
        DynamicImage::ImageLumaA8(grey) => pick(grey.as_raw(), 2, [0; 3]),
        DynamicImage::ImageRgba8(colour) => pick(colour.as_raw(), 4, [0, 1, 2]),
        DynamicImage::ImageLuma16(grey) => sixteen(grey.as_raw(), 1, [0; 3])?,
        DynamicImage::ImageLumaA16(grey) => sixteen(grey.as_raw(), 2, [0; 3])?,
        DynamicImage::ImageRgb16(colour) => sixteen(colour.as_raw(), 3, [0, 1, 2])?,
        DynamicImage::ImageRgba16(colour) => sixteen(colour.as_raw(), 4, [0, 1, 2])?,
        other => return Err(Refusal::new("8 or 16 bits a channel", format!("{:?}", other.color()))),
    };
    Ok(from_pixels(width, height, pixels))
}

/// From pixels of `n_channels` samples, the three at `places`.
fn pick(samples: &[u8], n_channels: usize, places: [usize; 3]) -> Vec<u8> {
    samples.chunks_exact(n_channels).flat_map(|pixel| places.map(|place| pixel[place])).collect()
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
