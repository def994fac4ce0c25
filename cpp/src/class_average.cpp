#include "mapsort/class_average.hpp"

#include "mapsort/ctf.hpp"
#include "mapsort/fourier_plane.hpp"
#include "mapsort/interpolation.hpp"
#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

#include <vector> // for std::vector

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Frequencies (0, ky) to (n - 1, ky) of the rfft half plane.
struct PlaneRow {
  int ky, n;
  index_t offset; // of the first of them in the half plane
};

/// The rows of the half plane within max_radius, and the rounded shell of each of its frequencies.
struct PlaneRows {
  std::vector<PlaneRow> rows;
  std::vector<int> shell; // as the half plane lies in memory

  PlaneRows(index_t box, double max_radius) : shell(box * (box / 2 + 1)) {
    each_frequency(box, [&](index_t kx, index_t ky, index_t offset) {
      const double k = std::sqrt(double(kx * kx + ky * ky));
      if (k > max_radius)
        return;
      if (kx == 0)
        rows.push_back({int(ky), 0, offset});
      ++rows.back().n;
      shell[offset] = int(std::lround(k));
    });
  }
};

/// One particle as it lies on its class: the transform and the CTF along rows of the class's plane.
class PlacedParticle {
public:
  PlacedParticle(index_t box, double scale, double apix, index_t radius)
      : box_(box), scale_(float(scale)), to_inverse_ang_(float(1.0 / (double(box) * apix))),
        shape_(window_shape2(radius)), window_(shape_[0] * shape_[1]),
        column_(box / 2 + 1 + kLanes), image_(column_.size()), transfer_(column_.size()) {}

  /// Take a particle's padded transform, turned by alpha, mirrored or not, its origin at (ox, oy).
  void take(View<const complex_t, 2> spectrum, double alpha, bool mirrored, float ox, float oy) {
    gather_window(spectrum, {window_.data(), shape_});
    co_ = float(std::cos(alpha)), si_ = float(std::sin(alpha));
    flip_ = mirrored ? -1.0f : 1.0f;
    // k.o = q.(M R_alpha o): the phase of a point is the product of one for its column and one for
    // its row
    const float turn = static_cast<float>(-2.0 * kPi / double(box_));
    turn_y_ = turn * (co_ * oy - si_ * ox);
    const float turn_x = turn * flip_ * (co_ * ox + si_ * oy);
    for (index_t k = 0; k <= box_ / 2; ++k)
      column_[k] = std::polar(1.0f, turn_x * float(k));
  }

  /// The transform, moved to its centre, and the CTF along a row.
  void look_at(const PlaneRow& row, const ImageSampler& sampler, const ContrastTransfer& ctf) {
    const View<const complex_t, 2> window{window_.data(), shape_};
    const complex_t phase = std::polar(1.0f, turn_y_ * float(row.ky));
    const float ky = float(row.ky);
    // reference frequency q = M R_alpha k, so the particle's is k = R_alpha^T M q
    for (int x = 0; x < row.n; ++x) {
      const float qx = flip_ * float(x);
      const complex_t value =
          sampler(window, (co_ * qx - si_ * ky) * scale_, (si_ * qx + co_ * ky) * scale_);
      image_[x] = product(value, product(column_[x], phase));
    }
    VecF lane;
    for (int i = 0; i < kLanes; ++i)
      lane[i] = float(i);
    for (int first = 0; first < row.n; first += kLanes) {
      const VecF qx = flip_ * (lane + float(first));
      store(&transfer_[first],
            ctf((co_ * qx - si_ * ky) * to_inverse_ang_, (si_ * qx + co_ * ky) * to_inverse_ang_));
    }
  }

  const complex_t* image() const { return image_.data(); }
  const float* transfer() const { return transfer_.data(); }

private:
  /// a b without the library's care for infinities.
  static complex_t product(complex_t a, complex_t b) {
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
  }

  index_t box_;
  float scale_, to_inverse_ang_;
  std::array<index_t, 2> shape_;
  std::vector<complex_t> window_, column_, image_;
  std::vector<float> transfer_;
  float co_ = 1.0f, si_ = 0.0f, flip_ = 1.0f, turn_y_ = 0.0f;
};

/// Where one particle's sums go.
struct ParticleSums {
  complex_t* numerator;
  float* density;
  const complex_t* reference;
  float *image_power, *cross, *reference_power;
  float weight;

  void add(const PlaneRow& row, const complex_t* image, const float* transfer, const int* shell) {
    for (int i = 0; i < row.n; ++i) {
      numerator[row.offset + i] += weight * transfer[i] * image[i];
      density[row.offset + i] += weight * transfer[i] * transfer[i];
    }
    for (int i = 0; i < row.n; ++i) {
      const complex_t x = image[i], p = transfer[i] * reference[row.offset + i];
      const float count = multiplicity(i);
      const int at = shell[row.offset + i];
      image_power[at] += count * std::norm(x);
      cross[at] += count * (x.real() * p.real() + x.imag() * p.imag());
      reference_power[at] += count * std::norm(p);
    }
  }
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
  const ImageSampler sampler(oversampling);
  const PlaneRows plane(box, max_radius);
  require(std::ceil(max_radius) < double(shells.cross.shape[1]), "shells: too few for max_radius");

  const auto add = [&](index_t entry, index_t row, PlacedParticle& placed) {
    const index_t particle = placement.order(entry);
    placed.take({spectra.item(particle), {spectra.shape[1], spectra.shape[2]}},
                placement.alpha(entry), placement.mirror(entry) != 0, placement.origin(entry, 0),
                placement.origin(entry, 1));
    const ContrastTransfer transfer(ctf.item(particle));
    ParticleSums own{sums.numerator.item(row),
                     sums.density.item(row),
                     references.item(row % references.shape[0]),
                     shells.image_power.item(entry),
                     shells.cross.item(entry),
                     shells.reference_power.item(entry),
                     placement.weight(entry)};
    for (const PlaneRow& part : plane.rows) {
      placed.look_at(part, sampler, transfer);
      own.add(part, placed.image(), placed.transfer(), plane.shell.data());
    }
  };
  const index_t radius = window_radius(max_radius * scale);
  parallel_for(
      placement.slot.shape[0], n_threads, [&] { return PlacedParticle(box, scale, apix, radius); },
      [&](index_t s, PlacedParticle& placed) {
        for (index_t entry = placement.slot_start(s); entry < placement.slot_start(s + 1); ++entry)
          add(entry, placement.slot(s), placed);
      });
}

} // namespace mapsort::inline MAPSORT_ISA
