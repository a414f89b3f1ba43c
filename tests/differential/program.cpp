#include "tests/differential/program.h"

#include "tests/differential/operations.h"

namespace accelmesh::differential {

void FindUsed(const Body& body, Used* used) {
  const auto mark = [used](Register reg) { used->registers[static_cast<std::size_t>(reg.width)][reg.index] = true; };
  for (const Statement& s : body) {
    ++used->statements;
    for (const Register& reg : s.results) mark(reg);
    for (const Operand& operand : s.operands) {
      if (!operand.is_immediate) mark(operand.reg);
    }
    if (s.guarded) mark(s.guard.reg);
    const bool is_access =
        s.what == Statement::What::kLoad || s.what == Statement::What::kStore || s.what == Statement::What::kAtomic;
    used->shared = used->shared || (is_access && s.space == Space::kShared);
    used->local = used->local || (is_access && s.space == Space::kLocal);
    used->cells = used->cells || (s.what == Statement::What::kReduce && s.space == Space::kShared);
    used->block =
        used->block || (s.what == Statement::What::kOperate && Operations()[s.index].family == Family::kBlock);
    FindUsed(s.body, used);
    FindUsed(s.otherwise, used);
  }
}

}  // namespace accelmesh::differential
