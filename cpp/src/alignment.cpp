#include "mapsort/alignment.hpp"

#include "mapsort/pair_product.hpp"
#include "mapsort/parallel.hpp"
#include "mapsort/polar_particle.hpp"
#include "mapsort/require.hpp"
#include "mapsort/vector_math.hpp"

#include <algorithm> // for std::find, std::none_of
#include <utility>   // for std::pair

namespace mapsort::inline MAPSORT_ISA {

void search_pairs(const Alignment& alignment, const ParticleBatch& particles,
                  View<const float, 2> origins, const PairResults& results, int n_threads) {
  const ReferenceBank& bank = alignment.bank;
  const PolarSetting setting(alignment, particles);
  const index_t n = particles.spectra.shape[0], n_shifts = origins.shape[0];
  require(n_shifts >= 1, "origins: expected at least one shift");
  const std::size_t n_points = setting.points.kx.size();
  AlignedVector<VecC> phases(n_shifts * n_points);
  parallel_for(n_shifts, n_threads, [&](index_t s) {
    shift_phases(setting.points, bank.box(), origins(s, 0), origins(s, 1),
                 phases.data() + s * n_points);
  });

  const index_t n_blocks = (bank.size() + kLanes - 1) / kLanes;
  const std::size_t block_size = 2 * std::size_t(setting.layout.n_entries());
  AlignedVector<VecF> packed(n_blocks * block_size);
  parallel_for(n_blocks, n_threads, [&](index_t block) {
    LaneBlock lanes(bank);
    std::int32_t ids[kLanes];
    const int count = std::min<int>(kLanes, int(bank.size() - block * kLanes));
    for (int lane = 0; lane < count; ++lane)
      ids[lane] = std::int32_t(block * kLanes + lane);
    lanes.pack(bank, ids, count);
    std::copy_n(lanes.data(), block_size, packed.data() + block * block_size);
  });

  struct Scratch {
    PolarParticle particle;
    ShiftedCopies copies;
    PairProduct product;
  };
  const auto make_scratch = [&] {
    return Scratch{PolarParticle(setting), ShiftedCopies(setting.layout, int(n_shifts)),
                   PairProduct(setting.layout)};
  };
  parallel_for(n, n_threads, make_scratch, [&](index_t i, Scratch& scratch) {
    scratch.particle.take(i);
    for (index_t s = 0; s < n_shifts; ++s)
      scratch.particle.shifted_copy(phases.data() + s * n_points, scratch.copies, int(s));
    for (index_t block = 0; block < n_blocks; ++block) {
      const LaneBest best = scratch.product.best(
          scratch.copies, int(n_shifts), packed.data() + block * block_size, alignment.freedom);
      for (int lane = 0; lane < kLanes && block * kLanes + lane < bank.size(); ++lane) {
        const index_t r = block * kLanes + lane;
        results.cross(i, r) = best.value[lane];
        results.code(i, r) = best.code[lane];
        results.norm(i, r) = scratch.particle.norm(bank.ring_power(r));
      }
    }
  });
}

void require_known(View<const std::int32_t, 2> references, const ReferenceBank& bank) {
  const auto beyond = [&](std::int32_t r) { return r >= bank.size(); };
  require(std::none_of(references.data, references.data + references.size(), beyond),
          "reference: index beyond the bank");
}

void search_candidates(const Alignment& alignment, const ParticleBatch& particles,
                       const ShiftLattice& lattice, const Candidates& candidates, int n_threads) {
  const ReferenceBank& bank = alignment.bank;
  const auto [step, reach, max_nodes, max_origin] = lattice;
  require(step > 0.0 && max_origin >= 0.0, "step and max_origin: expected positive");
  require(reach >= 0 && max_nodes >= 1, "reach and max_nodes: expected at least 0 and 1");
  require_known(candidates.reference, bank);
  const PolarSetting setting(alignment, particles);
  const index_t n = particles.spectra.shape[0], n_candidates = candidates.reference.shape[1];
  const int n_angles = setting.layout.n_rotations;
  const int extent = static_cast<int>(std::floor(max_origin / step));
  const std::size_t n_points = setting.points.kx.size();
  // Phases of a lattice node are products of a factor for its column and one for its row.
  AlignedVector<VecC> column(n_points * (2 * extent + 1)), row(column.size());
  for (int a = -extent; a <= extent; ++a) {
    const float shift = static_cast<float>(a * step);
    shift_phases(setting.points, bank.box(), shift, 0.0f, column.data() + (a + extent) * n_points);
    shift_phases(setting.points, bank.box(), 0.0f, shift, row.data() + (a + extent) * n_points);
  }

  using Node = std::pair<int, int>;
  struct Scratch {
    PolarParticle particle;
    ShiftedCopies copies;
    PairProduct product;
    LaneBlock block;
    AlignedVector<VecC> phases;
    std::vector<Node> nodes;
  };
  const auto make_scratch = [&] {
    return Scratch{PolarParticle(setting),        ShiftedCopies(setting.layout, max_nodes),
                   PairProduct(setting.layout),   LaneBlock(bank),
                   AlignedVector<VecC>(n_points), {}};
  };
  const auto clamp = [extent](int a) { return std::min(std::max(a, -extent), extent); };

  parallel_for(n, n_threads, make_scratch, [&](index_t i, Scratch& scratch) {
    auto& nodes = scratch.nodes;
    nodes.clear();
    for (index_t c = 0; c < n_candidates && int(nodes.size()) < max_nodes; ++c) {
      if (candidates.reference(i, c) < 0)
        continue;
      const int a0 = clamp(int(std::lround(candidates.origin(i, c, 0) / step)));
      const int b0 = clamp(int(std::lround(candidates.origin(i, c, 1) / step)));
      for (int db = -reach; db <= reach; ++db)
        for (int da = -reach; da <= reach; ++da) {
          const Node node{clamp(a0 + da), clamp(b0 + db)};
          if (int(nodes.size()) < max_nodes &&
              std::find(nodes.begin(), nodes.end(), node) == nodes.end())
            nodes.push_back(node);
        }
    }
    scratch.particle.take(i);
    for (std::size_t s = 0; s < nodes.size(); ++s) {
      const VecC* x = column.data() + (nodes[s].first + extent) * n_points;
      const VecC* y = row.data() + (nodes[s].second + extent) * n_points;
      for (std::size_t p = 0; p < n_points; ++p)
        scratch.phases[p] = x[p] * y[p];
      scratch.particle.shifted_copy(scratch.phases.data(), scratch.copies, int(s));
    }
    std::int32_t ids[kLanes], slots[kLanes];
    int count = 0;
    const auto flush = [&] {
      if (count == 0)
        return;
      scratch.block.pack(bank, ids, count);
      const LaneBest best = scratch.product.best(scratch.copies, int(nodes.size()),
                                                 scratch.block.data(), alignment.freedom);
      for (int lane = 0; lane < count; ++lane) {
        const std::int32_t code = best.code[lane];
        const Node node = nodes[code / (2 * n_angles)];
        const index_t c = slots[lane];
        candidates.cross(i, c) = best.value[lane];
        candidates.norm(i, c) = scratch.particle.norm(bank.ring_power(ids[lane]));
        candidates.alpha(i, c) = static_cast<float>(2.0 * kPi * (code / 2 % n_angles) / n_angles);
        candidates.mirror(i, c) = code % 2;
        candidates.origin(i, c, 0) = static_cast<float>(node.first * step);
        candidates.origin(i, c, 1) = static_cast<float>(node.second * step);
      }
      count = 0;
    };
    for (index_t c = 0; c < n_candidates; ++c) {
      const std::int32_t reference = candidates.reference(i, c);
      if (reference < 0)
        continue;
      ids[count] = reference;
      slots[count++] = std::int32_t(c);
      if (count == kLanes)
        flush();
    }
    flush();
  });
}

} // namespace mapsort::inline MAPSORT_ISA
