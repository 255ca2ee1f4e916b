// Goal: what a network costs its user: the first result of a fresh process, with and without
// caches, the runs after it, and memory. Method: first results come from processes of their own,
// with a folder for caches that is empty the first time and filled the second. Runs visit all
// networks in turn, so that a disturbance meets all of them; of these the median, the minimum and
// the 90th percentile. Inputs are random numbers from -1 to 1, integers 0 or 1; dims that are
// symbols are 1.
//
//     bench_models [--rounds N] [--json] [--no-firsts] MODEL.espy ...
//
// ESPY_TEST_DEVICE chooses the device. --no-firsts leaves first results out; --json prints the rows
// as JSON, every run in them.
#define _XOPEN_SOURCE 700 // mkdtemp, nftw
#define _DEFAULT_SOURCE   // wait4
#include <espy/espy.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { IO_MAX = 64, ROUNDS_DEFAULT = 15, ROUNDS_MAX = 1000, MODELS_MAX = 256, OPEN_FILES = 16 };

// A model ready to run, and everything for that.
struct bench {
    const char *path;
    espy_context *context;
    espy_device *device;
    espy_model *model;
    espy_session *session;
    uint32_t input_count, output_count;
    struct espy_tensor inputs[IO_MAX], outputs[IO_MAX];
    struct espy_plan_info plan;
    double ms[ROUNDS_MAX];
};

struct options {
    int rounds;
    bool json, no_firsts;
};

struct first {
    double ms;       // from nothing to the first result
    size_t resident; // bytes of the process at most
};

static double now_ms(void)
{
    struct timespec now;
    (void)timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void print_error(void *user, espy_log_level level, const char *message)
{
    (void)user;
    if (level == ESPY_LOG_ERROR)
        fprintf(stderr, "bench_models: %s\n", message);
}

// ---- a model ------------------------------------------------------------------------------------

static bool open_device(struct bench *bench, const char *cache)
{
    const struct espy_context_params context = {.size = sizeof(context), .log = print_error};
    const struct espy_device_params device = {
        .size = sizeof(device), .name = getenv("ESPY_TEST_DEVICE"), .cache_dir = cache};
    return espy_context_create(&context, &bench->context) == ESPY_OK &&
           espy_device_create(bench->context, &device, &bench->device) == ESPY_OK;
}

static bool fill_input(struct espy_tensor *input, uint32_t seed)
{
    size_t count = 1;
    for (uint32_t d = 0; d < input->rank; d++)
        count *= (size_t)input->dims[d];
    if (espy_dtype_bits(input->dtype) < 8)
        return false;
    input->size = count * espy_dtype_bits(input->dtype) / 8;
    unsigned char *bytes = calloc(1, input->size + 1);
    input->data = bytes;
    for (size_t i = 0; bytes != NULL && i < count; i++) {
        seed = seed * 1664525 + 1013904223;
        const float number = (float)(seed >> 8) / (float)(1 << 23) - 1;
        const size_t size = input->size / count;
        if (input->dtype == ESPY_FLOAT32)
            ((float *)input->data)[i] = number;
        else if (input->dtype == ESPY_FLOAT64)
            ((double *)input->data)[i] = (double)number;
        else if (input->dtype == ESPY_FLOAT16 || input->dtype == ESPY_BFLOAT16)
            bytes[i * size + 1] = number < 0 ? 0xb0 : 0x30; // small, of both signs
        else
            bytes[i * size] = (unsigned char)(seed >> 31);
    }
    return bytes != NULL;
}

static bool open_model(struct bench *bench)
{
    if (espy_model_load_file(bench->context, bench->path, &bench->model) != ESPY_OK)
        return false;
    bench->input_count = espy_model_input_count(bench->model);
    bench->output_count = espy_model_output_count(bench->model);
    if (bench->input_count > IO_MAX || bench->output_count > IO_MAX) {
        fprintf(stderr, "bench_models: %s: more than %d inputs or outputs\n", bench->path, IO_MAX);
        return false;
    }
    for (uint32_t i = 0; i < bench->input_count; i++) {
        struct espy_value_info info;
        struct espy_tensor *input = &bench->inputs[i];
        if (espy_model_input(bench->model, i, &info) != ESPY_OK)
            return false;
        *input = (struct espy_tensor){.name = info.name, .dtype = info.dtype, .rank = info.rank};
        for (uint32_t d = 0; d < info.rank; d++)
            input->dims[d] = info.dims[d] < 0 ? 1 : info.dims[d];
        if (!fill_input(input, i + 1)) {
            fprintf(stderr, "bench_models: %s: input '%s' is not for this program\n", bench->path,
                    info.name);
            return false;
        }
    }
    for (uint32_t o = 0; o < bench->output_count; o++) {
        struct espy_value_info info;
        if (espy_model_output(bench->model, o, &info) != ESPY_OK)
            return false;
        bench->outputs[o].name = info.name;
    }
    return espy_session_create(bench->device, bench->model, NULL, &bench->session) == ESPY_OK;
}

static bool run(struct bench *bench)
{
    for (uint32_t o = 0; o < bench->output_count; o++)
        bench->outputs[o] = (struct espy_tensor){.name = bench->outputs[o].name};
    return espy_session_run(bench->session, bench->inputs, bench->input_count, bench->outputs,
                            bench->output_count) == ESPY_OK;
}

static void close_model(struct bench *bench)
{
    espy_session_destroy(&bench->session);
    espy_model_destroy(&bench->model);
    for (uint32_t i = 0; i < bench->input_count && i < IO_MAX; i++)
        free(bench->inputs[i].data);
}

// ---- first results ------------------------------------------------------------------------------

// In a child, which a driver sees for the first time; caches are in `folder`.
static bool measure_first(const char *path, const char *folder, struct first *first)
{
    int ends[2], code = 1;
    struct rusage usage;
    bool got = false;
    if (pipe(ends) != 0)
        return false;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        struct bench *bench = calloc(1, sizeof(*bench));
        setenv("MESA_SHADER_CACHE_DIR", folder, 1);
        const double start = now_ms();
        bool good = bench != NULL;
        if (good)
            bench->path = path;
        good = good && open_device(bench, folder) && open_model(bench) && run(bench);
        const double ms = now_ms() - start;
        good = good && write(ends[1], &ms, sizeof(ms)) == (ssize_t)sizeof(ms);
        if (good) { // the pipeline cache is written when the device goes
            close_model(bench);
            espy_device_destroy(&bench->device);
        }
        _exit(good ? 0 : 1);
    }
    close(ends[1]);
    got = child > 0 && read(ends[0], &first->ms, sizeof(first->ms)) == (ssize_t)sizeof(first->ms);
    close(ends[0]);
    if (child < 0 || wait4(child, &code, 0, &usage) != child)
        return false;
    first->resident = (size_t)usage.ru_maxrss * 1024;
    return got && code == 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static bool measure_firsts(const char *path, struct first *cold, struct first *warm)
{
    char folder[] = "/tmp/bench_models_XXXXXX";
    if (mkdtemp(folder) == NULL)
        return false;
    const bool good = measure_first(path, folder, cold) && measure_first(path, folder, warm);
    (void)nftw(folder, remove_entry, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
    return good;
}

// ---- all ----------------------------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void print_row(struct bench *bench, const struct first *cold, const struct first *warm,
                      int rounds)
{
    qsort(bench->ms, (size_t)rounds, sizeof(bench->ms[0]), compare);
    printf("| %s | %.0f | %.0f | %.1f | %.1f | %.1f | %u | %u | %.1f | %.1f | %.0f |\n",
           base_name(bench->path), cold->ms, warm->ms, bench->ms[rounds / 2], bench->ms[0],
           bench->ms[rounds * 9 / 10], bench->plan.dispatch_count, bench->plan.host_node_count,
           (double)bench->plan.memory_size * 1e-6, (double)bench->plan.weights_size * 1e-6,
           (double)warm->resident * 1e-6);
}

// Runs in the order that they were made. Names of models are file names: quotes are not escaped.
static void print_json(const struct bench *bench, const struct first *cold,
                       const struct first *warm, int rounds)
{
    printf("{\"model\": \"%s\", \"cold_ms\": %.1f, \"warm_ms\": %.1f, \"resident\": %zu, "
           "\"dispatches\": %u, \"host_nodes\": %u, \"device_memory\": %zu, "
           "\"weights\": %zu, \"ms\": [",
           base_name(bench->path), cold->ms, warm->ms, warm->resident, bench->plan.dispatch_count,
           bench->plan.host_node_count, (size_t)bench->plan.memory_size,
           (size_t)bench->plan.weights_size);
    for (int i = 0; i < rounds; i++)
        printf("%s%.3f", i == 0 ? "" : ", ", bench->ms[i]);
    puts("]}");
}

static bool bench_all(struct bench **benches, int count, const struct options *options,
                      const struct first *cold, const struct first *warm)
{
    const int rounds = options->rounds;
    struct bench shared = {0};
    bool good = open_device(&shared, NULL);
    for (int i = 0; i < count && good; i++) {
        benches[i]->context = shared.context;
        benches[i]->device = shared.device;
        good = open_model(benches[i]) && run(benches[i]) &&
               espy_session_plan(benches[i]->session, benches[i]->inputs, benches[i]->input_count,
                                 &benches[i]->plan, NULL) == ESPY_OK;
    }
    for (int round = 0; round < rounds && good; round++)
        for (int i = 0; i < count && good; i++) {
            const double start = now_ms();
            good = run(benches[i]);
            benches[i]->ms[round] = now_ms() - start;
        }
    if (good && !options->json)
        printf(
            "| model | first, cold ms | first, warm ms | median ms | min ms | p90 ms | dispatches "
            "| host nodes | device MB | of it weights | process MB |\n"
            "|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < count; i++) {
        if (good && options->json)
            print_json(benches[i], &cold[i], &warm[i], rounds);
        else if (good)
            print_row(benches[i], &cold[i], &warm[i], rounds);
        close_model(benches[i]);
    }
    espy_device_destroy(&shared.device);
    espy_context_destroy(&shared.context);
    return good;
}

// Returns the index of the first model, 0 where the arguments are wrong.
static int read_options(int argc, char **argv, struct options *options)
{
    int i = 1;
    *options = (struct options){.rounds = ROUNDS_DEFAULT};
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            options->json = true;
        else if (strcmp(argv[i], "--no-firsts") == 0)
            options->no_firsts = true;
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            options->rounds = atoi(argv[++i]);
        else
            return 0;
    }
    const bool good =
        i < argc && argc - i <= MODELS_MAX && options->rounds >= 1 && options->rounds <= ROUNDS_MAX;
    return good ? i : 0;
}

int main(int argc, char **argv)
{
    static struct first cold[MODELS_MAX], warm[MODELS_MAX];
    static struct bench *benches[MODELS_MAX];
    struct options options;
    const int first = read_options(argc, argv, &options);
    const int count = argc - first;
    if (first == 0) {
        fprintf(stderr,
                "usage: bench_models [--rounds 1..%d] [--json] [--no-firsts] MODEL.espy ...\n",
                (int)ROUNDS_MAX);
        return 2;
    }
    bool good = true;
    for (int i = 0; i < count && good; i++) {
        benches[i] = calloc(1, sizeof(*benches[i]));
        good = benches[i] != NULL;
        if (good)
            benches[i]->path = argv[first + i];
        if (!options.no_firsts)
            good = good && measure_firsts(argv[first + i], &cold[i], &warm[i]);
    }
    good = good && bench_all(benches, count, &options, cold, warm);
    for (int i = 0; i < count; i++)
        free(benches[i]);
    return good ? 0 : 1;
}
