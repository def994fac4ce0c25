#pragma once
// A particle on the polar grid of a reference bank, weighted by its CTF and the noise.

#include "mapsort/alignment.hpp"
#include "mapsort/ctf.hpp"
#include "mapsort/require.hpp"
#include "mapsort/vector_math.hpp"

namespace mapsort::inline MAPSORT_ISA {

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
inline void shift_phases(const PolarPoints& points, index_t box, float ox, float oy, VecC* out) {
  const float turn = static_cast<float>(-2.0 * kPi / double(box));
  for (std::size_t i = 0; i < points.kx.size(); ++i)
    sin_cos(turn * (points.kx[i] * ox + points.ky[i] * oy), out[i].im, out[i].re);
}

/// What all particles of a call share.
struct PolarSetting {
  const ReferenceBank& bank;
  View<const float, 1> ring_weight;
  const ParticleBatch& particles;
  const PolarLayout& layout;
  PolarSampler sampler;
  RingTransform transform;
  PolarPoints points;

  PolarSetting(const Alignment& alignment, const ParticleBatch& batch)
      : bank(alignment.bank), ring_weight(alignment.ring_weight), particles(batch),
        layout(bank.layout()), sampler(layout.grid, batch.scale, batch.oversampling),
        transform(layout), points(layout.grid, transform.n_blocks()) {
    require(ring_weight.shape[0] == layout.grid.n_rings,
            "ring_weight: expected one value per ring of the bank");
    require(batch.ctf.shape[0] == batch.spectra.shape[0] && batch.ctf.shape[1] == 7,
            "ctf: expected shape (n, 7)");
    require_padded(batch.spectra, batch.scale, bank.box());
    require(batch.apix > 0.0, "apix: expected a positive pixel size");
  }
};

/// One particle on the polar grid, and one thread's memory for working on it.
class PolarParticle {
public:
  explicit PolarParticle(const PolarSetting& setting)
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
      const float weight = static_cast<float>(2.0 * kPi * double(grid.first_ring + ring)) *
                           setting_.ring_weight(ring);
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

  const PolarSetting& setting_;
  RingTransform::Scratch fft_;
  std::vector<complex_t> window_;
  AlignedVector<VecC> weighted_, shifted_;
  std::vector<float> ring_ctf2_, transfer_;
};

} // namespace mapsort::inline MAPSORT_ISA
