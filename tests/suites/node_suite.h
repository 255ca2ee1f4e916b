// ONNX's backend tests: folders with model.onnx and test_data_set_0/*.pb, judged on the host and on
// the device.
#ifndef TESTS_SUITES_NODE_SUITE_H_
#define TESTS_SUITES_NODE_SUITE_H_

// Runs every NODE_SUITE_SHARDS-th test of a folder (or of several, NULL at the end), from `shard`
// on, in a Criterion test of its own: two cores have work, and a crash takes only its shard along.
//
// What cannot pass stands in docs/onnx-node-tests.md, by test, by operator or by type; what stands
// there must not pass. ESPY_TEST_FILTER runs only the tests whose names contain it, and lists each.
enum { NODE_SUITE_SHARDS = 8 };
void espy_suite_run_nodes(const char *const *folders, unsigned shard);

#endif // TESTS_SUITES_NODE_SUITE_H_
