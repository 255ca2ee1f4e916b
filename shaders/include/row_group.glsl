// Rows that a subgroup or a whole workgroup goes along together, EACH elements per invocation in
// registers: for kernels of GPUs. struct row_group of runtime/ops/row_group.h chooses the constants;
// subgroups are full.
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

layout(constant_id = 24) const uint LANES = 32;    // of a subgroup
layout(constant_id = 25) const uint SUBGROUPS = 4; // of a workgroup
layout(constant_id = 26) const uint TOGETHER = 0;  // 1: all subgroups have one row, 0: one each
layout(constant_id = 27) const uint EACH = 4;

shared float by_subgroup[SUBGROUPS];

uint group_row()
{
    const uint id = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    return TOGETHER != 0 ? id : id * SUBGROUPS + gl_SubgroupID;
}

// The position in the row of this invocation's element i; neighbours are side by side.
uint group_element(uint i)
{
    if (TOGETHER != 0)
        return (i * SUBGROUPS + gl_SubgroupID) * LANES + gl_SubgroupInvocationID;
    return i * LANES + gl_SubgroupInvocationID;
}

float group_sum(float x)
{
    x = subgroupAdd(x);
    if (TOGETHER != 0) {
        barrier(); // what was here before has been read
        if (gl_SubgroupInvocationID == 0)
            by_subgroup[gl_SubgroupID] = x;
        barrier();
        x = 0.0;
        for (uint s = 0; s < SUBGROUPS; s++)
            x += by_subgroup[s];
    }
    return x;
}

float group_max(float x)
{
    x = subgroupMax(x);
    if (TOGETHER != 0) {
        barrier();
        if (gl_SubgroupInvocationID == 0)
            by_subgroup[gl_SubgroupID] = x;
        barrier();
        for (uint s = 0; s < SUBGROUPS; s++)
            x = max(x, by_subgroup[s]);
    }
    return x;
}
