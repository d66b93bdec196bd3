//! Fine-tuning against PyTorch Lightning: 50 steps of the study's way on the same images, weights and batches, and the
//! epoch at which early stopping ends a run. The goldens are of `tests/reference/finetuning.py`.

#[path = "golden/backbones/mod.rs"]
mod golden;

use candle_core::{DType, Device, Tensor, Var};
use golden::{Golden, Tensors, close, distance, norm, relative};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wider_clip::datasets::Squares;
use wider_clip::error::Result;
use wider_clip::finetune::{Examples, FineTune, FineTuneParams, Input, Recipe, Statistics};
use wider_clip::models::{Architecture, ConvNeXtConfig, EfficientNetConfig, TransformerConfig};
use wider_clip::ndarray::Array2;
use wider_clip::training::{
    Ended, Head, Job, Loss, Moment, Outcome, Parameters, Part, Place, Plan, Reason, Source, train,
};

/// Ten epochs of 76 images, five steps each, the last one of 12 images.
const N_EPOCHS: u64 = 10;
const N_IMAGES: usize = 76;
const SEED: u64 = 11;
/// The study's rate, at which little moves in 50 steps, and one at which much does; as the goldens call them.
const RATES: [(f64, &str); 2] = [(1e-5, "1e-5"), (1e-3, "1e-3")];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/finetuning").join(name)
}

fn tensors(name: &str) -> Tensors {
    candle_core::safetensors::load(file(name), &Device::Cpu).expect("a golden file")
}

fn read_json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(file(name)).expect("a golden file")).expect("JSON")
}

fn place(folder: &Path) -> Place<'_> {
    Place { folder, every: Duration::MAX, stop_after: None, verbose: false, page: false }
}

/// One of each sort of backbone, small.
struct Family {
    /// Of its goldens.
    name: &'static str,
    architecture: Architecture,
    /// The study's.
    pooling: &'static str,
    /// How many pixels wide it sees one.
    factor: usize,
}

fn families() -> Result<[Family; 5]> {
    let transformer = |config: TransformerConfig| {
        let small = TransformerConfig { image_size: 24, patch: 8, dim: 32, depth: 2, heads: 4, hidden: 64, ..config };
        Architecture::Transformer(small)
    };
    let convnext = ConvNeXtConfig { depths: [1, 1, 2, 1], dims: [8, 16, 24, 32], ..ConvNeXtConfig::tiny() };
    let efficientnet = EfficientNetConfig { width: 0.05, depth: 0.5, ..EfficientNetConfig::b(0)? };
    let families = [
        ("vit", transformer(TransformerConfig::vit_b16()), "cls", 1),
        ("clip", transformer(TransformerConfig::clip_vit_b32()), "cls", 1),
        ("beit", transformer(TransformerConfig::beit_b16()), "token_mean", 1),
        ("convnext", Architecture::ConvNeXt(convnext), "avg", 2),
        ("efficientnet", Architecture::EfficientNet(efficientnet), "avg", 2),
    ];
    Ok(families.map(|(name, architecture, pooling, factor)| Family { name, architecture, pooling, factor }))
}

#[test]
fn batches_come_in_the_order_that_was_given_to_pytorch() {
    let epochs = Recipe::study().epochs_of(N_IMAGES, SEED);
    let steps: Vec<Vec<usize>> = (0..N_EPOCHS * epochs.steps()).map(|step| epochs.rows(step)).collect();
    let order = json!({"images": N_IMAGES, "batch": epochs.batch, "seed": SEED, "steps": steps});
    if std::env::var_os("WIDER_CLIP_WRITE_FINETUNING_ORDER").is_some() {
        std::fs::write(file("order.json"), format!("{order}\n")).expect("a file");
    }
    assert_eq!(read_json("order.json"), order);
    assert_eq!((steps.len(), steps[3].len(), steps[4].len()), (50, 16, 12));
    assert_eq!((Recipe::study().rate, Recipe::study().patience, Recipe::study().epochs), (RATES[0].0, Some(30), 1000));
}

/// The goldens' images and classes, each pixel `factor` pixels wide; `recipe` says how they are normalised.
fn examples(data: &Tensors, factor: usize, recipe: &Recipe) -> Result<Examples> {
    let (n, side, _, _) = data["squares"].dims4()?;
    let wide = side * factor;
    let bytes = data["squares"].reshape((n, side, 1, side, 1, 3))?.broadcast_as((n, side, factor, side, factor, 3))?;
    let squares = Squares::from_bytes(wide, bytes.flatten_all()?.to_vec1::<u8>()?)?;
    let labels = data["labels"].to_dtype(DType::U32)?.to_vec1::<u32>()?;
    Examples::new(Arc::new(squares), labels, 5, recipe.input.normalisation(([0.5; 3], [0.5; 3])))
}

/// How a run is made.
#[derive(Clone)]
struct Way {
    recipe: Recipe,
    /// Others than the plan's.
    betas: Option<(f64, f64)>,
    seed: u64,
}

/// The study's way.
fn study() -> Way {
    Way { recipe: Recipe::study().at_most(N_EPOCHS), betas: None, seed: SEED }
}

/// What 50 steps leave.
struct Run {
    losses: Vec<f64>,
    val_losses: Vec<f64>,
    /// After how many steps the validation loss was lowest.
    best: Option<u64>,
    logits: Array2<f32>,
    /// By published name.
    statistics: BTreeMap<String, Tensor>,
}

fn tune(family: &Family, rate: f64, held: bool, way: Way) -> Result<Run> {
    let Family { name, architecture, pooling, factor } = family;
    let (data, expected) = (tensors("images.safetensors"), tensors(&format!("{name}.safetensors")));
    let begin = Golden::read(name);
    let assembled = begin.assemble(architecture)?;
    let recipe = Recipe { rate, ..way.recipe };
    let positions = |part: &str| -> Result<Vec<usize>> {
        Ok(data[part].to_vec1::<i64>()?.into_iter().map(|position| position as usize).collect())
    };
    let mut job = FineTune::new(FineTuneParams {
        name: (*name).to_string(),
        architecture,
        weights: &assembled.tensors,
        weights_id: name,
        feature: (pooling, expected["head.weight"].dim(1)?),
        head: Head::Given(&expected["head.weight"], &expected["head.bias"]),
        examples: examples(&data, *factor, &recipe)?,
        uncut: None,
        train: positions("train")?,
        val: positions("val")?,
        recipe,
        seed: way.seed,
        images_at_once: None,
        device: Device::Cpu,
    })?;
    let plan = job.plan()?;
    let plan = Plan { rows_every: 1, betas: way.betas.unwrap_or(plan.betas), ..plan };
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = if held {
        let zero = without_gradient(&begin, &assembled.published, job.parameters())?;
        assert_eq!(zero.len(), 10, "{name}");
        train(&mut Held { job: &mut job, held: zero }, &plan, &place(folder.path()))?
    } else {
        train(&mut job, &plan, &place(folder.path()))?
    };
    let line = |metric: &str| outcome.curve.line(metric).into_iter().map(|(_, value)| value).collect();
    let state = job.parameters().state()?.into_iter();
    let running = state.filter(|(ours, _)| ours.contains("running"));
    Ok(Run {
        losses: line("loss"),
        val_losses: line("val_loss"),
        best: outcome.best.as_ref().map(|best| best.step),
        logits: job.logits(&positions("val")?)?,
        statistics: running.map(|(ours, tensor)| (assembled.published[&ours][0].clone(), tensor)).collect(),
    })
}

/// Parameters whose true gradient is zero, by the golden of their gradients, and what they are.
fn without_gradient(
    begin: &Golden,
    published: &BTreeMap<String, Vec<String>>,
    parameters: &Parameters,
) -> Result<Vec<(Var, Tensor)>> {
    let zero =
        |ours: &str| published.get(ours).is_some_and(|names| norm(begin.get(&format!("grad.{}", names[0]))) < 1e-5);
    let found = parameters.trained().iter().filter(|parameter| zero(&parameter.name));
    found.map(|parameter| Ok((parameter.var.clone(), parameter.var.as_tensor().copy()?))).collect()
}

/// Fine-tuning in which some parameters stay.
struct Held<'a> {
    job: &'a mut FineTune,
    held: Vec<(Var, Tensor)>,
}

impl Job for Held<'_> {
    type Batch = <FineTune as Job>::Batch;
    type Source = <FineTune as Job>::Source;

    fn name(&self) -> &str {
        self.job.name()
    }

    fn fingerprint(&self) -> String {
        self.job.fingerprint()
    }

    fn parameters(&self) -> &Parameters {
        self.job.parameters()
    }

    fn source(&self) -> Result<Self::Source> {
        self.job.source()
    }

    fn loss(&mut self, batch: &Self::Batch, at: Moment) -> Result<Loss> {
        self.job.loss(batch, at)
    }

    fn after_step(&mut self, _: Moment) -> Result<()> {
        self.held.iter().try_for_each(|(var, value)| Ok(var.set(value)?))
    }

    fn measure(&mut self, at: Moment) -> Result<Vec<(&'static str, f64)>> {
        self.job.measure(at)
    }
}

/// Losses as parts of those expected, which are then 1.
fn parts(found: &[f64], expected: &Tensor) -> Result<Vec<f64>> {
    let expected = expected.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    assert_eq!(found.len(), expected.len());
    Ok(found.iter().zip(expected).map(|(found, expected)| found / expected).collect())
}

/// The place of the largest value of each row.
fn largest(rows: &Array2<f32>) -> Vec<usize> {
    let of_row = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a value");
    rows.rows().into_iter().map(|row| of_row(&row.to_vec())).collect()
}

/// Promised are 1e-3 for losses, 1e-4 for running statistics and 99 % of the predictions. Found were 6e-7, 2e-6 and all
/// of them, so the limits are tighter: with a wrong beta the losses at the study's rate stay within 1e-3 (the next test).
///
/// One thing is not decided by the numbers that go in. What a narrowing of EfficientNet adds to all pixels of a channel
/// goes only into convolutions that are normalised again, so that its gradient is zero but for rounding, and Adam makes
/// whole steps of that. No loss of training sees them; the running means right behind do, and so does what is said in
/// evaluation mode: PyTorch's own means differ by 4e-4, at 1e-3 by 4e-2, where the rows of batches change places. Here
/// these have limits that grow with the rate, and once more strict ones, with the ten biases held still on both sides.
#[test]
fn fifty_steps_equal_pytorchs() -> Result<()> {
    for family in families()? {
        let expected = tensors(&format!("{}.safetensors", family.name));
        let normalises = family.name == "efficientnet";
        for ((rate, called), held) in RATES.into_iter().flat_map(|rate| [(rate, false), (rate, true)]) {
            if held && !normalises {
                continue;
            }
            let run = tune(&family, rate, held, study())?;
            let kind = if held { format!("{called} held") } else { called.to_string() };
            let get = |what: &str| &expected[&format!("{kind}.{what}")];
            let what = |what: &str| format!("{} at {kind}: {what}", family.name);
            let blurred = normalises && !held;
            let limit = |exact: f64, per_rate: f64| if blurred { per_rate * rate } else { exact };

            close(&what("losses"), &parts(&run.losses, get("losses"))?, &vec![1.0; 50], 5e-6);
            let val_losses = parts(&run.val_losses, get("val_losses"))?;
            close(&what("validation losses"), &val_losses, &vec![1.0; 10], limit(5e-6, 5.0));
            let logits = get("logits").to_vec2::<f32>()?;
            let logits = Array2::from_shape_fn((logits.len(), 5), |(row, column)| logits[row][column]);
            close(&what("logits"), &run.logits, &logits, limit(5e-5, 50.0));
            let pairs = largest(&run.logits).into_iter().zip(largest(&logits));
            let others = pairs.filter(|(found, wanted)| found != wanted).count();
            println!("{}", what(&format!("{others} of {} predictions are others", logits.nrows())));
            assert!(others <= 2 && logits.nrows() == 204, "{}", what(&format!("{others} other predictions")));
            if !blurred {
                let losses = get("val_losses").to_vec1::<f32>()?;
                let epoch = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).expect("an epoch");
                assert_eq!(run.best, Some(5 * (epoch as u64 + 1)), "{}", what("steps to the best state"));
            }

            let mut worst = [0f64; 2];
            for (name, found) in &run.statistics {
                let off = distance(found, get(&format!("running.{name}")));
                let behind = blurred && behind_a_narrowing(name);
                worst[usize::from(behind)] = worst[usize::from(behind)].max(off);
                let limit = if behind { 200.0 * rate } else { 1e-5 };
                assert!(off < limit, "{}", what(&format!("{name} differs by {off}")));
            }
            let n_statistics = expected.keys().filter(|name| name.starts_with(&format!("{kind}.running."))).count();
            assert_eq!((run.statistics.len(), n_statistics), if normalises { (62, 62) } else { (0, 0) });
            if normalises {
                let [exact, behind] = worst;
                println!("{}", what(&format!("statistics differ by {exact:.1e}, behind a narrowing by {behind:.1e}")));
            }
        }
    }
    Ok(())
}

/// Whether a running mean is of what a narrowing gave, through one convolution.
fn behind_a_narrowing(name: &str) -> bool {
    name == "bn2.running_mean" || (name.ends_with(".bn1.running_mean") && !name.starts_with("blocks.0."))
}

#[test]
fn another_way_is_noticed_at_both_rates() -> Result<()> {
    let with = |change: fn(&mut Recipe)| {
        let mut way = study();
        change(&mut way.recipe);
        way
    };
    let ways = [
        ("first beta", Way { betas: Some((0.91, 0.999)), ..study() }),
        ("second beta", Way { betas: Some((0.9, 0.99)), ..study() }),
        ("order", Way { seed: SEED + 1, ..study() }),
        ("weight decay", with(|recipe| recipe.weight_decay = 0.2)),
        ("layer decay", with(|recipe| recipe.layer_decay = 0.99)),
        ("length of gradients", with(|recipe| recipe.longest_gradient = Some(1.0))),
        ("normalisation of images", with(|recipe| recipe.input = Input::Own)),
    ];
    let running = [("batch normalisation", with(|recipe| recipe.statistics = Statistics::Running))];
    let [vit, .., efficientnet] = families()?;
    for (family, ways) in [(vit, ways.as_slice()), (efficientnet, running.as_slice())] {
        let expected = tensors(&format!("{}.safetensors", family.name));
        for (rate, called) in RATES {
            for (what, way) in ways {
                let run = tune(&family, rate, false, way.clone())?;
                let off = relative(&parts(&run.losses, &expected[&format!("{called}.losses")])?, &vec![1.0; 50]);
                println!("{} at {called}, another {what}: losses differ by {off}", family.name);
                assert!(off > 5e-6, "{} at {called}, another {what}: losses differ by {off} only", family.name);
            }
        }
    }
    Ok(())
}

/// Does nothing but tell validation losses.
struct Told {
    parameters: Parameters,
    values: Vec<f64>,
}

/// Steps per epoch of one image each.
const STEPS: u64 = 2;

impl Job for Told {
    type Batch = ();
    type Source = Nothing;

    fn name(&self) -> &str {
        "told"
    }

    fn fingerprint(&self) -> String {
        "told".into()
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn source(&self) -> Result<Nothing> {
        Ok(Nothing)
    }

    fn loss(&mut self, (): &(), _: Moment) -> Result<Loss> {
        Ok(Loss::plain(self.parameters.trained()[0].var.sum_all()?))
    }

    fn measure(&mut self, at: Moment) -> Result<Vec<(&'static str, f64)>> {
        let epoch = (at.step / STEPS) as usize;
        let value = *self.values.get(epoch - 1).expect("it ended before its values did");
        // Lightning compares in single precision.
        Ok(vec![("val_loss", f64::from(value as f32))])
    }
}

struct Nothing;

impl Source for Nothing {
    type Batch = ();

    fn batch(&self, _: u64) -> Result<Vec<Part<()>>> {
        Ok(vec![Part { batch: (), images: 1 }])
    }
}

#[test]
fn early_stopping_ends_where_lightning_does() -> Result<()> {
    let curves = read_json("early_stopping.json");
    let curves = curves.as_array().expect("a list");
    assert_eq!(curves.len(), 13);
    for curve in curves {
        let number = |name: &str| curve[name].as_u64();
        let values = curve["values"].as_array().expect("a list").iter();
        let values = values.map(|value| value.as_str().and_then(|text| text.parse().ok()).expect("a number")).collect();
        let mut parameters = Parameters::new(0, 0.0, &Device::Cpu);
        parameters.place("x", &[1], vec![1.0])?;
        let epochs = number("max_epochs").expect("a number");
        let patience = number("patience").map(|patience| patience as u32);
        let plan = Recipe { epochs, patience, batch: 1, ..Recipe::study() }.plan(STEPS as usize, 0)?;
        let folder = tempfile::tempdir().expect("a folder");
        let Outcome { ended, steps, best, curve: rows, .. } =
            train(&mut Told { parameters, values }, &plan, &place(folder.path()))?;
        let reason = match ended {
            Ended::Early(Reason::NoImprovement(_, waited)) => {
                assert_eq!(Some(waited.into()), number("waited"));
                "patience_exhausted"
            }
            Ended::Early(Reason::NotFinite(..)) => "non_finite_metric",
            Ended::Through => "not_stopped",
            Ended::Interrupted => "interrupted",
        };
        let found = (Some(steps), best.map(|best| best.step / STEPS), reason);
        assert_eq!(found, (number("steps"), number("best"), curve["reason"].as_str().expect("a reason")), "{curve}");
        assert_eq!(Some(rows.line("val_loss").len() as u64), number("epochs"), "{curve}");
    }
    Ok(())
}
