#include "tools/mesh_sim/workload.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace accelmesh::sim {
namespace {

using scheduler::Demand;
using scheduler::Host;

TEST(WorkloadTest, ReadsOpenbsLists) {
  std::vector<Host> hosts;
  ASSERT_TRUE(
      ParseHosts("sn,cpu_milli,memory_mib,gpu,model\nn0,64000,262144,2,P100\r\nn1,96000,393216,8,T4\n", "nodes", hosts)
          .ok());
  ASSERT_EQ(hosts.size(), 2U);
  EXPECT_EQ(hosts[0].device_count, 2U);
  EXPECT_EQ(hosts[1].processor_milli, 96000U);
  EXPECT_NE(hosts[0].host_class, hosts[1].host_class);
  EXPECT_EQ(hosts[1].devices[7].share_milli, 1000U);
  std::vector<Demand> tasks;
  ASSERT_TRUE(
      ParseTasks("name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\np0,6000,12288,1,460,,LS\np1,1,2,0,0,,BE",
                 "pods", tasks)
          .ok());
  EXPECT_EQ(tasks, (std::vector<Demand>{{6000, 12288, 1, 460, 0}, {1, 2, 0, 0, 0}}));
}

TEST(WorkloadTest, ABadLineIsNamed) {
  const struct {
    const char* csv;
    const char* says;
  } cases[] = {
      {"name,cpu\n", "pods:1: no column cpu_milli"},
      {"cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n1,2,3\n", "pods:2: not as many fields"},
      {"cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n1,2,x,4,\n", "pods:2: no numbers"},
      {"cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n1,2,17,4,\n", "pods:2: no numbers"},
      {"cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n1,-2,1,4,\n", "pods:2: no numbers"},
      {"cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n\n1,2,1,0,\n", "pods:3: a task of GPUs without a share"},
      {"cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n1,2,1,1000,T4\n", "pods:2: asks for a model"},
  };
  for (const auto& one : cases) {
    std::vector<Demand> tasks;
    const Status status = ParseTasks(one.csv, "pods", tasks);
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << one.csv;
    EXPECT_NE(status.text().find(one.says), std::string::npos) << status.text();
  }
}

TEST(WorkloadTest, AFolderWithoutTracesIsSaid) {
  const Result<Workload> none = ReadOpenb("/nonexistent");
  EXPECT_EQ(none.code(), Code::kNotFound);
  EXPECT_NE(none.status().text().find("leave --traces out for the twin"), std::string::npos);
}

TEST(WorkloadTest, ABrokenXzFileIsSaid) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("mesh_sim_test_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  std::ofstream(folder / "openb_node_list_gpu_node.csv.xz") << "no archive";
  const Result<Workload> broken = ReadOpenb(folder.string());
  std::filesystem::remove_all(folder);
  EXPECT_EQ(broken.code(), Code::kInvalidArgument);
  EXPECT_NE(broken.status().text().find("is no whole .xz file"), std::string::npos) << broken.status().text();
}

TEST(WorkloadTest, TheTwinHasOpenbsShape) {
  const Workload twin = MakeTwin(1);
  EXPECT_EQ(twin.hosts.size(), 1213U);
  std::size_t devices = 0;
  for (const Host& host : twin.hosts) devices += host.device_count;
  EXPECT_EQ(devices, 6212U);
  ASSERT_EQ(twin.tasks.size(), 8152U);
  std::size_t fractional = 0;
  std::size_t without = 0;
  double asked = 0;
  for (const Demand& task : twin.tasks) {
    ASSERT_TRUE(scheduler::ValidateDemand(task).ok());
    fractional += task.devices == 1 && task.share_milli < 1000 ? 1 : 0;
    without += task.devices == 0 ? 1 : 0;
    asked += task.devices * task.share_milli / 1000.0;
  }
  // openb: 3,078 fractional, 1,088 without a GPU, 6,087 GPUs asked for.
  EXPECT_NEAR(static_cast<double>(fractional), 3078, 150);
  EXPECT_NEAR(static_cast<double>(without), 1088, 100);
  EXPECT_NEAR(asked, 6087, 250);
  EXPECT_EQ(MakeTwin(1).tasks, twin.tasks);
  EXPECT_NE(MakeTwin(2).tasks, twin.tasks);
  EXPECT_LT(KindsOf(twin.tasks).size(), 1000U);
}

}  // namespace
}  // namespace accelmesh::sim
