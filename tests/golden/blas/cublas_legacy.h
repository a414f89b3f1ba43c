// What is refused with all of its header.
#pragma once

float cublasSold(int n, const float* x, int incx);
