// SPDX-License-Identifier: Apache-2.0
// Everything of librwkv.
#pragma once
#include <rwkv/device_array.h>
#include <rwkv/error.h>
#include <rwkv/model.h>
#include <rwkv/pipeline.h>
#include <rwkv/sampler.h>
#include <rwkv/state.h>
#include <rwkv/tokenizer.h>
