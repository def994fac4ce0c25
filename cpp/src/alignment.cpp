#include "mapsort/alignment.hpp"

#include "mapsort/pair_product.hpp"
#include "mapsort/parallel.hpp"
#include "mapsort/polar_particle.hpp"
#include "mapsort/require.hpp"
#include "mapsort/vector_math.hpp"

#include <algorithm> // for std::none_of, std::stable_sort
#include <span>      // for std::span
#include <vector>    // for std::vector

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
  const std::vector<int> rows = first_rows(int(n_shifts));
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
          scratch.copies, rows, packed.data() + block * block_size, alignment.freedom);
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

namespace {

/// Candidates whose nodes are searched together: the same for any number of lanes, so that all
/// builds find the same.
constexpr int kTogether = 16;
static_assert(kTogether % kLanes == 0);
/// Copies of a particle that are kept for later candidates: few enough to stay in a cache.
constexpr int kCopies = 192;

/// A node of a shift lattice: column and row.
struct Node {
  int a, b;
};

/// Factors whose products are the phases of the lattice's nodes at all polar points.
class NodePhases {
public:
  NodePhases(const PolarSetting& setting, double step, int extent)
      : extent_(extent), n_points_(setting.points.kx.size()), column_(n_points_ * (2 * extent + 1)),
        row_(column_.size()) {
    for (int a = -extent; a <= extent; ++a) {
      const float shift = static_cast<float>(a * step);
      const std::size_t at = (a + extent) * n_points_;
      shift_phases(setting.points, setting.bank.box(), shift, 0.0f, column_.data() + at);
      shift_phases(setting.points, setting.bank.box(), 0.0f, shift, row_.data() + at);
    }
  }

  int extent() const { return extent_; }

  void of(Node node, VecC* phases) const {
    const VecC* x = column_.data() + (node.a + extent_) * n_points_;
    const VecC* y = row_.data() + (node.b + extent_) * n_points_;
    for (std::size_t p = 0; p < n_points_; ++p)
      phases[p] = x[p] * y[p];
  }

private:
  int extent_;
  std::size_t n_points_;
  AlignedVector<VecC> column_, row_;
};

/// Copies of one particle shifted to nodes of the lattice, made where they are asked for.
class NodeCopies {
public:
  NodeCopies(const PolarSetting& setting, const NodePhases& phases, int reach, int shared)
      : node_phases_(phases), reach_(reach), width_(2 * phases.extent() + 1),
        most_(std::min(width_ * width_, std::max(kCopies, (shared + kTogether) * (2 * reach + 1) *
                                                              (2 * reach + 1)))),
        copies_(setting.layout, most_), phases_(setting.points.kx.size()),
        row_of_(width_ * width_, -1), turn_of_(row_of_.size(), 0) {}

  /// Forget the last particle's copies.
  void clear() {
    std::fill(row_of_.begin(), row_of_.end(), -1);
    nodes_.clear();
  }

  /// The node nearest to an origin, in steps.
  Node nearest(double a, double b) const { return clamped(std::lround(a), std::lround(b)); }

  /// Begin a list of rows, with room for the nodes about so many candidates.
  void begin(int n_candidates) {
    const int wanted = n_candidates * (2 * reach_ + 1) * (2 * reach_ + 1);
    if (int(nodes_.size()) + wanted > most_ && most_ < width_ * width_)
      clear();
    rows_.clear();
    ++turn_;
  }

  /// Add the nodes about one to the list, each once.
  void add_about(Node centre, PolarParticle& particle) {
    for (int db = -reach_; db <= reach_; ++db)
      for (int da = -reach_; da <= reach_; ++da)
        add(clamped(centre.a + da, centre.b + db), particle);
  }

  const ShiftedCopies& copies() const { return copies_; }
  std::span<const int> rows() const { return rows_; }
  Node node(int place) const { return nodes_[rows_[place]]; }

private:
  Node clamped(long a, long b) const {
    const long extent = node_phases_.extent();
    return {int(std::clamp(a, -extent, extent)), int(std::clamp(b, -extent, extent))};
  }

  void add(Node node, PolarParticle& particle) {
    const int extent = node_phases_.extent();
    const int at = (node.b + extent) * width_ + node.a + extent;
    if (row_of_[at] < 0) {
      row_of_[at] = int(nodes_.size());
      nodes_.push_back(node);
      node_phases_.of(node, phases_.data());
      particle.shifted_copy(phases_.data(), copies_, row_of_[at]);
    }
    if (turn_of_[at] == turn_)
      return;
    turn_of_[at] = turn_;
    rows_.push_back(row_of_[at]);
  }

  const NodePhases& node_phases_;
  int reach_, width_, most_;
  ShiftedCopies copies_;
  AlignedVector<VecC> phases_;
  std::vector<int> row_of_;           // of each node: its copy, or -1
  std::vector<std::int64_t> turn_of_; // of each node: the list that it was last added to
  std::int64_t turn_ = 0;
  std::vector<Node> nodes_; // of each copy
  std::vector<int> rows_;
};

/// A candidate of one particle, and the node that its search begins at.
struct Start {
  index_t candidate;
  Node node;

  /// Rows of the lattice one after the other, every other one backwards: starts near each other are
  /// neighbours.
  bool operator<(const Start& other) const {
    if (node.b != other.node.b)
      return node.b < other.node.b;
    return node.b % 2 == 0 ? node.a < other.node.a : node.a > other.node.a;
  }
};

} // namespace

void search_candidates(const Alignment& alignment, const ParticleBatch& particles,
                       const ShiftLattice& lattice, const Candidates& candidates, int n_threads) {
  const ReferenceBank& bank = alignment.bank;
  const auto [step, reach, shared, max_origin] = lattice;
  require(step > 0.0 && max_origin >= 0.0, "step and max_origin: expected positive");
  require(reach >= 0 && shared >= 0, "reach and shared: expected at least 0");
  require_known(candidates.reference, bank);
  const PolarSetting setting(alignment, particles);
  const NodePhases phases(setting, step, static_cast<int>(std::floor(max_origin / step)));

  struct Scratch {
    PolarParticle particle;
    NodeCopies nodes;
    PairProduct product;
    LaneBlock block;
    std::vector<Start> starts;
  };
  const auto make_scratch = [&] {
    return Scratch{PolarParticle(setting),
                   NodeCopies(setting, phases, reach, shared),
                   PairProduct(setting.layout),
                   LaneBlock(bank),
                   {}};
  };
  const int n_angles = setting.layout.n_rotations;
  const auto search_lanes = [&](index_t i, std::span<const Start> starts, Scratch& scratch) {
    std::int32_t ids[kLanes];
    for (std::size_t lane = 0; lane < starts.size(); ++lane)
      ids[lane] = candidates.reference(i, starts[lane].candidate);
    scratch.block.pack(bank, ids, int(starts.size()));
    const LaneBest best = scratch.product.best(scratch.nodes.copies(), scratch.nodes.rows(),
                                               scratch.block.data(), alignment.freedom);
    for (std::size_t lane = 0; lane < starts.size(); ++lane) {
      const std::int32_t code = best.code[lane];
      const Node node = scratch.nodes.node(code / (2 * n_angles));
      const index_t c = starts[lane].candidate;
      candidates.cross(i, c) = best.value[lane];
      candidates.norm(i, c) = scratch.particle.norm(bank.ring_power(ids[lane]));
      candidates.alpha(i, c) = static_cast<float>(2.0 * kPi * (code / 2 % n_angles) / n_angles);
      candidates.mirror(i, c) = code % 2;
      candidates.origin(i, c, 0) = static_cast<float>(node.a * step);
      candidates.origin(i, c, 1) = static_cast<float>(node.b * step);
    }
  };
  parallel_for(
      particles.spectra.shape[0], n_threads, make_scratch, [&](index_t i, Scratch& scratch) {
        std::vector<Start>& starts = scratch.starts;
        starts.clear();
        for (index_t c = 0; c < candidates.reference.shape[1]; ++c)
          if (candidates.reference(i, c) >= 0)
            starts.push_back({c, scratch.nodes.nearest(candidates.origin(i, c, 0) / step,
                                                       candidates.origin(i, c, 1) / step)});
        // of the best ones, as they are given
        const std::vector<Start> every(
            starts.begin(), starts.begin() + std::min<std::size_t>(shared, starts.size()));
        std::stable_sort(starts.begin(), starts.end());
        scratch.particle.take(i);
        scratch.nodes.clear();
        for (std::size_t first = 0; first < starts.size(); first += kTogether) {
          const auto together = std::span<const Start>(starts).subspan(
              first, std::min<std::size_t>(kTogether, starts.size() - first));
          scratch.nodes.begin(int(every.size() + together.size()));
          for (const Start& start : every)
            scratch.nodes.add_about(start.node, scratch.particle);
          for (const Start& start : together)
            scratch.nodes.add_about(start.node, scratch.particle);
          for (std::size_t lane = 0; lane < together.size(); lane += kLanes)
            search_lanes(
                i, together.subspan(lane, std::min<std::size_t>(kLanes, together.size() - lane)),
                scratch);
        }
      });
}

} // namespace mapsort::inline MAPSORT_ISA
