#include "server/measure/kernels.h"

#include <array>
#include <utility>

namespace accelmesh::measure {
namespace {

constexpr std::string_view kEmpty = R"(.version 7.0
.target sm_53
.address_size 64
.visible .entry empty()
{
  ret;
}
)";

// T: a register's type; L: a load's; S: a store's; R: the accumulator's register; Z: its zero; F: the multiply-add;
// E, W: bytes of an element, and of one of the result.
constexpr std::string_view kMatmul = R"(.version 7.0
.target sm_53
.address_size 64
.visible .entry matmul(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)
{
  .reg .pred %p<3>;
  .reg .b32 %r<12>;
  .reg .b64 %d<10>;
  .reg @T %x<3>;
  .reg @R %acc;
  ld.param.u64 %d1, [a];
  ld.param.u64 %d2, [b];
  ld.param.u64 %d3, [c];
  ld.param.u32 %r1, [n];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.u32 %r5, %r2, %r3, %r4;
  mov.u32 %r2, %ctaid.y;
  mov.u32 %r3, %ntid.y;
  mov.u32 %r4, %tid.y;
  mad.lo.u32 %r6, %r2, %r3, %r4;
  setp.ge.u32 %p1, %r5, %r1;
  @%p1 bra DONE;
  setp.ge.u32 %p1, %r6, %r1;
  @%p1 bra DONE;
  mul.lo.u32 %r7, %r6, %r1;
  mul.wide.u32 %d4, %r7, @E;
  add.u64 %d4, %d1, %d4;
  mul.wide.u32 %d5, %r5, @E;
  add.u64 %d5, %d2, %d5;
  mul.wide.u32 %d6, %r1, @E;
  mov.b@B %acc, @Z;
  mov.u32 %r8, 0;
LOOP:
  ld.global.@L %x1, [%d4];
  ld.global.@L %x2, [%d5];
  @F %acc, %x1, %x2, %acc;
  add.u64 %d4, %d4, @E;
  add.u64 %d5, %d5, %d6;
  add.u32 %r8, %r8, 1;
  setp.lt.u32 %p2, %r8, %r1;
  @%p2 bra LOOP;
  add.u32 %r9, %r7, %r5;
  mul.wide.u32 %d7, %r9, @W;
  add.u64 %d7, %d3, %d7;
  st.global.@S [%d7], %acc;
DONE:
  ret;
}
)";

constexpr std::string_view kConvolution = R"(.version 7.0
.target sm_53
.address_size 64
.visible .entry convolution(.param .u64 x, .param .u64 w, .param .u64 y, .param .u32 channels, .param .u32 size)
{
  .reg .pred %p<5>;
  .reg .b32 %r<24>;
  .reg .b64 %d<12>;
  .reg @T %x<3>;
  .reg @R %acc;
  ld.param.u64 %d1, [x];
  ld.param.u64 %d2, [w];
  ld.param.u64 %d3, [y];
  ld.param.u32 %r1, [channels];
  ld.param.u32 %r2, [size];
  mov.u32 %r3, %ctaid.x;
  mov.u32 %r4, %ntid.x;
  mov.u32 %r5, %tid.x;
  mad.lo.u32 %r6, %r3, %r4, %r5;
  mov.u32 %r3, %ctaid.y;
  mov.u32 %r4, %ntid.y;
  mov.u32 %r5, %tid.y;
  mad.lo.u32 %r7, %r3, %r4, %r5;
  mov.u32 %r8, %ctaid.z;
  setp.ge.u32 %p1, %r6, %r2;
  @%p1 bra DONE;
  setp.ge.u32 %p1, %r7, %r2;
  @%p1 bra DONE;
  add.u32 %r9, %r2, 2;
  mul.lo.u32 %r10, %r8, %r1;
  mul.lo.u32 %r10, %r10, 9;
  mul.wide.u32 %d4, %r10, @E;
  add.u64 %d4, %d2, %d4;
  mov.b@B %acc, @Z;
  mov.u32 %r11, 0;
CHANNEL:
  mov.u32 %r12, 0;
ROW:
  mul.lo.u32 %r14, %r11, %r9;
  add.u32 %r14, %r14, %r7;
  add.u32 %r14, %r14, %r12;
  mad.lo.u32 %r14, %r14, %r9, %r6;
  mul.wide.u32 %d5, %r14, @E;
  add.u64 %d5, %d1, %d5;
  mov.u32 %r13, 0;
COLUMN:
  ld.global.@L %x1, [%d5];
  ld.global.@L %x2, [%d4];
  @F %acc, %x1, %x2, %acc;
  add.u64 %d5, %d5, @E;
  add.u64 %d4, %d4, @E;
  add.u32 %r13, %r13, 1;
  setp.lt.u32 %p2, %r13, 3;
  @%p2 bra COLUMN;
  add.u32 %r12, %r12, 1;
  setp.lt.u32 %p3, %r12, 3;
  @%p3 bra ROW;
  add.u32 %r11, %r11, 1;
  setp.lt.u32 %p4, %r11, %r1;
  @%p4 bra CHANNEL;
  mad.lo.u32 %r15, %r8, %r2, %r7;
  mad.lo.u32 %r15, %r15, %r2, %r6;
  mul.wide.u32 %d6, %r15, @W;
  add.u64 %d6, %d3, %d6;
  st.global.@S [%d6], %acc;
DONE:
  ret;
}
)";

struct Words {
  std::string_view type;
  std::string_view reg, load, store, accumulator, bits, zero, multiply_add, element, result;
};
constexpr std::array kWords = {
    Words{"fp32", ".f32", "f32", "f32", ".f32", "32", "0f00000000", "fma.rn.f32", "4", "4"},
    Words{"fp64", ".f64", "f64", "f64", ".f64", "64", "0d0000000000000000", "fma.rn.f64", "8", "8"},
    Words{"fp16", ".b16", "b16", "b16", ".b16", "16", "0", "fma.rn.f16", "2", "2"},
    Words{"int8", ".b32", "s8", "u32", ".b32", "32", "0", "mad.lo.s32", "1", "4"},
};

std::string Fill(std::string_view text, const Words& words) {
  const std::array<std::pair<char, std::string_view>, 9> places = {{{'T', words.reg},
                                                                    {'L', words.load},
                                                                    {'S', words.store},
                                                                    {'R', words.accumulator},
                                                                    {'B', words.bits},
                                                                    {'Z', words.zero},
                                                                    {'F', words.multiply_add},
                                                                    {'E', words.element},
                                                                    {'W', words.result}}};
  std::string filled;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string_view word;
    if (text[i] == '@' && i + 1 < text.size()) {
      for (const auto& [name, value] : places) {
        if (text[i + 1] == name) word = value;
      }
    }
    if (word.empty()) {
      filled += text[i];
    } else {
      filled += word;
      ++i;
    }
  }
  return filled;
}

const Words* Find(std::string_view type) {
  for (const Words& words : kWords) {
    if (words.type == type) return &words;
  }
  return nullptr;
}

}  // namespace

std::string_view EmptyKernel() { return kEmpty; }

std::string MatmulKernel(std::string_view type) {
  const Words* const words = Find(type);
  return words == nullptr ? std::string() : Fill(kMatmul, *words);
}

std::string ConvolutionKernel(std::string_view type) {
  const Words* const words = type == "fp32" || type == "fp64" ? Find(type) : nullptr;
  return words == nullptr ? std::string() : Fill(kConvolution, *words);
}

}  // namespace accelmesh::measure
