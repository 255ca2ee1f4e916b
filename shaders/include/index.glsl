// The workgroup's size is specialization constant 0, and one-dimensional kernels number their
// invocations through linear_id(), whose grid espy_lower_grid makes. It runs past the count.
layout(local_size_x_id = 0) in;

uint linear_id()
{
    return (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * gl_WorkGroupSize.x +
           gl_LocalInvocationID.x;
}
