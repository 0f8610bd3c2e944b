# SPDX-License-Identifier: Apache-2.0
"""RWKV-7 one token at a time from a checkpoint, in float32: for samples and as a check of model.py."""

import torch
import torch.nn.functional as F

DECAY_SCALE = 0.606531  # e^-1/2
HEAD_NORM_EPS = 64e-5


class Recurrent:
    def __init__(self, path):
        self.w = {name: tensor.float() for name, tensor in torch.load(path, map_location="cpu").items()}
        for name in self.w:
            if self.w[name].dim() == 3:  # [1, 1, C]
                self.w[name] = self.w[name].flatten()
        self.n_layer = 1 + max(int(name.split(".")[1]) for name in self.w if name.startswith("blocks."))
        self.n_vocab, self.n_embd = self.w["emb.weight"].shape
        self.n_head, self.head_size = self.w["blocks.0.att.r_k"].shape

    def zero_state(self):
        """Per layer: ln1 and ln2 output of the previous token [C], and S [H, N values, N keys]."""
        return [
            [
                torch.zeros(self.n_embd),
                torch.zeros(self.n_embd),
                torch.zeros(self.n_head, self.head_size, self.head_size),
            ]
            for _ in range(self.n_layer)
        ]

    def norm(self, x, name):
        return F.layer_norm(x, x.shape, self.w[name + ".weight"], self.w[name + ".bias"])

    @torch.no_grad()
    def step(self, token, state):
        """Logits [n_vocab] after `token`; changes `state`."""
        x = self.norm(self.w["emb.weight"][token], "blocks.0.ln0")
        v_first = None
        for layer, layer_state in enumerate(state):
            h = self.norm(x, f"blocks.{layer}.ln1")
            mixed, v_first = self.time_mix(h, layer, layer_state, v_first)
            x = x + mixed
            h = self.norm(x, f"blocks.{layer}.ln2")
            x = x + self.channel_mix(h, layer, layer_state)
        return self.w["head.weight"] @ self.norm(x, "ln_out")

    def time_mix(self, x, layer, state, v_first):
        att = {name.split("att.")[1]: t for name, t in self.w.items() if name.startswith(f"blocks.{layer}.att.")}
        xx, state[0] = state[0] - x, x
        xr, xw, xk, xv, xa, xg = (x + xx * att["x_" + c] for c in "rwkvag")
        r, k, v = att["receptance.weight"] @ xr, att["key.weight"] @ xk, att["value.weight"] @ xv
        w = torch.exp(-DECAY_SCALE * torch.sigmoid(att["w0"] + torch.tanh(xw @ att["w1"]) @ att["w2"]))
        a = torch.sigmoid(att["a0"] + xa @ att["a1"] @ att["a2"])
        g = torch.sigmoid(xg @ att["g1"]) @ att["g2"]
        if layer == 0:
            v_first = v
        else:
            v = v + (v_first - v) * torch.sigmoid(att["v0"] + xv @ att["v1"] @ att["v2"])
        heads = (self.n_head, self.head_size)
        kk = F.normalize((k * att["k_k"]).view(heads), dim=-1)
        k = (k * (1 + (a - 1) * att["k_a"])).view(heads)
        r, v, w, a = r.view(heads), v.view(heads), w.view(heads), a.view(heads)
        S = state[2]
        removed = (S @ kk[:, :, None]) @ (kk * a)[:, None, :]
        state[2] = S = S * w[:, None, :] - removed + v[:, :, None] @ k[:, None, :]
        y = (S @ r[:, :, None]).flatten()
        y = F.group_norm(y[None], self.n_head, att["ln_x.weight"], att["ln_x.bias"], HEAD_NORM_EPS)[0]
        y = y + ((r * k * att["r_k"]).sum(-1, keepdim=True) * v).flatten()
        return att["output.weight"] @ (y * g), v_first

    def channel_mix(self, x, layer, state):
        name = f"blocks.{layer}.ffn."
        mixed = x + (state[1] - x) * self.w[name + "x_k"]
        state[1] = x
        return self.w[name + "value.weight"] @ torch.relu(self.w[name + "key.weight"] @ mixed) ** 2
