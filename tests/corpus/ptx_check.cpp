// ptx-check: says of PTX files which of their kernels the software GPU runs, and why it does not run the others.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <limits>

#include "server/backend/cpu/tier0/tier0.h"

namespace accelmesh {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

constexpr const char* kFooter =
    R"(Each file is a module of its own; with --link all are one, as nvcc -rdc=true has them. Nothing is run and no GPU is needed.

Exit status: 0 if every kernel is one that the software GPU runs, 1 if a file cannot be read or a kernel is refused, 2 if
the command line is wrong.

Example: ptx-check kernels.ptx)";

struct Report {
  std::string name;
  std::string failure;  // of the module
  std::size_t bytes = 0;
  double load_ms = std::numeric_limits<double>::max();
  double all_ms = 0;  // to read and decode every kernel
  std::size_t kernels = 0;
  std::vector<std::pair<std::string, std::string>> refused;  // kernel, why
};

double MillisecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

Report Check(std::string name, const std::vector<std::string>& texts, std::uint32_t repetitions) {
  Report report;
  report.name = std::move(name);
  for (const std::string& text : texts) report.bytes += text.size();
  std::shared_ptr<const ptx::Module> module;
  for (std::uint32_t i = 0; i < repetitions; ++i) {
    std::vector<std::string> taken = texts;
    const Clock::time_point begin = Clock::now();
    auto loaded = ptx::LinkModules(std::move(taken));
    report.load_ms = std::min(report.load_ms, MillisecondsSince(begin));
    if (!loaded.ok()) {
      report.failure = loaded.status().ToString();
      return report;
    }
    module = *std::move(loaded);
  }
  // Where variables lie does not matter to whether a kernel can be decoded.
  const tier0::SymbolLookup symbols = [&module](std::string_view symbol) {
    for (const ptx::Variable& variable : module->variables) {
      if (variable.name == symbol) return variable.is_extern ? std::uint64_t{0} : std::uint64_t{1} << 32;
    }
    return std::uint64_t{0};
  };
  report.kernels = module->kernels.size();
  const Clock::time_point begin = Clock::now();
  for (const ptx::Kernel& kernel : module->kernels) {
    const auto decoded = tier0::Decode(*module, kernel, symbols);
    if (!decoded.ok()) report.refused.emplace_back(kernel.name, decoded.status().ToString());
  }
  report.all_ms = MillisecondsSince(begin);
  return report;
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof(code), "\\u%04x", static_cast<unsigned>(c));
      quoted += code;
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

void PrintJson(const std::vector<Report>& reports) {
  std::printf("[");
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const Report& report = reports[i];
    std::printf("%s\n{\"file\": %s, \"bytes\": %zu, \"failure\": %s, ", i == 0 ? "" : ",", Quoted(report.name).c_str(),
                report.bytes, Quoted(report.failure).c_str());
    std::printf("\"load_ms\": %.3f, \"decode_ms\": %.3f, \"kernels\": %zu, \"refused\": [", report.load_ms,
                report.all_ms, report.kernels);
    for (std::size_t r = 0; r < report.refused.size(); ++r) {
      std::printf("%s{\"kernel\": %s, \"why\": %s}", r == 0 ? "" : ", ", Quoted(report.refused[r].first).c_str(),
                  Quoted(report.refused[r].second).c_str());
    }
    std::printf("]}");
  }
  std::printf("\n]\n");
}

void PrintText(const std::vector<Report>& reports) {
  for (const Report& report : reports) {
    if (!report.failure.empty()) {
      std::printf("%s: not a module: %s\n", report.name.c_str(), report.failure.c_str());
      continue;
    }
    std::printf("%s: %zu bytes, %zu kernels, %zu refused; loads in %.2f ms, all decoded in %.2f ms\n",
                report.name.c_str(), report.bytes, report.kernels, report.refused.size(), report.load_ms,
                report.all_ms);
    for (const auto& [kernel, why] : report.refused) std::printf("  %s: %s\n", kernel.c_str(), why.c_str());
  }
}

int Main(int argc, char** argv) {
  CLI::App app("Says of PTX files which of their kernels the software GPU runs, and why it does not run the others.");
  app.footer(kFooter);
  app.set_version_flag("--version", "ptx-check " ACCELMESH_VERSION);
  std::vector<std::string> files;
  bool json = false;
  bool link = false;
  std::uint32_t repetitions = 1;
  app.add_option("file", files, "PTX text")->required();
  app.add_flag("--json", json, "a list of objects, one a module");
  app.add_flag("--link", link, "all files together are one module");
  app.add_option("--repeat", repetitions, "load each module so often; the best time counts")
      ->check(CLI::Range(1, 1000));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  std::vector<Report> reports;
  std::vector<std::string> texts;
  for (const std::string& file : files) {
    std::ifstream stream(file, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    if (!stream.good() && !stream.eof()) {
      std::fprintf(stderr, "ptx-check: cannot read %s\n", file.c_str());
      return kFailed;
    }
    texts.push_back(std::move(text));
    if (link) continue;
    reports.push_back(Check(file, texts, repetitions));
    texts.clear();
  }
  if (link) reports.push_back(Check(files.front(), texts, repetitions));
  json ? PrintJson(reports) : PrintText(reports);
  for (const Report& report : reports) {
    if (!report.failure.empty() || !report.refused.empty()) return kFailed;
  }
  return 0;
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) { return accelmesh::Main(argc, argv); }
