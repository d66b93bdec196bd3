//! Strips and tiles that are JPEG files of their own, with tables that the directory holds for all of them.

use super::broken;
use super::directory::Layout;
use crate::images::decode::Refusal;
use crate::images::jpeg::{self, Colours};

/// The rows of a chunk, samples beside each other.
pub(super) fn rows(layout: &Layout, segment: &[u8], n_rows: usize) -> Result<Vec<u8>, Refusal> {
    if layout.bits != 8 {
        return Err(Refusal::new("JPEG in a TIFF of 8 bits a sample", format!("{} bits", layout.bits)));
    }
    // As libtiff does: colours only where the directory says YCbCr, whatever markers the segment has.
    let colours = if layout.photometric == super::YCBCR && !layout.planar { Colours::Ycc } else { Colours::Raw };
    let (width, n_together) = (layout.chunk.0, layout.n_together());
    let image = jpeg::decode_segment(layout.jpeg_tables, segment, colours, (width, layout.chunk.1.max(n_rows)))?;
    let found = image.n_components;
    if found != n_together || image.width < width || image.height < n_rows {
        let found = format!("a JPEG of {} x {} pixels of {found} samples", image.width, image.height);
        return Err(broken(format!("{found} in a strip or tile of {width} x {n_rows} of {n_together}")));
    }
    Ok(image.samples)
}
