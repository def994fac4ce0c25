#include "mapsort/pose_scores.hpp"

#include "mapsort/require.hpp"
#include "mapsort/short_fft.hpp"
#include "mapsort/vector_math.hpp"

#include <algorithm> // for std::min, std::max, std::fill, std::any_of

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// One group's views in lanes, block by block: ring r of order m of block b at
/// [(b * orders + m) * rings + r].
class ViewLanes {
public:
  explicit ViewLanes(View<const complex_t, 4> views)
      : views_(views), n_blocks_((views.shape[3] + kLanes - 1) / kLanes),
        packed_(std::size_t(n_blocks_ * views.shape[0] * views.shape[2])) {}

  index_t n_blocks() const { return n_blocks_; }
  const VecC* block(index_t b) const {
    return packed_.data() + b * views_.shape[0] * views_.shape[2];
  }
  /// Lanes of a block that are views; the others are zero.
  int count(index_t b) const {
    return int(std::min<index_t>(kLanes, views_.shape[3] - b * kLanes));
  }

  void pack(index_t group) {
    VecC* to = packed_.data();
    for (index_t b = 0; b < n_blocks_; ++b)
      for (index_t m = 0; m < views_.shape[0]; ++m) {
        const complex_t* from = &views_(m, group, 0, b * kLanes);
        for (index_t r = 0; r < views_.shape[2]; ++r, from += views_.shape[3])
          *to++ = lanes_of(from, count(b));
      }
  }

private:
  static VecC lanes_of(const complex_t* from, int count) {
    float pairs[2 * kLanes]{}, re[kLanes], im[kLanes];
    std::memcpy(pairs, from, std::size_t(count) * sizeof(complex_t));
    for (int l = 0; l < kLanes; ++l) {
      re[l] = pairs[2 * l];
      im[l] = pairs[2 * l + 1];
    }
    return {load<VecF>(re), load<VecF>(im)};
  }

  View<const complex_t, 4> views_;
  index_t n_blocks_;
  AlignedVector<VecC> packed_;
};

/// Scores of one particle in some pairs of shifts and a block of views.
template <int kPairs> class ShiftScores {
public:
  explicit ShiftScores(const PoseTerms& terms)
      : terms_(terms), n_orders_(terms.orders.shape[0]), n_rings_(terms.orders.shape[3]),
        fft_(int(2 * (n_orders_ - 1))), values_(std::size_t(n_orders_ * n_rings_)),
        work_(std::size_t(fft_.size())) {
    for (auto& spectrum : spectra_)
      spectrum.resize(std::size_t(fft_.size()));
  }

  /// Take the shifts from the first on; those beyond the last repeat it.
  void take(index_t particle, index_t first) {
    const index_t last = terms_.orders.shape[2] - 1;
    for (int k = 0; k < kShifts; ++k)
      shift_[k] = std::min(first + k, last);
    for (index_t m = 0; m < n_orders_; ++m)
      for (int k = 0; k < kShifts; ++k) {
        const complex_t* from = &terms_.orders(m, particle, shift_[k], 0);
        for (index_t r = 0; r < n_rings_; ++r)
          values_[std::size_t(m * n_rings_ + r)].shift[k] = from[r];
      }
  }

  /// Write the scores of a block of views that begins at one of them.
  void write(index_t particle, const VecC* views, index_t begin, int count, View<float, 4> scores) {
    multiply(particle, views, begin, count);
    const index_t n_angles = fft_.size(), row = scores.shape[3];
    for (int pair = 0; pair < kPairs; ++pair) {
      float* one = &scores(particle, shift_[2 * pair], 0, begin);
      float* other = &scores(particle, shift_[2 * pair + 1], 0, begin);
      const auto transform = [&](auto put) {
        fft_.forward_into(spectra_[pair].data(), work_.data(), [=](int j, VecC x) {
          // a forward transform goes round the other way
          const index_t at = j ? (n_angles - j) * row : 0;
          put(one + at, x.re);
          put(other + at, x.im);
        });
      };
      if (count == kLanes)
        transform([](float* to, VecF x) { store(to, x); });
      else
        transform([=](float* to, VecF x) {
          for (int l = 0; l < count; ++l)
            to[l] = x[l];
        });
    }
  }

private:
  static constexpr int kShifts = 2 * kPairs;
  struct Values {
    complex_t shift[kShifts];
  };

  /// conj(particle) * view, summed over rings: the spectra of pairs of shifts.
  void multiply(index_t particle, const VecC* views, index_t begin, int count) {
    const Values* value = values_.data();
    for (index_t m = 0; m < n_orders_; ++m) {
      VecC sum[kShifts]{};
      for (index_t r = 0; r < n_rings_; ++r, ++value, ++views) {
        const VecC view = *views;
        for (int k = 0; k < kShifts; ++k) {
          const float re = value->shift[k].real(), im = value->shift[k].imag();
          sum[k].re += view.re * re;
          sum[k].im += view.im * re;
          sum[k].re += view.im * im;
          sum[k].im -= view.re * im;
        }
      }
      if (m == 0)
        for (int k = 0; k < kShifts; ++k)
          sum[k].re += same(particle, shift_[k], begin, count);
      for (int pair = 0; pair < kPairs; ++pair) {
        const VecC a = sum[2 * pair], b = sum[2 * pair + 1];
        VecC* z = spectra_[pair].data();
        if (m == 0 || m == n_orders_ - 1) {
          z[m] = {a.re, b.re};
        } else {
          z[m] = {a.re - b.im, a.im + b.re};
          z[fft_.size() - m] = {a.re + b.im, b.re - a.im};
        }
      }
    }
  }

  VecF same(index_t particle, index_t shift, index_t begin, int count) const {
    VecF lanes{};
    std::memcpy(&lanes, &terms_.same(particle, shift, begin), std::size_t(count) * sizeof(float));
    return lanes;
  }

  const PoseTerms& terms_;
  index_t n_orders_, n_rings_;
  ShortFft fft_;
  index_t shift_[kShifts]{};
  std::vector<Values> values_;
  AlignedVector<VecC> spectra_[kPairs], work_;
};

template <int kPairs>
void score_shifts(ShiftScores<kPairs>& some, const ViewLanes& lanes, index_t particle,
                  index_t first, View<float, 4> scores) {
  some.take(particle, first);
  for (index_t b = 0; b < lanes.n_blocks(); ++b)
    some.write(particle, lanes.block(b), b * kLanes, lanes.count(b), scores);
}

float highest(const float* values, index_t n) {
  index_t i = 0;
  float top = values[0];
  if (n >= kLanes) {
    VecF best = load<VecF>(values);
    for (i = kLanes; i + kLanes <= n; i += kLanes) {
      const VecF next = load<VecF>(values + i);
      best = next > best ? next : best;
    }
    for (int l = 0; l < kLanes; ++l)
      top = std::max(top, best[l]);
  }
  for (; i < n; ++i)
    top = std::max(top, values[i]);
  return top;
}

/// to[0..n) += values[0..n) = exp(values - top), no less than e^least.
void exponentiate(float* values, index_t n, float top, float least, float* to) {
  index_t i = 0;
  const auto chance = [&](VecF value) {
    const VecF below = value - top, floor = broadcast(least);
    return exponential(below > floor ? below : floor);
  };
  for (; i + kLanes <= n; i += kLanes) {
    const VecF found = chance(load<VecF>(values + i));
    store(values + i, found);
    store(to + i, load<VecF>(to + i) + found);
  }
  if (i < n) {
    const std::size_t rest = std::size_t(n - i) * sizeof(float);
    VecF last{};
    std::memcpy(&last, values + i, rest);
    last = chance(last);
    std::memcpy(values + i, &last, rest);
    for (int l = 0; i < n; ++i, ++l)
      to[i] += last[l];
  }
}

/// Poses whose chances add up to less than this, the best one's being 1, change no sum of single
/// precision.
constexpr float kNothing = 1e-12f;

/// Sum of particles in some views, side by side in lanes.
class ViewMix {
public:
  explicit ViewMix(const PoseMix& mix)
      : mix_(mix), n_orders_(mix.orders.shape[0]), n_rings_(mix.orders.shape[3]),
        fft_(int(mix.chances.shape[2])), spectrum_(std::size_t(fft_.size())),
        work_(std::size_t(fft_.size())), sum_(std::size_t(n_orders_ * n_rings_)) {}

  /// Begin with these views.
  void begin(const std::int32_t* views, int count) {
    views_ = views;
    count_ = count;
    std::fill(sum_.begin(), sum_.end(), VecC{});
  }

  /// Add a particle in all shifts, two at a time as real and imaginary part of one transform.
  void add(index_t particle) {
    const index_t n_shifts = mix_.sums.shape[1];
    for (index_t s = 0; s < n_shifts; s += 2) {
      const bool two = s + 1 < n_shifts;
      if (any(particle, s) || (two && any(particle, s + 1)))
        add_shifts(particle, s, two);
    }
  }

  void write(index_t group, index_t begin, View<complex_t, 4> mixed) const {
    for (index_t m = 0; m < n_orders_; ++m)
      for (index_t r = 0; r < n_rings_; ++r) {
        const VecC& sum = sum_[std::size_t(m * n_rings_ + r)];
        for (int l = 0; l < count_; ++l)
          mixed(m, group, begin + l, r) = {sum.re[l], sum.im[l]};
      }
  }

private:
  bool any(index_t particle, index_t shift) const {
    const float* of_view = &mix_.sums(particle, shift, 0);
    return std::any_of(views_, views_ + count_,
                       [=](std::int32_t view) { return of_view[view] > kNothing; });
  }

  void add_shifts(index_t particle, index_t shift, bool two) {
    take(&mix_.chances(particle, shift, 0, 0), &VecC::re);
    if (two)
      take(&mix_.chances(particle, shift + 1, 0, 0), &VecC::im);
    else
      for (VecC& value : spectrum_)
        value.im = VecF{};
    const VecC* z = fft_.forward(spectrum_.data(), work_.data());
    VecC* sum = sum_.data();
    for (index_t m = 0; m < n_orders_; ++m) {
      // of real numbers, a and b, in z = a + i b
      const VecC here = z[m], mate = z[m ? fft_.size() - m : 0];
      const VecC a = 0.5f * VecC{here.re + mate.re, here.im - mate.im};
      const VecC b = 0.5f * VecC{here.im + mate.im, mate.re - here.re};
      const complex_t* one = &mix_.orders(m, particle, shift, 0);
      const complex_t* other = two ? one + n_rings_ : one;
      for (index_t r = 0; r < n_rings_; ++r, ++sum) {
        *sum = *sum + times(a, {one[r].real(), one[r].imag()});
        *sum = *sum + times(b, {other[r].real(), other[r].imag()});
      }
    }
  }

  /// Chances at all angles, (angles, views), of the lanes' views.
  void take(const float* chances, VecF VecC::* part) {
    const index_t row = mix_.chances.shape[3];
    const bool together = count_ == kLanes && views_[kLanes - 1] - views_[0] == kLanes - 1;
    for (VecC& value : spectrum_) {
      VecF& lanes = value.*part;
      if (together) {
        lanes = load<VecF>(chances + views_[0]);
      } else {
        lanes = VecF{};
        for (int l = 0; l < count_; ++l)
          lanes[l] = chances[views_[l]];
      }
      chances += row;
    }
  }

  const PoseMix& mix_;
  index_t n_orders_, n_rings_;
  ShortFft fft_;
  AlignedVector<VecC> spectrum_, work_, sum_;
  const std::int32_t* views_ = nullptr;
  int count_ = 0;
};

} // namespace

void score_poses(const PoseTerms& terms, View<float, 4> scores) {
  const index_t n = terms.orders.shape[1], n_shifts = terms.orders.shape[2];
  const bool own = terms.views.shape[1] > 1;
  ViewLanes lanes(terms.views);
  // sums over rings of four shifts stay in registers
  ShiftScores<2> four(terms);
  ShiftScores<1> two(terms);
  for (index_t i = 0; i < n; ++i) {
    if (own || i == 0)
      lanes.pack(i);
    index_t s = 0;
    for (; s + 2 < n_shifts; s += 4)
      score_shifts(four, lanes, i, s, scores);
    if (s < n_shifts)
      score_shifts(two, lanes, i, s, scores);
  }
}

void chances_of(View<float, 4> scores, float least, View<double, 1> top, View<float, 3> sums) {
  const auto [n, n_shifts, n_angles, n_views] = scores.shape;
  std::fill(sums.data, sums.data + sums.size(), 0.0f);
  for (index_t i = 0; i < n; ++i) {
    const float best = highest(scores.item(i), n_shifts * n_angles * n_views);
    top(i) = double(best);
    for (index_t s = 0; s < n_shifts; ++s)
      for (index_t a = 0; a < n_angles; ++a)
        exponentiate(&scores(i, s, a, 0), n_views, best, least, &sums(i, s, 0));
  }
}

void mix_poses(const PoseMix& mix, View<complex_t, 4> mixed) {
  const index_t n = mix.chances.shape[0], groups = mixed.shape[1], n_seen = mixed.shape[2];
  ViewMix some(mix);
  for (index_t g = 0; g < groups; ++g)
    for (index_t begin = 0; begin < n_seen; begin += kLanes) {
      some.begin(mix.seen.data + begin, int(std::min<index_t>(kLanes, n_seen - begin)));
      for (index_t i = g * n / groups; i < (g + 1) * n / groups; ++i)
        some.add(i);
      some.write(g, begin, mixed);
    }
}

} // namespace mapsort::inline MAPSORT_ISA
