#include "mapsort/alignment.hpp"

#include "mapsort/ctf.hpp"
#include "mapsort/pair_product.hpp"
#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"
#include "mapsort/vector_math.hpp"

#include <algorithm> // for std::find
#include <utility>   // for std::pair

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Geometry of the polar points in ring lanes, shared by all particles.
struct PolarPoints {
  AlignedVector<VecF> kx, ky; // Fourier pixels of the box; (n_blocks * half)

  PolarPoints(const PolarGrid& grid, int n_blocks)
      : kx(n_blocks * grid.n_angles / 2), ky(kx.size()) {
    const index_t half = grid.n_angles / 2;
    for (index_t ring = 0; ring < grid.n_rings; ++ring)
      for (index_t j = 0; j < half; ++j) {
        const double k = double(grid.first_ring + ring);
        const double angle = 2.0 * kPi * double(j) / double(grid.n_angles);
        const index_t at = ring / kLanes * half + j;
        kx[at][ring % kLanes] = static_cast<float>(k * std::cos(angle));
        ky[at][ring % kLanes] = static_cast<float>(k * std::sin(angle));
      }
  }
};

/// Phase factors exp(-2 pi i k.o / box) of one origin at all polar points.
void shift_phases(const PolarPoints& points, index_t box, float ox, float oy, VecC* out) {
  const float turn = static_cast<float>(-2.0 * kPi / double(box));
  for (std::size_t i = 0; i < points.kx.size(); ++i)
    sin_cos(turn * (points.kx[i] * ox + points.ky[i] * oy), out[i].im, out[i].re);
}

/// What all particles of a call share.
struct Setting {
  const ReferenceBank& bank;
  const ParticleBatch& particles;
  const PolarLayout& layout;
  PolarSampler sampler;
  RingTransform transform;
  PolarPoints points;

  Setting(const ReferenceBank& references, const ParticleBatch& batch)
      : bank(references), particles(batch), layout(references.layout()),
        sampler(layout.grid, batch.scale, batch.oversampling), transform(layout),
        points(layout.grid, transform.n_blocks()) {
    require(batch.ring_weight.shape[0] == layout.grid.n_rings,
            "ring_weight: expected one value per ring of the bank");
    require(batch.ctf.shape[0] == batch.spectra.shape[0] && batch.ctf.shape[1] == 7,
            "ctf: expected shape (n, 7)");
    require_padded(batch.spectra, batch.scale, references.box());
    require(batch.apix > 0.0, "apix: expected a positive pixel size");
  }
};

/// One particle on the polar grid, and one thread's memory for working on it.
class PolarParticle {
public:
  explicit PolarParticle(const Setting& setting)
      : setting_(setting), fft_(setting.transform.make_scratch()),
        window_(window_shape2(setting.sampler.radius())[0] *
                window_shape2(setting.sampler.radius())[1]),
        weighted_(setting.points.kx.size()), shifted_(weighted_.size()),
        ring_ctf2_(setting.layout.grid.n_rings), transfer_(setting.layout.grid.n_angles / 2) {}

  /// Sample particle i, multiply by its CTF, the noise weight and the ring's area.
  void take(index_t i) {
    const ParticleBatch& batch = setting_.particles;
    const PolarGrid& grid = setting_.layout.grid;
    const View<complex_t, 2> window{window_.data(), window_shape2(setting_.sampler.radius())};
    gather_window({batch.spectra.item(i), {batch.spectra.shape[1], batch.spectra.shape[2]}},
                  window);
    setting_.sampler.sample({window.data, window.shape}, weighted_.data());
    const Normalisation how = setting_.bank.normalisation();
    normalise(how, grid, weighted_.data());
    const ContrastTransfer ctf(batch.ctf.item(i));
    for (index_t ring = 0; ring < grid.n_rings; ++ring) {
      const float weight =
          static_cast<float>(2.0 * kPi * double(grid.first_ring + ring)) * batch.ring_weight(ring);
      const float ctf2 = transfer_ring(ctf, ring);
      // the CTF belongs to the reference: it is normalised as the reference's terms are
      const float scale =
          how == Normalisation::rings ? 1.0f / std::sqrt(std::max(ctf2, 1e-12f)) : 1.0f;
      ring_ctf2_[ring] = how == Normalisation::none ? weight * ctf2 : weight;
      multiply_ring(ring, weight * scale, how == Normalisation::phases);
    }
  }

  const AlignedVector<VecC>& weighted() const { return weighted_; }

  /// Coefficients of samples (same layout as weighted()): store(entry, re, im).
  template <class Store> void coefficients(const VecC* samples, Store store) {
    setting_.transform.coefficients(samples, fft_, store);
  }

  /// Coefficients of the particle times a factor per polar point, into one row of copies.
  void shifted_copy(const VecC* phases, ShiftedCopies& copies, int row) {
    for (std::size_t i = 0; i < weighted_.size(); ++i)
      shifted_[i] = weighted_[i] * phases[i];
    coefficients(shifted_.data(), [&](int entry, float re, float im) {
      copies.real(entry)[row] = re;
      copies.imaginary(entry)[row] = im;
    });
  }

  /// sum_k w C^2 |P|^2 over the Fourier plane; C^2 enters by its mean over each ring.
  float norm(const float* ring_power) const {
    float sum = 0.0f;
    for (std::size_t ring = 0; ring < ring_ctf2_.size(); ++ring)
      sum += ring_ctf2_[ring] * ring_power[ring];
    return sum;
  }

private:
  /// CTF on one ring, kept for multiply_ring; returns the mean of its square.
  float transfer_ring(const ContrastTransfer& ctf, index_t ring) {
    const float to_inverse_ang =
        static_cast<float>(1.0 / (double(setting_.bank.box()) * setting_.particles.apix));
    const index_t half = index_t(transfer_.size());
    double sum = 0.0;
    for (index_t j = 0; j < half; ++j) {
      const index_t at = ring / kLanes * half + j;
      const float c = ctf(setting_.points.kx[at][ring % kLanes] * to_inverse_ang,
                          setting_.points.ky[at][ring % kLanes] * to_inverse_ang);
      transfer_[j] = c;
      sum += double(c) * c;
    }
    return static_cast<float>(sum / double(half));
  }

  /// Multiply one ring of the particle by a factor and the CTF (or its sign).
  void multiply_ring(index_t ring, float factor, bool sign_only) {
    const index_t half = index_t(transfer_.size());
    const int lane = int(ring % kLanes);
    for (index_t j = 0; j < half; ++j) {
      const float c = sign_only ? std::copysign(1.0f, transfer_[j]) : transfer_[j];
      VecC& point = weighted_[ring / kLanes * half + j];
      point.re[lane] *= factor * c;
      point.im[lane] *= factor * c;
    }
  }

  const Setting& setting_;
  RingTransform::Scratch fft_;
  std::vector<complex_t> window_;
  AlignedVector<VecC> weighted_, shifted_;
  std::vector<float> ring_ctf2_, transfer_;
};

} // namespace

void search_pairs(const ReferenceBank& bank, const ParticleBatch& particles,
                  View<const float, 2> origins, const Freedom& freedom, const PairResults& results,
                  int n_threads) {
  const Setting setting(bank, particles);
  const index_t n = particles.spectra.shape[0], n_shifts = origins.shape[0];
  require(n_shifts >= 1, "origins: expected at least one shift");
  const std::size_t n_points = setting.points.kx.size();
  AlignedVector<VecC> phases(n_shifts * n_points);
  parallel_for(n_shifts, n_threads, [&](index_t s) {
    shift_phases(setting.points, bank.box(), origins(s, 0), origins(s, 1),
                 phases.data() + s * n_points);
  });

  const index_t n_blocks = (bank.size() + kLanes - 1) / kLanes;
  const std::size_t block_size = 2 * std::size_t(setting.layout.n_entries());
  AlignedVector<VecF> packed(n_blocks * block_size);
  parallel_for(n_blocks, n_threads, [&](index_t block) {
    LaneBlock lanes(bank);
    std::int32_t ids[kLanes];
    const int count = std::min<int>(kLanes, int(bank.size() - block * kLanes));
    for (int lane = 0; lane < count; ++lane)
      ids[lane] = std::int32_t(block * kLanes + lane);
    lanes.pack(bank, ids, count);
    std::copy_n(lanes.data(), block_size, packed.data() + block * block_size);
  });

  struct Scratch {
    PolarParticle particle;
    ShiftedCopies copies;
    PairProduct product;
  };
  const auto make_scratch = [&] {
    return Scratch{PolarParticle(setting), ShiftedCopies(setting.layout, int(n_shifts)),
                   PairProduct(setting.layout)};
  };
  parallel_for(n, n_threads, make_scratch, [&](index_t i, Scratch& scratch) {
    scratch.particle.take(i);
    for (index_t s = 0; s < n_shifts; ++s)
      scratch.particle.shifted_copy(phases.data() + s * n_points, scratch.copies, int(s));
    for (index_t block = 0; block < n_blocks; ++block) {
      const LaneBest best = scratch.product.best(scratch.copies, int(n_shifts),
                                                 packed.data() + block * block_size, freedom);
      for (int lane = 0; lane < kLanes && block * kLanes + lane < bank.size(); ++lane) {
        const index_t r = block * kLanes + lane;
        results.cross(i, r) = best.value[lane];
        results.code(i, r) = best.code[lane];
        results.norm(i, r) = scratch.particle.norm(bank.ring_power(r));
      }
    }
  });
}

void search_candidates(const ReferenceBank& bank, const ParticleBatch& particles, double step,
                       int reach, int max_nodes, double max_origin, const Freedom& freedom,
                       const Candidates& candidates, int n_threads) {
  require(step > 0.0 && max_origin >= 0.0, "step and max_origin: expected positive");
  require(reach >= 0 && max_nodes >= 1, "reach and max_nodes: expected at least 0 and 1");
  const Setting setting(bank, particles);
  const index_t n = particles.spectra.shape[0], n_candidates = candidates.reference.shape[1];
  const int n_angles = setting.layout.n_rotations;
  const int extent = static_cast<int>(std::floor(max_origin / step));
  const std::size_t n_points = setting.points.kx.size();
  // Phases of a lattice node are products of a factor for its column and one for its row.
  AlignedVector<VecC> column(n_points * (2 * extent + 1)), row(column.size());
  for (int a = -extent; a <= extent; ++a) {
    const float shift = static_cast<float>(a * step);
    shift_phases(setting.points, bank.box(), shift, 0.0f, column.data() + (a + extent) * n_points);
    shift_phases(setting.points, bank.box(), 0.0f, shift, row.data() + (a + extent) * n_points);
  }

  using Node = std::pair<int, int>;
  struct Scratch {
    PolarParticle particle;
    ShiftedCopies copies;
    PairProduct product;
    LaneBlock block;
    AlignedVector<VecC> phases;
    std::vector<Node> nodes;
  };
  const auto make_scratch = [&] {
    return Scratch{PolarParticle(setting),        ShiftedCopies(setting.layout, max_nodes),
                   PairProduct(setting.layout),   LaneBlock(bank),
                   AlignedVector<VecC>(n_points), {}};
  };
  const auto clamp = [extent](int a) { return std::min(std::max(a, -extent), extent); };

  parallel_for(n, n_threads, make_scratch, [&](index_t i, Scratch& scratch) {
    auto& nodes = scratch.nodes;
    nodes.clear();
    for (index_t c = 0; c < n_candidates && int(nodes.size()) < max_nodes; ++c) {
      if (candidates.reference(i, c) < 0)
        continue;
      const int a0 = clamp(int(std::lround(candidates.origin(i, c, 0) / step)));
      const int b0 = clamp(int(std::lround(candidates.origin(i, c, 1) / step)));
      for (int db = -reach; db <= reach; ++db)
        for (int da = -reach; da <= reach; ++da) {
          const Node node{clamp(a0 + da), clamp(b0 + db)};
          if (int(nodes.size()) < max_nodes &&
              std::find(nodes.begin(), nodes.end(), node) == nodes.end())
            nodes.push_back(node);
        }
    }
    scratch.particle.take(i);
    for (std::size_t s = 0; s < nodes.size(); ++s) {
      const VecC* x = column.data() + (nodes[s].first + extent) * n_points;
      const VecC* y = row.data() + (nodes[s].second + extent) * n_points;
      for (std::size_t p = 0; p < n_points; ++p)
        scratch.phases[p] = x[p] * y[p];
      scratch.particle.shifted_copy(scratch.phases.data(), scratch.copies, int(s));
    }
    std::int32_t ids[kLanes], slots[kLanes];
    int count = 0;
    const auto flush = [&] {
      if (count == 0)
        return;
      scratch.block.pack(bank, ids, count);
      const LaneBest best =
          scratch.product.best(scratch.copies, int(nodes.size()), scratch.block.data(), freedom);
      for (int lane = 0; lane < count; ++lane) {
        const std::int32_t code = best.code[lane];
        const Node node = nodes[code / (2 * n_angles)];
        const index_t c = slots[lane];
        candidates.cross(i, c) = best.value[lane];
        candidates.norm(i, c) = scratch.particle.norm(bank.ring_power(ids[lane]));
        candidates.alpha(i, c) = static_cast<float>(2.0 * kPi * (code / 2 % n_angles) / n_angles);
        candidates.mirror(i, c) = code % 2;
        candidates.origin(i, c, 0) = static_cast<float>(node.first * step);
        candidates.origin(i, c, 1) = static_cast<float>(node.second * step);
      }
      count = 0;
    };
    for (index_t c = 0; c < n_candidates; ++c) {
      const std::int32_t reference = candidates.reference(i, c);
      if (reference < 0)
        continue;
      require(reference < bank.size(), "reference: index beyond the bank");
      ids[count] = reference;
      slots[count++] = std::int32_t(c);
      if (count == kLanes)
        flush();
    }
    flush();
  });
}

namespace {

/// f and its derivatives with respect to (alpha, ox, oy) at one pose.
struct Local {
  double value = 0.0, gradient[3]{}, hessian[3][3]{};
};

/// f and its derivatives around one pose of a particle against one reference.
///
/// Shifting the origin multiplies the particle's transform by exp(-2 pi i k.o / box); its
/// derivatives bring factors -2 pi i kx / box and -2 pi i ky / box. In angular orders kx = k
/// cos(phi) and ky = k sin(phi) couple neighbours, so with a = 2 pi k / box all derivatives follow
/// from the orders Y_m themselves:
///   d/dx: -i a/2 (Y_{m-1} + Y_{m+1})          d/dy: -a/2 (Y_{m-1} - Y_{m+1})
///   xx: -a^2/4 (Y_{m-2} + 2 Y_m + Y_{m+2})    yy: a^2/4 (Y_{m-2} - 2 Y_m + Y_{m+2})
///   xy: i a^2/4 (Y_{m-2} - Y_{m+2})
class PoseSurface {
public:
  explicit PoseSurface(const Setting& setting)
      : setting_(setting), n_orders_(setting.layout.max_order() + 1),
        shifted_(setting.points.kx.size()), phases_(shifted_.size()),
        fft_(setting.transform.make_scratch()), particle_(setting.transform.n_blocks() * stride()),
        reference_(setting.transform.n_blocks() * n_orders_) {}

  /// Take reference r (its mirror image with conjugate coefficients).
  void take_reference(const ReferenceBank& bank, std::int32_t r, bool mirror) {
    const PolarLayout& layout = setting_.layout;
    const float* re = bank.coefficients(r);
    const float* im = re + layout.n_entries();
    const float sign = mirror ? -1.0f : 1.0f;
    std::fill(reference_.begin(), reference_.end(), VecC{});
    for (int m = 0; m < n_orders_; ++m) {
      const float share = m == 0 ? 1.0f : 2.0f; // for the order -m
      for (int i = 0; i < layout.n_rings_of(m); ++i) {
        const int ring = layout.first_ring_of[m] + i, e = layout.first_entry[m] + i;
        VecC& place = reference_[ring / kLanes * n_orders_ + m];
        place.re[ring % kLanes] = share * re[e];
        place.im[ring % kLanes] = share * sign * im[e];
      }
    }
  }

  /// f and derivatives at (alpha, ox, oy).
  Local at(const PolarParticle& particle, const double pose[3]) {
    move_to(particle, float(pose[1]), float(pose[2]));
    rotate(pose[0]);
    Sums sums;
    for (int block = 0; block < setting_.transform.n_blocks(); ++block)
      add_block(block, sums);
    return sums.local();
  }

private:
  /// Order m of a block stands at [m + kBelow]: two negative orders below, two more above.
  static constexpr int kBelow = 2;
  int stride() const { return n_orders_ + 2 * kBelow; }

  struct Sums {
    VecF f{}, a{}, aa{}, x{}, y{}, ax{}, ay{}, xx{}, xy{}, yy{};

    static double total(VecF v) {
      double sum = 0.0;
      for (int lane = 0; lane < kLanes; ++lane)
        sum += v[lane];
      return sum;
    }
    Local local() const {
      Local result;
      result.value = total(f);
      const double g[3] = {total(a), total(x), total(y)};
      const double xy_ = total(xy), ax_ = total(ax), ay_ = total(ay);
      const double h[3][3] = {{total(aa), ax_, ay_}, {ax_, total(xx), xy_}, {ay_, xy_, total(yy)}};
      std::copy(g, g + 3, result.gradient);
      std::copy(&h[0][0], &h[0][0] + 9, &result.hessian[0][0]);
      return result;
    }
  };

  static VecF dot(VecC y, VecC q) { return y.re * q.re + y.im * q.im; } // Re[conj(y) q]

  void move_to(const PolarParticle& particle, float ox, float oy) {
    shift_phases(setting_.points, setting_.bank.box(), ox, oy, phases_.data());
    for (std::size_t i = 0; i < shifted_.size(); ++i)
      shifted_[i] = particle.weighted()[i] * phases_[i];
    const int available = std::min(n_orders_ + kBelow, setting_.transform.half());
    for (int block = 0; block < setting_.transform.n_blocks(); ++block) {
      VecC* y = particle_.data() + block * stride() + kBelow;
      setting_.transform.orders_of_block(shifted_.data(), block, fft_, available, y);
      for (int m = available; m < n_orders_ + kBelow; ++m)
        y[m] = VecC{};
      y[-1] = {-y[1].re, y[1].im}; // Y_{-m} = (-1)^m conj Y_m
      y[-2] = {y[2].re, -y[2].im};
    }
  }

  /// Factors exp(-i m alpha).
  void rotate(double alpha) {
    turn_.resize(2 * n_orders_);
    for (int m = 0; m < n_orders_; ++m) {
      turn_[2 * m] = float(std::cos(m * alpha));
      turn_[2 * m + 1] = float(-std::sin(m * alpha));
    }
  }

  void add_block(int block, Sums& sums) const {
    const VecC* y = particle_.data() + block * stride() + kBelow;
    const VecC* p = reference_.data() + block * n_orders_;
    VecF a{};
    for (int lane = 0; lane < kLanes; ++lane)
      a[lane] = float(2.0 * kPi * double(setting_.layout.grid.first_ring + block * kLanes + lane) /
                      double(setting_.bank.box()));
    const VecF half_a = 0.5f * a, quarter_a2 = half_a * half_a;
    for (int m = 0; m < n_orders_; ++m) {
      const VecC q = times(p[m], turn_[2 * m], turn_[2 * m + 1]);
      const VecC q1 = float(m) * times_minus_i(q);
      const VecC near = y[m - 1] + y[m + 1], far = y[m - 2] + y[m + 2];
      const VecC near_difference = y[m - 1] - y[m + 1], far_difference = y[m - 2] - y[m + 2];
      const VecC dx = {half_a * near.im, -half_a * near.re};
      const VecC dy = {-half_a * near_difference.re, -half_a * near_difference.im};
      sums.f += dot(y[m], q);
      sums.a += dot(y[m], q1);
      sums.aa -= float(m) * float(m) * dot(y[m], q);
      sums.x += dot(dx, q);
      sums.y += dot(dy, q);
      sums.ax += dot(dx, q1);
      sums.ay += dot(dy, q1);
      sums.xx -= quarter_a2 * (dot(far, q) + 2.0f * dot(y[m], q));
      sums.yy += quarter_a2 * (dot(far, q) - 2.0f * dot(y[m], q));
      sums.xy += quarter_a2 * (far_difference.re * q.im - far_difference.im * q.re);
    }
  }

  const Setting& setting_;
  int n_orders_;
  AlignedVector<VecC> shifted_, phases_;
  RingTransform::Scratch fft_;
  AlignedVector<VecC> particle_, reference_;
  std::vector<float> turn_;
};

/// Newton step towards the maximum; where the surface is not concave, steps along the gradient
/// scaled by the diagonal. Cholesky of -H decides.
void ascent_step(const Local& local, double step[3]) {
  double l[3][3]{}, y[3];
  bool concave = true;
  for (int i = 0; i < 3 && concave; ++i)
    for (int j = 0; j <= i; ++j) {
      double sum = -local.hessian[i][j];
      for (int k = 0; k < j; ++k)
        sum -= l[i][k] * l[j][k];
      if (i == j) {
        concave = sum > 1e-9 * std::abs(local.hessian[i][i]);
        l[i][i] = concave ? std::sqrt(sum) : 0.0;
      } else {
        l[i][j] = sum / l[j][j];
      }
    }
  if (!concave) {
    for (int i = 0; i < 3; ++i)
      step[i] = local.gradient[i] / std::max(std::abs(local.hessian[i][i]), 1e-12);
    return;
  }
  for (int i = 0; i < 3; ++i) {
    y[i] = local.gradient[i];
    for (int k = 0; k < i; ++k)
      y[i] -= l[i][k] * y[k];
    y[i] /= l[i][i];
  }
  for (int i = 2; i >= 0; --i) {
    step[i] = y[i];
    for (int k = i + 1; k < 3; ++k)
      step[i] -= l[k][i] * step[k];
    step[i] /= l[i][i];
  }
}

/// Leave out what is not free, so that Newton's step is that of the rest.
void hold_fixed(const Freedom& freedom, Local& local) {
  const bool free[3] = {freedom.rotate, freedom.translate, freedom.translate};
  for (int i = 0; i < 3; ++i) {
    if (free[i])
      continue;
    local.gradient[i] = 0.0;
    for (int j = 0; j < 3; ++j)
      local.hessian[i][j] = local.hessian[j][i] = i == j ? -1.0 : 0.0;
  }
}

/// Longest steps allowed: what a search lattice leaves open.
constexpr double kMaxOriginStep = 1.0; // pixels
constexpr double kOriginTolerance = 0.005;
constexpr double kAngleTolerance = 5e-4; // radians: 0.03 degrees

} // namespace

void refine_candidates(const ReferenceBank& bank, const ParticleBatch& particles, int iterations,
                       double max_origin, const Freedom& freedom, const Candidates& candidates,
                       int n_threads) {
  const Setting setting(bank, particles);
  const double max_angle_step = 2.0 * kPi / double(setting.layout.n_rotations);
  struct Scratch {
    PolarParticle particle;
    PoseSurface surface;
  };
  const auto make_scratch = [&] { return Scratch{PolarParticle(setting), PoseSurface(setting)}; };
  const auto refine = [&](Scratch& scratch, index_t i, index_t c) {
    const std::int32_t r = candidates.reference(i, c);
    require(r < bank.size(), "reference: index beyond the bank");
    const bool mirror = candidates.mirror(i, c) != 0;
    double pose[3] = {candidates.alpha(i, c), candidates.origin(i, c, 0),
                      candidates.origin(i, c, 1)};
    scratch.surface.take_reference(bank, r, mirror);
    const auto evaluate = [&](const double at[3]) {
      Local local = scratch.surface.at(scratch.particle, at);
      hold_fixed(freedom, local);
      return local;
    };
    Local here = evaluate(pose);
    for (int iteration = 0; iteration < iterations; ++iteration) {
      double step[3];
      ascent_step(here, step);
      step[0] = std::min(std::max(step[0], -max_angle_step), max_angle_step);
      for (int d = 1; d < 3; ++d)
        step[d] = std::min(std::max(step[d], -kMaxOriginStep), kMaxOriginStep);
      bool moved = false;
      for (double fraction : {1.0, 0.5, 0.25}) {
        double trial[3];
        for (int d = 0; d < 3; ++d)
          trial[d] = pose[d] + fraction * step[d];
        if (std::abs(trial[1]) > max_origin || std::abs(trial[2]) > max_origin)
          continue;
        const Local there = evaluate(trial);
        if (there.value > here.value) {
          here = there;
          std::copy(trial, trial + 3, pose);
          moved = true;
          break;
        }
      }
      if (!moved || (std::abs(step[0]) < kAngleTolerance && std::abs(step[1]) < kOriginTolerance &&
                     std::abs(step[2]) < kOriginTolerance))
        break;
    }
    candidates.alpha(i, c) = static_cast<float>(pose[0]);
    candidates.origin(i, c, 0) = static_cast<float>(pose[1]);
    candidates.origin(i, c, 1) = static_cast<float>(pose[2]);
    candidates.cross(i, c) = static_cast<float>(here.value);
    candidates.norm(i, c) = scratch.particle.norm(bank.ring_power(r));
  };
  parallel_for(particles.spectra.shape[0], n_threads, make_scratch,
               [&](index_t i, Scratch& scratch) {
                 scratch.particle.take(i);
                 for (index_t c = 0; c < candidates.reference.shape[1]; ++c)
                   if (candidates.reference(i, c) >= 0)
                     refine(scratch, i, c);
               });
}

} // namespace mapsort::inline MAPSORT_ISA
