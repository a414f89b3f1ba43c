#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

// Gates are opened and looked at by atomics, so that they are no data race anywhere.
constexpr std::string_view kPtx = R"ptx(
.version 8.0
.target sm_80
.address_size 64

.global .align 4 .u32 launches;
.global .align 4 .u32 preset = 77;
.global .attribute(.managed) .align 4 .u32 managed_word = 41;
.extern .func (.param .b32 retval) vprintf (.param .b64 format, .param .b64 arguments);
.global .align 1 .b8 hello[16] = {104, 101, 108, 108, 111, 32, 37, 100, 10, 0, 0, 0, 0, 0, 0, 0};

// Spins until *gate is not 0.
.visible .entry wait_gate(.param .u64 gate)
{
  .reg .pred %p<2>;
  .reg .b32 %r<2>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [gate];
$again:
  atom.global.add.u32 %r1, [%rd1], 0;
  setp.eq.u32 %p1, %r1, 0;
  @%p1 bra $again;
  ret;
}

.visible .entry open_gate(.param .u64 gate)
{
  .reg .b32 %r<3>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [gate];
  mov.u32 %r1, 1;
  atom.global.exch.b32 %r2, [%rd1], %r1;
  ret;
}

// Waits for *gate, then *out = value.
.visible .entry gated_write(.param .u64 gate, .param .u64 out, .param .u32 value)
{
  .reg .pred %p<2>;
  .reg .b32 %r<3>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [gate];
  ld.param.u64 %rd2, [out];
  ld.param.u32 %r2, [value];
$again:
  atom.global.add.u32 %r1, [%rd1], 0;
  setp.eq.u32 %p1, %r1, 0;
  @%p1 bra $again;
  st.global.u32 [%rd2], %r2;
  ret;
}

.visible .entry copy_word(.param .u64 to, .param .u64 from)
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [to];
  ld.param.u64 %rd2, [from];
  ld.global.u32 %r1, [%rd2];
  st.global.u32 [%rd1], %r1;
  ret;
}

// out[i] = i + base for every thread.
.visible .entry iota(.param .u64 out, .param .u32 base)
{
  .reg .b32 %r<6>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [out];
  ld.param.u32 %r1, [base];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.u32 %r4, %r2, %r3, %r4;
  mul.wide.u32 %rd2, %r4, 4;
  add.u64 %rd3, %rd1, %rd2;
  add.u32 %r5, %r4, %r1;
  st.global.u32 [%rd3], %r5;
  ret;
}

// *word = *word + 1 without an atomic: wrong unless launches of one stream run one after the other.
.visible .entry increment(.param .u64 word)
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [word];
  ld.global.u32 %r1, [%rd1];
  add.u32 %r1, %r1, 1;
  st.global.u32 [%rd1], %r1;
  ret;
}

// The managed variable = itself + 1, by its name.
.visible .entry increment_managed()
{
  .reg .b32 %r<3>;
  ld.global.u32 %r1, [managed_word];
  add.s32 %r2, %r1, 1;
  st.global.u32 [managed_word], %r2;
  ret;
}

.visible .entry store_nowhere()
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<2>;
  mov.u64 %rd1, 64;
  mov.u32 %r1, 1;
  st.global.u32 [%rd1], %r1;
  ret;
}

.visible .entry say(.param .u32 number)
{
  .local .align 8 .b8 depot[8];
  .reg .b32 %r<3>;
  .reg .b64 %SP, %SPL, %rd<4>;
  mov.u64 %SPL, depot;
  cvta.local.u64 %SP, %SPL;
  ld.param.u32 %r1, [number];
  st.local.u32 [%SPL], %r1;
  mov.u64 %rd1, hello;
  cvta.global.u64 %rd2, %rd1;
  add.u64 %rd3, %SP, 0;
  {
  .param .b64 param0;
  st.param.b64 [param0], %rd2;
  .param .b64 param1;
  st.param.b64 [param1], %rd3;
  .param .b32 retval0;
  call.uni (retval0), vprintf, (param0, param1);
  ld.param.b32 %r2, [retval0];
  }
  ret;
}
)ptx";

}  // namespace

ByteView TestKernels() { return AsBytes(kPtx); }

}  // namespace accelmesh::conformance
