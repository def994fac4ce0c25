#include "mapsort/throughput.hpp"

#include "mapsort/pair_product.hpp"
#include "mapsort/require.hpp"

#include <algorithm> // for std::min
#include <chrono>    // for std::chrono::steady_clock
#include <limits>    // for std::numeric_limits

namespace mapsort::inline MAPSORT_ISA {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Enough independent chains to fill two pipes of latency 4 or 5; with the two constants they fit
/// the 16 registers of the smaller instruction sets.
constexpr int kChains = 12;
constexpr int kStepsPerBurst = 100000; // a third of a millisecond: shorter than a time slice

/// x -> x * factor + term on every chain, as often as told; returns something of the result.
VecF multiply_add_chains(VecF factor, VecF term, int steps) {
  VecF chains[kChains];
  for (int c = 0; c < kChains; ++c)
    chains[c] = broadcast(float(c));
  for (int step = 0; step < steps; ++step)
    for (VecF& chain : chains)
      chain = chain * factor + term;
  VecF sum{};
  for (const VecF& chain : chains)
    sum += chain;
  return sum;
}

/// Seconds of the fastest run of work() in at least `seconds`, the first one not counted.
template <class Work> double fastest(double seconds, Work work) {
  work();
  const Clock::time_point start = Clock::now();
  double best = std::numeric_limits<double>::infinity();
  do {
    const Clock::time_point before = Clock::now();
    work();
    best = std::min(best, seconds_since(before));
  } while (seconds_since(start) < seconds);
  return best;
}

/// All references of a bank in blocks of lanes, one after the other.
AlignedVector<VecF> packed_blocks(const ReferenceBank& bank) {
  const std::size_t block_size = 2 * std::size_t(bank.layout().n_entries());
  const index_t n_blocks = (bank.size() + kLanes - 1) / kLanes;
  AlignedVector<VecF> packed(n_blocks * block_size);
  LaneBlock lanes(bank);
  for (index_t block = 0; block < n_blocks; ++block) {
    std::int32_t ids[kLanes];
    const int count = int(std::min<index_t>(kLanes, bank.size() - block * kLanes));
    for (int lane = 0; lane < count; ++lane)
      ids[lane] = std::int32_t(block * kLanes + lane);
    lanes.pack(bank, ids, count);
    std::copy_n(lanes.data(), block_size, packed.data() + block * block_size);
  }
  return packed;
}

ShiftedCopies some_copies(const PolarLayout& layout, int n_shifts) {
  ShiftedCopies copies(layout, n_shifts);
  for (int entry = 0; entry < layout.n_entries(); ++entry)
    for (int row = 0; row < n_shifts; ++row) {
      copies.real(entry)[row] = 1.0f / float(1 + entry + row);
      copies.imaginary(entry)[row] = -1.0f / float(2 + entry + row);
    }
  return copies;
}

} // namespace

double fma_peak(double seconds) {
  // read from memory at run time, so that nothing is computed in advance or left out
  volatile float factor = 0.999f, term = 0.001f, sink = 0.0f;
  const VecF factors = broadcast(factor), terms = broadcast(term);
  const double best = fastest(
      seconds, [&] { sink = multiply_add_chains(factors, terms, kStepsPerBurst)[0] + sink; });
  return 2.0 * kLanes * kChains * kStepsPerBurst / best * 1e-9;
}

ProductRate product_rate(const ReferenceBank& bank, int n_shifts, double seconds) {
  require(bank.size() >= 1, "bank: expected at least one reference");
  require(n_shifts >= 1, "n_shifts: expected at least 1");
  const PolarLayout& layout = bank.layout();
  const AlignedVector<VecF> packed = packed_blocks(bank);
  const ShiftedCopies copies = some_copies(layout, n_shifts);
  PairProduct pair(layout);
  const std::size_t block_size = 2 * std::size_t(layout.n_entries());
  const std::size_t n_whole_blocks = packed.size() / block_size;
  const double n_blocks = double(n_whole_blocks);
  const double products = fastest(0.5 * seconds, [&] {
    for (std::size_t at = 0; at < packed.size(); at += block_size)
      for (int row = 0; row < n_shifts; row += kRows)
        pair.products(copies, row, packed.data() + at);
  });
  volatile float sink = 0.0f;
  const double everything = fastest(0.5 * seconds, [&] {
    for (std::size_t at = 0; at < packed.size(); at += block_size)
      sink = pair.best(copies, n_shifts, packed.data() + at).value[0];
  });
  static_cast<void>(sink);
  const double computed = double(copies.rows()) * kLanes * n_blocks;
  const double used = double(n_shifts) * double(bank.size());
  return {8.0 * computed * layout.n_entries() / products * 1e-9, products / used,
          (everything - products) / used, used / computed};
}

} // namespace mapsort::inline MAPSORT_ISA
