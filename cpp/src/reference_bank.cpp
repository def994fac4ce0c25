#include "mapsort/reference_bank.hpp"

#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

#include <algorithm> // for std::fill_n

namespace mapsort::inline MAPSORT_ISA {

void normalise(Normalisation how, const PolarGrid& grid, VecC* lanes) {
  if (how == Normalisation::none)
    return;
  const index_t half = grid.n_angles / 2;
  for (index_t ring = 0; ring < grid.n_rings; ++ring) {
    VecC* line = lanes + ring / kLanes * half;
    const int lane = int(ring % kLanes);
    double power = 0.0;
    for (index_t j = 0; j < half; ++j)
      power +=
          double(line[j].re[lane]) * line[j].re[lane] + double(line[j].im[lane]) * line[j].im[lane];
    const double mean = power / double(half);
    for (index_t j = 0; j < half; ++j) {
      // values and not references: a lane of a vector type has no address
      const double re = line[j].re[lane], im = line[j].im[lane];
      const double size = how == Normalisation::rings ? mean : re * re + im * im;
      // a ring or term without power says nothing and must not be blown up
      const float factor = size > 1e-12 * mean && mean > 0.0 ? float(1.0 / std::sqrt(size)) : 0.0f;
      line[j].re[lane] *= factor;
      line[j].im[lane] *= factor;
    }
  }
}

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

void ReferenceBank::store_reference(index_t r, const RingTransform& transform, VecC* lanes,
                                    RingTransform::Scratch& scratch) {
  normalise(normalisation_, layout_.grid, lanes);
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

void ReferenceBank::add(const WindowView& window, View<const double, 3> rotations, int n_threads) {
  const PolarGrid grid = layout_.grid;
  const index_t n = rotations.shape[0], half = grid.n_angles / 2;
  std::vector<complex_t> samples(n * grid.n_rings * half);
  const View<complex_t, 3> slices{samples.data(), {n, grid.n_rings, half}};
  project_polar(window, rotations, grid, slices, n_threads);

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
  require_padded(spectra, scale, box_);
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

void ReferenceBank::take_part_of(const ReferenceBank& whole, int n_threads) {
  const PolarLayout& from = whole.layout();
  require(n_references_ == 0 && box_ == whole.box(), "bank: expected an empty one of the same box");
  require(layout_.max_order() <= from.max_order() &&
              layout_.grid.first_ring == from.grid.first_ring &&
              layout_.grid.n_rings <= from.grid.n_rings,
          "ring_ranges: orders or rings that the bank does not have");
  grow(whole.size());
  parallel_for(whole.size(), n_threads, [&](index_t r) {
    const float* source = whole.coefficients(r);
    float* re = coefficients_.data() + r * 2 * layout_.n_entries();
    float* im = re + layout_.n_entries();
    float* power = ring_power_.data() + r * layout_.grid.n_rings;
    std::fill_n(power, layout_.grid.n_rings, 0.0f);
    for (int m = 0; m <= layout_.max_order(); ++m)
      for (int i = 0; i < layout_.n_rings_of(m); ++i) {
        const int ring = layout_.first_ring_of[m] + i, e = layout_.first_entry[m] + i;
        const int shift = ring - from.first_ring_of[m];
        const bool there = shift >= 0 && shift < from.n_rings_of(m);
        const int at = from.first_entry[m] + shift;
        re[e] = there ? source[at] : 0.0f;
        im[e] = there ? source[from.n_entries() + at] : 0.0f;
        power[ring] += (m == 0 ? 1.0f : 2.0f) * (re[e] * re[e] + im[e] * im[e]);
      }
  });
}

void ReferenceBank::statistics(View<double, 2> power, View<double, 1> mean) const {
  std::fill_n(power.data, power.size(), 0.0);
  std::fill_n(mean.data, mean.size(), 0.0);
  const double share = 1.0 / double(std::max<index_t>(1, n_references_));
  for (index_t r = 0; r < n_references_; ++r) {
    const float* re = coefficients(r);
    const float* im = re + layout_.n_entries();
    for (int m = 0; m <= layout_.max_order(); ++m)
      for (int i = 0; i < layout_.n_rings_of(m); ++i) {
        const int e = layout_.first_entry[m] + i, ring = layout_.first_ring_of[m] + i;
        power(m, ring) += share * (double(re[e]) * re[e] + double(im[e]) * im[e]);
        if (m == 0)
          mean(ring) += share * re[e];
      }
  }
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
