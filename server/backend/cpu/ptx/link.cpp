// One module of one or several texts: names are settled, shared variables and functions get their places, and bodies
// are read when somebody needs them.
#include <algorithm>
#include <limits>

#include "server/backend/cpu/ptx/parser.h"

namespace accelmesh::ptx {
namespace {

constexpr std::size_t kTextBytesMax = 256 * limits::kMiB;
constexpr std::size_t kTextsMax = 65536;
constexpr std::uint32_t kVersionMax = 90;  // PTX ISA 9.0
// Above what a null pointer with an offset reaches, far below every window.
constexpr std::uint64_t kFirstFunctionAddress = 1u << 20;

class Linker {
 public:
  Linker(Module* module, std::vector<Unit> units) : module_(*module), units_(std::move(units)) {}
  void Run();

 private:
  void RenameStatics();
  void Merge(Unit& unit);
  void MergeBody(std::vector<Kernel>* bodies, std::unordered_map<std::string_view, std::uint32_t>* known, Kernel body);
  void MergeVariable(Variable variable);
  void MergeShared(Variable variable);
  void SettleNames();
  void PlaceFunctions();
  void PlaceShared(Kernel* kernel);
  std::string_view Intern(std::string name) { return module_.linked_names.emplace_back(std::move(name)); }
  static std::string_view NameIn(const Renamed& renamed, std::string_view name) {
    const auto found = renamed.find(name);
    return found == renamed.end() ? name : found->second;
  }

  Module& module_;
  std::vector<Unit> units_;
  std::unordered_map<std::string_view, std::uint32_t> kernels_;    // by name, index in Module::kernels
  std::unordered_map<std::string_view, std::uint32_t> variables_;  // and in Module::variables
  std::unordered_set<std::string_view> declared_;                  // functions
};

// A static name that another text has, too, becomes one that no text can write.
void Linker::RenameStatics() {
  std::unordered_map<std::string_view, std::uint32_t> texts;  // how many know the name
  std::unordered_set<std::string_view> seen;
  const auto each_name = [](Unit& unit, auto&& visit) {
    for (Kernel& kernel : unit.kernels) visit(kernel.name, kernel.linkage);
    for (Kernel& function : unit.functions) visit(function.name, function.linkage);
    for (Variable& variable : unit.variables) visit(variable.name, variable.linkage);
    for (Variable& variable : unit.shared) visit(variable.name, variable.linkage);
    for (const std::string_view name : unit.externals) {
      std::string external(name);
      visit(external, Linkage::kExtern);
    }
  };
  std::deque<std::string> kept;
  for (Unit& unit : units_) {
    seen.clear();
    each_name(unit, [&](const std::string& name, Linkage) {
      if (const auto known = texts.find(name); known != texts.end()) {
        if (seen.insert(known->first).second) ++known->second;
      } else {
        const std::string_view own = kept.emplace_back(name);
        texts[own] = 1;
        seen.insert(own);
      }
    });
  }
  for (Unit& unit : units_) {
    Renamed& renamed = module_.bodies->renamed[unit.index];
    each_name(unit, [&](std::string& name, Linkage linkage) {
      if (linkage != Linkage::kStatic || texts.at(name) == 1) return;
      const std::string_view original = Intern(name);
      const auto [found, added] = renamed.emplace(original, std::string_view());
      if (added) found->second = Intern(name + "@" + std::to_string(unit.index));
      name = found->second;
    });
  }
}

// Whether the second definition of a name takes the place of the first.
bool Replaces(Linkage first, Linkage second) {
  const auto rank = [](Linkage linkage) {
    return linkage == Linkage::kExtern ? 0 : linkage == Linkage::kWeak || linkage == Linkage::kCommon ? 1 : 2;
  };
  return rank(second) > rank(first);
}

void Linker::MergeBody(std::vector<Kernel>* bodies, std::unordered_map<std::string_view, std::uint32_t>* known,
                       Kernel body) {
  const auto found = known->find(body.name);
  if (found == known->end()) {
    const std::string_view name = Intern(body.name);
    known->emplace(name, static_cast<std::uint32_t>(bodies->size()));
    bodies->push_back(std::move(body));
  } else if (Replaces((*bodies)[found->second].linkage, body.linkage)) {
    (*bodies)[found->second] = std::move(body);
  }
}

void Linker::MergeVariable(Variable variable) {
  const auto found = variables_.find(variable.name);
  if (found == variables_.end()) {
    variables_.emplace(Intern(variable.name), static_cast<std::uint32_t>(module_.variables.size()));
    module_.variables.push_back(std::move(variable));
    return;
  }
  Variable& known = module_.variables[found->second];
  const bool larger =
      known.linkage == Linkage::kCommon && variable.linkage == Linkage::kCommon && variable.bytes > known.bytes;
  const std::uint64_t alignment = std::max(known.alignment, variable.alignment);
  if (larger || Replaces(known.linkage, variable.linkage)) known = std::move(variable);
  known.alignment = alignment;
}

// Memory that several texts name has room for the largest of them.
void Linker::MergeShared(Variable variable) {
  const auto found = module_.module_shared.find(variable.name);
  if (found == module_.module_shared.end()) {
    std::string name = variable.name;
    module_.module_shared.emplace(std::move(name), std::move(variable));
    return;
  }
  Variable& known = found->second;
  known.is_extern = known.is_extern && variable.is_extern;
  known.bytes = std::max(known.bytes, variable.bytes);
  known.alignment = std::max(known.alignment, variable.alignment);
}

void Linker::Merge(Unit& unit) {
  const Renamed& renamed = module_.bodies->renamed[unit.index];
  module_.version = std::max(module_.version, unit.version);
  module_.target = std::max(module_.target, unit.target);
  for (Kernel& kernel : unit.kernels) MergeBody(&module_.kernels, &kernels_, std::move(kernel));
  for (Kernel& function : unit.functions) MergeBody(&module_.functions, &module_.function, std::move(function));
  for (Variable& variable : unit.variables) {
    for (Variable::Relocation& relocation : variable.relocations)
      relocation.symbol = NameIn(renamed, relocation.symbol);
    MergeVariable(std::move(variable));
  }
  for (Variable& variable : unit.shared) MergeShared(std::move(variable));
  for (const std::string_view name : unit.declared) declared_.insert(NameIn(renamed, name));
}

// The names in bodies become those of the module.
void Linker::SettleNames() {
  for (std::vector<Kernel>* bodies : {&module_.kernels, &module_.functions}) {
    for (Kernel& body : *bodies) {
      const Renamed& renamed = module_.bodies->renamed[body.place.text];
      for (std::vector<std::string_view>* names : {&body.called, &body.named, &body.shared_symbols}) {
        if (renamed.empty()) break;
        for (std::string_view& name : *names) name = NameIn(renamed, name);
      }
      if (module_.module_shared.empty()) {
        body.shared_symbols.clear();
      } else {
        std::erase_if(body.shared_symbols,
                      [this](std::string_view name) { return !module_.module_shared.contains(std::string(name)); });
      }
      body.shared_symbols.shrink_to_fit();
    }
  }
  for (const Unit& unit : units_) {
    const Renamed& renamed = module_.bodies->renamed[unit.index];
    for (const auto& [name, target] : unit.aliases) {
      const auto function = module_.function.find(NameIn(renamed, target));
      if (function == module_.function.end()) continue;
      declared_.insert(name);
      module_.function.emplace(name, function->second);
    }
  }
}

// Gives every .shared variable at module scope that the kernel or a function it reaches names a place behind the
// kernel's own.
void Linker::PlaceShared(Kernel* kernel) {
  std::vector<const Kernel*> bodies{kernel};
  std::unordered_set<std::uint32_t> seen;
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    for (const std::string_view name : bodies[i]->shared_symbols) {
      const Variable& variable = module_.module_shared.at(std::string(name));
      if (variable.is_extern) {
        kernel->dynamic_shared_alignment =
            std::max(kernel->dynamic_shared_alignment, static_cast<std::uint32_t>(variable.alignment));
        continue;
      }
      const auto [place, added] = kernel->shared_addresses.emplace(name, 0);
      if (!added) continue;
      place->second = AlignUp(kernel->static_shared_bytes, variable.alignment);
      kernel->static_shared_bytes = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(place->second + variable.bytes, std::numeric_limits<std::int32_t>::max()));
    }
    const auto reach = [&](std::uint32_t function) {
      if (seen.insert(function).second) bodies.push_back(&module_.functions[function]);
    };
    for (const std::string_view name : bodies[i]->called) {
      const auto function = module_.function.find(name);
      if (function != module_.function.end()) reach(function->second);
    }
    if (bodies[i]->calls_pointers) std::for_each(module_.addressed.begin(), module_.addressed.end(), reach);
  }
}

// Gives the functions their addresses and puts those into the variables that hold them (tables of virtual functions).
// A function that no text brings stays a null pointer there rather than failing the module.
void Linker::PlaceFunctions() {
  static std::atomic<std::uint64_t> next_address{kFirstFunctionAddress};
  module_.first_function_address = next_address.fetch_add(16 * module_.functions.size(), std::memory_order_relaxed);
  std::unordered_set<std::uint32_t> addressed;
  for (Variable& variable : module_.variables) {
    std::erase_if(variable.relocations, [&](const Variable::Relocation& relocation) {
      if (!declared_.contains(relocation.symbol) || variables_.contains(relocation.symbol)) return false;
      if (const auto function = module_.function.find(relocation.symbol); function != module_.function.end()) {
        addressed.insert(function->second);
        const std::uint64_t address =
            module_.FunctionAddress(function->second) + static_cast<std::uint64_t>(relocation.addend);
        std::memcpy(variable.initial.data() + relocation.offset, &address, sizeof(address));
      }
      return true;
    });
  }
  for (const std::vector<Kernel>* bodies : {&module_.kernels, &module_.functions}) {
    for (const Kernel& body : *bodies) {
      for (const std::string_view name : body.named) {
        const auto function = module_.function.find(name);
        if (function != module_.function.end()) addressed.insert(function->second);
      }
    }
  }
  module_.addressed.assign(addressed.begin(), addressed.end());
  std::sort(module_.addressed.begin(), module_.addressed.end());
}

void Linker::Run() {
  if (units_.size() > 1) RenameStatics();
  for (Unit& unit : units_) Merge(unit);
  SettleNames();
  PlaceFunctions();
  for (Kernel& kernel : module_.kernels) PlaceShared(&kernel);
  module_.bodies->once = std::make_unique<std::once_flag[]>(module_.functions.size() + module_.kernels.size());
}

// Once, whoever asks first.
void ReadOne(LazyBodies& bodies, const Kernel& body) {
  Module& module = *bodies.module;
  std::vector<Kernel>& list = body.is_function ? module.functions : module.kernels;
  const auto index = static_cast<std::size_t>(&body - list.data());
  std::call_once(bodies.once[body.is_function ? index : module.functions.size() + index], [&] {
    Kernel& read = list[index];
    if (!read.unsupported.ok()) return;
    const Status status = Parser(&bodies, read).ReadBody(&read);
    if (status.ok()) return;
    read.unsupported = Status(Code::kUnsupported, status.where(), status.text());
    read.instructions.clear();
    read.prototypes.clear();
  });
}

}  // namespace

Module::Module() = default;
Module::~Module() = default;

Result<std::shared_ptr<const Module>> LinkModules(std::vector<std::string> texts, bool has_clusters) {
  if (texts.size() > kTextsMax) return Status(Code::kLimitExceeded, "ptx", "more texts than the limit");
  std::size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  if (bytes > kTextBytesMax) return Status(Code::kLimitExceeded, "ptx", "the text is past the limit");
  auto module = std::make_shared<Module>();
  module->bodies = std::make_unique<LazyBodies>();
  module->bodies->module = module.get();
  module->bodies->renamed.resize(texts.size());
  std::vector<Unit> units(texts.size());
  for (std::uint32_t i = 0; i < texts.size(); ++i) {
    units[i].index = i;
    units[i].has_clusters = has_clusters;
    ACCELMESH_RETURN_IF_ERROR(Parser(module->texts.emplace_back(std::move(texts[i])), &units[i]).Run());
  }
  Linker(module.get(), std::move(units)).Run();
  return std::shared_ptr<const Module>(std::move(module));
}

Result<std::shared_ptr<const Module>> ParseModule(std::string_view text) {
  std::vector<std::string> texts;
  texts.emplace_back(text);
  return LinkModules(std::move(texts));
}

Status CheckTarget(const Module& module, std::uint32_t capability) {
  const auto numbered = [](std::uint32_t number) {
    return std::to_string(number / 10) + "." + std::to_string(number % 10);
  };
  if (module.version > kVersionMax)
    return {Code::kVersionMismatch, "ptx .version",
            numbered(module.version) + " is newer than " + numbered(kVersionMax)};
  if (module.target > capability) {
    return {Code::kInvalidArgument, "ptx .target",
            "sm_" + std::to_string(module.target) + " is newer than the device, whose compute capability is " +
                numbered(capability)};
  }
  return Status::Ok();
}

void ReadBodies(const Module& module, const Kernel& kernel) {
  if (module.bodies == nullptr) return;
  std::vector<const Kernel*> reached{&kernel};
  std::unordered_set<std::uint32_t> seen;
  for (std::size_t i = 0; i < reached.size(); ++i) {
    ReadOne(*module.bodies, *reached[i]);
    const auto reach = [&](std::uint32_t function) {
      if (seen.insert(function).second) reached.push_back(&module.functions[function]);
    };
    for (const std::string_view name : reached[i]->called) {
      const auto function = module.function.find(name);
      if (function != module.function.end()) reach(function->second);
    }
    if (reached[i]->calls_pointers) std::for_each(module.addressed.begin(), module.addressed.end(), reach);
  }
}

void ReadBodies(const Module& module) {
  if (module.bodies == nullptr) return;
  for (const std::vector<Kernel>* bodies : {&module.functions, &module.kernels}) {
    for (const Kernel& body : *bodies) ReadOne(*module.bodies, body);
  }
}

}  // namespace accelmesh::ptx
