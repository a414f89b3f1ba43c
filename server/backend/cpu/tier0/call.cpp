// Calls: of device functions of the module, and of the few that the runtime provides (vprintf, __assertfail).
#include <algorithm>
#include <cstdio>

#include "server/backend/cpu/tier0/decoder.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;

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

std::uint64_t ReadLocal(const Warp& warp, std::uint32_t lane, std::uint32_t offset) {
  std::uint64_t v = 0;
  std::memcpy(&v, warp.local + std::size_t{lane} * warp.local_stride + offset, sizeof(v));
  return v;
}
// rows: offsets in local memory of the format, the arguments and the result.
void CallPrintf(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    std::string text;
    const std::uint64_t format = ReadLocal(warp, l, op.rows[0]);
    const std::int32_t conversions =
        format == 0 ? -1 : FormatDevice(warp, DeviceString(warp, format), ReadLocal(warp, l, op.rows[1]), &text);
    if (warp.block->launch->print != nullptr && !text.empty()) (*warp.block->launch->print)(text);
    if (op.rows[2] != kNoRow)
      std::memcpy(warp.local + std::size_t{l} * warp.local_stride + op.rows[2], &conversions, sizeof(conversions));
  }
}
// __assertfail(message, file, line, function, character size).
void CallAssert(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t l = FirstLane(mask);
  std::uint32_t line = 0;
  std::memcpy(&line, warp.local + std::size_t{l} * warp.local_stride + op.rows[2], sizeof(line));
  RaiseFault(warp, op, l, kDeviceAssert,
             DeviceString(warp, ReadLocal(warp, l, op.rows[1])) + ":" + std::to_string(line) + ": assertion `" +
                 DeviceString(warp, ReadLocal(warp, l, op.rows[0])) + "` failed");
}

// Between frames of one lane. targets: source, destination and bytes of each copy.
void CopyLocal(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    std::uint8_t* local = warp.local + std::size_t{FirstLane(m)} * warp.local_stride;
    for (std::size_t i = 0; i + 2 < op.targets.size(); i += 3)
      std::memmove(local + op.targets[i + 1], local + op.targets[i], op.targets[i + 2]);
  }
}

struct Call {
  std::string_view name;
  const Operand* results = nullptr;
  const Operand* arguments = nullptr;
  std::size_t result_count() const { return results == nullptr ? 0 : results->elements.size(); }
  std::size_t argument_count() const { return arguments == nullptr ? 0 : arguments->elements.size(); }
};
// The place in local memory of a .param variable of the caller, and how large it is.
Status Place(Decoder& decoder, const Instruction& from, const Operand& operand, std::uint32_t* offset,
             std::uint32_t* bytes) {
  if (operand.kind != Operand::Kind::kVariable) return decoder.Refuse(from, "only .param variables can be passed");
  ptx::Space space{};
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t address, decoder.Address(operand, &space));
  if (space != ptx::Space::kLocal) return decoder.Refuse(from, "only .param variables can be passed");
  *offset = static_cast<std::uint32_t>(address);
  *bytes = static_cast<std::uint32_t>(decoder.body().variables[operand.index].bytes);
  return Status::Ok();
}

Status RuntimeCall(Decoder& decoder, const Instruction& from, const Call& call, Op& op) {
  const bool print = call.name == "vprintf";
  const std::size_t wanted = print ? 2 : 3;
  if (call.argument_count() < wanted) return decoder.Refuse(from, "the parameters are off");
  op.rows[2] = kNoRow;
  for (std::size_t i = 0; i < wanted; ++i) {
    std::uint32_t bytes = 0;
    ACCELMESH_RETURN_IF_ERROR(Place(decoder, from, call.arguments->elements[i], &op.rows[i], &bytes));
    if (bytes != (i < 2 ? 8u : 4u)) return decoder.Refuse(from, "the parameters are off");
  }
  if (print && call.result_count() != 0) {
    std::uint32_t bytes = 0;
    ACCELMESH_RETURN_IF_ERROR(Place(decoder, from, call.results->elements[0], &op.rows[2], &bytes));
    if (bytes != 4) return decoder.Refuse(from, "the parameters are off");
  }
  op.handler = print ? CallPrintf : CallAssert;
  return Status::Ok();
}

// The copies between the variables that a call names and the parameters of the function.
Status Copies(Decoder& decoder, const Instruction& from, const Operand* names,
              const std::vector<ptx::Parameter>& parameters, std::uint32_t frame, bool into, Op& op) {
  if ((names == nullptr ? 0 : names->elements.size()) != parameters.size())
    return decoder.Refuse(from, "the number of parameters is off");
  op.handler = CopyLocal;
  op.source = &from;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    std::uint32_t here = 0;
    std::uint32_t bytes = 0;
    ACCELMESH_RETURN_IF_ERROR(Place(decoder, from, names->elements[i], &here, &bytes));
    const std::uint32_t there = frame + parameters[i].offset;
    op.targets.insert(op.targets.end(),
                      {into ? here : there, into ? there : here, std::min(bytes, parameters[i].bytes)});
  }
  return Status::Ok();
}

// Copies the arguments into the function's frame, jumps, and copies the results back: three operations.
Status FunctionCall(Decoder& decoder, const Instruction& from, const Call& call, const Decoder::Function& function,
                    Op& op) {
  Op in;
  Op out;
  ACCELMESH_RETURN_IF_ERROR(Copies(decoder, from, call.arguments, function.body->parameters, function.frame, true, in));
  ACCELMESH_RETURN_IF_ERROR(Copies(decoder, from, call.results, function.body->results, function.frame, false, out));
  if (!in.targets.empty()) decoder.Emit(std::move(in));
  op.control = Control::kCall;
  op.immediate = function.entry;
  op.d = function.return_row;
  if (out.targets.empty()) return Status::Ok();
  decoder.Emit(op);
  out.guard = op.guard;
  out.guard_negated = op.guard_negated;
  op = std::move(out);
  return Status::Ok();
}

// call{.uni} {(results),} name{, (arguments)}{, prototype or table};
Status CallRule(Decoder& decoder, const Instruction& from, Op& op) {
  Call call;
  bool indirect = false;
  for (const Operand& operand : from.operands) {
    if (operand.kind == Operand::Kind::kVector) {
      (call.name.empty() && !indirect ? call.results : call.arguments) = &operand;
    } else if (operand.kind == Operand::Kind::kSymbol && call.name.empty() && !indirect) {
      call.name = operand.symbol;
    } else if (operand.kind == Operand::Kind::kRegister) {
      indirect = true;
    }
  }
  if (indirect) return decoder.Refuse(from, "calls through function pointers are not supported");
  if (const Decoder::Function* function = decoder.FindFunction(call.name))
    return FunctionCall(decoder, from, call, *function, op);
  if (call.name == "vprintf" || call.name == "__assertfail") return RuntimeCall(decoder, from, call, op);
  return decoder.Refuse(from, "the module does not define the function that is called");
}

}  // namespace

const RuleTable& CallRules() {
  static const RuleTable kRules{{"call", {CallRule, "uni"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
