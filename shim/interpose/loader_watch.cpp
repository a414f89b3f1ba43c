#include "shim/interpose/loader_watch.h"

#include "shim/interpose/loaded_objects.h"
#include "shim/interpose/redirect.h"
#include "shim/interpose/runtime_functions.h"

namespace accelmesh {
namespace {

constexpr const char* kWhere = "WatchLoader";
constexpr std::uintptr_t kAlignment = 16;  // of a function

void (*g_on_change)() = nullptr;  // written before the redirection
// ld.so stays as long as the process does, and so must they. LeakSanitizer looks for a pointer to them.
[[gnu::used]] const NearPages* g_pages = nullptr;

}  // namespace
}  // namespace accelmesh

// The empty function changes no register, and ld.so's compiler may have counted on that.
extern "C" __attribute__((visibility("hidden"))) void accelmesh_loader_entry();
extern "C" __attribute__((visibility("hidden"), used)) void accelmesh_loader_changed() { accelmesh::g_on_change(); }
asm(R"(
  .text
  .p2align 4
  .globl accelmesh_loader_entry
  .hidden accelmesh_loader_entry
  .type accelmesh_loader_entry, @function
accelmesh_loader_entry:
  .cfi_startproc
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset %rbp, -16
  movq %rsp, %rbp
  .cfi_def_cfa_register %rbp
  pushq %rax
  pushq %rcx
  pushq %rdx
  pushq %rsi
  pushq %rdi
  pushq %r8
  pushq %r9
  pushq %r10
  pushq %r11
  subq $512, %rsp
  andq $-16, %rsp
  fxsave64 (%rsp)
  call accelmesh_loader_changed
  fxrstor64 (%rsp)
  leaq -72(%rbp), %rsp
  popq %r11
  popq %r10
  popq %r9
  popq %r8
  popq %rdi
  popq %rsi
  popq %rdx
  popq %rcx
  popq %rax
  popq %rbp
  .cfi_def_cfa %rsp, 8
  ret
  .cfi_endproc
  .size accelmesh_loader_entry, . - accelmesh_loader_entry
)");

namespace accelmesh {

bool IsEmptyFunction(const unsigned char* code) {
  if (reinterpret_cast<std::uintptr_t>(code) % kAlignment != 0) return false;
  // The next function begins at a multiple of the alignment, so what follows the return up to there is padding.
  if (BeginsWithBranchTarget({code, kBranchTargetBytes})) code += kBranchTargetBytes;
  if (code[0] == 0xf3) ++code;  // `repz ret`
  if (code[0] != 0xc3) return false;
  // Unless functions are not aligned here: then code follows, not what assemblers fill gaps with.
  return code[1] == 0x90 || code[1] == 0xcc || code[1] == 0x66 || code[1] == 0x2e ||
         (code[1] == 0x0f && code[2] == 0x1f);
}

Status WatchLoader(void (*on_change)()) {
  const auto* code = reinterpret_cast<const unsigned char*>(LoaderList().r_brk);
  if (code == nullptr) return Status(Code::kUnsupported, kWhere, "the loader has no hook for debuggers");
  const ByteView begin(code, kBranchTargetBytes);
  if (code[BeginsWithBranchTarget(begin) ? kBranchTargetBytes : 0] == 0xe9)
    return Status(Code::kFull, kWhere, "the loader is watched already");
  if (!IsEmptyFunction(code)) return Status(Code::kUnsupported, kWhere, "the loader's hook is not the empty function");
  g_on_change = on_change;
  const Redirection redirection{LoaderList().r_brk, reinterpret_cast<std::uintptr_t>(&accelmesh_loader_entry)};
  ACCELMESH_ASSIGN_OR_RETURN(NearPages pages, Redirect({&redirection, 1}));
  g_pages = new NearPages(std::move(pages));
  return Status::Ok();
}

}  // namespace accelmesh
