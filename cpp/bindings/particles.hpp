#pragma once
// Python's ParticleBatch: the arrays, kept alive, and the kernels' view of them.

#include "arrays.hpp"

#include "mapsort/particle_batch.hpp"

#include <utility> // for std::move

namespace mapsort::inline MAPSORT_ISA {

class Particles {
public:
  Particles(py::array spectra, py::array ctf, double scale, double oversampling, double apix)
      : spectra_(std::move(spectra)), ctf_(std::move(ctf)),
        batch_{view<const complex_t, 3>(spectra_, "spectra", {-1, -1, -1}),
               view<const float, 2>(ctf_, "ctf", {spectra_.shape(0), 7}), scale, oversampling,
               apix} {}

  const ParticleBatch& batch() const { return batch_; }
  index_t size() const { return batch_.spectra.shape[0]; }

private:
  py::array spectra_, ctf_;
  ParticleBatch batch_;
};

} // namespace mapsort::inline MAPSORT_ISA
