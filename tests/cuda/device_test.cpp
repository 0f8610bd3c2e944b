// SPDX-License-Identifier: Apache-2.0
// The CUDA device: memory, copies in both directions, its kernels called as the engine calls them.
#include "kernels/cuda/device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "kernels/buffer.h"
#include "kernels/cuda/devices.h"
#include "kernels/cuda/table.h"
#include "kernels/plain_norm.h"
#include "kernels/values.h"

namespace rwkv::test {
namespace {

using cuda::CudaDevice;

std::vector<std::uint8_t> bytes(std::size_t n, std::uint32_t seed) {
  std::vector<std::uint8_t> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<std::uint8_t>((i * 2654435761u + seed) >> 24);
  return values;
}

std::vector<std::uint8_t> download(Device& device, const Buffer& buffer) {
  std::vector<std::uint8_t> values(buffer.bytes());
  device.download(values.data(), buffer.data(), values.size());
  return values;
}

TEST(CudaDevice, SaysItsNumberItsCardAndThatItsMemoryIsNotTheHosts) {
  const CudaDevice device(0, 1);
  EXPECT_EQ(device.name().find("cuda:0 ("), 0u) << device.name();
  EXPECT_NE(device.name().find(", sm_"), std::string::npos) << device.name();
  EXPECT_FALSE(device.is_host());
  EXPECT_GT(device.available_memory(), 0);
  EXPECT_EQ(&device.kernels(), &cuda::table());
  EXPECT_THROW(CudaDevice(1000, 1), DeviceError);
}

// Parts of the pinned memory are used again in the larger ones.
TEST(CudaDevice, BytesComeBackAsTheyWereSent) {
  CudaDevice device(0, 2);
  for (const std::size_t n : {1, 13, 4096, (1 << 21) - 1, (1 << 21) + 1, (9 << 21) + 5}) {
    const Buffer buffer(device, n);
    const auto sent = bytes(n, 1);
    device.upload(buffer.data(), sent.data(), n);
    ASSERT_TRUE(download(device, buffer) == sent) << n;
  }
}

// The last ones are more than a part of the pinned memory holds, and a row larger than it.
TEST(CudaDevice, RowsAreSentIntoWiderRows) {
  CudaDevice device(0, 1);
  struct Case {
    std::size_t row, stride, n_row;
  };
  for (const auto [row, stride, n_row] : {Case{1, 1, 1}, {3, 7, 5}, {700, 1001, 4003}, {(2 << 20) + 1, (2 << 20) + 9, 2}}) {
    const Buffer buffer(device, stride * n_row);
    const std::vector<std::uint8_t> before(buffer.bytes(), 255);
    const auto sent = bytes(row * n_row, 9);
    device.upload(buffer.data(), before.data(), before.size());
    device.upload_rows(buffer.data(), stride, sent.data(), row, n_row);
    auto expected = before;
    for (std::size_t i = 0; i < n_row; ++i) std::copy_n(sent.begin() + i * row, row, expected.begin() + i * stride);
    ASSERT_TRUE(download(device, buffer) == expected) << row;
  }
}

TEST(CudaDevice, NoBytesAreSentWithoutHarm) {
  CudaDevice device(0, 1);
  const Buffer buffer(device, 0);
  device.upload(buffer.data(), nullptr, 0);
  device.upload_rows(buffer.data(), 4, nullptr, 4, 0);
  device.upload_rows(buffer.data(), 4, nullptr, 0, 3);
  device.copy(buffer.data(), buffer.data(), 0);
  device.download(nullptr, buffer.data(), 0);
}

TEST(CudaDevice, HostMemoryMayChangeWhenUploadReturns) {
  CudaDevice device(0, 1);
  const Buffer a(device, 1000), b(device, 1000);
  auto host = bytes(1000, 2);
  const auto first = host, second = bytes(1000, 3);
  device.upload(a.data(), host.data(), 1000);
  host = second;
  device.upload(b.data(), host.data(), 1000);
  std::ranges::fill(host, std::uint8_t{0});
  EXPECT_EQ(download(device, a), first);
  EXPECT_EQ(download(device, b), second);
}

TEST(CudaDevice, UploadsCopiesAndDownloadsKeepTheirOrder) {
  CudaDevice device(0, 1);
  const Buffer a(device, 500), b(device, 500);
  const auto first = bytes(500, 4), second = bytes(500, 5);
  device.upload(a.data(), first.data(), 500);
  device.copy(b.data(), a.data(), 500);
  device.upload(a.data(), second.data(), 500);
  EXPECT_EQ(download(device, b), first);
  EXPECT_EQ(download(device, a), second);
}

// The rows that are read are replaced at once, and those that are written are still read by a copy asked for before.
TEST(CudaDevice, WhatOneCardReceivesFromAnotherKeepsTheOrderOfBoth) {
  if (cuda::find_devices().n_device < 2) GTEST_SKIP() << "skipped: there is one card";
  CudaDevice here(0, 1), there(1, 1);
  const Buffer from(here, 500), to(there, 500), other(there, 500);
  const auto first = bytes(500, 10), second = bytes(500, 11), third = bytes(500, 12);
  here.upload(from.data(), first.data(), 500);
  there.receive(to.data(), here, from.data(), 500);
  here.upload(from.data(), second.data(), 500);
  there.copy(other.data(), to.data(), 500);
  there.receive(to.data(), here, from.data(), 500);
  here.upload(from.data(), third.data(), 500);
  EXPECT_EQ(download(there, other), first);
  EXPECT_EQ(download(there, to), second);
  EXPECT_EQ(download(here, from), third);
}

TEST(CudaDevice, SeveralThreadsUploadAtOnce) {
  CudaDevice device(0, 4);
  constexpr std::size_t kEach = 300'001, kParts = 24;
  const Buffer buffer(device, kEach * kParts);
  const auto sent = bytes(buffer.bytes(), 6);
  device.parallel_for(kParts, [&](std::int64_t part) {
    const std::size_t first = static_cast<std::size_t>(part) * kEach;
    device.upload(static_cast<std::byte*>(buffer.data()) + first, sent.data() + first, kEach);
  });
  EXPECT_TRUE(download(device, buffer) == sent);
}

TEST(CudaDevice, OtherThreadsMayUseAndReleaseItsMemory) {
  CudaDevice device(0, 1);
  Buffer buffer(device, 100);
  const auto sent = bytes(100, 7);
  std::thread([&] { device.upload(buffer.data(), sent.data(), 100); }).join();
  EXPECT_EQ(download(device, buffer), sent);
  std::thread([taken = std::move(buffer)] {}).join();
}

TEST(CudaDevice, AllocatedMemoryIsNoLongerAvailable) {
  CudaDevice device(0, 1);
  const std::int64_t before = device.available_memory();
  {
    const Buffer buffer(device, std::size_t{64} << 20);
    EXPECT_LE(device.available_memory(), before - (std::int64_t{63} << 20));
  }
  EXPECT_GE(device.available_memory(), before - (std::int64_t{1} << 20));
}

TEST(CudaDevice, OutOfMemoryNamesTheDeviceAndLeavesItUsable) {
  CudaDevice device(0, 1);
  try {
    const Buffer buffer(device, std::size_t{1} << 50);
    FAIL() << "1 PiB was allocated";
  } catch (const OutOfMemoryError& error) {
    EXPECT_EQ(std::string(error.what()).find("cuda:0: out of memory allocating 1048576.0 GiB (free: "), 0u) << error.what();
  }
  const Buffer buffer(device, 10);
  const auto sent = bytes(10, 8);
  device.upload(buffer.data(), sent.data(), 10);
  EXPECT_EQ(download(device, buffer), sent);
}

TEST(CudaDevice, ItsTableRunsKernelsOnItsStream) {
  CudaDevice device(0, 1);
  const std::int64_t n = 70;
  const auto x = floats(2 * n, 1), weight = floats(n, 2), bias = floats(n, 3);
  const auto put = [&](const std::vector<float>& values) {
    Buffer buffer(device, values.size() * sizeof(float));
    device.upload(buffer.data(), values.data(), buffer.bytes());
    return buffer;
  };
  const Buffer in = put(x), w = put(weight), b = put(bias), out(device, 2 * n * sizeof(float));
  device.kernels().common.layer_norm(device, {{in.floats(), 2, n}, w.floats(), b.floats(), 1e-5f, {out.floats(), 2, n}});
  std::vector<float> found(2 * n);
  device.download(found.data(), out.data(), out.bytes());
  expect_near(found, plain_norm(doubles(x), n, 1, weight.data(), bias.data(), 1e-5f), kNormAbsolute, kNormRelative);
}

TEST(CudaDevices, AreFoundAndOpenedByNumber) {
  const cuda::Found found = cuda::find_devices();
  ASSERT_GT(found.n_device, 0) << found.why_none;
  EXPECT_EQ(found.why_none, "");
  EXPECT_EQ(cuda::open_device(found.n_device - 1, 1)->name().find("cuda:" + std::to_string(found.n_device - 1) + " "), 0u);
}

TEST(CudaDevices, TheReasonForNoneIsTheDriverOrTheCard) {
  EXPECT_EQ(cuda::why_none(cudaErrorInsufficientDriver, 0), "no NVIDIA driver");
  EXPECT_EQ(cuda::why_none(cudaErrorNoDevice, 0), "no NVIDIA driver");
  const std::string old = cuda::why_none(cudaErrorInsufficientDriver, 12040);
  EXPECT_EQ(old.find("NVIDIA driver too old (needs 5"), 0u) << old;
  EXPECT_NE(old.find("CUDA 12.4"), std::string::npos) << old;
  EXPECT_EQ(cuda::why_none(cudaErrorNoDevice, 13000), "no CUDA device, though there is an NVIDIA driver");
  EXPECT_NE(cuda::why_none(cudaErrorInvalidValue, 13000), "");
}

}  // namespace
}  // namespace rwkv::test
