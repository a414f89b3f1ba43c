// tier0/decode.cpp: every form of the catalogue is accepted, or refused by name; a refused one fails no kernel but its
// own.
#include "tests/unit/server/backend/cpu/tier0/forms.h"

#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

std::vector<FormLine> Catalogue() { return ReadForms(ACCELMESH_FORMS); }
std::string Registers() {
  return ".reg .b128 %q<4>; .reg .b16 %h<8>; .reg .b32 %m<32>; .reg .b64 %l<8>; .reg .f64 %fm<32>; .shared .align 16 "
         ".b8 "
         "window[256];\n";
}

TEST(Forms, Accepted) {
  std::size_t accepted = 0;
  for (const FormLine& line : Catalogue()) {
    if (line.refused) continue;
    Machine machine;
    const Status loaded = machine.Load(KernelText(Registers() + line.text));
    EXPECT_TRUE(loaded.ok()) << loaded.ToString();
    ++accepted;
  }
  EXPECT_GT(accepted, 1000u);
}

TEST(Forms, Refused) {
  std::size_t refused = 0;
  for (const FormLine& line : Catalogue()) {
    if (!line.refused) continue;
    // The kernel beside it runs.
    const std::string text = KernelText(Registers() + line.text) + ".visible .entry beside()\n{\nret;\n}\n";
    Machine machine;
    const Status loaded = machine.Load(text);
    EXPECT_EQ(loaded.code(), Code::kUnsupported) << line.text;
    EXPECT_NE(loaded.text().find(line.form), std::string::npos) << loaded.ToString();
    EXPECT_TRUE(machine.Load(text, 1).ok());
    ++refused;
  }
  EXPECT_GT(refused, 20u);
}

}  // namespace
}  // namespace accelmesh::tier0
