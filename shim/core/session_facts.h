// What the server tells of a session once, when it opens it.
#pragma once

#include <string>

namespace accelmesh {

struct SessionFacts {
  std::string backend;
  int driver_version = 0;
  bool client_is_here = false;  // loopback: the server sees our memory
  bool textures_have_handles = false;
  bool occupancy_is_asked = false;
  bool has_conditions = false;
  // It says where managed variables lie: LoadModuleAround() loads modules that have some.
  bool driver_places_variables = false;
  bool shares_memory = false;
};

}  // namespace accelmesh
