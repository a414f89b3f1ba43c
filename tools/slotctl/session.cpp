#include "tools/slotctl/session.h"

#include <chrono>

namespace accelmesh::slotctl {

std::int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Result<std::string> FolderOf(const Access& access) {
  if (!access.keys.empty()) return access.keys;
  return security::DefaultKeyFolder();
}

Result<std::unique_ptr<Session>> Session::Open(const Access& access) {
  ACCELMESH_ASSIGN_OR_RETURN(auto urls, market::ParseMarketUrls(access.market));
  ACCELMESH_ASSIGN_OR_RETURN(const auto key, market::FindMarketKey(access.market_key));
  ACCELMESH_ASSIGN_OR_RETURN(const std::string folder, FolderOf(access));
  const security::KeyFolder keys(folder);
  Result<security::Identity> identity = keys.Load(access.identity);
  if (identity.code() == Code::kNotFound) {
    identity = keys.Create(access.identity,
                           access.identity == "admin" ? security::Role::kAdmin : security::Role::kTenant, NowMs());
  }
  if (!identity.ok()) return identity.status();
  std::unique_ptr<Session> session(new Session(*std::move(identity)));
  session->client_ = std::make_unique<market::MarketClient>(market::MarketAddress{std::move(urls), key},
                                                            session->identity_.key, "slotctl");
  return session;
}

Result<std::string> Session::IdentityOf(const std::string& text) {
  security::PublicKey key;
  if (security::ParseHex(text, key.bytes).ok()) return text;
  ACCELMESH_ASSIGN_OR_RETURN(const auto accounts, Ask<market::messages::AccountsT>(market::messages::ListAccountsT{}));
  std::vector<std::string> found;
  for (const auto& account : accounts.accounts) {
    if (account->name == text) found.push_back(account->identity);
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    return Status(Code::kNotFound, "slotctl",
                  "no identity that the market has an account of is called \"" + text +
                      "\", nor is that a key of 64 hexadecimal digits; slotctl accounts lists them");
  }
  return Status(Code::kInvalidArgument, "slotctl",
                std::to_string(found.size()) + " identities are called \"" + text +
                    "\"; name the one by its key (slotctl accounts)");
}

}  // namespace accelmesh::slotctl
