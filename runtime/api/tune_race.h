// The forms of a kernel against each other: which of those that compute the right thing is fastest.
// What a form is, and on what it runs, is the caller's.
#ifndef RUNTIME_API_TUNE_RACE_H_
#define RUNTIME_API_TUNE_RACE_H_

#include "plan/plan.h"

struct tune_time {
    double seconds;   // on the device
    double processor; // seconds of all the host's cores, where these are the device; else 0
};

struct tune_form {
    void *user; // NULL: the form is the same as an earlier one, and takes no part
    // Runs once, from inputs of known elements.
    espy_status (*run)(void *user);
    // After that: reads what it made, into tensors of the reference's types.
    espy_status (*read)(void *user, struct tensor *results);
    // Runs so many times, and says how long one took.
    espy_status (*time)(void *user, uint32_t repeats, struct tune_time *time);
};

struct tune_race {
    const struct host *host;
    const char *name;         // of the problem, for the log
    uint32_t form_count;
    const struct tune_form *forms;
    uint32_t fallback;        // takes part; another has to be faster by more than noise
    uint32_t result_count;
    const struct tensor *reference; // [result_count]
    struct tensor *results;   // [result_count]: room
};

struct tune_verdict {
    uint32_t chosen;
    uint32_t wrong_count;     // forms whose result is wrong
    double fallback_seconds, chosen_seconds; // medians of a run
};

// Each form runs once and is compared with the reference; what is wrong is out, with a warning. The
// others run in turn, so that a disturbance meets all. Where all are wrong the fallback stays.
espy_status espy_tune_race(const struct tune_race *race, struct tune_verdict *verdict);

#endif // RUNTIME_API_TUNE_RACE_H_
