// The market's subcommands of mesh-sim: market, compare, cheaters, oracle.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace accelmesh::sim {

// Adds them to `app`; whichever is given sets `run`, whose result is the exit status.
void AddMarketCommands(CLI::App& app, std::function<int()>& run);

}  // namespace accelmesh::sim
