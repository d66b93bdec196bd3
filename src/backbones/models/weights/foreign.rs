//! What a file is that is not weights, so that the message can say what went wrong.

use crate::error::{Error, Result};
use std::path::Path;

/// The error for a file that is neither of the formats.
pub(super) fn not_weights(path: &Path, found: impl Into<String>) -> Error {
    Error::data(path, "a safetensors file, or a zip archive of torch.save", found)
}

/// What the file looks like, and what to do.
pub(super) fn guess(file: &[u8]) -> String {
    let start = &file[..file.len().min(512)];
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower = text.to_ascii_lowercase();
    if let Some(rest) = text.strip_prefix("version https://git-lfs.github.com/spec/") {
        let size = rest.lines().find_map(|line| line.strip_prefix("size ")).unwrap_or("unknown");
        return format!(
            "a git-lfs pointer to a file of {size} bytes: the repository was cloned without git-lfs. Run `git lfs pull` \
             there, or download the file itself"
        );
    }
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        return "a web page (HTML): a login or error page was saved in the file's place. Delete it and download again"
            .into();
    }
    match start {
        [0x80, 2..=5, ..] => {
            "a pickle that is not of PyTorch. Re-save it: torch.save(state_dict, new_file), or as safetensors".into()
        }
        _ if start.get(257..262) == Some(b"ustar") => {
            "a tar archive. If PyTorch wrote it (before 0.1.10), re-save it in a PyTorch of today".into()
        }
        [b'P', b'K', ..] => "a zip archive without its end: cut short. Delete it and download it again".into(),
        [0x89, b'H', b'D', b'F', ..] => "an HDF5 file (Keras)".into(),
        [b'G', b'G', b'U', b'F', ..] => "a GGUF file".into(),
        [0x1f, 0x8b, ..] => "a gzip file: unpack it first".into(),
        [a, b, c, d, e, f, g, h, b'{', ..] => {
            let length = u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            format!("a safetensors file, it seems, whose header would have {length} bytes: damaged. Download it again")
        }
        _ if lower.starts_with('<') => "markup (XML or HTML), not weights. Delete it and download again".into(),
        _ if lower.starts_with(['{', '[']) => {
            "JSON without a `weight_map`: an error message or a configuration in the file's place".into()
        }
        _ => format!("neither, by its first bytes `{}`", start[..start.len().min(16)].escape_ascii()),
    }
}

/// Objects of a PyTorch file that are not tensors: key and class.
pub(super) fn not_a_tensor<T>(path: &Path, key: &str, found: &str) -> Result<T> {
    let expected = format!("entry `{key}` to be a tensor");
    let advice = "Re-save the state dict alone: torch.save(model.state_dict(), file)";
    Err(Error::data(path, expected, format!("{found}. {advice}")))
}
