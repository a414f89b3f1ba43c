// The outline of a body: what its declarations take and which names stand in it. Instructions are passed over.
#include "server/backend/cpu/ptx/parser.h"

namespace accelmesh::ptx {
namespace {

constexpr std::size_t kNamesMax = 4u << 20;  // of a body

bool IsOfInstruction(std::string_view opcode, std::string_view name) {
  return opcode == name || (opcode.size() > name.size() && opcode.starts_with(name) && opcode[name.size()] == '.');
}

}  // namespace

void Parser::OutlineOrSkip(Kernel* body) {
  const Lexer lexer = lexer_;
  const Token current = current_;
  const Token ahead = ahead_;
  if (!AtEnd()) body->place = {unit_->index, current_.line, lexer_.OffsetOf(current_)};
  const Status outlined = Outline(body);
  body->variables.clear();  // of the outline; ReadBodies makes them anew
  if (outlined.ok()) return;
  // This one fails where it is needed; the rest of the module is as good as before.
  body->unsupported = Status(Code::kUnsupported, outlined.where(), outlined.text());
  lexer_ = lexer;
  current_ = current;
  ahead_ = ahead;
  SkipBody();
}

Status Parser::Outline(Kernel* body) {
  ACCELMESH_RETURN_IF_ERROR(Expect("{"));
  BeginBody(*body);
  while (!scopes_.empty()) {
    if (AtEnd()) return Error("a body does not end");
    if (Accept("}")) {
      const std::uint32_t outer_bytes = scopes_.back().frame_bytes;
      scopes_.pop_back();
      if (!scopes_.empty()) counts_.frame_bytes = outer_bytes;
    } else if (Accept("{")) {
      if (scopes_.size() >= kScopesMax) return Error("scopes nested too deeply");
      scopes_.emplace_back().frame_bytes = counts_.frame_bytes;
    } else if (Accept(".reg")) {
      ACCELMESH_RETURN_IF_ERROR(ParseRegisters());
    } else if (current_.text == ".shared" || current_.text == ".local" || current_.text == ".param") {
      ACCELMESH_RETURN_IF_ERROR(ParseBodyVariable(body));
    } else if (current_.text == ".loc" || current_.text == ".file") {
      SkipLine();
    } else if (current_.text == ".callprototype" || current_.text == ".calltargets") {
      body->calls_pointers = true;
      SkipStatement();
    } else if (AtDirective()) {
      SkipStatement();
    } else {
      ACCELMESH_RETURN_IF_ERROR(SkimStatement(body));
    }
  }
  body->registers = counts_.registers;
  body->predicates = counts_.predicates;
  body->local_bytes = counts_.local_bytes;
  body->static_shared_bytes = counts_.shared_bytes;
  return Status::Ok();
}

// A label, or an instruction up to its semicolon. Whether it makes sense is asked when the body is read.
Status Parser::SkimStatement(Kernel* body) {
  if (current_.kind == Token::Kind::kWord && ahead_.text == ":") {
    Next();
    Next();
    return Status::Ok();
  }
  if (Accept("@")) {
    Accept("!");
    Next();
  }
  const std::string_view opcode = current_.text;
  const bool branch = IsOfInstruction(opcode, "bra") || IsOfInstruction(opcode, "brx");
  const bool call = IsOfInstruction(opcode, "call");
  bool address = false;  // behind a bracket
  std::size_t braces = 0;
  while (!AtEnd() && !Accept(";")) {
    const Token token = Next();
    if (token.text == "{") ++braces;
    if (token.text == "}" && braces-- == 0) return Error("expected ';'");
    if (token.kind == Token::Kind::kWord && token.text.data() != opcode.data() && !branch && token.text[0] != '%' &&
        token.text[0] != '.') {
      if (body->called.size() + body->named.size() + body->shared_symbols.size() >= kNamesMax)
        return Error("too many names");
      if (call) {
        body->called.push_back(token.text);
      } else if (!address) {
        body->named.push_back(token.text);
      }
      body->shared_symbols.push_back(token.text);  // Link leaves those that are
    }
    address = token.text == "[";
  }
  return Status::Ok();
}

}  // namespace accelmesh::ptx
