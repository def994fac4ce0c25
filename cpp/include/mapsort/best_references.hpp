#pragma once
// The references that fit each particle best.

#include "mapsort/view.hpp"

#include <cstdint> // for std::int32_t

namespace mapsort::inline MAPSORT_ISA {

/// The k best references of each particle among those from `first` to `last` - 1, the best one
/// first; of equal scores the lower reference first. `reference` and `code` are (n, k), the latter
/// from `codes`; where there are fewer than k references the rest stays -1 and 0.
void best_references(View<const float, 2> scores, View<const std::int32_t, 2> codes, index_t first,
                     index_t last, View<std::int32_t, 2> reference, View<std::int32_t, 2> code,
                     int n_threads);

} // namespace mapsort::inline MAPSORT_ISA
