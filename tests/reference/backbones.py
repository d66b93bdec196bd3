"""Golden values of the study's backbones, from the PyTorch classes that their published checkpoints belong to.

    python tests/reference/backbones.py      (from the repository's root; versions in requirements-backbones.txt)

writes tests/golden/backbones/: for one small model of each family <name>.weights.safetensors (the state dict under the
published names) and <name>.expected.safetensors (images, features, attention, and one classifier's logits, loss,
gradients and three steps of Adam; these last two are in <name>.gradients.safetensors where the file grew too long).
grad.X is dloss/dX; adam.X is X after three steps of torch.optim.Adam(lr=1e-3) minus X before; buffers1.X and buffers.X
are running statistics after the first and the third step. The loss is cross-entropy of a linear head on the default
pooling, in train mode, with neither dropout nor stochastic depth. clip_text.expected.safetensors is CLIP's text tower
and contrastive loss.

    python tests/reference/backbones.py --full MODEL|all --out FOLDER [--dtype f16] [--format bin]

writes FOLDER/MODEL/model.safetensors, a checkpoint of the published shape with seeded random weights, and
FOLDER/MODEL/expected.safetensors: images, features and, where the checkpoint has a classifier, logits.

What the published checkpoints hold, from their config.json and conversion scripts:

  checkpoint                               class; prefix of its names           eps    final norm, positions, notes
  openai/clip-vit-base-patch32             CLIPModel;                           1e-5   quick GELU; text pooled at the
                                             vision_model., text_model.                first place of the greatest id
  google/vit-*-patch*-224, -384            ViTForImageClassification; vit.      1e-12  on all tokens; no pooler
  google/vit-base-patch32-224-in21k        ViTModel; none                       1e-12  on all tokens; pooler.dense
  facebook/dino-vitb16, dino-vits16        ViTModel; none                       1e-12  on all tokens; no pooler
  facebook/vit-mae-base                    ViTMAEForPreTraining;                1e-12  on all tokens; positions fixed,
                                             vit., decoder.                            without gradient
  microsoft/beit-base-patch16-224-pt22k    BeitForMaskedImageModeling; beit.    1e-12  none (mean pooling; layernorm.*
                                                                                       is the token head's); shared bias
  microsoft/beit-*-ft22k, -ft1k            BeitForImageClassification; beit.    1e-12  none; bias in each layer
  facebook/data2vec-vision-base            Data2VecVisionModel; none            1e-12  on all tokens (no mean pooling);
                                                                                       shared bias; no mask token
  facebook/convnext-{tiny,small,base}-224  ConvNextForImageClassification;      1e-6   last one 1e-12
                                             convnext.
  timm ConvNeXt, ViT; torchvision's        none                                 1e-6   timm: head.norm, norm
  laion/CLIP-convnext_base-laion400M-...   open_clip CLIP; visual.trunk.        1e-6   visual.head.proj has no bias
  timm efficientnet_b*; torchvision's      none                                 1e-5   momentum 0.1
  timm tf_efficientnet_b*                  none                                 1e-3   momentum 0.1; padding SAME

transformers 5 names the layers of ViT, MAE and BEiT anew in memory; files keep the old names, and so do these.
"""

import argparse
import gc
import itertools
import pathlib
import re
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from typing import Callable

import open_clip
import timm
import torch
import torchvision
import transformers as hf
from safetensors import safe_open
from safetensors.torch import save_file
from timm.models import convnext as timm_convnext
from timm.models import efficientnet as timm_efficientnet
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision.models import convnext as tv_convnext
from torchvision.models import efficientnet as tv_efficientnet
from transformers.core_model_loading import revert_weight_conversion

GOLDEN = pathlib.Path("tests/golden/backbones")
LIMIT = 300_000
ATTENTION = "eager"  # the one implementation that gives its probabilities
RENAMED = [  # transformers 5 in memory, transformers 4 and every published file
    (r"(^|\.)layers\.(\d+)\.relative_position_bias\.", r"\1layers.\2.attention.attention.relative_position_bias."),
    (r"(^|\.)layers\.(\d+)\.", r"\1encoder.layer.\2."),
    (r"shared_position_bias\.", "encoder.relative_position_bias."),
    (r"\.q_proj\.", ".attention.query."), (r"\.k_proj\.", ".attention.key."), (r"\.v_proj\.", ".attention.value."),
    (r"attention\.o_proj\.", "attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."), (r"\.mlp\.fc2\.", ".output.dense."),
]


@dataclass
class Reference:
    """A model and how to read it."""
    model: nn.Module
    size: int
    default: str
    tokens: Callable = None  # images to (B, 1 + N, D), after the final norm where there is one
    pooled: Callable = None  # images to (B, D)
    attention: Callable = None  # images to (B, heads, T, T), last block
    logits: Callable = None  # the checkpoint's own classifier
    renamed: list = field(default_factory=list)
    extra: dict = field(default_factory=dict)  # what old files hold beside the state dict

    def name(self, name):
        for pattern, new in self.renamed:
            name = re.sub(pattern, new, name)
        return name

    def state(self):
        """Copies of everything in the checkpoint."""
        state = {self.name(n): t.clone() for n, t in self.model.state_dict().items()}
        if self.renamed:
            old = revert_weight_conversion(self.model, self.model.state_dict())
            # transformers 5.24 renames one thing too many in MAE's decoder; its file says decoder_layers.
            assert set(state) == {n.replace("decoder_encoder.layer", "decoder_layers") for n in old}
        return state | self.extra

    def features(self, images):
        if self.tokens is None:
            return {"avg": self.pooled(images)}
        tokens = self.tokens(images)
        cls, patches = tokens[:, 0], tokens[:, 1:].mean(1)
        return {"cls": cls, "patch_mean": patches, "token_mean": tokens.mean(1),
                "cls_patch_mean": torch.cat([cls, patches], 1)}


def build(cls, config, **arguments):
    return cls._from_config(config, attn_implementation=ATTENTION, **arguments)


def last_attention(backbone):
    return lambda images: backbone(images, output_attentions=True).attentions[-1]


def clip(size, vision, text, projection):
    vision = hf.CLIPVisionConfig(image_size=size, projection_dim=projection, **vision)
    text = hf.CLIPTextConfig(projection_dim=projection, bos_token_id=0, eos_token_id=2, **text)
    config = hf.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=projection)
    model = build(hf.CLIPModel, config)
    tower = model.vision_model
    ids = {"text_model": text.max_position_embeddings, "vision_model": (size // vision.patch_size) ** 2 + 1}
    return Reference(model, size, "cls", tokens=lambda x: tower.post_layernorm(tower(x).last_hidden_state),
                     attention=last_attention(tower),
                     extra={f"{n}.embeddings.position_ids": torch.arange(k)[None] for n, k in ids.items()})


def vit(size, classes=1000, **config):
    model = build(hf.ViTForImageClassification, hf.ViTConfig(image_size=size, num_labels=classes, **config))
    return Reference(model, size, "cls", tokens=lambda x: model.vit(x).last_hidden_state,
                     attention=last_attention(model.vit), logits=lambda x: model(x).logits, renamed=RENAMED)


def vit_bare(size, pooler, **config):
    model = build(hf.ViTModel, hf.ViTConfig(image_size=size, **config), add_pooling_layer=pooler)
    return Reference(model, size, "cls", tokens=lambda x: model(x).last_hidden_state,
                     attention=last_attention(model), renamed=RENAMED)


def vit_timm(size, **config):
    model = VisionTransformer(img_size=size, **config)
    attention = model.blocks[-1].attn
    attention.fused_attn = False

    def probabilities(images):
        caught = []
        hook = attention.attn_drop.register_forward_hook(lambda module, inputs, output: caught.append(output))
        model(images)
        hook.remove()
        return caught[0]

    return Reference(model, size, "cls", tokens=model.forward_features, attention=probabilities, logits=model)


def vit_torchvision(size, **config):
    model = torchvision.models.VisionTransformer(image_size=size, **config)
    attention = model.encoder.layers[-1].self_attention

    def tokens(images):
        patches = model._process_input(images)
        return model.encoder(torch.cat([model.class_token.expand(len(images), -1, -1), patches], 1))

    def probabilities(images):
        caught = []
        hook = attention.register_forward_pre_hook(lambda module, inputs: caught.append(inputs))
        model(images)
        hook.remove()
        return attention(*caught[0], need_weights=True, average_attn_weights=False)[1]

    return Reference(model, size, "cls", tokens=tokens, attention=probabilities, logits=model)


def mae(size, **config):
    """With nothing masked and the patches in order."""
    model = build(hf.ViTMAEForPreTraining, hf.ViTMAEConfig(image_size=size, mask_ratio=0.0, **config))

    def backbone(images, **arguments):
        noise = torch.arange((size // model.config.patch_size) ** 2.0).expand(len(images), -1)
        return model.vit(images, noise=noise, **arguments)

    return Reference(model, size, "token_mean", tokens=lambda x: backbone(x).last_hidden_state,
                     attention=last_attention(backbone), renamed=RENAMED)


def relative_index(module, size, patch):
    return module.generate_relative_position_index((size // patch,) * 2)


def beit(size, **config):
    config = hf.BeitConfig(image_size=size, use_shared_relative_position_bias=True, use_mask_token=True, **config)
    model = build(hf.BeitForMaskedImageModeling, config)
    index = relative_index(model.beit.shared_position_bias, size, config.patch_size)
    return Reference(model, size, "token_mean", tokens=lambda x: model.beit(x).last_hidden_state,
                     attention=last_attention(model.beit), renamed=RENAMED,
                     extra={"beit.encoder.relative_position_bias.relative_position_index": index})


def beit_per_layer(size, classes, **config):
    config = hf.BeitConfig(image_size=size, use_relative_position_bias=True, num_labels=classes, **config)
    model = build(hf.BeitForImageClassification, config)
    name = "beit.encoder.layer.{}.attention.attention.relative_position_bias.relative_position_index"
    index = relative_index(model.beit.layers[0].relative_position_bias, size, config.patch_size)
    return Reference(model, size, "token_mean", tokens=lambda x: model.beit(x).last_hidden_state,
                     attention=last_attention(model.beit), logits=lambda x: model(x).logits, renamed=RENAMED,
                     extra={name.format(i): index.clone() for i in range(config.num_hidden_layers)})


def data2vec(size, **config):
    config = hf.Data2VecVisionConfig(image_size=size, use_shared_relative_position_bias=True, use_mean_pooling=False,
                                     **config)
    model = build(hf.Data2VecVisionModel, config, add_pooling_layer=False)
    index = relative_index(model.encoder.relative_position_bias, size, config.patch_size)
    return Reference(model, size, "token_mean", tokens=lambda x: model(x).last_hidden_state,
                     attention=last_attention(model),
                     extra={"encoder.relative_position_bias.relative_position_index": index})


def convnext(size, classes=1000, **config):
    model = hf.ConvNextForImageClassification(hf.ConvNextConfig(num_labels=classes, **config))
    return Reference(model, size, "avg", pooled=lambda x: model.convnext(x).pooler_output,
                     logits=lambda x: model(x).logits)


def timm_reference(model, size):
    return Reference(model, size, "avg", logits=model,
                     pooled=lambda x: model.forward_head(model.forward_features(x), pre_logits=True))


def convnext_torchvision(size, depths, dims, **config):
    stages = [tv_convnext.CNBlockConfig(*s) for s in zip(dims, [*dims[1:], None], depths)]
    model = tv_convnext.ConvNeXt(stages, **config)
    return Reference(model, size, "avg", logits=model,
                     pooled=lambda x: model.classifier[0](model.avgpool(model.features(x))).flatten(1))


@timm.models.register_model
def convnext_reference(pretrained=False, **arguments):
    return timm_convnext._create_convnext("convnext_reference", pretrained, **SMALL_CONVNEXT, **arguments)


def convnext_openclip(size, name, text, projection):
    vision = {"timm_model_name": name, "timm_pool": "", "timm_proj": "linear", "timm_drop": 0.0, "timm_drop_path": 0.0,
              "image_size": size}
    model = open_clip.model.CLIP(projection, vision, text)
    return Reference(model, size, "avg", pooled=model.visual.trunk)


def efficientnet_torchvision(size, width, depth, **config):
    stages, last = tv_efficientnet._efficientnet_conf("efficientnet_b0", width_mult=width, depth_mult=depth)
    model = tv_efficientnet.EfficientNet(stages, dropout=0.0, stochastic_depth_prob=0.0, last_channel=last, **config)
    return Reference(model, size, "avg", logits=model, pooled=lambda x: model.avgpool(model.features(x)).flatten(1))


def transformer(width, depth, heads, mlp, patch):
    return {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads, "intermediate_size": mlp,
            "patch_size": patch}


BASE, LARGE, DINO_SMALL = (partial(transformer, *s)
                           for s in [(768, 12, 12, 3072), (1024, 24, 16, 4096), (384, 12, 6, 1536)])
SMALL = transformer(32, 2, 4, 64, 8)
SMALL_TEXT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
              "vocab_size": 60, "max_position_embeddings": 12}
SMALL_CONVNEXT = {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}
SMALL_B0 = {"channel_multiplier": 0.05, "depth_multiplier": 0.5, "num_classes": 5}

GOLDENS = {
    "clip": lambda: clip(24, SMALL, SMALL_TEXT, 24),
    "vit": lambda: vit(24, 5, **SMALL),
    "vit_timm": lambda: vit_timm(24, patch_size=8, embed_dim=32, depth=2, num_heads=4, mlp_ratio=2.0, num_classes=5),
    "vit_torchvision": lambda: vit_torchvision(24, patch_size=8, hidden_dim=32, num_layers=2, num_heads=4, mlp_dim=64,
                                               num_classes=5),
    "dino": lambda: vit_bare(24, False, **SMALL),
    "mae": lambda: mae(24, decoder_hidden_size=16, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
                       decoder_intermediate_size=32, **SMALL),
    "beit": lambda: beit(24, vocab_size=20, drop_path_rate=0.0, **SMALL),
    "beit_per_layer": lambda: beit_per_layer(24, 5, drop_path_rate=0.0, **SMALL),
    "data2vec": lambda: data2vec(24, drop_path_rate=0.0, **SMALL),
    "convnext": lambda: convnext(64, 5, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1]),
    "convnext_timm": lambda: timm_reference(timm_convnext.ConvNeXt(num_classes=5, **SMALL_CONVNEXT), 64),
    "convnext_torchvision": lambda: convnext_torchvision(64, num_classes=5, **SMALL_CONVNEXT),
    "convnext_openclip": lambda: convnext_openclip(
        64, "convnext_reference", {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1}, 24),
    "efficientnet": lambda: timm_reference(timm_efficientnet._gen_efficientnet("efficientnet_b0", **SMALL_B0), 40),
    "efficientnet_torchvision": lambda: efficientnet_torchvision(40, 0.05, 0.5, num_classes=5),
    "tf_efficientnet": lambda: timm_reference(
        timm_efficientnet._gen_efficientnet("tf_efficientnet_b0", bn_eps=1e-3, pad_type="same", **SMALL_B0), 40),
}


def timm_published(name):
    return lambda size: timm_reference(timm.create_model(name), size)


def hf_convnext(depths, dims):
    return lambda size: convnext(size, depths=depths, hidden_sizes=dims)


CLIP_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
FULL = {  # native size, and how to build the model for a size
    "clip_vit_b32.openai": (224, lambda size: clip(size, BASE(32), {}, 512)),
    "vit_b16.in21k_ft_in1k": (224, lambda size: vit(size, **BASE(16))),
    "vit_b32.in21k": (224, lambda size: vit_bare(size, True, **BASE(32))),
    "vit_l16.in21k_ft_in1k": (224, lambda size: vit(size, **LARGE(16))),
    "vit_l32.in21k_ft_in1k_384": (384, lambda size: vit(size, **LARGE(32))),
    "convnext_tiny.fb_in1k": (224, hf_convnext([3, 3, 9, 3], [96, 192, 384, 768])),
    "convnext_small.fb_in1k": (224, hf_convnext([3, 3, 27, 3], [96, 192, 384, 768])),
    "convnext_base.fb_in1k": (224, hf_convnext([3, 3, 27, 3], [128, 256, 512, 1024])),
    "efficientnet_b2.ra_in1k": (256, timm_published("efficientnet_b2.ra_in1k")),
    "efficientnet_b4.ra2_in1k": (320, timm_published("efficientnet_b4.ra2_in1k")),
    "tf_efficientnet_b6.aa_in1k": (528, timm_published("tf_efficientnet_b6.aa_in1k")),
    "beit_b16.pt22k": (224, lambda size: beit(size, drop_path_rate=0.0, **BASE(16))),
    "mae_b16.in1k": (224, lambda size: mae(size, **BASE(16))),
    "dino_b16.in1k": (224, lambda size: vit_bare(size, False, **BASE(16))),
    "dino_s16.in1k": (224, lambda size: vit_bare(size, False, **DINO_SMALL(16))),
    "data2vec_b16.in1k": (224, lambda size: data2vec(size, drop_path_rate=0.0, **BASE(16))),
    "convnext_base.clip_laion400m": (224, lambda size: convnext_openclip(size, "convnext_base", CLIP_TEXT, 512)),
}


def norms(model):
    return [m for m in model.modules() if isinstance(m, (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d))
            or type(m).__name__.endswith(("LayerNorm", "LayerNorm2d"))]


def is_scale(name):
    """Layer scale, in whichever library."""
    return name.rsplit(".", 1)[-1] in ("lambda_1", "lambda_2", "gamma", "layer_scale", "layer_scale_parameter")


def images(n, size):
    """Blots of 16 pixels and noise: white noise alone would be the same picture to every pooling."""
    blots = torch.randn(n, 3, size // 16 + 1, size // 16 + 1)
    return nn.functional.interpolate(blots, size=(size, size), mode="bilinear") + 0.5 * torch.randn(n, 3, size, size)


@torch.no_grad()
def running_statistics(model, images):
    """Running means and variances near those of `images()`, one norm after the other: far from them signals die or blow
    up within a few blocks."""
    def near(module, inputs):
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
        module.running_mean.copy_(mean + 0.1 * variance.sqrt() * torch.randn_like(mean))
        module.running_var.copy_(variance * torch.empty_like(mean).uniform_(0.5, 1.5))

    hooks = [m.register_forward_pre_hook(near) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    if hooks:
        model.eval()(images())
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def perturb(model):
    """Moves every parameter away from its initial value, so that no gradient is zero for a trivial reason."""
    for name, p in model.named_parameters():
        if is_scale(name):
            p.fill_(0.5)
        p.add_(0.15 * torch.randn_like(p))


@torch.no_grad()
def published_like(model):
    """Random weights of the scale that trained ones have: activations neither explode nor vanish."""
    transformer = any(isinstance(m, nn.Linear) for m in model.modules()) and not any(
        isinstance(m, nn.Conv2d) and m.groups > 1 for m in model.modules())
    norm_weights = {id(m.weight) for m in norms(model)}
    for name, p in model.named_parameters():
        if id(p) in norm_weights:
            p.copy_(1 + 0.1 * torch.randn_like(p))
        elif is_scale(name):
            p.uniform_(0.1, 1.0)
        elif name == "logit_scale":
            p.fill_(4.6052)
        elif name.endswith("bias"):
            p.copy_(0.05 * torch.randn_like(p))
        else:
            fan_in = p[0].numel() if p.dim() == 4 else p.shape[-1]
            std = 0.02 if transformer or p.dim() < 2 else (1.0 / fan_in) ** 0.5
            p.copy_(torch.randn_like(p).clamp_(-2, 2).mul_(std))


def train(trainable, loss, buffers={}):
    """Gradients of `loss()` for {name: parameter}, and what three steps of Adam add; the names without a part in it are
    left out. Also what `loss` gave at first. Adam makes steps of full length out of gradients that are zero but for
    rounding: keys' biases (softmax does not see them) and, in EfficientNet, the bias of a norm whose output goes only
    into convolutions that are normalised again."""
    first = loss()
    value = first[-1]
    value.backward()
    trainable = {n: p for n, p in trainable.items() if p.grad is not None}
    out = {f"grad.{n}": p.grad.clone() for n, p in trainable.items()}
    out |= {f"buffers1.{n}": b.clone() for n, b in buffers.items()}
    before = {n: p.detach().clone() for n, p in trainable.items()}
    optimizer = torch.optim.Adam(trainable.values(), lr=1e-3)
    for step in range(3):
        if step > 0:
            optimizer.zero_grad()
            loss()[-1].backward()
        optimizer.step()
    out |= {f"adam.{n}": p.detach() - before[n] for n, p in trainable.items()}
    return first, out | {f"buffers.{n}": b.clone() for n, b in buffers.items()}


def expected(reference):
    """Everything of one golden."""
    model, size = reference.model.eval(), reference.size
    images, labels = torch.randn(4, 3, size, size), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        features = reference.features(images)
        out = {f"features.{n}": t for n, t in features.items()}
        if reference.attention:
            out["attention"] = reference.attention(images)
    head = nn.Linear(features[reference.default].shape[1], 3)
    perturb(head)
    out |= {"images": images, "labels": labels, **{f"head.{n}": p.detach().clone() for n, p in head.named_parameters()}}
    model.train()

    def loss():
        logits = head(reference.features(images)[reference.default])
        return logits, nn.functional.cross_entropy(logits, labels)

    trainable = {reference.name(n): p for n, p in model.named_parameters()}
    # The new head takes the place of timm's own, which has no part in the loss.
    trainable |= {f"head.{n}": p for n, p in head.named_parameters()}
    buffers = {reference.name(n): b for n, b in model.named_buffers() if n.endswith(("running_mean", "running_var"))}
    (logits, value), trained = train(trainable, loss, buffers)
    return out | trained | {"logits": logits.detach(), "loss": value.detach()}


def expected_text(reference):
    """CLIP's text tower, and its contrastive loss on four pairs with the vision tower frozen. Padding repeats the end
    token, as CLIP's tokenizer does, and the features are read at the first place of the greatest id."""
    model = reference.model.eval()
    start, end = 58, 59
    lengths = [3, 7, 0, 10, 5]
    words = [torch.randint(1, start, (n,)).tolist() for n in lengths]
    ids = torch.tensor([[start, *w, *[end] * (max(lengths) + 1 - len(w))] for w in words])
    images = torch.randn(4, 3, reference.size, reference.size)
    with torch.no_grad():
        text = model.get_text_features(ids).pooler_output
        both = model(ids, images)
        out = {"ids": ids, "images": images, "text_features": text, "text_embeds": both.text_embeds,
               "image_features": model.get_image_features(images).pooler_output, "image_embeds": both.image_embeds,
               "logits_per_image": both.logits_per_image}
    model.vision_model.requires_grad_(False)
    value, trained = train(dict(model.named_parameters()),
                           lambda: [model(ids[:4], images, return_loss=True).loss])
    return out | trained | {"loss": value[0].detach()}


def write(path, tensors, metadata=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({n: t.contiguous() for n, t in tensors.items()}, path, metadata)
    path.chmod(0o644)
    return path.stat().st_size


def write_golden(name, tensors):
    """Splits gradients and steps off if one file would be too long."""
    parts = {"expected": tensors}
    if sum(t.numel() * t.element_size() + 150 for t in tensors.values()) > LIMIT:
        trained = {n for n in tensors if n.startswith(("grad.", "adam."))}
        parts = {"expected": {n: t for n, t in tensors.items() if n not in trained},
                 "gradients": {n: tensors[n] for n in trained}}
    for part, held in parts.items():
        path = GOLDEN / f"{name}.{part}.safetensors"
        report(path, write(path, held), sum(n.startswith("grad.") for n in held))


def report(path, size, trainable):
    assert size < LIMIT, f"{path} has {size} bytes"
    print(f"{path}: {size} bytes, {trainable} trainable tensors")


def steady(tensors):
    """Whether no step of Adam hangs on rounding: no gradient below 1e-7, unless a tensor's true gradient is zero (see
    `train`) or a fused bias holds the keys' third."""
    for name, gradient in tensors.items():
        size = gradient.abs()
        if name.startswith("grad.") and size.max() > 1e-5 and not name.endswith(("qkv.bias", "in_proj_bias")):
            if ((size > 0) & (size < 1e-7)).any():
                return False
    return True


def goldens():
    for name, make in GOLDENS.items():
        for seed in itertools.count(zlib.crc32(name.encode())):
            torch.manual_seed(seed)
            reference = make()
            perturb(reference.model)
            running_statistics(reference.model, lambda: torch.randn(8, 3, reference.size, reference.size))
            state = reference.state()
            tensors = expected(reference)
            if steady(tensors):
                break
        path = GOLDEN / f"{name}.weights.safetensors"
        report(path, write(path, state), 0)
        write_golden(name, tensors)
        if name == "clip":
            reference.model.load_state_dict({n: t for n, t in state.items() if n not in reference.extra})
            reference.model.zero_grad()
            write_golden("clip_text", expected_text(reference))


def full(name, out, dtype, form, force):
    folder = out / name
    weights = folder / {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}[form]
    results_path, metadata = folder / "expected.safetensors", {"dtype": str(dtype)}
    if not force and weights.exists() and results_path.exists():
        with safe_open(results_path, "pt") as file:
            if file.metadata() == metadata:
                print(f"{folder}: there already")
                return
    torch.manual_seed(zlib.crc32(name.encode()))
    size, make = FULL[name]
    reference = make(size)
    model = reference.model
    published_like(model)
    running_statistics(model, lambda: images(2, reference.size))
    model.eval()
    floats = [t for t in model.state_dict().values() if t.is_floating_point()]
    with torch.no_grad():
        for t in floats:
            t.copy_(t.to(dtype))
    x = images(2, reference.size)
    with torch.inference_mode():
        results = {f"features.{n}": t for n, t in reference.features(x).items()} | {"images": x}
        if reference.logits:
            results["logits"] = reference.logits(x)
        if name.startswith("clip_vit"):
            ids = torch.tensor([[49406, 320, 1125, 539, 320, 2368, 49407], [49406, 320, 1929] + 4 * [49407]])
            both = model(ids, x)
            results |= {"ids": ids, "text_features": model.get_text_features(ids).pooler_output,
                        "image_features": model.get_image_features(x).pooler_output,
                        "logits_per_image": both.logits_per_image}
    write(results_path, results, metadata)
    state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in reference.state().items()}
    if form == "bin":
        torch.save(OrderedDict(state), weights)
    else:
        write(weights, state)
    shown = ", ".join(f"{n} std {t.std():.3f}, between images {(t[0] - t[1]).std():.3f}"
                      for n, t in results.items() if n.startswith(("features", "logits")))
    print(f"{weights}: {weights.stat().st_size} bytes, {len(state)} tensors; {shown}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", choices=[*FULL, "all"])
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--dtype", choices=["f32", "f16", "bf16"], default="f32")
    parser.add_argument("--format", choices=["safetensors", "bin"], default="safetensors")
    parser.add_argument("--force", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    if arguments.full is None:
        return goldens()
    dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[arguments.dtype]
    for name in FULL if arguments.full == "all" else [arguments.full]:
        full(name, arguments.out, dtype, arguments.format, arguments.force)
        gc.collect()


if __name__ == "__main__":
    main()
