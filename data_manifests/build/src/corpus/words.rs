//! Names to words: captions and the head word that is an image's class.
//!
//! A name such as `shopping-cart-plus-2-outline` is read in two steps. **Style marks** say how a set draws, not what:
//! they are taken off the end (`outline`, `24`, and those that the list gives for a set), and so are trailing numbers;
//! what is left makes the caption, `shopping cart plus`. For the head word, enclosing shapes, numbers, directions and
//! marks laid over an icon go too, wherever they stand, unless nothing would be left: `shopping`, `cart`.
//!
//! **Head word.** Of the words left, the one that most images of the whole corpus have; the later one where two are
//! as frequent. A plural is read as its singular where both occur. A head word is a class when at least [`MIN_IMAGES`] images have it. An image of a smaller one takes
//! its most frequent word that is a class, or else is [`OTHER`].

use std::collections::{BTreeMap, BTreeSet};

use super::marks::{BRANDS, COUNTED, MARKS, MORE_STYLES, SHAPES, STYLES, has};

/// Images a class needs.
pub const MIN_IMAGES: usize = 20;

/// The class of images without a word that is a class.
pub const OTHER: &str = "(other)";

/// Whether a name or its category says that a drawing is a firm's mark.
pub fn is_brand(name: &str, category: &str) -> bool {
    let category = category.to_lowercase();
    let marked = ["brand", "logo", "social media", "social network"];
    // `social medias rewards rating` is a category of thumbs and stars.
    marked.iter().any(|m| category.contains(m)) && !category.contains("rating")
        || name.split('-').any(|word| has(BRANDS, word) || ["logo", "logos", "brand", "brands"].contains(&word))
        || has(BRANDS, &plain(name, &[], &[]).concat())
        || ["apple", "apple-filled", "apple-fill", "apple-line", "apple-solid", "apple-outlined"].contains(&name)
}

/// Whether a word is a number or a size, as `24` or `24px`.
fn is_number(word: &str) -> bool {
    let digits = word.trim_end_matches("px");
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The words of a name without style marks. `marks` are the set's own besides those of all sets.
pub fn plain<'a>(name: &'a str, marks: &[String], sizes: &[String]) -> Vec<&'a str> {
    let mut words: Vec<&str> = name.split('-').filter(|w| !w.is_empty()).collect();
    let is_style = |w: &str| has(STYLES, w) || marks.iter().any(|m| m == w);
    while let [.., before, last] = words[..] {
        let number =
            is_number(last) && (sizes.iter().any(|s| s == last) || last.ends_with("px") || !has(COUNTED, before));
        if !number && !is_style(last) {
            break;
        }
        words.pop();
    }
    words
}

/// `CamelCase / Words` as `camel case words`; nothing for a catch-all.
pub fn category(category: &str) -> String {
    let mut text = String::new();
    let mut lower_before = false;
    for c in category.chars() {
        if c.is_ascii_uppercase() && lower_before {
            text.push(' ');
        }
        lower_before = c.is_ascii_lowercase();
        match c {
            c if c.is_alphanumeric() => text.extend(c.to_lowercase()),
            _ => text.push(' '),
        }
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.as_str() {
        "other" | "others" | "regular" | "base" | "general" | "core" => String::new(),
        _ => text,
    }
}

/// `shopping cart, commerce`; a category that only repeats words of the name is left out.
pub fn caption(words: &[&str], category: &str) -> String {
    let name = words.join(" ");
    let says_more = category.split(' ').any(|w| !words.contains(&w));
    if category.is_empty() || !says_more { name } else { format!("{name}, {category}") }
}

/// The words that may be a head word, each once: without marks and shapes; without shapes, where that leaves none; or
/// all of them.
pub fn subjects(words: &[&str]) -> Vec<String> {
    let keep = |allowed: &dyn Fn(&str) -> bool| {
        let mut kept: Vec<String> = Vec::new();
        for word in words.iter().filter(|w| allowed(w)) {
            if !kept.iter().any(|k| k == word) {
                kept.push((*word).to_owned());
            }
        }
        kept
    };
    let is_shape = |w: &str| has(SHAPES, w) || is_number(w);
    let rules: [&dyn Fn(&str) -> bool; 3] =
        [&|w| !is_shape(w) && !has(MARKS, w) && w.len() > 1, &|w| !is_shape(w), &|_| true];
    let kept = rules.into_iter().map(keep).find(|kept| !kept.is_empty());
    kept.unwrap_or_default()
}

/// Words in the singular where the corpus has that too: `arrows` is `arrow`, `glass` and `gas` stay.
fn singular(subjects: &[Vec<String>]) -> Vec<Vec<String>> {
    let known: BTreeSet<&String> = subjects.iter().flatten().collect();
    let one = |word: &String| match word.strip_suffix('s').map(str::to_owned) {
        Some(stem) if stem.len() > 2 && !stem.ends_with('s') && known.contains(&stem) => stem,
        _ => word.clone(),
    };
    subjects.iter().map(|words| words.iter().map(one).collect()).collect()
}

/// Class names in order and, for each image, its class. The rule is told at the head of this file.
pub fn classes(subjects: &[Vec<String>], min_images: usize) -> (Vec<String>, Vec<usize>) {
    let subjects = &singular(subjects);
    let mut frequency: BTreeMap<&str, usize> = BTreeMap::new();
    for word in subjects.iter().flatten() {
        *frequency.entry(word).or_default() += 1;
    }
    let most_frequent = |words: &[String], allowed: &dyn Fn(&str) -> bool| {
        let words = words.iter().enumerate().filter(|(_, w)| allowed(w));
        words.max_by_key(|(i, w)| (frequency.get(w.as_str()).copied(), *i)).map(|(_, w)| w.clone())
    };
    let heads: Vec<Option<String>> = subjects.iter().map(|words| most_frequent(words, &|_| true)).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for head in heads.iter().flatten() {
        *counts.entry(head).or_default() += 1;
    }
    let large: BTreeSet<&str> = counts.into_iter().filter(|(_, n)| *n >= min_images).map(|(word, _)| word).collect();
    let chosen: Vec<String> = subjects
        .iter()
        .map(|words| most_frequent(words, &|w| large.contains(w)).unwrap_or_else(|| OTHER.to_owned()))
        .collect();
    let names: BTreeSet<&String> = chosen.iter().collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let labels = chosen.iter().map(|name| names.binary_search(name).unwrap_or(0)).collect();
    (names, labels)
}

/// All slugs that a name may be read as: with fewer and fewer last words that are marks of any set, and without any
/// mark anywhere, separators left out. Compared with the names of the evaluation emoji.
pub fn readings(name: &str, marks: &[String]) -> BTreeSet<String> {
    let is_mark = |w: &str| has(STYLES, w) || has(MORE_STYLES, w) || marks.iter().any(|m| m == w) || is_number(w);
    let mut readings = BTreeSet::from([name.replace('-', "")]);
    let mut words: Vec<&str> = name.split('-').collect();
    let bare: Vec<&str> = words.iter().copied().filter(|w| !is_mark(w)).collect();
    readings.insert(bare.concat());
    while words.len() > 1 && words.last().is_some_and(|w| is_mark(w)) {
        words.pop();
        readings.insert(words.concat());
    }
    readings.remove("");
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &str) -> Vec<String> {
        words.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn style_marks_go_from_the_end_only() {
        let marks = list("line bold");
        let plain = |name| plain(name, &marks, &list("24")).join(" ");
        assert_eq!(plain("shopping-cart-outline"), "shopping cart");
        assert_eq!(plain("shopping-cart-24-filled"), "shopping cart");
        assert_eq!(plain("map-arrow-up-bold-duotone"), "map arrow up");
        assert_eq!(plain("line-chart-2-line"), "line chart");
        assert_eq!(plain("numeric-3"), "numeric 3");
        assert_eq!(plain("outline"), "outline");
    }

    #[test]
    fn captions_add_the_category() {
        assert_eq!(category("FoodDrink"), "food drink");
        assert_eq!(category("Text / Content / Format"), "text content format");
        assert_eq!(category("Others"), "");
        assert_eq!(caption(&["shopping", "cart"], "commerce"), "shopping cart, commerce");
        assert_eq!(caption(&["shopping", "cart"], "shopping"), "shopping cart");
        assert_eq!(caption(&["cart"], ""), "cart");
    }

    #[test]
    fn subjects_fall_back_to_marks_then_shapes() {
        assert_eq!(subjects(&["user", "circle", "plus", "2"]), ["user"]);
        assert_eq!(subjects(&["plus", "circle"]), ["plus"]);
        assert_eq!(subjects(&["circle"]), ["circle"]);
    }

    #[test]
    fn the_most_frequent_word_is_the_head() {
        let names = ["shopping cart", "cart", "music note", "carts", "note", "shopping lyre", "zither"];
        let subjects: Vec<Vec<String>> = names.iter().map(|n| list(n)).collect();
        let (classes, labels) = classes(&subjects, 2);
        let found: Vec<&str> = labels.iter().map(|&l| classes[l].as_str()).collect();
        // Of `shopping` and `lyre` the more frequent one is no class: `shopping cart` went to `cart`.
        assert_eq!(found, ["cart", "cart", "note", "cart", "note", OTHER, OTHER]);
    }

    #[test]
    fn the_later_of_two_words_as_frequent_is_the_head() {
        let (classes, labels) = classes(&[list("b a"), list("b a")], 1);
        assert_eq!((classes, labels), (list("a"), vec![0, 0]));
    }

    #[test]
    fn brands_are_known_by_name_or_category() {
        assert!(is_brand("github-circle", ""));
        assert!(is_brand("visual-studio-code-fill", ""));
        assert!(is_brand("bird", "Brand / Logo"));
        assert!(!is_brand("thumb-up", "SocialMediasRewardsRating"));
        assert!(!is_brand("bird", "Animals"));
    }

    #[test]
    fn names_are_read_with_and_without_marks() {
        let readings = readings("light-bulb-2-outline", &[]);
        for slug in ["lightbulb2outline", "lightbulb2", "lightbulb", "bulb"] {
            assert!(readings.contains(slug), "{slug}");
        }
    }
}
