"""A vision transformer with one task's own parts. Needs PyTorch alone.

net = load("model.safetensors")    # also needs the package safetensors
scores = net(x)                    # x: [B, 3, side, side] in [0, 1] -> [B, classes], no softmax
"""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """Attention, then an MLP, each on a norm and added to its input."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, own):
        """x: [B, N, width] -> the same. own: the task's arrays in this block, by name."""
        count = x.shape[1]
        x = beside(x, own.get("tokens"))

        def dense(layer, x):  # with the task's low-rank weights and output scales
            y = getattr(self, layer)(x)
            if f"{layer}/down" in own:
                y = y + x @ own[f"{layer}/down"] @ own[f"{layer}/up"]
            return y * (1 + own[f"{layer}/scale"]) if f"{layer}/scale" in own else y

        def adapted(name, y):  # plus a small network of it
            if f"{name}/down/kernel" not in own:
                return y
            hidden = y @ own[f"{name}/down/kernel"] + own[f"{name}/down/bias"]
            return (
                y
                + F.gelu(hidden, approximate="tanh") @ own[f"{name}/up/kernel"]
                + own[f"{name}/up/bias"]
            )

        qkv = dense("qkv", self.norm_1(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if "keys" in own:
            k, v = (
                torch.cat([own[name].transpose(0, 1).expand(x.shape[0], -1, -1, -1), mine], dim=2)
                for name, mine in (("keys", k), ("values", v))
            )
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + adapted("adapter_1", dense("proj", seen))
        x = x + adapted("adapter_2", dense("fc2", F.gelu(dense("fc1", self.norm_2(x)))))
        return x[:, :count]


def beside(x, tokens):
    """Tokens [B, N, width] followed by prompts, [P, width] or [B, P, width], if there are any."""
    return x if tokens is None else torch.cat([x, tokens.expand(x.shape[0], -1, -1)], dim=1)


class Pool(nn.Module):
    """Prompts, of which every image takes those whose keys are nearest to it."""

    def __init__(self, keys: list[int], prompts: list[int], top: int):
        super().__init__()
        self.keys, self.prompts = (nn.Parameter(torch.zeros(*s)) for s in (keys, prompts))
        self.top = top

    def forward(self, query):
        """[B, width] -> prompts [B, P, width]."""
        likeness = F.normalize(query, dim=1) @ F.normalize(self.keys, dim=1).T
        return self.prompts[likeness.topk(self.top).indices].flatten(1, 2)


class Net(nn.Module):
    """ViT on square images of one size, read at the class token.

    side: of the images; mean, std: by which they are normed; own: name -> shape of what the task
    adds, `tokens` and `block_I/...`; pool: the same of a pool's keys and prompts, of which every
    image takes the `top` nearest and is read at them.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        patch: int,
        classes: int,
        side: int,
        mean: list[float],
        std: list[float],
        own: dict[str, list[int]],
        pool: dict[str, list[int]],
        top: int,
    ):
        super().__init__()
        self.mean, self.std, self.top = mean, std, top
        self.patch = nn.ModuleDict({"embedding": nn.Conv2d(3, width, patch, patch)})
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embedding = nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, width))
        self.blocks = [f"block_{i}" for i in range(depth)]
        for name in self.blocks:
            self.add_module(name, Block(width, heads))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, classes)
        self.hooks = nn.ParameterDict({name: torch.zeros(*shape) for name, shape in own.items()})
        if pool:
            self.pool = Pool(pool["keys"], pool["prompts"], top)

    def forward(self, x):
        """[B, 3, side, side] in [0, 1] -> scores [B, classes]."""
        mean, std = (x.new_tensor(values)[None, :, None, None] for values in (self.mean, self.std))
        x = self.patch["embedding"]((x - mean) / std).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embedding
        if self.top:
            read = self.through(beside(x, self.pool(self.through(x)[:, 0])))[:, x.shape[1] :]
            return self.head(read.mean(dim=1))
        return self.head(self.through(beside(x, dict(self.hooks).get("tokens")))[:, 0])

    def through(self, x):
        """All blocks and the norm; [B, N, width] -> the same."""
        for name in self.blocks:
            prefix = f"{name}/"
            own = {k.removeprefix(prefix): p for k, p in self.hooks.items() if k.startswith(prefix)}
            x = self.get_submodule(name)(x, own)
        return self.norm(x)
