#include "shim/interpose/entry_points.h"

// Declared without parameters: only their addresses are taken here.
extern "C" {
#define ACCELMESH_ENTRY_POINT(name) void name();
#include "shim/gen_entry_points.inc"
#undef ACCELMESH_ENTRY_POINT
}

namespace accelmesh {
namespace {

constexpr EntryPoint kEntryPoints[] = {
#define ACCELMESH_ENTRY_POINT(name) {#name, &name},
#include "shim/gen_entry_points.inc"
#undef ACCELMESH_ENTRY_POINT
};

}  // namespace

EntryTable EntryPoints() { return kEntryPoints; }

}  // namespace accelmesh
