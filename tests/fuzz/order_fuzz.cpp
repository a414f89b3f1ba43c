// Orders that tenants sign: whatever the bytes are, signed by whom they name or not, the market answers, nobody's
// credits are made or lost, and no slot is let beyond what it is. Seeds: make_desk_seeds.
//
//   input := {size:u16 order}     each signed and brought by the market's provider, which holds a lease of its own slot
#include "market/client/orders.h"
#include "protocol/base/log.h"
#include "tests/fuzz/desk_world.h"
#include "tests/fuzz/input.h"
#include "tests/integration/market/market_messages.h"

namespace {

using namespace accelmesh;
using namespace accelmesh::market;

template <typename Body>
void Send(fuzz_world::DeskWorld& world, unsigned who, Body body) {
  messages::RequestT request;
  request.number = 1;
  request.body.Set(std::move(body));
  world.Send(who, EncodeRequest(request));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  log::SetSink([](log::Level, std::string_view) {});
  fuzz_world::DeskWorld world;
  const security::SigningKey owner = fuzz_world::KeyOf(2);
  Send(world, 2, ServerWith("s", 1, 1, 100));
  messages::GreetT greet;
  greet.version_min = greet.version_max = kMarketVersion;
  Send(world, 2, greet);
  for (const unsigned who : {2U, 0U}) {
    messages::RequestLeaseT ask = AskFor("0.3 TOPS fp32");
    ask.operation_id.assign(kOperationIdBytes, 9);
    Send(world, who, std::move(ask));
  }
  ByteReader reader(ByteView(data, size), "order_fuzz");
  for (int i = 0; i < 6; ++i) {
    const Result<std::uint16_t> length = reader.Read<std::uint16_t>();
    if (!length.ok()) break;
    messages::PlaceOrderT placed;
    const ByteView order = *reader.Take(std::min<std::size_t>(*length, reader.left()));
    placed.order.assign(order.begin(), order.end());
    const security::Signature signature = SignOrderBytes(placed.order, owner);
    placed.signature.assign(signature.begin(), signature.end());
    placed.counter_signature = placed.signature;
    Send(world, 2, std::move(placed));
    world.RequireSound();
  }
  return 0;
}
