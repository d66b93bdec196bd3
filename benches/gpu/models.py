"""The networks of the check as PyTorch's users have them, with random weights by a fixed seed.

Their files are read by our loader under the names that timm and transformers publish."""

import zlib
from functools import partial

import torch
from torch import nn

CONVOLUTIONAL = ("convnext", "efficientnet")


class Clip(nn.Module):
    """The image tower; its state is that of the whole model, as published files are."""

    def __init__(self, size):
        super().__init__()
        import transformers
        text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
                "vocab_size": 60, "max_position_embeddings": 12, "bos_token_id": 0, "eos_token_id": 2}
        vision = {"image_size": size, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                  "intermediate_size": 3072, "patch_size": 32}
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=512)
        self.whole = transformers.CLIPModel(config)
        self.whole.text_model.requires_grad_(False)

    def forward(self, images):
        return self.whole.vision_model(images).pooler_output

    def published(self):
        return self.whole.state_dict()


class Vit(nn.Module):
    """The class token after the last norm."""

    def __init__(self, size, dim, depth, heads):
        super().__init__()
        from timm.models.vision_transformer import VisionTransformer
        # Google's files, which our architecture is named after, have this epsilon.
        self.whole = VisionTransformer(img_size=size, patch_size=16, embed_dim=dim, depth=depth, num_heads=heads,
                                       num_classes=0, norm_layer=partial(nn.LayerNorm, eps=1e-12))

    def forward(self, images):
        return self.whole.forward_features(images)[:, 0]

    def published(self):
        return self.whole.state_dict()


class Pooled(nn.Module):
    """A convolutional network up to the mean over pixels."""

    def __init__(self, name):
        super().__init__()
        import timm
        self.whole = timm.create_model(name, pretrained=False)
        if name.startswith("convnext"):
            self.whole.head.norm.eps = 1e-12

    def forward(self, images):
        return self.whole.forward_head(self.whole.forward_features(images), pre_logits=True)

    def published(self):
        return self.whole.state_dict()


def build(name, size, device):
    """The network with its random weights, in eval mode."""
    torch.manual_seed(zlib.crc32(name.encode()))
    transformers = {"vit_b16": (768, 12, 12), "vit_l16": (1024, 24, 16)}
    if name == "clip_vit_b32":
        model = Clip(size)
    elif name in transformers:
        model = Vit(size, *transformers[name])
    else:
        model = Pooled(name)
    model.to(device, memory_format=layout(name))
    fill(model)
    running_statistics(model, images(4, size, device))
    return model.eval()


def layout(name):
    return torch.channels_last if name.startswith(CONVOLUTIONAL) else torch.contiguous_format


def images(n, size, device):
    """Blots and noise: white noise alone would be the same picture to every pooling."""
    blots = torch.randn(n, 3, size // 16 + 1, size // 16 + 1, device=device)
    blots = nn.functional.interpolate(blots, size=(size, size), mode="bilinear")
    return blots + 0.5 * torch.randn(n, 3, size, size, device=device)


@torch.no_grad()
def fill(model):
    """Weights of the scale that trained ones have: activations neither explode nor vanish."""
    depthwise = any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in model.modules())
    for name, p in model.named_parameters():
        if name.endswith("gamma"):
            p.uniform_(0.1, 1.0)
        elif name.endswith("bias"):
            p.normal_(0.0, 0.05)
        elif p.dim() == 1:
            p.normal_(1.0, 0.1)
        elif p.dim() > 1:
            fan_in = p[0].numel() if p.dim() == 4 else p.shape[-1]
            nn.init.trunc_normal_(p, std=(1.0 / fan_in) ** 0.5 if depthwise else 0.02)


@torch.no_grad()
def running_statistics(model, x):
    """Running means and variances near those of `x`, one norm after the other."""
    def near(module, inputs):
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
        module.running_mean.copy_(mean + 0.1 * variance.sqrt() * torch.randn_like(mean))
        module.running_var.copy_(variance * torch.empty_like(mean).uniform_(0.5, 1.5))

    hooks = [m.register_forward_pre_hook(near) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    if hooks:
        model.eval()(x)
    for hook in hooks:
        hook.remove()
