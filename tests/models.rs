//! What every backbone must keep, small ones and every registered one; random weights that are the same everywhere.

#[path = "support/compare.rs"]
mod compare;
#[path = "golden/backbones/random.rs"]
mod random;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use compare::absolute as difference;
use random::{random_images, random_weights};
use std::collections::HashMap;
use std::path::Path;
use wider_clip::error::{Error, Result};
use wider_clip::manifest::Manifests;
use wider_clip::models::{
    Architecture, Backbone, Pixels, Transformer, TransformerConfig, grid_mean, load, load_as, read_weights,
};
use wider_clip::ops::has_bf16;

const SIZE: usize = 32;

fn small_vit() -> TransformerConfig {
    let tiny = TransformerConfig::vit_tiny_patch8_64();
    TransformerConfig { image_size: SIZE, dim: 24, depth: 2, heads: 3, hidden: 96, ..tiny }
}

fn manifests() -> Result<Manifests> {
    Manifests::load(Path::new(env!("CARGO_MANIFEST_DIR")))
}

/// A name, a backbone, and the names and lengths of its features.
type Candidate = (&'static str, Box<dyn Backbone>, Vec<(&'static str, usize)>);

/// Every kind of backbone for images of 32 pixels.
fn backbones() -> Result<Vec<Candidate>> {
    let manifests = manifests()?;
    let lite0 = manifests.model("efficientnet_lite0.in1k")?;
    let lite0 = read_weights(Path::new(env!("CARGO_MANIFEST_DIR")), lite0, &Device::Cpu)?;
    let lite0 = lite0.architecture.build(VarBuilder::from_tensors(lite0.tensors, DType::F32, &Device::Cpu))?;
    let vit = Transformer::random(&small_vit(), 0, &Device::Cpu)?;
    let of_vit = vec![("cls", 24), ("patch_mean", 24), ("token_mean", 24), ("cls_patch_mean", 48)];
    Ok(vec![
        ("efficientnet", lite0, vec![("avg", 1280)]),
        ("vit", Box::new(vit), of_vit),
        ("pixels", Box::new(Pixels::new(SIZE)?), vec![("pixels", 3 * SIZE * SIZE)]),
    ])
}

/// Images that are the same on every machine: the low bits of a multiplication.
fn images(batch: usize) -> Result<Tensor> {
    let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 16) as f32 / 32768.0 - 1.0;
    let values: Vec<f32> = (0..batch * 3 * SIZE * SIZE).map(value).collect();
    Ok(Tensor::from_vec(values, (batch, 3, SIZE, SIZE), &Device::Cpu)?)
}

#[test]
fn features_have_their_names_and_shapes_and_are_finite() -> Result<()> {
    for (name, model, expected) in backbones()? {
        for batch in [0, 1, 7] {
            let features = model.forward_features(&images(batch)?)?;
            assert_eq!(features.len(), expected.len(), "{name}");
            for ((found, tensor), &(wanted, dim)) in features.iter().zip(&expected) {
                assert_eq!(*found, wanted, "{name}");
                assert_eq!(tensor.dims(), [batch, dim], "{name} {found}");
                let finite = tensor.flatten_all()?.to_vec1::<f32>()?.iter().all(|v| v.is_finite());
                assert!(finite, "{name} {found}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_row_depends_on_its_own_image_only() -> Result<()> {
    for (name, model, _) in backbones()? {
        let images = images(7)?;
        let together = model.forward_features(&images)?;
        let order = Tensor::new(&[6u32, 2, 4, 0, 5, 1, 3], &Device::Cpu)?;
        let shuffled = model.forward_features(&images.index_select(&order, 0)?)?;
        for ((kind, together), (_, shuffled)) in together.iter().zip(&shuffled) {
            let moved = difference(&together.index_select(&order, 0)?, shuffled);
            assert!(moved < 1e-4, "{name} {kind}: order changes features by {moved}");
        }
        for i in 0..7 {
            let alone = model.forward_features(&images.narrow(0, i, 1)?)?;
            for ((kind, together), (_, alone)) in together.iter().zip(&alone) {
                let moved = difference(&together.narrow(0, i, 1)?, alone);
                assert!(moved < 1e-4, "{name} {kind}: the batch changes image {i} by {moved}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_repeat_is_equal_to_the_last_bit() -> Result<()> {
    for (name, model, _) in backbones()? {
        let images = images(5)?;
        let (first, second) = (model.forward_features(&images)?, model.forward_features(&images)?);
        for ((_, first), (_, second)) in first.iter().zip(&second) {
            assert_eq!(first.to_vec2::<f32>()?, second.to_vec2::<f32>()?, "{name}");
        }
    }
    Ok(())
}

#[test]
fn a_batch_that_does_not_fit_is_named() -> Result<()> {
    for (name, model, _) in backbones()? {
        let good = images(2)?;
        let wrong = [
            good.narrow(1, 0, 1)?,
            good.narrow(2, 0, 16)?.narrow(3, 0, 16)?,
            good.flatten_from(2)?,
            good.to_dtype(DType::F64)?,
            good.permute((0, 2, 3, 1))?,
        ];
        for images in wrong {
            match model.forward_features(&images) {
                Err(Error::Argument { found, .. }) => assert!(found.contains("shape"), "{name}: {found}"),
                other => panic!("{name} on {:?}: {other:?}", images.dims()),
            }
        }
    }
    Ok(())
}

#[test]
fn strided_images_are_read_as_they_stand() -> Result<()> {
    for (name, model, _) in backbones()? {
        let images = images(2)?;
        let strided = images.permute((0, 2, 3, 1))?.contiguous()?.permute((0, 3, 1, 2))?;
        let (a, b) = (model.forward_features(&images)?, model.forward_features(&strided)?);
        assert!(difference(&a[0].1, &b[0].1) < 1e-6, "{name}");
    }
    Ok(())
}

/// Full width and depth, few pixels: each architecture that a record names, with weights of its shapes.
#[test]
fn every_registered_model_keeps_the_contract() -> Result<()> {
    let mut seen: Vec<Architecture> = Vec::new();
    for record in manifests()?.models() {
        let architecture = match Architecture::named(&record.architecture)? {
            // Two patches a side are enough, unless the feature is all of them, whose number the record tells.
            Architecture::Transformer(config) if record.features.default != "patches" => {
                let image_size = 2 * config.patch;
                Architecture::Transformer(TransformerConfig { image_size, ..config })
            }
            Architecture::Transformer(config) => Architecture::Transformer(config),
            other => other.with_image_size(SIZE),
        };
        let size = match &architecture {
            Architecture::Transformer(config) => config.image_size,
            _ => SIZE,
        };
        if seen.contains(&architecture) {
            continue;
        }
        let id = &record.id;
        let weights = VarBuilder::from_tensors(random_weights(&architecture.parameters()), DType::F32, &Device::Cpu);
        let model = architecture.build(weights)?;
        let images = random_images(3, size);
        let features = model.forward_features(&images)?;
        let again = model.forward_features(&images)?;
        let order = Tensor::new(&[2u32, 0, 1], &Device::Cpu)?;
        let shuffled = model.forward_features(&images.index_select(&order, 0)?)?;
        let alone = model.forward_features(&images.narrow(0, 1, 1)?)?;
        let names: Vec<&str> = features.iter().map(|(name, _)| *name).collect();
        for wanted in std::iter::once(&record.features.default).chain(&record.features.also) {
            assert!(names.contains(&wanted.as_str()), "{id}: gives {names:?}, the record wants {wanted}");
        }
        for (i, (name, feature)) in features.iter().enumerate() {
            if *name == record.features.default && *name != "pixels" {
                assert_eq!(feature.dims(), [3, record.features.dim], "{id} {name}");
            }
            let values = feature.flatten_all()?.to_vec1::<f32>()?;
            assert!(values.iter().all(|v| v.is_finite()), "{id} {name}: finite");
            assert_eq!(values, again[i].1.flatten_all()?.to_vec1::<f32>()?, "{id} {name}: a repeat is equal");
            let scale = values.iter().fold(0f64, |a, v| a.max(f64::from(v.abs())));
            let apart = difference(&feature.narrow(0, 0, 1)?, &feature.narrow(0, 1, 1)?) / scale;
            assert!(apart > 1e-3, "{id} {name}: images apart by {apart}");
            let moved = difference(&feature.index_select(&order, 0)?, &shuffled[i].1) / scale;
            assert!(moved < 1e-4, "{id} {name}: order changes features by {moved}");
            let moved = difference(&feature.narrow(0, 1, 1)?, &alone[i].1) / scale;
            assert!(moved < 1e-4, "{id} {name}: the batch changes an image by {moved}");
        }
        for wrong in [images.narrow(1, 0, 1)?, images.flatten_from(2)?, images.to_dtype(DType::F64)?] {
            let error = model.forward_features(&wrong).expect_err("does not fit").to_string();
            assert!(error.contains("images: expected f32 of shape (B, 3, "), "{id}: {error}");
        }
        seen.push(architecture);
    }
    println!("{} architectures", seen.len());
    assert!(seen.len() >= 15, "{}", seen.len());
    Ok(())
}

#[test]
fn random_weights_follow_their_seed() -> Result<()> {
    let images = images(2)?;
    let features = |seed: u64| -> Result<Tensor> {
        Ok(Transformer::random(&small_vit(), seed, &Device::Cpu)?.forward_features(&images)?.remove(0).1)
    };
    assert_eq!(features(3)?.to_vec2::<f32>()?, features(3)?.to_vec2::<f32>()?);
    assert!(difference(&features(3)?, &features(4)?) > 0.1);
    // Held here, so that a change in how weights are drawn cannot pass unseen.
    let first = features(0)?.to_vec2::<f32>()?[0][..3].to_vec();
    println!("{first:?}");
    for (found, expected) in first.iter().zip(FIRST) {
        assert!((found - expected).abs() < 1e-4, "{first:?}");
    }
    Ok(())
}

/// The first features of the first image under seed 0.
const FIRST: [f32; 3] = [-0.068981, -1.712595, 1.477737];

#[test]
fn random_images_stay_apart() -> Result<()> {
    // A random network is a fair control only if it does not map everything to one point.
    let features = Transformer::random(
        &TransformerConfig { image_size: SIZE, ..TransformerConfig::vit_tiny_patch8_64() },
        0,
        &Device::Cpu,
    )?
    .forward_features(&images(4)?)?;
    for (name, features) in features {
        let spread = difference(&features.narrow(0, 0, 1)?, &features.narrow(0, 1, 1)?);
        println!("{name}: {spread}");
        assert!(spread > 0.05, "{name}: {spread}");
    }
    Ok(())
}

#[test]
fn a_vit_that_cannot_be_is_refused() -> Result<()> {
    let good = small_vit();
    let wrong = [
        TransformerConfig { patch: 5, ..good.clone() },
        TransformerConfig { patch: 0, ..good.clone() },
        TransformerConfig { heads: 5, ..good.clone() },
        TransformerConfig { heads: 0, ..good.clone() },
        TransformerConfig { dim: 0, ..good.clone() },
        TransformerConfig { hidden: 0, ..good.clone() },
        TransformerConfig { image_size: 0, ..good.clone() },
    ];
    for config in wrong {
        assert!(matches!(Transformer::random(&config, 0, &Device::Cpu), Err(Error::Argument { .. })), "{config:?}");
    }
    let empty = VarBuilder::from_tensors(HashMap::new(), DType::F32, &Device::Cpu);
    let error = Transformer::load(&good, empty).err().expect("nothing to load").chain();
    assert!(error.contains("transformer weights") && error.contains("patch_embed"), "{error}");
    assert!(Pixels::new(0).is_err());
    Ok(())
}

#[test]
fn attention_maps_are_what_the_class_token_takes_from_patches() -> Result<()> {
    let (root, manifests) = (Path::new(env!("CARGO_MANIFEST_DIR")), manifests()?);
    let load = |id: &str| load(root, manifests.model(id)?, &Device::Cpu);
    let model = load("vit_tiny.random")?;
    let images = random_images(2, 64);
    let maps = model.attention_maps(&images)?.expect("a transformer has maps");
    assert_eq!(maps.dim(), (2, 3, 8, 8), "images, heads, rows and columns of patches");
    let attention = model.backbone.attention(&images)?.expect("as above").flatten_all()?.to_vec1::<f32>()?;
    // Row 0 of head 2 of image 1: the class token's own share, then the patches row by row.
    let row = &attention[(3 + 2) * 65 * 65..][..65];
    assert_eq!((maps[[1, 2, 0, 0]], maps[[1, 2, 3, 5]], maps[[1, 2, 7, 7]]), (row[1], row[1 + 3 * 8 + 5], row[64]));
    let sum: f32 = maps.index_axis(ndarray::Axis(0), 1).index_axis(ndarray::Axis(0), 2).sum();
    assert!((sum - (1.0 - row[0])).abs() < 1e-5, "{sum} and the class token's own {}", row[0]);
    assert!(load("pixels.raw")?.attention_maps(&random_images(1, 32))?.is_none());
    Ok(())
}

#[test]
fn half_precision_wants_a_gpu_or_a_processor_that_has_it() -> Result<()> {
    let (root, manifests) = (Path::new(env!("CARGO_MANIFEST_DIR")), manifests()?);
    let record = manifests.model("vit_tiny.random")?;
    for dtype in [DType::F16, DType::F64] {
        let error = load_as(root, record, &Device::Cpu, dtype).err().expect("refused").to_string();
        assert!(error.contains("f32; f16 or bf16 on a GPU; bf16 on a processor") && error.contains("cpu"), "{error}");
    }
    match load_as(root, record, &Device::Cpu, DType::BF16) {
        Ok(model) => assert!(has_bf16() && model.dtype == DType::BF16),
        Err(error) => {
            let error = error.to_string();
            assert!(!has_bf16() && error.contains("AVX512-BF16 (or dtype f32), found "), "{error}");
        }
    }
    Ok(())
}

#[test]
fn every_pixel_gets_its_part_of_the_gradient() -> Result<()> {
    let map = Var::ones((2, 6, 6, 3), DType::F32, &Device::Cpu)?;
    let grid = grid_mean(map.as_tensor(), 3)?;
    let factors = Tensor::arange(0f32, 54.0, &Device::Cpu)?.reshape((2, 27))?;
    let gradients = (grid * &factors)?.sum_all()?.backward()?;
    let gradient = gradients.get(map.as_tensor()).map(|g| g.flatten_all()?.to_vec1::<f32>()).transpose()?;
    let expected: Vec<f32> = (0..2 * 6 * 6 * 3)
        .map(|i| {
            let (image, row, column, channel) = (i / 108, i / 18 % 6, i / 3 % 6, i % 3);
            (image * 27 + ((row / 2) * 3 + column / 2) * 3 + channel) as f32 / 4.0
        })
        .collect();
    assert_eq!(gradient, Some(expected));
    Ok(())
}

#[test]
fn what_cannot_be_cut_is_an_error() {
    let map = |height: usize, width: usize| Tensor::zeros((1, height, width, 1), DType::F32, &Device::Cpu);
    let error = map(0, 4).map(|map| grid_mean(&map, 2).map_err(|error| error.to_string()));
    let expected = "map: expected pixels, and cells to cut them into, found [1, 0, 4, 1] and 2 cells";
    assert_eq!(error.ok().and_then(Result::err).as_deref(), Some(expected));
    assert!(map(4, 4).is_ok_and(|map| grid_mean(&map, 0).is_err()));
}

#[test]
fn sides_that_cells_do_not_divide_are_cut_as_pytorch_cuts_them() -> Result<()> {
    // torch.nn.functional.adaptive_avg_pool2d(torch.arange(20.).view(1, 1, 4, 5), 3)
    let map = Tensor::arange(0f32, 20.0, &Device::Cpu)?.reshape((1, 4, 5, 1))?;
    let expected = [[3.0, 4.5, 6.0, 8.0, 9.5, 11.0, 13.0, 14.5, 16.0]];
    // Rows 0-1, 1-2, 2-3; columns 0-1, 1-3, 3-4.
    let found = grid_mean(&map, 3)?.to_vec2::<f32>()?;
    assert_eq!(found.len(), 1);
    for (found, expected) in found[0].iter().zip(expected[0]) {
        assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
    }
    Ok(())
}
