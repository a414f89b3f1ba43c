// What all commands of slotctl share: the options, one question shown once or again and again, and how a command is
// declared.
//
// Threads: one.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "tools/slotctl/ledger.h"
#include "tools/slotctl/session.h"
#include "tools/slotctl/show.h"

namespace accelmesh::slotctl {

inline constexpr int kUsage = 2;

struct Options {
  Access access;
  bool json = false;
  double watch_s = 0;
  bool all = false;
  bool open = false;
  bool plot = false;
  std::string svg;
  std::vector<std::string> names;
  std::string amount;
  std::string role = "tenant";
  std::string name;
  std::string reason;
  std::string lease;
  std::string seller;
  std::uint32_t most = 20;
  double share = 0;
  double notice_s = 5;
  std::vector<std::string> floors;
  std::uint32_t weight = 0;
  LedgerOptions ledger;
};

// Says what is wrong; the status to exit with.
int Fail(const Status& status);
// Prints once, or with --watch again and again.
int Print(const Options& options, const std::function<Result<Report>()>& make);
// Into --svg's file, if one is named. False, and said, if it cannot be written.
bool Draw(const Options& options, const std::string& svg);

// One question, shown.
template <typename Reply, typename Request, typename Make>
int Show(const Options& options, const Request& request, const Make& make) {
  auto session = Session::Open(options.access);
  if (!session.ok()) return Fail(session.status());
  return Print(options, [&]() -> Result<Report> {
    ACCELMESH_ASSIGN_OR_RETURN(const Reply reply, (*session)->template Ask<Reply>(Request(request)));
    return make(reply);
  });
}

// One change, told.
template <typename Reply, typename Request>
int Do(const Options& options, Request request, const std::string& done) {
  auto session = Session::Open(options.access);
  if (!session.ok()) return Fail(session.status());
  const Result<Reply> reply = (*session)->template Ask<Reply>(std::move(request));
  if (!reply.ok()) return Fail(reply.status());
  return Print(options, [&]() -> Result<Report> { return Report{done + "\n", {{"done", done}}}; });
}

// Several questions, shown.
int WithSession(const Options& options, const std::function<Result<Report>(Session&)>& make);
// The identity that the command names, by its key or by its name.
Result<std::string> Named(const Options& options);

class CommandLine {
 public:
  CommandLine(CLI::App& app, Options& options);

  // What each command and the tool itself take; both before and after the command.
  void AddCommon(CLI::App& app);
  // `group`: under which heading --help lists it.
  CLI::App* Add(CLI::App& app, const char* group, const char* name, const char* help, std::function<int()> run);
  void Names(CLI::App* command, const char* what, int most = 1);
  void MayName(CLI::App* command, const char* what, const char* help);
  void Plots(CLI::App* command, const char* plot, const char* svg);

  CLI::App& app() { return app_; }
  Options& options() { return options_; }
  int Run() const { return run_(); }

 private:
  CLI::App& app_;
  Options& options_;
  std::function<int()> run_;
};

// Headings of --help.
inline constexpr const char* kLooking = "Slots and leases";
inline constexpr const char* kTrading = "Trade between tenants";
inline constexpr const char* kMoney = "Accounts and identities";
inline constexpr const char* kRunning = "The market itself";

void AddMarketCommands(CommandLine& line);
void AddTradeCommands(CommandLine& line);
void AddLedgerCommands(CommandLine& line);

}  // namespace accelmesh::slotctl
