#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "protocol/base/limits.h"
#include "server/backend/cpu/ptx/lexer.h"
#include "server/backend/cpu/ptx/module.h"

namespace accelmesh::ptx {
namespace {

constexpr std::size_t kTextBytesMax = 256 * limits::kMiB;
constexpr std::uint32_t kRegistersMax = 65536;
constexpr std::uint32_t kScopesMax = 64;
constexpr std::uint64_t kVariableBytesMax = 4 * limits::kGiB;
constexpr std::size_t kInitialBytesMax = 256 * limits::kMiB;

std::vector<std::string_view> SplitDots(std::string_view word) {
  std::vector<std::string_view> parts;
  while (!word.empty()) {
    const std::size_t dot = word.find('.');
    if (dot != 0) parts.push_back(word.substr(0, dot));
    if (dot == std::string_view::npos) break;
    word.remove_prefix(dot + 1);
  }
  return parts;
}

// Integers in every base, and 0f/0d hexadecimal floats as their bits. Decimal floats become f64 bits.
bool ParseNumber(std::string_view text, std::uint64_t* value) {
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'f' || text[1] == 'F' || text[1] == 'd' || text[1] == 'D')) {
    return std::from_chars(text.data() + 2, text.data() + text.size(), *value, 16).ec == std::errc();
  }
  while (!text.empty() && (text.back() == 'U' || text.back() == 'u')) text.remove_suffix(1);
  if (text.find('.') != std::string_view::npos) {
    const double number = std::strtod(std::string(text).c_str(), nullptr);
    std::memcpy(value, &number, sizeof(number));
    return true;
  }
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 2 && text[0] == '0' && (text[1] == 'b' || text[1] == 'B')) {
    base = 2;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
  }
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), *value, base);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

class Parser {
 public:
  explicit Parser(Module* module) : module_(module), tokens_(Tokenize(module->text)) {}
  Status Run();

 private:
  struct Scope {
    std::unordered_map<std::string_view, std::pair<bool, std::uint32_t>> registers;  // name -> is predicate, index
    std::vector<std::pair<std::string_view, std::pair<std::uint32_t, std::uint32_t>>> ranges;  // prefix -> first, count
    std::vector<bool> range_is_predicate;
  };

  const Token& Peek() const { return tokens_[at_]; }
  const Token& Next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool Accept(std::string_view text) {
    if (Peek().text != text || Peek().kind == Token::Kind::kEnd) return false;
    Next();
    return true;
  }
  Status Expect(std::string_view text) {
    if (Accept(text)) return Status::Ok();
    return Error("expected '" + std::string(text) + "'");
  }
  Status Error(const std::string& what) const {
    return {Code::kInvalidArgument, "ptx line " + std::to_string(Peek().line),
            what + " before '" + std::string(Peek().text.substr(0, 40)) + "'"};
  }
  bool AtEnd() const { return Peek().kind == Token::Kind::kEnd; }
  void SkipStatement() {
    while (!AtEnd() && !Accept(";")) Next();
  }
  void SkipBody() {
    int depth = 0;
    while (!AtEnd()) {
      const std::string_view text = Next().text;
      if (text == "{") ++depth;
      if (text == "}" && --depth <= 0) return;
      if (text == ";" && depth == 0) return;
    }
  }

  Status ParseVariable(Space space, bool is_extern, Variable* variable);
  Status ParseInitializer(Type type, Variable* variable);
  Status ParseKernel();
  Status ParseParameters(Kernel* kernel);
  Status ParseBody(Kernel* kernel);
  Status ParseRegisters(Kernel* kernel);
  Status ParseStatement(Kernel* kernel);
  Result<Operand> ParseOperand();
  Result<std::uint64_t> ParseImmediate();
  bool FindRegister(std::string_view name, Operand* operand) const;
  void PlaceLocal(Kernel* kernel, Variable variable);

  Module* module_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::vector<Scope> scopes_;
};

Status Parser::Run() {
  while (!AtEnd()) {
    if (Accept(".version")) {
      const std::string version(Next().text);
      const std::size_t dot = version.find('.');
      module_->version = static_cast<std::uint32_t>(std::atoi(version.c_str()) * 10);
      if (dot != std::string::npos)
        module_->version += static_cast<std::uint32_t>(std::atoi(version.c_str() + dot + 1));
    } else if (Accept(".target")) {
      const std::string_view target = Next().text;
      if (target.substr(0, 3) == "sm_")
        module_->target = static_cast<std::uint32_t>(std::atoi(std::string(target.substr(3)).c_str()));
      while (Accept(",")) Next();
    } else if (Accept(".address_size")) {
      if (Next().text != "64") return Error("only 64-bit addresses are supported");
    } else if (Peek().text == ".entry" || Peek().text == ".visible" || Peek().text == ".weak" ||
               Peek().text == ".extern" || Peek().text == ".common") {
      const bool is_extern = Peek().text == ".extern";
      if (Accept(".entry")) {
        ACCELMESH_RETURN_IF_ERROR(ParseKernel());
        continue;
      }
      Next();
      if (is_extern && (Peek().text == ".global" || Peek().text == ".const" || Peek().text == ".shared")) {
        // Marked extern: its definition, if any, is elsewhere; dynamic shared memory is the usual case.
        const bool shared = Peek().text == ".shared";
        const Space space = shared ? Space::kShared : Peek().text == ".const" ? Space::kConst : Space::kGlobal;
        Next();
        Variable variable;
        ACCELMESH_RETURN_IF_ERROR(ParseVariable(space, true, &variable));
        if (shared) {
          module_->module_shared[variable.name] = variable;
        } else {
          module_->variables.push_back(std::move(variable));
        }
      }
    } else if (Peek().text == ".global" || Peek().text == ".const" || Peek().text == ".shared") {
      const std::string_view word = Next().text;
      const Space space = word == ".global" ? Space::kGlobal : word == ".const" ? Space::kConst : Space::kShared;
      Variable variable;
      ACCELMESH_RETURN_IF_ERROR(ParseVariable(space, false, &variable));
      if (space == Space::kShared) {
        variable.address = AlignUp(module_->module_shared_bytes, variable.alignment);
        module_->module_shared_bytes = static_cast<std::uint32_t>(variable.address + variable.bytes);
        module_->module_shared[variable.name] = std::move(variable);
      } else {
        module_->variables.push_back(std::move(variable));
      }
    } else if (Accept(".func")) {
      SkipBody();  // Called functions are refused by name where a kernel calls them (tier0).
    } else if (Peek().text == ".section" || Peek().text == "{") {
      SkipBody();
    } else if (Accept(".file") || Accept(".loc")) {
      const std::uint32_t line = tokens_[at_ - 1].line;
      while (!AtEnd() && Peek().line == line) Next();
    } else if (Peek().text.substr(0, 1) == ".") {
      SkipStatement();
    } else {
      return Error("not a PTX directive");
    }
  }
  return Status::Ok();
}

Result<std::uint64_t> Parser::ParseImmediate() {
  const bool negative = Accept("-");
  std::uint64_t value = 0;
  if (Peek().kind != Token::Kind::kNumber || !ParseNumber(Peek().text, &value)) return Error("expected a number");
  Next();
  return negative ? ~value + 1 : value;
}

Status Parser::ParseVariable(Space space, bool is_extern, Variable* variable) {
  variable->space = space;
  variable->is_extern = is_extern;
  Type type = Type::kNone;
  while (Peek().kind == Token::Kind::kWord && Peek().text[0] == '.') {
    const std::string_view word = Next().text;
    if (word == ".align") {
      ACCELMESH_ASSIGN_OR_RETURN(variable->alignment, ParseImmediate());
    } else if (word == ".attribute") {
      while (!AtEnd() && !Accept(")")) Next();
    } else if (word.substr(0, 2) == ".v") {
      return Error("vector variables are not supported");
    } else if (const Type parsed = ParseType(word.substr(1)); parsed != Type::kNone) {
      type = parsed;
    }
  }
  const std::uint32_t element = TypeBytes(type);
  if (element == 0) return Error("a variable needs a type");
  variable->name = Next().text;
  variable->alignment = std::max<std::uint64_t>(variable->alignment, element);
  if (variable->alignment > 4096 || (variable->alignment & (variable->alignment - 1)) != 0) return Error("bad .align");
  std::uint64_t count = 1;
  while (Accept("[")) {
    std::uint64_t extent = 0;
    if (!Accept("]")) {
      ACCELMESH_ASSIGN_OR_RETURN(extent, ParseImmediate());
      ACCELMESH_RETURN_IF_ERROR(Expect("]"));
    }
    if (__builtin_mul_overflow(count, extent, &count)) return Error("too large");
  }
  if (count > kVariableBytesMax / element) return Error("a variable past the limit");
  variable->bytes = count * element;
  if (Accept("=")) ACCELMESH_RETURN_IF_ERROR(ParseInitializer(type, variable));
  return Expect(";");
}

Status Parser::ParseInitializer(Type type, Variable* variable) {
  if (variable->bytes > kInitialBytesMax) return Error("an initialiser past the limit");
  variable->initial.assign(variable->bytes, 0);
  const std::uint32_t element = TypeBytes(type);
  std::uint64_t offset = 0;
  int depth = 0;
  do {
    while (Accept("{")) ++depth;
    std::uint64_t value = 0;
    if (Peek().kind == Token::Kind::kWord) {
      const bool generic = Accept("generic");
      if (generic) ACCELMESH_RETURN_IF_ERROR(Expect("("));
      Variable::Relocation relocation{offset, std::string(Next().text), 0};
      if (generic) ACCELMESH_RETURN_IF_ERROR(Expect(")"));
      if (Accept("+")) {
        ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t addend, ParseImmediate());
        relocation.addend = static_cast<std::int64_t>(addend);
      }
      if (element != 8) return Error("the address of a symbol needs 64 bits");
      variable->relocations.push_back(std::move(relocation));
    } else if (Peek().text != "}") {
      ACCELMESH_ASSIGN_OR_RETURN(value, ParseImmediate());
    }
    if (offset + element > variable->bytes) return Error("more initialisers than elements");
    std::memcpy(variable->initial.data() + offset, &value, std::min<std::size_t>(element, sizeof(value)));
    offset += element;
    while (depth > 0 && Accept("}")) --depth;
  } while (Accept(","));
  return Status::Ok();
}

Status Parser::ParseParameters(Kernel* kernel) {
  while (!AtEnd() && !Accept(")")) {
    ACCELMESH_RETURN_IF_ERROR(Expect(".param"));
    Parameter parameter;
    Type type = Type::kNone;
    while (Peek().kind == Token::Kind::kWord && Peek().text[0] == '.') {
      const std::string_view word = Next().text;
      if (word == ".align") {
        ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t alignment, ParseImmediate());
        parameter.alignment = static_cast<std::uint32_t>(alignment);
      } else if (const Type parsed = ParseType(word.substr(1)); parsed != Type::kNone && type == Type::kNone) {
        type = parsed;
      }
    }
    parameter.name = Next().text;
    parameter.bytes = TypeBytes(type);
    if (Accept("[")) {
      ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t count, ParseImmediate());
      ACCELMESH_RETURN_IF_ERROR(Expect("]"));
      if (count > limits::kKernelArgumentBytesMax) return Error("a parameter past the limit");
      parameter.bytes *= static_cast<std::uint32_t>(count);
    }
    parameter.alignment = std::max(parameter.alignment, TypeBytes(type));
    if (parameter.alignment == 0 || parameter.alignment > 4096 ||
        (parameter.alignment & (parameter.alignment - 1)) != 0) {
      return Error("bad .align");
    }
    parameter.offset = static_cast<std::uint32_t>(AlignUp(kernel->parameter_bytes, parameter.alignment));
    kernel->parameter_bytes = parameter.offset + parameter.bytes;
    if (kernel->parameter_bytes > limits::kKernelArgumentBytesMax) return Error("parameters past the limit");
    kernel->parameters.push_back(std::move(parameter));
    Accept(",");
  }
  return Status::Ok();
}

Status Parser::ParseKernel() {
  Kernel kernel;
  kernel.name = Next().text;
  if (Accept("(")) ACCELMESH_RETURN_IF_ERROR(ParseParameters(&kernel));
  while (!AtEnd() && Peek().text != "{") {
    if (Accept(";")) return Status::Ok();  // A declaration.
    const bool limit = Peek().text == ".maxntid" || Peek().text == ".reqntid";
    Next();
    if (limit) {
      std::uint64_t threads = 1;
      do {
        ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t extent, ParseImmediate());
        threads *= std::min<std::uint64_t>(extent, 1024);
      } while (Accept(","));
      kernel.max_threads = static_cast<std::uint32_t>(std::min<std::uint64_t>(threads, 1024));
    }
  }
  const std::size_t body = at_;
  kernel.static_shared_bytes = module_->module_shared_bytes;
  scopes_.clear();
  const Status parsed = ParseBody(&kernel);
  if (!parsed.ok()) {
    // This kernel fails at its first launch; the rest of the module is as good as before.
    kernel.unsupported = Status(Code::kUnsupported, parsed.where(), parsed.text());
    at_ = body;
    SkipBody();
  }
  if (module_->kernels.size() >= limits::kKernelsPerModuleMax) return Error("too many kernels");
  module_->kernels.push_back(std::move(kernel));
  return Status::Ok();
}

void Parser::PlaceLocal(Kernel* kernel, Variable variable) {
  std::uint32_t& size = variable.space == Space::kShared ? kernel->static_shared_bytes : kernel->local_bytes;
  variable.address = AlignUp(size, variable.alignment);
  if (!variable.is_extern) size = static_cast<std::uint32_t>(variable.address + variable.bytes);
  kernel->locals[variable.name] = std::move(variable);
}

Status Parser::ParseBody(Kernel* kernel) {
  ACCELMESH_RETURN_IF_ERROR(Expect("{"));
  scopes_.emplace_back();
  while (!scopes_.empty()) {
    if (AtEnd()) return Error("the body of a kernel does not end");
    if (Accept("}")) {
      scopes_.pop_back();
    } else if (Accept("{")) {
      if (scopes_.size() >= kScopesMax) return Error("scopes nested too deeply");
      scopes_.emplace_back();
    } else if (Accept(".reg")) {
      ACCELMESH_RETURN_IF_ERROR(ParseRegisters(kernel));
    } else if (Peek().text == ".shared" || Peek().text == ".local") {
      Variable variable;
      const Space space = Next().text == ".shared" ? Space::kShared : Space::kLocal;
      ACCELMESH_RETURN_IF_ERROR(ParseVariable(space, false, &variable));
      if (variable.bytes > limits::kMiB) return Error("a shared or local variable past the limit");
      PlaceLocal(kernel, std::move(variable));
    } else if (Accept(".param")) {
      // Scratch space for a call: lives in local memory.
      Variable variable;
      ACCELMESH_RETURN_IF_ERROR(ParseVariable(Space::kParam, false, &variable));
      if (variable.bytes > limits::kMiB) return Error("a call parameter past the limit");
      PlaceLocal(kernel, std::move(variable));
    } else if (Peek().text == ".loc" || Peek().text == ".file") {
      const std::uint32_t line = Next().line;
      while (!AtEnd() && Peek().line == line && Peek().text != "}") Next();
    } else if (Peek().text[0] == '.') {
      SkipStatement();  // .pragma and the like
    } else {
      ACCELMESH_RETURN_IF_ERROR(ParseStatement(kernel));
    }
  }
  return Status::Ok();
}

Status Parser::ParseRegisters(Kernel* kernel) {
  const Type type = ParseType(Next().text.substr(1));
  if (type == Type::kNone) return Error("a register needs a type");
  const bool predicate = type == Type::kPred;
  do {
    const std::string_view name = Next().text;
    std::uint64_t count = 1;
    const bool range = Accept("<");
    if (range) {
      ACCELMESH_ASSIGN_OR_RETURN(count, ParseImmediate());
      ACCELMESH_RETURN_IF_ERROR(Expect(">"));
    }
    std::uint32_t& next = predicate ? kernel->predicates : kernel->registers;
    if (count > kRegistersMax || next + count > kRegistersMax) return Error("too many registers");
    Scope& scope = scopes_.back();
    if (range) {
      scope.ranges.push_back({name, {next, static_cast<std::uint32_t>(count)}});
      scope.range_is_predicate.push_back(predicate);
    } else {
      scope.registers[name] = {predicate, next};
    }
    next += static_cast<std::uint32_t>(count);
  } while (Accept(","));
  return Expect(";");
}

bool Parser::FindRegister(std::string_view name, Operand* operand) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto found = scope->registers.find(name);
    if (found != scope->registers.end()) {
      operand->kind = found->second.first ? Operand::Kind::kPredicate : Operand::Kind::kRegister;
      operand->index = found->second.second;
      return true;
    }
    for (std::size_t r = 0; r < scope->ranges.size(); ++r) {
      const auto& [prefix, extent] = scope->ranges[r];
      if (name.size() <= prefix.size() || name.substr(0, prefix.size()) != prefix) continue;
      std::uint32_t number = 0;
      const char* end = name.data() + name.size();
      const auto parsed = std::from_chars(name.data() + prefix.size(), end, number);
      if (parsed.ec != std::errc() || parsed.ptr != end || number >= extent.second) continue;
      operand->kind = scope->range_is_predicate[r] ? Operand::Kind::kPredicate : Operand::Kind::kRegister;
      operand->index = extent.first + number;
      return true;
    }
  }
  return false;
}

Result<Operand> Parser::ParseOperand() {
  Operand operand;
  if (Accept("[")) {
    ACCELMESH_ASSIGN_OR_RETURN(operand, ParseOperand());
    operand.is_address = true;
    ACCELMESH_RETURN_IF_ERROR(Expect("]"));
    return operand;
  }
  if (Accept("{")) {
    operand.kind = Operand::Kind::kVector;
    while (!AtEnd() && !Accept("}")) {
      if (Peek().text == "{" || operand.elements.size() > 32) return Error("a vector operand makes no sense");
      ACCELMESH_ASSIGN_OR_RETURN(Operand element, ParseOperand());
      operand.elements.push_back(std::move(element));
      Accept(",");
    }
    return operand;
  }
  if (Accept("(")) {  // call lists
    operand.kind = Operand::Kind::kVector;
    while (!AtEnd() && !Accept(")")) {
      if (Peek().text == "(" || operand.elements.size() > 256) return Error("a parameter list makes no sense");
      ACCELMESH_ASSIGN_OR_RETURN(Operand element, ParseOperand());
      operand.elements.push_back(std::move(element));
      Accept(",");
    }
    return operand;
  }
  operand.negated = Accept("!");
  if (Peek().kind == Token::Kind::kNumber || Peek().text == "-") {
    operand.kind = Operand::Kind::kImmediate;
    ACCELMESH_ASSIGN_OR_RETURN(operand.immediate, ParseImmediate());
    return operand;
  }
  if (Peek().kind != Token::Kind::kWord) return Error("expected an operand");
  const std::string_view name = Next().text;
  if (name == "_") {
    operand.kind = Operand::Kind::kSink;
  } else if (!FindRegister(name, &operand)) {
    operand.kind = name[0] == '%' ? Operand::Kind::kSpecial : Operand::Kind::kSymbol;
    operand.symbol = name;
  }
  if (Accept("|")) {
    Operand paired;
    if (Accept("_")) return operand;
    if (!FindRegister(Next().text, &paired) || paired.kind != Operand::Kind::kPredicate)
      return Error("expected a predicate");
    operand.paired = static_cast<std::int32_t>(paired.index);
  }
  if (Peek().text == "+" || Peek().text == "-") {
    Accept("+");
    ACCELMESH_ASSIGN_OR_RETURN(operand.immediate, ParseImmediate());
  }
  return operand;
}

Status Parser::ParseStatement(Kernel* kernel) {
  // A label?
  if (Peek().kind == Token::Kind::kWord && tokens_[at_ + 1].text == ":") {
    const std::string_view label = Next().text;
    Next();
    if (Accept(".branchtargets")) {
      while (!AtEnd() && !Accept(";")) {
        kernel->branch_targets[label].push_back(Next().text);
        Accept(",");
      }
      return Status::Ok();
    }
    if (Peek().text == ".callprototype") {
      SkipStatement();
      return Status::Ok();
    }
    kernel->labels[label] = static_cast<std::uint32_t>(kernel->instructions.size());
    return Status::Ok();
  }
  Instruction instruction;
  instruction.line = Peek().line;
  const char* start = Peek().text.data();
  if (Accept("@")) {
    instruction.guard_negated = Accept("!");
    Operand guard;
    if (!FindRegister(Next().text, &guard) || guard.kind != Operand::Kind::kPredicate)
      return Error("a guard is no predicate");
    instruction.guard = static_cast<std::int32_t>(guard.index);
  }
  if (Peek().kind != Token::Kind::kWord) return Error("expected an instruction");
  instruction.opcode = SplitDots(Next().text);
  if (instruction.opcode.empty()) return Error("expected an instruction");
  while (!AtEnd() && Peek().text != ";") {
    ACCELMESH_ASSIGN_OR_RETURN(Operand operand, ParseOperand());
    instruction.operands.push_back(std::move(operand));
    if (!Accept(",") && Peek().text != ";") return Error("expected ',' or ';'");
  }
  instruction.text = {start, static_cast<std::size_t>(Peek().text.data() - start)};
  ACCELMESH_RETURN_IF_ERROR(Expect(";"));
  kernel->instructions.push_back(std::move(instruction));
  return Status::Ok();
}

}  // namespace

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

Result<std::shared_ptr<const Module>> ParseModule(std::string_view text) {
  if (text.size() > kTextBytesMax) return Status(Code::kLimitExceeded, "ptx", "the text is past the limit");
  auto module = std::make_shared<Module>();
  module->text = text;
  Parser parser(module.get());
  ACCELMESH_RETURN_IF_ERROR(parser.Run());
  if (module->version == 0) return Status(Code::kInvalidArgument, "ptx line 1", "there is no .version");
  return std::shared_ptr<const Module>(std::move(module));
}

}  // namespace accelmesh::ptx
