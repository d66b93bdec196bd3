//! A hash of what an SVG draws, whichever packager wrote the file.
//!
//! Sets pass through tools that move attributes, drop classes and rename ids, so that two files of one drawing are
//! seldom equal. What they keep is the geometry: the path data and the numbers of circles, lines and polygons. The
//! hash covers those, in document order, with white space and commas made one. Colours and stroke widths are not in
//! it, so it finds more than equal pictures, never fewer; it is compared only with the evaluation sets.

use sha2::{Digest, Sha256};

/// Attributes that hold geometry.
const SHAPES: &[&str] =
    &["d", "points", "cx", "cy", "r", "rx", "ry", "x", "y", "x1", "y1", "x2", "y2", "width", "height"];

/// SHA-256 of the normalised drawing in lower-case hexadecimal; of the whole text where it has no geometry.
pub fn hash(svg: &str) -> String {
    // The root's own size is no shape.
    let body = match (svg.find("<svg"), svg.find('>')) {
        (Some(start), Some(end)) if start < end => &svg[end + 1..],
        _ => svg,
    };
    let mut shapes = String::new();
    let mut rest = body;
    while let Some(at) = rest.find("=\"") {
        let name = rest[..at].rsplit([' ', '\n', '\t']).next().unwrap_or("");
        let value = &rest[at + 2..];
        let end = value.find('"').unwrap_or(value.len());
        if SHAPES.contains(&name) {
            shapes.push_str(name);
            shapes.push('=');
            shapes.push_str(&squeezed(&value[..end]));
            shapes.push(';');
        }
        rest = value.get(end + 1..).unwrap_or("");
    }
    let text = if shapes.is_empty() { body } else { &shapes };
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One space for any run of white space and commas, none beside a letter of a path.
fn squeezed(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut gap = false;
    for c in value.chars() {
        if c.is_whitespace() || c == ',' {
            gap = true;
            continue;
        }
        let joins = c.is_ascii_alphabetic() || out.ends_with(|p: char| p.is_ascii_alphabetic());
        if gap && !out.is_empty() && !joins {
            out.push(' ');
        }
        gap = false;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn packaging_does_not_count_but_geometry_does() {
        let a = r#"<svg width="24"><path fill="none" d="M 4,4 L8 8"/></svg>"#;
        let b = r##"<svg height="9" class="x"><g stroke="#000"><path d="M4 4L8 8"/></g></svg>"##;
        let c = r#"<svg width="24"><path d="M4 4L8 9"/></svg>"#;
        assert_eq!(hash(a), hash(b));
        assert_ne!(hash(a), hash(c));
        assert_eq!(hash(a).len(), 64);
    }
}
