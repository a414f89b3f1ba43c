// What a test asks the contract libcudnn besides calling it. Plain C: a test finds it by dlsym. Threads: any.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

struct contract_dnn_state {
  int handles;          // that there are
  long long calls;      // so far
  long long questions;  // for algorithms, so far
  long long plans;      // of operation graphs, made so far
  // Of the handle and the call that were the last:
  void* stream;
  unsigned long long workspace;  // of a convolution, a reduction or a plan
  unsigned long long workspace_bytes;
};
void contract_dnn_last(struct contract_dnn_state* state);

// What the second algorithm of each convolution needs, each reduction, and each plan. Heuristics name two engines for a
// graph, and the first never becomes a plan.
enum { CONTRACT_DNN_WORKSPACE_BYTES = 4096, CONTRACT_DNN_REDUCTION_BYTES = 512, CONTRACT_DNN_PLAN_BYTES = 1024 };

#ifdef __cplusplus
}
#endif
