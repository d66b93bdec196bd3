//! The names of formats that are not read, told from a file's first bytes: a refusal that says what a file is.

/// What the file is, as the end of "found ...".
pub(super) fn name_of(bytes: &[u8]) -> String {
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).to_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let brand = (bytes.get(4..8) == Some(b"ftyp")).then(|| bytes.get(8..12).unwrap_or(b"?")).unwrap_or(b"");
    let image = match brand {
        b"avif" | b"avis" => "an AVIF image",
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => "a HEIC image",
        b"mif1" | b"msf1" | b"mif2" if bytes.windows(4).take(64).any(|brand| brand == b"avif") => "an AVIF image",
        b"mif1" | b"msf1" | b"mif2" => "a HEIF image",
        b"crx " => "a raw camera file (CR3)",
        b"" => still_image(bytes, text),
        _ => "a video (MP4 or QuickTime)",
    };
    if !image.is_empty() {
        return format!("{image}, which is not read: convert it to JPEG, PNG or TIFF");
    }
    let other = match () {
        () if starts(b"version https://git-lfs") => {
            "a pointer of Git LFS in place of the file: fetch the data with `git lfs pull`"
        }
        () if starts(b"\0\x05\x16\x07") || starts(b"\0\x05\x16\0") => {
            "macOS's notes on a file (AppleDouble), not the file itself"
        }
        () if text.starts_with("<!doctype html") || text.starts_with("<html") => "a web page (HTML)",
        () if text.starts_with("<?xml") || text.starts_with('<') => "a text in XML or HTML",
        () if text.starts_with('{') || text.starts_with('[') => "a text in JSON",
        () if starts(b"%PDF") => "a PDF document",
        () if starts(b"PK\x03\x04") => "a zip archive",
        () if starts(b"\x1f\x8b") => "a gzip file",
        () if starts(b"BZh") => "a bzip2 file",
        () if starts(b"\xfd7zXZ\0") => "an xz file",
        () if starts(b"\x28\xb5\x2f\xfd") => "a Zstandard file",
        () if starts(b"7z\xbc\xaf\x27\x1c") => "a 7z archive",
        () if starts(b"Rar!") => "a RAR archive",
        () if starts(b"\x89HDF\r\n\x1a\n") => "an HDF5 file",
        () if starts(b"CDF\x01") || starts(b"CDF\x02") => "a NetCDF file",
        () if starts(b"\x93NUMPY") => "a NumPy array",
        () if starts(b"\x80\x02") || starts(b"\x80\x03") || starts(b"\x80\x04") || starts(b"\x80\x05") => {
            "a Python pickle"
        }
        () if starts(b"PAR1") => "a Parquet file",
        () if starts(b"\x1aE\xdf\xa3") => "a video (Matroska or WebM)",
        () if starts(b"RIFF") && bytes.get(8..12) == Some(b"AVI ") => "a video (AVI)",
        () if starts(b"RIFF") && bytes.get(8..12) == Some(b"WAVE") => "a sound (WAV)",
        () if starts(b"ID3") || starts(b"OggS") || starts(b"fLaC") => "a sound file",
        () if bytes.iter().all(|&byte| byte == 0) => return format!("{} bytes that are all zero", bytes.len()),
        () => return format!("{} bytes that are none of these", bytes.len()),
    };
    format!("{other} ({} bytes)", bytes.len())
}

/// Formats of still images, empty for none of them.
fn still_image(bytes: &[u8], text: &str) -> &'static str {
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    let svg = text.starts_with("<svg")
        || (text.starts_with("<?xml") || text.starts_with("<!--") || text.starts_with("<!doctype svg"))
            && text.contains("<svg");
    match () {
        () if starts(b"\xff\x0a") || starts(b"\0\0\0\x0cJXL \r\n\x87\n") => "a JPEG XL image",
        () if starts(b"\0\0\0\x0cjP  \r\n\x87\n") || starts(b"\xff\x4f\xff\x51") => "a JPEG 2000 image",
        () if starts(b"II\xbc\x01") => "a JPEG XR image",
        () if starts(b"\xff\xd8") || starts(b"\xff\xf7") => "",
        () if svg => "an SVG drawing",
        () if starts(b"8BPS") => "a Photoshop file",
        () if bytes.get(128..132) == Some(b"DICM") => "a DICOM file",
        () if starts(b"P") && bytes.get(1).is_some_and(|kind| (b'1'..=b'7').contains(kind)) => {
            if bytes.get(2).is_some_and(u8::is_ascii_whitespace) { "a PNM image (PBM, PGM, PPM or PAM)" } else { "" }
        }
        () if starts(b"PF\n") || starts(b"Pf\n") => "a PFM image",
        () if starts(b"qoif") => "a QOI image",
        () if starts(b"DDS ") => "a DDS texture",
        () if starts(b"#?RADIANCE") || starts(b"#?RGBE") => "a Radiance HDR image",
        () if starts(b"\x76\x2f\x31\x01") => "an OpenEXR image",
        () if starts(b"SIMPLE  =") => "a FITS file",
        () if starts(b"icns") => "an Apple icon",
        () if starts(b"farbfeld") => "a farbfeld image",
        () if starts(b"gimp xcf") => "a GIMP file",
        () if starts(b"\x01\xda") => "an SGI image",
        () if starts(b"\x59\xa6\x6a\x95") => "a Sun raster image",
        () if starts(b"AT&TFORM") => "a DjVu document",
        () if starts(b"%!PS") || starts(b"\xc5\xd0\xd3\xc6") => "a PostScript drawing",
        () if starts(b"\xd7\xcd\xc6\x9a") || bytes.get(40..44) == Some(b" EMF") => "a Windows metafile",
        () if starts(b"FUJIFILM") => "a raw camera file (RAF)",
        () if starts(b"IIU\0") => "a raw camera file (RW2)",
        () if starts(b"IIRO") || starts(b"IIRS") => "a raw camera file (ORF)",
        () if starts(b"/* XPM */") => "an XPM image",
        () if bytes.len() > 26 && bytes.ends_with(b"TRUEVISION-XFILE.\0") => "a TGA image",
        () if (starts(b"\0\0\x01\0") || starts(b"\0\0\x02\0")) && bytes.get(4..6).is_some_and(|n| n != [0; 2]) => {
            "a Windows icon or cursor"
        }
        () if starts(b"\x0a") && bytes.get(1).is_some_and(|&v| v <= 5) && bytes.get(2) == Some(&1) => "a PCX image",
        () => "",
    }
}
