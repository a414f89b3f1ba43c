// What a program needs around it to run on a gpu-server: the preload, its libraries, and what tells the shim where to
// go. Errors are said on stderr as mesh-run's own.
//
// Threads: one; the process's environment is changed.
#pragma once

#include <string>
#include <vector>

namespace accelmesh::mesh_run {

// Its own failures, before the program runs (docker and env use the same number).
inline constexpr int kOwnFailure = 125;
inline constexpr int kUsage = 2;

// A line "mesh-run: ..." on stderr. kOwnFailure, so that a caller may return it.
__attribute__((format(printf, 1, 2))) int Say(const char* format, ...);

struct Reports {
  bool stats = false;
  bool explain = false;
  std::string json;     // where --explain goes, instead of stderr; absolute
  std::string profile;  // where the agent wants to have it, too; absolute
};

// Finds the program and looks at it; empty, and said why, if it cannot be started.
std::string FindChecked(const std::string& program);
// Whether --json can be written, told now, while somebody listens; makes it absolute. False, and said why, otherwise.
bool CheckJson(std::string& json);
// ACCELMESH_GROUP, the secret by which a program's processes are one, is set anew. Empty, with errno, without
// randomness.
std::string SetGroup();
// An empty value: the variable goes, also one of ours that came with our own environment.
void SetOrUnset(const char* variable, const std::string& value);
// Sets the preload and the reports. False, and said why, if the shim is not there.
bool SetPreload(const Reports& reports);

}  // namespace accelmesh::mesh_run
