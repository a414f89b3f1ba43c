#include "tools/slotctl/command_line.h"

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <thread>

namespace accelmesh::slotctl {

int Fail(const Status& status) {
  std::fprintf(stderr, "slotctl: %s\n", status.text().c_str());
  return 1;
}

int Print(const Options& options, const std::function<Result<Report>()>& make) {
  while (true) {
    const Result<Report> report = make();
    if (!report.ok() && options.watch_s == 0) return Fail(report.status());
    if (options.watch_s > 0 && !options.json && ::isatty(STDOUT_FILENO) != 0) std::fputs("\x1b[H\x1b[2J", stdout);
    if (!report.ok()) {
      // Whoever watches wants to see it come back.
      Fail(report.status());
    } else if (options.json) {
      std::printf("%s\n", report->json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    } else {
      std::fputs(report->text.c_str(), stdout);
    }
    std::fflush(stdout);
    if (options.watch_s == 0) return std::ferror(stdout) != 0 ? 1 : 0;
    if (std::ferror(stdout) != 0) return 1;
    std::this_thread::sleep_for(std::chrono::duration<double>(options.watch_s));
  }
}

bool Draw(const Options& options, const std::string& svg) {
  if (options.svg.empty()) return true;
  std::ofstream file(options.svg);
  file << svg;
  file.close();
  if (!file) std::fprintf(stderr, "slotctl: %s cannot be written; name another file\n", options.svg.c_str());
  return static_cast<bool>(file);
}

int WithSession(const Options& options, const std::function<Result<Report>(Session&)>& make) {
  auto session = Session::Open(options.access);
  if (!session.ok()) return Fail(session.status());
  return Print(options, [&] { return make(**session); });
}

Result<std::string> Named(const Options& options) {
  ACCELMESH_ASSIGN_OR_RETURN(const auto session, Session::Open(options.access));
  return session->IdentityOf(options.names.front());
}

CommandLine::CommandLine(CLI::App& app, Options& options) : app_(app), options_(options) { AddCommon(app); }

void CommandLine::AddCommon(CLI::App& app) {
  constexpr const char* kGroup = "Which market, by whose key, how it is shown";
  app.add_flag("--json", options_.json, "as JSON, a line each time")->group(kGroup);
  app.add_option("--watch", options_.watch_s, "again every so many seconds, until it is ended")
      ->check(CLI::Range(0.1, 86400.0).description(""))
      ->type_name("SECONDS")
      ->group(kGroup);
  app.add_option("--market", options_.access.market,
                 "tcp://HOST:PORT or ipc:///PATH, replicas separated by commas (default: ACCELMESH_MARKET, else "
                 "tcp://127.0.0.1:7710)")
      ->type_name("URL")
      ->group(kGroup);
  app.add_option("--market-key", options_.access.market_key, "the market's public key, in hexadecimal or in a file")
      ->type_name("KEY")
      ->group(kGroup);
  app.add_option("--identity", options_.access.identity, "whose key is used (default: admin; made if it is not there)")
      ->type_name("NAME")
      ->group(kGroup);
  app.add_option("--keys", options_.access.keys, "the folder of keys (default: in the user's configuration)")
      ->type_name("FOLDER")
      ->group(kGroup);
}

CLI::App* CommandLine::Add(CLI::App& app, const char* group, const char* name, const char* help,
                           std::function<int()> run) {
  CLI::App* const command = app.add_subcommand(name, help);
  command->group(group != nullptr ? group : "Commands");
  AddCommon(*command);
  command->callback([this, run = std::move(run)] { run_ = run; });
  return command;
}

void CommandLine::Names(CLI::App* command, const char* what, int most) {
  if (most > 1) {
    command->add_option(what, options_.names, what)->required()->expected(1, most);
    return;
  }
  // A vector would take what belongs to the next one.
  const auto keep = [this](const std::string& name) { options_.names = {name}; };
  command->add_option_function<std::string>(what, keep, what)->required();
}

void CommandLine::MayName(CLI::App* command, const char* what, const char* help) {
  command->add_option(what, options_.names, help)->expected(0, 1);
}

void CommandLine::Plots(CLI::App* command, const char* plot, const char* svg) {
  command->add_flag("--plot", options_.plot, plot);
  command->add_option("--svg", options_.svg, svg)->type_name("FILE");
}

}  // namespace accelmesh::slotctl
