#include "market/client/orders.h"

#include <algorithm>
#include <cstring>

#include "market/client/trade_bounds.h"

namespace accelmesh::market {
namespace {

constexpr std::string_view kLabel = "accelmesh market order 1";
constexpr char kWhere[] = "market order";

Bytes SignedBytes(ByteView order) {
  Bytes message(kLabel.size() + order.size());
  std::memcpy(message.data(), kLabel.data(), kLabel.size());
  if (!order.empty()) std::memcpy(message.data() + kLabel.size(), order.data(), order.size());
  return message;
}

Status CheckSignature(const std::string& identity, ByteView order, ByteView signature, const char* whose) {
  security::PublicKey key;
  security::Signature copy{};
  ACCELMESH_RETURN_IF_ERROR(security::ParseHex(identity, key.bytes));
  if (signature.size() == copy.size()) std::copy(signature.begin(), signature.end(), copy.begin());
  if (signature.size() == copy.size() && security::IsSignedBy(key, SignedBytes(order), copy)) return {};
  return {Code::kPermissionDenied, kWhere,
          std::string("it is not signed by ") + whose + "; sign the bytes that are sent, by the key that they name"};
}

}  // namespace

security::Signature SignOrderBytes(ByteView order, const security::SigningKey& key) {
  return key.Sign(SignedBytes(order));
}

messages::PlaceOrderT SignOrder(const messages::OrderT& order, const security::SigningKey& owner) {
  flatbuffers::FlatBufferBuilder builder(512);
  builder.Finish(messages::Order::Pack(builder, &order));
  messages::PlaceOrderT placed;
  placed.order.assign(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize());
  const security::Signature signature = SignOrderBytes(placed.order, owner);
  placed.signature.assign(signature.begin(), signature.end());
  return placed;
}

Result<messages::OrderT> ReadOrder(ByteView order, ByteView signature) {
  if (order.size() > kOrderBytesMax) return Status(Code::kBadFrame, kWhere, "the order is longer than one may be");
  // Aligned, and our own.
  const Bytes copy(order.begin(), order.end());
  flatbuffers::Verifier verifier(copy.data(), copy.size(), 16, 1000);
  if (!verifier.VerifyBuffer<messages::Order>(nullptr)) {
    return Status(Code::kBadFrame, kWhere, "the order does not verify; use programs of one version");
  }
  const auto* read = flatbuffers::GetRoot<messages::Order>(copy.data());
  Bounds bounds(copy.size());
  Check(*read, bounds);
  // Whoever signed it is told which field it is: of a status only the text is sent.
  if (const Status& status = bounds.status(); !status.ok()) {
    const std::string& where = status.where();
    const std::string field = where.starts_with(Bounds::kWhere) ? where.substr(Bounds::kWhere.size()) : where;
    return Status(status.code(), kWhere, field + " " + status.text());
  }
  messages::OrderT value;
  read->UnPackTo(&value);
  if (value.bundles.empty() && order.size() > kPlainOrderBytesMax) {
    return Status(Code::kBadFrame, kWhere, "the order is longer than one without bundles may be");
  }
  ACCELMESH_RETURN_IF_ERROR(CheckSignature(value.owner, order, signature, "its owner"));
  return value;
}

Result<messages::OrderT> ReadOrder(const messages::PlaceOrderT& placed) {
  ACCELMESH_ASSIGN_OR_RETURN(messages::OrderT order, ReadOrder(placed.order, placed.signature));
  if (order.kind == messages::OrderKind::Deal) {
    ACCELMESH_RETURN_IF_ERROR(
        CheckSignature(order.counterparty, placed.order, placed.counter_signature, "the other party"));
  }
  return order;
}

}  // namespace accelmesh::market
