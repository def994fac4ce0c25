#include "mapsort/local_search.hpp"

#include "mapsort/ctf.hpp"
#include "mapsort/newton_step.hpp"
#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"
#include "mapsort/slice_sampler.hpp"

#include <algorithm> // for std::copy_n
#include <limits>    // for std::numeric_limits
#include <vector>    // for std::vector

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Degrees of freedom: rotation about the view's x, y, z [radians], then the origin [pixels].
constexpr int kPose = 5;
/// A step that promises less than this many nats ends the search.
constexpr double kEnough = 0.003;
/// Damping of the first step, and how it changes after good and bad steps.
constexpr double kFirstDamping = 1e-3, kRelax = 0.1, kTighten = 10.0, kMostDamping = 1e6;

/// A frequency of the half plane; one with kx > 0 stands for its mate, too.
struct PlanePoint {
  int kx, ky;
  index_t offset;
  float weight; // of the ring, times how many terms the point stands for
};

std::vector<PlanePoint> weighted_points(index_t box, View<const float, 1> ring_weight) {
  std::vector<PlanePoint> points;
  const index_t n_rings = ring_weight.shape[0];
  each_frequency(box, [&](index_t kx, index_t ky, index_t offset) {
    const index_t ring = std::lround(std::sqrt(double(kx * kx + ky * ky)));
    // radii that round to the last ring but lie beyond it would lead out of the window
    const bool inside = kx * kx + ky * ky <= n_rings * n_rings;
    if (ring >= 1 && inside && ring_weight(ring - 1) > 0.0f)
      points.push_back({int(kx), int(ky), offset, multiplicity(kx) * ring_weight(ring - 1)});
  });
  return points;
}

struct Pose {
  double rotation[9], origin[2];

  /// Turned by the rotation vector step[0..2] in the view, the origin moved by step[3..4].
  Pose moved(const double* step) const {
    Pose result;
    const double angle2 = step[0] * step[0] + step[1] * step[1] + step[2] * step[2];
    const double angle = std::sqrt(angle2);
    // Rodrigues' formula: I + a K + b K^2
    const double a = angle > 1e-8 ? std::sin(angle) / angle : 1.0;
    const double b = angle > 1e-8 ? (1.0 - std::cos(angle)) / angle2 : 0.5;
    const double x = step[0], y = step[1], z = step[2];
    const double turn[9] = {
        1.0 - b * (y * y + z * z), b * x * y - a * z,         b * x * z + a * y,
        b * x * y + a * z,         1.0 - b * (x * x + z * z), b * y * z - a * x,
        b * x * z - a * y,         b * y * z + a * x,         1.0 - b * (x * x + y * y)};
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) {
        result.rotation[3 * i + j] = 0.0;
        for (int k = 0; k < 3; ++k)
          result.rotation[3 * i + j] += turn[3 * i + k] * rotation[3 * k + j];
      }
    for (int d = 0; d < 2; ++d)
      result.origin[d] = origin[d] + step[3 + d];
    return result;
  }
};

/// f, g, their derivatives and the products of the slice's derivatives at one pose.
struct Terms {
  double cross = 0.0, norm = 0.0;
  double cross_slope[kPose]{}, norm_slope[kPose]{}; // of f and g/2
  double information[kPose][kPose]{};               // lower triangle

  double scale(double stiffness) const {
    if (std::isinf(stiffness))
      return 1.0;
    return std::max(cross + stiffness, 0.0) / std::max(norm + stiffness, 1e-300);
  }

  double score(double stiffness) const {
    const double s = scale(stiffness);
    const double prior = std::isinf(stiffness) ? 0.0 : 0.5 * stiffness * (s - 1.0) * (s - 1.0);
    return s * cross - 0.5 * s * s * norm - prior;
  }
};

/// One particle's weighted terms, and one thread's memory for working on it.
template <int W> class PoseSearch {
public:
  PoseSearch(const SliceSampler<W>& sampler, const std::vector<PlanePoint>& points,
             const WindowView& window, const ImageBatch& particles)
      : sampler_(sampler), points_(points), scale_(window.scale), particles_(particles),
        box_(particles.transforms.shape[1]), image_(points.size()), transfer2_(points.size()),
        slice_(points.size()), jets_(points.size()), along_x_(box_ / 2 + 1),
        along_y_(2 * (box_ / 2) + 1) {
    for (std::size_t p = 0; p < points.size(); ++p)
      positions_.push_back({double(points[p].kx), double(points[p].ky), index_t(p)});
  }

  /// Multiply particle i by its CTF and the weights.
  void take(index_t i) {
    const complex_t* transform = particles_.transforms.item(i);
    const ContrastTransfer ctf(particles_.ctf.item(i));
    const double to_inverse_ang = 1.0 / (double(box_) * particles_.apix);
    for (std::size_t p = 0; p < points_.size(); ++p) {
      const PlanePoint& q = points_[p];
      const float c = ctf(float(q.kx * to_inverse_ang), float(q.ky * to_inverse_ang));
      image_[p] = q.weight * c * transform[q.offset];
      transfer2_[p] = q.weight * c * c;
    }
  }

  /// f and g at one pose: a slice without its derivatives takes less than half the time.
  Terms valued(const Pose& pose) {
    const PlaneAxes axes(pose.rotation, scale_);
    sampler_.sample(axes, positions_.data(), index_t(positions_.size()), slice_.data());
    centre(pose);
    Terms terms;
    for (std::size_t p = 0; p < points_.size(); ++p) {
      const Complex value(slice_[p]);
      terms.cross += dot(centred(p), value);
      terms.norm += double(transfer2_[p]) * std::norm(value);
    }
    return terms;
  }

  Terms at(const Pose& pose) {
    const PlaneAxes axes(pose.rotation, scale_);
    double z[3];
    for (int i = 0; i < 3; ++i)
      z[i] = pose.rotation[6 + i] * scale_;
    sampler_.sample(axes, positions_.data(), index_t(positions_.size()), jets_.data());
    centre(pose);
    Terms terms;
    const double turn = 2.0 * kPi / double(box_);
    for (std::size_t p = 0; p < points_.size(); ++p) {
      const SliceJet& jet = jets_[p];
      const double kx = points_[p].kx, ky = points_[p].ky;
      const auto along = [&jet](const double* axis) {
        return axis[0] * Complex(jet.dx) + axis[1] * Complex(jet.dy) + axis[2] * Complex(jet.dz);
      };
      // a rotation by (a, b, c) moves the point read, in the view, by
      // (c ky, -c kx, b kx - a ky)
      const Complex value(jet.value), out = along(z);
      const Complex slope[kPose] = {-ky * out, kx * out, ky * along(axes.x) - kx * along(axes.y),
                                    Complex(0.0, turn * kx) * value,
                                    Complex(0.0, turn * ky) * value};
      const Complex image = centred(p);
      const double c2 = transfer2_[p];
      terms.cross += dot(image, value);
      terms.norm += c2 * std::norm(value);
      for (int i = 0; i < kPose; ++i) {
        terms.cross_slope[i] += dot(image, slope[i]);
        terms.norm_slope[i] += c2 * dot(value, slope[i]);
        for (int j = 0; j <= i; ++j)
          terms.information[i][j] += c2 * dot(slope[i], slope[j]);
      }
    }
    return terms;
  }

  /// Climb from a pose; leave it and its f and g at the best one found.
  Terms climb(Pose& pose, const LocalSearchLimits& limits) {
    if (limits.max_steps == 0)
      return valued(pose);
    Terms here = at(pose);
    double damping = kFirstDamping;
    for (int trial = 0; trial < limits.max_steps && damping < kMostDamping; ++trial) {
      double step[kPose];
      const double promised = damped_step(here, limits.stiffness, damping, step);
      if (!(promised > kEnough))
        break;
      shorten(step, limits);
      Pose next = pose.moved(step);
      for (double& o : next.origin)
        o = std::min(std::max(o, -limits.max_origin), limits.max_origin);
      const Terms there = at(next);
      if (there.score(limits.stiffness) > here.score(limits.stiffness)) {
        pose = next;
        here = there;
        damping *= kRelax;
      } else {
        damping *= kTighten;
      }
    }
    return here;
  }

private:
  using Complex = std::complex<double>;

  /// The phase of a point is the product of one for its column and one for its row.
  void centre(const Pose& pose) {
    const double turn = 2.0 * kPi / double(box_);
    const int middle = int(box_) / 2;
    for (int k = 0; k <= middle; ++k)
      along_x_[k] = std::polar(1.0, -turn * k * pose.origin[0]);
    for (int k = -middle; k <= middle; ++k)
      along_y_[k + middle] = std::polar(1.0, -turn * k * pose.origin[1]);
  }

  /// The particle's weighted term at a point, moved to the centre.
  Complex centred(std::size_t p) const {
    const PlanePoint& q = points_[p];
    return product(image_[p], product(along_x_[q.kx], along_y_[q.ky + int(box_) / 2]));
  }

  static double dot(Complex a, Complex b) { return a.real() * b.real() + a.imag() * b.imag(); }
  /// a b without the library's care for infinities.
  static Complex product(Complex a, Complex b) {
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
  }

  /// (H + damping diag H) step = gradient by Cholesky; returns the gain expected of it.
  static double damped_step(const Terms& terms, double stiffness, double damping, double* step) {
    const double s = terms.scale(stiffness), s2 = s * s;
    const double free =
        std::isinf(stiffness) ? 0.0 : 1.0 / std::max(terms.norm + stiffness, 1e-300);
    Cholesky<kPose> hessian;
    for (int i = 0; i < kPose; ++i)
      for (int j = 0; j <= i; ++j) {
        const double h =
            s2 * (terms.information[i][j] - free * terms.norm_slope[i] * terms.norm_slope[j]);
        const double damped = i == j ? h * (1.0 + damping) : h;
        if (!hessian.add(i, j, damped, 1e-12 * std::abs(h)))
          return 0.0; // the score does not depend on the pose here
      }
    for (int i = 0; i < kPose; ++i)
      step[i] = s * terms.cross_slope[i] - s2 * terms.norm_slope[i];
    hessian.solve_lower(step);
    double gain = 0.0;
    for (int i = 0; i < kPose; ++i)
      gain += 0.5 * step[i] * step[i];
    hessian.solve_upper(step);
    return gain;
  }

  /// Shorten a step as a whole to what the limits allow.
  static void shorten(double* step, const LocalSearchLimits& limits) {
    const double turn = std::sqrt(step[0] * step[0] + step[1] * step[1] + step[2] * step[2]);
    const double move = std::max(std::abs(step[3]), std::abs(step[4]));
    const double factor = std::min(
        {1.0, limits.max_turn / std::max(turn, 1e-300), kMaxOriginStep / std::max(move, 1e-300)});
    for (int i = 0; i < kPose; ++i)
      step[i] *= factor;
  }

  const SliceSampler<W>& sampler_;
  const std::vector<PlanePoint>& points_;
  double scale_;
  const ImageBatch& particles_;
  index_t box_;
  std::vector<PlanePosition> positions_;
  std::vector<complex_t> image_;
  std::vector<float> transfer2_;
  std::vector<complex_t> slice_;
  std::vector<SliceJet> jets_;
  std::vector<Complex> along_x_, along_y_;
};

} // namespace

void search_poses(const WindowView& window, const ImageBatch& particles,
                  const LocalSearchLimits& limits, const PoseCandidates& candidates,
                  int n_threads) {
  const index_t n = particles.transforms.shape[0], box = particles.transforms.shape[1];
  const index_t n_rings = particles.ring_weight.shape[0], halo = halo_of(window.width);
  const index_t radius = (window.data.shape[0] - 1) / 2;
  require(particles.transforms.shape[2] == box / 2 + 1,
          "transforms: expected shape (n, box, box//2+1)");
  require(n_rings >= 1 && 2 * n_rings <= box, "ring_weight: expected 1 to box//2 rings");
  require(window_radius(double(n_rings) * window.scale, halo) <= radius,
          "window: too small for the rings asked for");
  require(window.data.shape == window_shape3(radius, halo), "window: not a window's shape");
  require(particles.apix > 0.0, "apix: expected a positive pixel size");
  require(limits.max_steps >= 0 && limits.max_turn > 0.0 && limits.max_origin >= 0.0 &&
              limits.stiffness >= 0.0,
          "max_steps, max_turn, max_origin, stiffness: expected not negative");
  const auto points = weighted_points(box, particles.ring_weight);
  with_kernel_width(window.width, [&](auto width) {
    const SliceSampler<width> sampler(window.data, window.oversampling);
    parallel_for(
        n, n_threads, [&] { return PoseSearch<width>(sampler, points, window, particles); },
        [&](index_t i, PoseSearch<width>& search) {
          bool taken = false;
          for (index_t c = 0; c < candidates.chosen.shape[1]; ++c) {
            if (candidates.chosen(i, c) == 0)
              continue;
            if (!taken)
              search.take(i);
            taken = true;
            Pose pose;
            std::copy_n(&candidates.rotation(i, c, 0, 0), 9, pose.rotation);
            std::copy_n(&candidates.origin(i, c, 0), 2, pose.origin);
            const Terms best = search.climb(pose, limits);
            std::copy_n(pose.rotation, 9, &candidates.rotation(i, c, 0, 0));
            std::copy_n(pose.origin, 2, &candidates.origin(i, c, 0));
            candidates.cross(i, c) = best.cross;
            candidates.norm(i, c) = best.norm;
          }
        });
  });
}

} // namespace mapsort::inline MAPSORT_ISA
