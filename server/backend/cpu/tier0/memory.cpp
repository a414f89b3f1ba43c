// Loads, stores, atomics, address conversion, device printf.
#include <cstdio>

#include "server/backend/cpu/tier0/warp.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Space;
using ptx::Type;

// Plain accesses of a kernel race where the kernel does; that is the program's business, not a sanitizer's.
__attribute__((no_sanitize("thread"))) inline std::uint64_t LoadPlain(const std::uint8_t* from, std::uint32_t bytes) {
  switch (bytes) {
    case 1: return *from;
    case 2: return *reinterpret_cast<const std::uint16_t*>(from);
    case 4: return *reinterpret_cast<const std::uint32_t*>(from);
    default: return *reinterpret_cast<const std::uint64_t*>(from);
  }
}
__attribute__((no_sanitize("thread"))) inline void StorePlain(std::uint8_t* to, std::uint64_t v, std::uint32_t bytes) {
  switch (bytes) {
    case 1: *to = static_cast<std::uint8_t>(v); break;
    case 2: *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(v); break;
    case 4: *reinterpret_cast<std::uint32_t*>(to) = static_cast<std::uint32_t>(v); break;
    default: *reinterpret_cast<std::uint64_t*>(to) = v; break;
  }
}

bool InsideBlock(const Warp& warp, std::uint64_t address, std::uint64_t bytes) {
  const BlockContext::State& s = *warp.block;
  const auto inside = [address, bytes](const std::uint8_t* base, std::uint64_t size) {
    const std::uint64_t offset = address - reinterpret_cast<std::uint64_t>(base);
    return offset < size && bytes <= size - offset;
  };
  return inside(s.shared.data(), s.shared_bytes) || inside(s.local.data(), s.local.size()) ||
         inside(s.launch->arguments.data(), s.launch->arguments.size());
}

// The host address of an access by one lane, or null with the fault raised.
inline std::uint8_t* Resolve(Warp& warp, const Op& op, std::uint32_t lane, std::uint32_t bytes) {
  const std::uint64_t address = warp.r[op.a].lane[lane] + op.immediate;
  const BlockContext::State& s = *warp.block;
  if (op.space == Space::kGlobal && s.launch->memory->Allowed(address, bytes)) [[likely]] {
    if ((address & (bytes - 1)) != 0) {
      RaiseFault(warp, op, lane, kDeviceMisaligned, "misaligned address");
      return nullptr;
    }
    return reinterpret_cast<std::uint8_t*>(address);
  }
  if (op.space == Space::kShared || op.space == Space::kLocal) {
    // Addresses of the window wrap at 32 bits.
    const std::uint32_t offset = static_cast<std::uint32_t>(address);
    const std::uint32_t size = op.space == Space::kShared ? s.shared_bytes : warp.local_stride;
    if (offset > size || bytes > size - offset) {
      RaiseFault(warp, op, lane, kDeviceIllegalAddress,
                 op.space == Space::kShared ? "shared memory out of bounds" : "local memory out of bounds");
      return nullptr;
    }
    if ((offset & (bytes - 1)) != 0) {
      RaiseFault(warp, op, lane, kDeviceMisaligned, "misaligned address");
      return nullptr;
    }
    const std::uint8_t* base =
        op.space == Space::kShared ? s.shared.data() : warp.local + std::size_t{lane} * warp.local_stride;
    return const_cast<std::uint8_t*>(base) + offset;
  }
  if (InsideBlock(warp, address, bytes)) return reinterpret_cast<std::uint8_t*>(address);
  char where[32];
  std::snprintf(where, sizeof(where), "0x%llx", static_cast<unsigned long long>(address));
  RaiseFault(warp, op, lane, kDeviceIllegalAddress, std::string("illegal address ") + where);
  return nullptr;
}

template <typename T>
std::uint64_t Extend(std::uint64_t v) {
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<T>(v)));
}

// A load of a narrow signed type fills the register by its sign.
std::uint64_t ExtendAs(std::uint64_t v, std::uint8_t mode) {
  switch (mode) {
    case 1: return Extend<std::int8_t>(v);
    case 2: return Extend<std::int16_t>(v);
    case 4: return Extend<std::int32_t>(v) & 0xffffffffu;
    default: return v;
  }
}

template <typename T>
__attribute__((no_sanitize("thread"))) bool LoadContiguous(Warp& warp, const Op& op) {
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t first = a[0] + op.immediate;
  std::uint64_t differs = 0;
  for (std::uint32_t l = 0; l < kLanes; ++l) differs |= a[l] ^ (a[0] + l * sizeof(T));
  if (differs != 0 || first % sizeof(T) != 0 || !warp.block->launch->memory->Allowed(first, sizeof(T) * kLanes))
    return false;
  const T* from = reinterpret_cast<const T*>(first);
  std::uint64_t* d = warp.r[op.rows[0]].lane;
  for (std::uint32_t l = 0; l < kLanes; ++l) d[l] = from[l];
  return true;
}

template <typename T>
__attribute__((no_sanitize("thread"))) bool StoreContiguous(Warp& warp, const Op& op) {
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t first = a[0] + op.immediate;
  std::uint64_t differs = 0;
  for (std::uint32_t l = 0; l < kLanes; ++l) differs |= a[l] ^ (a[0] + l * sizeof(T));
  if (differs != 0 || first % sizeof(T) != 0 || !warp.block->launch->memory->Allowed(first, sizeof(T) * kLanes))
    return false;
  T* to = reinterpret_cast<T*>(first);
  const std::uint64_t* v = warp.r[op.rows[0]].lane;
  for (std::uint32_t l = 0; l < kLanes; ++l) to[l] = static_cast<T>(v[l]);
  return true;
}

void Load(Warp& warp, const Op& op, std::uint32_t mask) {
  if (mask == kAllLanes && op.count == 1 && op.space == Space::kGlobal && op.mode == 0) {
    if (op.bytes == 4 && LoadContiguous<std::uint32_t>(warp, op)) return;
    if (op.bytes == 8 && LoadContiguous<std::uint64_t>(warp, op)) return;
  }
  const std::uint32_t total = std::uint32_t{op.bytes} * op.count;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = static_cast<std::uint32_t>(std::countr_zero(m));
    const std::uint8_t* from = Resolve(warp, op, l, total);
    if (from == nullptr) return;
    // All elements are read before any is written: a destination may be the address.
    std::uint64_t values[8];
    for (std::uint32_t i = 0; i < op.count; ++i)
      values[i] = ExtendAs(LoadPlain(from + i * op.bytes, op.bytes), op.mode);
    for (std::uint32_t i = 0; i < op.count; ++i) warp.r[op.rows[i]].lane[l] = values[i];
  }
}

void Store(Warp& warp, const Op& op, std::uint32_t mask) {
  if (mask == kAllLanes && op.count == 1 && op.space == Space::kGlobal) {
    if (op.bytes == 4 && StoreContiguous<std::uint32_t>(warp, op)) return;
    if (op.bytes == 8 && StoreContiguous<std::uint64_t>(warp, op)) return;
  }
  const std::uint32_t total = std::uint32_t{op.bytes} * op.count;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = static_cast<std::uint32_t>(std::countr_zero(m));
    std::uint8_t* to = Resolve(warp, op, l, total);
    if (to == nullptr) return;
    for (std::uint32_t i = 0; i < op.count; ++i) StorePlain(to + i * op.bytes, warp.r[op.rows[i]].lane[l], op.bytes);
  }
}

// Volatile, relaxed, acquire and release: real atomics of the access's size.
void LoadAtomic(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = static_cast<std::uint32_t>(std::countr_zero(m));
    const std::uint8_t* from = Resolve(warp, op, l, std::uint32_t{op.bytes} * op.count);
    if (from == nullptr) return;
    for (std::uint32_t i = 0; i < op.count; ++i, from += op.bytes) {
      std::uint64_t v = 0;
      switch (op.bytes) {
        case 1: v = __atomic_load_n(from, __ATOMIC_ACQUIRE); break;
        case 2: v = __atomic_load_n(reinterpret_cast<const std::uint16_t*>(from), __ATOMIC_ACQUIRE); break;
        case 4: v = __atomic_load_n(reinterpret_cast<const std::uint32_t*>(from), __ATOMIC_ACQUIRE); break;
        default: v = __atomic_load_n(reinterpret_cast<const std::uint64_t*>(from), __ATOMIC_ACQUIRE); break;
      }
      warp.r[op.rows[i]].lane[l] = ExtendAs(v, op.mode);
    }
  }
}
void StoreAtomic(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = static_cast<std::uint32_t>(std::countr_zero(m));
    std::uint8_t* to = Resolve(warp, op, l, std::uint32_t{op.bytes} * op.count);
    if (to == nullptr) return;
    for (std::uint32_t i = 0; i < op.count; ++i, to += op.bytes) {
      const std::uint64_t v = warp.r[op.rows[i]].lane[l];
      switch (op.bytes) {
        case 1: __atomic_store_n(to, static_cast<std::uint8_t>(v), __ATOMIC_RELEASE); break;
        case 2:
          __atomic_store_n(reinterpret_cast<std::uint16_t*>(to), static_cast<std::uint16_t>(v), __ATOMIC_RELEASE);
          break;
        case 4:
          __atomic_store_n(reinterpret_cast<std::uint32_t*>(to), static_cast<std::uint32_t>(v), __ATOMIC_RELEASE);
          break;
        default: __atomic_store_n(reinterpret_cast<std::uint64_t*>(to), v, __ATOMIC_RELEASE); break;
      }
    }
  }
}

// Parameters are the same for all lanes unless they are indexed by a register.
void LoadParameter(Warp& warp, const Op& op, std::uint32_t mask) {
  const ByteView arguments = warp.block->launch->arguments;
  for (std::uint32_t i = 0; i < op.count; ++i) {
    std::uint64_t* d = warp.r[op.rows[i]].lane;
    const std::uint64_t offset = warp.r[op.a].lane[std::countr_zero(mask)] + op.immediate + i * op.bytes;
    if (offset > arguments.size() || op.bytes > arguments.size() - offset) {
      RaiseFault(warp, op, 0, kDeviceIllegalAddress, "a kernel parameter is out of bounds");
      return;
    }
    std::uint64_t v = 0;
    std::memcpy(&v, arguments.data() + offset, op.bytes);
    v = ExtendAs(v, op.mode);
    ForLanes(mask, [d, v](std::uint32_t l) { d[l] = v; });
  }
}

enum AtomicKind : std::uint8_t { kAdd, kMin, kMax, kAnd, kOr, kXor, kExchange, kCas, kInc, kDec };

template <typename T>
std::uint64_t AtomicOne(std::uint8_t* address, std::uint8_t kind, std::uint64_t b, std::uint64_t c) {
  using Word = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  Word* word = reinterpret_cast<Word*>(address);
  Word old = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (true) {
    const T v = Get<T>(old);
    const T operand = Get<T>(b);
    T wanted{};
    switch (kind) {
      case kAdd: wanted = static_cast<T>(v + operand); break;
      case kMin: wanted = std::min(v, operand); break;
      case kMax: wanted = std::max(v, operand); break;
      case kAnd: wanted = Get<T>(old & static_cast<Word>(b)); break;
      case kOr: wanted = Get<T>(old | static_cast<Word>(b)); break;
      case kXor: wanted = Get<T>(old ^ static_cast<Word>(b)); break;
      case kExchange: wanted = operand; break;
      case kCas: wanted = old == static_cast<Word>(b) ? Get<T>(c) : v; break;
      case kInc: wanted = v >= operand ? T{} : static_cast<T>(v + 1); break;
      default: wanted = v == T{} || v > operand ? operand : static_cast<T>(v - 1); break;
    }
    if (__atomic_compare_exchange_n(word, &old, static_cast<Word>(Put<T>(wanted)), false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
      return old;
  }
}

template <typename T>
void Atomic(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = static_cast<std::uint32_t>(std::countr_zero(m));
    std::uint8_t* at = Resolve(warp, op, l, sizeof(T));
    if (at == nullptr) return;
    warp.r[op.d].lane[l] = AtomicOne<T>(at, op.mode, warp.r[op.b].lane[l], warp.r[op.c].lane[l]);
  }
}

Status AccessSpace(Decoder& decoder, const Instruction& from, const Operand& address, Op& op) {
  op.space = Space::kGlobal;
  bool stated = false;
  for (const auto& [name, space] : {std::pair{"global", Space::kGlobal},
                                    {"const", Space::kGlobal},
                                    {"shared", Space::kShared},
                                    {"local", Space::kLocal},
                                    {"param", Space::kParam}}) {
    for (std::size_t i = 1; i < from.opcode.size(); ++i) {
      if (from.opcode[i].substr(0, from.opcode[i].find(':')) == name) {
        op.space = space;
        stated = true;
      }
    }
  }
  op.generic = !stated;
  op.immediate = address.immediate;
  if (address.kind == Operand::Kind::kSymbol) {
    Space space{};
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t value, decoder.SymbolValue(address.symbol, &space));
    op.a = decoder.Constant(value);
    // The scratch parameters of a call live in local memory.
    if (op.space == Space::kParam && space == Space::kLocal) op.space = Space::kLocal;
    return Status::Ok();
  }
  if (address.kind == Operand::Kind::kImmediate) op.immediate = 0;
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(address));
  return Status::Ok();
}

Status AccessRule(Decoder& decoder, const Instruction& from, Op& op, bool load) {
  if (from.operands.size() < 2) return decoder.Refuse(from, "the number of operands is off");
  const Operand& address = from.operands[load ? 1 : 0];
  const Operand& value = from.operands[load ? 0 : 1];
  ACCELMESH_RETURN_IF_ERROR(AccessSpace(decoder, from, address, op));
  const Type type = Decoder::LastType(from);
  if (ptx::TypeBytes(type) == 0 || ptx::TypeBytes(type) > 8) return decoder.Refuse(from, "type not supported");
  op.bytes = static_cast<std::uint8_t>(ptx::TypeBytes(type));
  if (load && type == Type::kS8) op.mode = 1;
  if (load && type == Type::kS16) op.mode = 2;
  if (load && type == Type::kS32) op.mode = 4;
  if (op.mode == 4) op.mode = 0;  // 32-bit containers are kept zero-extended
  std::vector<Operand> elements = value.kind == Operand::Kind::kVector ? value.elements : std::vector<Operand>{value};
  if (elements.empty() || elements.size() > 8) return decoder.Refuse(from, "vector not supported");
  op.count = static_cast<std::uint8_t>(elements.size());
  for (std::size_t i = 0; i < elements.size(); ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(op.rows[i], load ? decoder.Destination(elements[i]) : decoder.Source(elements[i]));
  }
  const bool atomic = Decoder::Has(from, "volatile") || Decoder::Has(from, "relaxed") ||
                      Decoder::Has(from, "acquire") || Decoder::Has(from, "release");
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

Status AtomicRule(Decoder& decoder, const Instruction& from, Op& op) {
  static const std::unordered_map<std::string_view, std::uint8_t> kKinds{
      {"add", kAdd}, {"min", kMin},       {"max", kMax}, {"and", kAnd}, {"or", kOr},
      {"xor", kXor}, {"exch", kExchange}, {"cas", kCas}, {"inc", kInc}, {"dec", kDec}};
  const bool reduction = from.opcode[0] == "red";
  const std::size_t first = reduction ? 0 : 1;
  if (from.operands.size() < first + 2) return decoder.Refuse(from, "the number of operands is off");
  bool found = false;
  for (const std::string_view part : from.opcode) {
    if (const auto kind = kKinds.find(part); kind != kKinds.end()) {
      op.mode = kind->second;
      found = true;
    }
  }
  if (!found) return decoder.Refuse(from, "operation not supported");
  ACCELMESH_RETURN_IF_ERROR(AccessSpace(decoder, from, from.operands[first], op));
  ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[first + 1]));
  if (from.operands.size() > first + 2) {
    ACCELMESH_ASSIGN_OR_RETURN(op.c, decoder.Source(from.operands[first + 2]));
  }
  ACCELMESH_ASSIGN_OR_RETURN(op.d, reduction ? decoder.Destination({}) : decoder.Destination(from.operands[0]));
  switch (Decoder::LastType(from)) {
    case Type::kB32:
    case Type::kU32: op.handler = Atomic<std::uint32_t>; break;
    case Type::kB64:
    case Type::kU64: op.handler = Atomic<std::uint64_t>; break;
    case Type::kS32: op.handler = Atomic<std::int32_t>; break;
    case Type::kS64: op.handler = Atomic<std::int64_t>; break;
    case Type::kF32: op.handler = Atomic<float>; break;
    case Type::kF64: op.handler = Atomic<double>; break;
    default: return decoder.Refuse(from, "type not supported");
  }
  return Status::Ok();
}

// cvta: generic addresses are host addresses. mode: 0 as it is, 1 from an offset, 2 to an offset.
void ConvertAddress(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  ForLanes(mask, [&](std::uint32_t l) {
    std::uint64_t base = 0;
    if (op.space == Space::kShared) base = reinterpret_cast<std::uint64_t>(warp.block->shared.data());
    if (op.space == Space::kLocal)
      base = reinterpret_cast<std::uint64_t>(warp.local + std::size_t{l} * warp.local_stride);
    if (op.space == Space::kParam) base = reinterpret_cast<std::uint64_t>(warp.block->launch->arguments.data());
    d[l] = op.mode == 2 ? a[l] - base : a[l] + base;
  });
}
Status ConvertAddressRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 2));
  op.space = Decoder::Has(from, "shared")  ? Space::kShared
             : Decoder::Has(from, "local") ? Space::kLocal
             : Decoder::Has(from, "param") ? Space::kParam
                                           : Space::kGlobal;
  op.mode = Decoder::Has(from, "to") ? 2 : 1;
  op.handler = ConvertAddress;
  return Status::Ok();
}

void Fence(Warp& /*warp*/, const Op& /*op*/, std::uint32_t /*mask*/) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}
Status FenceRule(Decoder& /*decoder*/, const Instruction& /*from*/, Op& op) {
  op.handler = Fence;
  return Status::Ok();
}

// Reads a zero-terminated string of the device, bounded.
std::string DeviceString(Warp& warp, std::uint64_t address) {
  std::string text;
  while (text.size() < 4096 && (warp.block->launch->memory->Allowed(address, 1) || InsideBlock(warp, address, 1))) {
    const char c = *reinterpret_cast<const char*>(address++);
    if (c == '\0') break;
    text += c;
  }
  return text;
}

// Formats one lane's vprintf: the arguments lie 8-aligned (4-byte values 4-aligned) at `arguments`.
std::string FormatDevice(Warp& warp, const std::string& format, std::uint64_t arguments) {
  std::string out;
  std::uint64_t at = arguments;
  const auto next = [&](std::uint32_t bytes) -> std::uint64_t {
    at = AlignUp(at, bytes);
    std::uint64_t v = 0;
    if (InsideBlock(warp, at, bytes)) std::memcpy(&v, reinterpret_cast<const void*>(at), bytes);
    at += bytes;
    return v;
  };
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    std::string spec = "%";
    int longs = 0;
    for (++i; i < format.size(); ++i) {
      const char c = format[i];
      if (c == 'l' || c == 'z' || c == 'j') {
        ++longs;
      } else if (c == '*') {
        spec += std::to_string(static_cast<int>(next(4)));
      } else if (c != 'h') {
        spec += c;
        if (std::isalpha(static_cast<unsigned char>(c)) || c == '%') break;
      }
    }
    if (spec.size() > 32 || i >= format.size()) break;
    char text[512];
    text[0] = '\0';
    const char kind = spec.back();
    spec.pop_back();
    if (kind == '%') {
      out += '%';
      continue;
    }
    if (kind == 'd' || kind == 'i') {
      const std::uint64_t v = next(longs > 0 ? 8 : 4);
      std::snprintf(text, sizeof(text), (spec + "lld").c_str(),
                    longs > 0 ? static_cast<long long>(v) : static_cast<long long>(static_cast<std::int32_t>(v)));
    } else if (kind == 'u' || kind == 'x' || kind == 'X' || kind == 'o') {
      std::snprintf(text, sizeof(text), (spec + "ll" + kind).c_str(),
                    static_cast<unsigned long long>(next(longs > 0 ? 8 : 4)));
    } else if (kind == 'c') {
      std::snprintf(text, sizeof(text), (spec + "c").c_str(), static_cast<int>(next(4)));
    } else if (kind == 's') {
      const std::string value = DeviceString(warp, next(8));
      std::snprintf(text, sizeof(text), (spec + "s").c_str(), value.c_str());
    } else if (kind == 'p') {
      std::snprintf(text, sizeof(text), (spec + "p").c_str(), reinterpret_cast<void*>(next(8)));
    } else {
      std::snprintf(text, sizeof(text), (spec + kind).c_str(), std::bit_cast<double>(next(8)));
    }
    out += text;
  }
  return out;
}

// call (retval), vprintf, (param0, param1): rows[0] format, rows[1] arguments, both offsets in local memory.
void CallPrintf(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = static_cast<std::uint32_t>(std::countr_zero(m));
    std::uint8_t* local = warp.local + std::size_t{l} * warp.local_stride;
    std::uint64_t format = 0;
    std::uint64_t arguments = 0;
    std::memcpy(&format, local + op.rows[0], 8);
    std::memcpy(&arguments, local + op.rows[1], 8);
    const std::string text = FormatDevice(warp, DeviceString(warp, format), arguments);
    if (warp.block->launch->print != nullptr) (*warp.block->launch->print)(text);
    const std::int32_t length = static_cast<std::int32_t>(text.size());
    std::memcpy(local + op.rows[2], &length, 4);
  }
}
void CallAssert(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t l = static_cast<std::uint32_t>(std::countr_zero(mask));
  std::uint64_t message = 0;
  std::memcpy(&message, warp.local + std::size_t{l} * warp.local_stride + op.rows[0], 8);
  RaiseFault(warp, op, l, kDeviceAssert, "assertion failed: " + DeviceString(warp, message));
}
Status CallRule(Decoder& decoder, const Instruction& from, Op& op) {
  std::string_view name;
  const Operand* arguments = nullptr;
  const Operand* result = nullptr;
  for (const Operand& operand : from.operands) {
    if (operand.kind == Operand::Kind::kSymbol && name.empty()) {
      name = operand.symbol;
    } else if (operand.kind == Operand::Kind::kVector) {
      (name.empty() ? result : arguments) = &operand;
    }
  }
  if (name != "vprintf" && name != "__assertfail")
    return decoder.Refuse(from, "calls of device functions are not supported");
  if (arguments == nullptr || arguments->elements.size() < 2 || arguments->elements.size() > 6)
    return decoder.Refuse(from, "the parameters are off");
  for (std::size_t i = 0; i < arguments->elements.size(); ++i) {
    Space space{};
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t offset, decoder.SymbolValue(arguments->elements[i].symbol, &space));
    if (i < 2) op.rows[i] = static_cast<std::uint32_t>(offset);
  }
  op.rows[2] = op.rows[0];
  if (result != nullptr && !result->elements.empty()) {
    Space space{};
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t offset, decoder.SymbolValue(result->elements[0].symbol, &space));
    op.rows[2] = static_cast<std::uint32_t>(offset);
  }
  op.handler = name == "vprintf" ? CallPrintf : CallAssert;
  return Status::Ok();
}

}  // namespace

DecodeRule FindMemoryRule(std::string_view opcode) {
  static const std::unordered_map<std::string_view, DecodeRule> kRules{
      {"ld", LoadRule},         {"ldu", LoadRule},    {"st", StoreRule},
      {"atom", AtomicRule},     {"red", AtomicRule},  {"cvta", ConvertAddressRule},
      {"membar", FenceRule},    {"fence", FenceRule}, {"prefetch", FenceRule},
      {"prefetchu", FenceRule}, {"call", CallRule}};
  const auto found = kRules.find(opcode);
  return found == kRules.end() ? nullptr : found->second;
}

}  // namespace accelmesh::tier0
