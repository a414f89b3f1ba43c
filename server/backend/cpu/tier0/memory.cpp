// Loads, stores, address conversion.
#include <algorithm>
#include <cstdio>

#include "server/backend/cpu/tier0/memory.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Space;
using ptx::Type;

// Plain accesses of a kernel race where the kernel does; that is the program's business, not a sanitizer's.
#define ACCELMESH_RACES __attribute__((no_sanitize("thread")))

ACCELMESH_RACES inline std::uint64_t LoadPlain(const std::uint8_t* from, std::uint32_t bytes) {
  switch (bytes) {
    case 1: return *from;
    case 2: return *reinterpret_cast<const std::uint16_t*>(from);
    case 4: return *reinterpret_cast<const std::uint32_t*>(from);
    default: return *reinterpret_cast<const std::uint64_t*>(from);
  }
}
ACCELMESH_RACES inline void StorePlain(std::uint8_t* to, std::uint64_t v, std::uint32_t bytes) {
  switch (bytes) {
    case 1: *to = static_cast<std::uint8_t>(v); break;
    case 2: *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(v); break;
    case 4: *reinterpret_cast<std::uint32_t*>(to) = static_cast<std::uint32_t>(v); break;
    default: *reinterpret_cast<std::uint64_t*>(to) = v; break;
  }
}

// How the addresses of a full warp lie, where that makes one access of 32.
enum class Pattern { kScattered, kContiguous, kUniform };
Pattern FindPattern(const Warp& warp, const Op& op, std::uint32_t stride) {
  const std::uint64_t* a = warp.r[op.a].lane;
  std::uint64_t contiguous = 0;
  std::uint64_t uniform = 0;
  for (std::uint32_t l = 0; l < kLanes; ++l) {
    contiguous |= a[l] ^ (a[0] + std::uint64_t{l} * stride);
    uniform |= a[l] ^ a[0];
  }
  return contiguous == 0 ? Pattern::kContiguous : uniform == 0 ? Pattern::kUniform : Pattern::kScattered;
}
// The host address of `bytes` from lane 0's address on; null if that is not allowed or not aligned for `alignment`:
// the accesses lane by lane then find out whose fault it is.
std::uint8_t* ResolveSpan(Warp& warp, const Op& op, std::uint64_t bytes, std::uint32_t alignment) {
  const std::uint64_t address = warp.r[op.a].lane[0] + op.immediate;
  BlockContext::State& s = *warp.block;
  std::uint8_t* found = nullptr;
  if (op.space == Space::kGlobal) {
    if (s.launch->memory->Allowed(address, bytes)) found = reinterpret_cast<std::uint8_t*>(address);
  } else if (op.space == Space::kShared) {
    const std::uint32_t offset = static_cast<std::uint32_t>(address);
    if (offset <= s.shared_bytes && bytes <= s.shared_bytes - offset) found = s.shared_base() + offset;
  }
  return (reinterpret_cast<std::uint64_t>(found) & (alignment - 1)) == 0 ? found : nullptr;
}

// A load of a signed type fills the register by its sign, however wide that is. mode: 0 unsigned, 1 signed.
std::uint64_t ExtendAs(std::uint64_t v, const Op& op) {
  if (op.mode == 0) return v;
  const std::uint32_t shift = 64 - 8u * op.bytes;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(v << shift) >> shift);
}

template <typename T>
ACCELMESH_RACES bool LoadWide(Warp& warp, const Op& op) {
  const std::uint32_t stride = sizeof(T) * op.count;
  const Pattern pattern = FindPattern(warp, op, stride);
  if (pattern == Pattern::kScattered) return false;
  const bool contiguous = pattern == Pattern::kContiguous;
  const auto* from = reinterpret_cast<const T*>(ResolveSpan(warp, op, contiguous ? stride * kLanes : stride, stride));
  if (from == nullptr) return false;
  for (std::uint32_t i = 0; i < op.count; ++i) {
    std::uint64_t* d = warp.r[op.rows[i]].lane;
    if (contiguous && op.count == 1) {
      for (std::uint32_t l = 0; l < kLanes; ++l) d[l] = from[l];
    } else if (contiguous) {
      for (std::uint32_t l = 0; l < kLanes; ++l) d[l] = from[l * op.count + i];
    } else {
      const std::uint64_t v = from[i];
      for (std::uint32_t l = 0; l < kLanes; ++l) d[l] = v;
    }
  }
  return true;
}
template <typename T>
ACCELMESH_RACES bool StoreWide(Warp& warp, const Op& op) {
  const std::uint32_t stride = sizeof(T) * op.count;
  if (FindPattern(warp, op, stride) != Pattern::kContiguous) return false;
  auto* to = reinterpret_cast<T*>(ResolveSpan(warp, op, stride * kLanes, stride));
  if (to == nullptr) return false;
  for (std::uint32_t i = 0; i < op.count; ++i) {
    const std::uint64_t* v = warp.r[op.rows[i]].lane;
    if (op.count == 1) {
      for (std::uint32_t l = 0; l < kLanes; ++l) to[l] = static_cast<T>(v[l]);
    } else {
      for (std::uint32_t l = 0; l < kLanes; ++l) to[l * op.count + i] = static_cast<T>(v[l]);
    }
  }
  return true;
}

// Words of shared memory, wherever they lie: all addresses are looked at before the first is read.
ACCELMESH_RACES bool LoadSharedWords(Warp& warp, const Op& op) {
  BlockContext::State& s = *warp.block;
  if (s.shared_bytes < sizeof(std::uint32_t)) return false;
  const std::uint64_t* a = warp.r[op.a].lane;
  const auto offset = static_cast<std::uint32_t>(op.immediate);
  std::uint32_t places[kLanes];
  std::uint32_t highest = 0;
  std::uint32_t low_bits = 0;
  for (std::uint32_t l = 0; l < kLanes; ++l) {
    places[l] = static_cast<std::uint32_t>(a[l]) + offset;
    highest = std::max(highest, places[l]);
    low_bits |= places[l];
  }
  if (highest > s.shared_bytes - sizeof(std::uint32_t) || low_bits % sizeof(std::uint32_t) != 0) return false;
  const std::uint8_t* base = s.shared_base();
  std::uint64_t* d = warp.r[op.rows[0]].lane;
  for (std::uint32_t l = 0; l < kLanes; ++l) d[l] = *reinterpret_cast<const std::uint32_t*>(base + places[l]);
  return true;
}

void Load(Warp& warp, const Op& op, std::uint32_t mask) {
  if (mask == kAllLanes && op.mode == 0) {
    if (op.space == Space::kShared && op.bytes == 4 && op.count == 1 && LoadSharedWords(warp, op)) return;
    if (op.bytes == 4 && LoadWide<std::uint32_t>(warp, op)) return;
    if (op.bytes == 8 && LoadWide<std::uint64_t>(warp, op)) return;
  }
  const std::uint32_t total = std::uint32_t{op.bytes} * op.count;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const std::uint8_t* from = Resolve(warp, op, l, total);
    if (from == nullptr) return;
    // All elements are read before any is written: a destination may be the address.
    std::uint64_t values[8];
    for (std::uint32_t i = 0; i < op.count; ++i) values[i] = ExtendAs(LoadPlain(from + i * op.bytes, op.bytes), op);
    for (std::uint32_t i = 0; i < op.count; ++i) warp.r[op.rows[i]].lane[l] = values[i];
  }
}

void Store(Warp& warp, const Op& op, std::uint32_t mask) {
  if (mask == kAllLanes) {
    if (op.bytes == 4 && StoreWide<std::uint32_t>(warp, op)) return;
    if (op.bytes == 8 && StoreWide<std::uint64_t>(warp, op)) return;
  }
  const std::uint32_t total = std::uint32_t{op.bytes} * op.count;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    std::uint8_t* to = Resolve(warp, op, l, total);
    if (to == nullptr) return;
    for (std::uint32_t i = 0; i < op.count; ++i) StorePlain(to + i * op.bytes, warp.r[op.rows[i]].lane[l], op.bytes);
  }
}

// Volatile, relaxed, acquire and release: real atomics. A vector is read and written whole, as hardware does: programs
// (CUB's look-back) keep a flag and its value in one. 16 bytes are one access on every x86 processor that has AVX.
using Wide = long long __attribute__((vector_size(16), may_alias));
ACCELMESH_RACES Wide LoadSixteen(const std::uint8_t* from) { return *reinterpret_cast<const volatile Wide*>(from); }
ACCELMESH_RACES void StoreSixteen(std::uint8_t* to, Wide v) { *reinterpret_cast<volatile Wide*>(to) = v; }

void ReadAtomic(const std::uint8_t* from, std::uint32_t bytes, std::uint8_t* out) {
  while (bytes >= 16) {
    const Wide v = LoadSixteen(from);
    std::memcpy(out, &v, 16);
    from += 16, out += 16, bytes -= 16;
  }
  const std::uint64_t v = bytes == 1   ? __atomic_load_n(from, __ATOMIC_ACQUIRE)
                          : bytes == 2 ? __atomic_load_n(reinterpret_cast<const std::uint16_t*>(from), __ATOMIC_ACQUIRE)
                          : bytes == 4 ? __atomic_load_n(reinterpret_cast<const std::uint32_t*>(from), __ATOMIC_ACQUIRE)
                          : bytes == 8 ? __atomic_load_n(reinterpret_cast<const std::uint64_t*>(from), __ATOMIC_ACQUIRE)
                                       : 0;
  std::memcpy(out, &v, bytes);
  std::atomic_thread_fence(std::memory_order_acquire);
}
void WriteAtomic(std::uint8_t* to, std::uint32_t bytes, const std::uint8_t* in) {
  std::atomic_thread_fence(std::memory_order_release);
  while (bytes >= 16) {
    Wide v;
    std::memcpy(&v, in, 16);
    StoreSixteen(to, v);
    to += 16, in += 16, bytes -= 16;
  }
  std::uint64_t v = 0;
  std::memcpy(&v, in, bytes);
  switch (bytes) {
    case 1: __atomic_store_n(to, static_cast<std::uint8_t>(v), __ATOMIC_RELEASE); break;
    case 2:
      __atomic_store_n(reinterpret_cast<std::uint16_t*>(to), static_cast<std::uint16_t>(v), __ATOMIC_RELEASE);
      break;
    case 4:
      __atomic_store_n(reinterpret_cast<std::uint32_t*>(to), static_cast<std::uint32_t>(v), __ATOMIC_RELEASE);
      break;
    case 8: __atomic_store_n(reinterpret_cast<std::uint64_t*>(to), v, __ATOMIC_RELEASE); break;
    default: break;
  }
}
void LoadAtomic(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t total = std::uint32_t{op.bytes} * op.count;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const std::uint8_t* from = Resolve(warp, op, l, total);
    if (from == nullptr) return;
    std::uint8_t bytes[64];
    ReadAtomic(from, total, bytes);
    for (std::uint32_t i = 0; i < op.count; ++i) {
      std::uint64_t v = 0;
      std::memcpy(&v, bytes + i * op.bytes, op.bytes);
      warp.r[op.rows[i]].lane[l] = ExtendAs(v, op);
    }
  }
}
void StoreAtomic(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t total = std::uint32_t{op.bytes} * op.count;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    std::uint8_t* to = Resolve(warp, op, l, total);
    if (to == nullptr) return;
    std::uint8_t bytes[64];
    for (std::uint32_t i = 0; i < op.count; ++i)
      std::memcpy(bytes + i * op.bytes, &warp.r[op.rows[i]].lane[l], op.bytes);
    WriteAtomic(to, total, bytes);
  }
}

// Parameters are the same for all lanes, unless a register that differs between them indexes one.
void LoadParameter(Warp& warp, const Op& op, std::uint32_t mask) {
  const ByteView arguments = warp.block->launch->arguments;
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t first = a[FirstLane(mask)];
  std::uint64_t differs = 0;
  ForLanes(mask, [&](std::uint32_t l) { differs |= a[l] ^ first; });
  const std::uint32_t total = std::uint32_t{op.bytes} * op.count;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const std::uint64_t offset = a[l] + op.immediate;
    if (offset > arguments.size() || total > arguments.size() - offset) {
      RaiseFault(warp, op, l, kDeviceIllegalAddress, "a kernel parameter is out of bounds");
      return;
    }
    // All elements are read before any is written: a destination may be the address.
    std::uint64_t values[8] = {};
    for (std::uint32_t i = 0; i < op.count; ++i) {
      std::memcpy(&values[i], arguments.data() + offset + i * op.bytes, op.bytes);
      values[i] = ExtendAs(values[i], op);
    }
    for (std::uint32_t i = 0; i < op.count; ++i) {
      std::uint64_t* d = warp.r[op.rows[i]].lane;
      if (differs != 0) {
        d[l] = values[i];
      } else {
        ForLanes(mask, [d, v = values[i]](std::uint32_t k) { d[k] = v; });
      }
    }
    if (differs == 0) return;
  }
}

// Decoding -----------------------------------------------------------------------------------------------------------

Status AccessRule(Decoder& decoder, const Instruction& from, Op& op, bool load) {
  // A third operand is a cache policy.
  if (from.operands.size() < 2 || from.operands.size() > 3)
    return decoder.Refuse(from, "the number of operands is off");
  const Operand& address = from.operands[load ? 1 : 0];
  const Operand& value = from.operands[load ? 0 : 1];
  ACCELMESH_RETURN_IF_ERROR(AccessSpace(decoder, from, address, op));
  const Type type = Decoder::LastType(from);
  const bool wide = type == Type::kB128;  // two rows to a register
  if (ptx::TypeBytes(type) == 0) return decoder.Refuse(from, "type not supported");
  op.bytes = wide ? 8 : static_cast<std::uint8_t>(ptx::TypeBytes(type));
  op.mode = load && (type == Type::kS8 || type == Type::kS16 || type == Type::kS32) ? 1 : 0;
  std::size_t count = 1;
  if (Decoder::Has(from, "v2")) count = 2;
  if (Decoder::Has(from, "v4")) count = 4;
  if (Decoder::Has(from, "v8")) count = 8;
  const std::vector<Operand> single{value};
  const std::vector<Operand>& elements = value.kind == Operand::Kind::kVector ? value.elements : single;
  if (elements.size() != count || op.bytes * count > 32) return decoder.Refuse(from, "vector not supported");
  if (wide && count != 1) return decoder.Refuse(from, "vector not supported");
  op.count = static_cast<std::uint8_t>(wide ? 2 : count);
  if (wide) {
    ACCELMESH_ASSIGN_OR_RETURN(op.rows[1], decoder.HighRow(value));
  }
  for (std::size_t i = 0; i < count; ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(op.rows[i], load ? decoder.Destination(elements[i]) : decoder.Source(elements[i], type));
  }
  bool atomic = false;
  for (const std::string_view word : {"volatile", "relaxed", "acquire", "release", "mmio"})
    atomic = atomic || Decoder::Has(from, word);
  if (op.space == Space::kParam) {
    if (!load) return decoder.Refuse(from, "kernel parameters cannot be written");
    op.handler = LoadParameter;
  } else if (load) {
    op.handler = atomic ? LoadAtomic : Load;
  } else {
    op.handler = atomic ? StoreAtomic : Store;
  }
  return Status::Ok();
}
Status LoadRule(Decoder& decoder, const Instruction& from, Op& op) { return AccessRule(decoder, from, op, true); }
Status StoreRule(Decoder& decoder, const Instruction& from, Op& op) { return AccessRule(decoder, from, op, false); }

// Where the window of a state space begins, as a generic address: those are host addresses.
std::uint64_t WindowBase(const Warp& warp, Space space, std::uint32_t lane) {
  switch (space) {
    case Space::kShared: return reinterpret_cast<std::uint64_t>(warp.block->shared_base());
    case Space::kLocal: return reinterpret_cast<std::uint64_t>(warp.local + std::size_t{lane} * warp.local_stride);
    case Space::kParam: return reinterpret_cast<std::uint64_t>(warp.block->launch->arguments.data());
    default: return 0;
  }
}
Space NamedSpace(Decoder& decoder, const Instruction& from) {
  for (std::size_t i = 1; i < from.opcode.size(); ++i) {
    const std::string_view name = from.opcode[i].substr(0, from.opcode[i].find(':'));
    if (name == "shared") return Space::kShared;
    if (name == "local") return Space::kLocal;
    if (name == "param") return decoder.body().is_function ? Space::kLocal : Space::kParam;
  }
  return Space::kGlobal;
}
// cvta: mode 1 from an offset in the window to a generic address, 2 back.
void ConvertAddress(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint64_t base = WindowBase(warp, op.space, l);
    d[l] = op.mode == 2 ? a[l] - base : a[l] + base;
  });
}
Status ConvertAddressRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (ptx::TypeBytes(Decoder::LastType(from)) != 8) return decoder.Refuse(from, "only 64-bit addresses are supported");
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 2));
  op.space = NamedSpace(decoder, from);
  op.mode = Decoder::Has(from, "to") ? 2 : 1;
  op.handler = ConvertAddress;
  return Status::Ok();
}
// isspacep p, a. What lies in no window of the block is global.
void IsSpace(Warp& warp, const Op& op, std::uint32_t mask) {
  BlockContext::State& s = *warp.block;
  std::uint32_t holds = 0;
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint64_t address = warp.r[op.a].lane[l];
    const auto inside = [&](Space space, std::uint64_t bytes) {
      return address - WindowBase(warp, space, space == Space::kLocal ? 0 : l) < bytes;
    };
    const bool shared = inside(Space::kShared, s.shared_bytes);
    const bool local = address - reinterpret_cast<std::uint64_t>(s.local_base()) < s.local_bytes;
    const bool param = inside(Space::kParam, s.launch->arguments.size());
    const bool yes = op.space == Space::kShared  ? shared
                     : op.space == Space::kLocal ? local
                     : op.space == Space::kParam ? param
                                                 : !shared && !local && !param;
    holds |= yes ? 1u << l : 0;
  });
  warp.p[op.d] = (warp.p[op.d] & ~mask) | holds;
}
Status IsSpaceRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 2) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Predicate(from.operands[0]));
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[1]));
  op.space = NamedSpace(decoder, from);
  op.handler = IsSpace;
  return Status::Ok();
}

void Fence(Warp& /*warp*/, const Op& /*op*/, std::uint32_t /*mask*/) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}
Status FenceRule(Decoder& /*decoder*/, const Instruction& /*from*/, Op& op) {
  op.handler = Fence;
  return Status::Ok();
}
void Nothing(Warp& /*warp*/, const Op& /*op*/, std::uint32_t /*mask*/) {}
Status HintRule(Decoder& /*decoder*/, const Instruction& /*from*/, Op& op) {
  op.handler = Nothing;
  return Status::Ok();
}

}  // namespace

Status AccessSpace(Decoder& decoder, const Instruction& from, const Operand& address, Op& op) {
  op.space = Space::kGlobal;
  bool generic = true;
  for (const auto& [name, space] : {std::pair{"global", Space::kGlobal},
                                    {"const", Space::kGlobal},
                                    {"shared", Space::kShared},
                                    {"local", Space::kLocal},
                                    {"param", Space::kParam}}) {
    for (std::size_t i = 1; i < from.opcode.size(); ++i) {
      if (from.opcode[i].substr(0, from.opcode[i].find(':')) != name) continue;
      op.space = space;
      generic = false;
    }
  }
  if (!address.is_address) return decoder.Refuse(from, "an address was expected");
  op.immediate = address.immediate;
  if (address.kind == Operand::Kind::kSymbol || address.kind == Operand::Kind::kVariable) {
    Space space{};
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t value, decoder.Address(address, &space));
    if (space == Space::kLocal) {
      op.a = decoder.FrameRow();
      op.immediate += value;
    } else {
      op.a = decoder.Constant(value);
    }
    // Parameters of calls and of device functions live in local memory. A symbol says itself where it lies.
    if (generic || (op.space == Space::kParam && space == Space::kLocal)) op.space = space;
    if (op.space != space) return decoder.Refuse(from, "the symbol is not in this state space");
    return Status::Ok();
  }
  if (address.kind == Operand::Kind::kImmediate) op.immediate = 0;
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(address));
  if (op.space == Space::kParam && decoder.body().is_function) op.space = Space::kLocal;
  return Status::Ok();
}

std::uint8_t* RaiseAccessFault(Warp& warp, const Op& op, std::uint32_t lane, std::uint64_t address, bool misaligned) {
  char where[32];
  std::snprintf(where, sizeof(where), " 0x%llx", static_cast<unsigned long long>(address));
  if (misaligned) {
    RaiseFault(warp, op, lane, kDeviceMisaligned, std::string("misaligned address") + where);
  } else {
    RaiseFault(warp, op, lane, kDeviceIllegalAddress,
               std::string(op.space == Space::kShared  ? "shared memory out of bounds at"
                           : op.space == Space::kLocal ? "local memory out of bounds at"
                                                       : "illegal address") +
                   where);
  }
  return nullptr;
}

bool InsideBlock(const Warp& warp, std::uint64_t address, std::uint64_t bytes) {
  BlockContext::State& s = *warp.block;
  const auto inside = [address, bytes](const std::uint8_t* base, std::uint64_t size) {
    const std::uint64_t offset = address - reinterpret_cast<std::uint64_t>(base);
    return offset < size && bytes <= size - offset;
  };
  return inside(s.shared_base(), s.shared_bytes) || inside(s.local_base(), s.local_bytes) ||
         inside(s.launch->arguments.data(), s.launch->arguments.size()) ||
         inside(s.launch->workspace.data(), s.launch->workspace.size());
}

const RuleTable& MemoryRules() {
  static constexpr std::string_view kAccess =
      "global const shared shared::cta local param param::entry param::func weak volatile relaxed acquire release mmio "
      "cta cluster gpu sys nc ca cg cs lu cv wb wt v2 v4 v8 hint";
  static constexpr std::string_view kSpaces = "to global const shared shared::cta local param param::entry";
  static const RuleTable kRules{
      {"ld", {LoadRule, kAccess}},
      {"ldu", {LoadRule, kAccess}},
      {"st", {StoreRule, kAccess}},
      {"cvta", {ConvertAddressRule, kSpaces}},
      {"isspacep", {IsSpaceRule, kSpaces}},
      {"membar", {FenceRule, "cta gl sys"}},
      {"fence", {FenceRule, "cta cluster gpu sys sc acq_rel acquire release proxy alias async global shared::cta"}},
      {"prefetch", {HintRule, "global local L1 L2 hint"}},
      {"prefetchu", {HintRule, "L1"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
