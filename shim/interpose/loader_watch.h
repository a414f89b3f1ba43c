// Tells when the loader has mapped new objects, before it runs any of their code, and when it has unmapped some.
//
// ld.so calls an empty function for debuggers at these moments (r_brk of <link.h>); its code is redirected. A wrapper
// of dlopen() would not do: ld.so takes the caller's address for the library that asks, which decides where it looks.
#pragma once

#include "protocol/base/result.h"

namespace accelmesh {

// From now on `on_change` is called by whichever thread opens or closes a library, under the loader's lock. It must
// let nothing out and may open no library. kFull if somebody watches already; another Status if this loader is unknown.
// Threads: to be called once, before there are any.
Status WatchLoader(void (*on_change)());

// Whether `code`, the beginning of an aligned function, does nothing but return and has room for a jump.
bool IsEmptyFunction(const unsigned char* code);

}  // namespace accelmesh
