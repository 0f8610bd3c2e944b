// SPDX-License-Identifier: Apache-2.0
// The layers of a checkpoint, loaded or only measured.
#pragma once
#include <functional>
#include <vector>

#include "forward.h"
#include "load.h"
#include "weights/weight_loader.h"

namespace rwkv {

constexpr int kStem = -1;  // as a layer: what is in front of layer 0

// Where a layer's weights go, from kStem to n_layer, the head.
using MemoryOf = std::function<WeightMemory&(int layer)>;

// Goes over the whole checkpoint, to check, to measure or to load it, as `memory` says; sets the stem, the blocks and the head
// of `model`, which has placements. Returns S at the start of a text, [n_layer], as in StateLayout.
std::vector<std::vector<float>> load_layers(const CheckedCheckpoint& checkpoint, LoadLog& log, Model::Impl& model,
                                            const MemoryOf& memory);

}  // namespace rwkv
