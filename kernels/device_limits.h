// SPDX-License-Identifier: Apache-2.0
// What a device reaches at best, of all its units together.
#pragma once

namespace rwkv {

struct DeviceLimits {
  double bytes_per_second;  // moved in its memory
  double flops_per_second;  // in matrix products; a multiply-add counts twice
};

}  // namespace rwkv
