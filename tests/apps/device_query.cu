// The device as a program sees it: count, properties, attributes and versions agree with one another.
#include <cstring>

#include "check.h"

// What is deprecated is answered, too.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static int Attribute(cudaDeviceAttr attribute) {
  int value = -1;
  CHECK(cudaDeviceGetAttribute(&value, attribute, 0));
  return value;
}

int main() {
  int count = 0, driver = 0, runtime = 0, device = -1;
  CHECK(cudaGetDeviceCount(&count));
  EXPECT(count >= 1, "%d devices", count);
  CHECK(cudaDriverGetVersion(&driver));
  CHECK(cudaRuntimeGetVersion(&runtime));
  EXPECT(runtime / 1000 == CUDART_VERSION / 1000 && driver >= runtime, "runtime %d, driver %d", runtime, driver);
  CHECK(cudaSetDevice(0));
  CHECK(cudaGetDevice(&device));
  EXPECT(device == 0, "device %d", device);

  cudaDeviceProp p{};
  CHECK(cudaGetDeviceProperties(&p, 0));
  EXPECT(std::strlen(p.name) > 0 && std::strlen(p.name) < sizeof(p.name), "a name of %zu characters",
         std::strlen(p.name));
  EXPECT(p.warpSize == 32, "warps of %d", p.warpSize);
  EXPECT(p.maxThreadsPerBlock == 1024 && p.maxThreadsDim[0] == 1024 && p.maxThreadsDim[1] == 1024 &&
             p.maxThreadsDim[2] == 64,
         "blocks of %d threads, %d x %d x %d", p.maxThreadsPerBlock, p.maxThreadsDim[0], p.maxThreadsDim[1],
         p.maxThreadsDim[2]);
  EXPECT(p.maxGridSize[0] == 2147483647 && p.maxGridSize[1] == 65535 && p.maxGridSize[2] == 65535,
         "grids of %d x %d x %d", p.maxGridSize[0], p.maxGridSize[1], p.maxGridSize[2]);
  EXPECT(p.multiProcessorCount >= 1, "%d multiprocessors", p.multiProcessorCount);
  EXPECT(p.sharedMemPerBlock >= 48 * 1024 && p.sharedMemPerBlockOptin >= p.sharedMemPerBlock,
         "%zu bytes of shared memory, %zu with consent", p.sharedMemPerBlock, p.sharedMemPerBlockOptin);
  EXPECT(p.totalConstMem == 65536, "%zu bytes of constant memory", p.totalConstMem);
  EXPECT(p.unifiedAddressing == 1, "no unified addressing");

  const struct {
    cudaDeviceAttr attribute;
    long long property;
  } pairs[] = {
      {cudaDevAttrComputeCapabilityMajor, p.major},
      {cudaDevAttrComputeCapabilityMinor, p.minor},
      {cudaDevAttrMultiProcessorCount, p.multiProcessorCount},
      {cudaDevAttrWarpSize, p.warpSize},
      {cudaDevAttrMaxThreadsPerBlock, p.maxThreadsPerBlock},
      {cudaDevAttrMaxBlockDimZ, p.maxThreadsDim[2]},
      {cudaDevAttrMaxGridDimX, p.maxGridSize[0]},
      {cudaDevAttrMaxThreadsPerMultiProcessor, p.maxThreadsPerMultiProcessor},
      {cudaDevAttrMaxBlocksPerMultiprocessor, p.maxBlocksPerMultiProcessor},
      {cudaDevAttrMaxSharedMemoryPerBlock, static_cast<long long>(p.sharedMemPerBlock)},
      {cudaDevAttrMaxSharedMemoryPerBlockOptin, static_cast<long long>(p.sharedMemPerBlockOptin)},
      {cudaDevAttrMaxSharedMemoryPerMultiprocessor, static_cast<long long>(p.sharedMemPerMultiprocessor)},
      {cudaDevAttrMaxRegistersPerBlock, p.regsPerBlock},
      {cudaDevAttrTotalConstantMemory, static_cast<long long>(p.totalConstMem)},
      {cudaDevAttrUnifiedAddressing, p.unifiedAddressing},
      {cudaDevAttrConcurrentManagedAccess, p.concurrentManagedAccess},
      {cudaDevAttrPageableMemoryAccess, p.pageableMemoryAccess},
      {cudaDevAttrCooperativeLaunch, p.cooperativeLaunch},
      {cudaDevAttrAsyncEngineCount, p.asyncEngineCount},
      {cudaDevAttrPciBusId, p.pciBusID},
  };
  for (const auto& pair : pairs)
    EXPECT(Attribute(pair.attribute) == pair.property, "attribute %d is %d, the property %lld", pair.attribute,
           Attribute(pair.attribute), pair.property);
  char bus_id[32] = "";
  unsigned domain = ~0u, bus = ~0u, slot = ~0u, function = ~0u;
  CHECK(cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), 0));
  EXPECT(std::sscanf(bus_id, "%x:%x:%x.%x", &domain, &bus, &slot, &function) == 4, "the bus id is '%s'", bus_id);
  EXPECT(domain == static_cast<unsigned>(p.pciDomainID) && bus == static_cast<unsigned>(p.pciBusID) &&
             slot == static_cast<unsigned>(p.pciDeviceID),
         "the bus id is %s, the properties say %x:%x:%x", bus_id, p.pciDomainID, p.pciBusID, p.pciDeviceID);
  // How a thread waits is the program's choice.
  for (const unsigned flags :
       {cudaDeviceScheduleSpin, cudaDeviceScheduleYield, cudaDeviceScheduleBlockingSync, cudaDeviceScheduleAuto}) {
    CHECK(cudaSetDeviceFlags(flags));
    CHECK(cudaDeviceSynchronize());
  }
  CHECK_ERROR(cudaSetDeviceFlags(0x1000), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
  int least = 0, greatest = 0;
  CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  EXPECT(least >= greatest, "priorities from %d to %d", least, greatest);
  // No driver has this function.
  void* entry_point = &count;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSuccess;
  CHECK(cudaGetDriverEntryPointByVersion("cuNoSuchFunction", &entry_point, CUDART_VERSION, cudaEnableDefault, &found));
  EXPECT(entry_point == nullptr && found == cudaDriverEntryPointSymbolNotFound, "a function that nobody has: %d",
         found);
  entry_point = &count;
  CHECK(cudaGetDriverEntryPoint("cuNoSuchFunction", &entry_point, cudaEnableDefault, nullptr));
  EXPECT(entry_point == nullptr, "a function that nobody has");
  int value = 0;
  CHECK_ERROR(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, count), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaDeviceGetAttribute(&value, static_cast<cudaDeviceAttr>(100000), 0), cudaErrorInvalidValue);
  std::printf("device_query: %s, %d.%d, %zu MiB\n", p.name, p.major, p.minor, p.totalGlobalMem >> 20);
  return Passed();
}
