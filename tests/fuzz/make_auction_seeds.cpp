// Writes the seeds of auction_fuzz into a folder: any bytes are an epoch, so they are drawn; every fourth is of numbers
// as they come.
#include <fstream>
#include <random>
#include <string>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  for (unsigned i = 0; i < 24; ++i) {
    std::mt19937_64 random(i);
    std::string bytes(40 + random() % 1400, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    bytes[0] = i % 4 == 3 ? 1 : 0;
    bytes[11] = static_cast<char>(1 + i % 4);
    std::ofstream(std::string(argv[1]) + "/epoch_" + std::to_string(i), std::ios::binary) << bytes;
  }
  return 0;
}
