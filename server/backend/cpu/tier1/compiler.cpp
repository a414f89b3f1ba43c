// The shared object's face: plans, code, LLVM's passes, objects and their cache.
#include <elf.h>
#include <link.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/ExecutionEngine/Orc/ExecutionUtils.h>
#include <llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/ADCE.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/GVN.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>

#include <cstdio>
#include <cstdlib>

#include "server/backend/cpu/tier1/cache.h"
#include "server/backend/cpu/tier1/emit.h"

namespace accelmesh::tier1 {
namespace {

using tier0::Op;
using tier0::Program;

// What identifies this build of the compiler: the linker's hash of the shared object.
std::string BuildId() {
  std::string id;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        const auto here = reinterpret_cast<std::uintptr_t>(&BuildId);
        bool ours = false;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& header = info->dlpi_phdr[i];
          const std::uintptr_t begin = info->dlpi_addr + header.p_vaddr;
          ours = ours || (header.p_type == PT_LOAD && here >= begin && here - begin < header.p_memsz);
        }
        if (!ours) return 0;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& header = info->dlpi_phdr[i];
          if (header.p_type != PT_NOTE) continue;
          const auto* at = reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr);
          const char* end = at + header.p_memsz;
          while (at + sizeof(ElfW(Nhdr)) <= end) {
            const auto* note = reinterpret_cast<const ElfW(Nhdr)*>(at);
            const char* text = at + sizeof(*note) + ((note->n_namesz + 3u) & ~3u);
            if (note->n_type == NT_GNU_BUILD_ID) static_cast<std::string*>(out)->assign(text, note->n_descsz);
            at = text + ((note->n_descsz + 3u) & ~3u);
          }
        }
        return 1;
      },
      &id);
  return id;
}

// Everything that the code depends on, but for addresses, which it reads from the rows.
class Key {
 public:
  template <typename T>
  void Add(const T& value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void AddText(std::string_view text) {
    Add(text.size());
    bytes_.append(text);
  }
  template <typename T>
  void AddList(const std::vector<T>& list) {
    Add(list.size());
    for (const T& value : list) Add(value);
  }
  std::string Hash() const { return HashOf(bytes_); }

 private:
  std::string bytes_;
};

std::string KeyOf(const Program& program, const Plan& plan, std::string_view where) {
  Key key;
  key.AddText(where);
  key.Add(plan.linear);
  key.Add(plan.batches);
  for (const auto& [row, special] : program.specials) {
    key.Add(row);
    key.Add(special);
  }
  key.Add(program.entry);
  key.Add(program.rows);
  key.Add(program.predicates);
  std::vector<bool> in_code(program.rows, false);
  for (std::size_t pc = 0; pc < program.ops.size(); ++pc) {
    const Op& op = program.ops[pc];
    for (const std::string_view part : op.source->opcode) key.AddText(part);
    for (const std::uint32_t row : {op.d, op.a, op.b, op.c, op.members, op.mxcsr}) key.Add(row);
    for (const std::uint32_t row : op.rows) key.Add(row);
    key.Add(op.guard);
    key.Add(op.predicate);
    key.Add(op.immediate);
    for (const std::uint8_t byte :
         {static_cast<std::uint8_t>(op.control), static_cast<std::uint8_t>(op.guard_negated), op.extras, op.mode,
          static_cast<std::uint8_t>(op.predicate_negated), op.bytes, op.count, static_cast<std::uint8_t>(op.space),
          static_cast<std::uint8_t>(op.members_constant), static_cast<std::uint8_t>(op.pairs),
          static_cast<std::uint8_t>(op.whole), static_cast<std::uint8_t>(plan.shapes[pc].kind)})
      key.Add(byte);
    key.AddList(op.targets);
    if (plan.shapes[pc].lane_sync) in_code[op.members] = true;
    if (plan.shapes[pc].kind == Kind::kShuffle) in_code[op.b] = in_code[op.c] = true;
    if (plan.shapes[pc].kind == Kind::kLoadParameter) in_code[op.a] = true;
  }
  for (std::uint32_t i = 0; i < program.rows; ++i) {
    const RowFacts& row = plan.rows[i];
    key.Add(row.kind);
    key.Add(row.bits);
    if (row.kind == RowKind::kConstant || in_code[i]) key.Add(row.constant);
  }
  for (const tier0::Entry& entry : program.entries) key.Add(entry.pc);
  return key.Hash();
}

void Optimise(llvm::Module& module, llvm::TargetMachine& machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graphs;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graphs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graphs, modules);
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  passes.addPass(llvm::EarlyCSEPass(true));
  passes.addPass(llvm::InstCombinePass());
  passes.addPass(llvm::SimplifyCFGPass());
  passes.addPass(llvm::GVNPass());
  passes.addPass(llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()), true));
  passes.addPass(llvm::InstCombinePass());
  passes.addPass(llvm::ADCEPass());
  passes.addPass(llvm::SimplifyCFGPass());
  llvm::ModulePassManager all;
  all.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(passes)));
  all.run(module, modules);
}

struct Loaded : Compiled {
  std::vector<std::uint32_t> entry_list;
  std::vector<std::uint32_t> place_list;
  std::vector<std::uint32_t> pc_list;
  llvm::orc::JITDylib* library = nullptr;
};

}  // namespace

struct Compiler {
  explicit Compiler(const Options& options)
      : cache(options.cache_folder == nullptr ? "" : options.cache_folder, options.cache_bytes_max) {}
  std::unique_ptr<llvm::TargetMachine> machine;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  Cache cache;
  std::string where;  // of keys: processor, versions
  std::uint64_t serial = 0;
};

namespace {

void SetOption(const char* name, bool value) {
  auto& options = llvm::cl::getRegisteredOptions();
  const auto found = options.find(name);
  if (found != options.end()) static_cast<llvm::cl::opt<bool>*>(found->second)->setValue(value);
}
void SetOptions() {
  // An operation stays in its block: sunk to where its result is used, what it needs must be kept until then, in
  // memory.
  SetOption("instcombine-code-sinking", false);
  // Its time grows with the square of the code, and there is nothing to win: masks are words here.
  SetOption("disable-x86-domain-reassignment", true);
}

bool Start(Compiler& compiler) {
  SetOptions();
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  auto host = llvm::orc::JITTargetMachineBuilder::detectHost();
  if (!host) return llvm::consumeError(host.takeError()), false;
  host->setCodeGenOptLevel(llvm::CodeGenOptLevel::Default);
  host->getOptions().AllowFPOpFusion = llvm::FPOpFusion::Strict;
  host->setRelocationModel(llvm::Reloc::PIC_);
  compiler.where = BuildId() + " " + LLVM_VERSION_STRING + " " + std::to_string(kAbi) + " " + host->getCPU() + " " +
                   host->getFeatures().getString();
  auto machine = host->createTargetMachine();
  if (!machine) return llvm::consumeError(machine.takeError()), false;
  compiler.machine = std::move(*machine);
  auto jit = llvm::orc::LLJITBuilder().setJITTargetMachineBuilder(std::move(*host)).create();
  if (!jit) return llvm::consumeError(jit.takeError()), false;
  compiler.jit = std::move(*jit);
  return true;
}

// sweep: null if there is none.
std::string MakeObject(Compiler& compiler, const Program& program, const Plan& plan, const Sweep* sweep,
                       std::string* why) {
  llvm::LLVMContext context;
  llvm::Module module(program.kernel->name, context);
  module.setDataLayout(compiler.machine->createDataLayout());
  module.setTargetTriple(compiler.machine->getTargetTriple().str());
  const bool wide = compiler.machine->getTargetFeatureString().contains("+avx512f");
  Emitter(module, program, plan, wide).Run();
  if (sweep != nullptr) Emitter(module, sweep->program, sweep->plan, wide).RunSweep(*sweep);
  const bool print = std::getenv("ACCELMESH_TIER1_PRINT") != nullptr;
  if (print) module.print(llvm::errs(), nullptr);
  std::string broken;
  llvm::raw_string_ostream broken_stream(broken);
  if (llvm::verifyModule(module, &broken_stream)) {
    *why = "the code is not well-formed: " + broken;
    return {};
  }
  for (llvm::Function& function : module) {
    function.addFnAttr("target-cpu", compiler.machine->getTargetCPU());
    function.addFnAttr("target-features", compiler.machine->getTargetFeatureString());
  }
  Optimise(module, *compiler.machine);
  if (print) module.print(llvm::errs(), nullptr);
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager emit;
  if (compiler.machine->addPassesToEmitFile(emit, stream, nullptr, llvm::CodeGenFileType::ObjectFile)) {
    *why = "no object can be made";
    return {};
  }
  emit.run(module);
  return {bytes.data(), bytes.size()};
}

bool Load(Compiler& compiler, std::string_view object, bool sweeps, Loaded* loaded, std::string* why) {
  auto library = compiler.jit->createJITDylib("kernel" + std::to_string(compiler.serial++));
  if (!library) {
    *why = llvm::toString(library.takeError());
    return false;
  }
  loaded->library = &*library;
  auto process =
      llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(compiler.jit->getDataLayout().getGlobalPrefix());
  if (process) {
    library->addGenerator(std::move(*process));
  } else {
    llvm::consumeError(process.takeError());
  }
  llvm::Error added = compiler.jit->addObjectFile(
      *library, llvm::MemoryBuffer::getMemBufferCopy(llvm::StringRef(object.data(), object.size())));
  if (added) {
    *why = llvm::toString(std::move(added));
    return false;
  }
  for (const char* name : {kFunctionName, kSweepName}) {
    if (name == kSweepName && !sweeps) continue;
    auto symbol = compiler.jit->lookup(*library, name);
    if (!symbol) {
      *why = llvm::toString(symbol.takeError());
      return false;
    }
    if (name == kFunctionName) loaded->code = symbol->toPtr<Code>();
    if (name == kSweepName) loaded->sweep = symbol->toPtr<SweepCode>();
  }
  return true;
}

void Unload(Compiler& compiler, const Loaded* loaded) {
  if (loaded->library != nullptr)
    llvm::consumeError(compiler.jit->getExecutionSession().removeJITDylib(*loaded->library));
  delete loaded;
}

const Compiled* Compile(Compiler* compiler, const Program& program, bool linear, char* why, std::size_t bytes) {
  Plan plan;
  std::string reason;
  auto* loaded = new Loaded;
  const auto fail = [&]() -> const Compiled* {
    std::snprintf(why, bytes, "%s", reason.c_str());
    Unload(*compiler, loaded);
    return nullptr;
  };
  if (!MakePlan(program, linear, &plan, &reason)) return fail();
  Sweep sweep;
  const bool sweeps = FindSweep(program, plan, &sweep);
  const std::string key = KeyOf(program, plan, compiler->where);
  std::optional<std::string> object = compiler->cache.Find(key);
  loaded->from_cache = object.has_value();
  if (!object.has_value()) {
    object = MakeObject(*compiler, program, plan, sweeps ? &sweep : nullptr, &reason);
    if (object->empty()) return fail();
    compiler->cache.Keep(key, *object);
  }
  if (!Load(*compiler, *object, sweeps, loaded, &reason)) return fail();
  loaded->entry_list.assign(program.ops.size(), kNoEntry);
  loaded->place_list.assign(program.ops.size(), kNoEntry);
  loaded->pc_list.resize(2 * plan.blocks.size());
  for (std::size_t i = 0; i < plan.blocks.size(); ++i) {
    const Block& block = plan.blocks[i];
    const Kind kind = plan.shapes[block.first].kind;
    loaded->pc_list[i] = loaded->pc_list[plan.blocks.size() + i] = block.first;
    if (!block.reached) continue;
    loaded->place_list[block.first] = static_cast<std::uint32_t>(i);
    // There is no use in coming for what tier 0 does.
    if (kind != Kind::kControl && kind != Kind::kExit && kind != Kind::kBarrier)
      loaded->entry_list[block.first] = static_cast<std::uint32_t>(i);
  }
  loaded->entries = loaded->entry_list.data();
  loaded->places = loaded->place_list.data();
  loaded->pcs = loaded->pc_list.data();
  loaded->barrier = plan.barrier;
  loaded->batches = plan.batches;
  loaded->argument_bytes = plan.argument_bytes;
  for (const Shape& shape : plan.shapes) {
    loaded->native += shape.kind != Kind::kCalled && shape.kind != Kind::kControl ? 1 : 0;
    loaded->called += shape.kind == Kind::kCalled ? 1 : 0;
  }
  return loaded;
}

Compiler* Create(const Options& options) {
  auto compiler = std::make_unique<Compiler>(options);
  return Start(*compiler) ? compiler.release() : nullptr;
}
void Destroy(Compiler* compiler) { delete compiler; }
void Release(Compiler* compiler, const Compiled* compiled) { Unload(*compiler, static_cast<const Loaded*>(compiled)); }

constexpr Interface kInterface{kAbi, Create, Destroy, Compile, Release};

}  // namespace
}  // namespace accelmesh::tier1

extern "C" __attribute__((visibility("default"))) const accelmesh::tier1::Interface* accelmesh_tier1() {
  return &accelmesh::tier1::kInterface;
}
