// SPDX-License-Identifier: Apache-2.0
// Runs a grid: block after block, in a block every CUDA thread a fiber that runs until a barrier or a warp operation.
#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "cuemu/core.h"
#include "cuemu/cuemu.h"
#include "cuemu/fiber.h"
#include "cuemu/scheduler.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cuemu {

StreamOrders* stream_orders = nullptr;
sanitizer::Order* enqueued = nullptr;
unsigned current_lane = 0;

namespace {

constexpr unsigned kMostThreads = 1024;
constexpr unsigned kWarp = 32;
// Lanes wait in masks of two or more lanes, so a warp has at most half as many meetings as lanes.
constexpr unsigned kMeetings = kWarp / 2;
constexpr unsigned kMostCopies = 64;

// TSan takes neighbouring blocks, and a kernel and the next one in another stream or one that overlaps it, for different
// threads: 2 (grid % 2) + block % 2. They need stacks of their own.
#ifdef CUEMU_TSAN
constexpr unsigned kActors = 4;
#else
constexpr unsigned kActors = 1;
#endif

// The lanes of one mask on their way to the same warp operation. Two generations: lanes that have not yet read the last one's
// slots when others write the next one's.
struct Meeting {
  unsigned mask, arrived, unread, generation;
  const char* operation;
  Where where;
  Slot slots[2][kWarp];
};

enum class State : std::uint8_t { ready, at_barrier, in_meeting, done };

struct Thread {
  Fiber fibers[kActors];
  sanitizer::Actor actors[kActors];
  uint3 index{};
  unsigned number = 0;
  Where where;                 // of the barrier or warp operation that it waits in
  Meeting* meeting = nullptr;  // null: a barrier
  bool waited = false;         // for the previous kernel
  // A ring of copies that have begun, and how many groups of them are closed.
  AsyncCopy copies[kMostCopies];
  unsigned copy_groups[kMostCopies];
  unsigned first_copy = 0, n_copy = 0, n_group = 0;
};

struct Grid {
  const Launch* launch = nullptr;
  void (*call)(void*) = nullptr;
  void* arguments = nullptr;
  sanitizer::Order fences;
  unsigned n_thread = 0;
  const StreamOrders* stream = nullptr;
  unsigned number = 0, block = 0;  // only % 2 counts
  bool failed = false;

  // Of the running block.
  unsigned n_left = 0;        // threads that have not ended
  unsigned position = 0;      // in `order`: of the next thread to look at
  void* scheduler = nullptr;  // TSan's
  unsigned n_arrived = 0, n_true[2] = {}, generation = 0;
  Where barrier;
  unsigned live[kMostThreads / kWarp];  // lanes of each warp that have not ended
  sanitizer::Order orders[kActors][2];  // [actor][generation]
  sanitizer::Order warp_orders[kActors][kMostThreads / kWarp];

  std::vector<std::unique_ptr<Thread>> threads;
  State states[kMostThreads];     // theirs: apart, as all of them are looked at again and again
  std::vector<Meeting> meetings;  // [warp][kMeetings]
  std::vector<unsigned> order;    // of threads
  std::vector<std::uint64_t> block_order;
  std::mt19937_64 random;

  [[nodiscard]] unsigned actor() const { return (number % 2 * 2 + block % 2) % kActors; }
};
Grid grid;
Thread* current = nullptr;
Launches counted;

std::string text(const uint3& i) {
  return "(" + std::to_string(i.x) + "," + std::to_string(i.y) + "," + std::to_string(i.z) + ")";
}
std::string hex(unsigned mask) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "0x%08x", mask);
  return buffer;
}
bool same(const Where& a, const Where& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

std::string launched_at() { return "; kernel launched at " + at(grid.launch->where); }

struct Failed {};

// The next thread that can go on; null: none can.
Thread* next_ready() {
  for (unsigned looked = 0; looked < 2 * grid.n_thread; ++looked) {
    if (grid.position == grid.n_thread) {
      grid.position = 0;
      if (config().order == Order::random) std::shuffle(grid.order.begin(), grid.order.end(), grid.random);
    }
    const unsigned i = grid.order[grid.position++];
    if (grid.states[i] == State::ready) return grid.threads[i].get();
  }
  return nullptr;
}

// Whose turn it is from now on; null: the scheduler's.
Fiber* next_turn() {
  Thread* const next = grid.failed ? nullptr : next_ready();
  current = next;
  if (!next) {
    sanitizer::Actor::act_as(grid.scheduler);
    return nullptr;
  }
  current_lane = next->number % kWarp;
  threadIdx = next->index;
  next->actors[grid.actor()].act();
  return &next->fibers[grid.actor()];
}

void run_thread() {
  if (grid.launch->overlap) {
    sanitizer::acquire(stream_orders->chain);
    sanitizer::acquire(*enqueued);
  } else {
    sanitizer::acquire(stream_orders->start);
  }
  try {
    grid.call(grid.arguments);
    if (grid.launch->overlap && !current->waited) {
      fail("ends without wait_for_previous_kernel(), but was launched with overlap", grid.launch->where);
    }
  } catch (const Failed&) {
  }
  sanitizer::release(stream_orders->end);
  grid.states[current->number] = State::done;
  grid.live[current->number / kWarp] &= ~(1u << lane());
  --grid.n_left;
  Fiber::finish(next_turn());
}

// Who waits where, when nobody can go on.
std::string deadlock() {
  std::map<std::string, std::pair<unsigned, const Thread*>> waiting;
  unsigned n_done = 0;
  for (unsigned i = 0; i < grid.n_thread; ++i) {
    const Thread& thread = *grid.threads[i];
    if (grid.states[i] == State::done) {
      ++n_done;
      continue;
    }
    const std::string place =
        (thread.meeting ? std::string(thread.meeting->operation) + " of mask " + hex(thread.meeting->mask) : "__syncthreads") +
        " (" + at(thread.where) + ")";
    auto& [n, first] = waiting.try_emplace(place, 0, &thread).first->second;
    ++n;
  }
  std::string what = at(waiting.begin()->second.second->where) + ": block " + text(blockIdx) +
                     ": deadlock: " + std::to_string(n_done) + " threads have ended";
  for (const auto& [place, who] : waiting) {
    what += "; " + std::to_string(who.first) + " wait in " + place + ", first thread " + text(who.second->index);
  }
  return what;
}

void start_block() {
  grid.n_left = grid.n_thread;
  grid.position = grid.n_thread;  // a new order first
  grid.scheduler = sanitizer::Actor::current();
  grid.n_arrived = grid.n_true[0] = grid.n_true[1] = 0;
  for (unsigned i = 0; i < (grid.n_thread + kWarp - 1) / kWarp * kMeetings; ++i) {
    grid.meetings[i].mask = grid.meetings[i].arrived = grid.meetings[i].unread = 0;
  }
  shared_memory_for_block(grid.launch->shared_bytes);
  std::fill(std::begin(grid.live), std::end(grid.live), 0u);
  for (unsigned i = 0; i < grid.n_thread; ++i) {
    Thread& thread = *grid.threads[i];
    thread.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
    thread.number = i;
    grid.live[i / kWarp] |= 1u << i % kWarp;
    grid.states[i] = State::ready;
    thread.waited = false;
    thread.n_copy = thread.n_group = 0;
    thread.fibers[grid.actor()].start(run_thread);
  }
}

// For TSan the threads that will never come back end here, with the calls that they are in.
void give_up_block() {
  void* const scheduler = sanitizer::Actor::current();
  for (unsigned i = 0; i < grid.n_thread; ++i) {
    sanitizer::Actor& actor = grid.threads[i]->actors[grid.actor()];
    actor.act();
    sanitizer::release(stream_orders->end);
    sanitizer::Actor::act_as(scheduler);
    actor.reset();
  }
}

void run_block() {
  start_block();
  Fiber::switch_to(next_turn());
  // Back when nobody can go on.
  if (grid.n_left > 0 && !grid.failed) {
    grid.failed = true;
    report(deadlock() + launched_at());
  }
  if (grid.failed) give_up_block();
}

// All that allocates. TSan takes the creator of an actor for ordered before it, so the creator is one that does nothing else.
void prepare(const Launch& launch) {
  static sanitizer::Actor creator;
  const std::uint64_t n_block = std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  grid.n_thread = launch.block.x * launch.block.y * launch.block.z;
  static const bool seeded = (grid.random.seed(config().seed), true);
  static_cast<void>(seeded);
  const auto fill = [](auto& order, auto n) {
    order.resize(n);
    for (decltype(n) i = 0; i < n; ++i) order[i] = config().order == Order::reverse ? n - 1 - i : i;
    if (config().order == Order::random) std::shuffle(order.begin(), order.end(), grid.random);
  };
  fill(grid.order, grid.n_thread);
  fill(grid.block_order, n_block);
  while (grid.threads.size() < grid.n_thread) grid.threads.push_back(std::make_unique<Thread>());
  grid.meetings.resize(std::max<std::size_t>(grid.meetings.size(), (grid.n_thread + kWarp - 1) / kWarp * kMeetings));
  creator.create();
  void* const scheduler = sanitizer::Actor::current();
  creator.act();
  for (unsigned i = 0; i < grid.n_thread; ++i) {
    for (grid.block = 0; grid.block < std::min<std::uint64_t>(n_block, 2); ++grid.block) {
      grid.threads[i]->actors[grid.actor()].create();
    }
  }
  sanitizer::Actor::act_as(scheduler);
}

}  // namespace

const Launches& launches() { return counted; }

bool run_grid(const Launch& launch, void (*call)(void*), void* arguments) {
  ++counted.all;
  if (launch.overlap) ++counted.overlapping;
  grid.launch = &launch;
  grid.call = call;
  grid.arguments = arguments;
  grid.failed = false;
  if (launch.overlap || grid.stream != stream_orders) ++grid.number;
  grid.stream = stream_orders;
  gridDim = launch.grid;
  blockDim = launch.block;
  prepare(launch);
  shared_memory_for_grid();
  sanitizer::release(stream_orders->start);
  grid.block = 0;
  for (const std::uint64_t i : grid.block_order) {
    blockIdx = {static_cast<unsigned>(i % gridDim.x), static_cast<unsigned>(i / gridDim.x % gridDim.y),
                static_cast<unsigned>(i / (std::uint64_t{gridDim.x} * gridDim.y))};
    run_block();
    if (!current_report().empty()) break;
    ++grid.block;
  }
  sanitizer::acquire(stream_orders->end);
  return current_report().empty();
}

void fail(const std::string& what, const Where& where) {
  grid.failed = true;
  complain(what, at(where));
  throw Failed{};
}

void complain(const std::string& what, const std::string& at) {
  report(at + ": block " + text(blockIdx) + " thread " + text(current->index) + ": " + what + launched_at());
}

bool in_kernel() { return current != nullptr; }

unsigned barrier(bool predicate, const Where& where) {
  if (grid.n_arrived > 0 && !same(grid.barrier, where)) {
    fail("__syncthreads here, while other threads of the block wait in the one at " + at(grid.barrier), where);
  }
  const unsigned actor = grid.actor(), generation = grid.generation % 2;
  grid.barrier = current->where = where;
  current->meeting = nullptr;
  if (grid.n_arrived == 0) grid.n_true[generation] = 0;
  grid.n_true[generation] += predicate ? 1 : 0;
  sanitizer::release(grid.orders[actor][generation]);
  if (++grid.n_arrived == grid.n_thread) {
    for (unsigned i = 0; i < grid.n_thread; ++i) {
      if (grid.states[i] == State::at_barrier) grid.states[i] = State::ready;
    }
    grid.n_arrived = 0;
    ++grid.generation;
  } else {
    grid.states[current->number] = State::at_barrier;
    Fiber::switch_to(next_turn());
  }
  sanitizer::acquire(grid.orders[actor][generation]);
  return grid.n_true[generation];
}

namespace {

void check_mask(unsigned mask, const char* operation, const Where& where) {
  if ((mask >> lane() & 1u) == 0) {
    fail(std::string(operation) + ": mask " + hex(mask) + " does not have the calling lane " + std::to_string(lane()), where);
  }
  const unsigned gone = mask & ~grid.live[current->number / kWarp];
  if (gone == 0) return;
  const unsigned other = std::countr_zero(gone);
  const bool ended = current->number / kWarp * kWarp + other < grid.n_thread;
  fail(std::string(operation) + ": mask " + hex(mask) + " has lane " + std::to_string(other) +
           (ended ? ", whose thread has ended" : ", which the block does not have"),
       where);
}

Meeting& meeting_of(unsigned mask, const char* operation, const Where& where) {
  Meeting* const first = &grid.meetings[current->number / kWarp * kMeetings];
  Meeting* idle = nullptr;
  for (Meeting* m = first; m != first + kMeetings; ++m) {
    const bool busy = m->arrived != 0 || m->unread != 0;
    if (busy && m->mask == mask) return *m;
    if (!busy && !idle) idle = m;
  }
  if (!idle) fail(std::string(operation) + ": the masks of this warp overlap", where);
  idle->mask = mask;
  return *idle;
}

// The last lane to arrive goes on, the others wait for it.
Meeting& meet(unsigned mask, Slot mine, const char* operation, const Where& where) {
  check_mask(mask, operation, where);
  Meeting& m = meeting_of(mask, operation, where);
  if (m.arrived != 0 && (m.operation != operation || !same(m.where, where))) {
    fail(std::string(operation) + " here, while other lanes of mask " + hex(mask) + " wait in " + m.operation + " at " +
             at(m.where),
         where);
  }
  m.operation = operation;
  m.where = current->where = where;
  m.slots[m.generation % 2][lane()] = mine;
  m.arrived |= 1u << lane();
  if (m.arrived == mask) {
    const unsigned warp = current->number / kWarp * kWarp;
    for (unsigned left = mask & ~(1u << lane()); left != 0; left &= left - 1) {
      grid.states[warp + std::countr_zero(left)] = State::ready;
    }
    m.arrived = 0;
    m.unread = mask;
    ++m.generation;
  } else {
    grid.states[current->number] = State::in_meeting;
    current->meeting = &m;
    Fiber::switch_to(next_turn());
  }
  m.unread &= ~(1u << lane());
  return m;
}

}  // namespace

const Slot* exchange(unsigned mask, Slot mine, const char* operation, const Where& where) {
  const Meeting& m = meet(mask, mine, operation, where);
  return m.slots[(m.generation - 1) % 2];
}

void sync_warp(unsigned mask, const Where& where) {
  auto& order = grid.warp_orders[grid.actor()][current->number / kWarp];
  sanitizer::release(order);
  meet(mask, {}, "__syncwarp", where);
  sanitizer::acquire(order);
}

void require_sm(int sm, const char* what, const Where& where) {
  if (code_sm() < sm) fail(std::string(what) + " needs sm_" + std::to_string(sm), where);
}

int code_sm() { return std::min(config().sm, config().code); }

// Code for older cards has no such instruction.
void wait_for_previous_kernel() {
  if (code_sm() < 90) return;
  sanitizer::acquire(stream_orders->start);
  current->waited = true;
}

void fence() {
  sanitizer::acquire(grid.fences);
  sanitizer::release(grid.fences);
}

void begin_copy(const AsyncCopy& copy, const Where& where) {
  if (current->n_copy == kMostCopies) fail("cp_async: too many copies at once for the emulator", where);
  const unsigned i = (current->first_copy + current->n_copy++) % kMostCopies;
  current->copy_groups[i] = current->n_group;
  current->copies[i] = copy;
}

void close_copy_group() { ++current->n_group; }

// Nothing here may call memmove, which TSan sees.
bool take_copy(unsigned pending, AsyncCopy& copy) {
  const unsigned i = current->first_copy;
  if (current->n_copy == 0 || current->copy_groups[i] + pending >= current->n_group) return false;
  copy = current->copies[i];
  current->first_copy = (i + 1) % kMostCopies;
  --current->n_copy;
  return true;
}

}  // namespace cuemu
