// In the place of the shim's file of this name, as shim/blas/entry.h beside it.
#pragma once

#include "shim/blas/entry.h"

namespace accelmesh::blaslt {

using blas::Enter;
using blas::Refuse;

}  // namespace accelmesh::blaslt
