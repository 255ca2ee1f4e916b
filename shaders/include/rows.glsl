// Where a row begins: decodes a row's number with push.dims[4], push.x_strides[4] and
// push.y_strides[4], of which RANK are used, outermost first. Include after the push block; define
// ROWS_X_ONLY where only x has strides.
int row_start_x(uint row)
{
    int at = 0;
    for (int d = int(RANK) - 1; d > 0; d--) {
        const uint outer = row / push.dims[d];
        at += int(row - outer * push.dims[d]) * push.x_strides[d];
        row = outer;
    }
    return at + int(row) * push.x_strides[0];
}

#ifndef ROWS_X_ONLY
int row_start_y(uint row)
{
    int at = 0;
    for (int d = int(RANK) - 1; d > 0; d--) {
        const uint outer = row / push.dims[d];
        at += int(row - outer * push.dims[d]) * push.y_strides[d];
        row = outer;
    }
    return at + int(row) * push.y_strides[0];
}
#endif
