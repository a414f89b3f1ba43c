// The front end of the software GPU: PTX text taken apart into kernels, device functions and variables.
//
// PTX ISA 6.0 to 9.0 as nvcc 13 writes it (both of its front ends), plus what other compilers write in the same
// grammar. The parser knows the grammar, not the opcodes: those are tables in tier0 (arithmetic.cpp and its
// neighbours). What it cannot read inside one kernel fails that kernel only, at its first launch, with the line
// (Kernel::unsupported).
//
// Bodies are read on first use: ParseModule reads what stands at module scope and, of each body, its declarations and
// the names in it, so that sizes and calls are known; ReadBodies reads the instructions of a kernel and of what it can
// reach. Ownership: a Module owns everything, its texts too. Threads: const after ParseModule but for bodies, which
// ReadBodies reads once, whoever asks; safe to share. Hostile input: the text comes from a client; sizes, counts and
// depths are bounded.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"

namespace accelmesh::ptx {

enum class Type : std::uint8_t {
  kNone,
  kB8,
  kB16,
  kB32,
  kB64,
  kB128,
  kU8,
  kU16,
  kU32,
  kU64,
  kS8,
  kS16,
  kS32,
  kS64,
  kF16,
  kF16x2,
  kBf16,
  kBf16x2,
  kF32,
  kF64,
  kPred
};
// Bytes of a value of the type; 0 for kNone and kPred.
std::uint32_t TypeBytes(Type type);
// kNone if `name` (without a dot) is no type.
Type ParseType(std::string_view name);

// Who knows a name: its own text; every text that it is linked with, by one definition, by the first of several, or by
// the largest of several; or it is defined elsewhere.
enum class Linkage : std::uint8_t { kStatic, kVisible, kWeak, kCommon, kExtern };

enum class Space : std::uint8_t { kGlobal, kConst, kShared, kLocal, kParam };

struct Operand {
  enum class Kind : std::uint8_t {
    kRegister,
    kPredicate,
    kImmediate,
    kSpecial,   // %tid.x
    kSymbol,    // of the module: variable, function, kernel parameter
    kVariable,  // Kernel::variables[index]
    kVector,
    kSink,      // _
    kLabel,     // instruction `index`
    kTable,     // Kernel::branch_tables[index]
    kPrototype  // Kernel::prototypes[index]
  };
  Kind kind = Kind::kSink;
  bool is_address = false;      // stood in [ ]
  bool negated = false;         // !p; of a register, -r
  bool is_double = false;       // a constant written as 0d... or in decimal with a point or exponent
  std::uint32_t index = 0;      // of a register, predicate, variable, label, table
  std::int32_t paired = -1;     // the predicate p of d|p
  std::uint64_t immediate = 0;  // value, or the offset behind a register or symbol
  std::string_view symbol;      // of everything that has a name, as written; of the module's, as linked
  std::string_view selector;    // the part of a register: "b0" of %r1.b0
  std::vector<Operand> elements;
};

struct Instruction {
  std::uint32_t line = 0;
  std::int32_t guard = -1;  // predicate index
  bool guard_negated = false;
  std::vector<std::string_view> opcode;  // split at dots: {"add", "f32"}
  std::vector<Operand> operands;
  std::string_view text;
};

struct Variable {
  std::string name;
  Space space = Space::kGlobal;
  std::uint64_t bytes = 0;
  std::uint64_t alignment = 1;
  Linkage linkage = Linkage::kStatic;
  bool is_extern = false;   // and defined nowhere
  bool is_managed = false;  // the host uses the same address
  Bytes initial;            // empty: zeros
  struct Relocation {
    std::uint64_t offset;
    std::string symbol;
    std::int64_t addend;
  };
  std::vector<Relocation> relocations;
  std::uint64_t address = 0;  // shared, local: offset in the kernel's shared memory or the body's local frame
};

// Of a kernel: `offset` in the argument block. Of a device function: `offset` in its local frame.
struct Parameter {
  std::string_view name;  // in the module's text
  std::uint32_t offset = 0;
  std::uint32_t bytes = 0;
  std::uint32_t alignment = 1;
};

// What a call through a pointer passes: .callprototype.
struct Prototype {
  std::vector<Parameter> results;
  std::vector<Parameter> parameters;  // offsets as in the frame of a function
  Status unsupported;
};

// A kernel or a device function. What stands behind `place` is there after ReadBodies.
struct Kernel {
  std::string name;
  Linkage linkage = Linkage::kStatic;
  bool is_function = false;
  std::vector<Parameter> parameters;
  std::vector<Parameter> results;  // of a device function
  std::uint32_t parameter_bytes = 0;
  std::uint32_t static_shared_bytes = 0;  // of a kernel, with what the functions it calls use
  std::uint32_t local_bytes = 0;
  std::uint32_t registers = 0;  // 64-bit containers
  std::uint32_t predicates = 0;
  std::uint32_t max_threads = 1024;
  std::uint32_t required_threads[3] = {0, 0, 0};  // .reqntid; 0 where any number will do
  std::uint32_t dynamic_shared_alignment = 16;
  // Of a kernel for devices with clusters: .reqnctapercluster, 0 if there is none; .explicitcluster.
  std::uint32_t required_cluster[3] = {0, 0, 0};
  bool needs_cluster = false;
  // Names in the body that may be of the module: those in calls, those that are no addresses of accesses, all of
  // module-scope .shared variables. A name that the body gives to something of its own may be among them.
  std::vector<std::string_view> called;
  std::vector<std::string_view> named;
  std::vector<std::string_view> shared_symbols;
  bool calls_pointers = false;
  std::unordered_map<std::string_view, std::uint64_t> shared_addresses;  // of a kernel: where those lie for it
  struct Place {
    std::uint32_t text = 0;  // of Module::texts
    std::uint32_t line = 1;
    std::size_t offset = 0;
  };
  Place place;  // of the body's brace

  std::vector<Instruction> instructions;
  std::vector<Variable> variables;                        // .shared, .local and call parameters of the body
  std::vector<std::vector<std::uint32_t>> branch_tables;  // .branchtargets: instruction indices
  std::vector<Prototype> prototypes;
  Status unsupported;
};

struct LazyBodies;  // private to this folder

struct Module {
  Module();
  ~Module();

  std::deque<std::string> texts;
  std::uint32_t version = 0;  // 10 * major + minor
  std::uint32_t target = 0;   // sm number
  std::vector<Kernel> kernels;
  std::vector<Kernel> functions;                                 // .func with a body
  std::unordered_map<std::string_view, std::uint32_t> function;  // name -> index in functions
  std::vector<std::uint32_t> addressed;                          // of functions: those whose address something takes
  std::uint64_t first_function_address = 0;
  std::vector<Variable> variables;                          // .global and .const
  std::unordered_map<std::string, Variable> module_shared;  // .shared outside of kernels
  std::deque<std::string> linked_names;  // names that stand in no text: of renamed static symbols, copies
  std::unique_ptr<LazyBodies> bodies;    // what ReadBodies needs

  // What a pointer to functions[index] holds: no address of memory, and no other function's in this process.
  std::uint64_t FunctionAddress(std::uint32_t index) const { return first_function_address + 16ull * index; }
};

// kInvalidArgument with the line if the text is not PTX at module level.
Result<std::shared_ptr<const Module>> ParseModule(std::string_view text);
// The same of several texts that were compiled to be linked with one another (nvcc -rdc=true). Of a name that several
// texts define, the first definition holds, a visible one before weak ones; static names stay apart (linked_names).
// `has_clusters`: whether kernels that say how many blocks a cluster of theirs has can run.
Result<std::shared_ptr<const Module>> LinkModules(std::vector<std::string> texts, bool has_clusters = false);

// Whether a device of compute capability `capability` (10 * major + minor) takes the module: kVersionMismatch for PTX
// that is newer than what we know, kInvalidArgument for a .target that is newer than the device.
Status CheckTarget(const Module& module, std::uint32_t capability);

// Reads the bodies of `kernel`, which is one of the module's, and of all that it can reach.
void ReadBodies(const Module& module, const Kernel& kernel);
// Of everything in the module.
void ReadBodies(const Module& module);

}  // namespace accelmesh::ptx
