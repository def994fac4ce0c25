#pragma once
// What one core reaches: its peak, and the alignment loop's parts against it. For benchmarks.

#include "mapsort/reference_bank.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// Highest rate [GFlop/s] of single-precision multiply-adds (2 flop per lane) in registers, with
/// this module's vectors, of short bursts on the calling thread over at least `seconds`.
double fma_peak(double seconds);

/// The parts of the pair loop, on the calling thread.
struct ProductRate {
  double gflops;          // product part: 8 flop per entry, row and lane, spare ones included
  double product_seconds; // of it, per shift (row) and reference (lane)
  double fft_seconds;     // of FFT and maximum, per shift and reference
  double share_used;      // of the rows and lanes computed, those with a shift and a reference
};

/// Time the search of all references of a bank at n_shifts shifts, particle by particle, over at
/// least `seconds`; the fastest sweep counts. The particle's coefficients are arbitrary numbers.
ProductRate product_rate(const ReferenceBank& bank, int n_shifts, double seconds);

} // namespace mapsort::inline MAPSORT_ISA
