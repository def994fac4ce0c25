// The extension module of one instruction set; mapsort/_core.py picks the best one at import.

#include "bindings.hpp"

#define MAPSORT_STRING_(x) #x
#define MAPSORT_STRING(x) MAPSORT_STRING_(x)

PYBIND11_MODULE(MAPSORT_MODULE, m, pybind11::mod_gil_not_used()) {
  m.doc() = "mapsort kernels compiled for one instruction set";
  m.attr("isa") = MAPSORT_STRING(MAPSORT_ISA);
  mapsort::bind_build(m);
  mapsort::bind_projection(m);
  mapsort::bind_gridding(m);
  mapsort::bind_bank(m);
  mapsort::bind_alignment(m);
  mapsort::bind_class_average(m);
  mapsort::bind_linear_slices(m);
  mapsort::bind_local_search(m);
  mapsort::bind_pose_scores(m);
}
