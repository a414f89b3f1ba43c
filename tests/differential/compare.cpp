#include "tests/differential/compare.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "tests/differential/generator.h"
#include "tests/differential/writer.h"

namespace accelmesh::differential {
namespace {

using What = Statement::What;

std::string Format(const char* format, auto... values) {
  char text[200];
  std::snprintf(text, sizeof(text), format, values...);
  return text;
}
std::string Where(const Program& program, std::uint32_t at, std::uint32_t* begin, std::uint32_t* bytes) {
  const Layout layout(program);
  const auto thread_of = [&](std::uint32_t thread) {
    return Format("block %u, thread %u: ", thread / program.threads(), thread % program.threads());
  };
  *begin = at / 8 * 8;
  *bytes = 8;
  if (at >= layout.results() && at < layout.scratch()) {
    const std::uint32_t thread = (at - layout.results()) / Layout::kRecordBytes;
    const std::uint32_t record = layout.results() + thread * Layout::kRecordBytes;
    const std::uint32_t in = at - record;
    const auto name = [&](const char* prefix, std::uint32_t from, std::uint32_t size) {
      const std::uint32_t index = (in - from) / size;
      *begin = record + from + index * size;
      *bytes = size;
      return thread_of(thread) + Format("%s%u", prefix, index);
    };
    if (in >= Layout::k16) return name("%h", Layout::k16, 2);
    if (in >= Layout::k64) return name("%d", Layout::k64, 8);
    if (in >= Layout::k32) return name("%r", Layout::k32, 4);
    return thread_of(thread) + "predicates";
  }
  if (at >= layout.scratch() && at < layout.cells())
    return thread_of((at - layout.scratch()) / kPrivateBytes[0]) +
           Format("its memory + %u", (*begin - layout.scratch()) % kPrivateBytes[0]);
  if (at >= layout.cells()) {
    const std::uint32_t cell = (at - layout.cells()) / 8;
    const bool shared = at >= layout.shared_cells();
    return Format("block %u: %s cell %u", cell / kCells % program.blocks, shared ? "shared" : "global", cell % kCells);
  }
  return Format("input + %u", at);
}

// All places of a program's tree where statements stand in a row.
void CollectBodies(Body* body, std::vector<Body*>* bodies) {
  bodies->push_back(body);
  for (Statement& s : *body) {
    if (!s.body.empty()) CollectBodies(&s.body, bodies);
    if (!s.otherwise.empty()) CollectBodies(&s.otherwise, bodies);
  }
}
std::vector<Body*> BodiesOf(Program* program) {
  std::vector<Body*> bodies;
  CollectBodies(&program->body, &bodies);
  for (Function& function : program->functions) CollectBodies(&function.body, &bodies);
  return bodies;
}

// A step that makes the program smaller; false if there is nothing to do.
using Step = std::function<bool(Program*)>;

Step RemoveRange(std::size_t body, std::size_t first, std::size_t count) {
  return [=](Program* program) {
    Body& statements = *BodiesOf(program)[body];
    if (first >= statements.size()) return false;
    const auto begin = statements.begin() + static_cast<std::ptrdiff_t>(first);
    statements.erase(begin, begin + static_cast<std::ptrdiff_t>(std::min(count, statements.size() - first)));
    return true;
  };
}
// A condition or loop becomes what stands in it; 1: its else.
Step Inline(std::size_t body, std::size_t at, int which) {
  return [=](Program* program) {
    Body& statements = *BodiesOf(program)[body];
    if (statements[at].what != What::kIf && statements[at].what != What::kLoop) return false;
    const Body inner = which == 0 ? statements[at].body : statements[at].otherwise;
    if (inner.empty()) return false;
    const auto place = statements.erase(statements.begin() + static_cast<std::ptrdiff_t>(at));
    statements.insert(place, inner.begin(), inner.end());
    return true;
  };
}
Step Unguard(std::size_t body, std::size_t at) {
  return [=](Program* program) {
    Statement& s = (*BodiesOf(program)[body])[at];
    return std::exchange(s.guarded, false);
  };
}

}  // namespace

std::string Describe(const Program& program, const Bytes& expected, const Bytes& got) {
  const auto first = std::mismatch(expected.begin(), expected.end(), got.begin()).first;
  if (first == expected.end()) return {};
  std::uint32_t begin = 0, bytes = 0;
  const std::string where = Where(program, static_cast<std::uint32_t>(first - expected.begin()), &begin, &bytes);
  std::uint64_t wanted = 0, is = 0;
  std::memcpy(&wanted, expected.data() + begin, bytes);
  std::memcpy(&is, got.data() + begin, bytes);
  return where + Format(" is 0x%llx, the reference has 0x%llx", static_cast<unsigned long long>(is),
                        static_cast<unsigned long long>(wanted));
}

Comparison Compare(const Program& program, const std::vector<Tier>& tiers, Device& device,
                   const ReferenceOptions& options) {
  Comparison comparison;
  const std::string ptx = WritePtx(program);
  const Bytes memory = GenerateMemory(program);
  const Bytes expected = RunReference(program, memory, options);
  for (const Tier tier : tiers) {
    const Result<Bytes> got = device.Run(ptx, tier, {program.blocks, program.block_x, program.block_y}, memory);
    if (!got.ok()) {
      if (tier == Tier::k1 && got.status().text().find(" operations") != std::string::npos) {
        comparison.too_large = true;
        continue;
      }
      comparison.difference = Difference{tier, got.status().ToString()};
      return comparison;
    }
    const std::string text = Describe(program, expected, *got);
    if (text.empty()) continue;
    comparison.difference = Difference{tier, text};
    return comparison;
  }
  return comparison;
}

Program Shrink(Program program, const std::function<bool(const Program&)>& differs) {
  const auto try_step = [&](const Step& step) {
    Program smaller = program;
    if (!step(&smaller) || !differs(smaller)) return false;
    program = std::move(smaller);
    return true;
  };
  bool again = true;
  while (again) {
    again = try_step([](Program* p) { return std::exchange(p->blocks, 1u) != 1; });
    for (std::size_t body = 0; body < BodiesOf(&program).size(); ++body) {
      // Halves, quarters, ... single statements; from the end, because little depends on what stands there.
      for (std::size_t count = std::max<std::size_t>(1, BodiesOf(&program)[body]->size() / 2); count > 0; count /= 2) {
        for (std::size_t end = BodiesOf(&program)[body]->size(); end > 0; end = end > count ? end - count : 0) {
          again = try_step(RemoveRange(body, end > count ? end - count : 0, std::min(count, end))) || again;
          if (body >= BodiesOf(&program).size()) break;
        }
        if (body >= BodiesOf(&program).size()) break;
      }
      if (body >= BodiesOf(&program).size()) break;
      for (std::size_t at = 0; at < BodiesOf(&program)[body]->size(); ++at) {
        again = try_step(Unguard(body, at)) || again;
        again = try_step(Inline(body, at, 0)) || try_step(Inline(body, at, 1)) || again;
      }
    }
  }
  return program;
}

}  // namespace accelmesh::differential
