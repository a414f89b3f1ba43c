#include "tools/mesh_bench/perftest.h"

#include <gtest/gtest.h>

namespace accelmesh::bench {
namespace {

// As ib_send_lat 4.5 printed it on Soft-RoCE, shortened.
constexpr const char* kLatency =
    R"(---------------------------------------------------------------------------------------
                    Send Latency Test
 Dual-port       : OFF		Device         : rxe0
 Mtu             : 1024[B]
 local address: LID 0000 QPN 0x0013 PSN 0x1ea092
 GID: 00:00:00:00:00:00:00:00:00:00:255:255:10:77:00:01
---------------------------------------------------------------------------------------
 #bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]   99% percentile[usec]   99.9% percentile[usec]
 64      1000          11.97          177608.15      12.91    	       1557.12     	-nan   		37756.47 		177608.15
---------------------------------------------------------------------------------------
)";

TEST(Perftest, FiguresAreFoundAmongWhatElseItPrints) {
  EXPECT_DOUBLE_EQ(ReadPerftest(kLatency, 1).value(), 1000);
  EXPECT_DOUBLE_EQ(ReadPerftest(kLatency, 2).value(), 11.97);
  EXPECT_DOUBLE_EQ(ReadPerftest(kLatency, 4).value(), 12.91);
  EXPECT_DOUBLE_EQ(ReadPerftest(kLatency, 8).value(), 177608.15);
}

TEST(Perftest, WithoutFiguresThereIsNoNumber) {
  EXPECT_EQ(ReadPerftest(kLatency, 9).code(), Code::kInternal);
  EXPECT_EQ(ReadPerftest("", 0).code(), Code::kInternal);
  EXPECT_EQ(ReadPerftest("Couldn't connect to 10.77.0.1:18515\n", 0).code(), Code::kInternal);
}

// As it printed it on a machine with too much to do.
TEST(Perftest, TimesThatItCouldNotMeasureAreNone) {
  constexpr const char* kBusy =
      " 64      1000          inf            inf              inf     	       inf            -nan   		inf    "
      "  		inf     \n";
  EXPECT_DOUBLE_EQ(ReadPerftest(kBusy, 1).value(), 1000);
  for (std::size_t column = 2; column < 9; ++column)
    EXPECT_EQ(ReadPerftest(kBusy, column).code(), Code::kInternal) << column;
}

}  // namespace
}  // namespace accelmesh::bench
