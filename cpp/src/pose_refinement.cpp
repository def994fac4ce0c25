#include "mapsort/alignment.hpp"
#include "mapsort/newton_step.hpp"
#include "mapsort/parallel.hpp"
#include "mapsort/polar_particle.hpp"
#include "mapsort/vector_math.hpp"

#include <algorithm> // for std::clamp, std::copy, std::copy_n

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// f and its derivatives with respect to (alpha, ox, oy) at one pose.
struct Local {
  double value = 0.0, gradient[3]{}, hessian[3][3]{};

  /// What a step adds to f, to second order.
  double gain_of(const double step[3]) const {
    double gain = 0.0;
    for (int i = 0; i < 3; ++i) {
      gain += gradient[i] * step[i];
      for (int j = 0; j < 3; ++j)
        gain += 0.5 * step[i] * hessian[i][j] * step[j];
    }
    return gain;
  }
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
  explicit PoseSurface(const PolarSetting& setting)
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
    const RingTransform& transform = setting_.transform;
    for (int block = 0; block < transform.n_blocks(); ++block) {
      VecC* y = particle_.data() + block * stride() + kBelow;
      const int wanted = transform.n_orders(block) + kBelow;
      const int available = std::min(wanted, transform.half());
      transform.orders_of_block(shifted_.data(), block, fft_, available,
                                [&](int m, VecC order) { y[m] = order; });
      for (int m = available; m < wanted; ++m)
        y[m] = VecC{};
      y[-1] = {-y[1].re, y[1].im}; // Y_{-m} = (-1)^m conj Y_m
      y[-2] = {y[2].re, -y[2].im};
    }
  }

  /// Factors exp(-i m alpha).
  void rotate(double alpha) {
    turn_.resize(n_orders_);
    for (int m = 0; m < n_orders_; ++m)
      turn_[m] = {float(std::cos(m * alpha)), float(-std::sin(m * alpha))};
  }

  void add_block(int block, Sums& sums) const {
    const VecC* y = particle_.data() + block * stride() + kBelow;
    const VecC* p = reference_.data() + block * n_orders_;
    VecF a{};
    for (int lane = 0; lane < kLanes; ++lane)
      a[lane] = float(2.0 * kPi * double(setting_.layout.grid.first_ring + block * kLanes + lane) /
                      double(setting_.bank.box()));
    const VecF half_a = 0.5f * a, quarter_a2 = half_a * half_a;
    for (int m = 0; m < setting_.transform.n_orders(block); ++m) {
      const VecC q = times(p[m], turn_[m]);
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

  const PolarSetting& setting_;
  int n_orders_;
  AlignedVector<VecC> shifted_, phases_;
  RingTransform::Scratch fft_;
  AlignedVector<VecC> particle_, reference_;
  std::vector<Turn> turn_;
};

/// A step towards the maximum. Where the surface is concave, which Cholesky of -H decides, it is
/// Newton's; elsewhere it goes along the gradient, scaled by the diagonal.
struct Ascent {
  double step[3];
  bool newton;

  explicit Ascent(const Local& local) {
    Cholesky<3> curvature;
    newton = true;
    for (int i = 0; i < 3 && newton; ++i)
      for (int j = 0; j <= i; ++j)
        newton = curvature.add(i, j, -local.hessian[i][j], 1e-9 * std::abs(local.hessian[i][i]));
    std::copy_n(local.gradient, 3, step);
    if (newton) {
      curvature.solve_lower(step);
      curvature.solve_upper(step);
    } else {
      for (int i = 0; i < 3; ++i)
        step[i] /= std::max(std::abs(local.hessian[i][i]), 1e-12);
    }
  }

  void limit(double angle, double origin) {
    step[0] = std::clamp(step[0], -angle, angle);
    for (int d = 1; d < 3; ++d)
      step[d] = std::clamp(step[d], -origin, origin);
  }

  bool within(double angle, double origin) const {
    return std::abs(step[0]) < angle && std::abs(step[1]) < origin && std::abs(step[2]) < origin;
  }
};

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

constexpr double kOriginTolerance = 0.005; // pixels
constexpr double kAngleTolerance = 5e-4;   // radians: 0.03 degrees
/// Newton's step of at most so many tolerances is the last, and taken without a look at what it
/// brings: what it leaves falls with its square.
constexpr double kLastStep = 10.0;

} // namespace

void refine_candidates(const Alignment& alignment, const ParticleBatch& particles, int iterations,
                       double max_origin, const Candidates& candidates, int n_threads) {
  const ReferenceBank& bank = alignment.bank;
  require_known(candidates.reference, bank);
  const PolarSetting setting(alignment, particles);
  const double max_angle_step = 2.0 * kPi / double(setting.layout.n_rotations);
  struct Scratch {
    PolarParticle particle;
    PoseSurface surface;
  };
  const auto make_scratch = [&] { return Scratch{PolarParticle(setting), PoseSurface(setting)}; };
  const auto refine = [&](Scratch& scratch, index_t i, index_t c) {
    const std::int32_t r = candidates.reference(i, c);
    const bool mirror = candidates.mirror(i, c) != 0;
    double pose[3] = {candidates.alpha(i, c), candidates.origin(i, c, 0),
                      candidates.origin(i, c, 1)};
    scratch.surface.take_reference(bank, r, mirror);
    const auto evaluate = [&](const double at[3]) {
      Local local = scratch.surface.at(scratch.particle, at);
      hold_fixed(alignment.freedom, local);
      return local;
    };
    Local here = evaluate(pose);
    for (int iteration = 0; iteration < iterations; ++iteration) {
      Ascent ascent(here);
      ascent.limit(max_angle_step, kMaxOriginStep);
      const auto moved_by = [&](double fraction, double trial[3]) {
        for (int d = 0; d < 3; ++d)
          trial[d] = pose[d] + fraction * ascent.step[d];
        return std::abs(trial[1]) <= max_origin && std::abs(trial[2]) <= max_origin;
      };
      double trial[3];
      if (ascent.newton &&
          ascent.within(kLastStep * kAngleTolerance, kLastStep * kOriginTolerance) &&
          moved_by(1.0, trial)) {
        here.value += here.gain_of(ascent.step);
        std::copy_n(trial, 3, pose);
        break;
      }
      bool moved = false;
      for (double fraction : {1.0, 0.5, 0.25}) {
        if (!moved_by(fraction, trial))
          continue;
        const Local there = evaluate(trial);
        if (there.value > here.value) {
          here = there;
          std::copy(trial, trial + 3, pose);
          moved = true;
          break;
        }
      }
      if (!moved || ascent.within(kAngleTolerance, kOriginTolerance))
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
