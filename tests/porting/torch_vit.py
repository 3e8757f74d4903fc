"""ViTs in PyTorch whose arrays are named as by timm and by Hugging Face, which are not needed.

Written from the paper in NCHW: nothing is shared with ours, attention and norms neither.
"""

import torch
import torch.nn.functional as F
from torch import nn


def attend(q, k, v, heads):
    """[B, N, width] each -> the same; softmax(q k^T / sqrt(d)) v in each head."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def norm(width):
    return nn.LayerNorm(width, eps=1e-6)


def tokens(embed, cls, positions, x):
    """[B, 3, H, W] -> [B, 1 + patches, width]."""
    x = embed(x).flatten(2).transpose(1, 2)
    return torch.cat([cls.expand(len(x), -1, -1), x], 1) + positions


class TimmBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = norm(width), norm(width)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width)})
        self.attn["proj"] = nn.Linear(width, width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width)})
        self.mlp["fc2"] = nn.Linear(4 * width, width)

    def forward(self, x):
        q, k, v = self.attn["qkv"](self.norm1(x)).chunk(3, -1)
        x = x + self.attn["proj"](attend(q, k, v, self.heads))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class TimmViT(nn.Module):
    """As `VisionTransformer` of timm."""

    def __init__(self, width, depth, heads, patch, size, classes):
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + (size // patch) ** 2, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.blocks = nn.Sequential(*(TimmBlock(width, heads) for _ in range(depth)))
        self.norm, self.head = norm(width), nn.Linear(width, classes)

    def forward(self, x):
        x = tokens(self.patch_embed["proj"], self.cls_token, self.pos_embed, x)
        return self.head(self.norm(self.blocks(x))[:, 0])


class HuggingFaceLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        parts = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict({"attention": nn.ModuleDict(parts)})
        self.attention["output"] = nn.ModuleDict({"dense": nn.Linear(width, width)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, 4 * width)})
        self.output = nn.ModuleDict({"dense": nn.Linear(4 * width, width)})
        self.layernorm_before, self.layernorm_after = norm(width), norm(width)

    def forward(self, x):
        y, parts = self.layernorm_before(x), self.attention["attention"]
        q, k, v = (parts[name](y) for name in ("query", "key", "value"))
        x = x + self.attention["output"]["dense"](attend(q, k, v, self.heads))
        return x + self.output["dense"](F.gelu(self.intermediate["dense"](self.layernorm_after(x))))


class HuggingFaceModel(nn.Module):
    """As `ViTModel`: the normed class token comes out; the pooler is of no use here."""

    def __init__(self, width, depth, heads, patch, size):
        super().__init__()
        projection = nn.Conv2d(3, width, patch, patch)
        self.embeddings = nn.ModuleDict(
            {"patch_embeddings": nn.ModuleDict({"projection": projection})}
        )
        self.embeddings.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.embeddings.position_embeddings = nn.Parameter(
            torch.empty(1, 1 + (size // patch) ** 2, width)
        )
        layers = nn.Sequential(*(HuggingFaceLayer(width, heads) for _ in range(depth)))
        self.encoder = nn.ModuleDict({"layer": layers})
        self.layernorm = norm(width)
        self.pooler = nn.ModuleDict({"dense": nn.Linear(width, width)})

    def forward(self, x):
        e = self.embeddings
        x = tokens(e["patch_embeddings"]["projection"], e.cls_token, e.position_embeddings, x)
        return self.layernorm(self.encoder["layer"](x))[:, 0]


class HuggingFaceClassifier(nn.Module):
    """As `ViTForImageClassification`."""

    def __init__(self, width, depth, heads, patch, size, classes):
        super().__init__()
        self.vit = HuggingFaceModel(width, depth, heads, patch, size)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x):
        return self.classifier(self.vit(x))


def random(network, seed):
    """The network in evaluation mode, every array away from what it starts as."""
    draw = torch.Generator().manual_seed(seed)
    for name, leaf in network.named_parameters():
        gain = "norm" in name and name.endswith("weight")
        scale = 0.3 if leaf.ndim == 1 or leaf.ndim == 3 else leaf[0].numel() ** -0.5
        nn.init.normal_(leaf, float(gain), scale, generator=draw)
    return network.eval().requires_grad_(False)
