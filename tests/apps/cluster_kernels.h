// Kernels that tell how their blocks are put together in clusters, as PTX for devices that have them. Each block, by
// its number in the grid, writes its rank in its cluster, how many blocks that has (in units of 1 << 8) and the
// cluster's first coordinate (in units of 1 << 16).
#pragma once

#define CLUSTER_BODY                    \
  "{\n"                                 \
  "  .reg .b32 %r<9>;\n"                \
  "  .reg .b64 %rd<3>;\n"               \
  "  ld.param.u64 %rd1, [out];\n"       \
  "  cvta.to.global.u64 %rd1, %rd1;\n"  \
  "  mov.u32 %r1, %cluster_ctarank;\n"  \
  "  mov.u32 %r2, %cluster_nctarank;\n" \
  "  mov.u32 %r3, %clusterid.x;\n"      \
  "  shl.b32 %r2, %r2, 8;\n"            \
  "  shl.b32 %r3, %r3, 16;\n"           \
  "  or.b32 %r1, %r1, %r2;\n"           \
  "  or.b32 %r1, %r1, %r3;\n"           \
  "  mov.u32 %r4, %ctaid.x;\n"          \
  "  mov.u32 %r5, %ctaid.y;\n"          \
  "  mov.u32 %r6, %nctaid.x;\n"         \
  "  mad.lo.u32 %r7, %r5, %r6, %r4;\n"  \
  "  mul.wide.u32 %rd2, %r7, 4;\n"      \
  "  add.u64 %rd2, %rd2, %rd1;\n"       \
  "  st.global.u32 [%rd2], %r1;\n"      \
  "  ret;\n"                            \
  "}\n"

static const char kClusterPtx[] =
    ".version 8.0\n"
    ".target sm_90\n"
    ".address_size 64\n"
    ".visible .entry any(.param .u64 out)\n" CLUSTER_BODY
    ".visible .entry of_two(.param .u64 out) .explicitcluster .reqnctapercluster 2, 1, 1\n" CLUSTER_BODY
    ".visible .entry must_be_set(.param .u64 out) .explicitcluster\n" CLUSTER_BODY;
