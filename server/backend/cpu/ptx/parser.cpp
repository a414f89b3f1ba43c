#include "server/backend/cpu/ptx/parser.h"

#include <algorithm>
#include <charconv>

namespace accelmesh::ptx {
namespace {

constexpr std::uint64_t kVariableBytesMax = 4 * limits::kGiB;
constexpr std::size_t kInitialBytesMax = 256 * limits::kMiB;
constexpr std::size_t kVariablesMax = 1u << 20;
constexpr std::uint64_t kAlignmentMax = 4096;
constexpr std::size_t kAliasesMax = 65536;

bool GoodAlignment(std::uint64_t alignment) {
  return alignment != 0 && alignment <= kAlignmentMax && (alignment & (alignment - 1)) == 0;
}
// The number at the front of "90a"; 0 if there is none or it is absurd.
std::uint32_t LeadingNumber(std::string_view text) {
  std::uint32_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() && value < 100000 ? value : 0;
}

}  // namespace

bool ParseLiteral(std::string_view text, Literal* literal) {
  const auto whole = [&text](std::uint64_t* value, int base) {
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), *value, base);
    return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
  };
  const char kind = text.size() > 2 && text[0] == '0' ? static_cast<char>(text[1] | 0x20) : '\0';
  if (kind == 'f' || kind == 'd') {
    literal->is_double = kind == 'd';
    const bool right_size = text.size() == (kind == 'd' ? 18u : 10u);
    text.remove_prefix(2);
    return right_size && whole(&literal->bits, 16);
  }
  if (kind != 'x' && text.find_first_of(".eE") != std::string_view::npos) {
    double number = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return false;
    std::memcpy(&literal->bits, &number, sizeof(number));
    literal->is_double = true;
    return true;
  }
  while (!text.empty() && (text.back() == 'U' || text.back() == 'u')) text.remove_suffix(1);
  if (kind == 'x' || kind == 'b') text.remove_prefix(2);
  const bool octal = kind != 'x' && kind != 'b' && text.size() > 1 && text[0] == '0';
  return whole(&literal->bits, kind == 'x' ? 16 : kind == 'b' ? 2 : octal ? 8 : 10);
}

Parser::Parser(std::string_view text, Unit* unit) : unit_(unit), lexer_(text) {
  current_ = lexer_.Next();
  ahead_ = lexer_.Next();
}

Token Parser::Next() {
  const Token taken = current_;
  current_ = ahead_;
  ahead_ = lexer_.Next();
  return taken;
}
bool Parser::Accept(std::string_view text) {
  if (AtEnd() || current_.text != text) return false;
  Next();
  return true;
}
Status Parser::Expect(std::string_view text) {
  if (Accept(text)) return Status::Ok();
  return Error("expected '" + std::string(text) + "'");
}
Status Parser::Error(const std::string& what) const {
  const std::string before = AtEnd() ? "the end" : "'" + std::string(current_.text.substr(0, 40)) + "'";
  return ErrorAt(current_.line, what + " before " + before);
}
Status Parser::ErrorAt(std::uint32_t line, const std::string& what) const {
  return {Code::kInvalidArgument, "ptx line " + std::to_string(line), what};
}
void Parser::SkipStatement() {
  while (!AtEnd() && !Accept(";")) Next();
}
void Parser::SkipLine() {
  const std::uint32_t line = Next().line;
  while (!AtEnd() && current_.line == line && current_.text != "}") Next();
}
// A block in braces with what stands before it, or a statement without one.
void Parser::SkipBody() {
  std::size_t depth = 0;
  while (!AtEnd()) {
    const std::string_view text = Next().text;
    if (text == "{") ++depth;
    if (text == "}" && (depth == 0 || --depth == 0)) return;
    if (text == ";" && depth == 0) return;
  }
}

Result<Literal> Parser::ParseConstant() {
  const bool negative = Accept("-");
  Literal literal;
  if (current_.kind != Token::Kind::kNumber || !ParseLiteral(current_.text, &literal))
    return Error("expected a number");
  Next();
  if (negative) literal.bits = literal.is_double ? literal.bits ^ (1ull << 63) : ~literal.bits + 1;
  return literal;
}
Result<std::uint64_t> Parser::ParseCount() {
  ACCELMESH_ASSIGN_OR_RETURN(const Literal literal, ParseConstant());
  if (literal.is_double) return Error("expected an integer");
  return literal.bits;
}

Status Parser::Run() {
  Linkage linkage = Linkage::kStatic;
  while (!AtEnd()) {
    const std::string_view word = current_.text;
    if (word == ".version" || word == ".target" || word == ".address_size") {
      ACCELMESH_RETURN_IF_ERROR(ParseHeader());
    } else if (word == ".visible" || word == ".weak" || word == ".extern" || word == ".common") {
      Next();
      linkage = word == ".visible"  ? Linkage::kVisible
                : word == ".weak"   ? Linkage::kWeak
                : word == ".common" ? Linkage::kCommon
                                    : Linkage::kExtern;
      continue;
    } else if (Accept(".entry")) {
      ACCELMESH_RETURN_IF_ERROR(ParseKernel(linkage));
    } else if (Accept(".func")) {
      ACCELMESH_RETURN_IF_ERROR(ParseFunction(linkage));
    } else if (word == ".global" || word == ".const" || word == ".shared") {
      ACCELMESH_RETURN_IF_ERROR(ParseModuleVariable(linkage));
    } else if (Accept(".alias")) {
      ACCELMESH_RETURN_IF_ERROR(ParseAlias());
    } else if (word == ".section" || word == "{") {
      SkipBody();
    } else if (word == ".file" || word == ".loc" || word == "@") {  // "@@DWARF" of old compilers
      SkipLine();
    } else if (AtDirective()) {
      SkipStatement();
    } else {
      return Error("not a PTX directive");
    }
    linkage = Linkage::kStatic;
  }
  return unit_->version != 0 ? Status::Ok() : ErrorAt(1, "there is no .version");
}

// .alias name, function;
Status Parser::ParseAlias() {
  if (unit_->aliases.size() >= kAliasesMax) return Error("too many aliases");
  if (current_.kind != Token::Kind::kWord) return Error("an alias needs a name");
  const std::string_view name = Next().text;
  ACCELMESH_RETURN_IF_ERROR(Expect(","));
  if (current_.kind != Token::Kind::kWord) return Error("an alias needs a function");
  unit_->aliases.emplace_back(name, Next().text);
  return Expect(";");
}

Status Parser::ParseHeader() {
  if (Accept(".version")) {
    const std::string_view version = Next().text;
    const std::size_t dot = std::min(version.find('.'), version.size());
    unit_->version = LeadingNumber(version.substr(0, dot)) * 10;
    if (dot < version.size()) unit_->version += LeadingNumber(version.substr(dot + 1));
  } else if (Accept(".target")) {
    do {
      const std::string_view target = Next().text;
      if (target.substr(0, 3) == "sm_") unit_->target = LeadingNumber(target.substr(3));
    } while (Accept(","));
  } else {
    Next();
    if (Next().text != "64") return Error("only 64-bit addresses are supported");
  }
  return Status::Ok();
}

Status Parser::ParseModuleVariable(Linkage linkage) {
  const std::string_view word = Next().text;
  Variable variable;
  if (word == ".shared") {
    // Where it lies is decided per kernel (PlaceShared). Extern is the usual way to name dynamic shared memory.
    ACCELMESH_RETURN_IF_ERROR(ParseVariable(Space::kShared, linkage, &variable));
    if (variable.bytes > limits::kMiB) return Error("a shared variable past the limit");
    if (unit_->shared.size() >= kVariablesMax) return Error("too many variables");
    // Of several declarations of one name the last holds.
    const auto [known, added] = unit_->shared_names.emplace(name_, unit_->shared.size());
    if (added) {
      unit_->shared.push_back(std::move(variable));
    } else {
      unit_->shared[known->second] = std::move(variable);
    }
    return Status::Ok();
  }
  ACCELMESH_RETURN_IF_ERROR(ParseVariable(word == ".global" ? Space::kGlobal : Space::kConst, linkage, &variable));
  if (unit_->variables.size() >= kVariablesMax) return Error("too many variables");
  unit_->variables.push_back(std::move(variable));
  return Status::Ok();
}

Status Parser::ParseVariable(Space space, Linkage linkage, Variable* variable) {
  variable->space = space;
  variable->linkage = linkage;
  variable->is_extern = linkage == Linkage::kExtern;
  Type type = Type::kNone;
  std::uint64_t lanes = 1;  // of a .v2 or .v4 variable
  while (AtDirective()) {
    const std::string_view word = Next().text;
    if (word == ".align") {
      ACCELMESH_ASSIGN_OR_RETURN(variable->alignment, ParseCount());
      if (!GoodAlignment(variable->alignment)) return Error("bad .align");
    } else if (word == ".attribute") {
      ACCELMESH_RETURN_IF_ERROR(Expect("("));
      for (std::uint32_t depth = 1; depth != 0 && !AtEnd();) {
        const std::string_view part = Next().text;
        variable->is_managed |= part == ".managed";
        depth += part == "(" ? 1 : 0;
        depth -= part == ")" ? 1 : 0;
      }
    } else if (word == ".v2" || word == ".v4") {
      lanes = word == ".v2" ? 2 : 4;
    } else if (const Type parsed = ParseType(word.substr(1)); parsed != Type::kNone) {
      type = parsed;
    } else {
      return Error("a variable cannot be '" + std::string(word.substr(0, 40)) + "'");
    }
  }
  const std::uint32_t element = TypeBytes(type);
  if (element == 0) return Error("a variable needs a type");
  if (current_.kind != Token::Kind::kWord) return Error("a variable needs a name");
  name_ = Next().text;
  variable->name = name_;
  if (variable->name.size() > limits::kNameBytesMax) return Error("a name past the limit");
  variable->alignment = std::max<std::uint64_t>(variable->alignment, element * lanes);
  std::uint64_t count = lanes;
  while (Accept("[")) {
    std::uint64_t extent = 0;
    if (!Accept("]")) {
      ACCELMESH_ASSIGN_OR_RETURN(extent, ParseCount());
      ACCELMESH_RETURN_IF_ERROR(Expect("]"));
    }
    if (__builtin_mul_overflow(count, extent, &count)) return Error("a variable past the limit");
  }
  if (count > kVariableBytesMax / element) return Error("a variable past the limit");
  variable->bytes = count * element;
  if (Accept("=")) ACCELMESH_RETURN_IF_ERROR(ParseInitializer(type, variable));
  return Expect(";");
}

// symbol, generic(symbol), each with an offset behind it.
Status Parser::ParseSymbolAddress(Variable::Relocation* relocation) {
  const bool generic = Accept("generic");
  if (generic) ACCELMESH_RETURN_IF_ERROR(Expect("("));
  if (current_.kind != Token::Kind::kWord) return Error("expected a symbol");
  relocation->symbol = std::string(Next().text);
  if (generic) ACCELMESH_RETURN_IF_ERROR(Expect(")"));
  if (current_.text == "+" || current_.text == "-") {
    Accept("+");
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t addend, ParseCount());
    relocation->addend = static_cast<std::int64_t>(addend);
  }
  return Status::Ok();
}

// 0xFF(symbol), 0xFF00(symbol) and so on: the eight bytes of an address that is not aligned, one after the other.
Status Parser::ParseAddressByte(std::uint64_t offset, std::uint32_t element, std::uint32_t* bytes_seen,
                                Variable* variable) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t mask, ParseCount());
  ACCELMESH_RETURN_IF_ERROR(Expect("("));
  Variable::Relocation relocation{offset, {}, 0};
  ACCELMESH_RETURN_IF_ERROR(ParseSymbolAddress(&relocation));
  ACCELMESH_RETURN_IF_ERROR(Expect(")"));
  if (element != 1) return Error("the byte of an address needs a variable of bytes");
  if (mask != 0xffull << (8 * *bytes_seen)) return Error("the bytes of an address are not in order");
  if (*bytes_seen == 0) {
    if (variable->bytes < 8 || offset > variable->bytes - 8) return Error("more initialisers than elements");
    variable->relocations.push_back(std::move(relocation));
  } else if (const Variable::Relocation& begun = variable->relocations.back();
             begun.symbol != relocation.symbol || begun.addend != relocation.addend) {
    return Error("the bytes of an address are not in order");
  }
  *bytes_seen = (*bytes_seen + 1) % 8;
  return Status::Ok();
}

Status Parser::ParseInitializer(Type type, Variable* variable) {
  if (variable->bytes > kInitialBytesMax) return Error("an initialiser past the limit");
  variable->initial.assign(variable->bytes, 0);
  const std::uint32_t element = TypeBytes(type);
  std::uint64_t offset = 0;
  std::uint32_t depth = 0;
  std::uint32_t address_bytes = 0;  // of an address that comes byte by byte
  do {
    while (Accept("{")) ++depth;
    std::uint64_t value = 0;
    const bool byte_of_address = current_.kind == Token::Kind::kNumber && ahead_.text == "(";
    if (address_bytes != 0 && !byte_of_address) return Error("an address lacks bytes");
    if (byte_of_address) {
      ACCELMESH_RETURN_IF_ERROR(ParseAddressByte(offset, element, &address_bytes, variable));
    } else if (current_.kind == Token::Kind::kWord) {
      Variable::Relocation relocation{offset, {}, 0};
      ACCELMESH_RETURN_IF_ERROR(ParseSymbolAddress(&relocation));
      if (element != 8) return Error("the address of a symbol needs 64 bits");
      variable->relocations.push_back(std::move(relocation));
    } else if (current_.text != "}") {
      ACCELMESH_ASSIGN_OR_RETURN(const Literal literal, ParseConstant());
      value = literal.bits;
      if (literal.is_double && type == Type::kF32) {
        double number = 0;
        std::memcpy(&number, &value, sizeof(number));
        const float single = static_cast<float>(number);
        value = 0;
        std::memcpy(&value, &single, sizeof(single));
      }
    }
    if (element > variable->bytes - offset) return Error("more initialisers than elements");
    std::memcpy(variable->initial.data() + offset, &value, std::min<std::size_t>(element, sizeof(value)));
    offset += element;
    while (depth > 0 && Accept("}")) --depth;
  } while (Accept(","));
  return address_bytes == 0 ? Status::Ok() : Error("an address lacks bytes");
}

Result<Parameter> Parser::ParseParameter() {
  Parameter parameter;
  Type type = Type::kNone;
  bool pointer = false;  // what stands behind .ptr is about the memory that it points to
  ACCELMESH_RETURN_IF_ERROR(Expect(".param"));
  while (AtDirective()) {
    const std::string_view word = Next().text;
    if (word == ".align") {
      ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t alignment, ParseCount());
      if (!GoodAlignment(alignment)) return Error("bad .align");
      if (!pointer) parameter.alignment = static_cast<std::uint32_t>(alignment);
    } else if (word == ".ptr") {
      pointer = true;
    } else if (const Type parsed = ParseType(word.substr(1)); parsed != Type::kNone && type == Type::kNone) {
      type = parsed;
    }
  }
  if (TypeBytes(type) == 0 || current_.kind != Token::Kind::kWord) return Error("a parameter needs a type and a name");
  parameter.name = Next().text;
  if (parameter.name.size() > limits::kNameBytesMax) return Error("a name past the limit");
  parameter.alignment = std::max(parameter.alignment, TypeBytes(type));
  parameter.bytes = TypeBytes(type);
  if (Accept("[")) {
    std::uint64_t count = 0;
    if (current_.text != "]") {
      ACCELMESH_ASSIGN_OR_RETURN(count, ParseCount());
    }
    ACCELMESH_RETURN_IF_ERROR(Expect("]"));
    if (count > limits::kKernelArgumentBytesMax) return Error("a parameter past the limit");
    parameter.bytes *= static_cast<std::uint32_t>(count);
  }
  return parameter;
}

// Up to the closing parenthesis. Offsets go on from `*bytes`.
Status Parser::ParseParameters(std::vector<Parameter>* parameters, std::uint32_t* bytes) {
  while (!Accept(")")) {
    if (AtEnd()) return Error("parameters do not end");
    ACCELMESH_ASSIGN_OR_RETURN(Parameter parameter, ParseParameter());
    parameter.offset = static_cast<std::uint32_t>(AlignUp(*bytes, parameter.alignment));
    *bytes = parameter.offset + parameter.bytes;
    if (*bytes > limits::kKernelArgumentBytesMax || parameters->size() >= limits::kKernelParametersMax) {
      return Error("parameters past the limit");
    }
    parameters->push_back(std::move(parameter));
    if (!Accept(",") && current_.text != ")") return Error("expected ',' or ')'");
  }
  return Status::Ok();
}

// .maxntid and the like, which stand between a kernel's parameters and its body. Those that only advise are skipped.
Status Parser::ParseKernelDirective(Kernel* kernel) {
  if (current_.text == ".pragma") {
    SkipStatement();
    return Status::Ok();
  }
  const std::uint32_t line = current_.line;
  const std::string_view word = Next().text;
  const bool is_of_clusters = word == ".explicitcluster" || word == ".reqnctapercluster";
  if (is_of_clusters && !unit_->has_clusters) {
    kernel->unsupported = Status(Code::kUnsupported, "ptx line " + std::to_string(line),
                                 std::string(word) + ": clusters of blocks (compute capability 9.0) are not supported");
    return Status::Ok();
  }
  if (word == ".explicitcluster") kernel->needs_cluster = true;
  if (word != ".maxntid" && word != ".reqntid" && word != ".reqnctapercluster") return Status::Ok();
  std::uint32_t extents[3] = {1, 1, 1};
  std::size_t count = 0;
  std::uint64_t threads = 1;
  do {
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t extent, ParseCount());
    if (count == 3) return Error("a block has three extents");
    extents[count++] = static_cast<std::uint32_t>(std::min<std::uint64_t>(extent, 0xffffffffu));
    threads = std::min<std::uint64_t>(threads * std::min<std::uint64_t>(extent, 1024), 1024);
  } while (Accept(","));
  if (word == ".reqnctapercluster") {
    std::copy(std::begin(extents), std::end(extents), kernel->required_cluster);
    return Status::Ok();
  }
  kernel->max_threads = static_cast<std::uint32_t>(threads);
  if (word == ".reqntid") std::copy(std::begin(extents), std::end(extents), kernel->required_threads);
  return Status::Ok();
}

Status Parser::ParseKernel(Linkage linkage) {
  Kernel kernel;
  if (current_.kind != Token::Kind::kWord) return Error("a kernel needs a name");
  kernel.name = Next().text;
  kernel.linkage = linkage;
  if (kernel.name.size() > limits::kNameBytesMax) return Error("a name past the limit");
  if (Accept("(")) ACCELMESH_RETURN_IF_ERROR(ParseParameters(&kernel.parameters, &kernel.parameter_bytes));
  while (!AtEnd() && current_.text != "{") {
    if (Accept(";")) return Status::Ok();  // a declaration
    ACCELMESH_RETURN_IF_ERROR(ParseKernelDirective(&kernel));
  }
  if (unit_->kernels.size() >= limits::kKernelsPerModuleMax) return Error("too many kernels");
  OutlineOrSkip(&kernel);
  unit_->kernels.push_back(std::move(kernel));
  return Status::Ok();
}

// .func (results) name (parameters) directives { body }; all but the name may be absent. Parameters lie at the front of
// the function's local frame.
Status Parser::ParseFunction(Linkage linkage) {
  Kernel function;
  std::string_view name;
  std::uint32_t bytes = 0;
  Status parameters;
  if (Accept("(")) parameters = ParseParameters(&function.results, &bytes);
  if (parameters.ok()) {
    if (current_.kind != Token::Kind::kWord) return Error("a function needs a name");
    name = Next().text;
    function.name = name;
    if (name.size() > limits::kNameBytesMax) return Error("a name past the limit");
    if (Accept("(")) parameters = ParseParameters(&function.parameters, &bytes);
  }
  if (!parameters.ok()) {
    // A prototype that we cannot read (registers as parameters): whoever calls it is refused for want of it.
    SkipBody();
    return Status::Ok();
  }
  unit_->declared.insert(name);
  while (!AtEnd() && current_.text != "{") {
    if (Accept(";")) {  // a declaration
      if (linkage == Linkage::kExtern) unit_->externals.insert(name);
      return Status::Ok();
    }
    current_.text == ".pragma" ? SkipStatement() : static_cast<void>(Next());
  }
  function.linkage = linkage;
  function.is_function = true;
  function.local_bytes = bytes;
  if (unit_->functions.size() >= limits::kKernelsPerModuleMax) return Error("too many functions");
  OutlineOrSkip(&function);
  unit_->functions.push_back(std::move(function));
  return Status::Ok();
}

std::uint32_t TypeBytes(Type type) {
  switch (type) {
    case Type::kB8:
    case Type::kU8:
    case Type::kS8: return 1;
    case Type::kB16:
    case Type::kU16:
    case Type::kS16:
    case Type::kF16:
    case Type::kBf16: return 2;
    case Type::kB32:
    case Type::kU32:
    case Type::kS32:
    case Type::kF32:
    case Type::kF16x2:
    case Type::kBf16x2: return 4;
    case Type::kB64:
    case Type::kU64:
    case Type::kS64:
    case Type::kF64: return 8;
    case Type::kB128: return 16;
    case Type::kNone:
    case Type::kPred: return 0;
  }
  return 0;
}

Type ParseType(std::string_view name) {
  static const std::unordered_map<std::string_view, Type> kTypes{
      {"b8", Type::kB8},         {"b16", Type::kB16}, {"b32", Type::kB32},     {"b64", Type::kB64},
      {"b128", Type::kB128},     {"u8", Type::kU8},   {"u16", Type::kU16},     {"u32", Type::kU32},
      {"u64", Type::kU64},       {"s8", Type::kS8},   {"s16", Type::kS16},     {"s32", Type::kS32},
      {"s64", Type::kS64},       {"f16", Type::kF16}, {"f16x2", Type::kF16x2}, {"bf16", Type::kBf16},
      {"bf16x2", Type::kBf16x2}, {"f32", Type::kF32}, {"f64", Type::kF64},     {"pred", Type::kPred}};
  const auto found = kTypes.find(name);
  return found == kTypes.end() ? Type::kNone : found->second;
}

}  // namespace accelmesh::ptx
