#pragma once
// Projection in real space: sums along rays through a map, and maps thrown onto the image plane.
//
// Positions are offsets from the centre pixel n//2. A point r of the object lands at the first two
// coordinates of R r, plus the image's shift.

#include "mapsort/view.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// How the samples along a ray become one pixel.
enum class RayValue { kSum, kMaximum };

/// images (n, box, box) of a volume (box, box, box): trilinear samples a pixel apart along the
/// view's z axis, for z in [-box//2, (box-1)//2] within `radius` of the centre. Samples outside the
/// cube of pixel centres are left out (their maximum is 0). rotations (n, 3, 3) object to view,
/// shifts (n, 2) [pixels] along x and y.
void project_rays(View<const float, 3> volume, View<const double, 3> rotations,
                  View<const double, 2> shifts, double radius, RayValue value,
                  View<float, 3> images, int n_threads);

/// images (n, box, box): every voxel within `radius` of the centre is shared between the four
/// pixels about its projection, bilinearly. The adjoint of bilinear interpolation.
void project_voxels(View<const float, 3> volume, View<const double, 3> rotations,
                    View<const double, 2> shifts, double radius, View<float, 3> images,
                    int n_threads);

} // namespace mapsort::inline MAPSORT_ISA
