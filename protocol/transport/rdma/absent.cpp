// What a build without the headers of libibverbs and librdmacm says of rdma.
#include "protocol/transport/rdma/rdma.h"

namespace accelmesh {
namespace {

Status Absent() {
  return {
      Code::kUnsupported, "rdma",
      "this build of AccelMesh has no rdma: libibverbs-dev and librdmacm-dev were missing when it was built; install "
      "them and build anew, or use tcp:// or shm://"};
}

}  // namespace

Result<Connected> ConnectRdma(const Endpoint&, ByteView, Deadline, const security::CurveCredentials*, bool) {
  return Absent();
}
Result<std::unique_ptr<Listener>> ListenRdma(const Endpoint&, const ListenSecurity*, bool) { return Absent(); }
Result<OpenedRdma> OpenRdmaWorker(const WorkerEndpoints&, ByteView) { return Absent(); }

}  // namespace accelmesh
