// Whole bodies of kernels and device functions: scopes, registers, variables, labels, instructions.
#include <algorithm>
#include <charconv>

#include "server/backend/cpu/ptx/parser.h"

namespace accelmesh::ptx {
namespace {

constexpr std::uint32_t kRegistersMax = 65536;      // of a body; predicates likewise
constexpr std::size_t kInstructionsMax = 4u << 20;  // of a module
constexpr std::size_t kVariablesMax = 65536;        // of a body
constexpr std::uint64_t kLocalBytesMax = 512 * limits::kKiB;
constexpr std::uint64_t kSharedBytesMax = 16 * limits::kMiB;
constexpr std::size_t kTableEntriesMax = 65536;
constexpr std::size_t kVectorMax = 32;
constexpr std::size_t kCallListMax = 256;
constexpr std::size_t kPrototypesMax = 65536;  // of a body
constexpr std::uint32_t kOperandDepthMax = 4;

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

}  // namespace

Parser::Parser(LazyBodies* bodies, const Kernel& body)
    : bodies_(bodies),
      renamed_(&bodies->renamed[body.place.text]),
      lexer_(bodies->module->texts[body.place.text], body.place.offset, body.place.line) {
  current_ = lexer_.Next();
  ahead_ = lexer_.Next();
}

// The outermost scope. In a function, its results and parameters lie at the front of the frame.
void Parser::BeginBody(const Kernel& body) {
  scopes_.clear();
  scopes_.emplace_back();
  counts_ = {};
  if (body.is_function) {
    for (const std::vector<Parameter>* list : {&body.results, &body.parameters}) {
      if (!list->empty()) counts_.frame_bytes = list->back().offset + list->back().bytes;
    }
  }
  counts_.local_bytes = counts_.frame_bytes;
}

Status Parser::ReadBody(Kernel* body) {
  ACCELMESH_RETURN_IF_ERROR(Expect("{"));
  BeginBody(*body);
  if (body->is_function) {
    for (const std::vector<Parameter>* list : {&body->results, &body->parameters}) {
      for (const Parameter& parameter : *list) {
        Variable variable;
        variable.name = parameter.name;
        variable.space = Space::kParam;
        variable.bytes = parameter.bytes;
        variable.address = parameter.offset;
        scopes_.back().names[parameter.name] = {Operand::Kind::kVariable,
                                                static_cast<std::uint32_t>(body->variables.size()), 1};
        body->variables.push_back(std::move(variable));
      }
    }
  }
  while (!scopes_.empty()) {
    if (AtEnd()) return Error("a body does not end");
    if (current_.text == "}") {
      ACCELMESH_RETURN_IF_ERROR(CloseScope(body));
      Next();
    } else if (Accept("{")) {
      if (scopes_.size() >= kScopesMax) return Error("scopes nested too deeply");
      scopes_.emplace_back().frame_bytes = counts_.frame_bytes;
    } else if (Accept(".reg")) {
      ACCELMESH_RETURN_IF_ERROR(ParseRegisters());
    } else if (current_.text == ".shared" || current_.text == ".local" || current_.text == ".param") {
      ACCELMESH_RETURN_IF_ERROR(ParseBodyVariable(body));
    } else if (current_.text == ".loc" || current_.text == ".file") {
      SkipLine();
    } else if (AtDirective()) {
      SkipStatement();  // .pragma and the like
    } else {
      ACCELMESH_RETURN_IF_ERROR(ParseStatement(body));
    }
  }
  return Status::Ok();
}

// Labels are known in the whole of the scope that defines them, also before the definition.
Status Parser::CloseScope(Kernel* body) {
  Scope scope = std::move(scopes_.back());
  scopes_.pop_back();
  for (const LabelUse& use : scope.uses) {
    const auto label = scope.labels.find(use.label);
    const auto table = scope.tables.find(use.label);
    const auto prototype = scope.prototypes.find(use.label);
    if (use.in_table && label != scope.labels.end()) {
      body->branch_tables[use.owner][use.entry] = label->second;
    } else if (!use.in_table && label != scope.labels.end()) {
      Operand& operand = body->instructions[use.owner].operands[use.entry];
      operand.kind = Operand::Kind::kLabel;
      operand.index = label->second;
    } else if (!use.in_table && table != scope.tables.end()) {
      Operand& operand = body->instructions[use.owner].operands[use.entry];
      operand.kind = Operand::Kind::kTable;
      operand.index = table->second;
    } else if (!use.in_table && prototype != scope.prototypes.end()) {
      Operand& operand = body->instructions[use.owner].operands[use.entry];
      operand.kind = Operand::Kind::kPrototype;
      operand.index = prototype->second;
    } else if (!scopes_.empty()) {
      scopes_.back().uses.push_back(use);
    } else {
      return ErrorAt(use.line, "there is no label '" + std::string(use.label.substr(0, 80)) + "'");
    }
  }
  // What lay in the frame of this scope makes room for the next one's.
  if (!scopes_.empty()) counts_.frame_bytes = scope.frame_bytes;
  return Status::Ok();
}

Status Parser::ParseBodyVariable(Kernel* body) {
  const std::string_view word = Next().text;
  Variable variable;
  const Space space = word == ".shared" ? Space::kShared : word == ".local" ? Space::kLocal : Space::kParam;
  ACCELMESH_RETURN_IF_ERROR(ParseVariable(space, Linkage::kStatic, &variable));
  if (body->variables.size() >= kVariablesMax) return Error("too many variables");
  const std::string_view name = name_;
  if (space == Space::kShared && body->is_function) {
    // A kernel that calls the function gives it its place, as it does for variables at module scope.
    if (unit_ == nullptr) return Status::Ok();
    if (!unit_->shared_names.emplace(name, unit_->shared.size()).second) return Error("a shared variable twice");
    unit_->shared.push_back(std::move(variable));
    return Status::Ok();
  }
  if (space == Space::kShared) {
    variable.address = AlignUp(counts_.shared_bytes, variable.alignment);
    if (variable.bytes > kSharedBytesMax - variable.address) return Error("shared memory past the limit");
    counts_.shared_bytes = static_cast<std::uint32_t>(variable.address + variable.bytes);
  } else {
    variable.address = AlignUp(counts_.frame_bytes, variable.alignment);
    if (variable.bytes > kLocalBytesMax - variable.address) return Error("local memory past the limit");
    counts_.frame_bytes = static_cast<std::uint32_t>(variable.address + variable.bytes);
    counts_.local_bytes = std::max(counts_.local_bytes, counts_.frame_bytes);
  }
  const Name made{Operand::Kind::kVariable, static_cast<std::uint32_t>(body->variables.size()), 1};
  if (!scopes_.back().names.emplace(name, made).second) return Error("a variable twice");
  body->variables.push_back(std::move(variable));
  return Status::Ok();
}

Status Parser::ParseRegisters() {
  if (!AtDirective()) return Error("a register needs a type");
  Type type = ParseType(Next().text.substr(1));
  if (type == Type::kNone) return Error("a register needs a type");
  const bool predicate = type == Type::kPred;
  do {
    if (current_.kind != Token::Kind::kWord) return Error("a register needs a name");
    const std::string_view name = Next().text;
    std::uint64_t count = 1;
    const bool family = Accept("<");
    if (family) {
      ACCELMESH_ASSIGN_OR_RETURN(count, ParseCount());
      ACCELMESH_RETURN_IF_ERROR(Expect(">"));
    }
    std::uint32_t& next = predicate ? counts_.predicates : counts_.registers;
    if (count > kRegistersMax || next + count > kRegistersMax) return Error("too many registers");
    const Name made{predicate ? Operand::Kind::kPredicate : Operand::Kind::kRegister, next,
                    static_cast<std::uint32_t>(count)};
    if (!(family ? scopes_.back().families : scopes_.back().names).emplace(name, made).second)
      return Error("a register twice");
    next += static_cast<std::uint32_t>(count);
  } while (Accept(","));
  return Expect(";");
}

// Fills kind and index. A member of a family is its name with a number behind it; the name may end in digits itself.
bool Parser::FindName(std::string_view name, Operand* operand) const {
  std::size_t digits = 0;
  while (digits < name.size() && digits < 6 && name[name.size() - 1 - digits] >= '0' &&
         name[name.size() - 1 - digits] <= '9') {
    ++digits;
  }
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const auto found = scope->names.find(name); found != scope->names.end()) {
      operand->kind = found->second.kind;
      operand->index = found->second.index;
      return true;
    }
    for (std::size_t n = digits; n > 0; --n) {
      const auto family = scope->families.find(name.substr(0, name.size() - n));
      if (family == scope->families.end()) continue;
      std::uint32_t number = 0;
      std::from_chars(name.data() + name.size() - n, name.data() + name.size(), number);
      if (number >= family->second.count) continue;
      operand->kind = family->second.kind;
      operand->index = family->second.index + number;
      return true;
    }
  }
  return false;
}

// Fills kind, index and selector for a part of a register: %r1.h0.
bool Parser::FindPart(std::string_view name, Operand* operand) const {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || !FindName(name.substr(0, dot), operand)) return false;
  operand->selector = name.substr(dot + 1);
  return true;
}

Status Parser::FindPredicate(std::int32_t* predicate) {
  Operand operand;
  if (!FindName(current_.text, &operand) || operand.kind != Operand::Kind::kPredicate)
    return Error("expected a predicate");
  Next();
  *predicate = static_cast<std::int32_t>(operand.index);
  return Status::Ok();
}

Status Parser::ParseList(Kernel* body, std::string_view close, std::size_t count_max, std::uint32_t depth,
                         Operand* list) {
  list->kind = Operand::Kind::kVector;
  while (!Accept(close)) {
    if (AtEnd() || list->elements.size() >= count_max) return Error("a list of operands past the limit");
    ACCELMESH_ASSIGN_OR_RETURN(Operand element, ParseOperand(body, depth + 1));
    list->elements.push_back(std::move(element));
    if (!Accept(",") && current_.text != close) return Error("expected ',' or '" + std::string(close) + "'");
  }
  return Status::Ok();
}

Result<Operand> Parser::ParseOperand(Kernel* body, std::uint32_t depth) {
  if (depth > kOperandDepthMax) return Error("operands nested too deeply");
  Operand operand;
  if (Accept("[")) {
    ACCELMESH_ASSIGN_OR_RETURN(operand, ParseOperand(body, depth + 1));
    operand.is_address = true;
    if (Accept(",")) {  // the coordinates of a texture or surface
      ACCELMESH_ASSIGN_OR_RETURN(Operand coordinates, ParseOperand(body, depth + 1));
      if (coordinates.kind != Operand::Kind::kVector) return Error("expected a list of coordinates");
      operand.elements = std::move(coordinates.elements);
    }
    ACCELMESH_RETURN_IF_ERROR(Expect("]"));
    return operand;
  }
  if (Accept("{")) {
    ACCELMESH_RETURN_IF_ERROR(ParseList(body, "}", kVectorMax, depth, &operand));
    if (Accept("|")) ACCELMESH_RETURN_IF_ERROR(FindPredicate(&operand.paired));  // whether the texels are there
    return operand;
  }
  if (Accept("(")) {  // the lists of a call
    ACCELMESH_RETURN_IF_ERROR(ParseList(body, ")", kCallListMax, depth, &operand));
    return operand;
  }
  operand.negated = Accept("!");
  if (current_.text == "-" && ahead_.kind == Token::Kind::kWord) {
    Next();
    operand.negated = true;
  }
  if (current_.kind == Token::Kind::kNumber || current_.text == "-") {
    operand.kind = Operand::Kind::kImmediate;
    ACCELMESH_ASSIGN_OR_RETURN(const Literal literal, ParseConstant());
    operand.immediate = literal.bits;
    operand.is_double = literal.is_double;
    return operand;
  }
  if (current_.kind != Token::Kind::kWord) return Error("expected an operand");
  operand.symbol = Next().text;
  if (operand.symbol == "_") {
    operand.kind = Operand::Kind::kSink;
  } else if (!FindName(operand.symbol, &operand) && !FindPart(operand.symbol, &operand)) {
    operand.kind = operand.symbol[0] == '%' ? Operand::Kind::kSpecial : Operand::Kind::kSymbol;
    if (const auto renamed = renamed_->find(operand.symbol); renamed != renamed_->end())
      operand.symbol = renamed->second;
  }
  if (Accept("|")) {
    if (Accept("_")) return operand;
    ACCELMESH_RETURN_IF_ERROR(FindPredicate(&operand.paired));
  }
  if (current_.text == "+" || current_.text == "-") {
    Accept("+");
    ACCELMESH_ASSIGN_OR_RETURN(operand.immediate, ParseCount());
  }
  return operand;
}

// `label:` with what may stand behind it.
Status Parser::ParseLabelled(Kernel* body, std::string_view label) {
  Scope& scope = scopes_.back();
  if (Accept(".branchtargets")) {
    const auto table = static_cast<std::uint32_t>(body->branch_tables.size());
    if (!scope.tables.emplace(label, table).second) return Error("a label twice");
    std::vector<std::uint32_t>& entries = body->branch_tables.emplace_back();
    while (!Accept(";")) {
      if (AtEnd() || entries.size() >= kTableEntriesMax) return Error("a table of branch targets past the limit");
      const auto entry = static_cast<std::uint32_t>(entries.size());
      scope.uses.push_back({current_.text, current_.line, true, table, entry});
      entries.push_back(0);
      Next();
      if (!Accept(",") && current_.text != ";") return Error("expected ',' or ';'");
    }
    return Status::Ok();
  }
  if (current_.text == ".callprototype" || current_.text == ".calltargets") return ParsePrototype(body, label);
  if (!scope.labels.emplace(label, static_cast<std::uint32_t>(body->instructions.size())).second)
    return Error("a label twice");
  return Status::Ok();
}

// What a call through a pointer says of its function. One that cannot be read fails the calls that name it.
Status Parser::ParsePrototype(Kernel* body, std::string_view label) {
  if (body->prototypes.size() >= kPrototypesMax) return Error("too many call prototypes");
  if (!scopes_.back().prototypes.emplace(label, static_cast<std::uint32_t>(body->prototypes.size())).second)
    return Error("a label twice");
  Prototype prototype;
  prototype.unsupported = ParseSignature(&prototype);
  body->prototypes.push_back(std::move(prototype));
  SkipStatement();
  return Status::Ok();
}
Status Parser::ParseSignature(Prototype* prototype) {
  if (Accept(".calltargets")) return ParseCallTargets(prototype);
  ACCELMESH_RETURN_IF_ERROR(Expect(".callprototype"));
  std::uint32_t bytes = 0;
  if (Accept("(")) ACCELMESH_RETURN_IF_ERROR(ParseParameters(&prototype->results, &bytes));
  ACCELMESH_RETURN_IF_ERROR(Expect("_"));
  if (Accept("(")) ACCELMESH_RETURN_IF_ERROR(ParseParameters(&prototype->parameters, &bytes));
  return Status::Ok();
}

// A list of functions, all alike: the first that is known says what a call passes.
Status Parser::ParseCallTargets(Prototype* prototype) {
  const Module& module = *bodies_->module;
  while (current_.kind == Token::Kind::kWord) {
    std::string_view name = Next().text;
    if (const auto renamed = renamed_->find(name); renamed != renamed_->end()) name = renamed->second;
    if (const auto function = module.function.find(name); function != module.function.end()) {
      prototype->results = module.functions[function->second].results;
      prototype->parameters = module.functions[function->second].parameters;
      return Status::Ok();
    }
    if (!Accept(",")) break;
  }
  return Error("no function that can be called");
}

// Remembers the labels that an instruction names, for when all are known.
void Parser::NoteLabels(const Kernel& body, const Instruction& instruction) {
  const auto at = static_cast<std::uint32_t>(body.instructions.size());
  const bool branch = instruction.opcode[0] == "bra" || instruction.opcode[0] == "brx";
  const bool call = instruction.opcode[0] == "call";
  bool through_pointer = false;
  for (std::uint32_t i = 0; i < instruction.operands.size(); ++i) {
    const Operand& operand = instruction.operands[i];
    through_pointer |= call && operand.kind == Operand::Kind::kRegister;
    if (operand.kind == Operand::Kind::kSymbol && (branch || through_pointer))
      scopes_.back().uses.push_back({operand.symbol, instruction.line, false, at, i});
  }
}

Status Parser::ParseStatement(Kernel* body) {
  if (current_.kind == Token::Kind::kWord && ahead_.text == ":") {
    const std::string_view label = Next().text;
    Next();
    return ParseLabelled(body, label);
  }
  if (bodies_->instructions.fetch_add(1, std::memory_order_relaxed) >= kInstructionsMax)
    return Error("too many instructions");
  Instruction instruction;
  instruction.line = current_.line;
  const char* start = current_.text.data();
  if (Accept("@")) {
    instruction.guard_negated = Accept("!");
    ACCELMESH_RETURN_IF_ERROR(FindPredicate(&instruction.guard));
  }
  if (current_.kind != Token::Kind::kWord) return Error("expected an instruction");
  instruction.opcode = SplitDots(Next().text);
  if (instruction.opcode.empty()) return Error("expected an instruction");
  while (!AtEnd() && current_.text != ";") {
    ACCELMESH_ASSIGN_OR_RETURN(Operand operand, ParseOperand(body, 0));
    instruction.operands.push_back(std::move(operand));
    if (!Accept(",") && current_.text != ";") return Error("expected ',' or ';'");
  }
  if (AtEnd()) return Error("expected ';'");
  instruction.text = {start, static_cast<std::size_t>(current_.text.data() - start)};
  Next();
  NoteLabels(*body, instruction);
  body->instructions.push_back(std::move(instruction));
  return Status::Ok();
}

}  // namespace accelmesh::ptx
