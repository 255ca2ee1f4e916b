// Goal: the shipped transformer encoder, run by Espy, answers as its model card says, does not see
// what fills a passage up, and shows that it looked at the answer. Method: the 500 held-out
// passages of examples/sequence, as words, which the model's own labels turn into numbers.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "suites/shipped.h"

enum {
    PASSAGES = 500,
    BATCH = 50,
    LENGTH = 32,
    LONGER = 40,
    WORDS = 36,
    ANSWERS = 24,
    WORD_SIZE = 32,
    HEADS = 4
};
#define LAST_SITE "layers.1/attention"

// A line of the test: a passage, a tab, its answer.
struct passage {
    int64_t tokens[LONGER]; // the rest is 0
    uint32_t length, answer;
    uint32_t place;       // where in the passage the answer stands
    uint32_t first, last; // of the statement that it stands in
};

static uint32_t find_label(const struct espy_value_info *info, const char *word)
{
    uint32_t at = 0;
    while (at < info->label_count && strcmp(info->labels[at], word) != 0)
        at++;
    cr_assert(at < info->label_count, "'%s' is no word", word);
    return at;
}

static const char *read_passage(const struct espy_value_info *words,
                                const struct espy_value_info *answers, const char *line,
                                struct passage *passage)
{
    char word[WORD_SIZE];
    int size = 0;
    memset(passage, 0, sizeof(*passage));
    for (; *line != '\t'; line += size) {
        cr_assert(sscanf(line, "%31s%n", word, &size) == 1 && passage->length < LENGTH);
        passage->tokens[passage->length++] = find_label(words, word);
    }
    cr_assert(sscanf(line, "%31s%n", word, &size) == 1);
    passage->answer = find_label(answers, word);
    // The answer stands in the facts, not in the question.
    const int64_t token = find_label(words, word), mark = find_label(words, "?");
    while (passage->tokens[passage->place] != mark)
        passage->place++;
    while (passage->place < passage->length && passage->tokens[passage->place] != token)
        passage->place++;
    cr_assert(passage->place < passage->length, "'%s' does not stand in its passage", word);
    const int64_t stop = find_label(words, ".");
    passage->first = passage->last = passage->place;
    while (passage->tokens[passage->first - 1] != stop &&
           passage->tokens[passage->first - 1] != mark)
        passage->first--;
    while (passage->tokens[passage->last] != stop)
        passage->last++;
    return line + size + strspn(line + size, "\n");
}

static void read_passages(struct lab *shipped, struct passage passages[PASSAGES])
{
    struct espy_value_info words, answers;
    const char *line = espy_suite_read_text(SHIPPED_DIR "/sequence/test500.txt", &shipped->arena);
    cr_assert(line != NULL);
    cr_assert(espy_model_input(shipped->model, 0, &words) == ESPY_OK);
    cr_assert(espy_model_output(shipped->model, 0, &answers) == ESPY_OK);
    cr_assert_str_eq(words.role, "tokens");
    cr_assert_str_eq(answers.role, "logits");
    cr_assert(words.label_count == WORDS && answers.label_count == ANSWERS);
    for (uint32_t i = 0; i < PASSAGES; i++)
        line = read_passage(&words, &answers, line, &passages[i]);
    cr_expect(*line == '\0', "there are more passages");
}

// Passages filled up to `length`.
static void run(struct lab *shipped, const struct passage *passages, uint32_t count,
                uint32_t length, struct espy_tensor *outputs, uint32_t output_count)
{
    int64_t tokens[BATCH * LONGER];
    for (uint32_t i = 0; i < count; i++)
        memcpy(tokens + i * length, passages[i].tokens, length * sizeof(*tokens));
    const struct espy_tensor input = {.name = "tokens",
                                      .dtype = ESPY_INT64,
                                      .rank = 2,
                                      .dims = {count, length},
                                      .data = tokens,
                                      .size = count * length * sizeof(*tokens)};
    cr_assert(espy_session_run(shipped->session, &input, 1, outputs, output_count) == ESPY_OK, "%s",
              shipped->error);
}

static uint32_t best_of(const float *logits)
{
    uint32_t best = 0;
    for (uint32_t k = 1; k < ANSWERS; k++)
        if (logits[k] > logits[best])
            best = k;
    return best;
}

static double number_of(const cJSON *json, const char *key)
{
    const cJSON *item = cJSON_GetObjectItem(json, key);
    cr_assert(cJSON_IsNumber(item), "expected.json has no %s", key);
    return item->valuedouble;
}

struct attention {
    double answer, fact; // to the answer, and to the name, the colour and the thing of its fact
};

// Adds up what the first word of each passage attends to, as the mean over heads.
static void look(const struct passage *passages, const struct espy_tensor *map,
                 struct attention *attention)
{
    cr_assert(map->rank == 4 && map->dims[1] == HEADS && map->dims[3] == LENGTH);
    for (uint32_t i = 0; i < (uint32_t)map->dims[0]; i++) {
        const struct passage *passage = &passages[i];
        for (uint32_t head = 0; head < HEADS; head++) {
            const float *row = (const float *)map->data + (i * HEADS + head) * LENGTH * LENGTH;
            attention->answer += (double)row[passage->place] / HEADS;
            for (uint32_t k = passage->first; k < passage->last; k++)
                if (passage->tokens[k] >= WORDS - ANSWERS)
                    attention->fact += (double)row[k] / HEADS;
            for (uint32_t k = passage->length; k < LENGTH; k++)
                cr_expect(row[k] == 0, "a passage is attended to where there is none");
        }
    }
}

Test(sequence, answers_and_where_they_are_seen_are_torchs)
{
    static struct passage passages[PASSAGES];
    struct lab shipped;
    espy_shipped_open(&shipped, "sequence/sequence.onnx", true);
    cJSON *json = espy_shipped_json(&shipped, "sequence/expected.json");
    read_passages(&shipped, passages);
    uint32_t right = 0;
    struct attention attention = {0, 0};
    for (uint32_t first = 0; first < PASSAGES; first += BATCH) {
        struct espy_tensor outputs[] = {{.name = "logits"}, {.name = LAST_SITE}};
        run(&shipped, passages + first, BATCH, LENGTH, outputs, 2);
        const float *logits = outputs[0].data;
        for (uint32_t i = 0; i < BATCH; i++)
            right += best_of(logits + i * ANSWERS) == passages[first + i].answer;
        look(passages + first, &outputs[1], &attention);
    }
    attention.answer /= PASSAGES;
    attention.fact /= PASSAGES;
    printf("sequence: %u of %d right, attention to the answer %.4f, to its fact %.4f\n", right,
           PASSAGES, attention.answer, attention.fact);
    cr_expect(right == number_of(json, "right"));
    cr_expect(right >= 490, "only %u of %d passages are answered right", right, PASSAGES);
    cr_expect(fabs(attention.answer - number_of(json, "attention_to_answer")) <= 1e-5);
    cr_expect(fabs(attention.fact - number_of(json, "attention_to_fact")) <= 1e-5);
    cJSON_Delete(json);
    espy_lab_close(&shipped);
}

Test(sequence, logits_and_attention_are_torchs)
{
    static struct passage passages[PASSAGES];
    struct lab shipped;
    espy_shipped_open(&shipped, "sequence/sequence.onnx", true);
    cJSON *json = espy_shipped_json(&shipped, "sequence/expected.json");
    read_passages(&shipped, passages);
    const cJSON *rows = cJSON_GetObjectItem(json, "logits"), *site;
    struct espy_tensor output = {.name = "logits"};
    cr_assert(cJSON_GetArraySize(rows) <= BATCH);
    run(&shipped, passages, (uint32_t)cJSON_GetArraySize(rows), LENGTH, &output, 1);
    const struct shipped_distance of_logits = espy_shipped_distance(output.data, rows);
    cr_expect(of_logits.relative <= 1e-4, "logits: relative L2 %.3g", of_logits.relative);
    // Of the first passage, as long as it is.
    cJSON_ArrayForEach(site, cJSON_GetObjectItem(json, "attention"))
    {
        struct espy_tensor map = {.name = site->string};
        run(&shipped, passages, 1, passages[0].length, &map, 1);
        const struct shipped_distance distance = espy_shipped_distance(map.data, site);
        cr_expect(distance.count == HEADS * passages[0].length * passages[0].length);
        printf("sequence: %s differs by at most %.2g\n", site->string, distance.largest);
        cr_expect(distance.largest <= 1e-5, "%s differs by %.3g", site->string, distance.largest);
    }
    cJSON_Delete(json);
    espy_lab_close(&shipped);
}

Test(sequence, what_fills_up_a_passage_changes_nothing)
{
    static struct passage passages[PASSAGES];
    struct lab shipped;
    float logits[2][ANSWERS];
    espy_shipped_open(&shipped, "sequence/sequence.onnx", false);
    read_passages(&shipped, passages);
    for (uint32_t i = 0; i < 5; i++) {
        const uint32_t lengths[] = {passages[i].length, LONGER};
        for (uint32_t k = 0; k < 2; k++) {
            struct espy_tensor output = {
                .name = "logits", .data = logits[k], .size = sizeof(logits[k])};
            run(&shipped, &passages[i], 1, lengths[k], &output, 1);
        }
        for (uint32_t k = 0; k < ANSWERS; k++)
            cr_expect_float_eq(logits[0][k], logits[1][k], 1e-5);
    }
    espy_lab_close(&shipped);
}
