// slotctl: the market's admin tool. Everything it does is a question to slot-market, but for the keys of this user and
// ledgers that lie in a folder.
#include <signal.h>

#include <cstdio>
#include <cstdlib>

#include "tools/slotctl/command_line.h"

namespace accelmesh::slotctl {
namespace {

constexpr const char* kFooter =
    R"(Amounts are credits with up to six decimals; shares are of a whole device; prices are an hour.
Each command has --help, and takes --json, --watch SECONDS, --market, --identity.
Exit status: 0 done, 1 failed (stderr says why and what would help), 2 the command line is wrong.

Examples: slotctl doctor                      begin here if something does not work
          slotctl slots --watch 2
          slotctl requests --all              what waits, and what each slot lacks
          slotctl prices --plot --svg prices.svg
          slotctl deposit anna 100
          slotctl book ; slotctl epochs --plot
          slotctl why "0.05 TOPS fp32, memory=256MiB"
          slotctl drain SERVER/0              lets nothing more; what is let stays until it ends
          slotctl keys trust 9f3c... --role tenant --name anna)";

int Main(int argc, char** argv) {
  Options options;
  CLI::App app{"slotctl: looks at a market of slots and changes it"};
  CommandLine line(app, options);
  app.set_version_flag("--version", std::string("slotctl ") + ACCELMESH_VERSION);
  app.require_subcommand(1);
  AddMarketCommands(line);
  AddTradeCommands(line);
  AddLedgerCommands(line);
  // After the commands, which would each have it as well.
  app.footer(kFooter);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Of a command that there is not, CLI11 says only that one is required.
    if (const std::vector<std::string> rest = app.remaining(true);
        error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError) && !rest.empty()) {
      std::fprintf(stderr, "slotctl: \"%.80s\" is none of its commands; slotctl --help lists them\n",
                   rest.front().c_str());
      return kUsage;
    }
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  if (const auto role = security::ParseRole(options.role); !role.ok()) {
    std::fprintf(stderr, "slotctl: --role %s\n", role.status().text().c_str());
    return kUsage;
  }
  if (options.access.market.empty()) {
    const char* named = std::getenv("ACCELMESH_MARKET");
    options.access.market = named != nullptr && *named != '\0' ? named : "tcp://127.0.0.1:7710";
  }
  ::signal(SIGPIPE, SIG_IGN);  // | head ends it by an error of the stream
  return line.Run();
}

}  // namespace
}  // namespace accelmesh::slotctl

int main(int argc, char** argv) { return accelmesh::slotctl::Main(argc, argv); }
