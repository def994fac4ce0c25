#include "mapsort/reference_bank.hpp"

#include "mapsort/parallel.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Working memory of one thread while references are added.
struct AddScratch {
  RingTransform::Scratch fft;
  AlignedVector<VecC> lanes;
  std::vector<complex_t> window;

  AddScratch(const RingTransform& transform, index_t window_size)
      : fft(transform.make_scratch()), lanes(transform.n_blocks() * transform.half()),
        window(window_size) {}
};

} // namespace

index_t ReferenceBank::grow(index_t n) {
  const index_t first = n_references_;
  n_references_ += n;
  coefficients_.resize(n_references_ * 2 * layout_.n_entries());
  ring_power_.resize(n_references_ * layout_.grid.n_rings);
  return first;
}

void ReferenceBank::store_reference(index_t r, const RingTransform& transform, const VecC* lanes,
                                    RingTransform::Scratch& scratch) {
  float* re = coefficients_.data() + r * 2 * layout_.n_entries();
  float* im = re + layout_.n_entries();
  transform.coefficients(lanes, scratch, [&](int entry, float a, float b) {
    re[entry] = a;
    im[entry] = b;
  });
  const index_t half = layout_.grid.n_angles / 2;
  for (index_t ring = 0; ring < layout_.grid.n_rings; ++ring) {
    double sum = 0.0;
    for (index_t j = 0; j < half; ++j) {
      const VecC& point = lanes[ring / kLanes * half + j];
      const double x = point.re[ring % kLanes], y = point.im[ring % kLanes];
      sum += x * x + y * y;
    }
    ring_power_[r * layout_.grid.n_rings + ring] = static_cast<float>(sum / double(half));
  }
}

void ReferenceBank::add(View<const complex_t, 3> window, double scale, double oversampling,
                        View<const double, 3> rotations, int n_threads) {
  const PolarGrid grid = layout_.grid;
  const index_t n = rotations.shape[0], half = grid.n_angles / 2;
  std::vector<complex_t> samples(n * grid.n_rings * half);
  const View<complex_t, 3> slices{samples.data(), {n, grid.n_rings, half}};
  project_polar(window, scale, oversampling, rotations, grid, slices, n_threads);

  const index_t first = grow(n);
  const RingTransform transform(layout_);
  parallel_for(
      n, n_threads, [&] { return AddScratch(transform, 0); },
      [&](index_t i, AddScratch& scratch) {
        rings_to_lanes(slices.item(i), grid, scratch.lanes.data());
        store_reference(first + i, transform, scratch.lanes.data(), scratch.fft);
      });
}

void ReferenceBank::add_images(View<const complex_t, 3> spectra, double scale, double oversampling,
                               int n_threads) {
  const PolarSampler sampler(layout_.grid, scale, oversampling);
  const auto shape = window_shape2(sampler.radius());
  const index_t n = spectra.shape[0], first = grow(n);
  const RingTransform transform(layout_);
  parallel_for(
      n, n_threads, [&] { return AddScratch(transform, shape[0] * shape[1]); },
      [&](index_t i, AddScratch& scratch) {
        const View<complex_t, 2> window{scratch.window.data(), shape};
        gather_window({spectra.item(i), {spectra.shape[1], spectra.shape[2]}}, window);
        sampler.sample({window.data, shape}, scratch.lanes.data());
        store_reference(first + i, transform, scratch.lanes.data(), scratch.fft);
      });
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
