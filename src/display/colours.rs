//! One look a model, everywhere: colour, marker and dash.
//!
//! The colours are ten that stay apart for the common kinds of colour blindness on white; as there are more models
//! than that, the marker and the dash tell the rest apart. A model's place in the list decides, so it never changes
//! with what else a chart shows.

/// How a model is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// `#rrggbb`.
    pub colour: &'static str,
    /// plotly marker symbol.
    pub marker: &'static str,
    /// plotly dash.
    pub dash: &'static str,
}

const COLOURS: [&str; 10] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a5a00", "#56b4e9", "#b8860b", "#7b3294", "#404040", "#c1272d"];
const MARKERS: [&str; 5] = ["circle", "square", "diamond", "triangle-up", "cross"];
const DASHES: [&str; 3] = ["solid", "dash", "dot"];

/// Architectures in a fixed order; new ones go at the end, so that no colour ever moves.
const ORDER: [&str; 10] =
    ["efficientnet", "clip", "dino", "convnext", "mae", "vit", "beit", "data2vec", "pixels", "other"];

/// The look of the model `id` (`arch.tag`): the colour follows the family, marker and dash the rest of the id.
///
/// ```
/// use wider_clip::display::look;
/// assert_eq!(look("pixels.raw"), look("pixels.raw"));
/// assert_ne!(look("pixels.raw").colour, look("vit_tiny.random").colour);
/// ```
pub fn look(id: &str) -> Look {
    let family = ORDER.iter().position(|family| id.starts_with(family)).unwrap_or(ORDER.len() - 1);
    // FNV-1a: the same on every machine and in every version.
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    Look {
        colour: COLOURS[family],
        marker: MARKERS[(hash % MARKERS.len() as u64) as usize],
        dash: if id.ends_with(".random") || id.ends_with(".raw") {
            DASHES[2]
        } else {
            DASHES[(hash >> 8) as usize % 2]
        },
    }
}
