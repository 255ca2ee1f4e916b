// Goal: the tests that ONNX 1.12 came with, in the opsets of its day, pass like today's. Debian's
// libonnx-testdata has them: single operators, and layers that PyTorch exported. Its folder "real"
// has only addresses of models on the network.
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>

#include "suites/node_suite.h"

#define TESTDATA "/usr/share/libonnx-testdata/data"

static void run_shard(unsigned shard)
{
    static const char *const folders[] = {TESTDATA "/node", TESTDATA "/pytorch-converted",
                                          TESTDATA "/pytorch-operator", TESTDATA "/simple", NULL};
    struct stat info;
    if (stat(TESTDATA, &info) != 0) {
        fprintf(stderr, "skipped: libonnx-testdata is not installed\n");
        cr_skip_test(TESTDATA " is not there");
    }
    espy_suite_run_nodes(folders, shard);
}

Test(onnx_testdata, shard_0)
{
    run_shard(0);
}
Test(onnx_testdata, shard_1)
{
    run_shard(1);
}
Test(onnx_testdata, shard_2)
{
    run_shard(2);
}
Test(onnx_testdata, shard_3)
{
    run_shard(3);
}
Test(onnx_testdata, shard_4)
{
    run_shard(4);
}
Test(onnx_testdata, shard_5)
{
    run_shard(5);
}
Test(onnx_testdata, shard_6)
{
    run_shard(6);
}
Test(onnx_testdata, shard_7)
{
    run_shard(7);
}
