#include "mapsort/class_average.hpp"

#include "mapsort/ctf.hpp"
#include "mapsort/fourier_plane.hpp"
#include "mapsort/interpolation.hpp"
#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

#include <vector> // for std::vector

namespace mapsort::inline MAPSORT_ISA {

namespace {

struct PlanePoint {
  index_t offset;
  int shell;
  float kx, ky, multiplicity;
};

/// Frequencies of the rfft half plane within max_radius; a column kx > 0 stands for its mates, too.
std::vector<PlanePoint> plane_points(index_t box, double max_radius) {
  std::vector<PlanePoint> points;
  each_frequency(box, [&](index_t kx, index_t ky, index_t offset) {
    const double k = std::sqrt(double(kx * kx + ky * ky));
    if (k <= max_radius)
      points.push_back({offset, int(std::lround(k)), float(kx), float(ky), multiplicity(kx)});
  });
  return points;
}

/// Phase factors exp(i (x kx + y ky)) of the half plane.
class PlanePhases {
public:
  PlanePhases(index_t box, float x, float y)
      : middle_(int(box) / 2), column_(middle_ + 1), row_(2 * middle_ + 1) {
    for (int k = 0; k <= middle_; ++k)
      column_[k] = std::polar(1.0f, x * float(k));
    for (int k = -middle_; k <= middle_; ++k)
      row_[k + middle_] = std::polar(1.0f, y * float(k));
  }

  complex_t times(complex_t value, int kx, int ky) const {
    return product(value, product(column_[kx], row_[ky + middle_]));
  }

private:
  /// a b without the library's care for infinities.
  static complex_t product(complex_t a, complex_t b) {
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
  }

  int middle_;
  std::vector<complex_t> column_, row_;
};

} // namespace

void accumulate_classes(const ParticleBatch& particles, const Placement& placement,
                        View<const complex_t, 3> references, const ClassSums& sums,
                        const ShellSums& shells, int n_threads) {
  const auto& [spectra, ctf, scale, oversampling, apix] = particles;
  const double max_radius = sums.max_radius;
  const index_t box = sums.numerator.shape[1];
  require(sums.numerator.shape[2] == box / 2 + 1,
          "numerator: expected shape (rows, box, box//2+1)");
  require_padded(spectra, scale, box);
  require(max_radius >= 0.0 && max_radius <= double(box) / 2, "max_radius: expected 0 to box/2");
  const InterpolationKernel<kKernelWidth> kernel(oversampling);
  const index_t radius = window_radius(max_radius * scale);
  const auto points = plane_points(box, max_radius);
  const auto shape = window_shape2(radius);
  const float turn = static_cast<float>(-2.0 * kPi / double(box));
  const float to_inverse_ang = static_cast<float>(1.0 / (double(box) * apix));
  require(std::ceil(max_radius) < double(shells.cross.shape[1]), "shells: too few for max_radius");

  const auto add = [&](index_t entry, index_t row, std::vector<complex_t>& memory) {
    const index_t particle = placement.order(entry);
    const View<complex_t, 2> window{memory.data(), shape};
    gather_window({spectra.item(particle), {spectra.shape[1], spectra.shape[2]}}, window);
    const ImageSampler image({window.data, shape}, kernel);
    const ContrastTransfer transfer(ctf.item(particle));
    const double alpha = placement.alpha(entry);
    const float co = float(std::cos(alpha)), si = float(std::sin(alpha));
    const float flip = placement.mirror(entry) ? -1.0f : 1.0f;
    const float ox = placement.origin(entry, 0), oy = placement.origin(entry, 1);
    // k.o = q.(M R_alpha o): the phase of a point is the product of one for its column and one for
    // its row
    const PlanePhases phases(box, turn * flip * (co * ox + si * oy), turn * (co * oy - si * ox));
    const float weight = placement.weight(entry);
    complex_t* numerator = sums.numerator.item(row);
    float* density = sums.density.item(row);
    const complex_t* reference = references.item(row % references.shape[0]);
    float* image_power = shells.image_power.item(entry);
    float* cross = shells.cross.item(entry);
    float* reference_power = shells.reference_power.item(entry);
    for (const PlanePoint& q : points) {
      // reference frequency q = M R_alpha k, so the particle's is k = R_alpha^T M q
      const float qx = flip * q.kx;
      const float kx = co * qx - si * q.ky, ky = si * qx + co * q.ky;
      const complex_t x =
          phases.times(image(kx * float(scale), ky * float(scale)), int(q.kx), int(q.ky));
      const float c = transfer(kx * to_inverse_ang, ky * to_inverse_ang);
      numerator[q.offset] += weight * c * x;
      density[q.offset] += weight * c * c;
      const complex_t p = c * reference[q.offset];
      image_power[q.shell] += q.multiplicity * std::norm(x);
      cross[q.shell] += q.multiplicity * (x.real() * p.real() + x.imag() * p.imag());
      reference_power[q.shell] += q.multiplicity * std::norm(p);
    }
  };
  parallel_for(
      placement.slot.shape[0], n_threads,
      [&] { return std::vector<complex_t>(shape[0] * shape[1]); },
      [&](index_t s, std::vector<complex_t>& memory) {
        for (index_t entry = placement.slot_start(s); entry < placement.slot_start(s + 1); ++entry)
          add(entry, placement.slot(s), memory);
      });
}

} // namespace mapsort::inline MAPSORT_ISA
