#include "mapsort/best_references.hpp"

#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

#include <algorithm> // for std::fill_n

namespace mapsort::inline MAPSORT_ISA {

void best_references(View<const float, 2> scores, View<const std::int32_t, 2> codes, index_t first,
                     index_t last, View<std::int32_t, 2> reference, View<std::int32_t, 2> code,
                     int n_threads) {
  require(0 <= first && first <= last && last <= scores.shape[1],
          "first, last: expected references of the scores");
  const index_t k = reference.shape[1];
  parallel_for(scores.shape[0], k > 0 ? n_threads : 0, [&](index_t i) {
    const float* score = scores.item(i);
    std::int32_t* best = reference.item(i);
    std::fill_n(best, k, -1);
    index_t n_best = 0;
    for (index_t r = first; r < last && k > 0; ++r) {
      // a reference comes after those of its score, which are lower
      if (n_best == k && !(score[r] > score[best[k - 1]]))
        continue;
      index_t at = n_best == k ? k - 1 : n_best++;
      for (; at > 0 && score[r] > score[best[at - 1]]; --at)
        best[at] = best[at - 1];
      best[at] = static_cast<std::int32_t>(r);
    }
    for (index_t c = 0; c < k; ++c)
      code(i, c) = best[c] < 0 ? 0 : codes(i, best[c]);
  });
}

} // namespace mapsort::inline MAPSORT_ISA
