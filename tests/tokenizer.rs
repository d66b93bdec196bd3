//! CLIP's tokenizer and prompts against transformers' and open_clip's (tests/reference/tokenizer.py).

#[path = "support/packed.rs"]
mod packed;

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::Instant;
use wider_clip::error::Error;
use wider_clip::text::{Templates, Tokenizer, class_name};

const START: u32 = 49406;
const END: u32 = 49407;

fn bytes(file: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/tokenizer/{file}", env!("CARGO_MANIFEST_DIR"));
    match file.ends_with(".gz") {
        true => packed::unpacked(path.as_ref()),
        false => std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")),
    }
}

fn json(file: &str) -> Value {
    serde_json::from_slice(&bytes(file)).unwrap()
}

/// Pairs of a text and its ids.
fn cases(value: &Value) -> Vec<(String, Vec<u32>)> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The 10,000 strings with their ids.
fn strings() -> Vec<(String, Vec<u32>)> {
    let mut all = Vec::new();
    for part in 0..5 {
        let lines = String::from_utf8(bytes(&format!("strings-{part}.jsonl.gz"))).unwrap();
        all.extend(lines.lines().map(|line| serde_json::from_str::<(String, Vec<u32>)>(line).unwrap()));
    }
    assert_eq!(all.len(), 10_000);
    all
}

fn clip() -> Tokenizer {
    Tokenizer::clip().unwrap()
}

#[track_caller]
fn assert_same(tokenizer: &Tokenizer, cases: &[(String, Vec<u32>)]) {
    let different: Vec<_> = cases.iter().filter(|(text, ids)| tokenizer.encode(text) != *ids).collect();
    if let Some((text, ids)) = different.first() {
        let found = tokenizer.encode(text);
        panic!("{} of {} differ, first {text:?}:\n{ids:?}\n{found:?}", different.len(), cases.len());
    }
}

#[test]
fn ten_thousand_strings_have_the_ids_of_transformers() {
    let started = Instant::now();
    let tokenizer = clip();
    let load = started.elapsed();
    let strings = strings();
    let started = Instant::now();
    let tokens: usize = strings.iter().map(|(text, _)| tokenizer.encode(text).len()).sum();
    let seconds = started.elapsed().as_secs_f64();
    println!("built in {load:.0?}; {tokens} tokens in {seconds:.3} s, {:.0} tokens/s", tokens as f64 / seconds);
    assert_same(&tokenizer, &strings);
}

#[test]
fn every_code_point_is_taken_for_what_transformers_takes_it_for() {
    // A text's end is cut off at the context length, so that this one must be longer than any text here.
    let tokenizer = Tokenizer::from_merges(&merges(&clip()), 10_000).unwrap();
    let blocks: std::collections::BTreeMap<String, String> = serde_json::from_value(json("code_points.json")).unwrap();
    assert_eq!(blocks.len(), 80);
    for (block, expected) in blocks {
        let first = u32::from_str_radix(&block, 16).unwrap() << 12;
        let mut digest = Sha256::new();
        for row in (first..first + 4096).step_by(256) {
            let words: Vec<String> = (row..row + 256).filter_map(char::from_u32).map(|c| format!("a{c}!")).collect();
            let ids = tokenizer.encode(&words.join(" "));
            assert!(ids.len() < 10_000);
            ids.iter().for_each(|id| digest.update(id.to_le_bytes()));
        }
        let found: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, expected, "code points U+{first:04X} to U+{:04X}", first + 4095);
    }
}

/// The pairs that a CLIP tokenizer was built from, found again in OpenAI's file.
fn merges(tokenizer: &Tokenizer) -> Vec<(String, String)> {
    let path = format!("{}/data_manifests/embedded/bpe_simple_vocab_16e6.txt.gz", env!("CARGO_MANIFEST_DIR"));
    let text = String::from_utf8(packed::unpacked(path.as_ref())).unwrap();
    let pairs = text.lines().skip(1).map(|line| line.split_once(' ').unwrap());
    let merges: Vec<(String, String)> =
        pairs.map(|(a, b)| (a.into(), b.into())).take(tokenizer.vocabulary_size() - 514).collect();
    assert_eq!(merges.len(), 48_894);
    merges
}

#[test]
fn captions_in_many_scripts_and_special_cases() {
    let tokenizer = clip();
    let golden = json("cases.json.gz");
    assert_same(&tokenizer, &cases(&golden["cases"]));
    for row in json("captions.json").as_array().unwrap() {
        let ids: Vec<u32> = serde_json::from_value(row["ids"].clone()).unwrap();
        let text = row["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode_batch(&[text]).into_raw_vec_and_offset().0, ids, "{text}");
    }
}

#[test]
fn start_and_end_surround_every_text() {
    let tokenizer = clip();
    assert_eq!(tokenizer.vocabulary_size(), 49408);
    assert_eq!(tokenizer.context_length(), 77);
    assert_eq!(tokenizer.encode(""), [START, END]);
    assert_eq!(tokenizer.encode(" \t\n\u{a0}\u{3000}"), [START, END]);
    assert_eq!(tokenizer.encode("A  Photo\nof a CAT"), [START, 320, 1125, 539, 320, 2368, END]);
    let tokens: Vec<_> = tokenizer.encode("cat").into_iter().map(|id| tokenizer.token(id).unwrap()).collect();
    assert_eq!(tokens, ["<|startoftext|>", "cat</w>", "<|endoftext|>"]);
    assert_eq!(tokenizer.token(49408), None);
}

#[test]
fn special_tokens_in_the_text() {
    let tokenizer = clip();
    assert_eq!(tokenizer.encode("<|endoftext|>"), [START, END, END]);
    assert_eq!(tokenizer.encode("a<|startoftext|>a"), [START, 320, START, 320, END]);
    // The published tokenizer looks for the start token in small letters, for the end token as it stands.
    assert_eq!(tokenizer.encode("<|STARTOFTEXT|>"), [START, START, END]);
    assert!(!tokenizer.encode("<|ENDOFTEXT|>")[1..].starts_with(&[END]));
}

#[test]
fn long_texts_lose_their_tail_and_keep_the_end() {
    let tokenizer = clip();
    for (words, length) in [(74, 76), (75, 77), (76, 77), (100_000, 77)] {
        let ids = tokenizer.encode(&"cat ".repeat(words));
        assert_eq!(ids.len(), length);
        assert_eq!((ids[0], ids[1], ids[length - 2], ids[length - 1]), (START, 2368, 2368, END));
    }
}

#[test]
fn a_batch_is_padded_with_the_end_token() {
    let tokenizer = clip();
    let golden = &json("cases.json.gz")["batch"];
    let texts: Vec<String> = serde_json::from_value(golden["texts"].clone()).unwrap();
    let expected: Vec<Vec<u32>> = serde_json::from_value(golden["ids"].clone()).unwrap();
    let batch = tokenizer.encode_batch(&texts);
    assert_eq!((batch.dim(), expected.len()), ((3, 77), 3));
    for (row, expected) in batch.rows().into_iter().zip(expected) {
        assert_eq!(row.to_vec(), expected);
    }
    assert_eq!(tokenizer.encode_batch::<&str>(&[]).dim(), (0, 77));
}

#[test]
fn bytes_that_are_not_text_are_named() {
    let tokenizer = clip();
    assert_eq!(tokenizer.encode_bytes("a caf\u{e9}".as_bytes()).unwrap(), tokenizer.encode("a caf\u{e9}"));
    let cases: [(&[u8], &str); 4] = [
        (b"cat \xff dog", "text: expected UTF-8, found ff at byte 4 of 9"),
        (b"\xed\xa0\x80", "text: expected UTF-8, found ed at byte 0 of 3"),
        (b"ab\xe2\x82", "text: expected UTF-8, found e2 82 at byte 2 of 4"),
        (b"\xc3\xa9\xf0\x9f\x90", "text: expected UTF-8, found f0 9f 90 at byte 2 of 5"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(tokenizer.encode_bytes(bytes).unwrap_err().to_string(), expected);
    }
}

#[test]
fn ids_become_text_again() {
    let tokenizer = clip();
    let decoded: Vec<(Vec<u32>, String)> = serde_json::from_value(json("cases.json.gz")["decoded"].clone()).unwrap();
    assert_eq!(decoded.len(), 500);
    for (ids, text) in &decoded {
        assert_eq!(tokenizer.decode(ids).unwrap(), *text, "{ids:?}");
    }
    let text = "a small dog 's photo , 2 0 1 9 : größe 猫 🐈 !";
    assert_eq!(tokenizer.decode(&tokenizer.encode(text)).unwrap(), text);
    assert_eq!(tokenizer.decode(&[]).unwrap(), "");
    let error = tokenizer.decode(&[320, 49408]).unwrap_err().to_string();
    assert_eq!(error, "token ids: expected ids below 49408, found 49408 at position 1");
}

#[test]
fn merges_of_ones_own() {
    let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
    // "abc" is made in two ways and has one id.
    let merges = [pair("a", "b"), pair("b", "c"), pair("ab", "c"), pair("a", "bc"), pair("abc", "d</w>")];
    let tokenizer = Tokenizer::from_merges(&merges, 5).unwrap();
    assert_eq!(tokenizer.vocabulary_size(), 512 + 4 + 2);
    assert_eq!(tokenizer.encode("ABCD"), [516, 515, 517]);
    assert_eq!(tokenizer.token(515).unwrap(), "abcd</w>");
    assert_eq!(tokenizer.encode("z z z z z z"), [516, 345, 345, 345, 517]);
    assert_eq!(Tokenizer::from_merges(&[], 2).unwrap().encode("anything"), [512, 513]);

    let message = |merges: &[(String, String)], context| match Tokenizer::from_merges(merges, context) {
        Err(error @ Error::Argument { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let halves = "merges: expected halves that are bytes or made by an earlier pair, found `ab c` as pair 1";
    assert_eq!(message(&[pair("ab", "c"), pair("a", "b")], 77), halves);
    let twice = "merges: expected every pair once, found `a b` as pair 2";
    assert_eq!(message(&[pair("a", "b"), pair("a", "b")], 77), twice);
    assert_eq!(message(&merges, 1), "context_length: expected 2 or more: start and end, found 1");
}

#[test]
fn prompts_are_those_of_open_clip() {
    let golden = &json("cases.json.gz")["prompts"];
    let expected: Vec<String> = serde_json::from_value(golden["prompts"].clone()).unwrap();
    let templates = Templates::openai_imagenet();
    assert_eq!((templates.len(), expected.len()), (80, 80));
    let class = golden["class"].as_str().unwrap();
    assert_eq!(templates.prompts(&[class.replace(' ', "_")]).unwrap(), expected);
    let both = templates.prompts(&["sloth", class]).unwrap();
    assert_eq!((both[0].as_str(), &both[80..]), ("a bad photo of a sloth.", &expected[..]));
    assert_eq!(Templates::photo().prompts(&["tennis_court"]).unwrap(), ["a photo of a tennis court."]);
    assert_eq!(Templates::new(templates.iter()).unwrap(), templates);
}

#[test]
fn prompts_that_cannot_be_made() {
    let message = |templates: &[&str]| Templates::new(templates.iter().copied()).unwrap_err().to_string();
    assert_eq!(message(&[]), "templates: expected at least one, found none");
    assert_eq!(message(&["a {}", "a cat"]), "templates: expected one {} in each, found `a cat`");
    assert_eq!(message(&["{} and {}"]), "templates: expected one {} in each, found `{} and {}`");
    let error = Templates::photo().prompts(&["cat", "_ "]).unwrap_err().to_string();
    assert_eq!(error, "class names: expected a name, found `_ ` as class 1");
    assert_eq!(class_name("_"), "");
    // A name that looks like a template is a name.
    assert_eq!(Templates::photo().prompts(&["{}"]).unwrap(), ["a photo of a {}."]);
}
