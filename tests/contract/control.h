// What a test does with the contract libcuda besides calling the driver: counts broken rules, injects errors and
// delays, says which thread may not wait. Plain C: a test finds these by dlsym. Threads: any.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// The rules. A broken one is a line on stderr, a count here, and an error from the function that broke it.
enum contract_rule {
  CONTRACT_RULE_NOT_INITIALIZED,    // a call before cuInit
  CONTRACT_RULE_PARTIAL_UNMAP,      // cuMemUnmap of a part of a mapping
  CONTRACT_RULE_UNMAP_IN_USE,       // memory taken away that pending work names
  CONTRACT_RULE_DOUBLE_MAP,         // cuMemMap over a mapping
  CONTRACT_RULE_MAP_OUTSIDE,        // cuMemMap or cuMemSetAccess where nothing is reserved or mapped
  CONTRACT_RULE_NO_ACCESS,          // use of mapped memory without cuMemSetAccess
  CONTRACT_RULE_RESERVATION_MOVED,  // use of a reservation that is not where it was asked for
  CONTRACT_RULE_EXECUTOR_WAITS,     // a call that may wait, on the executor's thread
  CONTRACT_RULE_CAPTURE_MODE,       // a capture in another mode than RELAXED
  CONTRACT_RULE_BAD_HANDLE,         // a handle that was destroyed or never made
  CONTRACT_RULE_WRONG_CONTEXT,      // a handle of another context than the current one, where that matters
  CONTRACT_RULE_WRONG_SIZE,         // a struct, type or version that this driver does not know
  CONTRACT_RULE_BAD_ARGUMENT,       // zero or unaligned where the driver refuses it
  CONTRACT_RULE_LEAK,               // a context destroyed while handles of it were open
  CONTRACT_RULE_CALL_IN_CALLBACK,   // a driver call from a host function
  CONTRACT_RULES
};
unsigned contract_violations(void);
unsigned contract_violations_of(int rule);
// The last broken rule's line; valid until the calling thread asks again. Empty if none was broken.
const char* contract_last_violation(void);
// Keeps stderr silent, for tests that break rules on purpose; they are counted all the same.
void contract_quiet(int on);

// For contract libraries beside this one (libcublas), which run on its devices. Queues work of the device's in the
// stream as a launch is; `run` gives a CUresult that, if no success, ruins the context. `drop` in any case, once. Gives
// a CUresult.
struct CUstream_st;
int contract_launch(struct CUstream_st* stream, int (*run)(void* data), void (*drop)(void* data), void* data);
// Whether kernels of the device may touch that memory.
int contract_may_touch(int device, unsigned long long address, unsigned long long bytes);
int contract_on_executor(void);
// Says that the caller broke a rule.
void contract_break(int rule, const char* text);

// Forgets violations, injections, delays and calls. Contexts, memory and handles stay.
void contract_reset(void);
// Calls of a function (its name in cuda.h, as cuMemAlloc) since the start or the last reset.
unsigned long long contract_calls(const char* function);

// The calling thread is the session's executor, and may not wait, from now on (or, with 0, no more).
void contract_set_executor(int on);

// The nth call of the function from now on (1: the next) does nothing and returns `code`.
void contract_inject_error(const char* function, unsigned nth, int code);
// Every launch of the kernel fails with `code`, which then sticks to its context. 0 takes it back.
void contract_inject_fault(const char* kernel, int code);
// Each call of the function takes this much longer.
void contract_delay(const char* function, unsigned us);
// Each launch takes the device this much longer.
void contract_delay_launches(unsigned us);
// Launches that one stream holds before the next one's caller waits; 1024 at first.
void contract_launch_depth(unsigned launches);
// The next `count` reservations do not get their hint.
void contract_move_reservations(unsigned count);
// A reservation that cannot be at its hint fails and is a violation.
void contract_require_hints(int on);

// The same by text, as in the environment variable ACCELMESH_CONTRACT: directives with `;` between them.
//   error=FUNCTION:NTH:CODE  fault=KERNEL:CODE  delay=FUNCTION:US  delay-launches=US  launch-depth=N
//   move-reservations=N  require-hints  devices=N  memory-mib=N  capability=N  peer-memory  dma-buf
// peer-memory: network cards may write to the devices' memory, which the driver is to be asked to wait for; dma-buf: it
// exports that memory for them as well, as files.
// devices, memory-mib and capability (10 * major + minor; from 90 on with clusters of blocks) are heard before cuInit
// only. 0 if all was understood; else a line on stderr names what was
// not.
int contract_configure(const char* directives);

#ifdef __cplusplus
}
#endif
