// What a test asks the contract libcudnn besides calling it. Plain C: a test finds it by dlsym. Threads: any.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

struct contract_dnn_state {
  int handles;          // that there are
  long long calls;      // so far
  long long questions;  // for algorithms, so far
  // Of operation graphs, so far:
  long long plans;       // made
  long long tries;       // to make one
  long long from_text;   // plans made of the text of another
  long long heuristics;  // asked
  // Of the handle and the call that were the last:
  void* stream;
  unsigned long long workspace;  // of a convolution, a reduction or a plan
  unsigned long long workspace_bytes;
};
void contract_dnn_last(struct contract_dnn_state* state);
// How many choices of knobs heuristics make for an engine from now on: 1 at first. Negative: 1, which is not told to
// who asks.
void contract_dnn_choose(int knobs);

// What the second algorithm of each convolution needs, each reduction, and each plan. Heuristics name two engines for a
// graph, each with a choice of its knob; the first never becomes a plan, and the second does with that choice.
enum {
  CONTRACT_DNN_WORKSPACE_BYTES = 4096,
  CONTRACT_DNN_REDUCTION_BYTES = 512,
  CONTRACT_DNN_PLAN_BYTES = 1024,
  CONTRACT_DNN_KNOB_VALUE = 7
};

#ifdef __cplusplus
}
#endif
