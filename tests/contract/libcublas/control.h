// What a test asks the contract libcublas besides calling it: what its handles were set to when they were used. Plain
// C: a test finds it by dlsym. Threads: any.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

struct contract_blas_state {
  int handles;      // that there are
  long long calls;  // so far
  // Of the handle that was used last, when it was:
  void* stream;
  int pointer_mode;
  int math_mode;
  int atomics_mode;
  int sm_count_target;
  unsigned long long workspace;
  unsigned long long workspace_bytes;
};
void contract_blas_last(struct contract_blas_state* state);
// Of the contract libcublasLt: how often it was asked for algorithms.
long long contract_blas_heuristics(void);

#ifdef __cplusplus
}
#endif
