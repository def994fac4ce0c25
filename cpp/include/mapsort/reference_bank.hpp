#pragma once
// The references' polar coefficients, laid out for the alignment kernels.

#include "mapsort/polar_transform.hpp"

#include <utility> // for std::move

namespace mapsort::inline MAPSORT_ISA {

/// What is made of Fourier terms before they are compared.
enum class Normalisation {
  none,  // terms as they are: likelihood, ccc, dot, squared distance
  rings, // every ring of unit power: Fourier ring correlation
  phases // every term of unit amplitude: phase agreement
};

/// Apply to polar samples in ring lanes (n_blocks * half), rings beyond the grid's stay zero.
void normalise(Normalisation how, const PolarGrid& grid, VecC* lanes);

class ReferenceBank {
public:
  ReferenceBank(PolarGrid grid, index_t box, double support_radius, Normalisation how)
      : box_(box), normalisation_(how), layout_(grid, box, support_radius) {}
  ReferenceBank(index_t box, Normalisation how, PolarLayout layout)
      : box_(box), normalisation_(how), layout_(std::move(layout)) {}
  ReferenceBank(const ReferenceBank&) = delete;

  /// Append the references of one map: slices of its window at these rotations (n, 3, 3).
  void add(const WindowView& window, View<const double, 3> rotations, int n_threads);

  /// Append 2-D references from their padded transforms (n, padded, padded/2+1).
  void add_images(View<const complex_t, 3> spectra, double scale, double oversampling,
                  int n_threads);

  /// Fill this empty bank with the references of another, of whose entries its own are a part. The
  /// powers of rings count the entries kept, so that norms fit the cross terms of this bank.
  void take_part_of(const ReferenceBank& whole, int n_threads);

  /// mean |p_m(k)|^2 over the references for each order and ring, and the real part of the mean of
  /// p_0: power (orders, n_rings), mean (n_rings).
  void statistics(View<double, 2> power, View<double, 1> mean) const;

  index_t box() const { return box_; }
  Normalisation normalisation() const { return normalisation_; }
  index_t size() const { return n_references_; }
  const PolarLayout& layout() const { return layout_; }

  /// Real parts of all entries of reference r, then the imaginary parts.
  const float* coefficients(index_t r) const {
    return coefficients_.data() + r * 2 * layout_.n_entries();
  }
  /// Mean of |P|^2 over each ring of reference r.
  const float* ring_power(index_t r) const { return ring_power_.data() + r * layout_.grid.n_rings; }

private:
  /// Make room for n more references; return the number of the first.
  index_t grow(index_t n);
  /// Coefficients and ring powers of reference r from its polar samples in ring lanes
  /// (overwritten).
  void store_reference(index_t r, const RingTransform& transform, VecC* lanes,
                       RingTransform::Scratch& scratch);

  index_t box_, n_references_ = 0;
  Normalisation normalisation_;
  PolarLayout layout_;
  AlignedVector<float> coefficients_, ring_power_;
};

/// kLanes references side by side: entry e at [2 e] (real) and [2 e + 1] (imaginary).
class LaneBlock {
public:
  explicit LaneBlock(const ReferenceBank& bank) : packed_(2 * bank.layout().n_entries()) {}

  /// Lane l takes reference ids[l]; lanes from count on repeat the first.
  void pack(const ReferenceBank& bank, const std::int32_t* ids, int count);
  const VecF* data() const { return packed_.data(); }

private:
  AlignedVector<VecF> packed_;
};

} // namespace mapsort::inline MAPSORT_ISA
