//! The support library that a cell asks for. A notebook that somebody copied to a folder of theirs still says
//! `:dep wider-clip = { path = ".." }`; the library is that of the kernel all the same.

use std::path::Path;

/// `code` with `root` as the folder of `wider-clip`; `None` where it names no folder for it.
///
/// ```
/// use wider_clip_proxy::library::with_library;
///
/// let code = ":dep wider-clip = { path = \"..\" }\nuse wider_clip::prelude::*;";
/// let expected = ":dep wider-clip = { path = \"/srv/wider-clip\" }\nuse wider_clip::prelude::*;";
/// assert_eq!(with_library(code, "/srv/wider-clip".as_ref()).as_deref(), Some(expected));
/// assert_eq!(with_library(":dep other = { path = \"..\" }", "/srv/wider-clip".as_ref()), None);
/// ```
pub fn with_library(code: &str, root: &Path) -> Option<String> {
    let root = serde_json::to_string(root.to_str()?).ok()?;
    let mut changed = false;
    let lines = code.split_inclusive('\n').map(|line| match folder_of(line) {
        Some(folder) => {
            changed = true;
            [&line[..folder.start], &root, &line[folder.end..]].concat()
        }
        None => line.to_string(),
    });
    let code: String = lines.collect();
    changed.then_some(code)
}

/// Where the folder stands in a line that asks for `wider-clip`, its quotes included.
fn folder_of(line: &str) -> Option<std::ops::Range<usize>> {
    let table = line.trim_start().strip_prefix(":dep")?.trim_start().strip_prefix("wider-clip")?.trim_start();
    let table = table.strip_prefix('=')?.trim_start().strip_prefix('{')?;
    let value = table.split_once("path")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    let start = line.len() - value.len();
    Some(start..start + 2 + value[1..].find(quote)?)
}
