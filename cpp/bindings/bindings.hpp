#pragma once
// One registration function per concept.

#include "mapsort/view.hpp"

#include <pybind11/pybind11.h>

namespace mapsort::inline MAPSORT_ISA {

void bind_build(pybind11::module_& m);
void bind_projection(pybind11::module_& m);
void bind_gridding(pybind11::module_& m);
void bind_bank(pybind11::module_& m);
void bind_alignment(pybind11::module_& m);
void bind_class_average(pybind11::module_& m);
void bind_linear_slices(pybind11::module_& m);
void bind_local_search(pybind11::module_& m);
void bind_pose_scores(pybind11::module_& m);

} // namespace mapsort::inline MAPSORT_ISA
