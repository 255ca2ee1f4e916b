// Goal: how long converting a network takes, and how much memory, against the size of what it
// reads and of the constants of the result ("weights"). Method: every conversion is a process of
// its own, so that peaks are its own. "resident" is what the system counted at most, with the
// program and the pages of mapped files in it; "allocated" is what the converter asked for. The
// best of three times, the largest of the sizes.
//
//     bench_convert MODEL.onnx ...
#define _DEFAULT_SOURCE // wait4
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "convert/convert.h"

enum { ROUNDS = 3, HEADER_SIZE = 16 };

struct measured {
    double seconds, cpu;
    size_t peak; // bytes allocated at the same time
    size_t weights;
    uint32_t nodes_before, nodes_after;
};

struct counter {
    size_t now, peak;
};

// Every allocation begins with its size.
static void *count_realloc(void *user, void *pointer, size_t size)
{
    struct counter *counter = user;
    char *block = pointer == NULL ? NULL : (char *)pointer - HEADER_SIZE;
    size_t old = 0;
    if (block != NULL)
        memcpy(&old, block, sizeof(old));
    if (size == 0) {
        counter->now -= old;
        free(block);
        return NULL;
    }
    block = realloc(block, size + HEADER_SIZE);
    if (block == NULL)
        return NULL;
    memcpy(block, &size, sizeof(size));
    counter->now += size - old;
    if (counter->now > counter->peak)
        counter->peak = counter->now;
    return block + HEADER_SIZE;
}

static void print_error(void *user, espy_log_level level, const char *message)
{
    (void)user;
    if (level == ESPY_LOG_ERROR)
        fprintf(stderr, "bench_convert: %s\n", message);
}

static double now(void)
{
    struct timespec time;
    (void)timespec_get(&time, TIME_UTC);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static bool convert(const char *model, const char *output, struct measured *measured)
{
    struct counter counter = {0, 0};
    struct convert_report report;
    struct host host;
    const struct espy_context_params context = {.size = sizeof(context),
                                                .log = print_error,
                                                .realloc = count_realloc,
                                                .realloc_user = &counter};
    const struct convert_params params = {.model_path = model, .output_path = output};
    espy_host_init(&host, &context);
    espy_convert_report_init(&report, &host);
    const double start = now();
    const espy_status status = espy_convert_file(&host, &params, &report);
    *measured = (struct measured){.seconds = now() - start,
                                  .peak = counter.peak,
                                  .weights = report.weights_size,
                                  .nodes_before = report.nodes_before,
                                  .nodes_after = report.nodes_after};
    espy_convert_report_finish(&report);
    return status == ESPY_OK;
}

static double seconds_of(const struct timeval *time)
{
    return (double)time->tv_sec + 1e-6 * (double)time->tv_usec;
}

// In a child; *resident is its peak in bytes. model NULL: nothing is converted.
static bool measure(const char *model, const char *output, struct measured *measured,
                    size_t *resident)
{
    int ends[2], code;
    struct rusage usage;
    if (pipe(ends) != 0)
        return false;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const bool good = (model == NULL || convert(model, output, measured)) &&
                          write(ends[1], measured, sizeof(*measured)) == sizeof(*measured);
        _exit(good ? 0 : 1);
    }
    close(ends[1]);
    const bool got = read(ends[0], measured, sizeof(*measured)) == sizeof(*measured);
    close(ends[0]);
    if (child < 0 || wait4(child, &code, 0, &usage) != child)
        return false;
    *resident = (size_t)usage.ru_maxrss * 1024;
    measured->cpu = seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime);
    return got && code == 0;
}

static double megabytes(size_t bytes)
{
    return (double)bytes * 1e-6;
}

// Of the model and, where the weights lie beside it, of those.
static size_t input_size(const char *model)
{
    char weights[4096];
    const char *slash = strrchr(model, '/');
    struct stat info;
    size_t size = stat(model, &info) == 0 ? (size_t)info.st_size : 0;
    snprintf(weights, sizeof(weights), "%.*sweights.bin",
             slash == NULL ? 0 : (int)(slash + 1 - model), model);
    return size + (stat(weights, &info) == 0 ? (size_t)info.st_size : 0);
}

static bool bench(const char *model, const char *output, size_t nothing)
{
    struct measured best = {0};
    size_t resident = 0, allocated = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct measured measured;
        size_t peak;
        if (!measure(model, output, &measured, &peak))
            return false;
        if (round == 0)
            best = measured;
        best.seconds = measured.seconds < best.seconds ? measured.seconds : best.seconds;
        best.cpu = measured.cpu < best.cpu ? measured.cpu : best.cpu;
        resident = peak > resident ? peak : resident;
        allocated = measured.peak > allocated ? measured.peak : allocated;
    }
    const size_t input = input_size(model);
    printf("| %s | %u | %u | %.1f | %.1f | %.2f | %.2f | %.1f | %.2f | %.1f | %.2f |\n", model,
           (unsigned)best.nodes_before, (unsigned)best.nodes_after, megabytes(input),
           megabytes(best.weights), best.seconds, best.cpu, megabytes(allocated),
           (double)allocated / (double)best.weights, megabytes(resident),
           (double)(resident - nothing) / (double)input);
    return true;
}

int main(int argc, char **argv)
{
    const char *folder = getenv("TMPDIR");
    char output[4096];
    snprintf(output, sizeof(output), "%s/bench_convert.%ld.espy", folder == NULL ? "/tmp" : folder,
             (long)getpid());
    if (argc < 2) {
        fprintf(stderr, "usage: bench_convert MODEL.onnx ...\n");
        return 2;
    }
    struct measured idle = {0};
    size_t nothing;
    bool good = measure(NULL, output, &idle, &nothing);
    printf("| model | nodes | after | input MB | weights MB | s | CPU s | allocated MB | of the "
           "weights | resident MB | of the input |\n"
           "|---|---|---|---|---|---|---|---|---|---|---|\n"
           "| nothing | | | | | | | | | %.1f | |\n",
           megabytes(nothing));
    for (int i = 1; i < argc; i++)
        good = bench(argv[i], output, nothing) && good;
    remove(output);
    return good ? 0 : 1;
}
