// Executes plans on a Vulkan device. Must not know what an operator is, nor graphs.
#ifndef RUNTIME_VK_VK_H_
#define RUNTIME_VK_VK_H_

#include "plan/plan.h"

// ---- devices ------------------------------------------------------------------------------------

struct vk_device; // instance, device, queue, allocator of buffers, pipelines, pipeline cache

// For tests: called after a part of the table of Vulkan entry points (vk/vk_table.h) was loaded and
// before it is used, and may swap entries of that part.
struct vk_table;
enum vk_table_part { VK_TABLE_PART_GLOBAL, VK_TABLE_PART_INSTANCE, VK_TABLE_PART_DEVICE };
typedef void (*vk_table_hook)(void *user, struct vk_table *table, enum vk_table_part part);

struct vk_device_params {
    const struct host *host; // copied
    const char *name;        // as espy_device_params.name
    const char *cache_dir;   // resolved: NULL or "" keeps no cache
    bool validation;
    bool exact;              // no 16-bit elements, as espy_device_params.exact
    bool float16_storage; // 16-bit elements on CPU drivers too, where they are slower; for tests
    bool gpu_kernels; // the kernels of GPUs on CPU drivers too, where they are slower; for tests
    bool no_matrices;   // no kernels with cooperative matrices; to compare with
    bool few_registers; // as few as any device has, whatever there are; for tests
    bool compiled_facts; // pipelines are made so that espy_vk_compiled_describe has what to say
    vk_table_hook hook; // NULL: none
    void *hook_user;
};

espy_status espy_vk_device_list(const struct host *host, struct espy_device_info *infos,
                                uint32_t *count);
espy_status espy_vk_device_create(const struct vk_device_params *params, struct vk_device **device);
void espy_vk_device_destroy(struct vk_device **device); // saves the pipeline cache
const struct caps *espy_vk_device_caps(const struct vk_device *device);
void espy_vk_device_info(const struct vk_device *device, struct espy_device_info *info);
uint64_t espy_vk_device_validation_count(const struct vk_device *device);

// What espy_vk_device_save_choices has left for this device and driver: the caller's to espy_free.
// NULL where there is nothing, or nothing to trust, which a line says.
void *espy_vk_device_load_choices(const struct vk_device *device, size_t *size);
// Replaces it; where nothing is kept on disk, does nothing. Failing is a warning.
void espy_vk_device_save_choices(const struct vk_device *device, const void *data, size_t size);

// ---- programs: a plan made ready ----------------------------------------------------------------

struct vk_program; // memory, descriptor sets, pipelines, one recorded command buffer per stage

// What programs read and never write, kept once where it is the same: weights, as they are or
// repacked. Programs that share must not be used by several threads at once.
struct vk_weights;
espy_status espy_vk_weights_create(struct vk_device *device, struct vk_weights **weights);
void espy_vk_weights_destroy(struct vk_weights **weights); // after the programs
// Calls read, from the thread that makes a program, when elements of the graph have gone to the
// device: they may be left to the disk again.
void espy_vk_weights_on_read(struct vk_weights *weights,
                             void (*read)(void *user, const void *data, size_t size), void *user);

// Allocates, uploads constants, creates pipelines (in parallel), runs the prepare dispatches,
// records every stage. What `weights` has already is neither uploaded nor prepared again; NULL: shares
// with nobody. The plan must outlive the program; its shaders are static and outlive the device.
espy_status espy_vk_program_create(struct vk_device *device, const struct plan *plan,
                                   struct vk_weights *weights, struct vk_program **program);
void espy_vk_program_destroy(struct vk_program **program);         // waits for what is in flight
uint64_t espy_vk_program_memory(const struct vk_program *program); // device bytes, staging included

// Converts and writes host elements of type dtype into a dense view. Not while a stage is in
// flight. Without staging when the memory is host-visible; else through the program's staging
// buffer, copied at the next submit.
espy_status espy_vk_program_write(struct vk_program *program, const struct view *view,
                                  const void *elements);
// Reads a dense view back after the wait for the stage that made it. May submit a copy and block.
// Views of graph outputs are copied back within the last stage's submit and do not.
espy_status espy_vk_program_read(struct vk_program *program, const struct view *view,
                                 void *elements);
// Submits one recorded stage. Allocates nothing.
espy_status espy_vk_program_submit(struct vk_program *program, uint32_t stage);
// Waits for the last submitted stage. ESPY_TIMEOUT (not logged) when it is still going on.
espy_status espy_vk_program_wait(struct vk_program *program, uint64_t timeout_ns);
// Runs a stage's dispatches `repeats` times, each when the one before is done, and waits. *seconds:
// what one of them took on the device, without copies to and from it; by the host's clock,
// submitting and waiting in it, where the device has none. Inputs are what the memory holds, which
// may be what an earlier run has left there.
espy_status espy_vk_program_time(struct vk_program *program, uint32_t stage, uint32_t repeats,
                                 double *seconds);

// ---- what a driver has made of a kernel, for people who write kernels ---------------------------

enum { VK_FACTS_MAX = 48, VK_FACT_NAME_SIZE = 64 };

struct vk_compiled {
    uint32_t subgroup_size; // that it was compiled for; 0: the driver does not say
    uint32_t fact_count;    // 0: the driver does not say anything
    struct {
        char name[VK_FACT_NAME_SIZE]; // as the driver calls it
        double value;
    } facts[VK_FACTS_MAX];
};

// Whether the driver has anything to say: the device was created for it, and the driver can.
bool espy_vk_device_describes(const struct vk_device *device);
// Creates the pipeline of a dispatch where there is none yet, and asks the driver about it.
// What the driver has to show as text (intermediate code, assembly) is added to representations,
// unless that is NULL.
espy_status espy_vk_compiled_describe(struct vk_device *device,
                                      const struct plan_dispatch *dispatch,
                                      struct vk_compiled *compiled, struct text *representations);

#endif // RUNTIME_VK_VK_H_
