// The recursive-descent parser behind ParseModule and ReadBodies. Private to this folder: parser.cpp reads what stands
// at module scope, outline.cpp the declarations and names in bodies, parser_body.cpp whole bodies; link.cpp makes one
// module of what was read of each text.
#pragma once

#include <atomic>
#include <mutex>
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

// One text of a module, before it is linked.
struct Unit {
  std::uint32_t index = 0;  // of Module::texts
  std::uint32_t version = 0;
  std::uint32_t target = 0;
  bool has_clusters = false;
  std::vector<Kernel> kernels;
  std::vector<Kernel> functions;
  std::vector<Variable> variables;
  std::vector<Variable> shared;  // outside of kernels
  std::unordered_map<std::string_view, std::size_t> shared_names;
  std::unordered_set<std::string_view> declared;                       // functions, with a body or without
  std::unordered_set<std::string_view> externals;                      // functions that are declared .extern
  std::vector<std::pair<std::string_view, std::string_view>> aliases;  // of functions: name, what it stands for
};

// Names of one text that are others in the module.
using Renamed = std::unordered_map<std::string_view, std::string_view>;

struct LazyBodies {
  Module* module = nullptr;
  std::vector<Renamed> renamed;            // by text
  std::unique_ptr<std::once_flag[]> once;  // functions, then kernels
  std::atomic<std::size_t> instructions{0};
};

class Parser {
 public:
  // Of a whole text.
  Parser(std::string_view text, Unit* unit);
  Status Run();

  // Of one body of a linked module.
  Parser(LazyBodies* bodies, const Kernel& body);
  Status ReadBody(Kernel* body);

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

  // Of the body, so far.
  struct Counts {
    std::uint32_t registers = 0;
    std::uint32_t predicates = 0;
    std::uint32_t frame_bytes = 0;  // of the local frame
    std::uint32_t local_bytes = 0;  // the most that those have been
    std::uint32_t shared_bytes = 0;
  };
  static constexpr std::size_t kScopesMax = 64;

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
  Status ParseModuleVariable(Linkage linkage);
  // Leaves the name, a view of the text, in `name_`.
  Status ParseVariable(Space space, Linkage linkage, Variable* variable);
  Status ParseInitializer(Type type, Variable* variable);
  Status ParseSymbolAddress(Variable::Relocation* relocation);
  Status ParseAddressByte(std::uint64_t offset, std::uint32_t element, std::uint32_t* bytes_seen, Variable* variable);
  Result<Parameter> ParseParameter();
  Status ParseParameters(std::vector<Parameter>* parameters, std::uint32_t* bytes);
  Status ParseKernel(Linkage linkage);
  Status ParseKernelDirective(Kernel* kernel);
  Status ParseFunction(Linkage linkage);
  Status ParseAlias();

  // outline.cpp
  void OutlineOrSkip(Kernel* body);
  Status Outline(Kernel* body);
  Status SkimStatement(Kernel* body);

  // parser_body.cpp
  void BeginBody(const Kernel& body);
  Status CloseScope(Kernel* body);
  Status ParseBodyVariable(Kernel* body);
  Status ParseRegisters();
  Status ParseStatement(Kernel* body);
  Status ParseLabelled(Kernel* body, std::string_view label);
  Status ParsePrototype(Kernel* body, std::string_view label);
  Status ParseSignature(Prototype* prototype);
  Status ParseCallTargets(Prototype* prototype);
  void NoteLabels(const Kernel& body, const Instruction& instruction);
  Result<Operand> ParseOperand(Kernel* body, std::uint32_t depth);
  Status ParseList(Kernel* body, std::string_view close, std::size_t count_max, std::uint32_t depth, Operand* list);
  bool FindName(std::string_view name, Operand* operand) const;
  bool FindPart(std::string_view name, Operand* operand) const;
  Status FindPredicate(std::int32_t* predicate);

  Unit* unit_ = nullptr;          // of a whole text
  LazyBodies* bodies_ = nullptr;  // of one body
  const Renamed* renamed_ = nullptr;
  Lexer lexer_;
  Token current_;
  Token ahead_;
  std::string_view name_;
  std::vector<Scope> scopes_;
  Counts counts_;
};

}  // namespace accelmesh::ptx
