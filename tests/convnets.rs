//! ConvNeXt and EfficientNet against PyTorch: features, every gradient, three steps of Adam and the running statistics,
//! in small, under the names of every publisher. The goldens are of `tests/reference/backbones.py`.

#[path = "golden/backbones/mod.rs"]
mod golden;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_nn::loss::cross_entropy;
use golden::{Golden, Tensors, distance, holds, relative};
use wider_clip::error::Result;
use wider_clip::models::{
    Architecture, ConvNeXt, ConvNeXtConfig, EfficientNet, EfficientNetConfig, Mode, Noise, convnext, efficientnet,
};
use wider_clip::training::{Adam, Classifier, ClassifierParams, Head};

fn small_convnext() -> ConvNeXtConfig {
    ConvNeXtConfig { depths: [1, 1, 2, 1], dims: [8, 16, 24, 32], ..ConvNeXtConfig::tiny() }
}

/// B0 of a twentieth of the width and half the depth.
fn small(config: EfficientNetConfig) -> EfficientNetConfig {
    EfficientNetConfig { width: 0.05, depth: 0.5, ..config }
}

/// Name of the golden, and its configuration.
fn convnexts() -> Vec<(&'static str, ConvNeXtConfig)> {
    let config = small_convnext();
    let one = config.clone().with_one_eps();
    vec![
        ("convnext", config),
        ("convnext_timm", one.clone()),
        ("convnext_torchvision", one.clone()),
        ("convnext_openclip", one),
    ]
}

fn efficientnets() -> Result<Vec<(&'static str, EfficientNetConfig)>> {
    Ok(vec![
        ("efficientnet", small(EfficientNetConfig::b(0)?)),
        ("efficientnet_torchvision", small(EfficientNetConfig::b(0)?)),
        ("tf_efficientnet", small(EfficientNetConfig::tf_b(0)?)),
    ])
}

#[test]
fn convnext_equals_pytorch_forward_backward_and_in_adam() -> Result<()> {
    for (name, config) in convnexts() {
        let zero = holds(&Golden::read(name), &Architecture::ConvNeXt(config), "avg")?;
        assert_eq!(zero, Vec::<String>::new(), "{name}: every tensor has a gradient");
    }
    Ok(())
}

#[test]
fn efficientnet_equals_pytorch_forward_backward_and_in_adam() -> Result<()> {
    for (name, config) in efficientnets()? {
        let zero = holds(&Golden::read(name), &Architecture::EfficientNet(config), "avg")?;
        // What a narrowing adds to all pixels of a channel goes only into convolutions that are normalised again.
        let repeats = [1, 1, 1, 2, 2, 2, 1].into_iter().enumerate();
        let shifts = repeats.flat_map(|(stage, repeats)| (0..repeats).map(move |block| (stage, block)));
        let shifts: Vec<String> = match name {
            "efficientnet_torchvision" => shifts
                .map(|(stage, block)| {
                    let layer = if stage == 0 { 2 } else { 3 };
                    format!("features.{}.{block}.block.{layer}.1.bias", stage + 1)
                })
                .collect(),
            _ => shifts
                .map(|(stage, block)| format!("blocks.{stage}.{block}.bn{}.bias", if stage == 0 { 2 } else { 3 }))
                .collect(),
        };
        assert_eq!(zero, shifts, "{name}: tensors without a gradient");
    }
    Ok(())
}

#[test]
fn running_statistics_move_as_pytorchs() -> Result<()> {
    for (name, config) in efficientnets()? {
        let golden = Golden::read(name);
        let architecture = Architecture::EfficientNet(config);
        let assembled = golden.assemble(&architecture)?;
        let (dim, n_classes) = (golden.get("features.avg").dim(1)?, golden.get("head.bias").dim(0)?);
        let params = ClassifierParams {
            architecture: &architecture,
            pooling: "avg",
            dim,
            n_classes,
            head: Head::Torch,
            seed: 0,
            layer_decay: 1.0,
            weight_decay: 0.0,
        };
        let model = Classifier::new(&params, &assembled.tensors, &Device::Cpu)?;
        let mut state: Tensors = model.state()?.into_iter().collect();
        state.extend(["head.weight", "head.bias"].map(|name| (name.to_string(), golden.get(name).clone())));
        model.set_state(&state)?;
        let images = golden.get("images");
        // Reading features moves nothing.
        model.forward(images, Mode::Eval)?;
        let labels = golden.get("labels").to_dtype(DType::U32)?;
        let mut adam = Adam::new(model.parameters().to_vec())?;
        // Adam makes whole steps of the rounding noise in gradients that are zero, and such shifts show in the means
        // behind them; the statistics of the first step are free of it.
        for (step, kind, bound) in [(0, "buffers1", 1e-5), (1, "", 0.0), (2, "buffers", 5e-3)] {
            if step == 0 {
                for (ours, before) in model.state()?.iter().filter(|(ours, _)| ours.contains("running")) {
                    assert_eq!(distance(before, &assembled.tensors[ours]), 0.0, "{name}: {ours} before training");
                }
            }
            let loss = cross_entropy(&model.forward(images, Mode::QUIET)?, &labels)?;
            adam.step(&loss.backward()?, 1e-3)?;
            if kind.is_empty() {
                continue;
            }
            let mut seen = 0;
            let mut worst = 0f64;
            for (ours, found) in model.state()?.iter().filter(|(ours, _)| ours.contains("running")) {
                let expected = golden.get(&format!("{kind}.{}", assembled.published[ours][0]));
                let off = distance(found, expected);
                worst = worst.max(off);
                seen += 1;
                assert!(off < bound, "{name}: {ours} after step {step} differs by {off}");
            }
            println!("{name}: {seen} statistics after step {step} differ by at most {worst:.1e}");
            assert_eq!(seen, golden.expected.keys().filter(|name| name.starts_with(&format!("{kind}."))).count());
        }
    }
    Ok(())
}

#[test]
fn the_checkpoints_own_classifiers_give_logits() -> Result<()> {
    let check = |name: &str, logits: Tensor, features: &Tensor, (w, b): (&Tensor, &Tensor)| -> Result<()> {
        let expected = features.matmul(&w.t()?)?.broadcast_add(b)?;
        let off = relative(&logits, &expected);
        println!("{name}: logits differ by {off:.1e}");
        assert!(off < 1e-4, "{name}: logits differ by {off}");
        Ok(())
    };
    let cpu = Device::Cpu;
    let own = |golden: &Golden, layer: &str| {
        ["weight", "bias"].map(|kind| golden.weights[&format!("{layer}.{kind}")].clone())
    };
    for ((name, config), layer) in convnexts().into_iter().zip(["classifier", "head.fc", "classifier.2"]) {
        let golden = Golden::read(name);
        let mut tensors = golden.assemble(&Architecture::ConvNeXt(config.clone()))?.tensors;
        let [w, b] = own(&golden, layer);
        tensors.extend([("head.fc.weight".into(), w.clone()), ("head.fc.bias".into(), b.clone())]);
        let model = ConvNeXt::load(&config, VarBuilder::from_tensors(tensors, DType::F32, &cpu))?;
        check(name, model.forward_logits(golden.get("images"))?, golden.get("features.avg"), (&w, &b))?;
    }
    for ((name, config), layer) in efficientnets()?.into_iter().zip(["classifier", "classifier.1", "classifier"]) {
        let golden = Golden::read(name);
        let mut tensors = golden.assemble(&Architecture::EfficientNet(config.clone()))?.tensors;
        let [w, b] = own(&golden, layer);
        tensors.extend([("classifier.weight".into(), w.clone()), ("classifier.bias".into(), b.clone())]);
        let model = EfficientNet::load(&config, VarBuilder::from_tensors(tensors, DType::F32, &cpu))?;
        check(name, model.forward_logits(golden.get("images"))?, golden.get("features.avg"), (&w, &b))?;
    }
    // A backbone alone has none, and says so.
    let golden = Golden::read("convnext_openclip");
    let config = small_convnext().with_one_eps();
    let tensors = golden.assemble(&Architecture::ConvNeXt(config.clone()))?.tensors;
    let model = ConvNeXt::load(&config, VarBuilder::from_tensors(tensors, DType::F32, &cpu))?;
    let error = model.forward_logits(golden.get("images")).expect_err("no classifier").to_string();
    assert!(error.contains("head.fc"), "{error}");
    Ok(())
}

#[test]
fn publishers_are_told_apart() -> Result<()> {
    let publisher = |name: &'static str, architecture: Architecture| -> Result<&'static str> {
        Ok(Golden::read(name).assemble(&architecture)?.publisher)
    };
    let expected = ["transformers", "timm", "torchvision", "open_clip"];
    assert_eq!((convnexts().len(), efficientnets()?.len()), (expected.len(), 3));
    for ((name, config), expected) in convnexts().into_iter().zip(expected) {
        assert_eq!(publisher(name, Architecture::ConvNeXt(config))?, expected, "{name}");
    }
    for ((name, config), expected) in efficientnets()?.into_iter().zip(["timm", "torchvision", "timm"]) {
        assert_eq!(publisher(name, Architecture::EfficientNet(config))?, expected, "{name}");
    }
    // transformers' bare model has no prefix.
    let golden = Golden::read("convnext");
    let bare = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix("convnext.")?.to_string(), tensor.clone()));
    let weights: Tensors = golden.weights.iter().filter_map(bare).collect();
    let bare = Golden { name: "convnext", weights, expected: Tensors::new() };
    assert_eq!(bare.assemble(&Architecture::ConvNeXt(small_convnext()))?.publisher, "transformers");
    Ok(())
}

#[test]
fn what_does_not_fit_is_listed() -> Result<()> {
    let zeros = |n: usize| Tensor::zeros(n, DType::F32, &Device::Cpu);
    let config = Architecture::EfficientNet(small(EfficientNetConfig::b(0)?));
    let convnext = Architecture::ConvNeXt(small_convnext());
    // A name, the tensor taken away and the one that gets a wrong shape.
    let cases = [
        (
            "convnext",
            convnext.clone(),
            "convnext.encoder.stages.2.layers.1.dwconv.weight",
            "convnext.encoder.stages.1.layers.0.layer_scale_parameter",
        ),
        ("convnext_torchvision", convnext, "features.5.1.layer_scale", "features.3.0.block.2.bias"),
        ("efficientnet", config.clone(), "blocks.1.0.bn2.running_var", "blocks.2.0.conv_pw.weight"),
        ("efficientnet_torchvision", config, "features.2.0.block.1.1.running_var", "features.8.1.bias"),
    ];
    for (name, architecture, tensor, other) in cases {
        let golden = Golden::read(name);
        let mut weights = golden.weights.clone();
        weights.remove(tensor);
        weights.insert("stages.9.extra".into(), zeros(3)?);
        weights.insert(other.into(), zeros(31)?);
        let golden = Golden { name, weights, expected: Tensors::new() };
        let error = golden.assemble(&architecture).expect_err("does not fit").to_string();
        assert!(error.contains(&format!("Missing: {tensor}.")), "{error}");
        assert!(error.contains("Unexpected: stages.9.extra"), "{error}");
        assert!(error.contains(&format!("{other} [31] (expected [")), "{error}");
    }
    Ok(())
}

#[test]
fn depths_follow_the_papers_groups() -> Result<()> {
    // ConvNeXt's optim_factory.py: 12 groups for small and base, stem 0, last norm 13.
    let config = ConvNeXtConfig::base();
    assert_eq!(convnext::n_depths(&config), 14);
    let expected = [
        ("stem.1.bias", 0),
        ("stages.0.blocks.2.gamma", 1),
        ("stages.1.downsample.0.weight", 2),
        ("stages.1.blocks.0.norm.bias", 2),
        ("stages.2.downsample.1.weight", 3),
        ("stages.2.blocks.2.conv_dw.weight", 3),
        ("stages.2.blocks.3.conv_dw.weight", 4),
        ("stages.2.blocks.26.mlp.fc1.bias", 11),
        ("stages.3.downsample.0.bias", 12),
        ("stages.3.blocks.2.mlp.fc2.weight", 12),
        ("head.norm.weight", 13),
    ];
    for (name, depth) in expected {
        assert_eq!(convnext::depth_of(&config, name), depth, "{name}");
    }
    let config = EfficientNetConfig::b(0)?;
    assert_eq!(efficientnet::n_depths(&config), 18);
    let expected = [
        ("conv_stem.weight", 0),
        ("bn1.bias", 0),
        ("blocks.0.0.bn1.weight", 1),
        ("blocks.1.1.conv_pw.weight", 3),
        ("blocks.6.0.se.conv_reduce.bias", 16),
        ("conv_head.weight", 17),
        ("bn2.weight", 17),
    ];
    for (name, depth) in expected {
        assert_eq!(efficientnet::depth_of(&config, name), depth, "{name}");
    }
    for architecture in ["convnext_small", "efficientnet_b4"] {
        let architecture = Architecture::named(architecture)?;
        let mut seen: Vec<usize> = architecture.parameters().iter().map(|p| architecture.depth_of(&p.name)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (0..architecture.depths()).collect::<Vec<_>>(), "{architecture:?}");
    }
    Ok(())
}

#[test]
fn parameters_are_counted_as_published() -> Result<()> {
    // timm's counts without the classifier.
    let expected = [
        ("convnext_tiny", 27_820_128),
        ("convnext_small", 49_454_688),
        ("convnext_base", 87_566_464),
        ("efficientnet_b2", 7_700_994),
        ("efficientnet_b4", 17_548_616),
        ("tf_efficientnet_b6", 40_735_704),
    ];
    for (name, n) in expected {
        let trained = Architecture::named(name)?.parameters().into_iter().filter(|parameter| parameter.trained);
        assert_eq!(trained.map(|p| p.shape.iter().product::<usize>()).sum::<usize>(), n, "{name}");
    }
    Ok(())
}

#[test]
fn dropped_paths_follow_seed_and_step() -> Result<()> {
    for (name, architecture) in [
        ("convnext", Architecture::ConvNeXt(small_convnext())),
        ("efficientnet", Architecture::EfficientNet(small(EfficientNetConfig::b(0)?))),
    ] {
        let golden = Golden::read(name);
        let tensors = golden.assemble(&architecture)?.tensors;
        let vars = tensors.iter().map(|(name, t)| Ok((name.clone(), candle_core::Var::from_tensor(t)?.into_inner())));
        let vars = vars.collect::<Result<Tensors>>()?;
        let model = architecture.build(VarBuilder::from_tensors(vars, DType::F32, &Device::Cpu))?;
        let features = |drop_path: f64, step: u64| -> Result<Tensor> {
            let noise = Noise { drop_path, step, ..Noise::default() };
            Ok(model.forward(golden.get("images"), Mode::Train(noise))?.remove(0).1.detach())
        };
        assert_eq!(distance(&features(0.5, 1)?, &features(0.5, 1)?), 0.0, "{name}: the same step drops the same");
        let steps = (0..8).map(|step| features(0.5, step)).collect::<Result<Vec<_>>>()?;
        assert!(steps.iter().any(|step| distance(step, &steps[0]) > 1e-3), "{name}: steps drop different paths");
    }
    Ok(())
}
