#pragma once
// Particles as the kernels take them.

#include "mapsort/fourier_window.hpp"

namespace mapsort::inline MAPSORT_ISA {

struct ParticleBatch {
  View<const complex_t, 3>
      spectra;              // (n, padded, padded/2+1): padded, kernel-compensated transforms
  View<const float, 2> ctf; // (n, 7): coefficients of ctf.hpp
  double scale;             // padded / box
  double oversampling;
  double apix;
};

} // namespace mapsort::inline MAPSORT_ISA
