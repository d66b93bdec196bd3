//! The inverted bottleneck as one operation against the single ones: result, statistics and every gradient.

#[path = "support/compare.rs"]
mod compare;

use candle_core::{DType, Device, Tensor, Var};
use compare::relative;
use wider_clip::error::{Error, Result};
use wider_clip::ops::{
    Activation, Bottleneck, Moments, Normed, Padding, Weight, batch_norm, batch_norm_running, bottleneck,
    depthwise_conv2d_nhwc, linear, linear_act, mean_pixels, residual, scale_channels,
};

/// Values that are the same on every machine: the low bits of a multiplication, moved and stretched.
fn tensor(shape: &[usize], seed: u32, centre: f64, spread: f64) -> Result<Tensor> {
    let value = |i: usize| ((i as u32 ^ seed << 8).wrapping_mul(2_654_435_761) >> 16) as f32 / 32768.0 - 1.0;
    let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(value).collect();
    Ok(((Tensor::from_vec(values, shape, &Device::Cpu)? * spread)? + centre)?)
}

/// A block's sizes.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Images, height, width.
    maps: (usize, usize, usize),
    /// Channels that enter, inside, squeezed, that leave.
    channels: (usize, usize, usize, usize),
    kernel: usize,
    stride: usize,
    activation: Activation,
    skip: bool,
    /// Statistics are given.
    given: bool,
    factors: bool,
}

const PLAIN: Case = Case {
    maps: (2, 5, 4),
    channels: (8, 48, 2, 8),
    kernel: 3,
    stride: 1,
    activation: Activation::Silu,
    skip: true,
    given: false,
    factors: false,
};

/// With and without each part, channels around a vector's length, few and many pixels: so many that sums are shared out, and
/// an image is more than a task.
const CASES: [Case; 12] = [
    PLAIN,
    Case { channels: (8, 8, 2, 8), ..PLAIN },
    Case { channels: (5, 19, 0, 7), skip: false, activation: Activation::Relu6, ..PLAIN },
    Case { channels: (6, 6, 0, 6), activation: Activation::Relu6, ..PLAIN },
    Case { stride: 2, kernel: 5, skip: false, ..PLAIN },
    Case { given: true, ..PLAIN },
    Case { given: true, channels: (8, 8, 0, 3), skip: false, stride: 2, ..PLAIN },
    Case { factors: true, ..PLAIN },
    Case { factors: true, skip: false, maps: (3, 1, 1), ..PLAIN },
    Case { maps: (2, 40, 41), channels: (8, 24, 3, 8), kernel: 5, ..PLAIN },
    Case { maps: (9, 23, 20), channels: (4, 16, 2, 5), stride: 2, skip: false, ..PLAIN },
    Case { maps: (3, 30, 30), channels: (16, 16, 4, 16), ..PLAIN },
];

struct Made {
    block: Bottleneck,
    vars: Vec<(&'static str, Var)>,
    x: Var,
    padding: Padding,
    moments: Option<Vec<Moments>>,
    factors: Option<Vec<f32>>,
}

impl Case {
    fn make(&self) -> Result<Made> {
        let (batch, height, width) = self.maps;
        let (inputs, inside, squeezed, outputs) = self.channels;
        let mut vars: Vec<(&'static str, Var)> = Vec::new();
        let mut var = |name: &'static str, shape: &[usize], centre: f64, spread: f64| -> Result<Tensor> {
            let var = Var::from_tensor(&tensor(shape, vars.len() as u32 + 1, centre, spread)?)?;
            vars.push((name, var.clone()));
            Ok(var.as_tensor().clone())
        };
        let mut normed = |names: [&'static str; 3], shape: [usize; 4], spread: f64| -> Result<Normed> {
            Ok(Normed {
                w: var(names[0], &shape, 0.05, spread)?,
                norm: (var(names[1], &[shape[0]], 1.0, 0.5)?, var(names[2], &[shape[0]], 0.2, 0.5)?),
            })
        };
        let widens = inputs != inside;
        let expand = ["expand", "expand norm w", "expand norm b"];
        let expand = widens.then(|| normed(expand, [inside, inputs, 1, 1], 0.6)).transpose()?;
        let depthwise = ["depthwise", "depthwise norm w", "depthwise norm b"];
        let depthwise = normed(depthwise, [inside, 1, self.kernel, self.kernel], 0.4)?;
        let project = ["project", "project norm w", "project norm b"];
        let project = normed(project, [outputs, inside, 1, 1], 0.5)?;
        let squeeze = match squeezed {
            0 => None,
            _ => Some([
                (var("reduce", &[squeezed, inside, 1, 1], 0.1, 0.9)?, var("reduce b", &[squeezed], 0.1, 0.5)?),
                (var("back", &[inside, squeezed, 1, 1], 0.1, 1.5)?, var("back b", &[inside], 0.1, 0.5)?),
            ]),
        };
        let (activation, skip, stride) = (self.activation, self.skip, self.stride);
        let block = Bottleneck { expand, depthwise, squeeze, project, stride, activation, eps: 1e-3, skip };
        let given = |channels: usize, seed: u32| -> Result<Moments> {
            Ok(Moments {
                mean: tensor(&[channels], seed, 0.1, 0.3)?,
                variance: tensor(&[channels], seed + 1, 1.0, 0.5)?,
            })
        };
        let channels = [inside, inside, outputs];
        let layers = channels.iter().enumerate().skip(usize::from(!widens));
        let moments: Vec<_> = layers.map(|(i, channels)| given(*channels, 50 + 2 * i as u32)).collect::<Result<_>>()?;
        let factors = (0..batch).map(|i| if i == 0 { 0.0 } else { 1.0 + 0.25 * i as f32 }).collect();
        Ok(Made {
            block,
            vars,
            x: Var::from_tensor(&tensor(&[batch, height, width, inputs], 99, 0.3, 1.0)?)?,
            padding: Padding::same(height, width, self.kernel, self.stride),
            moments: self.given.then_some(moments),
            factors: self.factors.then_some(factors),
        })
    }
}

impl Made {
    fn at_once(&self) -> Result<(Tensor, Vec<Moments>)> {
        bottleneck(&self.x, &self.block, self.padding, self.moments.as_deref(), self.factors.as_deref())
    }

    fn by_steps(&self) -> Result<(Tensor, Vec<Moments>)> {
        let block = &self.block;
        let mut made = Vec::new();
        let mut normed = |x: Tensor, (w, b): &(Tensor, Tensor), activation| -> Result<Tensor> {
            let Some(moments) = &self.moments else {
                let (y, moments) = batch_norm(&x, w, b, block.eps, activation)?;
                made.push(moments);
                return Ok(y);
            };
            let given = &moments[made.len()];
            made.push(given.clone());
            batch_norm_running(&x, w, b, given, block.eps, activation)
        };
        let pointwise = |x: &Tensor, w: &Tensor| -> Result<Tensor> {
            linear(x, &Weight::new(w)?, &Tensor::zeros(w.dim(0)?, DType::F32, &Device::Cpu)?)
        };
        let mut y = self.x.as_tensor().clone();
        if let Some(expand) = &block.expand {
            y = normed(pointwise(&y, &expand.w)?, &expand.norm, block.activation)?;
        }
        let depthwise = &block.depthwise;
        let convolved = depthwise_conv2d_nhwc(&y, &depthwise.w, block.stride, self.padding)?;
        y = normed(convolved, &depthwise.norm, block.activation)?;
        if let Some([(reduce, a), (back, b)]) = &block.squeeze {
            let inner = linear_act(&mean_pixels(&y)?, &Weight::new(reduce)?, a, block.activation)?;
            y = scale_channels(&y, &linear_act(&inner, &Weight::new(back)?, b, Activation::Sigmoid)?)?;
        }
        y = normed(pointwise(&y, &block.project.w)?, &block.project.norm, Activation::Identity)?;
        if let Some(factors) = &self.factors {
            y = y.broadcast_mul(&Tensor::from_slice(factors, (factors.len(), 1, 1, 1), &Device::Cpu)?)?;
        }
        Ok((if block.skip { residual(&self.x, &y, None)? } else { y }, made))
    }
}

#[test]
fn one_operation_equals_its_steps() -> Result<()> {
    for case in CASES {
        let made = case.make()?;
        let ((ours, our_moments), (theirs, their_moments)) = (made.at_once()?, made.by_steps()?);
        let off = relative(&ours, &theirs);
        assert!(off < 1e-5, "{case:?}: {off}");
        assert_eq!(our_moments.len(), their_moments.len(), "{case:?}");
        for (i, (ours, theirs)) in our_moments.iter().zip(&their_moments).enumerate() {
            for (ours, theirs) in [(&ours.mean, &theirs.mean), (&ours.variance, &theirs.variance)] {
                let off = relative(ours, theirs);
                assert!(off < 1e-5, "{case:?}: statistics {i} differ by {off}");
            }
        }
        let g = tensor(ours.dims(), 77, 0.1, 1.0)?;
        let (ours, theirs) = ((ours * &g)?.sum_all()?.backward()?, (theirs * &g)?.sum_all()?.backward()?);
        for (name, var) in made.vars.iter().map(|(name, var)| (*name, var)).chain([("x", &made.x)]) {
            let of = |store: &candle_core::backprop::GradStore| store.get(var).cloned();
            let ours = of(&ours).unwrap_or_else(|| panic!("{case:?}: {name} has no gradient"));
            let theirs = of(&theirs).unwrap_or_else(|| panic!("{case:?}: {name} has no gradient by steps"));
            assert_eq!(ours.dims(), theirs.dims(), "{case:?}: {name}");
            let off = relative(&ours, &theirs);
            assert!(off < 1e-4, "{case:?}: gradient of {name} differs by {off}");
        }
    }
    Ok(())
}

#[test]
fn what_is_not_trained_has_no_gradient_and_changes_nothing() -> Result<()> {
    let made = CASES[0].make()?;
    let whole = made.at_once()?.0.sqr()?.sum_all()?.backward()?;
    let part = Bottleneck {
        expand: made.block.expand.as_ref().map(|expand| Normed { w: expand.w.detach(), norm: expand.norm.clone() }),
        ..made.block.clone()
    };
    let gradients = bottleneck(&made.x.as_detached_tensor(), &part, made.padding, None, None)?.0;
    let gradients = gradients.sqr()?.sum_all()?.backward()?;
    for (name, var) in &made.vars {
        match (*name, gradients.get(var), whole.get(var)) {
            ("expand", None, Some(_)) => {}
            (_, Some(part), Some(whole)) => assert_eq!(relative(part, whole), 0.0, "{name}"),
            (_, part, whole) => panic!("{name}: {} and {}", part.is_some(), whole.is_some()),
        }
    }
    assert!(gradients.get(&made.x).is_none());
    // Nothing at all is trained: no graph.
    let frozen =
        |normed: &Normed| Normed { w: normed.w.detach(), norm: (normed.norm.0.detach(), normed.norm.1.detach()) };
    let frozen = Bottleneck {
        expand: made.block.expand.as_ref().map(frozen),
        depthwise: frozen(&made.block.depthwise),
        squeeze: made.block.squeeze.clone().map(|pairs| pairs.map(|(w, b)| (w.detach(), b.detach()))),
        project: frozen(&made.block.project),
        ..made.block.clone()
    };
    let (y, _) = bottleneck(&made.x.as_detached_tensor(), &frozen, made.padding, None, None)?;
    assert!(!y.track_op() && relative(&y, &made.at_once()?.0) == 0.0);
    Ok(())
}

#[test]
fn a_second_pass_back_gives_the_same() -> Result<()> {
    let made = CASES[0].make()?;
    let loss = made.at_once()?.0.sqr()?.sum_all()?;
    let (first, second) = (loss.backward()?, loss.backward()?);
    for (name, var) in &made.vars {
        let (Some(first), Some(second)) = (first.get(var), second.get(var)) else { panic!("{name}: no gradient") };
        assert_eq!(relative(first, second), 0.0, "{name}");
    }
    Ok(())
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let of = |threads: usize| -> Result<Vec<Vec<f32>>> {
        let pool = wider_clip::rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let mut all = Vec::new();
            for case in [CASES[0], CASES[9], CASES[10]] {
                let made = case.make()?;
                let (y, _) = made.at_once()?;
                all.push(y.flatten_all()?.to_vec1()?);
                let gradients = y.sqr()?.sum_all()?.backward()?;
                for (name, var) in &made.vars {
                    let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name}: no gradient"));
                    all.push(gradient.flatten_all()?.to_vec1()?);
                }
            }
            Ok(all)
        })
    };
    let one = of(1)?;
    for threads in [2, 3, 8] {
        assert!(of(threads)? == one, "{threads} threads");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_an_error() -> Result<()> {
    let made = CASES[0].make()?;
    let run = |x: &Tensor, block: &Bottleneck, moments: Option<&[Moments]>, factors: Option<&[f32]>| {
        bottleneck(x, block, made.padding, moments, factors).map(|_| ())
    };
    let (x, block) = (made.x.as_tensor(), &made.block);
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let with = |change: &dyn Fn(&mut Bottleneck)| {
        let mut block = block.clone();
        change(&mut block);
        block
    };
    let wrong = zeros(&[3, 3, 1, 1])?;
    let short = zeros(&[3])?;
    let squeeze = |i: usize, w: Option<&Tensor>, b: Option<&Tensor>| {
        with(&|block| {
            if let Some(pairs) = &mut block.squeeze {
                w.into_iter().for_each(|w| pairs[i].0 = w.clone());
                b.into_iter().for_each(|b| pairs[i].1 = b.clone());
            }
        })
    };
    let moments = Case { given: true, ..CASES[0] }.make()?.moments.unwrap_or_default();
    let cases = [
        run(&zeros(&[2, 5, 8])?, block, None, None),
        run(&zeros(&[2, 5, 4, 7])?, block, None, None),
        run(&zeros(&[0, 5, 4, 8])?, block, None, None),
        run(&x.to_dtype(DType::F64)?, block, None, None),
        run(x, &with(&|block| block.expand = None), None, None),
        run(x, &with(&|block| block.depthwise.w = wrong.clone()), None, None),
        run(x, &with(&|block| block.depthwise.norm.0 = short.clone()), None, None),
        run(x, &with(&|block| block.project.w = wrong.clone()), None, None),
        run(x, &with(&|block| block.project.norm.1 = short.clone()), None, None),
        run(x, &with(&|block| block.stride = 2), None, None),
        run(x, &with(&|block| block.stride = 0), None, None),
        run(x, &squeeze(0, Some(&wrong), None), None, None),
        run(x, &squeeze(1, Some(&wrong), None), None, None),
        run(x, &squeeze(0, None, Some(&short)), None, None),
        run(x, &squeeze(1, None, Some(&short)), None, None),
        run(x, block, Some(&moments[1..]), None),
        run(x, block, None, Some(&[1.0])),
    ];
    for (i, case) in cases.into_iter().enumerate() {
        assert!(matches!(case, Err(Error::Argument { .. })), "case {i}: {case:?}");
    }
    run(x, block, Some(&moments), Some(&[1.0, 1.0]))
}
