// The recursive-descent parser behind ParseModule. Private to this folder: parser.cpp reads what stands at module
// scope, parser_body.cpp the bodies of kernels and functions.
#pragma once

#include <unordered_set>

#include "protocol/base/limits.h"
#include "server/backend/cpu/ptx/lexer.h"
#include "server/backend/cpu/ptx/module.h"

namespace accelmesh::ptx {

// A number as written. A value that is a double keeps its bits in `bits`.
struct Literal {
  std::uint64_t bits = 0;
  bool is_double = false;
};
// Integers in every base, 0f and 0d hexadecimal floats, decimal floats.
bool ParseLiteral(std::string_view text, Literal* literal);

class Parser {
 public:
  explicit Parser(Module* module);
  Status Run();

 private:
  // A name in a scope of a body: a register or predicate, or a family of them ("%r" of %r<8>), or a variable.
  struct Name {
    Operand::Kind kind = Operand::Kind::kRegister;
    std::uint32_t index = 0;
    std::uint32_t count = 1;
  };
  // A label (table, prototype) that an instruction names before, or after, it is defined.
  struct LabelUse {
    std::string_view label;
    std::uint32_t line = 0;
    bool in_table = false;
    std::uint32_t owner = 0;  // instruction or branch table
    std::uint32_t entry = 0;  // operand of the one, entry of the other
  };
  struct Scope {
    std::unordered_map<std::string_view, Name> names;
    std::unordered_map<std::string_view, Name> families;
    std::unordered_map<std::string_view, std::uint32_t> labels;
    std::unordered_map<std::string_view, std::uint32_t> tables;
    std::unordered_map<std::string_view, std::uint32_t> prototypes;
    std::vector<LabelUse> uses;
    std::uint32_t frame_bytes = 0;  // of the local frame, where the scope began
  };

  const Token& Peek() const { return current_; }
  Token Next();
  bool AtEnd() const { return current_.kind == Token::Kind::kEnd; }
  bool AtDirective() const { return current_.kind == Token::Kind::kWord && current_.text[0] == '.'; }
  bool Accept(std::string_view text);
  Status Expect(std::string_view text);
  Status Error(const std::string& what) const;
  Status ErrorAt(std::uint32_t line, const std::string& what) const;
  void SkipStatement();
  void SkipLine();
  void SkipBody();
  Result<Literal> ParseConstant();
  Result<std::uint64_t> ParseCount();

  // parser.cpp
  Status ParseHeader();
  Status ParseModuleVariable(bool is_extern);
  // Leaves the name, a view of the text, in `name_`.
  Status ParseVariable(Space space, bool is_extern, Variable* variable);
  Status ParseInitializer(Type type, Variable* variable);
  Result<Parameter> ParseParameter();
  Status ParseParameters(std::vector<Parameter>* parameters, std::uint32_t* bytes);
  Status ParseKernel();
  Status ParseFunction();
  void ParseBodyOrSkip(Kernel* body);
  void PlaceShared(Kernel* kernel);
  void PlaceFunctions();

  // parser_body.cpp
  Status ParseBody(Kernel* body);
  Status CloseScope(Kernel* body);
  Status ParseBodyVariable(Kernel* body);
  Status ParseRegisters(Kernel* body);
  Status ParseStatement(Kernel* body);
  Status ParseLabelled(Kernel* body, std::string_view label);
  Status ParsePrototype(Kernel* body, std::string_view label);
  Status ParseSignature(Prototype* prototype);
  void NoteNames(Kernel* body, const Instruction& instruction);
  Result<Operand> ParseOperand(Kernel* body, std::uint32_t depth);
  Status ParseList(Kernel* body, std::string_view close, std::size_t count_max, std::uint32_t depth, Operand* list);
  bool FindName(std::string_view name, Operand* operand) const;
  Status FindPredicate(std::int32_t* predicate);

  Module* module_;
  Lexer lexer_;
  Token current_;
  Token ahead_;
  std::string_view name_;
  std::unordered_set<std::string_view> declared_;  // functions, with a body or without
  std::vector<Scope> scopes_;
  std::uint32_t frame_bytes_ = 0;  // of the body's local frame, so far
  std::size_t instructions_ = 0;   // of the module
};

}  // namespace accelmesh::ptx
