//! Links in the Markdown of strangers.

/// Where a link may lead.
const TARGETS: [&str; 4] = ["http://", "https://", "mailto:", "#"];
/// Commands of MathJax by which a formula leads somewhere, or is given a style.
const COMMANDS: [&str; 7] = ["\\href", "\\url", "\\require", "\\style", "\\class", "\\cssId", "\\mmlToken"];

/// Markdown in which links lead to pages, to addresses for mail and to places in the page alone; others are left as text. To be given
/// text without `<`, so without tags and links in angle brackets.
///
/// A link has its target behind `](`, the definition of one behind `]:`. A target counts as it is written: with an escape, an entity
/// or a control character before its `:` it is none of those allowed.
///
/// ```
/// use wider_clip::workbench::course::links::safe_links;
/// assert_eq!(safe_links("[a](https://b.org) [c](java&#115;cript:d)"), "[a](https://b.org) [c] (java&#115;cript:d)");
/// assert_eq!(safe_links("[a]\n\n[a]: data:b"), "[a]\n\n[a] : data:b");
/// ```
pub fn safe_links(markdown: &str) -> String {
    let mut safe = String::with_capacity(markdown.len() + 16);
    let mut rest = markdown;
    while let Some(at) = rest.find(']') {
        let (before, after) = rest.split_at(at + 1);
        safe.push_str(before);
        rest = after;
        if let Some(target) = after.strip_prefix(['(', ':']) {
            let target = target.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
            if !TARGETS.iter().any(|allowed| starts_with(target, allowed)) {
                // With a space between it is no link.
                safe.push(' ');
            }
        }
    }
    safe.push_str(rest);
    for command in COMMANDS {
        safe = safe.replace(command, &command.replacen('\\', "\\ ", 1));
    }
    safe
}

/// Whether a text begins with another, in any case.
fn starts_with(text: &str, beginning: &str) -> bool {
    text.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
}
