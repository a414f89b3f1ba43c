// What kernels call that the runtime provides: vprintf, __assertfail, malloc, free, cudaGraphSetConditional.
#include <algorithm>
#include <atomic>
#include <cstdio>

#include "server/backend/cpu/tier0/calls.h"
#include "server/backend/cpu/tier0/heap.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;

constexpr std::size_t kFormatBytesMax = 4096;
constexpr int kFieldWidthMax = 1024;  // of a number or string that a kernel prints

// Reads a zero-terminated string of the device, bounded.
std::string DeviceString(Warp& warp, std::uint64_t address) {
  std::string text;
  while (text.size() < kFormatBytesMax &&
         (warp.block->launch->memory->Allowed(address, 1) || InsideBlock(warp, address, 1))) {
    const char c = *reinterpret_cast<const char*>(address++);
    if (c == '\0') break;
    text += c;
  }
  return text;
}

// The arguments of one lane's vprintf, packed with the alignment of each.
struct ArgumentReader {
  Warp& warp;
  std::uint64_t at;
  std::uint64_t Next(std::uint32_t bytes) {
    at = AlignUp(at, bytes);
    std::uint64_t v = 0;
    if (InsideBlock(warp, at, bytes) || warp.block->launch->memory->Allowed(at, bytes))
      std::memcpy(&v, reinterpret_cast<const void*>(at), bytes);
    at += bytes;
    return v;
  }
};

// One conversion: "%" [flags] [width] [.precision] [length] kind. Nothing that a kernel writes reaches snprintf as it
// is: `spec` is put together from what was understood.
struct Conversion {
  std::string flags;
  int width = -1;
  int precision = -1;
  int longs = 0;
  int halves = 0;
  char kind = '\0';
};
bool ParseConversion(const std::string& format, std::size_t* at, ArgumentReader& arguments, Conversion* out) {
  std::size_t i = *at;
  const auto number = [&]() -> int {
    if (i < format.size() && format[i] == '*') {
      ++i;
      return std::clamp(static_cast<std::int32_t>(arguments.Next(4)), -kFieldWidthMax, kFieldWidthMax);
    }
    int value = 0;
    while (i < format.size() && format[i] >= '0' && format[i] <= '9')
      value = std::min(value * 10 + (format[i++] - '0'), kFieldWidthMax);
    return value;
  };
  while (i < format.size() && std::string_view("-+ #0").find(format[i]) != std::string_view::npos) {
    if (out->flags.find(format[i]) == std::string::npos) out->flags += format[i];
    ++i;
  }
  if (i < format.size() && (format[i] == '*' || (format[i] >= '1' && format[i] <= '9'))) out->width = number();
  if (out->width < -1) {
    out->flags += '-';
    out->width = -out->width;
  }
  if (i < format.size() && format[i] == '.') {
    ++i;
    out->precision = number();
  }
  for (; i < format.size(); ++i) {
    if (format[i] == 'l') {
      ++out->longs;
    } else if (format[i] == 'z' || format[i] == 'j' || format[i] == 't') {
      out->longs = 2;
    } else if (format[i] == 'h') {
      ++out->halves;
    } else {
      break;
    }
  }
  if (i >= format.size() || std::string_view("diuxXocspfFeEgGaA%").find(format[i]) == std::string_view::npos)
    return false;
  out->kind = format[i];
  *at = i + 1;
  return true;
}
template <typename T>
void Print(const Conversion& conversion, const char* length, T value, std::string* out) {
  std::string spec(1, '%');
  spec += conversion.flags;
  if (conversion.width >= 0) spec += std::to_string(conversion.width);
  if (conversion.precision >= 0) spec.append(".").append(std::to_string(conversion.precision));
  spec += length;
  spec += conversion.kind;
  char text[kFormatBytesMax + kFieldWidthMax];
  const int size = std::snprintf(text, sizeof(text), spec.c_str(), value);
  if (size > 0) out->append(text, std::min(static_cast<std::size_t>(size), sizeof(text) - 1));
}

// Returns the number of conversions, as printf of a device does.
std::int32_t FormatDevice(Warp& warp, const std::string& format, std::uint64_t address, std::string* out) {
  ArgumentReader arguments{warp, address};
  std::int32_t conversions = 0;
  for (std::size_t i = 0; i < format.size();) {
    if (format[i] != '%') {
      *out += format[i++];
      continue;
    }
    Conversion conversion;
    std::size_t behind = i + 1;
    if (!ParseConversion(format, &behind, arguments, &conversion)) {
      *out += format[i++];  // not a conversion: as it stands
      continue;
    }
    i = behind;
    if (conversion.kind == '%') {
      *out += '%';
      continue;
    }
    ++conversions;
    switch (conversion.kind) {
      case 'd':
      case 'i': {
        const std::uint64_t v = arguments.Next(conversion.longs > 0 ? 8 : 4);
        const long long wide = conversion.longs > 0    ? static_cast<long long>(v)
                               : conversion.halves > 1 ? static_cast<std::int8_t>(v)
                               : conversion.halves > 0 ? static_cast<std::int16_t>(v)
                                                       : static_cast<std::int32_t>(v);
        Print(conversion, "ll", wide, out);
        break;
      }
      case 'u':
      case 'x':
      case 'X':
      case 'o': {
        const std::uint64_t v = arguments.Next(conversion.longs > 0 ? 8 : 4);
        const unsigned long long wide = conversion.longs > 0    ? v
                                        : conversion.halves > 1 ? static_cast<std::uint8_t>(v)
                                        : conversion.halves > 0 ? static_cast<std::uint16_t>(v)
                                                                : static_cast<std::uint32_t>(v);
        Print(conversion, "ll", wide, out);
        break;
      }
      case 'c': Print(conversion, "", static_cast<int>(arguments.Next(4)), out); break;
      case 's': Print(conversion, "", DeviceString(warp, arguments.Next(8)).c_str(), out); break;
      case 'p': Print(conversion, "", reinterpret_cast<void*>(arguments.Next(8)), out); break;
      default: Print(conversion, "", std::bit_cast<double>(arguments.Next(8)), out); break;
    }
  }
  return conversions;
}

// Arguments and results of these calls lie in the caller's frame: rows[i] is the offset of the i-th argument, row d
// that of the result (kNoRow: nobody wants it), and row a the frame.

std::uint8_t* InFrame(const Warp& warp, const Op& op, std::uint32_t lane, std::uint32_t offset) {
  return warp.local + std::size_t{lane} * warp.local_stride + warp.r[op.a].lane[lane] + offset;
}
template <typename T>
T Argument(const Warp& warp, const Op& op, std::uint32_t lane, std::uint32_t index) {
  T v{};
  std::memcpy(&v, InFrame(warp, op, lane, op.rows[index]), sizeof(v));
  return v;
}
template <typename T>
void Answer(const Warp& warp, const Op& op, std::uint32_t lane, T v) {
  if (op.d != kNoRow) std::memcpy(InFrame(warp, op, lane, op.d), &v, sizeof(v));
}

// int vprintf(format, arguments)
void CallPrintf(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    std::string text;
    const auto format = Argument<std::uint64_t>(warp, op, l, 0);
    const std::int32_t conversions =
        format == 0 ? -1
                    : FormatDevice(warp, DeviceString(warp, format), Argument<std::uint64_t>(warp, op, l, 1), &text);
    if (warp.block->launch->print != nullptr && !text.empty()) (*warp.block->launch->print)(text);
    Answer<std::int32_t>(warp, op, l, conversions);
  }
}

std::string Triple(const Dim3& v) {
  std::string text = "[";
  text.append(std::to_string(v.x)).append(",").append(std::to_string(v.y)).append(",").append(std::to_string(v.z));
  return text.append("]");
}
// void __assertfail(message, file, line, function, character size): every lane says so, in CUDA's words.
void CallAssert(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t first = FirstLane(mask);
  const std::string place = DeviceString(warp, Argument<std::uint64_t>(warp, op, first, 1)) + ":" +
                            std::to_string(Argument<std::uint32_t>(warp, op, first, 2));
  for (std::uint32_t m = mask; m != 0 && warp.block->launch->complain != nullptr; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    (*warp.block->launch->complain)(DeviceString(warp, Argument<std::uint64_t>(warp, op, l, 1)) + ":" +
                                    std::to_string(Argument<std::uint32_t>(warp, op, l, 2)) + ": " +
                                    DeviceString(warp, Argument<std::uint64_t>(warp, op, l, 3)) +
                                    ": block: " + Triple(warp.block->block_id) +
                                    ", thread: " + Triple(ThreadOf(warp, l)) + " Assertion `" +
                                    DeviceString(warp, Argument<std::uint64_t>(warp, op, l, 0)) + "` failed.\n");
  }
  RaiseFault(warp, op, first, kDeviceAssert,
             place + ": assertion `" + DeviceString(warp, Argument<std::uint64_t>(warp, op, first, 0)) + "` failed");
}

// void* malloc(bytes): null where the heap is full.
void CallMalloc(Warp& warp, const Op& op, std::uint32_t mask) {
  Heap* heap = warp.block->launch->heap;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    Answer<std::uint64_t>(warp, op, l, heap == nullptr ? 0 : heap->Allocate(Argument<std::uint64_t>(warp, op, l, 0)));
  }
}
// void free(pointer)
void CallFree(Warp& warp, const Op& op, std::uint32_t mask) {
  Heap* heap = warp.block->launch->heap;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const auto address = Argument<std::uint64_t>(warp, op, l, 0);
    if (address == 0 || (heap != nullptr && heap->Free(address))) continue;
    RaiseFault(warp, op, l, kDeviceLaunchFailed, "free() of what malloc() did not give");
    return;
  }
}

// void cudaGraphSetConditional(handle, value): a handle is the address of the condition's word.
void CallSetConditional(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const auto handle = Argument<std::uint64_t>(warp, op, l, 0);
    if (handle % sizeof(std::uint32_t) != 0 || !warp.block->launch->memory->Allowed(handle, sizeof(std::uint32_t))) {
      RaiseFault(warp, op, l, kDeviceIllegalAddress, "cudaGraphSetConditional() of what is no handle");
      return;
    }
    // Other blocks may do the same; a racing value is one of theirs.
    std::atomic_ref(*reinterpret_cast<std::uint32_t*>(handle))
        .store(Argument<std::uint32_t>(warp, op, l, 1), std::memory_order_relaxed);
  }
}

struct RuntimeFunction {
  Handler handler = nullptr;
  std::vector<std::uint32_t> argument_bytes;
  std::uint32_t result_bytes = 0;
};
const RuntimeFunction* Find(std::string_view name) {
  static const std::unordered_map<std::string_view, RuntimeFunction> kFunctions{
      {"vprintf", {CallPrintf, {8, 8}, 4}},
      {"__assertfail", {CallAssert, {8, 8, 4, 8, 8}, 0}},
      {"malloc", {CallMalloc, {8}, 8}},
      {"free", {CallFree, {8}, 0}},
      {"cudaGraphSetConditional", {CallSetConditional, {8, 4}, 0}}};
  const auto found = kFunctions.find(name);
  return found == kFunctions.end() ? nullptr : &found->second;
}

}  // namespace

bool IsRuntimeFunction(std::string_view name) { return Find(name) != nullptr; }

Status RuntimeCall(Decoder& decoder, const Instruction& from, const Call& call, Op& op) {
  const RuntimeFunction& function = *Find(call.name);
  const std::size_t arguments = function.argument_bytes.size();
  if (call.argument_count() != arguments || call.result_count() > (function.result_bytes == 0 ? 0 : 1))
    return decoder.Refuse(from, "the parameters are off");
  for (std::size_t i = 0; i < arguments; ++i) {
    std::uint32_t bytes = 0;
    ACCELMESH_RETURN_IF_ERROR(CallVariable(decoder, from, call.arguments->elements[i], &op.rows[i], &bytes));
    if (bytes != function.argument_bytes[i]) return decoder.Refuse(from, "the parameters are off");
  }
  op.d = kNoRow;
  if (call.result_count() != 0) {
    std::uint32_t bytes = 0;
    ACCELMESH_RETURN_IF_ERROR(CallVariable(decoder, from, call.results->elements[0], &op.d, &bytes));
    if (bytes != function.result_bytes) return decoder.Refuse(from, "the parameters are off");
  }
  op.a = decoder.FrameRow();
  op.handler = function.handler;
  return Status::Ok();
}

}  // namespace accelmesh::tier0
