// SPDX-License-Identifier: Apache-2.0
#include "bench/spread.h"

#include <gtest/gtest.h>

namespace rwkv::bench {
namespace {

TEST(Spread, IsTheMiddleAndBothEnds) {
  const Spread odd = spread_of({5, 1, 9});
  EXPECT_EQ(odd.median, 5);
  EXPECT_EQ(odd.min, 1);
  EXPECT_EQ(odd.max, 9);
  EXPECT_EQ(spread_of({7}).median, 7);
}

TEST(Spread, MedianOfAnEvenNumberIsBetweenTheTwoInTheMiddle) { EXPECT_EQ(spread_of({1, 100, 4, 2}).median, 3); }

}  // namespace
}  // namespace rwkv::bench
