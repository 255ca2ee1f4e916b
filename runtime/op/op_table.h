// The list of operator families, made by the build from the names of the files in runtime/ops.
#ifndef RUNTIME_OP_OP_TABLE_H_
#define RUNTIME_OP_OP_TABLE_H_

#include "op/op.h"

extern const struct op_family *const espy_op_families[];
extern const uint32_t espy_op_family_count;

#endif // RUNTIME_OP_OP_TABLE_H_
