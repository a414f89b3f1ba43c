// Kernels that set the conditions of graphs, as PTX: in C++ they need relocatable device code.
#pragma once

static const char kConditionPtx[] = R"(
.version 7.0
.target sm_52
.address_size 64

.extern .func cudaGraphSetConditional(.param .b64 handle, .param .b32 value);

// Sets the condition to *from.
.visible .entry set_to(.param .u64 handle, .param .u64 from)
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [handle];
  ld.param.u64 %rd2, [from];
  ld.global.u32 %r1, [%rd2];
  { // callseq
  .param .b64 param0;
  st.param.b64 [param0], %rd1;
  .param .b32 param1;
  st.param.b32 [param1], %r1;
  call.uni cudaGraphSetConditional, (param0, param1);
  }
  ret;
}

// ++*count; the condition is whether it is below `limit`.
.visible .entry count_to(.param .u64 handle, .param .u64 count, .param .u32 limit)
{
  .reg .pred %p<2>;
  .reg .b32 %r<4>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [handle];
  ld.param.u64 %rd2, [count];
  ld.param.u32 %r1, [limit];
  ld.global.u32 %r2, [%rd2];
  add.u32 %r2, %r2, 1;
  st.global.u32 [%rd2], %r2;
  setp.lt.u32 %p1, %r2, %r1;
  selp.u32 %r3, 1, 0, %p1;
  { // callseq
  .param .b64 param0;
  st.param.b64 [param0], %rd1;
  .param .b32 param1;
  st.param.b32 [param1], %r3;
  call.uni cudaGraphSetConditional, (param0, param1);
  }
  ret;
}
)";
