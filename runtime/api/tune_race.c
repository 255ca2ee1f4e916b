#include "api/tune_race.h"

#include "api/compare.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 11, ROUNDS_TO_WIN = 9, HOPELESS_ROUNDS = 2, REPEATS_MAX = 32 };
// A sample takes at least this long; one form is faster than another if by more than GAIN; and is
// not timed further where it takes HOPELESS times as long as the fastest.
static const double SAMPLE_SECONDS = 2e-3, GAIN = 1.05, HOPELESS = 1.5;

struct lane {
    bool runs;
    uint32_t repeats, count;
    double samples[ROUNDS], processor[ROUNDS]; // seconds of a run, by round
    double sorted[ROUNDS];                     // samples, ascending
};

// Runs a form for the first time, which also warms the caches, and looks at the result.
static espy_status check(const struct tune_race *race, uint32_t form, struct lane *lane,
                         struct tune_verdict *verdict)
{
    TRY(race->forms[form].run(race->forms[form].user));
    TRY(race->forms[form].read(race->forms[form].user, race->results));
    lane->runs = true;
    for (uint32_t i = 0; i < race->result_count; i++) {
        const struct difference difference = espy_compare(&race->results[i], &race->reference[i]);
        const double most = espy_compare_tolerance(race->reference[i].type.dtype);
        if (difference.nonfinite_count == 0 && difference.relative_l2 <= most)
            continue;
        lane->runs = false;
        verdict->wrong_count++;
        espy_log(race->host, ESPY_LOG_WARNING,
                 "form %u of %s computes something wrong on this device (relative error %.2g) and "
                 "is not used",
                 form, race->name, difference.relative_l2);
        break;
    }
    return ESPY_OK;
}

static espy_status sample(const struct tune_form *form, struct lane *lane)
{
    struct tune_time time = {0};
    TRY(form->time(form->user, lane->repeats, &time));
    lane->samples[lane->count] = time.seconds;
    lane->processor[lane->count++] = time.processor;
    return ESPY_OK;
}

// From the time of one more run.
static espy_status set_repeats(const struct tune_form *form, struct lane *lane)
{
    struct tune_time time = {0};
    TRY(form->time(form->user, 1, &time));
    lane->repeats = REPEATS_MAX;
    if (time.seconds * REPEATS_MAX > SAMPLE_SECONDS)
        lane->repeats = 1 + (uint32_t)(SAMPLE_SECONDS / time.seconds);
    return ESPY_OK;
}

static int compare_numbers(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void sort(struct lane *lane)
{
    memcpy(lane->sorted, lane->samples, sizeof(lane->sorted));
    qsort(lane->sorted, lane->count, sizeof(lane->sorted[0]), compare_numbers);
    qsort(lane->processor, lane->count, sizeof(lane->processor[0]), compare_numbers);
}

static double median(const struct lane *lane)
{
    return lane->sorted[lane->count / 2];
}

static void drop_hopeless(const struct tune_race *race, struct lane *lanes)
{
    double least = 0;
    for (uint32_t f = 0; f < race->form_count; f++)
        for (uint32_t i = 0; lanes[f].runs && i < lanes[f].count; i++)
            if (least == 0 || lanes[f].samples[i] < least)
                least = lanes[f].samples[i];
    for (uint32_t f = 0; f < race->form_count; f++) {
        double own = 0;
        for (uint32_t i = 0; i < lanes[f].count; i++)
            if (own == 0 || lanes[f].samples[i] < own)
                own = lanes[f].samples[i];
        if (f != race->fallback && own > HOPELESS * least)
            lanes[f].runs = false;
    }
}

static espy_status time_all(const struct tune_race *race, struct lane *lanes)
{
    for (uint32_t f = 0; f < race->form_count; f++)
        if (lanes[f].runs)
            TRY(set_repeats(&race->forms[f], &lanes[f]));
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t f = 0; f < race->form_count; f++)
            if (lanes[f].runs)
                TRY(sample(&race->forms[f], &lanes[f]));
        if (round + 1 == HOPELESS_ROUNDS)
            drop_hopeless(race, lanes);
    }
    for (uint32_t f = 0; f < race->form_count; f++)
        sort(&lanes[f]);
    return ESPY_OK;
}

// Both have run in all rounds. The median and the minimum say so, and most rounds: on a busy
// machine one alone is easily noise. Work of the processors is not, and must not have grown.
static bool faster(const struct lane *a, const struct lane *b)
{
    uint32_t won = 0;
    for (uint32_t i = 0; i < ROUNDS; i++)
        won += a->samples[i] < b->samples[i];
    return won >= ROUNDS_TO_WIN && median(a) * GAIN < median(b) &&
           a->sorted[0] * GAIN < b->sorted[0] &&
           a->processor[ROUNDS / 2] <= b->processor[ROUNDS / 2];
}

espy_status espy_tune_race(const struct tune_race *race, struct tune_verdict *verdict)
{
    struct lane lanes[CHOICES_FORMS_MAX] = {0};
    *verdict = (struct tune_verdict){.chosen = race->fallback};
    uint32_t running = 0, best = race->fallback;
    for (uint32_t f = 0; f < race->form_count; f++) {
        if (race->forms[f].user != NULL)
            TRY(check(race, f, &lanes[f], verdict));
        running += lanes[f].runs;
    }
    if (running == 0)
        return ESPY_OK;
    TRY(time_all(race, lanes));
    const struct lane *fallback = &lanes[race->fallback];
    for (uint32_t f = 0; f < race->form_count; f++) {
        const struct lane *lane = &lanes[f];
        if (!lane->runs || (fallback->runs && !faster(lane, fallback)))
            continue;
        if (best == race->fallback || median(lane) < median(&lanes[best]))
            best = f;
    }
    verdict->chosen = best;
    verdict->chosen_seconds = median(&lanes[best]);
    verdict->fallback_seconds = lanes[race->fallback].runs ? median(&lanes[race->fallback]) : 0;
    return ESPY_OK;
}
