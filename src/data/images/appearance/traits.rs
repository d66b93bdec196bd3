//! What a picture shows without being looked at: if a classifier can tell classes from these numbers alone, a set's
//! labels go with how its pictures were made, and a score on it says less than it seems.

use super::Appearance;

/// The kind of a picture's file, told from its bytes as the reader of images does, not from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    WebP,
    /// TIFF.
    Tiff,
    /// GIF.
    Gif,
    /// BMP.
    Bmp,
    /// Anything else.
    Other,
}

impl FileKind {
    /// From the first bytes of a file; 12 suffice.
    pub fn of(bytes: &[u8]) -> FileKind {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => FileKind::Jpeg,
            [0x89, b'P', b'N', b'G', ..] => FileKind::Png,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => FileKind::WebP,
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => FileKind::Tiff,
            [b'G', b'I', b'F', b'8', ..] => FileKind::Gif,
            [b'B', b'M', ..] => FileKind::Bmp,
            _ => FileKind::Other,
        }
    }
}

/// Names of the columns of [`traits_of`].
pub const TRAITS: [&str; 18] = [
    "width",
    "height",
    "aspect",
    "bytes",
    "bytes a pixel",
    "red",
    "green",
    "blue",
    "brightness",
    "entropy",
    "edges",
    "jpeg",
    "png",
    "webp",
    "tiff",
    "gif",
    "bmp",
    "other",
];

/// One row of numbers for a picture, in the order of [`TRAITS`]: the logarithms (base 2) of width, height, width over
/// height, bytes of the file and bytes a pixel; mean colour and brightness, 0 to 1; entropy in bits; the edges'
/// deviation over 255; and a 1 in the column of the file's kind. All are finite; a side or a file of 0 counts as 1.
/// Standardise them before a probe.
///
/// ```
/// use wider_clip::images::{Appearance, FileKind, TRAITS, traits_of};
///
/// let row = traits_of(&Appearance::of(&image::RgbImage::new(64, 32)), 2048, FileKind::Png);
/// assert_eq!((row[0], row[1], row[2], row[3], row[4]), (6.0, 5.0, 1.0, 11.0, 0.0));
/// assert_eq!(TRAITS.iter().position(|name| *name == "png"), row.iter().rposition(|value| *value == 1.0));
/// ```
pub fn traits_of(appearance: &Appearance, bytes: u64, kind: FileKind) -> [f32; 18] {
    let log = |value: u64| (value.max(1) as f64).log2();
    let (width, height, bytes) = (log(appearance.width.into()), log(appearance.height.into()), log(bytes));
    let [red, green, blue] = appearance.mean.map(|mean| mean / 255.0);
    let kinds =
        [FileKind::Jpeg, FileKind::Png, FileKind::WebP, FileKind::Tiff, FileKind::Gif, FileKind::Bmp, FileKind::Other]
            .map(|known| if known == kind { 1.0 } else { 0.0 });
    let numbers = [
        width,
        height,
        width - height,
        bytes,
        bytes - width - height,
        red,
        green,
        blue,
        appearance.brightness,
        appearance.entropy,
        appearance.edges / 255.0,
    ];
    let mut row = [0f32; 18];
    row.iter_mut().zip(numbers.into_iter().chain(kinds)).for_each(|(entry, value)| *entry = value as f32);
    row
}
