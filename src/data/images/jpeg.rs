//! JPEG. A whole, undamaged file is decoded bit for bit as libjpeg-turbo (which Pillow uses) does.
//!
//! ITU-T T.81 leaves the rounding of the inverse transform, of the chroma upsampling and of the colour conversion to
//! the decoder, and the decoders written in Rust choose otherwise than libjpeg: measured on 4:2:0 photographs, the
//! `image` crate's differs in about a fifth of all values, by up to 9 grey levels at the right and lower edges.
//! Features are compared with those of PyTorch here, so this decoder takes libjpeg's choices: the "slow integer"
//! inverse transform, "fancy" triangle upsampling, and 16-bit fixed-point colour conversion.
//!
//! Covered: Huffman-coded baseline, extended and progressive files of 8 bits a sample; 1, 3 or 4 components; any
//! whole-number sampling; restart intervals; files without Huffman tables, such as frames of motion JPEG, by the standard
//! ones. Refused by name: arithmetic coding, lossless, hierarchical, 12 bits.
//! As Pillow does, a file that ends early is refused, while damage inside the data (which libjpeg only warns of)
//! leaves grey blocks and an image.
//!
//! Where this differs from libjpeg:
//!
//! - A progressive file whose last scans are missing, so that low frequencies are still coarse, is refused even where it
//!   ends with a mark: libjpeg smooths between its blocks, and the values would differ by up to a third of the range.
//! - Damaged data give a picture on both sides, but not always the same values behind the damage: where restart markers
//!   are missing or doubled above all, libjpeg goes on elsewhere.

mod entropy;
mod samples;
mod standard;

use image::RgbImage;

use self::entropy::{Huffman, Scan, decode_scan};
use self::samples::{Plane, ycc_to_rgb};
use super::decode::{Refusal, cmyk_to_rgb, from_pixels, oriented};
use super::exif;
use super::limits::{Share, check_size, reserve};

/// Most scans a progressive file may have. Ten are usual; a file of thousands only serves to keep a reader busy.
const MAX_SCANS: usize = 200;

/// How often all scans together may come to each block, on average. Usual files come to it five times, and those that give
/// every bit of the coefficients a scan of its own ten times.
const MAX_VISITS: usize = 16;

/// Visits to blocks that are allowed in any case: a picture of a million pixels in 200 scans.
const FREE_VISITS: usize = 8 << 20;

/// Bytes of a JFIF segment; a shorter one is not taken for JFIF, as in libjpeg.
const JFIF_LENGTH: usize = 14;

/// libjpeg guesses coefficients from the blocks around where a progressive file has not given one of those beyond the first,
/// in the file's order up to this one, to the last bit.
const SMOOTHED: usize = 5;

/// Coefficient order in the file, as positions in a block of eight rows of eight.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

fn broken(problem: impl std::fmt::Display) -> Refusal {
    Refusal::broken("JPEG", problem)
}

fn truncated() -> Refusal {
    broken("a file that ends early")
}

/// One colour component: its sampling and its quantised coefficients.
struct Component {
    id: u8,
    /// Samples across and down in each unit of interleaved data.
    horizontal: usize,
    vertical: usize,
    quantization: usize,
    /// The table in force when the component's first scan began, in the file's order.
    table: Option<[u16; 64]>,
    /// Size in samples, without padding.
    width: usize,
    height: usize,
    /// Blocks across, with the padding that interleaving needs.
    blocks_across: usize,
    /// Blocks, row by row.
    blocks: Vec<[i16; 64]>,
    /// For each coefficient in the file's order the bits that are still to come, in a progressive file; `None`: all.
    missing: [Option<u32>; 64],
}

/// Which colours the components mean.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Colours {
    /// What the samples are, whatever colours they mean.
    Raw,
    /// YCbCr, whatever the markers say.
    Ycc,
}

/// The samples of a JPEG that is a part of another file, those of a pixel beside each other.
pub(super) struct Segment {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) n_components: usize,
    pub(super) samples: Vec<u8>,
}

/// What a start-of-frame segment says.
struct Frame {
    progressive: bool,
    width: usize,
    height: usize,
    /// The largest sampling of any component.
    horizontal: usize,
    vertical: usize,
    components: Vec<Component>,
    n_blocks: usize,
    /// Of the memory that large pictures take together.
    share: Option<Share>,
}

/// Everything read so far.
#[derive(Default)]
struct State<'a> {
    n_bytes: usize,
    frame: Option<Frame>,
    quantization: [Option<[u16; 64]>; 4],
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    restart_interval: usize,
    jfif: bool,
    adobe: Option<u8>,
    /// All EXIF segments, one behind the other.
    exif: Vec<u8>,
    xmp: Option<&'a [u8]>,
    n_scans: usize,
    /// Blocks that the scans came to.
    n_visits: usize,
    /// For a part of another file, which has its share of the memory and ends it: width and height, at most.
    part_of: Option<(usize, usize)>,
}

/// Decodes and turns upright.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, Refusal> {
    let mut state = State { n_bytes: bytes.len(), ..State::default() };
    state.read_all(bytes)?;
    let turn = exif::orientation(exif::stated_in_chunk(&state.exif, 2), state.xmp);
    let (jfif, adobe) = (state.jfif, state.adobe);
    let frame = state.whole_frame()?;
    Ok(oriented(frame.into_rgb(jfif, adobe)?, turn))
}

/// Decodes a JPEG that is a part of another file, of `most` pixels across and down; `tables` are those that it shares with
/// other parts.
pub(super) fn decode_segment(
    tables: Option<&[u8]>,
    bytes: &[u8],
    colours: Colours,
    most: (usize, usize),
) -> Result<Segment, Refusal> {
    let mut state = State { n_bytes: bytes.len(), part_of: Some(most), ..State::default() };
    for stream in [tables.unwrap_or(b"\xFF\xD8"), bytes] {
        if !stream.starts_with(b"\xFF\xD8") {
            return Err(broken("a part that does not begin as a JPEG"));
        }
        state.read_all(stream)?;
    }
    let frame = state.whole_frame()?;
    let (width, height, n_components) = (frame.width, frame.height, frame.components.len());
    let planes = frame.into_planes()?;
    let mut samples = vec![0; width * height * n_components];
    for (y, row) in samples.chunks_exact_mut(width * n_components).enumerate() {
        for (place, plane) in planes.iter().enumerate() {
            row[place..].iter_mut().step_by(n_components).zip(plane.row(y)).for_each(|(out, &sample)| *out = sample);
        }
        if colours == Colours::Ycc && n_components == 3 {
            row.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| *pixel = ycc_to_rgb(pixel[0], pixel[1], pixel[2]));
        }
    }
    Ok(Segment { width, height, n_components, samples })
}

fn short(marker: u8) -> Refusal {
    broken(format!("a segment {marker:02X} that is too short"))
}

/// The next marker's second byte; whatever stands before it is skipped, as libjpeg does.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        *at += bytes.get(*at..)?.iter().position(|&byte| byte == 0xFF)?;
        *at += bytes[*at..].iter().position(|&byte| byte != 0xFF)?;
        *at += 1;
        if bytes[*at - 1] != 0 {
            return Some(bytes[*at - 1]);
        }
    }
}

/// The content of the segment at `at`, which moves behind it.
fn segment<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = usize::from(u16::from_be_bytes([*bytes.get(*at)?, *bytes.get(*at + 1)?]));
    let content = bytes.get(*at + 2..*at + length.max(2))?;
    *at += length.max(2);
    Some(content)
}

fn word(segment: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*segment.get(at)?, *segment.get(at + 1)?]))
}

impl<'a> State<'a> {
    /// Reads a file, from behind the start-of-image marker by which its format was told, to the end-of-image marker.
    fn read_all(&mut self, bytes: &'a [u8]) -> Result<(), Refusal> {
        let mut at = 2;
        loop {
            let marker = match next_marker(bytes, &mut at) {
                Some(marker) => marker,
                None if self.part_of.is_some() => return Ok(()), // whole scans were read; libtiff asks for no end either
                None => return Err(truncated()),
            };
            match marker {
                0xD9 => return Ok(()),
                0x01 | 0xD0..=0xD8 => continue, // markers without a segment
                _ => {}
            }
            let segment = segment(bytes, &mut at).ok_or_else(truncated)?;
            if marker != 0xDA {
                self.read(marker, segment).map_err(|problem| problem.unwrap_or_else(|| short(marker)))?;
                continue;
            }
            self.n_scans += 1;
            if self.n_scans > MAX_SCANS {
                return Err(broken(format!("more than {MAX_SCANS} scans")));
            }
            at = self.scan(segment, bytes, at)?;
        }
    }

    fn whole_frame(self) -> Result<Frame, Refusal> {
        let n_scans = self.n_scans;
        let frame = self.frame.filter(|_| n_scans > 0).ok_or_else(|| broken("a file without an image"))?;
        frame.check_scans(n_scans)?;
        Ok(frame)
    }

    /// Takes in a segment other than a scan. `Err(None)` says that it is too short.
    fn read(&mut self, marker: u8, segment: &'a [u8]) -> Result<(), Option<Refusal>> {
        match marker {
            0xC0..=0xC2 if self.frame.is_some() => return Err(Some(broken("two frames"))),
            0xC0..=0xC2 => self.frame = Some(Frame::new(segment, marker == 0xC2, self.n_bytes, self.part_of)?),
            0xC4 => self.read_huffman(segment)?,
            0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                let found = format!("process {:02X} (lossless, hierarchical or arithmetic)", marker);
                return Err(Some(Refusal::new("a baseline or progressive Huffman-coded JPEG", found)));
            }
            0xDB => self.read_quantization(segment)?,
            0xDD => self.restart_interval = usize::from(word(segment, 0).ok_or(None)?),
            // Only what stands before the first scan, as in libjpeg and Pillow: by then colours and orientation are settled.
            0xE0 | 0xE1 | 0xEE if self.n_scans > 0 => {}
            0xE0 => self.jfif |= segment.len() >= JFIF_LENGTH && segment.starts_with(b"JFIF\0"),
            // EXIF may go on in further segments, of XMP the last counts.
            0xE1 if segment.starts_with(b"Exif\0\0") => {
                self.exif.extend(if self.exif.is_empty() { segment } else { &segment[6..] });
            }
            0xE1 if segment.starts_with(b"http://ns.adobe.com/xap/1.0/\0") => self.xmp = Some(segment),
            0xEE if segment.starts_with(b"Adobe") => self.adobe = segment.get(11).copied().or(self.adobe),
            _ => {}
        }
        Ok(())
    }

    fn read_quantization(&mut self, mut segment: &[u8]) -> Result<(), Option<Refusal>> {
        while let Some((&head, rest)) = segment.split_first() {
            let wide = head >> 4 != 0;
            let (values, rest) = rest.split_at_checked(if wide { 128 } else { 64 }).ok_or(None)?;
            let slot = self.quantization.get_mut(usize::from(head & 15));
            let slot = slot.ok_or_else(|| broken("a quantisation table beyond the fourth"))?;
            *slot = Some(std::array::from_fn(|i| {
                if wide { u16::from_be_bytes([values[2 * i], values[2 * i + 1]]) } else { u16::from(values[i]) }
            }));
            segment = rest;
        }
        Ok(())
    }

    fn read_huffman(&mut self, mut segment: &[u8]) -> Result<(), Option<Refusal>> {
        while let Some((&head, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(None)?;
            let n_symbols = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(n_symbols).ok_or(None)?;
            let tables = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let slot = tables.get_mut(usize::from(head & 15));
            let slot = slot.ok_or_else(|| broken("a Huffman table beyond the fourth"))?;
            *slot = Some(Huffman::new(counts, symbols).ok_or_else(|| broken("an impossible Huffman table"))?);
            segment = rest;
        }
        Ok(())
    }

    /// Decodes the scan whose header is `segment` and whose data begins at `at`; gives where the data ends.
    fn scan(&mut self, segment: &[u8], bytes: &[u8], at: usize) -> Result<usize, Refusal> {
        let frame = self.frame.as_mut().ok_or_else(|| broken("a scan before its frame"))?;
        let scan = Scan::new(segment, frame)?;
        if self.n_scans == 1 && !frame.progressive {
            standard::fill(&mut self.dc, &mut self.ac);
        }
        for part in &scan.parts {
            let component = &mut frame.components[part.component];
            if component.table.is_none() {
                component.table = self.quantization[component.quantization];
            }
            component.missing[scan.first..=scan.last].fill(Some(scan.low));
        }
        self.n_visits += scan.n_visits(frame);
        let most = FREE_VISITS.max(MAX_VISITS * frame.n_blocks);
        if self.n_visits > most {
            let found = format!("{} scans that come to its {} blocks more often", self.n_scans, frame.n_blocks);
            return Err(Refusal::new(format!("a JPEG whose scans come to at most {most} blocks"), found));
        }
        decode_scan(&scan, frame, (&self.dc, &self.ac), self.restart_interval, bytes, at)
    }
}

impl Frame {
    /// Reads a start-of-frame segment of a file of `n_bytes`, or of a part of `part_of` pixels at most. `Err(None)` says
    /// that it is too short.
    fn new(
        segment: &[u8],
        progressive: bool,
        n_bytes: usize,
        part_of: Option<(usize, usize)>,
    ) -> Result<Frame, Option<Refusal>> {
        let (height, width) = (word(segment, 1).ok_or(None)?, word(segment, 3).ok_or(None)?);
        let n_components = usize::from(*segment.get(5).ok_or(None)?);
        if segment[0] != 8 || ![1, 3, 4].contains(&n_components) {
            let found = format!("{} bits and {n_components} components", segment[0]);
            return Err(Some(Refusal::new("a JPEG of 8 bits a sample and 1, 3 or 4 components", found)));
        }
        check_size(u32::from(width), u32::from(height))?;
        let (width, height) = (usize::from(width), usize::from(height));
        if let Some((across, down)) = part_of.filter(|(across, down)| width > *across || height > *down) {
            let found = format!("a JPEG of {width} x {height} pixels in a strip or tile of {across} x {down}");
            return Err(Some(broken(found)));
        }
        let described = segment[6..].as_chunks::<3>().0.get(..n_components).ok_or(None)?;
        let sampling = |pair: u8| (usize::from(pair >> 4), usize::from(pair & 15));
        for &[_, pair, quantization] in described {
            let (h, v) = sampling(pair);
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || quantization > 3 {
                return Err(Some(broken(format!("sampling {h} x {v}, table {quantization}"))));
            }
        }
        let horizontal = described.iter().map(|d| sampling(d[1]).0).max().unwrap_or(1);
        let vertical = described.iter().map(|d| sampling(d[1]).1).max().unwrap_or(1);
        let units = (width.div_ceil(8 * horizontal), height.div_ceil(8 * vertical));
        let n_blocks: usize = described.iter().map(|d| units.0 * units.1 * sampling(d[1]).0 * sampling(d[1]).1).sum();
        if n_blocks > 8 * n_bytes {
            // Every block takes a bit at least: no memory for a file that cannot fill it.
            return Err(Some(broken(format!("{n_bytes} bytes for {width} x {height} pixels"))));
        }
        // Coefficients, samples, samples of full size and pixels.
        let memory = (128 + 64) * n_blocks + (n_components + 3) * width * height;
        let share = part_of.is_none().then(|| reserve(memory as u64));
        let component = |&[id, pair, quantization]: &[u8; 3]| {
            let (h, v) = sampling(pair);
            Component {
                id,
                horizontal: h,
                vertical: v,
                quantization: usize::from(quantization),
                table: None,
                width: (width * h).div_ceil(horizontal),
                height: (height * v).div_ceil(vertical),
                blocks_across: units.0 * h,
                blocks: vec![[0; 64]; units.0 * h * units.1 * v],
                missing: [None; 64],
            }
        };
        let components = described.iter().map(component).collect();
        Ok(Frame { progressive, width, height, horizontal, vertical, components, n_blocks, share })
    }

    /// Refuses a progressive picture whose last scans are missing: libjpeg would smooth between its coarse blocks.
    fn check_scans(&self, n_scans: usize) -> Result<(), Refusal> {
        let coarse = |component: &&Component| component.missing[1..=SMOOTHED].iter().any(|bits| *bits != Some(0));
        match self.components.iter().find(coarse) {
            Some(component) if self.progressive => {
                let found = format!("component {} still coarse after the last scan, number {n_scans}", component.id);
                Err(Refusal::new("a progressive JPEG with all of its scans", found))
            }
            _ => Ok(()),
        }
    }

    /// Samples of full size, a plane a component.
    fn into_planes(self) -> Result<Vec<Plane>, Refusal> {
        let Frame { horizontal, vertical, components, .. } = self;
        let mut planes = Vec::with_capacity(components.len());
        for component in components {
            let (h, v) = (component.horizontal, component.vertical);
            if horizontal % h != 0 || vertical % v != 0 {
                return Err(Refusal::new(
                    "whole-number chroma sampling",
                    format!("{h} of {horizontal} x {v} of {vertical}"),
                ));
            }
            planes.push(Plane::new(component)?.upsampled(horizontal / h, vertical / v));
        }
        Ok(planes)
    }

    /// Samples, upsampling and colour.
    fn into_rgb(mut self, jfif: bool, adobe: Option<u8>) -> Result<RgbImage, Refusal> {
        let (width, height) = (self.width, self.height);
        let ids: Vec<u8> = self.components.iter().map(|component| component.id).collect();
        let _share = self.share.take();
        let planes = self.into_planes()?;
        let row = |plane: usize, y: usize| &planes[plane].row(y)[..width];
        let mut pixels = Vec::with_capacity(3 * width * height);
        // Which colours the components mean, by libjpeg's rules.
        let plain_rgb = !jfif && adobe.map_or(ids == *b"RGB", |transform| transform == 0);
        let ycck = adobe.is_some_and(|transform| transform != 0);
        for y in 0..height {
            match planes.len() {
                1 => pixels.extend(row(0, y).iter().flat_map(|&grey| [grey; 3])),
                3 => {
                    let three = row(0, y).iter().zip(row(1, y)).zip(row(2, y));
                    let colour =
                        |((&a, &b), &c): ((&u8, &u8), &u8)| if plain_rgb { [a, b, c] } else { ycc_to_rgb(a, b, c) };
                    pixels.extend(three.flat_map(colour));
                }
                _ => {
                    let four = row(0, y).iter().zip(row(1, y)).zip(row(2, y)).zip(row(3, y));
                    pixels.extend(four.flat_map(|(((&a, &b), &c), &k)| {
                        // Adobe writes the absence of ink; in YCCK the three colours are inverted once more.
                        let absent = if ycck { ycc_to_rgb(a, b, c).map(|value| 255 - value) } else { [a, b, c] };
                        cmyk_to_rgb([255 - absent[0], 255 - absent[1], 255 - absent[2], 255 - k])
                    }));
                }
            }
        }
        Ok(from_pixels(width as u32, height as u32, pixels))
    }
}
