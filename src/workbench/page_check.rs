//! Finds whatever a browser would fetch from elsewhere when it opens a page.
//!
//! The report must open without a network. This reads the text of pages and style sheets, so that it runs everywhere;
//! [`super::browser`] opens them for real. Links that a reader may follow (`<a href>`) are not fetched and are fine.

/// Attributes whose value a browser fetches by itself, in any element that is no link for readers.
const FETCHED: [&str; 10] =
    ["src", "srcset", "href", "xlink:href", "data", "poster", "background", "action", "manifest", "style"];

/// Elements whose `href` waits for a reader to follow it.
const LINKS: [&str; 2] = ["a", "area"];

/// The outside addresses that opening `html` would fetch, in order, each with the element it stands in.
///
/// ```
/// use wider_clip::workbench::page_check::outside_addresses;
/// assert!(outside_addresses(r#"<a href="https://example.org">read</a><img src="a.png">"#).is_empty());
/// assert_eq!(outside_addresses(r#"<img alt="x" src="//example.org/a.png">"#), ["img src: //example.org/a.png"]);
/// assert_eq!(outside_addresses("<style>@import 'http://example.org/a.css'</style>").len(), 1);
/// ```
pub fn outside_addresses(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    for element in elements(html) {
        for (name, value) in &element.attributes {
            let link = LINKS.contains(&element.name.as_str()) && name == "href";
            if link || !FETCHED.contains(&name.as_str()) {
                continue;
            }
            let addresses = match name.as_str() {
                "style" => addresses_in_style(value),
                "srcset" => {
                    value.split(',').filter_map(|part| part.split_whitespace().next()).map(String::from).collect()
                }
                _ => vec![value.clone()],
            };
            let outside = addresses.into_iter().filter(|address| is_outside(address));
            found.extend(outside.map(|address| format!("{} {name}: {address}", element.name)));
        }
        // A page may load itself again (a number of seconds and no more), but nothing else.
        let refresh = element.attributes.iter().any(|(_, value)| value.eq_ignore_ascii_case("refresh"));
        let itself = |(name, value): &(String, String)| name == "content" && value.trim().parse::<u32>().is_ok();
        if element.name == "meta" && refresh && !element.attributes.iter().any(itself) {
            found.push("meta: refresh".into());
        }
        let addresses = match element.name.as_str() {
            "style" => addresses_in_style(&element.content),
            "script" if !element.is_json() => addresses_in_script(&element.content),
            _ => Vec::new(),
        };
        let outside = addresses.into_iter().filter(|address| is_outside(address));
        found.extend(outside.map(|address| format!("{}: {address}", element.name)));
    }
    found
}

/// The outside addresses that a style sheet would fetch.
///
/// ```
/// use wider_clip::workbench::page_check::outside_addresses_of_style;
/// assert_eq!(outside_addresses_of_style("a { background: url( 'https://example.org/a.png' ) }").len(), 1);
/// assert!(outside_addresses_of_style("a { background: url(data:image/png;base64,AAAA) }").is_empty());
/// ```
pub fn outside_addresses_of_style(css: &str) -> Vec<String> {
    addresses_in_style(css).into_iter().filter(|address| is_outside(address)).collect()
}

/// The local files that a page needs: what it loads by itself, and the files its links lead to.
///
/// ```
/// use wider_clip::workbench::page_check::local_files;
/// let html = r##"<script src="assets/a.js"></script><a href="01_x.html#part">x</a><a href="#top">t</a>"##;
/// assert_eq!(local_files(html), ["assets/a.js", "01_x.html"]);
/// assert_eq!(local_files("<a href='01_a%20b%22.html'>x</a>"), ["01_a b\".html"]);
/// ```
pub fn local_files(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    for element in elements(html) {
        for (name, value) in &element.attributes {
            let has_scheme = value.split(['/', '?', '#']).next().is_some_and(|head| head.contains(':'));
            if !["src", "href", "poster"].contains(&name.as_str()) || has_scheme || is_outside(value) {
                continue;
            }
            let file = unquoted(value.split(['#', '?']).next().unwrap_or_default());
            if !file.is_empty() && !found.contains(&file) {
                found.push(file);
            }
        }
    }
    found
}

/// An address with its `%20` and the like as the characters that they stand for.
fn unquoted(address: &str) -> String {
    let mut bytes = Vec::with_capacity(address.len());
    let mut rest = address.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits =
            after.first_chunk().filter(|_| first == b'%').and_then(|two: &[u8; 2]| std::str::from_utf8(two).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a browser would leave the disk for it.
fn is_outside(address: &str) -> bool {
    let address = address.trim().to_ascii_lowercase();
    ["//", "http:", "https:", "ftp:", "ws:", "wss:"].iter().any(|start| address.starts_with(start))
}

/// The addresses in `url(...)` and `@import "..."`.
fn addresses_in_style(css: &str) -> Vec<String> {
    let lower = css.to_ascii_lowercase();
    let mut found = Vec::new();
    for (start, _) in lower.match_indices("url(") {
        let inside = &css[start + 4..];
        let end = inside.find(')').unwrap_or(inside.len());
        found.push(inside[..end].trim().trim_matches(['"', '\'']).trim().to_string());
    }
    for (start, _) in lower.match_indices("@import") {
        let inside = css[start + 7..].trim_start();
        if let Some(quote) = inside.chars().next().filter(|first| ['"', '\''].contains(first)) {
            found.push(inside[1..].split(quote).next().unwrap_or_default().to_string());
        }
    }
    found
}

/// The addresses that stand as the first argument of a call that fetches.
fn addresses_in_script(script: &str) -> Vec<String> {
    let calls = ["fetch(", "import(", "importScripts(", "WebSocket(", "EventSource(", "sendBeacon(", ".src=", ".src ="];
    let mut found = Vec::new();
    for call in calls {
        for (start, _) in script.match_indices(call) {
            let inside = script[start + call.len()..].trim_start();
            if let Some(quote) = inside.chars().next().filter(|first| ['"', '\'', '`'].contains(first)) {
                found.push(inside[1..].split(quote).next().unwrap_or_default().to_string());
            }
        }
    }
    found
}

/// A start tag, and for scripts and styles the text up to the end tag.
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    content: String,
}

impl Element {
    fn is_json(&self) -> bool {
        self.attributes.iter().any(|(name, value)| name == "type" && value.to_ascii_lowercase().contains("json"))
    }
}

/// The start tags of `html`, comments and end tags left out.
fn elements(html: &str) -> Vec<Element> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        if !rest.starts_with(|first: char| first.is_ascii_alphabetic()) {
            continue;
        }
        let (name, attributes, after) = start_tag(rest);
        rest = after;
        let mut content = String::new();
        if name == "script" || name == "style" {
            let end = find_ignoring_case(rest, &format!("</{name}")).unwrap_or(rest.len());
            content = rest[..end].to_string();
            rest = &rest[end..];
        }
        found.push(Element { name, attributes, content });
    }
    found
}

fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    text.as_bytes().windows(wanted.len()).position(|window| window.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Reads a start tag from after its `<`; returns its name, its attributes and what follows its `>`.
fn start_tag(text: &str) -> (String, Vec<(String, String)>, &str) {
    let end = text.find(|c: char| c.is_whitespace() || c == '>' || c == '/').unwrap_or(text.len());
    let name = text[..end].to_ascii_lowercase();
    let mut rest = &text[end..];
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        if rest.is_empty() {
            return (name, attributes, rest);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (name, attributes, after);
        }
        // A name, and after `=` a value in quotes or up to a space.
        let end = rest.find(|c: char| c.is_whitespace() || c == '=' || c == '>').unwrap_or(rest.len()).max(1);
        let end = (end..=rest.len()).find(|&at| rest.is_char_boundary(at)).unwrap_or(rest.len());
        let attribute = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            let quote = after.chars().next().filter(|first| ['"', '\''].contains(first));
            (value, rest) = match quote {
                Some(quote) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                None => after.split_at(after.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(after.len())),
            };
        }
        attributes.push((attribute, value.replace("&amp;", "&")));
    }
}
