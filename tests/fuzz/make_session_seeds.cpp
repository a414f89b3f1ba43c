// Writes the seeds of the wire's fuzzers: make_session_seeds FOLDER makes FOLDER/<fuzzer>/<what it is>. The results are
// committed (tests/fuzz/seeds), so that a seed stays what it was; run it again when the wire changes.
#include "protocol/gen_commands.h"
#include "protocol/schema/session_generated.h"
#include "tests/fuzz/session_script.h"

namespace accelmesh {
namespace {

using namespace fuzz;

Bytes Text(std::string_view text) { return {text.begin(), text.end()}; }
Bytes Finished(flatbuffers::FlatBufferBuilder& builder) {
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}
constexpr std::uint64_t kHostBase = 0x7ec000000000;
constexpr std::uint64_t kBase = 0x200000000000;
wire::Place Device(std::uint64_t offset) { return {kBase + offset, 0, wire::PlaceKind::Device}; }
wire::Place Bulk(std::uint64_t token) { return {token, 0, wire::PlaceKind::Bulk}; }
wire::Place Inline() { return {0, 0, wire::PlaceKind::Inline}; }
wire::Place Shared(std::uint64_t offset) { return {offset, 1, wire::PlaceKind::Shared}; }
const Bytes kBody(100, 7);

Bytes Texture(std::uint64_t id, wire::TextureSource source, std::uint32_t levels, const wire::TextureView* view) {
  flatbuffers::FlatBufferBuilder builder;
  std::vector<wire::TextureLevel> parts;
  for (std::uint32_t level = 0; level < levels; ++level)
    parts.emplace_back(kBase + 1024 * level, 64 >> level, 256 >> (2 * level), 16 >> level, 4 >> level, 0);
  const auto packed = builder.CreateVectorOfStructs(parts);
  const wire::TextureSampling sampling(0, 0, 0, 1, 0, 0, 5, 1, 2, 0, 1, 2, 1, 1, 0, 0);
  builder.Finish(wire::CreateTextureCreate(builder, id, 0, source, id % 2 != 0, 0x20, 1, 2, packed, &sampling, view));
  return Finished(builder);
}

void SessionSeeds() {
  using K = wire::StreamKind;
  Write("session", "memory",
        Script()
            .Frame(wire::MemAlloc(kBase, 4096, 0, 0))
            .Frame(wire::MemAlloc(kBase + 8192, 100, 0, 0))
            .Frame(wire::MemFree(kBase, 0, 0))
            .Frame(wire::MemFree(kBase, 0, 0))
            .Frame(wire::MemAlloc(kBase + 8000, 4096, 0, 0))
            .bytes());
  Write("session", "copies",
        Script()
            .Frame(wire::MemAlloc(kBase, 4096, 0, 0))
            .Frame(wire::Copy(Device(0), Inline(), 100, 0, 0), kBody)
            .Body(5, kBody)
            .Frame(wire::Copy(Device(10), Bulk(5), 100, 0, 0))
            .Frame(wire::Copy(Device(10), Bulk(6), 100, 0, 0))
            .Frame(wire::Copy(Bulk(9), Device(0), 4096, 0, 0))
            .Body(6, kBody)
            .Frame(wire::Copy(Shared(50), Device(0), 1000, 0, 0))
            .Frame(wire::Copy(Device(0), Shared(0), 1000, 0, 0))
            .Frame(wire::Copy(Device(0), Device(2000), 1000, 0, 0))
            .Frame(wire::Copy(Device(0), Device(4000), 1000, 0, 0))
            .Frame(wire::CopyPitched(Device(0), Inline(), 64, 640, 0, 0, 10, 5, 2, 0, 0), kBody)
            .Frame(wire::Fill(kBase, 64, 640, 4, 5, 2, 0x01020304, 4, 0, 0))
            .Frame(wire::SharedRelease(1, 0))
            .bytes());
  const wire::ClusterSize none(0, 0, 0);
  Write("session", "modules",
        Script()
            .Body(1, kBody)
            .Frame(wire::ModuleLoad(1, 100, 1, 0, 0, 0))
            .Frame(wire::Launch(0, 0, 0, 0, 1, 1, 1, 32, 1, 1, 0, 0, none, none), Bytes(16, 1))
            .HoldAll(true)
            .Frame(wire::Launch(0, 0, 0, 64, 2, 2, 2, 8, 4, 1, 1, 0, none, none), Bytes(16, 1))
            .Frame(wire::ModuleUnload(0, 0))
            .Complete(0, 9)
            .Frame(wire::Launch(0, 0, 0, 0, 1, 1, 1, 32, 1, 1, 0, 0, none, none), Bytes(16, 1))
            .bytes());
  const wire::TextureView view(1, 2, 0, 0, 0);
  Write("session", "textures",
        Script()
            .Frame(wire::MemAlloc(kBase, 4096, 0, 0))
            .Table<wire::TextureCreate>(Texture(2, wire::TextureSource::Pitched, 1, nullptr))
            .Table<wire::TextureCreate>(Texture(1, wire::TextureSource::Array, 1, nullptr))
            .Table<wire::TextureCreate>(Texture(4, wire::TextureSource::Mipmapped, 3, &view))
            .Table<wire::TextureCreate>(Texture(6, wire::TextureSource::Mipmapped, 5, nullptr))
            .Frame(wire::TextureHandle(4))
            .Frame(wire::TextureHandle(6))
            .Frame(wire::TextureDestroy(2))
            .HoldAll(true)
            .Frame(wire::Copy(Device(10), Bulk(6), 100, 0, 0))
            .Frame(wire::TextureDestroy(4))
            .Body(6, kBody)
            .Complete(0, 1)
            .Frame(wire::TextureDestroy(4))
            .bytes());
  Write("session", "events",
        Script()
            .Frames(4)
            .Record(wire::StreamCreate(1, 0, 0, K::Blocking))
            .Record(wire::StreamCreate(2, 0, 0, K::NonBlocking))
            .Record(wire::EventCreate(0, 0, 1, 0))
            .Record(wire::EventCreate(1, 0, 1, 0))
            .HoldAll(true)
            .Frame(wire::EventRecord(0, 1))
            .Frame(wire::StreamWaitEvent(2, 0))
            .Frame(wire::EventRecord(0, 2))
            .Frame(wire::EventRecord(1, 2))
            .Frame(wire::EventElapsed(0, 1))
            .Frame(wire::EventDestroy(0, 0))
            .Complete(1, 1)
            .HoldAll(false)
            .Frame(wire::StreamDestroy(1, 0))
            .Frame(wire::StreamDestroy(2, 0))
            .Frame(wire::StreamCreate(1, 0, 0, K::Blocking))
            .bytes());
  const Bytes name{'v', 'a', 'r'};
  Write("session", "host_memory",
        Script()
            .Frame(wire::HostMap(kHostBase, 8192, 0, 0xffffffff, wire::HostMapKind::Twin))
            .Frame(wire::HostWrite(kHostBase + 4000), kBody)
            .Frame(wire::HostMap(kHostBase + 4096, 4096, 0, 0xffffffff, wire::HostMapKind::Twin))
            .Frame(wire::HostMap(kHostBase + 8192, 4096, 0, 0, wire::HostMapKind::Twin))
            .Frame(wire::Copy(wire::Place(kHostBase + 100, 0, wire::PlaceKind::Device), Inline(), 100, 0, 0), kBody)
            .Frame(wire::ManagedVariable(kHostBase + 8192, 16, 0, 0), name)
            .Body(1, kBody)
            .Frame(wire::ModuleLoad(1, 100, 1, 0, 0, 0))
            .Frame(wire::HostUnmap(kHostBase + 8192))
            .Frame(wire::HostUnmap(kHostBase))
            .Frame(wire::HostUnmap(kHostBase))
            .bytes());
  Write("session", "host_write_outside",
        Script()
            .Frame(wire::HostMap(kHostBase, 4096, 0, 0xffffffff, wire::HostMapKind::Twin))
            .Frame(wire::HostWrite(kHostBase + 4090), kBody)
            .bytes());
  Write("session", "host_calls",
        Script()
            .Frame(wire::StreamCreate(1, 0, 0, K::NonBlocking))
            .HoldAll(true)
            .Frame(wire::HostCall(7, 1, 0))
            .Frame(wire::HostCall(8, 0, 0))
            .Side(wire::HostDone(8))
            .Complete(1, 1)
            .Side(wire::HostDone(7))
            .Frame(wire::HostCall(7, 1, 0))
            .Side(wire::HostDone(9))
            .bytes());
  // Records in a payload, as a frame has them.
  const auto framed = [](auto... bodies) {
    Bytes out;
    (AddRecord(out, bodies), ...);
    return out;
  };
  const wire::Fill fill(kBase, 0, 0, 8, 1, 1, 1, 1, 0, 0);
  const Bytes nodes =
      framed(fill, wire::Copy(Device(8), Bulk(0), 100, 0, 0), fill, wire::Copy(Bulk(0), Device(0), 50, 0, 0));
  Bytes patches;
  for (const wire::GraphPatch& patch : {wire::GraphPatch(1, 0, 5), wire::GraphPatch(3, 1, 6)})
    Append(patches, AsBytes(patch));
  Write("session", "graphs",
        Script()
            .Frame(wire::MemAlloc(kBase, 4096, 0, 0))
            .Frame(wire::GraphDefine(0, 4, 0, 4), nodes)
            .Frame(wire::GraphLaunch(0, 0, 0, 4), patches)
            .Frame(wire::GraphDefine(0, 4, 2, 1), framed(fill))
            .Frame(wire::GraphDestroy(0, 0))
            .Body(5, kBody)
            .Frame(wire::GraphDefine(7, 2, 0, 2), framed(fill, fill))
            .Frame(wire::GraphLaunch(7, 0, 1, 1))
            .Frame(wire::GraphLaunch(7, 0, 0, 2))
            .Frame(wire::GraphLaunch(0, 0, 0, 4), patches)
            .bytes());
  using T = wire::GraphTest;
  Write("session", "graph_branches",
        Script()
            .Frame(wire::MemAlloc(kBase, 4096, 0, 0))
            .Frame(wire::StreamCreate(1, 0, 0, K::NonBlocking))
            .Frame(wire::GraphDefine(0, 4, 0, 4), framed(fill, wire::GraphBranch(kBase + 64, 0, T::NotEqual, 4, 0),
                                                         fill, wire::GraphBranch(0, 0, T::Always, 1, 0)))
            .Frame(wire::GraphLaunch(0, 1, 0, 4))
            .Frame(wire::GraphDefine(0, 4, 2, 1), framed(wire::GraphBranch(0, 0, T::Always, 2, 0)))
            .Frame(wire::GraphLaunch(0, 0, 0, 4))
            .Frame(wire::GraphDestroy(0, 0))
            .Frame(wire::StreamDestroy(1, 0))
            .Frame(wire::Ping(3))
            .bytes());
  // The word of the branch comes from the device, in its turn.
  Write(
      "session", "graph_branches_fetched",
      Script(5)
          .Frame(wire::MemAlloc(kBase, 4096, 0, 0))
          .Frame(wire::StreamCreate(1, 0, 0, K::NonBlocking))
          .Frame(wire::GraphDefine(0, 3, 0, 3), framed(fill, wire::GraphBranch(kBase + 64, 1, T::NotEqual, 3, 0), fill))
          .HoldAll(true)
          .Frame(wire::GraphLaunch(0, 1, 0, 3))
          .Complete(1, 1)
          .Frame(wire::MemFree(kBase, 0, 0))
          .Complete(1, 1)
          .Frame(wire::GraphLaunch(0, 1, 0, 3))
          .Complete(1, 9)
          .bytes());
  // What the other session of the lease has: see session_fuzz.cpp.
  const wire::LeaseName exported(2, 1, 0, 0);
  const wire::LeaseName offered(2, 1, 1, 0);
  constexpr std::uint64_t kImports = kBase + 0x30000000;
  Write("session", "lease_memory",
        Script(3)
            .Frame(wire::MemAlloc(kBase, 4096, 0, 0))
            .Frame(wire::IpcExport(kBase, 0, 0))
            .Frame(wire::IpcExport(kBase + 1, 0, 0))
            .Frame(wire::IpcOpen(exported, kImports, 8192, 0, 0))
            .Frame(wire::IpcOpen(exported, kImports + 65536, 8192, 0, 0))
            .Frame(wire::Copy(Device(0x30000000), Device(0), 4096, 0, 0))
            .Frame(wire::IpcClose(kImports, 0, 0))
            .Frame(wire::IpcOpen(exported, kImports, 4096, 0, 0))
            .Frame(wire::IpcOpen(wire::LeaseName(3, 1, 0, 0), kImports, 8192, 0, 0))
            .Frame(wire::IpcOpen(exported, kImports, 8192, 0, 0))
            .Frame(wire::IpcOpen(offered, kImports + 65536 + 4096, 8192, 0, 0))
            .Frame(wire::IpcOpen(offered, kImports, 8192, 0, 0))
            .Frame(wire::IpcClose(kImports + 65536 + 4096, 0, 0))
            .Frame(wire::IpcEndExport(kBase, 0, 0))
            .Frame(wire::MemFree(kBase, 0, 0))
            .bytes());
  Write("session", "lease_events",
        Script(3)
            .Frame(wire::StreamCreate(1, 0, 0, K::NonBlocking))
            .Frame(wire::IpcEventCreate(0, 0))
            .Frame(wire::IpcEventOpen(exported, 1, 0))
            .Frame(wire::StreamWaitEvent(1, 1))
            .Frame(wire::IpcEventQuery(1, 0))
            .Frame(wire::EventRecord(1, 0))
            .Frame(wire::IpcEventQuery(1, 0))
            .HoldAll(true)
            .Frame(wire::EventRecord(0, 1))
            .Frame(wire::StreamWaitEvent(1, 0))
            .Complete(1, 1)
            .Frame(wire::IpcEventQuery(0, 0))
            .Frame(wire::EventDestroy(0, 0))
            .Frame(wire::EventDestroy(1, 0))
            .bytes());
  Write("session", "lease_none",
        Script()
            .Frame(wire::MemAlloc(kBase, 4096, 0, 0))
            .Frame(wire::IpcExport(kBase, 0, 0))
            .Frame(wire::IpcOpen(exported, kImports, 8192, 0, 0))
            .Frame(wire::IpcEventCreate(0, 0))
            .Frame(wire::IpcEventOpen(exported, 1, 0))
            .Frame(wire::IpcEndExport(kBase, 0, 0))
            .Frame(wire::IpcClose(kImports, 0, 0))
            .bytes());
  Write("session", "occupancy",
        Script()
            .Body(1, kBody)
            .Frame(wire::ModuleLoad(1, 100, 1, 0, 0, 0))
            .Frame(wire::Occupancy(0, 0, 1024, 1, 1, 1, 128, 1, 1, wire::OccupancyOf::Blocks, 0, 0, none, 0))
            .Frame(wire::Occupancy(0, 0, 0, 8, 2, 1, 128, 1, 1, wire::OccupancyOf::Clusters, 2, 1,
                                   wire::ClusterSize(4, 2, 1), 0))
            .Frame(wire::Occupancy(0, 0, 0, 8, 1, 1, 128, 1, 1, wire::OccupancyOf::ClusterSize, 0, 0, none, 0))
            .Frame(wire::Occupancy(0, 1, 1024, 1, 1, 1, 128, 1, 1, wire::OccupancyOf::Blocks, 0, 0, none, 0))
            .bytes());
  Script many;
  many.Frame(wire::MemAlloc(kBase, 4096, 0, 0))
      .HoldAll(true)
      .Frame(wire::GraphDefine(0, 4, 0, 3), framed(fill, fill, fill));
  for (int i = 0; i < 100; ++i) many.Frame(wire::GraphLaunch(0, 0, 0, 3));
  Write("session", "graphs_parked",
        many.Complete(0, 255).Complete(0, 255).Frame(wire::GraphLaunch(0, 0, 0, 4)).bytes());
  // The legacy stream waits for a body; a blocking stream behind it, another not.
  Script parked;
  parked.Frame(wire::MemAlloc(kBase, 4096, 0, 0))
      .Frame(wire::StreamCreate(1, 0, 0, K::Blocking))
      .Frame(wire::StreamCreate(2, 0, 0, K::NonBlocking))
      .Frame(wire::EventCreate(0, 0, 0, 0))
      .Frame(wire::Copy(Device(0), Bulk(3), 100, 0, 0))
      .Frame(wire::EventRecord(0, 0))
      .Frame(wire::StreamWaitEvent(2, 0))
      .Frame(wire::Fill(kBase, 0, 0, 9, 1, 1, 1, 1, 1, 0))
      .Frame(wire::Fill(kBase, 0, 0, 9, 1, 1, 1, 1, 2, 0))
      .Frame(wire::EventRecord(0, 2))
      .Frame(wire::EventDestroy(0, 0))
      .Frame(wire::StreamDestroy(1, 0))
      .Frame(wire::MemFree(kBase, 0, 0))
      .Body(3, kBody)
      .Frame(wire::Ping(1));
  Write("session", "parked", parked.bytes());
  Script full;
  full.Frame(wire::MemAlloc(kBase, 4096, 0, 0)).HoldAll(true);
  for (int frame = 0; frame < 3; ++frame) {
    full.Frames(120);
    for (int i = 0; i < 120; ++i) full.Record(wire::Fill(kBase, 0, 0, 9, 1, 1, 1, 1, 0, 0));
  }
  full.Complete(0, 200).Complete(0, 100).HoldAll(false).Frame(wire::Ping(2));
  Write("session", "full", full.bytes());
  FrameHeaderValue replay;
  replay.first_sequence = 1;
  Write("session", "replay", Script().Frame(wire::Ping(1)).Raw(0, AsBytes(replay)).bytes());
  Write("session", "side",
        Script().Side(wire::Heartbeat(1)).Side(wire::Hold(0, 1)).Frame(wire::Ping(1)).Side(wire::Goodbye(0)).bytes());
}

// The records of a frame that frame_fuzz takes: a lane, then the frame.
template <typename... Commands>
Bytes LaneAndFrame(std::uint8_t lane, const Commands&... commands) {
  Bytes bytes{lane};
  FrameHeaderValue header;
  header.records = sizeof...(commands);
  header.first_sequence = 1;
  Append(bytes, AsBytes(header));
  [[maybe_unused]] const auto add = [&bytes](std::uint16_t id, ByteView body) {
    RecordHeaderValue record;
    record.bytes = static_cast<std::uint32_t>(RecordBytes(body.size(), 0));
    record.body_bytes = static_cast<std::uint32_t>(body.size());
    record.command = id;
    Append(bytes, AsBytes(record));
    Append(bytes, body);
    bytes.resize(bytes.size() + record.bytes - sizeof(record) - body.size());
  };
  (add(static_cast<std::uint16_t>(CommandTraits<Commands>::kId), AsBytes(commands)), ...);
  return bytes;
}

void FrameSeeds() {
  Write("frame", "commands",
        LaneAndFrame(0, wire::Ping(1), wire::MemAlloc(kBase, 512, 0, 0), wire::EventRecord(1, 2),
                     wire::Fill(kBase, 0, 0, 9, 1, 1, 1, 1, 0, 0)));
  Write("frame", "side", LaneAndFrame(1, wire::Goodbye(1), wire::Heartbeat(2), wire::Hold(0, 1)));
  Write("frame", "empty", LaneAndFrame(0));
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(wire::CreateOpenSession(builder, kBase, limits::kGiB));
  Bytes open = LaneAndFrame(0);
  const std::uint32_t one = 1;
  std::memcpy(open.data() + 1 + offsetof(FrameHeaderValue, records), &one, sizeof(one));
  RecordHeaderValue record;
  record.bytes = static_cast<std::uint32_t>(RecordBytes(builder.GetSize(), 0));
  record.body_bytes = builder.GetSize();
  record.command = static_cast<std::uint16_t>(CommandId::kOpenSession);
  Append(open, AsBytes(record));
  Append(open, {builder.GetBufferPointer(), builder.GetSize()});
  open.resize(1 + sizeof(FrameHeaderValue) + record.bytes);
  Write("frame", "open", open);
}

Bytes Welcome(wire::Refusal refusal, const char* text, const char* endpoint) {
  flatbuffers::FlatBufferBuilder builder;
  const auto secret = builder.CreateVector(Bytes(32, 9));
  const auto text_offset = builder.CreateString(text);
  const auto endpoint_offset = builder.CreateString(endpoint);
  builder.Finish(wire::CreateWelcome(builder, refusal, text_offset, 1, 77, secret, endpoint_offset, 4711));
  return Finished(builder);
}

void EstablishingSeeds() {
  flatbuffers::FlatBufferBuilder hello;
  const auto program = hello.CreateString("vector_add");
  const auto boot = hello.CreateString("0f0e0d0c-boot");
  hello.Finish(wire::CreateHello(hello, 1, 1, program, 4711, boot, 1 << 30));
  Write("hello", "plain", Finished(hello));
  flatbuffers::FlatBufferBuilder bare;
  bare.Finish(wire::CreateHello(bare, 9, 12));
  Write("hello", "other_version", Finished(bare));

  Write(
      "welcome", "tcp",
      Welcome(wire::Refusal::None, "",
              "tcp://127.0.0.1:40001,tcp://127.0.0.1:40002,tcp://127.0.0.1:40003,tcp://127.0.0.1:40004,tcp://[::1]:9"));
  Write("welcome", "refused", Welcome(wire::Refusal::Version, "install the same release on both sides", ""));

  Bytes secret(32);
  for (std::size_t i = 0; i < secret.size(); ++i) secret[i] = static_cast<std::uint8_t>(7 * i + 1);
  for (const bool right : {true, false}) {
    flatbuffers::FlatBufferBuilder attach;
    attach.Finish(wire::CreateAttach(attach, attach.CreateVector(right ? secret : Bytes(32, 1)), 2));
    Bytes bytes{2};
    Append(bytes, Finished(attach));
    Write("attach", right ? "right" : "wrong", bytes);
  }

  Bytes updates;
  for (std::uint64_t round = 1; round <= 3; ++round) {
    flatbuffers::FlatBufferBuilder progress;
    const std::vector<wire::StreamProgress> streams{{0, round * 10}, {4095, round}, {7, 100 / round}};
    progress.Finish(wire::CreateProgress(progress, round * 5, round == 2 ? 700 : 0, round == 3, round, round * 2,
                                         progress.CreateVectorOfStructs(streams)));
    Counted(updates, Finished(progress));
  }
  Write("progress", "three", updates);

  for (const char* url : {"tcp://127.0.0.1:7700", "tcp://[::1]:0", "ipc:///run/user/1000/mesh.sock", "shm://default",
                          "shm://a-b_c.9", "tcp://gpu.example:65535", "rtt_us=300,bandwidth_mbps=1000,jitter_us=5"}) {
    std::string name(url);
    std::replace_if(name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
    Write("endpoint", name.c_str(), Text(url));
  }
}

Bytes SessionInfoTable(std::uint64_t memory) {
  flatbuffers::FlatBufferBuilder builder;
  const std::vector<wire::DeviceAttribute> attributes{{1, 1024}, {75, 8}};
  const auto device = wire::CreateDeviceInfo(
      builder, builder.CreateString("AccelMesh Software GPU"), builder.CreateVector(Bytes(16, 3)), memory, kBase,
      limits::kGiB, builder.CreateVectorOfStructs(attributes), builder.CreateString("0000:00:00.0"));
  builder.Finish(
      wire::CreateSessionInfo(builder, builder.CreateVector(&device, 1), builder.CreateString("cpu"), 13000));
  return Finished(builder);
}

Bytes ModuleInfoTable() {
  flatbuffers::FlatBufferBuilder builder;
  const std::vector<wire::KernelParameter> parameters{{0, 8}, {8, 4}, {16, 8}};
  const auto kernel = wire::CreateKernelInfo(builder, builder.CreateString("kernel"),
                                             builder.CreateVectorOfStructs(parameters), 1024, 0, 0, 0, 16, 80, 80);
  const auto global = wire::CreateGlobalInfo(builder, builder.CreateString("global"), kBase + 4096, 64, false);
  builder.Finish(wire::CreateModuleInfo(builder, builder.CreateVector(&kernel, 1), builder.CreateVector(&global, 1)));
  return Finished(builder);
}

void DownSeeds() {
  const auto reply = [](Bytes& to, std::uint8_t status, const Bytes& body) {
    to.insert(to.end(), {0, status});
    Counted(to, body);
  };
  flatbuffers::FlatBufferBuilder elapsed;
  elapsed.Finish(wire::CreateElapsedTime(elapsed, 1.5f));
  Bytes whole;
  reply(whole, 0, SessionInfoTable(limits::kGiB));
  reply(whole, 0, ModuleInfoTable());
  reply(whole, 0, Finished(elapsed));
  Write("down", "whole_session", whole);
  Bytes failing;
  reply(failing, 0, SessionInfoTable(4096));
  reply(failing, 218, {});
  reply(failing, 144, {});
  Write("down", "errors", failing);
  flatbuffers::FlatBufferBuilder functions;
  functions.Finish(wire::CreateLibraryInfo(functions, functions.CreateVector(Bytes(40, 0xff))));
  flatbuffers::FlatBufferBuilder result;
  result.Finish(wire::CreateLibraryResult(result, 3, result.CreateVector(Bytes(16, 5))));
  Bytes library = whole;
  reply(library, 0, Finished(functions));
  reply(library, 0, Finished(result));
  reply(library, 0, Finished(result));
  Write("down", "library", library);
  // What need not be asked: as it is, packed, and packed wrongly.
  flatbuffers::FlatBufferBuilder told;
  const std::array<std::uint64_t, 4> packed{std::uint64_t{1} << 63 | 40, 0x8002, 11, 12};
  const ByteView words_packed = AsBytes(packed);
  std::vector<flatbuffers::Offset<wire::LibraryRemembered>> answers;
  for (const Bytes& question : {Bytes(64), Bytes(words_packed.begin(), words_packed.end()),
                                Bytes(words_packed.begin(), words_packed.begin() + 24)}) {
    const auto words = told.CreateVector(question);
    answers.push_back(wire::CreateLibraryRemembered(told, 1, 3000, words, told.CreateVector(Bytes(8, 9))));
  }
  const auto all = told.CreateVector(answers);
  told.Finish(wire::CreateLibraryInfo(told, told.CreateVector(Bytes(40, 0xff)), all));
  Bytes remembered = whole;
  reply(remembered, 0, Finished(told));
  reply(remembered, 0, Finished(result));
  reply(remembered, 0, Finished(result));
  Write("down", "remembered", remembered);
  flatbuffers::FlatBufferBuilder output;
  output.Finish(wire::CreateDown(output, wire::DownKind::Output, 5, 0, 0, output.CreateString("hello\n"), 0));
  Bytes uninvited{1};
  Counted(uninvited, Finished(output));
  reply(uninvited, 0, SessionInfoTable(limits::kGiB));
  Write("down", "uninvited", uninvited);
}

void RingSeeds() {
  Bytes plain;
  for (std::uint8_t round = 0; round < 12; ++round) {
    const std::uint8_t size = static_cast<std::uint8_t>(20 * round);
    plain.insert(plain.end(), {0, size});
    plain.resize(plain.size() + size, round);
    plain.insert(plain.end(), {1, 0xff, 1});
  }
  Write("ring", "in_and_out", plain);
  Bytes scribbled{0, 16};
  scribbled.resize(scribbled.size() + 16, 1);
  scribbled.insert(scribbled.end(), {6, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0xff, 1});
  scribbled.insert(scribbled.end(), {5, 0, 4, 0, 0, 0, 0, 0, 0, 1, 0xff, 1, 4, 9, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3});
  scribbled.insert(scribbled.end(), {7, 0, 0, 15, 0, 0, 0, 0, 0, 0, 16, 0, 3, 0xff, 0xff});
  Write("ring", "scribbled", scribbled);
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "make_session_seeds FOLDER\n");
    return 2;
  }
  accelmesh::fuzz::SeedFolder() = argv[1];
  accelmesh::SessionSeeds();
  accelmesh::FrameSeeds();
  accelmesh::EstablishingSeeds();
  accelmesh::DownSeeds();
  accelmesh::RingSeeds();
  return 0;
}
