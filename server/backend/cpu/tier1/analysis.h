// What compiled code is made from: the basic blocks of a program, what is live between them, where lanes part and wait
// for one another, and what the lanes of rows have in common. Private to this folder.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/backend/cpu/tier1.h"
#include "server/backend/cpu/tier1/shape.h"

namespace accelmesh::tier1 {

// A set of rows or predicates.
class Bits64 {
 public:
  explicit Bits64(std::size_t size = 0) : words_((size + 63) / 64) {}
  bool Has(std::size_t i) const { return (words_[i / 64] >> (i % 64) & 1) != 0; }
  void Add(std::size_t i) { words_[i / 64] |= std::uint64_t{1} << (i % 64); }
  void Remove(std::size_t i) { words_[i / 64] &= ~(std::uint64_t{1} << (i % 64)); }
  void AddAll() {
    for (std::uint64_t& word : words_) word = ~std::uint64_t{0};
  }
  void RemoveAll(const Bits64& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= ~other.words_[i];
  }
  // Whether anything came with it.
  bool AddAll(const Bits64& other) {
    std::uint64_t fresh = 0;
    for (std::size_t i = 0; i < words_.size(); ++i) {
      fresh |= other.words_[i] & ~words_[i];
      words_[i] |= other.words_[i];
    }
    return fresh != 0;
  }

 private:
  std::vector<std::uint64_t> words_;
};

struct Live {
  Bits64 rows;
  Bits64 predicates;
};

// Operations [first, end). Lanes may stand at `first`, and between blocks, but nowhere else.
struct Block {
  std::uint32_t first = 0;
  std::uint32_t end = 0;
  std::vector<std::uint32_t> successors;  // blocks
  Live in;
  Live out;
  Live dirty;  // at its beginning, what code may have changed since it was loaded from the warp's files
  bool reached = false;
  bool parts = false;  // at its end lanes may go different ways
  // Blocks at whose beginning a group of lanes may wait while another runs this one.
  Bits64 waiting;
  // What goes into the files on the way to the next block in their order, or the target of the branch, because a loop
  // with a barrier begins there: it would be stored at each turn. By the number of the successor.
  std::map<std::uint32_t, Live> early;
  // Of those that may wait when lanes come here, the ones that lie before this block, and so run first.
  std::vector<std::uint32_t> behind;
};

enum class RowKind : std::uint8_t {
  kVarying,   // a vector
  kUniform,   // the same in all lanes that stand at one pc
  kAffine,    // there, what lane 0 has, or would have, and a multiple of the lane's number
  kConstant,  // and known now
  kFixed,     // the same in all lanes, and there before the kernel begins: a large constant, %ctaid and the like
  kLanes      // there before the kernel begins: %tid and the like
};
struct RowFacts {
  RowKind kind = RowKind::kVarying;
  std::uint32_t bits = 32;  // of its container: 32 or 64
  std::uint64_t constant = 0;
  std::int64_t stride = 0;  // of kAffine, from lane to lane
  bool assigned = false;    // by some operation
  // Only written by arithmetic of single precision, and so may hold any NaN until somebody looks at its bits.
  bool any_nan = false;
  // Only written by operations that flush denormals.
  bool flushed = false;
};

struct Plan {
  std::vector<Shape> shapes;            // of each op
  std::vector<Block> blocks;            // in the order of their ops
  std::vector<std::uint32_t> block_at;  // of each pc; kNoBlock if none begins there
  std::vector<RowFacts> rows;
  std::vector<bool> predicates_assigned;
  std::vector<bool> predicates_uniform;  // the same in all lanes that stand at one pc
  std::uint32_t barrier = kNoBarrier;    // the id of those that became code
  bool linear = false;                   // see Interface::compile
  bool batches = false;                  // see Compiled::batches
  bool loops = false;                    // there are jumps back
  std::uint64_t argument_bytes = 0;      // see Compiled::argument_bytes
};
inline constexpr std::uint32_t kNoBlock = 0xffffffffu;

// False if the program is too large to be worth it, or empty.
bool MakePlan(const tier0::Program& program, bool linear, Plan* plan, std::string* why);
// uniform.cpp, for MakePlan(): rows, predicates and where lanes wait, from blocks and what is live. Without blocks, of
// operations that follow one another; what it then says of the lanes of a warp holds for all threads of a block that is
// one row, too, if nothing looks at %laneid and its like.
void FindCommon(const tier0::Program& program, Plan* plan);
// analysis.cpp, for MakePlan() as well: rows that hold no denormals.
void FindFlushed(const tier0::Program& program, Plan* plan);
// The block that an operation is in.
const Block& BlockOf(const Plan& plan, std::uint32_t pc);
// What of the rows and predicates before operation `pc` of a block is not in the warp's files.
Live DirtyBefore(const Plan& plan, const Block& block, std::uint32_t pc);
// What is live before operation `pc` of a block.
Live LiveBefore(const tier0::Program& program, const Plan& plan, const Block& block, std::uint32_t pc);

}  // namespace accelmesh::tier1
