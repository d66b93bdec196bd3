//! What the other tests stand on: a comparison that a NaN does not pass, and skips that are seen and can be forbidden.

#[path = "support/compare.rs"]
mod compare;
#[path = "support/require.rs"]
mod require;

use compare::{absolute, close, distance, norm, relative};
use require::{DEMAND, TOOLS, demands, require};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output};
use wider_clip::candle_core::{DType, Device, Tensor};
use wider_clip::ndarray::{Array2, array};

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).expect("a tensor")
}

/// The message that `compared` panics with.
fn refused<T>(compared: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(compared)).err().expect("refused");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).expect("a message")
}

#[test]
fn a_comparison_says_how_far_apart_and_where() {
    let (found, expected) = (array![[1f32, 2.0, 3.0], [4.0, 5.5, -6.0]], array![[1f32, 2.0, 3.0], [4.0, 5.0, -8.0]]);
    let off = relative(&found, &expected);
    assert_eq!((off.absolute, off.largest, off.relative, off.at.as_slice()), (2.0, 8.0, 0.25, &[1, 2][..]));
    assert_eq!(off.to_string(), "2.5e-1 of the largest (2.0e0 at [1, 2], -6 for -8)");
    assert!(off > 0.2 && off < 0.3 && off == 0.25 && !(off < 0.25) && !(off > 0.25));
    assert_eq!(absolute(&found, &expected), 2.0);
    assert_eq!(relative(&expected, &expected), 0.0);
    // All zeros: nothing to be relative to, equal or not.
    assert_eq!(relative(&[0f64, 0.0][..], &[0f64, 0.0][..]), 0.0);
    assert!(relative(&vec![0f64, 1e-9], &vec![0f64, 0.0]) > 1.0);
    // Integers and half precision too.
    let (a, b) = (tensor(&[1.0, 2.0], &[2, 1]), tensor(&[1.0, 4.0], &[2, 1]));
    let narrow = |t: &Tensor, dtype| t.to_dtype(dtype).expect("a type");
    for dtype in [DType::F64, DType::F16, DType::BF16, DType::U32, DType::I64, DType::U8] {
        assert_eq!(relative(&narrow(&a, dtype), &narrow(&b, dtype)), 0.5, "{dtype:?}");
    }
    assert_eq!((norm(&tensor(&[3.0, -4.0], &[2])), distance(&a, &b)), (5.0, 2.0 / 17f64.sqrt()));
    let said = refused(|| close("this", &found, &expected, 0.25));
    assert_eq!(said, "this differs by 2.5e-1 of the largest (2.0e0 at [1, 2], -6 for -8), allowed 2e-1");
}

#[test]
fn what_is_not_finite_is_equal_to_nothing_wherever_it_stands() {
    let good = [1f32, 2.0, 3.0, 4.0];
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for place in 0..good.len() {
            let mut values = good;
            values[place] = bad;
            let (whole, broken) = (tensor(&good, &[2, 2]), tensor(&values, &[2, 2]));
            let at = format!("{bad} at {:?}", [place / 2, place % 2]);
            for (found, expected, side) in [(&broken, &whole, "found"), (&whole, &broken, "expected")] {
                assert_eq!(refused(|| relative(found, expected)), format!("{side}: {at}"));
                assert_eq!(refused(|| distance(found, expected)), format!("{side}: {at}"));
            }
            assert_eq!(
                refused(|| relative(&broken, &broken)),
                format!("found: {at}"),
                "no NaN and no infinity is right"
            );
            assert_eq!(refused(|| norm(&broken)), format!("found: {at}"));
            assert!(refused(|| absolute(&values[..], &good[..])).starts_with("found: "));
        }
    }
}

#[test]
fn other_shapes_and_nothing_at_all_are_refused() {
    let (row, column) = (tensor(&[1.0, 2.0], &[1, 2]), tensor(&[1.0, 2.0], &[2, 1]));
    let said = refused(|| relative(&row, &column));
    assert!(said.contains("shapes") && said.contains("[1, 2]") && said.contains("[2, 1]"), "{said}");
    // A fold over pairs would compare the shorter one's numbers alone.
    assert!(refused(|| relative(&[1f32, 2.0][..], &[1f32, 2.0, 3.0][..])).contains("shapes"));
    assert!(refused(|| relative(&tensor(&[], &[0, 3]), &tensor(&[], &[0, 3]))).contains("no numbers to compare"));
    let none = Array2::<f64>::zeros((0, 2));
    assert!(refused(|| absolute(&none, &none)).contains("no numbers to compare"));
}

#[test]
fn a_demand_is_everything_or_a_list_and_knows_its_names() {
    for tool in &TOOLS {
        assert_eq!(demands("all", tool.name), Ok(true));
        assert_eq!(demands("", tool.name), Ok(false));
        assert_eq!(demands(&format!("all, -{}", tool.name), tool.name), Ok(false));
        assert_eq!(demands(&format!("-{0},{0}", tool.name), tool.name), Ok(true), "the last word counts");
        assert_eq!(demands("browser,c++", tool.name), Ok(["browser", "c++"].contains(&tool.name)));
        assert!(!tool.what.is_empty() && !tool.advice.is_empty() && !tool.name.contains([' ', ',', '-']));
    }
    // A slip must not pass for a demand that is met.
    for list in ["browsers", "1", "all,-cpp", "yes"] {
        let error = demands(list, "browser").expect_err(list);
        assert!(error.contains("bf16, browser, c++, cuda, parity, profile, sandbox, bits"), "{error}");
    }
}

/// Not a test by itself: asks for a compiler that is none.
#[test]
#[ignore = "the child of the test below"]
fn asks_for_a_compiler() {
    require("c++");
    require("c++");
}

#[test]
fn a_missing_tool_is_told_past_the_capture_and_fails_where_it_is_demanded() {
    let run = |compiler: &str, demand: Option<&str>, show: bool| -> Output {
        let mut child = Command::new(std::env::current_exe().expect("this test"));
        child.args(["--ignored", "--exact", "asks_for_a_compiler"]).env("CXX", compiler).env_remove(DEMAND);
        child.args(show.then_some("--nocapture")).envs(demand.map(|names| (DEMAND, names)));
        child.output().expect("it starts")
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let missing = "/nowhere/c++";
    for (demand, show) in [(None, false), (None, true), (Some("browser"), false), (Some("all,-c++"), false)] {
        let output = run(missing, demand, show);
        let (said, told) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && said.contains("1 passed"), "{demand:?}: {said}{told}");
        let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("skipped")).collect();
        assert_eq!(lines.len(), 2, "one for each place, {demand:?}: {told}");
        let start = "skipped a part of asks_for_a_compiler (tests/support_itself.rs:";
        assert!(lines[0].starts_with(start) && lines[0].contains("no C++ compiler."), "{told}");
        assert!(lines[0].ends_with("WIDER_CLIP_DEMAND=c++ demands it."), "{told}");
    }
    for demand in ["all", "c++", "browser,c++", "compilers"] {
        let output = run(missing, Some(demand), false);
        let said = text(&output.stdout);
        assert!(!output.status.success() && said.contains("1 failed"), "{demand}: {said}");
        let why =
            if demand == "compilers" { "expected `all` or of" } else { "no C++ compiler, which WIDER_CLIP_DEMAND" };
        assert!(said.contains(why), "{demand}: {said}");
    }
    // A program that answers is one, whatever it is: the test that compiles with it will tell.
    let output = run(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()), Some("all"), false);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}
