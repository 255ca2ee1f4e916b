// Goal: every test of ONNX's own node suite, as it is today (../shared/onnx-node), passes through
// convert, write, read and run, or stands in docs/onnx-node-tests.md with the reason, and that table
// has no line that is not true.
#include <criterion/criterion.h>
#include <stdio.h>

#include "suites/node_suite.h"
#include "suites/suite.h"

static void run_shard(unsigned shard)
{
    char path[1024];
    const char *const folders[] = {path, NULL};
    if (espy_suite_shared() == NULL)
        cr_skip_test("../shared is not there");
    snprintf(path, sizeof(path), "%s/onnx-node", espy_suite_shared());
    espy_suite_run_nodes(folders, shard);
}

Test(onnx_node, shard_0) { run_shard(0); }
Test(onnx_node, shard_1) { run_shard(1); }
Test(onnx_node, shard_2) { run_shard(2); }
Test(onnx_node, shard_3) { run_shard(3); }
Test(onnx_node, shard_4) { run_shard(4); }
Test(onnx_node, shard_5) { run_shard(5); }
Test(onnx_node, shard_6) { run_shard(6); }
Test(onnx_node, shard_7) { run_shard(7); }
