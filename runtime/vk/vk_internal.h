// What the files of runtime/vk share. No other module includes it.
#ifndef RUNTIME_VK_VK_INTERNAL_H_
#define RUNTIME_VK_VK_INTERNAL_H_

#include <stdatomic.h>

#include "vk/vk.h"
#include "vk/vk_table.h"
#include "vk/vk_thread.h"

// ---- failing ------------------------------------------------------------------------------------

struct vk_instance;

// For functions with `espy_status status` and a label `error:`. Logs the call's text and its
// result. Positive results (VK_INCOMPLETE, VK_TIMEOUT) are no failures.
#define VK(vk, call)                                        \
    do {                                                    \
        const VkResult vk_result_ = (call);                 \
        if (vk_result_ < 0) {                               \
            status = espy_vk_fail((vk), vk_result_, #call); \
            goto error;                                     \
        }                                                   \
    } while (0)

// The same for calls that give an espy_status.
#define CHECK(call)            \
    do {                       \
        status = (call);       \
        if (status != ESPY_OK) \
            goto error;        \
    } while (0)

const char *espy_vk_result_name(VkResult result);
// A lost device is remembered in vk->lost.
espy_status espy_vk_fail(struct vk_instance *vk, VkResult result, const char *call);

// ---- instance -----------------------------------------------------------------------------------

struct vk_instance {
    struct host host;
    struct vk_table table;
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger; // points back here, so the struct must not move
    uint32_t api_version;
    _Atomic uint64_t validation_count;
    atomic_bool lost; // a device of this instance was
};

// Leaves vk->instance NULL and returns ESPY_OK when there is no driver at all.
espy_status espy_vk_instance_init(struct vk_instance *vk, const struct vk_device_params *params);
void espy_vk_instance_finish(struct vk_instance *vk);

// A physical device and what was asked about it.
struct vk_candidate {
    VkPhysicalDevice physical;
    struct espy_device_info info;
    uint32_t queue_family;
    uint32_t clock_bits; // of its timestamps; 0: it has none
    uint32_t driver_version;
    uint8_t cache_uuid[VK_UUID_SIZE];
    const char *unusable; // why info.usable is false, for people
    bool lavapipe;
};

// *candidates is the caller's to espy_free. No devices: NULL and 0.
espy_status espy_vk_candidates(struct vk_instance *vk, struct vk_candidate **candidates,
                               uint32_t *count);
// The one that name asks for, or the best. Logs and returns ESPY_NO_DEVICE.
espy_status espy_vk_candidate_choose(const struct host *host, const char *name,
                                     const struct vk_candidate *candidates, uint32_t count,
                                     const struct vk_candidate **chosen);

// ---- pipelines ----------------------------------------------------------------------------------

// What all pipelines of one shader share.
struct vk_kernel {
    const struct shader *shader;
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
};

struct vk_pipeline {
    const struct vk_kernel *kernel;
    void *spec; // a copy; NULL when spec_size is 0
    uint32_t spec_size;
    VkShaderModule module; // only while the pipeline is created
    VkPipeline pipeline;   // NULL until created
    VkResult result;     // of the creation, set by a worker and read after it was joined
    bool ran;              // known only of those that were compiled ahead
};

struct vk_pipelines {
    struct vk_mutex mutex; // guards everything below
    VkPipelineCache cache;
    char *cache_path;    // NULL: nothing is kept on disk
    uint32_t loaded_crc; // of the data that was loaded, to see whether saving is worth it
    size_t loaded_size;
    uint32_t created_count;
    uint32_t kernel_count, kernel_capacity;
    struct vk_kernel **kernels;
    uint32_t count, capacity;
    struct vk_pipeline **items;
};

struct vk_device;

espy_status espy_vk_pipelines_init(struct vk_device *device, const char *cache_dir);
void espy_vk_pipelines_finish(struct vk_device *device); // saves the cache
// Finds or creates the pipeline of every dispatch; results has `count` entries. Thread-safe.
espy_status espy_vk_pipelines_get(struct vk_device *device, const struct plan_dispatch *dispatches,
                                  uint32_t count, const struct vk_pipeline **results);

bool espy_vk_pipelines_has(struct vk_device *device, const struct plan_dispatch *dispatch);
// The pipelines of these dispatches have run, so the driver has compiled them. Thread-safe.
void espy_vk_pipelines_ran(struct vk_device *device, const struct plan_dispatch *const *dispatches,
                           uint32_t count);

// Writes the shader's words with values (one per specialization constant, NULL: the defaults) in place
// of specialization constants, and returns their size in bytes (vk_specialize.c). words has room for
// shader->words_size bytes, facts for espy_vk_specialize_room entries.
struct spirv_fact {
    uint32_t kind, value, flags;
};
size_t espy_vk_specialize_room(const struct shader *shader);
size_t espy_vk_specialize(const struct shader *shader, const uint32_t *values,
                          struct spirv_fact *facts, uint32_t *words);

// Files of one device and driver (vk_cache_file.c): what is behind the VkPipelineCache, and beside
// it what the tuner has decided and which pipelines the driver keeps machine code of.
enum vk_cache_kind { VK_CACHE_PIPELINES, VK_CACHE_CHOICES, VK_CACHE_KNOWN };
struct vk_cache_key {
    uint32_t vendor_id, device_id, driver_version;
    uint8_t uuid[VK_UUID_SIZE];
};
// The file's path in cache_dir, which is created when missing; NULL (warned) when that fails. The
// path is the caller's to espy_free.
espy_status espy_vk_cache_file_path(const struct host *host, const char *cache_dir,
                                    const struct vk_cache_key *key, enum vk_cache_kind kind,
                                    char **path);
// NULL when there is no file or it cannot be used, which is worth an info line and no more.
void *espy_vk_cache_file_load(const struct host *host, const char *path,
                              const struct vk_cache_key *key, enum vk_cache_kind kind,
                              size_t *size);
void espy_vk_cache_file_save(const struct host *host, const char *path,
                             const struct vk_cache_key *key, enum vk_cache_kind kind,
                             const void *data, size_t size);

// vk_known.c: hashes of pipelines that ran in an earlier process. Only where device->compiles_late.
struct vk_known {
    char *path; // NULL: nothing is kept on disk
    uint32_t count;
    uint64_t *hashes;
};
espy_status espy_vk_known_init(struct vk_device *device, const char *cache_dir); // after pipelines
void espy_vk_known_finish(struct vk_device *device); // adds those that ran in this one
bool espy_vk_known_has(const struct vk_device *device, const struct plan_dispatch *dispatch);

// ---- device -------------------------------------------------------------------------------------

struct vk_device {
    struct vk_instance vk;
    struct espy_device_info info;
    struct caps caps;
    VkPhysicalDevice physical;
    VkPhysicalDeviceMemoryProperties memory;
    uint64_t allocation_max; // bytes of one VkDeviceMemory
    bool mapped;             // device memory is the host's too: no staging
    uint64_t import_alignment; // of host memory that may be imported; 0: none may
    bool knows_budget;       // VK_EXT_memory_budget is on
    bool pins_subgroup_size; // VkPipelineShaderStageRequiredSubgroupSizeCreateInfo may be used
    bool fills_subgroups;    // VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT may
    bool compiled_facts;     // pipelines are made to be described; the driver can
    // Pipelines become machine code at their first dispatch, and what one device has compiled
    // others find; there is a processor besides for that.
    bool compiles_late;
    struct vk_known known;
    struct vk_cache_key cache_key;
    char *choices_path; // NULL: nothing is kept on disk
    VkDevice device;
    uint32_t queue_family;
    uint32_t clock_bits; // of the queue's timestamps; 0: it has none
    double clock_period; // seconds that one more is
    VkQueue queue;
    struct vk_mutex queue_mutex;
    bool mutexes; // both mutexes were made
    struct vk_pipelines pipelines;
};

// vk_cores.c: what the extension says, which the device has; 0: it says nothing of that.
uint32_t espy_vk_cores(const struct vk_device *device, const char *extension);

// Fills caps.matrices, of a device that has VK_KHR_cooperative_matrix; the rest of caps is there.
espy_status espy_vk_matrices_find(struct vk_device *device);

// ---- memory -------------------------------------------------------------------------------------

enum vk_memory_use {
    MEMORY_DEVICE,  // the GPU's own; mapped where device->mapped
    MEMORY_UPLOAD,  // written by the host, copied from by the GPU; mapped
    MEMORY_READBACK // copied to by the GPU, read by the host; mapped, cached where possible
};

// A buffer with memory of its own, mapped for as long as it lives.
struct vk_buffer {
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint64_t size;         // as asked for
    uint64_t allocated;    // bytes of device memory
    unsigned char *mapped; // NULL where the host cannot reach it
};

// Buffers are longer than asked for by this, so that texel views may round their range up.
enum { VK_BUFFER_SLACK = 64 };

void espy_vk_memory_choose(struct vk_device *device); // sets device->mapped
// size 0 makes nothing and is fine.
espy_status espy_vk_buffer_init(struct vk_device *device, enum vk_memory_use use, uint64_t size,
                                const char *what, struct vk_buffer *buffer);
void espy_vk_buffer_finish(struct vk_device *device, struct vk_buffer *buffer);

// ---- program ------------------------------------------------------------------------------------

// A dense view that the recorded commands of one stage copy between staging and device memory.
struct vk_slot {
    uint32_t buffer; // the plan's
    uint32_t stage;
    uint64_t start, size; // bytes within that buffer
    uint64_t staging;     // offset in the upload or readback buffer
    bool pending;         // upload: written and not yet submitted
};

struct vk_slots {
    uint32_t count, capacity;
    struct vk_slot *items;
    uint64_t size; // of the staging that they take together
};

struct vk_texel_view {
    uint32_t buffer;
    enum shader_binding_kind kind;
    VkFormat format;
    VkBufferView view;
};

struct vk_import {
    struct vk_buffer buffer; // size 0: the constant is copied
    uint64_t offset;         // of the constant
};

struct vk_content; // of a buffer, told by how it came about (vk_weights.c)

struct vk_ahead; // a thread that compiles pipelines (vk_ahead.c)

struct vk_program {
    struct vk_device *device;
    const struct plan *plan;
    struct vk_ahead *ahead; // NULL: it has done its part, or there is nothing for it to do
    uint64_t memory_size;
    struct vk_buffer arena;
    // Both gone once the prepare dispatches have run.
    struct vk_buffer transient;
    struct vk_import *imports; // [buffer_count] instead of transient memory; NULL: none
    struct vk_weights *weights, *own_weights; // own: NULL where they are shared
    uint32_t held_count, held_capacity;
    struct vk_content **held;     // what the program counts on
    struct vk_content **contents; // [buffer_count]: of constant and persistent buffers
    bool *fresh;                  // [buffer_count]: this program has to fill it
    bool *needed;                 // [prepare_count]
    bool filled;                  // what was fresh has its elements now
    // Staging: slots first, then a scratch part for views that no slot holds. Unused when mapped.
    struct vk_buffer upload, readback;
    uint64_t upload_scratch, readback_scratch; // offsets
    uint64_t scratch_size;
    struct vk_slots uploads, downloads;

    const struct vk_pipeline **pipelines; // of the prepare dispatches, then of the others
    VkDescriptorPool descriptor_pool;
    VkDescriptorSet *sets; // as pipelines
    uint32_t texel_view_count, texel_view_capacity;
    struct vk_texel_view *texel_views;

    VkCommandPool command_pool;
    VkCommandBuffer *stages; // [plan->stage_count]
    VkCommandBuffer once;    // for commands that run once: uploads, prepare, copies
    VkSemaphore timeline;
    uint64_t submitted; // value the timeline reaches when everything submitted is done
    uint64_t finished;  // largest value that was waited for
    uint32_t stage;     // submitted last; UINT32_MAX: none
};

// vk_descriptors.c: pool, sets and texel views for all dispatches.
espy_status espy_vk_descriptors_init(struct vk_program *program);
void espy_vk_descriptors_finish(struct vk_program *program);

// vk_commands.c
espy_status espy_vk_commands_init(struct vk_program *program); // pool, buffers, timeline
void espy_vk_commands_finish(struct vk_program *program);
espy_status espy_vk_commands_begin(struct vk_program *program, VkCommandBuffer commands, bool once);
espy_status espy_vk_commands_end(struct vk_program *program, VkCommandBuffer commands);
espy_status espy_vk_commands_record_stage(struct vk_program *program, uint32_t stage);
// Into program->once: a stage's dispatches `repeats` times, between two stamps of the pool's, if
// there is one.
espy_status espy_vk_commands_record_repeats(struct vk_program *program, uint32_t stage,
                                            uint32_t repeats, VkQueryPool stamps);
espy_status espy_vk_commands_submit(struct vk_program *program, VkCommandBuffer commands);
espy_status espy_vk_commands_wait(struct vk_program *program, uint64_t timeout_ns);
// Ends, submits and waits for program->once.
espy_status espy_vk_commands_run_once(struct vk_program *program);
// Copies between a staging buffer and a buffer of the plan, and waits.
espy_status espy_vk_commands_copy(struct vk_program *program, VkBuffer src, VkBuffer dst,
                                  const VkBufferCopy *region);
// Waits until nothing is in flight, whatever happens. Nothing is logged.
void espy_vk_commands_drain(struct vk_program *program);
// Runs the prepare dispatches of a batch.
espy_status espy_vk_commands_prepare(struct vk_program *program, const struct plan_batch *batch);

// vk_transfer.c: host elements to and from device memory.
espy_status espy_vk_transfer_init(struct vk_program *program); // slots and staging
void espy_vk_transfer_finish(struct vk_program *program);
// Uploads the constants that are transient in this batch; GRAPH_NONE: those that stay.
espy_status espy_vk_transfer_constants(struct vk_program *program, uint32_t batch);

// vk_weights.c: finds what is there already, and makes room for the rest.
espy_status espy_vk_weights_init(struct vk_program *program);
// The constant of that buffer of the plan is on the device; the session is told.
void espy_vk_weights_was_read(const struct vk_program *program, uint32_t index);
void espy_vk_weights_finish(struct vk_program *program);
// Where a constant or persistent buffer lies that stays.
const struct vk_buffer *espy_vk_weights_place(const struct vk_program *program, uint32_t index,
                                              uint64_t *offset);

// vk_import.c: constants that prepare dispatches read where the host has them.
uint64_t espy_vk_import_alignment(const struct vk_device *device); // for vk_device
espy_status espy_vk_imports_init(struct vk_program *program);      // after the weights
bool espy_vk_imported(const struct vk_program *program, uint32_t index);
void espy_vk_imports_were_read(const struct vk_program *program, uint32_t batch);
void espy_vk_imports_finish(struct vk_program *program);

// vk_ahead.c: starts compiling what the device lacks of the plan's pipelines, on drivers that would
// do so at the first run. *ahead stays NULL where there is too little for a thread. The plan must
// outlive it.
espy_status espy_vk_ahead_start(struct vk_device *device, const struct plan *plan,
                                struct vk_ahead **ahead);
// Waits. ran: the program that it was for has run.
void espy_vk_ahead_finish(struct vk_device *device, struct vk_ahead **ahead, bool ran);

// vk_program.c: where a buffer of the plan lies: in which buffer, and where it begins there.
const struct vk_buffer *espy_vk_program_place(const struct vk_program *program, uint32_t index,
                                              uint64_t *offset);

#endif // RUNTIME_VK_VK_INTERNAL_H_
