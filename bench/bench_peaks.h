// What a device reaches with nothing in the way, to which bench_ops holds kernels.
#ifndef BENCH_BENCH_PEAKS_H_
#define BENCH_BENCH_PEAKS_H_

#include "vk/vk.h"

struct peaks {
    double gflops; // float32 multiply-adds in registers, two operations each
    double gbytes; // bytes read and written per nanosecond by a copy larger than caches
};

// The best of several runs each.
espy_status espy_bench_peaks(struct vk_device *device, struct peaks *peaks);
double espy_bench_now_ms(void);

#endif // BENCH_BENCH_PEAKS_H_
