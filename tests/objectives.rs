//! The pretraining objectives against PyTorch: values, and gradients of everything that is trained. The goldens are of
//! `tests/reference/objectives.py`, computed in float64. Below them the edges, with numbers checkable by hand.

#[path = "support/compare.rs"]
mod compare;

use candle_core::{DType, Device, Tensor, Var};
use std::collections::HashMap;
use std::path::Path;
use wider_clip::error::Result;
use wider_clip::pretrain::{Teacher, beit, clip, data2vec, dino, mae, supervised, tokenizer};
use wider_clip::training::schedule;

const CPU: &Device = &Device::Cpu;
/// Of a value, and of the largest number in a gradient. PyTorch itself is off by up to 4e-6 in float32.
const TOLERANCE: f64 = 1e-5;

/// The cases of one objective.
struct Golden {
    objective: &'static str,
    tensors: HashMap<String, Tensor>,
}

/// What a case passes to the function under test.
struct Inputs<'a> {
    golden: &'a Golden,
    case: &'a str,
    vars: HashMap<String, Var>,
}

impl Golden {
    fn read(objective: &'static str) -> Golden {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/objectives");
        let tensors = candle_core::safetensors::load(folder.join(format!("{objective}.safetensors")), CPU);
        Golden { objective, tensors: tensors.expect("a golden file") }
    }

    fn get(&self, case: &str, name: &str) -> &Tensor {
        let name = format!("{case}.{name}");
        self.tensors.get(&name).unwrap_or_else(|| panic!("{}: no {name} in the golden file", self.objective))
    }

    /// Value and gradients of one case. Inputs whose name begins with one of `silent` are variables too, and must get
    /// no gradient.
    fn holds(&self, case: &str, silent: &[&str], function: impl Fn(&Inputs) -> Result<Tensor>) -> Result<()> {
        let what = format!("{}, {case}", self.objective);
        let prefix = format!("{case}.");
        let names: Vec<&str> = self.tensors.keys().filter_map(|name| name.strip_prefix(&prefix)).collect();
        let trained: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("grad.")).collect();
        let frozen = function(&Inputs { golden: self, case, vars: HashMap::new() })?;
        assert!(!frozen.track_op(), "{what}: nothing to train, no graph");
        let mut worst = (close(&what, &frozen, self.get(case, "value")), "value");

        let mut vars = HashMap::new();
        for &name in &names {
            if trained.contains(&name) || silent.iter().any(|start| name.starts_with(start)) {
                vars.insert(name.to_string(), Var::from_tensor(self.get(case, name))?);
            }
        }
        let inputs = Inputs { golden: self, case, vars };
        let value = function(&inputs)?;
        close(&what, &value, self.get(case, "value"));
        if trained.is_empty() {
            assert!(!value.track_op(), "{what}: a value without gradient");
        } else {
            let sum =
                if names.contains(&"upstream") { (&value * self.get(case, "upstream"))?.sum_all()? } else { value };
            let gradients = sum.backward()?;
            for (name, var) in &inputs.vars {
                let Some(name) = trained.iter().find(|trained| *trained == name) else {
                    assert!(gradients.get(var).is_none(), "{what}: {name} must get no gradient");
                    continue;
                };
                let gradient = gradients.get(var).unwrap_or_else(|| panic!("{what}: {name} has no gradient"));
                let expected = self.get(case, &format!("grad.{name}"));
                let off = close(&format!("{what}, gradient of {name}"), gradient, expected);
                if off > worst.0 {
                    worst = (off, name);
                }
            }
        }
        println!("{what}: {} gradients, at most {:.1e} off ({})", trained.len(), worst.0, worst.1);
        Ok(())
    }
}

impl Inputs<'_> {
    fn get(&self, name: &str) -> Tensor {
        match self.vars.get(name) {
            Some(var) => var.as_tensor().clone(),
            None => self.golden.get(self.case, name).clone(),
        }
    }

    /// NAME.0, NAME.1 and so on.
    fn list(&self, name: &str) -> Vec<Tensor> {
        let named = |i: usize| format!("{name}.{i}");
        let stored = |i: &usize| self.golden.tensors.contains_key(&format!("{}.{}", self.case, named(*i)));
        (0..).take_while(stored).map(|i| self.get(&named(i))).collect()
    }

    fn parameter(&self, i: usize) -> f64 {
        self.golden.get(self.case, "parameters").to_vec1::<f64>().expect("numbers")[i]
    }
}

/// Largest difference over the largest number expected.
#[track_caller]
fn close(what: &str, found: &Tensor, expected: &Tensor) -> f64 {
    compare::close(what, found, expected, TOLERANCE).relative
}

/// A number by hand.
fn equal(found: &Tensor, expected: f64) {
    let found = f64::from(found.to_scalar::<f32>().expect("a scalar"));
    assert!((found - expected).abs() < 2e-6, "expected {expected}, found {found}");
}

fn finite(t: &Tensor) -> bool {
    t.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|value| value.is_finite())
}

fn rows<const K: usize>(values: &[[f32; K]]) -> Tensor {
    Tensor::from_vec(values.concat(), (values.len(), K), CPU).expect("a tensor")
}

#[test]
fn clip_equals_pytorch() -> Result<()> {
    let golden = Golden::read("clip");
    for case in ["start", "sharp", "two"] {
        golden.holds(case, &[], |x| {
            clip::symmetric_loss(&x.get("image_features"), &x.get("text_features"), &x.get("logit_scale"))
        })?;
    }
    Ok(())
}

#[test]
fn clip_by_hand() -> Result<()> {
    let scale = |factor: f64| Tensor::new(factor.ln() as f32, CPU);
    // One pair has no other to be mistaken for.
    let (image, text) = (Var::from_tensor(&rows(&[[1.0, 2.0]]))?, Var::from_tensor(&rows(&[[-3.0, 0.5]]))?);
    let loss = clip::symmetric_loss(&image, &text, &scale(100.0)?)?;
    equal(&loss, 0.0);
    let gradients = loss.backward()?;
    for var in [&image, &text] {
        let gradient = gradients.get(var).expect("a gradient").abs()?.sum_all()?;
        equal(&gradient, 0.0);
    }
    // Two pairs at right angles, whatever their lengths: cosines 1 and 0.
    let (images, texts) = (rows(&[[2.0, 0.0], [0.0, 0.1]]), rows(&[[7.0, 0.0], [0.0, 1.0]]));
    equal(&clip::symmetric_loss(&images, &texts, &scale(3.0)?)?, (-3f64).exp().ln_1p());
    // All alike: a guess among two.
    let same = rows(&[[1.0, 1.0], [1.0, 1.0]]);
    equal(&clip::symmetric_loss(&same, &same, &scale(100.0)?)?, 2f64.ln());
    // As many texts as images, of one width.
    assert!(clip::symmetric_loss(&images, &rows(&[[1.0, 0.0]]), &scale(3.0)?).is_err());
    assert!(clip::symmetric_loss(&images, &rows(&[[1.0], [1.0]]), &scale(3.0)?).is_err());
    Ok(())
}

#[test]
fn dino_equals_pytorch() -> Result<()> {
    let golden = Golden::read("dino");
    for case in ["start", "local", "mild", "large"] {
        golden.holds(case, &["teacher", "centre"], |x| {
            let (student, teacher) = (x.list("student"), x.list("teacher"));
            dino::loss(&student, &teacher, &x.get("centre"), x.parameter(0), x.parameter(1))
        })?;
    }
    golden
        .holds("centre", &["teacher"], |x| dino::next_centre(&x.get("centre"), &x.list("teacher"), x.parameter(0)))?;
    golden.holds("prototypes", &[], |x| dino::prototypes(&x.get("bottleneck"), &x.get("weights")))
}

#[test]
fn dino_by_hand() -> Result<()> {
    // Softmax of (0, ln 3) is (1/4, 3/4).
    let ln3 = 3f32.ln();
    let entropy = 0.25 * 4f64.ln() + 0.75 * (4f64 / 3.0).ln();
    let teacher = rows(&[[0.0, ln3]]);
    let (flat, centre) = (rows(&[[5.0, 5.0]]), Tensor::zeros(2, DType::F32, CPU)?);
    let twice = |t: &Tensor| [t.clone(), t.clone()];
    // The student says the same as the teacher: the loss is the teacher's entropy, and there is nothing to learn.
    let student = Var::from_tensor(&teacher)?;
    let loss = dino::loss(&twice(&student), &twice(&teacher), &centre, 1.0, 1.0)?;
    equal(&loss, entropy);
    equal(&loss.backward()?.get(&student).expect("a gradient").abs()?.sum_all()?, 0.0);
    // It says nothing: entropy and the divergence of (1/4, 3/4) from (1/2, 1/2), together ln 2.
    let divergence = 0.25 * 0.5f64.ln() + 0.75 * 1.5f64.ln();
    equal(&dino::loss(&twice(&flat), &twice(&teacher), &centre, 1.0, 1.0)?, entropy + divergence);
    equal(&dino::loss(&twice(&flat), &twice(&teacher), &centre, 0.1, 0.04)?, 2f64.ln());
    // Temperatures: logits ten times smaller at a tenth.
    let cold = (&teacher * 0.1)?;
    equal(&dino::loss(&twice(&cold), &twice(&cold), &centre, 0.1, 0.1)?, entropy);
    // The centre takes the teacher's preference away.
    let shifted = Tensor::new(&[0f32, ln3], CPU)?;
    let level = 0.5 * 4f64.ln() + 0.5 * (4f64 / 3.0).ln();
    equal(&dino::loss(&twice(&teacher), &twice(&teacher), &shifted, 1.0, 1.0)?, level);
    // A view is not compared with itself: student 0 meets teacher 1 alone, student 1 teacher 0.
    let (sure, other) = (rows(&[[0.0, 90.0]]), rows(&[[90.0, 0.0]]));
    equal(&dino::loss(&[sure.clone(), other.clone()], &[other.clone(), sure.clone()], &centre, 1.0, 1.0)?, 0.0);
    equal(&dino::loss(&[sure.clone(), other.clone()], &[sure, other], &centre, 1.0, 1.0)?, 90.0);

    // A quarter of the mean of 1, 2, 5 and 5.
    let views = [rows(&[[1.0, 1.0], [2.0, 2.0]]), rows(&[[5.0, 5.0], [5.0, 5.0]])];
    let next = dino::next_centre(&centre, &views, 0.75)?;
    close("centre by hand", &next, &Tensor::new(&[0.8125f32, 0.8125], CPU)?);
    // The length of neither side counts.
    let found = dino::prototypes(&rows(&[[3.0, 4.0]]), &rows(&[[10.0, 0.0], [0.0, 0.1], [-6.0, -8.0]]))?;
    close("prototypes by hand", &found, &rows(&[[0.6, 0.8, -1.0]]));

    let fails = |student: &[Tensor], teacher: &[Tensor]| dino::loss(student, teacher, &centre, 0.1, 0.04).is_err();
    assert!(fails(std::slice::from_ref(&flat), std::slice::from_ref(&teacher)), "one view has no other");
    assert!(fails(&twice(&flat), &[]), "no teacher");
    assert!(fails(&twice(&rows(&[[1.0, 2.0, 3.0]])), &twice(&teacher)), "another width");
    assert!(dino::next_centre(&centre, &[], 0.9).is_err(), "no view");
    Ok(())
}

#[test]
fn mae_equals_pytorch() -> Result<()> {
    let golden = Golden::read("mae");
    for case in ["square", "wide"] {
        golden.holds(case, &["images"], |x| {
            let patch = x.parameter(0) as usize;
            mae::reconstruction_loss(&x.get("predicted"), &x.get("images"), patch, &x.get("masked"))
        })?;
    }
    Ok(())
}

#[test]
fn mae_by_hand() -> Result<()> {
    // Two patches: left 1 and 3 in every row of every channel, so mean 2 and variance 12 / 11; right nothing but 7.
    let row = [1f32, 3.0, 7.0, 7.0];
    let image = Tensor::from_vec([row; 6].concat(), (1, 3, 2, 4), CPU)?;
    let deviation = (12f64 / 11.0 + 1e-6).sqrt();
    let nothing = Var::from_tensor(&Tensor::zeros((1, 2, 12), DType::F32, CPU)?)?;
    let loss = |masked: [f32; 2]| mae::reconstruction_loss(&nothing, &image, 2, &rows(&[masked]));
    equal(&loss([1.0, 0.0])?, 1.0 / (deviation * deviation));
    // A flat patch asks for zeros, and its gradient is finite.
    equal(&loss([0.0, 1.0])?, 0.0);
    equal(&loss([1.0, 1.0])?, 0.5 / (deviation * deviation));
    let gradients = loss([1.0, 1.0])?.backward()?;
    assert!(finite(gradients.get(&nothing).expect("a gradient")));
    // A patch that is not masked gets none.
    let gradients = loss([1.0, 0.0])?.backward()?;
    equal(&gradients.get(&nothing).expect("a gradient").narrow(1, 1, 1)?.abs()?.sum_all()?, 0.0);
    // Flat at a number that float32 does not hold exactly.
    let flat = Tensor::full(0.3f32, (1, 3, 8, 8), CPU)?;
    let zeros = Tensor::zeros((1, 1, 192), DType::F32, CPU)?;
    let loss_of_flat = mae::reconstruction_loss(&zeros, &flat, 8, &rows(&[[1.0]]))?.to_scalar::<f32>()?;
    assert!((0.0..1e-6).contains(&loss_of_flat), "{loss_of_flat}");

    let error = loss([0.0, 0.0]).expect_err("no masked patch");
    assert!(error.to_string().contains("at least one hidden patch"), "{error}");
    assert!(mae::reconstruction_loss(&zeros, &image, 2, &rows(&[[1.0, 1.0]])).is_err(), "another number of patches");
    assert!(mae::reconstruction_loss(&nothing, &image, 2, &rows(&[[1.0]])).is_err(), "a mask of another width");
    Ok(())
}

#[test]
fn beit_equals_pytorch() -> Result<()> {
    let golden = Golden::read("beit");
    for case in ["start", "sure", "one"] {
        golden.holds(case, &[], |x| beit::masked_token_loss(&x.get("logits"), &x.get("codes")))?;
    }
    let none = Tensor::zeros((2, 8), DType::F32, CPU)?;
    equal(&beit::masked_token_loss(&none, &Tensor::new(&[0u32, 7], CPU)?)?, 8f64.ln());
    assert!(beit::masked_token_loss(&none, &Tensor::new(&[0u32, 8], CPU)?).is_err(), "no such code");
    let (logits, codes) = (Tensor::zeros((0, 8), DType::F32, CPU)?, Tensor::zeros(0, DType::U32, CPU)?);
    assert!(beit::masked_token_loss(&logits, &codes).is_err(), "no masked token");
    Ok(())
}

#[test]
fn tokenizer_equals_pytorch() -> Result<()> {
    let golden = Golden::read("tokenizer");
    for case in ["relaxed", "cool", "cold"] {
        golden.holds(case, &[], |x| tokenizer::relaxed_codes(&x.get("logits"), &x.get("gumbel"), x.parameter(0)))?;
    }
    for case in ["kl", "kl_sharp"] {
        golden.holds(case, &[], |x| tokenizer::kl_to_uniform(&x.get("logits")))?;
    }
    let codes = tokenizer::codes(golden.get("codes", "logits"))?;
    assert_eq!(codes.to_vec1::<u32>()?, golden.get("codes", "value").to_vec1::<u32>()?);
    Ok(())
}

#[test]
fn tokenizer_by_hand() -> Result<()> {
    equal(&tokenizer::kl_to_uniform(&rows(&[[4.0, 4.0, 4.0], [0.0, 0.0, 0.0]]))?, 0.0);
    // Sure of one code: ln K, and finite gradients where a probability is 0.
    let sure = Var::from_tensor(&rows(&[[900.0, 0.0, -900.0, 0.0]]))?;
    let loss = tokenizer::kl_to_uniform(&sure)?;
    equal(&loss, 4f64.ln());
    assert!(finite(loss.backward()?.get(&sure).expect("a gradient")));
    let relaxed = tokenizer::relaxed_codes(&rows(&[[0.0, 0.0]]), &rows(&[[0.0, 3f32.ln()]]), 1.0)?;
    close("relaxed codes by hand", &relaxed, &rows(&[[0.25, 0.75]]));
    let logits = rows(&[[1.0, 2.0, 2.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -0.5]]);
    assert_eq!(tokenizer::codes(&logits)?.to_vec1::<u32>()?, [1, 0, 2]);
    assert!(tokenizer::relaxed_codes(&logits, &logits, 0.0).is_err(), "no temperature");
    Ok(())
}

#[test]
fn data2vec_equals_pytorch() -> Result<()> {
    let golden = Golden::read("data2vec");
    for case in ["targets", "one_layer"] {
        golden.holds(case, &["layers"], |x| data2vec::targets(&x.list("layers")))?;
    }
    for case in ["l1", "l1_narrow"] {
        golden.holds(case, &[], |x| data2vec::smooth_l1(&x.get("predicted"), &x.get("targets"), x.parameter(0)))?;
    }
    // Half of 1 / 2 within beta, 5 - 1 beyond; a token without variance stays finite.
    let zeros = Tensor::zeros((1, 2), DType::F32, CPU)?;
    equal(&data2vec::smooth_l1(&rows(&[[1.0, -5.0]]), &zeros, 2.0)?, (0.25 + 4.0) / 2.0);
    let flat = Tensor::full(0.3f32, (1, 2, 4), CPU)?;
    let found = data2vec::targets(&[flat.clone(), flat])?;
    assert!(finite(&found));
    assert!(data2vec::targets(&[]).is_err(), "no layer");
    Ok(())
}

#[test]
fn supervised_equals_pytorch() -> Result<()> {
    let golden = Golden::read("supervised");
    for case in ["plain", "smooth", "half"] {
        golden.holds(case, &[], |x| {
            supervised::smoothed_cross_entropy(&x.get("logits"), &x.get("labels"), x.parameter(0))
        })?;
    }
    // Softmax of (0, ln 3): (1/4, 3/4). Targets 0.8 at the label and 0.2 shared by both: 0.9 and 0.1.
    let (logits, labels) = (rows(&[[0.0, 3f32.ln()]]), Tensor::new(&[1u32], CPU)?);
    let expected = 0.1 * 4f64.ln() + 0.9 * (4f64 / 3.0).ln();
    equal(&supervised::smoothed_cross_entropy(&logits, &labels, 0.2)?, expected);
    let outside = Tensor::new(&[2u32], CPU)?;
    assert!(supervised::smoothed_cross_entropy(&logits, &outside, 0.2).is_err(), "no such label");
    Ok(())
}

#[test]
fn the_schedule_equals_pytorch() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/objectives");
    let golden = candle_core::safetensors::load(folder.join("schedule.safetensors"), CPU)?;
    let (rows, values) = (golden["rows"].to_vec2::<f64>()?, golden["value"].to_vec1::<f64>()?);
    assert!(rows.len() == values.len() && rows.len() > 10, "{} rows, {} values", rows.len(), values.len());
    let mut worst = 0f64;
    for (row, expected) in rows.iter().zip(values) {
        let [start, end, warm_up, total, step] = row[..] else { panic!("five numbers a row") };
        let found = schedule::cosine(start, end, warm_up as u64, total as u64, step as u64);
        assert!((found - expected).abs() < 1e-12, "{row:?}: {found}");
        worst = worst.max((found - expected).abs());
    }
    println!("schedule: {} values, at most {worst:.1e} off", rows.len());
    // Past the end it stays there, and so it does where the warm-up takes all steps.
    for (warm_up, total, step) in [(2, 10, 11), (0, 10, u64::MAX), (4, 4, 4), (0, 0, 0)] {
        assert_eq!(schedule::cosine(0.1, 0.01, warm_up, total, step), 0.01, "{warm_up} {total} {step}");
    }
    Ok(())
}

#[test]
fn a_teacher_follows() -> Result<()> {
    let named = |weight: &Tensor| HashMap::from([("weight".to_string(), weight.clone())]);
    let mut teacher = Teacher::new(named(&rows(&[[1.0, -2.0]])), CPU);
    // 3/4 of 1 and 1/4 of 5; the student is trained, its teacher is not.
    let student = Var::from_tensor(&rows(&[[5.0, 2.0]]))?;
    teacher.follow(&named(&student), 0.75)?;
    let weight = &teacher.weights()["weight"];
    assert!(!weight.track_op());
    assert_eq!(weight.to_vec2::<f32>()?, [[2.0, -1.0]]);
    assert!(teacher.follow(&HashMap::new(), 0.75).is_err(), "a student without the weight");
    Ok(())
}
