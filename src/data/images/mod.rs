//! Images: from a file's bytes to the numbers that a model reads, and to pictures on a page.
//!
//! [`decode`] gives 8-bit RGB pixels, [`Preprocess`] resizes, crops and normalises them as a model's record says,
//! [`resize`] is the resizing alone; [`thumbnail`] and [`encode_png`] serve galleries. The reference for all of it is
//! Pillow 13 with torchvision's transforms: tests/reference/images.py and images_kinds.py make the expected values.
//! What a file alone does not say, which bands and values of a scientific picture are shown, is a [`Reading`]. A
//! [`Corruption`] makes an image worse by a known amount; its reference is ImageNet-C's own program
//! (tests/reference/corruptions.py). [`Fingerprint`]s find pictures that are nearly the same, an [`Appearance`] says
//! how a picture looks in numbers: what a set of images is checked with.

mod appearance;
mod bmp;
mod corrupt;
mod decode;
mod exif;
mod fingerprint;
mod formats;
mod gif;
mod jpeg;
mod limits;
mod png;
mod preprocess;
mod reading;
mod resize;
mod thumbnail;
mod tiff;
mod webp;

/// Raised whenever a change in decoding, resizing or cropping moves a pixel: part of the key of all that is made of pixels.
pub const CODE_VERSION: u32 = 2;

pub use appearance::{
    Appearance, Check, FileKind, Limits, PERCENTILES, Shortcoming, TRAITS, odd_sizes, shortcomings, traits_of,
};
pub use corrupt::{Corruption, CorruptionKind, Scale};
pub use decode::{decode, decode_as};
pub use fingerprint::{Fingerprint, NearKind, NearPair, near_duplicates, near_groups};
pub use limits::{MAX_PIXELS, MAX_SIDE};
pub use preprocess::{Preprocess, ResizeMode};
pub use reading::Reading;
pub use resize::{Interpolation, Window, resize, resize_window};
pub use thumbnail::{encode_png, thumbnail};
