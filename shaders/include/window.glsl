// The depth axis of a sliding window. Most windows have none, so it is specialization constants:
// the compiler drops it, and height and width have the push block to themselves.
layout(constant_id = 30) const uint IN_D = 1;
layout(constant_id = 31) const uint OUT_D = 1;
layout(constant_id = 32) const uint KERNEL_D = 1;
layout(constant_id = 33) const uint STRIDE_D = 1;
layout(constant_id = 34) const uint DILATION_D = 1;
layout(constant_id = 35) const uint PAD_D = 0;

// Where a window starts on an axis, in input elements; negative in the padding.
int window_start(uint index, uint stride, uint pad)
{
    return int(index * stride) - int(pad);
}

bool window_inside(int index, uint size)
{
    return uint(index) < size; // what is negative is large without a sign
}

// Which of `columns` neighbouring outputs has element i of the run that they are made of under tap w of
// its window; `columns`: none. (One of them at most: a loop over outputs as well would give the driver
// many times as much to unroll.)
uint window_output(uint i, uint w, uint stride, uint dilation, uint columns)
{
    const uint from = i - w * dilation, output_ = from / stride;
    return i >= w * dilation && output_ * stride == from && output_ < columns ? output_ : columns;
}
