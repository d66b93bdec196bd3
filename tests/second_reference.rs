//! candle-transformers' vision models as a second reference, on the same weights: where they are right, both agree.
//!
//! Forward only: their layer norms cut the gradient (`a_gradient_is_lost_there` shows it). BEiT there takes 384 pixels
//! alone, and MAE, DINO and data2vec are not there.

#[path = "golden/backbones/mod.rs"]
mod golden;
#[path = "golden/backbones/random.rs"]
mod random;

use candle_core::{DType, Device, Module, Tensor, Var};
use candle_nn::VarBuilder;
use candle_transformers::models::clip::text_model::Activation;
use candle_transformers::models::clip::vision_model::{ClipVisionConfig, ClipVisionTransformer};
use candle_transformers::models::{convnext, efficientnet, vit};
use golden::{Golden, Tensors, relative};
use random::{random_images, random_weights};
use std::collections::HashMap;
use wider_clip::error::Result;
use wider_clip::models::assemble::{Parameter, Scheme};
use wider_clip::models::convnext as our_convnext;
use wider_clip::models::efficientnet as our_efficientnet;
use wider_clip::models::{Architecture, ConvNeXtConfig, EfficientNetConfig, PaddingRule, TransformerConfig};

fn builder(weights: &Tensors) -> VarBuilder<'static> {
    VarBuilder::from_tensors(weights.clone(), DType::F32, &Device::Cpu)
}

fn ours(golden: &Golden, config: TransformerConfig) -> Result<Tensor> {
    let config = TransformerConfig { image_size: 24, patch: 8, dim: 32, depth: 2, heads: 4, hidden: 64, ..config };
    let architecture = Architecture::Transformer(config);
    let model = architecture.build(builder(&golden.assemble(&architecture)?.tensors))?;
    Ok(model.forward_features(golden.get("images"))?.remove(0).1)
}

fn clip_config() -> ClipVisionConfig {
    ClipVisionConfig {
        embed_dim: 32,
        activation: Activation::QuickGelu,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        projection_dim: 16,
        num_channels: 3,
        image_size: 24,
        patch_size: 8,
    }
}

#[test]
fn clip_agrees() -> Result<()> {
    let golden = Golden::read("clip");
    let theirs = ClipVisionTransformer::new(builder(&golden.weights).pp("vision_model"), &clip_config())?;
    let off = relative(&ours(&golden, TransformerConfig::clip_vit_b32())?, &theirs.forward(golden.get("images"))?);
    println!("clip: {off:.1e}");
    assert!(off < 1e-5, "{off}");
    Ok(())
}

#[test]
fn vit_agrees() -> Result<()> {
    let golden = Golden::read("vit");
    let config = vit::Config {
        hidden_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 64,
        image_size: 24,
        patch_size: 8,
        ..vit::Config::vit_base_patch16_224()
    };
    let classes = golden.weights["classifier.bias"].dim(0)?;
    let theirs = vit::Model::new(&config, classes, builder(&golden.weights))?.forward(golden.get("images"))?;
    let feature = ours(&golden, TransformerConfig::vit_b16())?;
    let logits = feature.matmul(&golden.weights["classifier.weight"].t()?)?;
    let off = relative(&logits.broadcast_add(&golden.weights["classifier.bias"])?, &theirs);
    println!("vit: {off:.1e}");
    assert!(off < 1e-5, "{off}");
    Ok(())
}

/// The tensors under the names of a publisher that splits none of them.
fn published(weights: &Tensors, scheme: &Scheme) -> Tensors {
    weights.iter().map(|(name, tensor)| ((scheme.published)(name).remove(0), tensor.clone())).collect()
}

#[test]
fn convnext_agrees() -> Result<()> {
    let config = ConvNeXtConfig::tiny().with_one_eps();
    let weights = random_weights(&our_convnext::parameters(&config));
    let images = random_images(2, 64);
    let (classes, dim) = (7, config.feature_dim());
    let head = [Parameter::new("head.fc.weight", [classes, dim]), Parameter::new("head.fc.bias", [classes])];
    let head = random_weights(&head);
    let all = weights.clone().into_iter().chain(head.clone()).collect();
    let theirs = convnext::convnext(&convnext::Config::tiny(), classes, builder(&all))?.forward(&images)?;
    let ours = Architecture::ConvNeXt(config).build(builder(&weights))?.forward_features(&images)?.remove(0).1;
    let ours = ours.matmul(&head["head.fc.weight"].t()?)?.broadcast_add(&head["head.fc.bias"])?;
    let off = relative(&ours, &theirs);
    println!("convnext: {off:.1e}");
    assert!(off < 1e-4, "{off}");
    Ok(())
}

#[test]
fn efficientnet_agrees() -> Result<()> {
    // It has torchvision's names, TensorFlow's padding and epsilon.
    let config = EfficientNetConfig { padding: PaddingRule::Same, bn_eps: 1e-3, ..EfficientNetConfig::b(0)? };
    let weights = random_weights(&our_efficientnet::parameters(&config));
    let scheme = our_efficientnet::SCHEMES.iter().find(|scheme| scheme.publisher == "torchvision").expect("a scheme");
    let mut theirs = published(&weights, scheme);
    let (classes, dim) = (7, config.feature_dim());
    let head = [Parameter::new("classifier.1.weight", [classes, dim]), Parameter::new("classifier.1.bias", [classes])];
    let head = random_weights(&head);
    theirs.extend(head.clone());
    let images = random_images(2, 64);
    let model = efficientnet::EfficientNet::new(builder(&theirs), efficientnet::MBConvConfig::b0(), classes)?;
    let theirs = model.forward(&images)?;
    let ours = Architecture::EfficientNet(config).build(builder(&weights))?.forward_features(&images)?.remove(0).1;
    let ours = ours.matmul(&head["classifier.1.weight"].t()?)?.broadcast_add(&head["classifier.1.bias"])?;
    let off = relative(&ours, &theirs);
    println!("efficientnet: {off:.1e}");
    assert!(off < 1e-4, "{off}");
    Ok(())
}

#[test]
fn a_gradient_is_lost_there() -> Result<()> {
    // Why the models here are our own: what lies before the first layer norm gets no gradient, and nothing says so.
    let golden = Golden::read("clip");
    let vars: HashMap<String, Var> = golden
        .weights
        .iter()
        .filter(|(_, tensor)| tensor.dtype() == DType::F32)
        .map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?)))
        .collect::<Result<_>>()?;
    let tensors: Tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let model = ClipVisionTransformer::new(builder(&tensors).pp("vision_model"), &clip_config())?;
    let gradients = model.forward(golden.get("images"))?.sqr()?.sum_all()?.backward()?;
    for lost in ["embeddings.class_embedding", "embeddings.patch_embedding.weight", "pre_layrnorm.weight"] {
        let found = gradients.get(&vars[&format!("vision_model.{lost}")]);
        assert!(found.is_none(), "candle-transformers has learned to train {lost}: reconsider our own");
    }
    Ok(())
}
