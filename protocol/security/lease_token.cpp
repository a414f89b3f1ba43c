#include "protocol/security/lease_token.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "protocol/schema/lease_generated.h"

namespace accelmesh::security {
namespace {

constexpr std::uint16_t kVersion = 1;
constexpr std::string_view kLabel = "accelmesh lease block 1";
// Years beyond any lease, and far from where adding a skew overflows.
constexpr std::int64_t kTimeMsMax = 1LL << 52;

struct Block {
  Bytes bytes;
  Signature signature{};
  std::optional<LeaseGrant> grant;
  LeaseTerms terms;
};

Status Malformed(const std::string& what) {
  return {Code::kBadFrame, "LeaseToken", what + "; get a new token from the market"};
}
Status Denied(const std::string& text) { return {Code::kPermissionDenied, "VerifyLease", text}; }

Bytes SignedBytes(const Signature& before, ByteView block) {
  Bytes message(kLabel.size() + before.size() + block.size());
  std::memcpy(message.data(), kLabel.data(), kLabel.size());
  std::memcpy(message.data() + kLabel.size(), before.data(), before.size());
  if (!block.empty()) std::memcpy(message.data() + kLabel.size() + before.size(), block.data(), block.size());
  return message;
}

// An id is printed in messages and compared with what others wrote: plain characters only.
bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kLeaseNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~'; });
}

// Whether terms make sense by themselves.
Status CheckTerms(const LeaseTerms& terms) {
  const auto bad = [](const std::string& text) { return Status(Code::kInvalidArgument, "LeaseTerms", text); };
  if (terms.share_milli == 0 || terms.share_milli > kShareMilliMax) {
    return bad("a share of " + std::to_string(terms.share_milli) + " thousandths; it is 1 to 1000");
  }
  if (terms.not_before_ms < 0 || terms.not_after_ms <= terms.not_before_ms || terms.not_after_ms > kTimeMsMax) {
    return bad("ends before it begins, or is of no time; the end comes later than the beginning");
  }
  if (terms.not_after_ms - terms.not_before_ms > kLeaseLifeMsMax) {
    return bad("lasts " + std::to_string((terms.not_after_ms - terms.not_before_ms) / 1000) +
               " s; a token lasts at most 900 s and is renewed before");
  }
  if (terms.holder_key == CurveKey{}) return bad("is bound to no key; name the CURVE key of the client");
  return Status::Ok();
}

Status CheckGrant(const LeaseGrant& grant) {
  if (!IsName(grant.lease) || !IsName(grant.slot) || !IsName(grant.server) || grant.epoch == 0) {
    return {Code::kInvalidArgument, "LeaseGrant",
            "lease, slot and server have 1 to 64 visible characters, and the epoch is not 0; name them all"};
  }
  const LeaseRest& rest = grant.rest;
  if (rest.lease.empty() ? rest != LeaseRest{}
                         : !IsName(rest.lease) || rest.lease == grant.lease || rest.share_milli >= kShareMilliMax) {
    return {Code::kInvalidArgument, "LeaseGrant",
            "what is left of a lease is less than a whole slot, of another lease that is named; name it"};
  }
  return Status::Ok();
}

// What `terms` allow beyond `parent`; empty if nothing.
std::string Excess(const LeaseTerms& terms, const LeaseTerms& parent) {
  const auto more = [](const std::string& what, auto have, auto of, const char* unit) {
    return what + " of " + std::to_string(have) + unit + " out of " + std::to_string(of) + unit;
  };
  if (terms.share_milli > parent.share_milli)
    return more("a share", terms.share_milli, parent.share_milli, " thousandths");
  if (terms.memory_bytes > parent.memory_bytes)
    return more("memory", terms.memory_bytes, parent.memory_bytes, " bytes");
  if (terms.not_before_ms < parent.not_before_ms) {
    return "a beginning " + std::to_string(parent.not_before_ms - terms.not_before_ms) + " ms earlier";
  }
  if (terms.not_after_ms > parent.not_after_ms) {
    return "an end " + std::to_string(terms.not_after_ms - parent.not_after_ms) + " ms later";
  }
  return {};
}

template <typename Key>
bool ReadKey(const flatbuffers::Vector<std::uint8_t>* from, Key& key) {
  if (from == nullptr || from->size() != kKeyBytes) return false;
  std::copy(from->begin(), from->end(), key.bytes.begin());
  return true;
}

std::string Text(const flatbuffers::String* text) { return text == nullptr ? std::string() : text->str(); }

Status ReadBlock(Block& block) {
  flatbuffers::Verifier verifier(block.bytes.data(), block.bytes.size());
  if (!verifier.VerifyBuffer<wire::LeaseBlock>(nullptr)) return Malformed("a block does not verify");
  const auto& read = *flatbuffers::GetRoot<wire::LeaseBlock>(block.bytes.data());
  if (read.terms() == nullptr) return Malformed("a block has no terms");
  const wire::LeaseTerms& terms = *read.terms();
  const auto time = [](std::uint64_t ms) {
    return static_cast<std::int64_t>(std::min<std::uint64_t>(ms, kTimeMsMax + 1));
  };
  block.terms.share_milli = terms.share_milli();
  block.terms.memory_bytes = terms.memory_bytes();
  block.terms.not_before_ms = time(terms.not_before_ms());
  block.terms.not_after_ms = time(terms.not_after_ms());
  if (!ReadKey(terms.holder_key(), block.terms.holder_key)) return Malformed("a holder's key is not 32 bytes");
  if (terms.next_key() != nullptr && !ReadKey(terms.next_key(), block.terms.next_key.emplace())) {
    return Malformed("a next key is not 32 bytes");
  }
  if (read.grant() != nullptr) {
    const wire::LeaseGrant& grant = *read.grant();
    block.grant = {Text(grant.lease()),
                   Text(grant.slot()),
                   Text(grant.server()),
                   grant.epoch(),
                   {Text(grant.from()), grant.rest_share_milli(), grant.rest_memory_bytes()}};
    if (!CheckGrant(*block.grant).ok()) return Malformed("the grant names no lease, slot, server or epoch");
  }
  if (const Status status = CheckTerms(block.terms); !status.ok()) return Malformed("a block " + status.text());
  return Status::Ok();
}

Result<std::vector<Block>> ReadToken(ByteView token) {
  if (token.size() > kLeaseTokenBytesMax) {
    return Malformed(std::to_string(token.size()) + " bytes; a token has at most " +
                     std::to_string(kLeaseTokenBytesMax));
  }
  // Aligned and our own: the verifier and the reader see the same.
  const Bytes copy(token.begin(), token.end());
  flatbuffers::Verifier verifier(copy.data(), copy.size());
  if (!verifier.VerifyBuffer<wire::LeaseToken>(nullptr)) return Malformed("the bytes are no token, or not all of one");
  const auto& read = *flatbuffers::GetRoot<wire::LeaseToken>(copy.data());
  if (read.version() != kVersion) {
    return Status(Code::kVersionMismatch, "LeaseToken",
                  "version " + std::to_string(read.version()) + ", and this program reads " + std::to_string(kVersion) +
                      "; update the older of the two");
  }
  if (read.blocks() == nullptr || read.blocks()->size() == 0 || read.blocks()->size() > kLeaseBlocksMax) {
    return Malformed("it has no blocks, or more than " + std::to_string(kLeaseBlocksMax));
  }
  std::vector<Block> blocks;
  for (const wire::SignedBlock* one : *read.blocks()) {
    if (one->block() == nullptr || one->signature() == nullptr || one->signature()->size() != kSignatureBytes) {
      return Malformed("a block lacks its bytes or its signature");
    }
    Block block;
    block.bytes.assign(one->block()->begin(), one->block()->end());
    std::copy(one->signature()->begin(), one->signature()->end(), block.signature.begin());
    ACCELMESH_RETURN_IF_ERROR(ReadBlock(block));
    if (block.grant.has_value() != blocks.empty())
      return Malformed("the grant stands in the first block, and only there");
    blocks.push_back(std::move(block));
  }
  return blocks;
}

Bytes WriteBlock(const LeaseGrant* grant, const LeaseTerms& terms) {
  flatbuffers::FlatBufferBuilder builder(512);
  flatbuffers::Offset<wire::LeaseGrant> written_grant;
  if (grant != nullptr) {
    flatbuffers::Offset<flatbuffers::String> from;
    if (!grant->rest.lease.empty()) from = builder.CreateString(grant->rest.lease);
    written_grant = wire::CreateLeaseGrant(builder, builder.CreateString(grant->lease),
                                           builder.CreateString(grant->slot), builder.CreateString(grant->server),
                                           grant->epoch, from, grant->rest.share_milli, grant->rest.memory_bytes);
  }
  const auto holder = builder.CreateVector(terms.holder_key.bytes.data(), kKeyBytes);
  flatbuffers::Offset<flatbuffers::Vector<std::uint8_t>> next;
  if (terms.next_key) next = builder.CreateVector(terms.next_key->bytes.data(), kKeyBytes);
  const auto written_terms = wire::CreateLeaseTerms(builder, terms.share_milli, terms.memory_bytes,
                                                    static_cast<std::uint64_t>(terms.not_before_ms),
                                                    static_cast<std::uint64_t>(terms.not_after_ms), holder, next);
  builder.Finish(wire::CreateLeaseBlock(builder, written_grant, written_terms));
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

Bytes WriteToken(std::span<const Block> blocks) {
  flatbuffers::FlatBufferBuilder builder(1024);
  std::vector<flatbuffers::Offset<wire::SignedBlock>> written;
  for (const Block& block : blocks) {
    const auto bytes = builder.CreateVector(block.bytes);
    const auto signature = builder.CreateVector(block.signature.data(), kSignatureBytes);
    written.push_back(wire::CreateSignedBlock(builder, bytes, signature));
  }
  builder.Finish(wire::CreateLeaseToken(builder, kVersion, builder.CreateVector(written)));
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

// Who signed what, and that nothing grows along the chain.
Status CheckChain(std::span<const Block> blocks, const LeaseCheck& check) {
  const auto is_signed = [&check](const PublicKey& key, ByteView message, const Signature& signature) {
    return check.verified != nullptr ? check.verified->Verify(key, message, signature)
                                     : IsSignedBy(key, message, signature);
  };
  Signature before{};
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const Block& block = blocks[i];
    const Bytes message = SignedBytes(before, block.bytes);
    if (i == 0) {
      const bool is_known = std::any_of(check.markets.begin(), check.markets.end(), [&](const PublicKey& market) {
        return is_signed(market, message, block.signature);
      });
      if (!is_known)
        return Denied(
            "forged, or signed by a market that this server does not trust; add its key, or ask the right market");
    } else {
      const LeaseTerms& parent = blocks[i - 1].terms;
      if (!parent.next_key)
        return Denied("sublet " + std::to_string(i) + " of a lease that may not be sublet; ask its holder");
      if (!is_signed(*parent.next_key, message, block.signature)) {
        return Denied("sublet " + std::to_string(i) + " is forged: not signed by the holder before it; ask that one");
      }
      if (const std::string excess = Excess(block.terms, parent); !excess.empty()) {
        return Denied("sublet " + std::to_string(i) + " allows more than its lease has: " + excess + "; ask for less");
      }
    }
    before = block.signature;
  }
  return Status::Ok();
}

}  // namespace

Status EpochFence::Raise(const std::string& slot, std::uint64_t epoch) {
  const auto found = epochs_.find(slot);
  if (found != epochs_.end()) {
    found->second = std::max(found->second, epoch);
    return Status::Ok();
  }
  if (epochs_.size() >= kSlotsMax) {
    return {Code::kLimitExceeded, "EpochFence::Raise",
            "more than " + std::to_string(kSlotsMax) + " slots on one server; register fewer"};
  }
  epochs_.emplace(slot, epoch);
  return Status::Ok();
}

std::uint64_t EpochFence::Seen(const std::string& slot) const {
  const auto found = epochs_.find(slot);
  return found == epochs_.end() ? 0 : found->second;
}

Result<Bytes> GrantLease(const SigningKey& market, const LeaseGrant& grant, const LeaseTerms& terms) {
  ACCELMESH_RETURN_IF_ERROR(CheckGrant(grant));
  ACCELMESH_RETURN_IF_ERROR(CheckTerms(terms));
  Block block;
  block.bytes = WriteBlock(&grant, terms);
  block.signature = market.Sign(SignedBytes(Signature{}, block.bytes));
  return WriteToken(std::span(&block, 1));
}

Result<Bytes> AttenuateLease(ByteView token, const SigningKey& holder, const LeaseTerms& terms) {
  ACCELMESH_RETURN_IF_ERROR(CheckTerms(terms));
  ACCELMESH_ASSIGN_OR_RETURN(std::vector<Block> blocks, ReadToken(token));
  const Block& last = blocks.back();
  const auto denied = [](const std::string& text) { return Status(Code::kPermissionDenied, "AttenuateLease", text); };
  if (last.terms.next_key != holder.public_key())
    return denied("the lease may not be sublet by this key; use its holder's");
  if (const std::string excess = Excess(terms, last.terms); !excess.empty()) {
    return denied("a sublet allows no more than its lease has, and this is " + excess + "; let less");
  }
  if (blocks.size() >= kLeaseBlocksMax) {
    return Status(Code::kLimitExceeded, "AttenuateLease",
                  "sublet " + std::to_string(blocks.size()) + " times already; ask the market for a lease of its own");
  }
  Block block;
  block.bytes = WriteBlock(nullptr, terms);
  block.signature = holder.Sign(SignedBytes(last.signature, block.bytes));
  blocks.push_back(std::move(block));
  return WriteToken(blocks);
}

Result<Lease> VerifyLease(ByteView token, const LeaseCheck& check) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::vector<Block> blocks, ReadToken(token));
  const LeaseGrant& grant = *blocks.front().grant;
  const LeaseTerms& terms = blocks.back().terms;
  // What costs nothing comes first, so that a flood of old tokens does not buy signatures.
  if (grant.server != check.server)
    return Denied("for server " + grant.server + ", and this is " + check.server + "; connect there");
  if (terms.holder_key != check.client_key) {
    return Denied(
        "bound to another client's key (a token is no use to who copies it); ask the market for one of your own");
  }
  if (check.now_ms >= terms.not_after_ms) {
    return Denied("expired " + std::to_string(check.now_ms - terms.not_after_ms) +
                  " ms ago by this server's clock; renew the lease before it ends, or set the clocks of both machines");
  }
  if (check.now_ms + kClockSkewMs < terms.not_before_ms) {
    return Denied(
        "begins in " + std::to_string(terms.not_before_ms - check.now_ms) +
        " ms by this server's clock; wait, or set the clocks of both machines (slotctl doctor compares them)");
  }
  if (check.fence != nullptr && grant.epoch < check.fence->Seen(grant.slot)) {
    return Denied("revoked: epoch " + std::to_string(grant.epoch) + " of slot " + grant.slot + ", which is at " +
                  std::to_string(check.fence->Seen(grant.slot)) + "; ask the market for a new lease");
  }
  ACCELMESH_RETURN_IF_ERROR(CheckChain(blocks, check));
  const LeaseTerms& whole = blocks.front().terms;
  return Lease{grant, terms, blocks.size() - 1, whole.share_milli, whole.memory_bytes};
}

}  // namespace accelmesh::security
