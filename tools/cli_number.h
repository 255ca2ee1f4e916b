// Elements of any type as double, and tensors from one type to another. Must not know models.
#ifndef TOOLS_CLI_NUMBER_H_
#define TOOLS_CLI_NUMBER_H_

#include "espy/espy.h"

double espy_number_get(espy_dtype dtype, const void *data, size_t index);
// Integers are rounded to nearest and held to their range, NaN becomes 0; bool is value != 0.
void espy_number_set(espy_dtype dtype, void *data, size_t index, double value);

// true: a tensor of type `from` may stand for one of type `to`: both are floats, or both are
// integers and every value fits.
bool espy_number_fits(espy_dtype from, const void *data, size_t count, espy_dtype to);
// Converts where espy_number_fits said yes.
void espy_number_convert(espy_dtype from, const void *data, size_t count, espy_dtype to,
                         void *result);
bool espy_number_is_float(espy_dtype dtype);

#endif // TOOLS_CLI_NUMBER_H_
