# SPDX-License-Identifier: Apache-2.0
"""RWKV-7 for training in PyTorch: whole sequences, WKV in chunks of 16 tokens.

The parameters carry the names and shapes of the published checkpoints, so `state_dict()` is a checkpoint.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

HEAD_SIZE = 64
CHUNK = 16  # decays are above 0.545, so 1 / (product of 16 of them) stays below 1.7e4
LORA_RANK = {"w": 32, "a": 32, "v": 32, "g": 64}
HEAD_NORM_EPS = 64e-5


def orthogonal(rows, columns, gain=1.0):
    weight = torch.empty(rows, columns)
    nn.init.orthogonal_(weight, gain=gain)
    return nn.Parameter(weight)


def linear(n_out, n_in, gain):
    """A bias-free layer; gain 0 starts it at zero."""
    layer = nn.Linear(n_in, n_out, bias=False)
    nn.init.orthogonal_(layer.weight, gain=gain) if gain else nn.init.zeros_(layer.weight)
    return layer


def row(values):
    return nn.Parameter(values.float().view(1, 1, -1))


def shift(x):
    """x of the previous token minus x: [B, T, C]; the token before the first is zero."""
    return F.pad(x, (0, 0, 1, -1)) - x


def wkv_chunked(r, log_w, k, v, a, b):
    """y_t = S_t r_t with S_t = S_{t-1} diag(w_t) + (S_{t-1} a_t) b_t^T + v_t k_t^T, S_0 = 0.

    All arguments and the result: [heads, chunks, CHUNK, N], heads of all sequences together.
    With W_t = w_1 * ... * w_t inside a chunk:
        A = W_{t-1} a    B = b / W    K = k / W    R = W r                      [CHUNK, N]
        U = (I - tril(A B^T, -1))^-1 (A S_0^T + tril(A K^T, -1) V)              [CHUNK, N]
        Y = R S_0^T + tril(R B^T) U + tril(R K^T) V                             [CHUNK, N]
        S = (S_0 + U^T B + V^T K) diag(W_last)                                  [N, N]
    Everything without S_0 is computed for all chunks at once; only U, R S_0^T and S go chunk by chunk.
    """
    log_decay = log_w.cumsum(-2)
    decay, inverse_decay = log_decay.exp(), (-log_decay).exp()
    A, R = a * (log_decay - log_w).exp(), r * decay
    B, K = b * inverse_decay, k * inverse_decay
    products = torch.cat([A, R], -2) @ torch.cat([B, K], -2).transpose(-1, -2)  # [2 CHUNK, 2 CHUNK]
    tril = torch.ones(CHUNK, CHUNK, device=r.device).tril()
    strict = tril.tril(-1)
    AB, AK = products[..., :CHUNK, :CHUNK] * strict, products[..., :CHUNK, CHUNK:] * strict
    RB, RK = products[..., CHUNK:, :CHUNK] * tril, products[..., CHUNK:, CHUNK:] * tril
    inverse = unit_lower_inverse(AB)
    state_to_UY = torch.cat([inverse @ A, R], -2)
    U, Y = scan_chunks(state_to_UY, inverse @ (AK @ v), v, torch.cat([B, K], -2), decay[..., -1:, :])
    return Y + RB @ U + RK @ v


def unit_lower_inverse(L):
    """(I - L)^-1 for strictly lower triangular L [.., 16, 16], where L^16 = 0."""
    eye = torch.eye(CHUNK, device=L.device)
    L2 = L @ L
    L4 = L2 @ L2
    L8 = L4 @ L4
    return (eye + L) @ (eye + L2) @ (eye + L4) @ (eye + L8)


def scan_chunks(state_to_UY, U_values, v, BK, last_decay):
    """The serial part of `wkv_chunked`: U and R S_0^T of every chunk, both [heads, chunks, CHUNK, N]."""
    state = torch.zeros(v.shape[0], HEAD_SIZE, HEAD_SIZE, device=v.device)  # transposed: [N keys, N values]
    all_U, all_Y = [], []
    for c in range(v.shape[1]):
        UY = state_to_UY[:, c] @ state
        U, Y = UY[:, :CHUNK] + U_values[:, c], UY[:, CHUNK:]
        state = (state + BK[:, c].transpose(-1, -2) @ torch.cat([U, v[:, c]], -2)) * last_decay[:, c].transpose(-1, -2)
        all_U.append(U)
        all_Y.append(Y)
    return torch.stack(all_U, 1), torch.stack(all_Y, 1)


class TimeMix(nn.Module):
    def __init__(self, layer, n_layer, n_embd):
        super().__init__()
        C, N = n_embd, HEAD_SIZE
        self.layer, self.n_head = layer, C // N
        n = torch.arange(C)
        rho, q = 1 - layer / n_layer, layer / (n_layer - 1)
        line = n / (C - 1) - 0.5
        z = ((n % N) - (N - 1) / 2) / ((N - 1) / 2)
        zigzag = z * z.abs()
        for name, power in zip("rwkvag", (0.2, 0.9, 0.7, 0.7, 0.9, 0.2)):
            setattr(self, "x_" + name, row(1 - (n / C) ** (power * rho)))
        self.w0 = row(-6 + 6 * (n / (C - 1)) ** (1 + q**0.3) + 0.5 + 2.5 * zigzag)
        self.a0 = row(-0.19 + 0.3 * zigzag + 0.4 * line)
        if layer > 0:
            self.v0 = row(0.73 - 0.4 * line)
        for name, rank in LORA_RANK.items():
            if name != "v" or layer > 0:
                setattr(self, name + "1", nn.Parameter(torch.zeros(C, rank)))
                setattr(self, name + "2", orthogonal(rank, C, 0.1))
        self.k_k, self.k_a = row(0.71 - 0.1 * line), row(torch.full((C,), 1.02))
        self.r_k = nn.Parameter(torch.full((self.n_head, N), -0.04))
        self.receptance, self.key = linear(C, C, 1), linear(C, C, 0.1)
        self.value, self.output = linear(C, C, 1), linear(C, C, 0)
        self.ln_x = nn.GroupNorm(self.n_head, C, eps=HEAD_NORM_EPS)
        nn.init.constant_(self.ln_x.weight, ((1 + layer) / n_layer) ** 0.7)

    def forward(self, x, v_first):
        """x: [B, T, C], T a multiple of CHUNK. Returns the block's output and layer 0's v."""
        batch, time, C = x.shape
        heads = (batch, time, self.n_head, HEAD_SIZE)
        xx = shift(x)
        r = self.receptance(x + xx * self.x_r)
        log_w = -math.exp(-0.5) * torch.sigmoid(self.w0 + torch.tanh((x + xx * self.x_w) @ self.w1) @ self.w2)
        k = self.key(x + xx * self.x_k)
        xv = x + xx * self.x_v
        v = self.value(xv)
        if self.layer == 0:
            v_first = v
        else:
            v = v + (v_first - v) * torch.sigmoid(self.v0 + xv @ self.v1 @ self.v2)
        a = torch.sigmoid(self.a0 + (x + xx * self.x_a) @ self.a1 @ self.a2)
        g = torch.sigmoid((x + xx * self.x_g) @ self.g1) @ self.g2
        kk = F.normalize((k * self.k_k).view(heads), dim=-1).view(batch, time, C)
        k = k * (1 + (a - 1) * self.k_a)

        def chunks(y):
            y = y.float().view(batch, time, self.n_head, HEAD_SIZE).transpose(1, 2)
            return y.reshape(batch * self.n_head, time // CHUNK, CHUNK, HEAD_SIZE)

        with torch.autocast("cpu", enabled=False):
            y = wkv_chunked(*map(chunks, (r, log_w, k, v, -kk, kk * a)))
        y = y.view(batch, self.n_head, time, HEAD_SIZE).transpose(1, 2).reshape(batch * time, C)
        y = self.ln_x(y).view(batch, time, C)
        bonus = (r.view(heads) * k.view(heads) * self.r_k).sum(-1, keepdim=True) * v.view(heads)
        return self.output((y + bonus.view(batch, time, C)) * g), v_first


class ChannelMix(nn.Module):
    def __init__(self, layer, n_layer, n_embd):
        super().__init__()
        self.x_k = row(1 - (torch.arange(n_embd) / n_embd) ** ((1 - layer / n_layer) ** 4))
        self.key, self.value = linear(4 * n_embd, n_embd, 1), linear(n_embd, 4 * n_embd, 0)

    def forward(self, x):
        return self.value(torch.relu(self.key(x + shift(x) * self.x_k)) ** 2)


class Block(nn.Module):
    def __init__(self, layer, n_layer, n_embd):
        super().__init__()
        if layer == 0:
            self.ln0 = nn.LayerNorm(n_embd)
        self.ln1, self.ln2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.att = TimeMix(layer, n_layer, n_embd)
        self.ffn = ChannelMix(layer, n_layer, n_embd)

    def forward(self, x, v_first):
        mixed, v_first = self.att(self.ln1(x), v_first)
        x = x + mixed
        return x + self.ffn(self.ln2(x)), v_first


class Rwkv7(nn.Module):
    def __init__(self, n_vocab, n_layer, n_embd):
        super().__init__()
        self.emb = nn.Embedding(n_vocab, n_embd)
        nn.init.uniform_(self.emb.weight, -1e-4, 1e-4)
        self.blocks = nn.ModuleList(Block(layer, n_layer, n_embd) for layer in range(n_layer))
        self.ln_out = nn.LayerNorm(n_embd)
        self.head = linear(n_vocab, n_embd, 0.5 * math.sqrt(max(1.0, n_vocab / n_embd)))

    def forward(self, tokens):
        """tokens [B, T], T a multiple of CHUNK; returns logits [B, T, n_vocab]. The state starts at zero."""
        x = self.blocks[0].ln0(self.emb(tokens))
        v_first = None
        for block in self.blocks:
            x, v_first = block(x, v_first)
        return self.head(self.ln_out(x))
