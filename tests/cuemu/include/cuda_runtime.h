// SPDX-License-Identifier: Apache-2.0
// Found before the toolkit's header of this name: that one, then what g++ lacks to compile kernels.
#pragma once
#include_next <cuda_runtime.h>

#include "cuemu/intrinsics.h"
#include "cuemu/language.h"
#include "cuemu/warp.h"
