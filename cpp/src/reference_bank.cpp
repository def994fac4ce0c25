#include "mapsort/reference_bank.hpp"

#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

namespace mapsort::inline MAPSORT_ISA {

void ReferenceBank::add(View<const complex_t, 3> window, double scale, double oversampling,
                        View<const double, 3> rotations, int n_threads) {
  const PolarGrid grid = layout_.grid;
  const index_t n = rotations.shape[0], half = grid.n_angles / 2, entries = layout_.n_entries();
  std::vector<complex_t> samples(n * grid.n_rings * half);
  const View<complex_t, 3> slices{samples.data(), {n, grid.n_rings, half}};
  project_polar(window, scale, oversampling, rotations, grid, slices, n_threads);

  coefficients_.resize((n_references_ + n) * 2 * entries);
  ring_power_.resize((n_references_ + n) * grid.n_rings);
  const RingTransform transform(layout_);
  struct Scratch {
    RingTransform::Scratch fft;
    AlignedVector<VecC> lanes;
  };
  const auto make_scratch = [&] {
    return Scratch{transform.make_scratch(),
                   AlignedVector<VecC>(transform.n_blocks() * transform.half())};
  };
  parallel_for(n, n_threads, make_scratch, [&](index_t i, Scratch& scratch) {
    const complex_t* rings = slices.item(i);
    rings_to_lanes(rings, grid, scratch.lanes.data());
    float* re = coefficients_.data() + (n_references_ + i) * 2 * entries;
    float* im = re + entries;
    transform.coefficients(scratch.lanes.data(), scratch.fft, [&](int entry, float a, float b) {
      re[entry] = a;
      im[entry] = b;
    });
    float* power = ring_power_.data() + (n_references_ + i) * grid.n_rings;
    for (index_t ring = 0; ring < grid.n_rings; ++ring) {
      double sum = 0.0;
      for (index_t j = 0; j < half; ++j)
        sum += std::norm(rings[ring * half + j]);
      power[ring] = static_cast<float>(sum / double(half));
    }
  });
  n_references_ += n;
}

void LaneBlock::pack(const ReferenceBank& bank, const std::int32_t* ids, int count) {
  const int entries = bank.layout().n_entries();
  for (int lane = 0; lane < kLanes; ++lane) {
    const float* re = bank.coefficients(ids[lane < count ? lane : 0]);
    const float* im = re + entries;
    for (int e = 0; e < entries; ++e) {
      packed_[2 * e][lane] = re[e];
      packed_[2 * e + 1][lane] = im[e];
    }
  }
}

} // namespace mapsort::inline MAPSORT_ISA
